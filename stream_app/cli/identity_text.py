"""Explanations of who is who, for people and for programs. They show identifiers: they are for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.explain import Why
from stream_app.wire import format_timestamp

if TYPE_CHECKING:
    from stream_app.domain.commands import Verdict
    from stream_app.domain.explain import Explanation, Obstacle, Step

MOST_SHOWN = 6
"""Identifiers in one sentence; programs are given all of them."""


def explained(found: Explanation) -> list[str]:
    """Return an explanation as lines for people."""
    lines = [f"{found.a} and {found.b} are {'the same customer' if found.same else 'different customers'}"]
    if not found.chain:
        lines.append("nothing links them")
    for step in found.chain:
        lines.append(f"  {step.one} -- {step.other}: {', '.join(_shown(step))}")
        if step.obstacle is not None:
            lines.append(f"    but {obstacle_text(step.obstacle)}")
    if found.verdict is not None:
        lines.append(f"an operator on this pair: {verdict_text(found.verdict)}")
    return lines


def obstacle_text(obstacle: Obstacle) -> str:
    """Return in words why a link joins nothing."""
    names = _listed(obstacle.identifiers)
    if obstacle.why is Why.LIMIT:
        many = len(obstacle.identifiers)
        return (
            f"the limit of {obstacle.namespace} is {obstacle.limit}: together they would have {many}: {names}"
        )
    said = "" if obstacle.verdict is None else f": {verdict_text(obstacle.verdict)}"
    if obstacle.why is Why.DENIED:
        return f"{' and '.join(obstacle.identifiers)} must not be one customer's{said}"
    if obstacle.why is Why.BLOCKED:
        return f"{names} is blocked{said}"
    return f"{names} is shared: seen with {obstacle.seen_with}, {obstacle.limit} allowed; it links nothing"


def verdict_text(verdict: Verdict) -> str:
    """Return what an operator said, as a line."""
    by = f" by {verdict.operator}" if verdict.operator else ""
    why = f', "{verdict.reason}"' if verdict.reason else ""
    return f"{verdict.op.value}{by} at {format_timestamp(verdict.time)}{why} ({verdict.command_id})"


def explanation_object(found: Explanation) -> dict[str, Any]:
    """Return an explanation for programs."""
    return {
        "a": found.a,
        "b": found.b,
        "same": found.same,
        "chain": [step_object(step) for step in found.chain],
        "verdict": verdict_object(found.verdict),
    }


def step_object(step: Step) -> dict[str, Any]:
    """Return a link for programs."""
    return {
        "a": step.one,
        "b": step.other,
        "first": None if step.first is None else format_timestamp(step.first),
        "last": None if step.last is None else format_timestamp(step.last),
        "count": step.count,
        "events": list(step.events),
        "asserted": verdict_object(step.asserted),
        "obstacle": obstacle_object(step.obstacle),
    }


def obstacle_object(obstacle: Obstacle | None) -> dict[str, Any] | None:
    """Return why a link joins nothing, for programs."""
    if obstacle is None:
        return None
    return {
        "why": obstacle.why.value,
        "identifiers": list(obstacle.identifiers),
        "namespace": obstacle.namespace or None,
        "limit": obstacle.limit,
        "seen_with": obstacle.seen_with,
        "verdict": verdict_object(obstacle.verdict),
    }


def verdict_object(verdict: Verdict | None) -> dict[str, Any] | None:
    """Return what an operator said, for programs."""
    if verdict is None:
        return None
    return {
        "op": verdict.op.value,
        "time": format_timestamp(verdict.time),
        "operator": verdict.operator,
        "reason": verdict.reason,
        "command_id": verdict.command_id,
    }


def _shown(step: Step) -> list[str]:
    """Return what shows a link."""
    parts = []
    if step.asserted is not None:
        parts.append(verdict_text(step.asserted))
    if step.first is not None and step.last is not None:
        events = f"{step.count} event{'' if step.count == 1 else 's'}"
        span = format_timestamp(step.first)
        if step.last != step.first:
            span += f" to {format_timestamp(step.last)}"
        parts.append(
            f"{events}, {span} ({', '.join(step.events)}{', ...' if step.count > len(step.events) else ''})"
        )
    return parts


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_SHOWN
    return ", ".join(names[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
