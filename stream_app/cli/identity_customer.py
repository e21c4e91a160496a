"""One customer and the evidence, for people and for programs: identifiers are shown, so it is for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.cli.identity_text import (
    obstacle_object,
    obstacle_text,
    step_object,
    verdict_object,
    verdict_text,
)
from stream_app.domain.explain import obstacle_at, refused_links
from stream_app.wire import format_timestamp

if TYPE_CHECKING:
    from stream_app.domain.commands import Verdict
    from stream_app.domain.explain import Step
    from stream_app.domain.identities import Identities
    from stream_app.runs.state_reader import Component


def customer_object(component: Component, name: str, customer_id: str | None) -> dict[str, Any]:
    """Return all that is known of the customer that holds an identifier, for programs."""
    identities = component.identities
    place = identities.policy.place
    group = identities.all.groups.get(name)
    members = sorted({name} if group is None else group.members, key=place)
    sightings = {names for member in members for names in identities.naming.get(member, ())}
    said: list[tuple[tuple[str, ...], Verdict]] = [*identities.verdicts.items()]
    said += [((marked,), verdict) for marked, verdict in identities.marks.items()]
    return {
        "identifier": name,
        "customer_id": customer_id,
        "complete": component.complete,
        "shared": name in identities.shared,
        "links_nothing": obstacle_object(obstacle_at(identities, name)),
        "identifiers": [
            {"identifier": member, "since": _since(identities, member), "shared": member in identities.shared}
            for member in members
        ],
        "evidence": [
            {
                "identifiers": list(names),
                "first": format_timestamp(row.first),
                "last": format_timestamp(row.last),
                "count": row.count,
                "events": [event_id for _, event_id in row.sample],
            }
            for names, row in sorted((names, identities.sightings[names]) for names in sightings)
        ],
        "refused": [step_object(step) for step in refused_links(identities, members)],
        "verdicts": [
            {"identifiers": list(names), **(verdict_object(verdict) or {})}
            for names, verdict in sorted(said, key=lambda one: (one[1].time, one[0]))
            if not set(names).isdisjoint(members)
        ],
    }


def _since(identities: Identities, name: str) -> str | None:
    since = identities.since.get(name)
    return None if since is None else format_timestamp(since)


def customer_lines(identities: Identities, name: str, shown: dict[str, Any]) -> list[str]:
    """Return the same for people."""
    members = [one["identifier"] for one in shown["identifiers"]]
    lines = [f"customer {shown['customer_id'] or 'none'}"]
    if (obstacle := obstacle_at(identities, name)) is not None:
        lines.append(f"  {obstacle_text(obstacle)}")
    lines += [f"  {one['identifier']}  since {one['since'] or 'never'}" for one in shown["identifiers"]]
    lines.append("evidence")
    for one in shown["evidence"]:
        more = ", ..." if one["count"] > len(one["events"]) else ""
        times = f"{one['count']} x, {one['first']} to {one['last']} ({', '.join(one['events'])}{more})"
        lines.append(f"  {' '.join(one['identifiers'])}  {times}")
    for title, rows in (
        ("refused links", [_refused(step) for step in refused_links(identities, members)]),
        ("operators", [_verdict(identities, one["identifiers"]) for one in shown["verdicts"]]),
        ("history", [_change(change) for change in shown["history"]]),
    ):
        if rows:
            lines += [title, *(f"  {row}" for row in rows)]
    return lines


def _refused(step: Step) -> str:
    why = "" if step.obstacle is None else obstacle_text(step.obstacle)
    return f"{step.one} -- {step.other}: {why}"


def _verdict(identities: Identities, names: list[str]) -> str:
    verdict = identities.marks[names[0]] if len(names) == 1 else identities.verdicts[names[0], names[1]]
    return f"{' '.join(names)}: {verdict_text(verdict)}"


def _change(change: dict[str, Any]) -> str:
    ids = f"{' '.join(change['from'])} -> {' '.join(change['into'])}".strip()
    return f"{format_timestamp(change['time'])}  {change['change']}  {ids}  by {_cause(change['cause'])}"


def _cause(cause: dict[str, Any]) -> str:
    if cause["event_id"]:
        return f"event {cause['event_id']}"
    if cause["command_id"]:
        return f"command {cause['command_id']}"
    links = ", ".join(f"{link['a']} -- {link['b']}" for link in cause["evidence"])
    return f"evidence that came from elsewhere{f': {links}' if links else ''}"
