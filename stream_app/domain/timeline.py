"""Timelines: the events of each customer, by event time, then event id; each event id once in a component.

Two contents under one id (design: IDENTITY): the first by arrival stands, the other is a conflict.
"Arrival" is (received, source), the place in the input topics, so that it means the same to every component
that holds a copy, and in a replay. A copy with the same content is a duplicate, whatever its source.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.keys import event_id_of, slot_key, time_key, timeline_key
from stream_app.domain.messages import decode_event
from stream_app.domain.rows import EventPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream_app.domain.event import Event
    from stream_app.domain.ports import Table
    from stream_app.domain.rows import TimelineRow

ERASED = (1 << 32) - 1
"""The slot of erased events: of each there is left what is not personal (see `bare`), so its id stays taken."""

_canonical = msgspec.msgpack.Encoder(order="deterministic").encode


def same_content(one: Event, other: Event) -> bool:
    """Return whether two events say the same: all but when they arrived, and from where."""
    a = (one.event_id, one.time, one.channel, one.type, one.identifiers, one.properties, one.context)
    b = (
        other.event_id,
        other.time,
        other.channel,
        other.type,
        other.identifiers,
        other.properties,
        other.context,
    )
    return a == b or _canonical(a) == _canonical(b)  # NaN is not equal to itself; its bytes are


def bare(event: Event) -> Event:
    """Return an event without what is personal in it: its id, time, channel and type are left."""
    return msgspec.structs.replace(event, identifiers=(), properties={}, context=None)


def arrived_before(one: Event, other: Event) -> bool:
    """Return whether an event came into the input topics before another one."""
    return _arrival(one) < _arrival(other)


def _arrival(event: Event) -> tuple[int, str, int, int]:
    topic, partition, offset = event.source.rsplit("/", 2)
    return (event.received, topic, int(partition), int(offset))


class Timelines:
    """The timelines of one partition. `prefix` is a component's, unless it says otherwise."""

    def __init__(
        self, events: Table[EventPlace], rows: Table[TimelineRow], removed: Callable[[bytes], None]
    ) -> None:
        """Serve two tables: event id -> where it is, and the rows by slot and time; `removed` is told of keys."""
        self._events = events
        self._rows = rows
        self._removed = removed

    def place(self, prefix: bytes, event_id: str) -> EventPlace | None:
        """Return where an event is, or None."""
        return self._events.get(prefix + event_id.encode())

    def get(self, prefix: bytes, place: EventPlace, event_id: str) -> TimelineRow:
        """Return the row of an event.

        Raises:
            LookupError: the index names a row that isn't there: the state is damaged.
        """
        row = self._rows.get(timeline_key(slot_key(prefix, place.slot), place.time, event_id))
        if row is None:
            raise LookupError("an event's id is in the index, but its row isn't on the timeline")
        return row

    def put(self, prefix: bytes, slot: int, time: int, event_id: str, row: TimelineRow) -> None:
        """Write an event's row."""
        self._events.put(prefix + event_id.encode(), EventPlace(time, slot))
        self._rows.put(timeline_key(slot_key(prefix, slot), time, event_id), row)

    def remove(self, prefix: bytes, slot: int, time: int, event_id: str) -> None:
        """Delete an event's row."""
        self.remove_at(prefix, timeline_key(slot_key(prefix, slot), time, event_id))

    def remove_at(self, prefix: bytes, key: bytes) -> None:
        """Delete a row that `part` gave; `prefix` is the component's."""
        self._events.delete(prefix + event_id_of(prefix, key))
        self._rows.delete(key)
        self._removed(key)

    def history(self, customer: bytes, since: int | None = None) -> Iterator[Event]:
        """Yield a customer's events from `since` (ms) on, or all, in order; `customer` is its slot's prefix."""
        start = None if since is None else time_key(customer, since)
        for _, row in self._rows.scan(customer, start):
            yield decode_event(row.event)

    def rows(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, TimelineRow]]:
        """Yield keys and rows under a component's or a customer's prefix, from the key `start` on if given."""
        return self._rows.scan(prefix, start)

    def part(
        self, prefix: bytes, start: bytes | None, rows: int, size: int
    ) -> tuple[list[tuple[bytes, TimelineRow]], bytes | None]:
        """Return the next rows, at most `rows` and at most `size` bytes (one at least), and where to go on.

        None there means that there are no more.
        """
        found: list[tuple[bytes, TimelineRow]] = []
        for key, row in islice(self._rows.scan(prefix, start), rows + 1):
            size -= len(row.event)
            if found and (size < 0 or len(found) == rows):
                return found, key
            found.append((key, row))
        return found, None

    def rewrite(self, key: bytes, row: TimelineRow) -> None:
        """Write a row that `rows` or `part` gave back to its key."""
        self._rows.put(key, row)
