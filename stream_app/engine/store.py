"""The rows of one task: this epoch's writes, over a cache of decoded rows, over RocksDB.

Rules:
- Reads see this epoch's own writes. Nothing reaches RocksDB before the epoch's transaction is committed; then
  one `WriteBatch` takes the changed rows and the changelog position, so that both are always of one epoch.
- A changed row is encoded once an epoch, however often it was put (`changes`).
- No write-ahead log: the changelog topic is the log, and the stored changelog position tells where to resume.
- Values are shared with the cache and are changed in place by their owners, so an aborted epoch empties the
  cache: what is in memory may be half-changed.
"""

from __future__ import annotations

import shutil
import time
from bisect import bisect_left, insort
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from stream_app.engine.chosen import Layers
from stream_app.engine.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

V = TypeVar("V")

ROW_FORMAT = b"1"
"""Version of the rows' format. A folder with another one is refused, not misread."""

_FORMAT_KEY = b"\x00format"
_CHANGELOG_KEY = b"\x00changelog"
_MIB = 1024 * 1024

CACHED = 20_000
"""Decoded rows that a table keeps from epoch to epoch, unless it is told otherwise."""
_FEW = 200
"""Most committed rows of a table that are known by their keys."""
_SORT_AGAIN = 200
"""With more new keys than this since the last scan, sorting all of them is cheaper than inserting each."""


class TableSpec(NamedTuple):
    """A named table: one prefix byte, and how its values become bytes and back.

    `cached`: whether rows are worth keeping in memory when their epoch is over. A row that is written once, and read by
    scans if at all, is not: to put it into the cache and take it out again costs as much as to encode it.
    """

    name: str
    prefix: bytes
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    cached: bool = True


def identity(raw: bytes) -> bytes:
    """Codec of tables whose values are bytes already."""
    return raw


def successor(prefix: bytes) -> bytes | None:
    """Return the smallest key above every key that begins with `prefix`; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


class Rows:
    """RocksDB for one task. Keys carry their table's prefix; values are encoded rows."""

    def __init__(self, folder: Path, cache: Cache | None = None, memtable_bytes: int = 16 * _MIB) -> None:
        """Open or make the folder.

        Raises:
            FormatError: the folder holds rows of a format that this version does not know.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        blocks = BlockBasedOptions()
        blocks.set_bloom_filter(10, block_based=False)
        blocks.set_cache_index_and_filter_blocks(True)
        # In parts: a whole filter is half a megabyte, and where they don't all fit the cache each look at an absent key
        # reads one anew. 16 million rows, 128 MiB of cache: 22 us with whole filters, 6 in parts; a row that is there
        # 37 us and 20. Where all fits, parts cost 1 to 3 us more: 1.3 to 2.7 us, and 3 to 4.5.
        blocks.set_index_type(BlockBasedIndexType.two_level_index_search())
        blocks.set_partition_filters(True)
        blocks.set_metadata_block_size(4096)
        blocks.set_pin_top_level_index_and_filter(True)
        if cache is not None:
            blocks.set_block_cache(cache)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_size(memtable_bytes)
        options.set_max_write_buffer_number(3)
        # Most reads are of what is new (has this event been seen?), and the newest rows are in memory.
        options.set_memtable_prefix_bloom_ratio(0.1)
        options.set_memtable_whole_key_filtering(True)
        options.set_keep_log_file_num(2)
        options.set_max_open_files(256)
        # Without column_families the options of the default one are silently dropped on reopening.
        self._db = Rdict(str(folder), options, column_families={"default": options})
        self.get: Callable[[bytes], bytes | None] = self._db.get
        """Returns the encoded row of a whole key; RocksDB's own, for most reads end there."""
        self._write = WriteOptions()
        self._write.disable_wal = True  # type: ignore[method-assign,assignment]  # the stub is wrong: a property
        self.folder = folder
        self._check_format()

    def _check_format(self) -> None:
        found = self._db.get(_FORMAT_KEY)
        if found is None:
            self._db.put(_FORMAT_KEY, ROW_FORMAT, write_opt=self._write)
        elif found != ROW_FORMAT:
            self._db.close()
            msg = (
                f"the state in {self.folder} has row format {found!r}, this version reads {ROW_FORMAT!r}: "
                "start the version that wrote it, or delete the folder and let the changelog rebuild it"
            )
            raise FormatError(msg)

    def scan(self, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows from `start` on, ascending, to `end` (exclusive).

        A generator, for `options` must live as long as it is read from: RocksDB looks at the bound there.
        """
        options = ReadOptions()
        if end is not None:
            options.set_iterate_upper_bound(end)
        cursor = self._db.iter(options)
        cursor.seek(start)
        while cursor.valid():
            yield cursor.key(), cursor.value()
            cursor.next()
        cursor.status()  # raises what ended it, if that was not the last row

    def prepare(self, rows: Iterable[tuple[bytes, bytes | None]]) -> WriteBatch:
        """Return a batch that will write rows (None deletes); nothing is written yet."""
        batch = WriteBatch(raw_mode=True)
        for key, value in rows:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        return batch

    def land(self, batch: WriteBatch, changelog_position: int) -> None:
        """Write what `prepare` made and the changelog position it belongs to, at once."""
        batch.put(_CHANGELOG_KEY, b"%d %d" % (changelog_position, time.time()))
        self._db.write(batch, write_opt=self._write)

    def write(self, rows: Iterable[tuple[bytes, bytes | None]], changelog_position: int) -> None:
        """Write rows and the changelog position they belong to, at once."""
        self.land(self.prepare(rows), changelog_position)

    @property
    def changelog_position(self) -> int:
        """The changelog offset up to which (exclusive) these rows are complete."""
        return int((self._db.get(_CHANGELOG_KEY) or b"0").split()[0])

    @property
    def age(self) -> float:
        """Seconds since the last write, by this machine's clock; 0 for a new folder."""
        written = self._db.get(_CHANGELOG_KEY)
        return 0.0 if written is None else max(0.0, time.time() - float(written.split()[1]))

    @property
    def size(self) -> int:
        """Bytes on disk and in memtables, roughly."""
        names = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        return sum(self._db.property_int_value(name) or 0 for name in names)

    def close(self) -> None:
        """Flush what is in memory and close."""
        self._db.flush()
        self._db.close()


class MemoryRows:
    """Rows of a task that has no tables: only its position, small enough to be read anew at every start."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self.changelog_position = 0

    def get(self, key: bytes) -> bytes | None:
        """Return the encoded row of a whole key."""
        return self._rows.get(key)

    def scan(self, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows from `start` on, ascending, to `end` (exclusive)."""
        for key in sorted(self._rows):
            if key >= start and (end is None or key < end):
                yield key, self._rows[key]

    def prepare(self, rows: Iterable[tuple[bytes, bytes | None]]) -> Collection[tuple[bytes, bytes | None]]:
        """Return what will be written (None deletes)."""
        return list(rows)

    def land(self, batch: Collection[tuple[bytes, bytes | None]], changelog_position: int) -> None:
        """Write what `prepare` made and the changelog position it belongs to."""
        for key, value in batch:
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value
        self.changelog_position = changelog_position

    def write(self, rows: Iterable[tuple[bytes, bytes | None]], changelog_position: int) -> None:
        """Write rows and the changelog position they belong to."""
        self.land(self.prepare(rows), changelog_position)

    @property
    def size(self) -> int:
        """Bytes held, roughly."""
        return sum(len(key) + len(value) for key, value in self._rows.items())

    def close(self) -> None:
        """Forget the rows."""
        self._rows.clear()


class Table(Layers[V]):
    """One named table of a store (see `stream_app.domain.ports.Table` for its users' side)."""

    def __init__(self, spec: TableSpec, rows: Rows | MemoryRows, room: int) -> None:
        super().__init__(spec, rows, room)
        self._rows = rows
        self._sorted: list[bytes] = []
        self._few: set[bytes] | None = None
        """The keys of all committed rows, counted from an empty table on as long as they are few; None: not known.

        Tables of what is under way are empty between epochs, nearly always. Known to be, they are scanned in 1 us
        instead of 13, and nothing has to be deleted from them."""
        if next(iter(rows.scan(self.prefix, successor(self.prefix))), None) is None:
            self._few = set()

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, V]]:
        """Yield the rows whose key begins with `prefix`, ascending, from `start` (a whole key) on if given."""
        first = prefix if start is None or start < prefix else start
        mine = self.prefix
        overlay, decode = self.overlay, self.spec.decode
        fresh = self._overlay_from(first, successor(prefix))
        position = 0
        committed = () if self.vacant else self._rows.scan(mine + first, successor(mine + prefix))
        for raw_key, raw in committed:
            key = raw_key[len(mine) :]
            while position < len(fresh) and fresh[position] < key:
                value = overlay[fresh[position]]
                if value is not None:
                    yield fresh[position], value
                position += 1
            if position < len(fresh) and fresh[position] == key:
                continue  # the overlay has a newer row, which comes next round
            yield key, decode(raw)
        for key in fresh[position:]:
            value = overlay[key]
            if value is not None:
                yield key, value

    def _overlay_from(self, first: bytes, end: bytes | None) -> list[bytes]:
        """Return this epoch's keys in a range, sorted.

        The sorted list is brought up to date by a scan, not by a write: most keys are never scanned. A dict
        keeps its order, so the keys that it has more of than the list are the last ones.
        """
        overlay, ordered = self.overlay, self._sorted
        missing = len(overlay) - len(ordered)
        if missing > _SORT_AGAIN:
            ordered = self._sorted = sorted(overlay)
        elif missing:
            for key in islice(reversed(overlay), missing):
                insort(ordered, key)
        stop = len(ordered) if end is None else bisect_left(ordered, end)
        return ordered[bisect_left(ordered, first) : stop]

    @property
    def vacant(self) -> bool:
        """Whether it is certain that no row is committed."""
        return self._few is not None and not self._few

    def _count(self, few: set[bytes]) -> set[bytes] | None:
        """Return the committed keys, now that this epoch is; None: they are many."""
        for key, value in self.overlay.items():
            if value is None:
                few.discard(key)
            else:
                few.add(key)
                if len(few) > _FEW:
                    return None
        return few

    def prepared(self) -> None:
        """Take this epoch's writes into the cache, and keep that within its bound; should it be aborted, all goes."""
        if self.room:
            self.cache.update(self.overlay)
            excess = len(self.cache) - self.room
            if excess > 0:
                for key in list(islice(self.cache, excess + self.room // 8)):
                    del self.cache[key]

    def committed(self) -> None:
        """Make this epoch's writes, which are prepared, the truth."""
        if self._few is not None:
            self._few = self._count(self._few)
        self.overlay.clear()
        self._sorted.clear()

    def aborted(self) -> None:
        """Forget this epoch's writes, and every value that they may have changed in place."""
        self.overlay.clear()
        self._sorted.clear()
        self.cache.clear()


class Store:
    """All tables of one task, over one RocksDB."""

    def __init__(self, specs: Iterable[TableSpec], rows: Rows | MemoryRows, cached: int = CACHED) -> None:
        self.rows = rows
        self.tables: dict[str, Table[Any]] = {spec.name: Table(spec, rows, cached) for spec in specs}
        self._all = tuple(self.tables.values())

    def table(self, name: str) -> Table[Any]:
        """Return a table by its name."""
        return self.tables[name]

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Return this epoch's writes of all tables, encoded, under whole keys."""
        changes: list[tuple[bytes, bytes | None]] = []
        for table in self._all:
            if table.vacant:
                changes.extend(change for change in table.changes() if change[1] is not None)
            elif table.overlay:
                changes.extend(table.changes())
        return changes

    @property
    def dirty(self) -> bool:
        """Whether this epoch wrote anything."""
        return any(table.overlay for table in self._all)

    def prepare(self, changes: list[tuple[bytes, bytes | None]]) -> Any:
        """Make ready for `land` what this epoch has changed: while the broker is busy, that costs no time.

        Nothing is read or written between the two, and what isn't landed is aborted.
        """
        for table in self._all:
            table.prepared()
        return self.rows.prepare(changes)

    def land(self, prepared: Any, changelog_position: int) -> None:
        """Write what the committed transaction made true."""
        self.rows.land(prepared, changelog_position)
        for table in self._all:
            table.committed()

    def commit(self, changes: list[tuple[bytes, bytes | None]], changelog_position: int) -> None:
        """Prepare and land."""
        self.land(self.prepare(changes), changelog_position)

    def abort(self) -> None:
        """Forget this epoch."""
        for table in self._all:
            table.aborted()

    def close(self) -> None:
        """Close the files."""
        self.rows.close()


def wipe(folder: Path) -> None:
    """Delete a task's local state; its changelog rebuilds it."""
    shutil.rmtree(folder, ignore_errors=True)
