"""Sequences: patterns that events match in order, with others in between.

Every event that fits the first pattern begins; a beginning takes the next event that fits its next pattern. What
`within` forbids is dropped. Without `every` the earliest beginning that is complete counts, and uses up all events
before it. (Complex event processing calls this "skip till next match", and the two modes "no skip" and "skip past
last event"; Agrawal et al., "Efficient Pattern Matching over Event Streams", SIGMOD 2008.)

Bounded: beginnings for each key, and keys; the oldest go first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.rules.model import FOREVER, pick
from stream_app.domain.rules.state import Beginnings, Partial

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.rules.model import Pattern
    from stream_app.domain.rules.plan import Plan
    from stream_app.domain.rules.state import EventRef, RulesState

    Fits = Callable[[Pattern, dict[str, Any] | None], bool]
    """(pattern, what is known of the sequence's first event) -> whether the event at hand fits."""

MAX_PARTIALS = 64
MAX_GROUPS = 64
_NEVER = -FOREVER


def advance(
    plan: Plan, state: RulesState, group: str, event: EventRef, properties: dict[str, Any], fits: Fits
) -> list[Partial]:
    """Take in an event of one key; return the sequences that it completes, the earliest beginning first."""
    opens = plan.rule.opens
    groups = state.partials.setdefault(plan.id, {})
    begun = groups.pop(group, None) or Beginnings()
    since = _NEVER if opens.within is None else event.time - opens.within
    begun.forget(since)
    complete: list[Partial] = []
    if event.type in plan.later_types:
        complete, left = _grown(plan, begun.all(since, MAX_PARTIALS), event, fits)
        begun = Beginnings()
        begun.add(left, MAX_PARTIALS)
    if complete and not opens.every:
        begun, complete = Beginnings(), complete[:1]
    elif (
        event.type in opens.patterns[0].event
        and _is_useful(plan, begun.loose)
        and fits(opens.patterns[0], None)
    ):
        begun.add([Partial([event], pick(properties, plan.first_names))], MAX_PARTIALS)
    if begun.loose:
        groups[group] = begun
        if len(groups) > MAX_GROUPS:
            del groups[next(iter(groups))]
    elif not groups:
        del state.partials[plan.id]
    return complete


def _grown(
    plan: Plan, partials: list[Partial], event: EventRef, fits: Fits
) -> tuple[list[Partial], list[Partial]]:
    """Let beginnings take the event that fits their next pattern; return (those complete now, the others)."""
    patterns = plan.rule.opens.patterns
    complete: list[Partial] = []
    left: list[Partial] = []
    for partial in partials:
        pattern = patterns[len(partial.steps)]
        if event.type not in pattern.event or not fits(pattern, partial.first):
            left.append(partial)
            continue
        grown = Partial([*partial.steps, event], partial.first)
        (complete if len(grown.steps) == len(patterns) else left).append(grown)
    return complete, left


def _is_useful(plan: Plan, latest: list[Partial]) -> bool:
    """Tell whether one more beginning could ever count: not where an earlier one does all that it could.

    That would be the latest: none has begun behind it since.
    """
    opens = plan.rule.opens
    if opens.every or opens.within is not None or plan.first_names:
        return True
    return not any(len(partial.steps) == 1 for partial in latest)
