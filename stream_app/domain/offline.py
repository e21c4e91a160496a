"""Who is who among events that are all at hand: the same partition and ownership, without the road.

For benchmarks, reports and comparisons: what the pipeline must come to, whatever way the events take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.commands import Op, verdict_of
from stream_app.domain.customer_id import customer_id
from stream_app.domain.identities import NOBODY, Identities
from stream_app.domain.ownership import Owners
from stream_app.domain.partition import LinkRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.commands import Command
    from stream_app.domain.event import Event
    from stream_app.domain.policy import IdentityPolicy


def who_is_who(
    policy: IdentityPolicy, events: Iterable[Event], key: bytes = b"", commands: Iterable[Command] = ()
) -> Mapping[str, str]:
    """Return event id -> customer id, under one deployment's `key`; "" of an event that is nobody's.

    Of two contents under one id the first given stands; of commands the latest by their own time, in whatever
    order they are given. All events are one component here: components only say where customers live.

    Raises:
        ValueError: a command erases; what that does depends on what has arrived before it.
    """
    kept: dict[str, tuple[tuple[str, ...], int]] = {}
    identities = Identities(LinkRules(policy))
    for event in events:
        if event.event_id not in kept:
            kept[event.event_id] = (event.identifiers, event.time)
            identities.see(event.identifiers, event.time, event.event_id)
    for command in commands:
        _follow(identities, command)
    if identities.verdicts or identities.marks:
        identities.compute()
    identities.settle()
    owners = Owners(identities, lambda *_: ())
    owners.read_all(kept.values())
    ids = {NOBODY: ""}
    for group in set(identities.all.groups.values()):
        if group.first is not None:
            ids[group.slot] = customer_id(group.first[2], key)
    return {event_id: ids[owners.slot(*seen)] for event_id, seen in kept.items()}


def _follow(identities: Identities, command: Command) -> None:
    """Have a command's verdict stand if it is the latest; `compute` must follow."""
    if command.op is Op.ERASE:
        raise ValueError("an erasure has no answer that all events together give")
    verdict, names = verdict_of(command), command.identifiers
    if len(names) == 1:
        if verdict.beats(identities.marks.get(names[0])):
            identities.marks[names[0]] = verdict
    elif verdict.beats(identities.verdicts.get((names[0], names[1]))):
        identities.verdicts[names[0], names[1]] = verdict
