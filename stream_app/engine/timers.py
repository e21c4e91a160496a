"""Timers in event time: rows of a task's store, due when its watermark has passed them.

A timer is a row `due | key`, so that the earliest comes first in a scan and all of them survive a restart. The
earliest due time is remembered: an epoch without due timers costs one comparison. Due times are ms since the
epoch, UTC; a timer at D fires once the watermark is above D, so that an event at D itself still counts. Timers
that are due together are taken out together: one that another of them cancels fires all the same, and its
handler must know that it is out of date.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from stream_app.engine.store import Table, TableSpec, identity

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMERS = TableSpec("timers", b"T", identity, identity, cached=False)

_DUE = struct.Struct(">Q")
_SIGN = 1 << 63
_NEVER = 2**63


def _encode(due: int) -> bytes:
    return _DUE.pack(due + _SIGN)


class Timers:
    """The timers of one task."""

    def __init__(self, table: Table[bytes]) -> None:
        self._table = table
        self._earliest: int | None = None

    def set(self, due: int, key: bytes) -> None:
        """Have `key` called when the watermark passes `due`."""
        self._table.put(_encode(due) + key, b"")
        if self._earliest is not None and due < self._earliest:
            self._earliest = due

    def cancel(self, due: int, key: bytes) -> None:
        """Take a timer back; nothing happens when there is none."""
        self._table.delete(_encode(due) + key)

    @property
    def earliest(self) -> int:
        """The earliest due time, or one that is never reached. Cancelled timers may make it too early."""
        if self._earliest is None:
            self._earliest = next((due for due, _ in self._scan()), _NEVER)
        return self._earliest

    def due(self, watermark: int, at_most: int) -> list[tuple[int, bytes]]:
        """Take out timers that the watermark has passed: (due, key), earliest first, `at_most` of them."""
        earliest = self.earliest
        if earliest >= watermark:
            return []
        fired: list[tuple[int, bytes]] = []
        self._earliest = _NEVER
        for due, key in self._scan(earliest):
            if due >= watermark or len(fired) == at_most:
                self._earliest = due
                break
            fired.append((due, key))
        for due, key in fired:
            self._table.delete(_encode(due) + key)
        return fired

    def reset(self) -> None:
        """Forget what is remembered: the rows were rolled back or restored."""
        self._earliest = None

    def _scan(self, since: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield timers in the order of their due times, from `since` on.

        Below the earliest lie only the tombstones of those that have fired, more with every epoch until RocksDB
        compacts them: a scan from the beginning would step over all of them.
        """
        for row, _ in self._table.scan(b"", None if since is None else _encode(since)):
            yield _DUE.unpack_from(row)[0] - _SIGN, row[_DUE.size :]
