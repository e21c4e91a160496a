from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocksdict import Cache, Options, Rdict

from stream_app.engine.errors import FormatError
from stream_app.engine.store import MemoryRows, Rows, Store, TableSpec, identity, successor
from stream_app.engine.timers import TIMERS, Timers

if TYPE_CHECKING:
    from pathlib import Path

WORDS = TableSpec("words", b"w", identity, identity)
OTHER = TableSpec("other", b"x", identity, identity)
KEYS = st.binary(min_size=0, max_size=3)


def test_reads_see_this_epochs_own_writes_and_deletions():
    store = Store([WORDS], MemoryRows())
    table = store.table("words")
    table.put(b"a", b"1")
    assert table.get(b"a") == b"1"
    table.delete(b"a")
    assert table.get(b"a") is None
    assert list(table.scan(b"")) == []


@pytest.mark.parametrize("prepared", [False, True])
def test_an_aborted_epoch_leaves_nothing_not_even_values_changed_in_place(prepared):
    spec = TableSpec("lists", b"l", bytes, bytearray)
    store = Store([spec], MemoryRows())
    table = store.table("lists")
    table.put(b"a", bytearray(b"1"))
    store.commit(store.changes(), 1)
    changed = table.get(b"a")
    changed += b"2"
    table.put(b"a", changed)
    if prepared:
        store.prepare(store.changes())
    store.abort()
    assert table.get(b"a") == bytearray(b"1")


def test_a_row_that_is_put_many_times_in_an_epoch_is_encoded_and_written_once_as_it_stands_at_the_end():
    encoded = []

    def encode(value: bytes) -> bytes:
        encoded.append(value)
        return value

    store = Store([WORDS._replace(encode=encode)], MemoryRows())
    table = store.table("words")
    table.put(b"c", b"0")
    store.commit(store.changes(), 1)
    for value in (b"1", b"2", b"3"):
        table.put(b"a", value)
    table.put(b"b", b"1")
    table.delete(b"b")
    assert store.changes() == [(b"wa", b"3"), (b"wb", None)]
    assert encoded == [b"0", b"3"]


def test_a_table_without_rows_has_none_deleted_and_none_looked_for(monkeypatch):
    store = Store([WORDS], MemoryRows())
    table = store.table("words")
    table.put(b"a", b"1")
    store.commit(store.changes(), 1)
    table.delete(b"a")
    assert store.changes() == [(b"wa", None)]
    store.commit(store.changes(), 2)
    monkeypatch.setattr(store.rows, "scan", lambda *_: pytest.fail("there are no rows"))
    table.put(b"b", b"1")
    table.put(b"c", b"2")
    table.delete(b"b")
    assert list(table.scan(b"")) == [(b"c", b"2")]
    assert store.changes() == [(b"wc", b"2")]


def test_of_many_rows_those_are_seen_that_are_left():
    store = Store([WORDS], MemoryRows())
    table = store.table("words")
    for number in range(300):
        table.put(b"%03d" % number, b"x")
    store.commit(store.changes(), 1)
    for number in range(250):
        table.delete(b"%03d" % number)
    store.commit(store.changes(), 2)
    assert len([*table.scan(b"")]) == 50


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), max_size=20), st.integers(1, 70))
def test_however_many_rows_there_are_a_scan_sees_them_all(writes, factor):
    rows = MemoryRows()
    store = Store([WORDS], rows)
    table = store.table("words")
    held: dict[bytes, bytes] = {}
    for number, deleted, ends in writes:
        for key in (b"%d" % (number * factor + more) for more in range(2 * factor)):
            if deleted:
                table.delete(key)
                held.pop(key, None)
            else:
                table.put(key, b"x")
                held[key] = b"x"
        if ends:
            store.commit(store.changes(), 1)
            assert list(Store([WORDS], rows).table("words").scan(b"")) == sorted(held.items())
        assert list(table.scan(b"")) == sorted(held.items())


def test_a_row_that_was_read_or_written_lately_is_not_read_and_decoded_again():
    decoded = []

    def decode(raw: bytes) -> bytes:
        decoded.append(raw)
        return raw

    rows = MemoryRows()
    rows.write([(b"wa", b"1"), (b"wb", b"1")], 1)
    store = Store([WORDS._replace(decode=decode)], rows)
    table = store.table("words")
    table.put(b"b", b"2")
    for position in range(3):
        assert (table.get(b"a"), table.get(b"b"), table.get(b"none")) == (b"1", b"2", None)
        store.commit(store.changes(), position)
    assert decoded == [b"1"]


def test_a_table_that_is_not_cached_keeps_nothing_and_reads_the_same():
    rows = MemoryRows()
    rows.write([(b"wa", b"1"), (b"wb", b"1")], 1)
    store = Store([WORDS._replace(cached=False)], rows)
    table = store.table("words")
    table.put(b"b", b"2")
    table.put(b"c", b"3")
    for position in range(3):
        read = [table.get(key) for key in (b"a", b"b", b"c", b"none")]
        assert read == [b"1", b"2", b"3", None]
        store.commit(store.changes(), position)
        assert not table.cache
    table.put(b"a", b"4")
    store.abort()
    assert table.get(b"a") == b"1"


def test_a_cache_that_is_full_lets_go_of_what_came_first():
    store = Store([WORDS], MemoryRows(), cached=8)
    table = store.table("words")
    for number in range(12):
        table.put(b"%02d" % number, b"")
        store.commit(store.changes(), number)
    assert list(table.cache) == [b"%02d" % number for number in range(4, 12)]


@pytest.mark.parametrize("write", [True, False])
def test_the_cache_of_decoded_rows_is_bounded_at_each_commit_whether_they_were_read_or_written(write):
    rows = MemoryRows()
    rows.write([(b"w%d" % number, b"1") for number in range(100)], 1)
    store = Store([WORDS], rows, cached=10)
    table = store.table("words")
    for epoch in range(10):
        for number in range(10):
            key = b"%d" % (10 * epoch + number)
            if write:
                table.put(key, b"2")
            else:
                table.get(key)
        store.commit(store.changes(), epoch)
        assert len(table.cache) <= 10
    assert all(table.get(b"%d" % number) == (b"2" if write else b"1") for number in range(100))


def test_rows_survive_closing_and_reopening_with_their_changelog_position(tmp_path):
    rows = Rows(tmp_path / "s")
    store = Store([WORDS], rows)
    store.table("words").put(b"k", b"v")
    store.commit(store.changes(), 42)
    store.close()
    again = Rows(tmp_path / "s")
    assert again.changelog_position == 42
    assert Store([WORDS], again).table("words").get(b"k") == b"v"
    again.close()


def test_nothing_is_written_ahead_and_what_a_killed_process_leaves_is_of_the_position_that_it_names(tmp_path):
    rows = Rows(tmp_path / "s")
    rows.write([(b"wa", b"1")], 1)
    rows._db.flush()
    rows.write([(b"wa", b"2"), (b"wb", b"2")], 2)
    logs = list((tmp_path / "s").glob("*.log"))
    assert logs
    assert sum(log.stat().st_size for log in logs) == 0
    left = copied(tmp_path / "s", tmp_path / "killed")
    rows.close()
    again = Rows(left)
    assert (again.changelog_position, again.get(b"wa"), again.get(b"wb")) == (1, b"1", None)
    again.close()


def copied(folder: Path, to: Path) -> Path:
    """Copy a store's files as they are on disk now."""
    to.mkdir()
    for file in folder.iterdir():
        if file.name != "LOCK":
            (to / file.name).write_bytes(file.read_bytes())
    return to


def blocks(folder: Path) -> dict[str, str]:
    """Return the settings of blocks with which a store was opened last."""
    latest = max(folder.glob("OPTIONS-*"), key=lambda path: path.name)
    _, _, section = latest.read_text().partition('[TableOptions/BlockBasedTable "default"]')
    return dict(line.strip().split("=", 1) for line in section.splitlines() if "=" in line)


def test_a_store_that_is_opened_again_has_its_bloom_filter_and_its_cache_as_before(tmp_path):
    cache = Cache(3 << 20)
    rows = Rows(tmp_path / "s", cache)
    rows.write([(b"w%d" % number, random.randbytes(100)) for number in range(2_000)], 1)
    rows.close()
    first = blocks(tmp_path / "s")
    again = Rows(tmp_path / "s", cache)
    assert blocks(tmp_path / "s") == first
    assert first["filter_policy"].startswith("bloomfilter")
    assert first["cache_index_and_filter_blocks"] == "true"
    assert again._db.property_value("rocksdb.block-cache-capacity") == str(3 << 20)
    before = cache.get_usage()
    assert all(again.get(b"w%d" % number) for number in range(2_000))
    assert cache.get_usage() - before > 100 * 2_000
    again.close()


def test_one_block_cache_serves_all_stores_within_its_bound(tmp_path):
    capacity = 1 << 20
    cache = Cache(capacity)
    stores = [Rows(tmp_path / name, cache) for name in "abc"]
    for rows in stores:
        rows.write([(b"w%d" % number, random.randbytes(100)) for number in range(10_000)], 1)
        rows._db.flush()
        assert all(rows.get(b"w%d" % number) for number in range(10_000))
        assert capacity / 4 < cache.get_usage() <= capacity
    for rows in stores:
        rows.close()


def test_an_unknown_row_format_is_refused_with_a_sentence_that_says_what_to_do(tmp_path):
    Rows(tmp_path / "s").close()
    db = Rdict(str(tmp_path / "s"), Options(raw_mode=True))
    db[b"\x00format"] = b"99"
    db.close()
    with pytest.raises(FormatError, match="delete the folder and let the changelog rebuild it"):
        Rows(tmp_path / "s")


@settings(max_examples=40)
@given(st.lists(st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=2)), st.booleans())), KEYS, KEYS)
def test_a_store_behaves_like_a_sorted_dict_whatever_is_committed_when(
    tmp_path_factory, writes, prefix, start
):
    for rows in (MemoryRows(), Rows(tmp_path_factory.mktemp("store") / "s")):
        store = Store([WORDS, OTHER], rows, cached=3)
        table, model = store.table("words"), {}
        store.table("other").put(b"noise", b"noise")
        for position, (key, value, commit) in enumerate(writes):
            if value is None:
                table.delete(key)
                model.pop(key, None)
            else:
                table.put(key, value)
                model[key] = value
            if commit:
                store.commit(store.changes(), position)
        expected = sorted((k, v) for k, v in model.items() if k.startswith(prefix))
        assert list(table.scan(prefix)) == expected
        first = max(start, prefix)
        assert list(table.scan(prefix, start)) == [(k, v) for k, v in expected if k >= first]
        assert {key: table.get(key) for key, _, _ in writes} == {key: model.get(key) for key, _, _ in writes}
        store.close()


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_the_successor_of_a_prefix_lies_right_above_all_that_begins_with_it(prefix, key):
    end = successor(prefix)
    assert key.startswith(prefix) == (key >= prefix and (end is None or key < end))


@given(
    st.lists(st.tuples(st.integers(-(10**6), 10**6), st.binary(min_size=1, max_size=2))),
    st.integers(-(10**6), 10**6),
)
def test_timers_fire_in_order_of_time_once_the_watermark_is_above_them_and_never_again(wanted, watermark):
    store = Store([TIMERS], MemoryRows())
    timers = Timers(store.table("timers"))
    for due, key in wanted:
        timers.set(due, key)
    fired = []
    while batch := timers.due(watermark, at_most=2):
        fired += batch
        store.commit(store.changes(), 0)
    assert fired == sorted(timer for timer in set(wanted) if timer[0] < watermark)
    later = min((due for due, _ in wanted if due >= watermark), default=None)
    assert timers.earliest == later or later is None


def test_a_cancelled_timer_does_not_fire():
    timers = Timers(Store([TIMERS], MemoryRows()).table("timers"))
    timers.set(10, b"a")
    timers.set(20, b"b")
    timers.cancel(10, b"a")
    assert timers.due(100, 10) == [(20, b"b")]


def test_a_scan_ends_where_it_must_whatever_is_scanned_meanwhile(tmp_path: Path):
    rows = Rows(tmp_path / "rows")
    keys = [b"w%02d-%02d" % (prefix, number) for prefix in range(40) for number in range(5)]
    rows.write([(key, b"") for key in keys], 1)
    # RocksDB reads the bound where whoever asked has it: memory that another scan's may get once it is let go of.
    scans = {prefix: rows.scan(b"w%02d" % prefix, b"w%02d" % (prefix + 1)) for prefix in range(39)}
    found: dict[int, list[bytes]] = {prefix: [] for prefix in scans}
    for number in range(6):
        for prefix, scan in scans.items():
            found[prefix] += [key for key, _ in [next(scan, (b"", b""))] if key]
            list(rows.scan(b"w%02d" % number, successor(b"w%02d" % (39 - number))))
    expected = {prefix: [b"w%02d-%02d" % (prefix, number) for number in range(5)] for prefix in scans}
    assert found == expected
    rows.close()


def counting_scans(monkeypatch: pytest.MonkeyPatch) -> list[Timers]:
    """Return a list that grows with each scan of timers."""
    scans: list[Timers] = []
    scan = Timers._scan

    def counted(self: Timers, *since: int) -> Any:
        scans.append(self)
        return scan(self, *since)

    monkeypatch.setattr(Timers, "_scan", counted)
    return scans


def test_asking_for_due_timers_scans_them_only_when_there_are_any(monkeypatch):
    scans = counting_scans(monkeypatch)
    timers = Timers(Store([TIMERS], MemoryRows()).table("timers"))
    timers.set(100, b"a")
    assert timers.due(50, 10) == []
    del scans[:]
    timers.set(90, b"b")
    timers.set(200, b"c")
    for watermark in range(91):
        assert timers.due(watermark, 10) == []
    assert scans == []
    assert timers.due(101, 10) == [(90, b"b"), (100, b"a")]
    del scans[:]
    assert timers.due(200, 10) == []
    assert scans == []


def test_whoever_looks_for_due_timers_begins_behind_those_that_have_fired(monkeypatch):
    store = Store([TIMERS], MemoryRows())
    timers = Timers(store.table("timers"))
    starts: list[bytes | None] = []
    scan = store.rows.scan

    def noted(start: bytes, end: bytes | None) -> Any:
        starts.append(start)
        return scan(start, end)

    monkeypatch.setattr(store.rows, "scan", noted)
    for due in (10, 20, 30, 25):
        timers.set(due, b"a")
        store.commit(store.changes(), 1)
    fired = []
    for watermark in (11, 21, 26, 31, 40):
        del starts[:]
        fired += [due for due, _ in timers.due(watermark, 10)]
        store.commit(store.changes(), 1)
        assert all(start >= TIMERS.prefix + struct.pack(">Q", fired[-1] + (1 << 63)) for start in starts[-1:])
    assert fired == [10, 20, 25, 30]


def test_the_earliest_timer_is_looked_up_anew_after_an_epoch_that_was_rolled_back():
    store = Store([TIMERS], MemoryRows())
    timers = Timers(store.table("timers"))
    timers.set(100, b"a")
    store.commit(store.changes(), 1)
    assert timers.due(101, 10) == [(100, b"a")]
    store.abort()
    timers.reset()
    assert timers.earliest == 100
    assert timers.due(101, 10) == [(100, b"a")]
