"""Arrivals: a case's events and operators' commands as its file writes them, and what the pipeline makes of them.

Both kinds of cases, of identity and of rules, have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.commands import PAIR_OPS, Command, Op
from stream_app.domain.event import ChannelEvent, Context, Event, Position
from stream_app.domain.identifiers import to_event
from stream_app.domain.refusal import Refused
from stream_app.wire import parse_timestamp

if TYPE_CHECKING:
    from stream_app.domain.identifiers import Identifier


class Arrival(msgspec.Struct):
    """An event, or a command if `op` is there. `time` is RFC 3339, or ms since the epoch."""

    time: str | int | float
    event_id: str | None = None
    command_id: str | None = None
    op: Op | None = None
    a: str | None = None
    b: str | None = None
    id: str | None = None
    channel: str = ""
    type: str = ""
    identifiers: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


class ArrivalError(ValueError):
    """An arrival that is neither event nor command: the message begins with where it stands in the case."""


def check(arrival: Arrival, path: str) -> None:
    """Look whether an arrival is an event or a command; `path` is where it stands in the case.

    Raises:
        ArrivalError: it is neither.
    """
    try:
        time_of(arrival.time)
    except (ValueError, OverflowError):
        raise ArrivalError(
            f"{path}.time: write a time with its offset, such as 2026-03-01T10:00:00Z"
        ) from None
    if arrival.op is None:
        if arrival.event_id is None:
            raise ArrivalError(f"{path}: an event needs an event_id, a command an op")
    elif None in _written(arrival).values():
        needs = " and ".join(_written(arrival))
        raise ArrivalError(f"{path}: to {arrival.op.value} needs {needs}: namespace:value")


def taken(arrival: Arrival, place: int, number: int, identifier: Identifier) -> Event | Command | None:
    """Return what the pipeline makes of an arrival; None: it goes to the dead letters.

    Args:
        arrival: one that `check` has passed.
        place: in the case's list, from 0.
        number: how many have arrived before.
        identifier: finds identifiers under the case's policy.
    """
    time, source = time_of(arrival.time), f"case/0/{number}"
    try:
        if arrival.op is not None:
            names = identifier.named(_written(arrival))
            return Command(name_of(arrival, place), arrival.op, names, time, "case", "", source)
        event = ChannelEvent(
            arrival.event_id or "",
            time,
            arrival.channel,
            arrival.type,
            arrival.identifiers or {},
            arrival.properties or {},
            context=None if arrival.context is None else _context(arrival.context),
        )
        return to_event(event, identifier.identify(event)[0], number, source)
    except Refused:
        return None


def time_of(written: str | float) -> int:
    """Return a time as a case writes it in ms since the epoch.

    Raises:
        ValueError: it isn't one.
        OverflowError: it is infinite.
    """
    return parse_timestamp(written) if isinstance(written, str) else int(written)


def name_of(arrival: Arrival, place: int) -> str:
    """Return what an arrival is called: its id, or of a command without one: what it does, and its place."""
    return arrival.event_id or arrival.command_id or f"{arrival.op}#{place + 1}"


def _written(arrival: Arrival) -> dict[str, Any]:
    """Return whom a command speaks of, by the names of the fields."""
    return {"a": arrival.a, "b": arrival.b} if arrival.op in PAIR_OPS else {"id": arrival.id}


def _context(written: dict[str, Any]) -> Context:
    position = written.get("position")
    return Context(
        locale=written.get("locale"),
        timezone=written.get("timezone"),
        position=None if position is None else Position(**position),
        consent=written.get("consent"),
    )
