"""Timelines: the events of each component, by event time, then event id; each event id once.

Two contents under one id (design: IDENTITY): the first by arrival stands, the other is a conflict.
"Arrival" is (received, source), the place in the input topics, so that it means the same to every component
that holds a copy, and in a replay. A copy with the same content is a duplicate, whatever its source.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.keys import time_key, timeline_key
from stream_app.domain.messages import decode_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.domain.event import Event
    from stream_app.domain.ports import Table
    from stream_app.domain.rows import TimelineRow

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


def arrived_before(one: Event, other: Event) -> bool:
    """Return whether an event came into the input topics before another one."""
    return (one.received, one.source) < (other.received, other.source)


class Timelines:
    """The timelines of one partition's components."""

    def __init__(self, events: Table[int], rows: Table[TimelineRow]) -> None:
        """Serve two tables: event id -> time, and the rows by time."""
        self._events = events
        self._rows = rows

    def holds(self, prefix: bytes, event_id: str) -> bool:
        """Return whether there is an event of this id."""
        return self._events.get(prefix + event_id.encode()) is not None

    def get(self, prefix: bytes, event_id: str) -> TimelineRow | None:
        """Return the row of an event id."""
        time = self._events.get(prefix + event_id.encode())
        return None if time is None else self._rows.get(timeline_key(prefix, time, event_id))

    def put(self, prefix: bytes, event: Event, row: TimelineRow) -> None:
        """Write the row of an event."""
        name = event.event_id.encode()
        self._events.put(prefix + name, event.time)
        self._rows.put(time_key(prefix, event.time) + name, row)

    def remove(self, prefix: bytes, event: Event) -> None:
        """Delete the row of an event."""
        self._events.delete(prefix + event.event_id.encode())
        self._rows.delete(timeline_key(prefix, event.time, event.event_id))

    def history(self, prefix: bytes, since: int | None = None) -> Iterator[Event]:
        """Yield the events from `since` (ms) on, or all, in order."""
        for _, row in self.rows(prefix, None if since is None else time_key(prefix, since)):
            yield decode_event(row.event)

    def rows(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, TimelineRow]]:
        """Yield keys and rows in order, from the key `start` on if given."""
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

    def proof(self, prefix: bytes, identifier: str, time: int) -> TimelineRow | None:
        """Return the first row at `time` (ms) whose event names an identifier."""
        for _, row in self._rows.scan(prefix, time_key(prefix, time)):
            event = decode_event(row.event)
            if event.time > time:
                return None
            if identifier in event.identifiers:
                return row
        return None

    def rewrite(self, key: bytes, row: TimelineRow) -> None:
        """Write a row that `rows` or `part` gave back to its key."""
        self._rows.put(key, row)
