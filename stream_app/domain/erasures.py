"""What was erased, and what that means for one event: what keeps the erased away, and what is yet to go.

An erasure leaves a row for each identifier, under its label (a keyed hash), with a time: events up to then lose
the identifier, whenever they come; one that has none left goes. Of events that share an identifier with
somebody else, those of the erased customer go all the same: all in the customer's slot, where the repair row says
so, and those that are named in `going`. While rows are still to be looked at, whoever reads them asks here what
counts of them (see `erasing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.keys import slot_key

if TYPE_CHECKING:
    from stream_app.domain.event import Brief, Event
    from stream_app.domain.labels import Labels
    from stream_app.domain.partition import Names
    from stream_app.domain.ports import ComponentTables

_NEVER = -(1 << 62)


class Erasures:
    """The erasures of one partition's components. `prefix` is a component's."""

    def __init__(self, tables: ComponentTables, labels: Labels) -> None:
        """Serve `tables`."""
        self._rows = tables.erasures
        self._repairs = tables.repairs
        self._going = tables.going
        self._labels = labels

    def add(self, prefix: bytes, label: str, time: int) -> None:
        """Note that what has this label is erased up to a time (ms)."""
        key = prefix + label.encode()
        known = self._rows.get(key)
        self._rows.put(key, time if known is None else max(time, known))

    def until(self, prefix: bytes, name: str) -> int:
        """Return up to which time (ms) events must not name an identifier."""
        time = self._rows.get(prefix + self._labels.of(name).encode())
        return _NEVER if time is None else time

    def left(self, prefix: bytes, names: Names, time: int) -> Names:
        """Return which identifiers an event of that time may name."""
        left = tuple(name for name in names if time > self.until(prefix, name))
        return names if len(left) == len(names) else left

    def kept(self, prefix: bytes, slot: int, event: Event | Brief) -> Names:
        """Return what is left of the identifiers of an event that lies in a slot; nothing: the event goes."""
        if self.takes(prefix, slot, event):
            return ()
        return self.left(prefix, event.identifiers, event.time)

    def takes(self, prefix: bytes, slot: int, event: Event | Brief) -> bool:
        """Tell whether an event that lies in a slot is still to go with an erased customer."""
        row = self._repairs.get(slot_key(prefix, slot))
        if row is not None and row.erased is not None and event.time <= row.erased:
            return True
        return self._going.get(prefix + event.event_id.encode()) is not None

    def taken(self, prefix: bytes, event_id: str) -> None:
        """Note that an event has gone."""
        key = prefix + event_id.encode()
        if self._going.get(key) is not None:
            self._going.delete(key)
