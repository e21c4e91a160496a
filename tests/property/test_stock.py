"""Which shop has what, in any order of arrival: held to a plain list of all that was said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain import stock
from stream_app.domain.ports import ComponentTables
from stream_app.domain.reference import References, Said, Taken
from stream_app.domain.rows import customer_tables
from stream_app.domain.stock import Stock
from stream_app.runs.in_memory import MemoryTable
from tests.property.examples import examples, search

SHOPS = ("s1", "s2", "s3")
QUANTITIES = st.dictionaries(st.sampled_from(SHOPS), st.sampled_from((0, 0, 1, 57)), min_size=1)
WORDS = st.lists(st.tuples(st.integers(0, 40), st.one_of(st.none(), *[QUANTITIES] * 6)), max_size=40)
LATEST = 50


class Plain:
    """All that was said, by time."""

    def __init__(self) -> None:
        self.said: dict[int, dict[str, float]] = {}

    def take(self, time: int, quantities: dict[str, float] | None) -> None:
        if quantities is None:
            self.said[time] = dict.fromkeys(SHOPS, 0)
        else:
            self.said.setdefault(time, {}).update(quantities)

    def has(self, shop: str, time: int) -> bool:
        said = [self.said[at][shop] for at in sorted(self.said) if at <= time and shop in self.said[at]]
        return bool(said and said[-1] > 0)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(stock, "EVERY", 2)
    monkeypatch.setattr(stock, "FEW", 1)


def fresh() -> Stock:
    spec = next(spec for spec in customer_tables() if spec.name == "references")
    return Stock(MemoryTable(spec))


def played(words: list[tuple[int, dict[str, Any] | None]]) -> tuple[Stock, Plain]:
    real, plain = fresh(), Plain()
    for time, quantities in words:
        real.take("A", time, quantities)
        plain.take(time, quantities)
    return real, plain


def check(words: list[tuple[int, dict[str, Any] | None]], settled: int, since: int) -> None:
    """Play the words; compare from a time on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stock, "SETTLED_MS", settled)
        real, plain = played(words)
        for time in range(since, LATEST + 1):
            for shop in SHOPS:
                assert real.having(shop, ["A", "B"], time) == ({"A": True} if plain.has(shop, time) else {})


@examples(2_000)
@given(WORDS)
def test_what_a_shop_has_now_is_what_it_said_last_however_late_the_words_come(words):
    check(words, 0, LATEST)


@examples(2_000)
@given(WORDS)
def test_what_a_shop_had_is_what_was_said_in_any_order_within_the_time_of_settling(words):
    check(words, 100, 0)


@examples(2_000)
@given(WORDS.map(lambda words: sorted(words, key=lambda word: word[0])))
def test_what_a_shop_had_is_what_was_said_in_order_though_repetitions_are_dropped(words):
    check(words, 0, 0)


@examples(1_000)
@given(WORDS.map(lambda words: sorted(words, key=lambda word: word[0])), st.integers(1, 4))
def test_what_is_too_old_or_too_much_is_one_word_and_what_holds_since_stays(words, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stock, "MAX_SAID", most)
        patch.setattr(stock, "KEPT_MS", 10)
        patch.setattr(stock, "SETTLED_MS", 0)
        real, plain = played(words)
        kept = stock.read(real._rows.get(b"\0\x05stock\0\x01A"))
        assert len(kept) <= most + 1
        for time in range(kept[0].time if kept else LATEST, LATEST):
            for shop in SHOPS:
                assert bool(real.having(shop, ["A"], time)) is plain.has(shop, time)


@examples(500)
@given(WORDS)
def test_a_row_reads_as_it_was_written_and_shops_are_found_again(words):
    real, _ = played(words)
    before = [real.having(shop, ["A"], LATEST) for shop in SHOPS]
    real.reset()
    assert [real.having(shop, ["A"], LATEST) for shop in SHOPS] == before


def test_repeated_words_of_three_hundred_shops_stay_a_small_row():
    """One piece after the other is sold for two days, ten times an hour."""
    real, encode = fresh(), next(s for s in customer_tables() if s.name == "references").encode
    hour = 3_600_000
    real.take("A", 0, {f"s{shop}": 1_000 for shop in range(300)})
    for tenth in range(480):
        real.take("A", tenth * hour // 10 + 1, {f"s{tenth % 300}": 1_000 - tenth})
    row = real._rows.get(b"\0\x05stock\0\x01A")
    assert len(stock.read(row)) <= stock.MAX_SAID + 1
    assert len(encode(row)) < 4_000
    assert all(real.having(f"s{shop}", ["A"], 48 * hour) for shop in range(300))


def test_shops_beyond_the_limit_are_not_kept(monkeypatch):
    monkeypatch.setattr(stock, "MAX_SHOPS", 1)
    real = fresh()
    real.take("A", 0, {"s1": 1, "s2": 1})
    assert [real.having(shop, ["A"], 1) for shop in ("s1", "s2")] == [{"A": True}, {}]


def test_stock_changes_nothing_that_rules_open_on():
    tables = ComponentTables(**{spec.name: MemoryTable(spec) for spec in customer_tables()})
    references = References(tables)
    assert references.take(Said("stock", "A", 5, {"stores": {"s1": 1}})) is Taken.NOTHING
    assert references.changes("stock", "A", 0) == []
    assert references.having("s1", ["A"], 5) == {"A": True}
    assert references.having("s1", ["A"], 4) == {}


def planted(patch: pytest.MonkeyPatch, bug: str) -> None:
    real = stock.without_repetitions
    patches = {
        "the last of a row of repetitions is dropped": (
            stock,
            "without_repetitions",
            lambda words, until: [
                one
                for at, one in enumerate(words)
                if at == 0
                or one.time >= until
                or one.shops & ~words[at - 1].shops
                or one.has != words[at - 1].has
            ],
        ),
        "what isn't settled is dropped": (
            stock,
            "without_repetitions",
            lambda words, _: real(words, words[-1].time + 1),
        ),
        "the old word counts": (
            stock,
            "after",
            lambda old, new: stock.Word(new.time, old.shops | new.shops, new.has & ~old.shops | old.has),
        ),
        "a word about some is one about all": (
            stock,
            "after",
            lambda old, new: stock.Word(new.time, old.shops | new.shops, new.has),
        ),
    }
    patch.setattr(*patches[bug])


@pytest.mark.parametrize(
    ("bug", "settled", "since"),
    [
        ("the last of a row of repetitions is dropped", 0, LATEST),
        ("what isn't settled is dropped", 100, 0),
        ("the old word counts", 100, 0),
        ("a word about some is one about all", 100, 0),
    ],
)
def test_a_planted_bug_is_found(bug, settled, since, monkeypatch):
    planted(monkeypatch, bug)
    with pytest.raises(AssertionError):
        search(2_000)(given(WORDS)(lambda words: check(words, settled, since)))()
