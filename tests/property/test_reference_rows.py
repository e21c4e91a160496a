"""What is kept of an item's words is what was said of it, however they come: held to a plain list of all words.

The plain one reads and writes everything with each word; the real one, for a word newer than all before, one row.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain import reference
from stream_app.domain.ports import ComponentTables
from stream_app.domain.reference import References, Said, Taken
from stream_app.domain.rows import customer_tables
from stream_app.runs.in_memory import MemoryTable
from tests.property.examples import examples, search

KEPT, MOST = 10, 3
WORDS = st.lists(
    st.tuples(
        st.integers(0, 25),
        st.one_of(
            st.none(),
            st.dictionaries(st.sampled_from(("price", "stock")), st.integers(1, 3), max_size=2),
        ),
    ),
    max_size=25,
)


class Plain:
    """All that was said of one item: time -> (whether all before is gone, fields)."""

    def __init__(self) -> None:
        self.said: dict[int, tuple[bool, dict[str, Any]]] = {}

    def take(self, time: int, fields: dict[str, Any] | None) -> Taken:
        if self.said and time < max(self.said) - KEPT:
            return Taken.NOTHING
        known = self.said.get(time)
        new = (True, {}) if fields is None else (False, fields)
        if known is not None and fields is not None:
            new = (known[0], known[1] | fields)
        if new == known:
            return Taken.NOTHING
        self.said[time] = new
        *others, last = sorted(self.said)
        gone = [at for place, at in enumerate(others) if place < len(others) - MOST or at < last - KEPT]
        if len(gone) > 1:
            whole = False, self.merged(gone)
            for at in gone:
                del self.said[at]
            self.said[gone[-1]] = whole
        return Taken.NEWS if known is None else Taken.CORRECTION

    def merged(self, times: list[int]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for at in times:
            gone, fields = self.said[at]
            row = fields if gone else row | fields
        return row

    def row(self, time: int) -> dict[str, Any]:
        return self.merged([at for at in sorted(self.said) if at <= time])

    def changes(self, since: int) -> list[tuple[int, dict[str, Any], dict[str, Any]]]:
        return [(at, self.row(at - 1), self.row(at)) for at in sorted(self.said) if at >= since]


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch):
    monkeypatch.setattr(reference, "KEPT_MS", KEPT)
    monkeypatch.setattr(reference, "MAX_SAID", MOST)


def check(words: list[tuple[int, dict[str, Any] | None]]) -> None:
    """Say the words to both, and compare whatever can be asked."""
    tables = ComponentTables(**{spec.name: MemoryTable(spec) for spec in customer_tables()})
    real, plain = References(tables), Plain()
    real.take(Said("product", "A", 5, {"price": 9}))
    for time, fields in words:
        assert real.take(Said("product", "B", time, fields)) is plain.take(time, fields)
        for at in (-1, time - 1, time, time + 1, 30):
            assert real.row("product", "B", at) == plain.row(at)
            found = [(one.time, one.old, one.new) for one in real.changes("product", "B", at)]
            assert found == plain.changes(at)
    assert real.row("product", "A", 30) == {"price": 9}


@examples(2_000)
@given(WORDS)
def test_rows_and_changes_are_those_of_all_words_in_any_order(words):
    check(words)


@examples(1_000)
@given(WORDS.map(lambda words: sorted(words, key=lambda word: word[0])))
def test_rows_and_changes_are_those_of_all_words_in_order(words):
    check(words)


def test_a_word_newer_than_all_before_reads_as_much_after_many_as_after_few(monkeypatch):
    """Counted in rows, at the table."""
    monkeypatch.setattr(reference, "MAX_SAID", 100)
    monkeypatch.setattr(reference, "KEPT_MS", 10_000)
    seen = []

    class Counting(MemoryTable):
        def get(self, key):
            seen.append(key)
            return super().get(key)

        def scan(self, prefix, start=None):
            for row in super().scan(prefix, start):
                seen.append(row[0])
                yield row

    spec = next(spec for spec in customer_tables() if spec.name == "references")
    tables = {one.name: MemoryTable(one) for one in customer_tables()} | {"references": Counting(spec)}
    references = References(ComponentTables(**tables))
    for time in range(300):
        seen.clear()
        references.take(Said("product", "A", time, {"stock": time}))
        (change,) = references.changes("product", "A", time)
        assert change.new == {"stock": time}
        assert references.row("product", "A", time) == {"stock": time}
        assert len(seen) <= 9  # three of the last word, and each of the three oldest twice


PLANTS = {
    "the row before is forgotten": lambda head: head._replace(old={}),
    "rows are not counted": lambda head: head._replace(others=min(1, head.others)),
    "the first row is lost": lambda head: head._replace(first=head.second) if head.others > 1 else head,
    "nothing is too old": lambda head: head._replace(second=10**9),
}


@pytest.mark.parametrize("bug", PLANTS)
def test_a_planted_bug_is_found(bug, monkeypatch):
    put = References._put_head
    monkeypatch.setattr(
        References, "_put_head", lambda self, prefix, head: put(self, prefix, PLANTS[bug](head))
    )
    with pytest.raises(AssertionError):
        search(2_000)(given(WORDS)(check))()
