"""The numbers are what an offline computation finds in the same entries, whatever has happened on the way."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.numbers import (
    BY_NAME,
    MODELS,
    Cell,
    Spend,
    attribution,
    changed,
    messages,
    sends,
    spent,
    visits,
)
from stream_app.domain.profile import chosen, orders
from stream_app.domain.profile import fold as profile_of
from tests.benchmarks.numbers_micro import lives
from tests.property.examples import examples
from tests.property.numbers_oracle import expected
from tests.property.numbers_world import DAY, Customer, World, fold, life, parts

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = st.integers(0, 2**32)


def in_order(entries: list[Any]) -> dict[Any, int]:
    """Return what a customer adds whose entries come in order."""
    customer, sums = Customer(), Counter()
    for entry in entries:
        sums.update(fold(customer, entry))
    return {cell: amount for cell, amount in sums.items() if amount}


def events(entries: list[Any]) -> list[Any]:
    return [entry for entry in entries if hasattr(entry, "event_id")]


@examples(600)
@given(seed=SEEDS)
def test_a_life_in_order_adds_what_the_offline_computation_finds(seed: int) -> None:
    entries = life(random.Random(seed), 0)
    assert in_order(entries) == expected({"a": entries})


@examples(300)
@given(seed=SEEDS, every=st.integers(1, 8), turn=st.integers(1, 8))
def test_in_any_order_the_sums_are_right_after_each_entry(seed: int, every: int, turn: int) -> None:
    draw = random.Random(seed)
    entries, world = life(draw, 0, 16), World(every, turn)
    draw.shuffle(entries)
    for place, entry in enumerate(entries):
        world.arrive("a", entry)
        assert world.cells == expected({"a": entries[: place + 1]})


@examples(300)
@given(seed=SEEDS)
def test_merges_splits_and_erasures_leave_the_sums_as_if_it_had_always_been_so(seed: int) -> None:
    draw, world = random.Random(seed), World()
    for number, name in enumerate("ab"):
        entries = life(draw, number, 14)
        if draw.random() < 0.5:
            draw.shuffle(entries)
        world.arrive(name, *entries)
    for _ in range(draw.randint(1, 5)):
        one, other = draw.sample(sorted({*world.customers, "c"} - {"c"}), 2)
        places = list(world.customers[one].places)
        what = draw.choice(("merge", "split", "erase", "arrive"))
        if what == "merge":
            world.move(one, other, places)
        elif what == "split":
            world.move(one, other, [place for place in places if draw.random() < 0.3])
        elif what == "erase" and places:
            world.erase(one, draw.choice(places))
        else:
            world.arrive(one, *life(draw, draw.randrange(10, 10**9), 3))
        assert world.cells == expected(world.entries())


@examples(100)
@given(seed=SEEDS)
def test_a_merge_that_is_undone_leaves_no_trace(seed: int) -> None:
    draw, world = random.Random(seed), World()
    for number, name in enumerate("ab"):
        world.arrive(name, *life(draw, number, 14))
    before, theirs = world.cells, list(world.customers["b"].places)
    world.move("b", "a", theirs)
    world.move("a", "b", theirs)
    assert world.cells == before
    for name in "ab":
        world.erase(name, (1 << 60, ""))
    assert world.cells == {}
    assert not world.rows.rows


@examples(200)
@given(seed=SEEDS)
def test_money_is_split_without_a_rest_and_is_what_the_profile_says(seed: int) -> None:
    entries = life(random.Random(seed), 0)
    found, money = in_order(entries), profile_of(events(entries)).orders.earned
    net = {code: one.revenue - one.refunded for code, one in money.items()}
    for name in MODELS:
        split = Counter[str]()
        for cell, amount in found.items():
            if cell.number == "attributed_revenue" and cell.dimensions[0] == name:
                split[cell.dimensions[3]] += amount
        assert {code: amount for code, amount in split.items() if amount} == {
            code: amount for code, amount in net.items() if amount
        }
    worth = Counter[str]()
    for cell, amount in found.items():
        if cell.number == "customer_value":
            worth[cell.dimensions[1]] += amount
    assert +worth - -worth == +Counter(net) - -Counter(net)
    placed = sum(amount for cell, amount in found.items() if cell.number == "orders")
    assert placed == profile_of(events(entries)).orders.count


@examples(200)
@given(seed=SEEDS)
def test_what_an_entry_is_said_not_to_change_it_does_not_change(seed: int) -> None:
    customer = Customer()
    for entry in life(random.Random(seed), 0):
        before = parts(customer.state)
        said = changed(entry, fold(customer, entry))
        assert all(
            told for told, one, other in zip(said, before, parts(customer.state), strict=True) if one != other
        )


@examples(50)
@given(
    told=st.lists(
        st.builds(
            Spend, st.integers(0, 1), st.sampled_from(("social", "email")), st.just("spring"),
            st.sampled_from(("EUR", "USD")), st.integers(0, 3),
        )
    )
)  # fmt: skip
def test_spend_is_what_was_said_last_of_each_day_channel_campaign_and_currency(told: list[Spend]) -> None:
    known: dict[Any, Spend] = {}
    sums = Counter[Cell]()
    for one in told:
        key = (one.day, one.channel, one.campaign, one.currency)
        sums.update(spent(known.get(key), one))
        known[key] = one
    assert {cell: amount for cell, amount in sums.items() if amount} == expected({}, known.values())


@examples(200)
@given(seed=SEEDS)
def test_every_cell_is_of_a_number_in_the_catalogue_and_has_its_dimensions(seed: int) -> None:
    for cell in in_order(life(random.Random(seed), 0)):
        assert len(cell.dimensions) == len(BY_NAME[cell.number].dimensions)
        assert all(type(value) is str for value in cell.dimensions)


@pytest.fixture
def few_orders() -> Iterator[None]:
    """Have the profile know so few orders that a life passes the bound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "MAX_ORDERS", 2)
        chosen.take_bounds()
        yield
    chosen.take_bounds()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the numbers' own bounds so narrow that a few entries pass them."""
    monkeypatch.setattr(visits, "MAX_TOUCHES", 2)
    monkeypatch.setattr(messages, "MAX_CLICKED", 1)
    monkeypatch.setattr(sends, "MAX_SENDS", 1)


@pytest.mark.usefixtures("few_orders", "narrow")
@examples(200)
@given(seed=SEEDS)
def test_beyond_all_bounds_any_order_gives_the_same_sums(seed: int) -> None:
    draw = random.Random(seed)
    entries, world = life(draw, 0), World()
    shuffled = draw.sample(entries, len(entries))
    world.arrive("a", *shuffled)
    assert world.cells == in_order(entries)


@pytest.mark.usefixtures("few_orders")
@examples(300)
@given(seed=SEEDS)
def test_an_order_that_is_no_longer_known_is_another_one_when_it_is_heard_of_again(seed: int) -> None:
    """But for triggers: one keeps an order that is forgotten."""
    entries = events(life(random.Random(seed), 0))
    assert in_order(entries) == expected({"a": entries})


def test_simulated_shoppers_come_to_what_the_offline_computation_finds() -> None:
    shoppers = {str(number): events for number, events in enumerate(lives(40, 10))}
    sums = Counter()
    for events in shoppers.values():
        sums.update(in_order(events))
    found = {cell: amount for cell, amount in sums.items() if amount}
    assert found == expected(shoppers)
    credited = {cell.dimensions[1] for cell in found if cell.dimensions[:1] == ("linear",)}
    assert {"email", "social", "store", "web", "app"} <= credited


def test_what_is_drawn_is_worth_drawing() -> None:
    """Each number has something in it, most lives have an order, and folds are made again."""
    draw, sums, world = random.Random(1), Counter(), World()
    for number in range(300):
        entries = life(draw, number)
        sums.update(cell.number for cell in in_order(entries))
        world.arrive(str(number), *draw.sample(entries, len(entries)))
    assert sums.keys() == BY_NAME.keys() - {"spend"}
    assert min(sums.values()) > 20, sums
    assert world.refolds > 1000
    assert attribution.LOOKBACK_MS == 30 * DAY
