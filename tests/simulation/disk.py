"""Local rows that outlive a worker as RocksDB's do: without a write-ahead log, up to some flush.

Rules:
- A write is a batch, with the changelog position it belongs to: all of it is there, or nothing.
- Batches lie in memory until a flush. A process that ends by itself flushes; one that is killed loses a suffix of the
  batches since the last flush, of any length: memory is flushed in order, at moments that nobody chooses.
- A disk may be lost, and a worker may come back to what it had much earlier.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.simulation.process import Process

Rows = dict[bytes, bytes]
Changes = list[tuple[bytes, bytes | None]]


class Files:
    """One store's folder: what has been flushed, and what may still be lost."""

    def __init__(self) -> None:
        self.flushed: Rows = {}
        self.position = 0
        self.written: list[tuple[Changes, int]] = []
        self.opened_by: Process | None = None

    def flush(self, count: int) -> None:
        """Make the first so many batches lasting."""
        for changes, position in self.written[:count]:
            apply(self.flushed, changes)
            self.position = position
        del self.written[:count]

    def crash(self, kept: int) -> None:
        """Lose what is in memory but for the first so many batches."""
        self.flush(kept)
        self.written.clear()
        self.opened_by = None

    def copy(self) -> Files:
        """Return what is there now, as a copy made at another time."""
        copied = Files()
        copied.flushed = dict(self.flushed)
        copied.position = self.position
        return copied


Disk = dict[str, Files]
"""A worker's folder: the stores' names, and their files."""


def apply(rows: Rows, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Write changes (None deletes)."""
    for key, value in changes:
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value


class SimulatedRows:
    """`engine.store.Rows` over simulated files. The block cache's place is taken by whose process it is."""

    age = 0.0

    def __init__(self, folder: Path, cache: Any = None) -> None:
        self.process: Process = cache
        self.folder = folder
        self.files = self.process.disk.setdefault(folder.name, Files())
        holder = self.files.opened_by
        # RocksDB's own lock, which ends with the process.
        assert holder is None or holder is not self.process, f"{folder.name} is open twice"
        self.files.opened_by = self.process
        self._rows: Rows = dict(self.files.flushed)
        self._position = self.files.position
        for changes, position in self.files.written:
            apply(self._rows, changes)
            self._position = position
        self._keys = sorted(self._rows)
        self.get = self._rows.get

    def scan(self, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        keys, rows = self._keys, self._rows
        stop = len(keys) if end is None else bisect_left(keys, end)
        for key in keys[bisect_left(keys, start) : stop]:
            yield key, rows[key]

    def prepare(self, rows: Iterable[tuple[bytes, bytes | None]]) -> Changes:
        return list(rows)

    def land(self, batch: Changes, changelog_position: int) -> None:
        self.process.point("before_rows")
        rows, keys = self._rows, self._keys
        for key, value in batch:
            if value is None:
                if rows.pop(key, None) is not None:
                    del keys[bisect_left(keys, key)]
            else:
                if key not in rows:
                    insort(keys, key)
                rows[key] = value
        self._position = changelog_position
        self.files.written.append((batch, changelog_position))
        self.process.point("after_rows")

    def write(self, rows: Iterable[tuple[bytes, bytes | None]], changelog_position: int) -> None:
        self.land(self.prepare(rows), changelog_position)

    @property
    def changelog_position(self) -> int:
        return self._position

    @property
    def rows(self) -> Rows:
        """All that is there."""
        return self._rows

    def close(self) -> None:
        if not self.process.dead and self.files.opened_by is self.process:
            self.files.flush(len(self.files.written))
            self.files.opened_by = None
