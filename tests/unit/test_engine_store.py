from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocksdict import Options, Rdict

from stream_app.engine.errors import FormatError
from stream_app.engine.store import MemoryRows, Rows, Store, TableSpec, identity, successor
from stream_app.engine.timers import TIMERS, Timers

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


def test_an_aborted_epoch_leaves_nothing_not_even_values_changed_in_place():
    spec = TableSpec("lists", b"l", bytes, bytearray)
    store = Store([spec], MemoryRows())
    table = store.table("lists")
    table.put(b"a", bytearray(b"1"))
    store.commit(store.changes(), 1)
    changed = table.get(b"a")
    changed += b"2"
    table.put(b"a", changed)
    store.abort()
    assert table.get(b"a") == bytearray(b"1")


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
