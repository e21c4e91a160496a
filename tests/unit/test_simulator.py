"""The simulated shoppers: repeatable, ordered, plausible, and the truth about them."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest

from connectors.simulators import DEFAULT_START, QUIET, Components, Habits, IdentityNoise, Simulation
from connectors.simulators.people import with_check_digit
from stream_app.domain.normalise import _luhn

if TYPE_CHECKING:
    from connectors.simulators import Planned
    from stream_app.domain.event import ChannelEvent

HOUR = 3_600_000
TABLETS = IdentityNoise(shared_tablets=0.4, kiosks=0.0, email_typos=0.0, recycled_phones=0.0)
CHANNELS = {
    "web", "app", "store", "email", "sms", "social", "call_center", "chatbot", "catalog", "marketplace",
}  # fmt: skip


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(1, shoppers=300, days=2)


@pytest.fixture(scope="module")
def records(simulation: Simulation) -> list[Planned]:
    return list(simulation.records())


def events(simulation: Simulation) -> list[ChannelEvent]:
    return [record.event for record in simulation.records() if record.event is not None]


def test_the_same_seed_gives_the_same_records_byte_for_byte(records: list[Planned]):
    again = Simulation(1, shoppers=300, days=2).records()
    assert [msgspec.json.encode(record) for record in again] == [msgspec.json.encode(one) for one in records]


def test_another_seed_gives_other_people(simulation: Simulation):
    other = Simulation(2, shoppers=300, days=2).truth
    assert not set(other.shopper_of) & set(simulation.truth.shopper_of)


def test_records_come_in_order_of_arrival(records: list[Planned]):
    assert all(one.at <= next_one.at for one, next_one in pairwise(records))


def test_records_are_made_lazily():
    centuries = Simulation(1, shoppers=5, days=100_000)
    assert len(list(islice(centuries.records(), 20))) == 20


def test_more_shoppers_leave_the_first_ones_doings_unchanged():
    few, many = (Simulation(3, shoppers=count, days=1, noise=QUIET) for count in (40, 80))
    mine = set(few.truth.shopper_of)
    assert [event for event in events(many) if event.event_id in mine] == events(few)


def test_every_channel_is_used_and_no_other(records: list[Planned]):
    assert {record.channel for record in records} == CHANNELS
    assert all(record.event.channel == record.channel for record in records if record.event is not None)


def test_the_truth_is_there_without_reading_the_records_first(records: list[Planned]):
    assert Simulation(1, shoppers=300, days=2).truth.records == len(records)


def test_nothing_happens_outside_the_days_that_were_asked_for():
    simulation = Simulation(1, shoppers=100, days=2, noise=QUIET)
    times = [event.time for event in events(simulation)]
    assert min(times) >= DEFAULT_START
    assert max(times) < simulation.end == DEFAULT_START + 48 * HOUR


def test_evenings_are_busier_than_nights(records: list[Planned]):
    hours = Counter(record.event.time // HOUR % 24 for record in records if record.event is not None)
    assert sum(hours[hour] for hour in (19, 20, 21)) > 5 * sum(hours[hour] for hour in (2, 3, 4))


def test_prices_and_totals_are_exact_in_cents(records: list[Planned]):
    amounts = [
        amount
        for record in records
        if record.event is not None
        for amount in (record.event.properties.get("price"), record.event.properties.get("total"))
        if amount is not None
    ]
    assert len(amounts) > 1000
    assert all(amount == round(amount, 2) > 0 for amount in amounts)


def test_an_orders_total_is_the_sum_of_its_products(records: list[Planned]):
    orders = [record.event for record in records if record.event and record.event.type == "Order Completed"]
    assert orders
    for order in orders:
        lines = order.properties["products"]
        assert order.properties["total"] == round(sum(line["price"] * line["quantity"] for line in lines), 2)


def test_a_till_knows_no_basket_and_the_shop_knows_its_customer_by_card_or_address(records: list[Planned]):
    sales = [
        record.event
        for record in records
        if record.event and (record.event.channel, record.event.type) == ("store", "Order Completed")
    ]
    assert {namespace for sale in sales for namespace in sale.identifiers} == {"loyalty", "email"}
    assert not any("cart_id" in sale.properties for sale in sales)


def test_nobody_abandons_a_basket_when_the_rate_is_zero():
    simulation = Simulation(1, shoppers=100, days=2, noise=QUIET, habits=Habits(abandonment=0.0))
    ordered, added = _carts(simulation)
    late = {cart for cart, time in added.items() if time > simulation.end - 2 * HOUR}
    assert added.keys() - late <= ordered


def test_most_baskets_are_abandoned_by_default_and_all_when_the_rate_is_one():
    ordered, added = _carts(Simulation(1, shoppers=200, days=2, noise=QUIET))
    assert 0.2 < len(ordered) / len(added) < 0.6
    never = Habits(abandonment=1.0, bought_elsewhere=0.0)
    ordered, added = _carts(Simulation(1, shoppers=200, days=2, noise=QUIET, habits=never))
    assert added
    assert not ordered


def test_some_abandoned_baskets_are_bought_in_the_shop_within_the_half_hour():
    habits = Habits(abandonment=1.0, bought_in_shop=1.0)
    simulation = Simulation(1, shoppers=200, days=2, noise=QUIET, habits=habits)
    truth = simulation.truth
    left: dict[str, list[int]] = defaultdict(list)
    soon = 0
    for event in events(simulation):
        if event.type == "Product Added":
            left[truth.shopper_of[event.event_id]].append(event.time)
        elif event.channel == "store":
            soon += any(0 < event.time - time < HOUR // 2 for time in left[truth.shopper_of[event.event_id]])
    assert soon > 10


def _carts(simulation: Simulation) -> tuple[set[str], dict[str, int]]:
    """Return the carts that were ordered, and when each cart first got something."""
    ordered: set[str] = set()
    added: dict[str, int] = {}
    for event in events(simulation):
        cart = event.properties.get("cart_id")
        if event.type == "Order Completed" and cart is not None:
            ordered.add(cart)
        elif event.type == "Product Added" and cart is not None:
            added.setdefault(cart, event.time)
    return ordered, added


def test_a_shared_tablet_sees_several_people_sign_in_and_strangers_between():
    simulation = Simulation(1, shoppers=300, days=4, noise=QUIET, identity_noise=TABLETS)
    own = {text for shopper in simulation.truth.shoppers for text in shopper.identifiers}
    accounts: dict[str, set[str | None]] = defaultdict(set)
    for event in events(simulation):
        cookie = event.identifiers.get("cookie")
        if cookie is not None and f"cookie:{cookie}" not in own:
            accounts[cookie].add(event.identifiers.get("user_id"))
    assert any(None in seen and len(seen) > 2 for seen in accounts.values())


def test_a_familys_tablet_makes_one_component_of_several_people():
    components = Simulation(1, shoppers=300, days=2, identity_noise=TABLETS).truth.components
    accounts = [sum(text.startswith("user_id:") for text in component) for component in components]
    assert max(accounts) > 1


def test_components_are_what_a_search_over_the_events_finds():
    simulation = Simulation(5, shoppers=80, days=2, noise=QUIET)
    neighbours: dict[str, set[str]] = defaultdict(set)
    for event in events(simulation):
        texts = {
            f"{namespace}:{one}"
            for namespace, value in event.identifiers.items()
            for one in (value if isinstance(value, list) else [value])
        }
        for text in texts:
            neighbours[text] |= texts
    found = []
    while neighbours:
        component: set[str] = set()
        waiting = [next(iter(neighbours))]
        while waiting:
            text = waiting.pop()
            if text not in component:
                component.add(text)
                waiting.extend(neighbours.pop(text))
        found.append(sorted(component))
    assert sorted(found) == simulation.truth.components


def test_union_find_joins_through_a_common_member():
    components = Components()
    components.join(["a", "b"])
    components.join(["c"])
    components.join(["d", "b"])
    assert components.sorted() == [["a", "b", "d"], ["c"]]
    assert components.find("a") == components.find("d") != components.find("c")


def test_identifiers_belong_to_one_person_only(simulation: Simulation):
    texts = Counter(text for shopper in simulation.truth.shoppers for text in shopper.identifiers)
    assert set(texts.values()) == {1}


def test_loyalty_numbers_carry_a_valid_check_digit():
    assert with_check_digit("7992739871") == "79927398713"
    assert all(_luhn(with_check_digit(f"2900{number:08d}")) for number in range(200))


@pytest.mark.parametrize(("shoppers", "days", "start"), [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_a_simulation_of_nothing_is_refused(shoppers: int, days: int, start: int):
    with pytest.raises(ValueError, match="at least 1 shopper and 1 day"):
        Simulation(1, shoppers=shoppers, days=days, start=start)


def test_an_account_says_once_what_its_holder_agreed_to_before_or_with_all_else_that_names_it():
    simulation = Simulation(1, shoppers=300, days=3, noise=QUIET)
    owner, named = simulation.truth.shopper_of, {}
    answered: dict[str, dict[str, tuple[int, bool]]] = {"marketing": {}, "location": {}}
    for event in sorted(events(simulation), key=lambda event: event.time):
        account = {"user_id", "loyalty"} & set(event.identifiers)
        if event.type == "Consent Changed" and "channel" not in event.properties:
            of_purpose = answered[event.properties["purpose"]]
            assert set(event.identifiers) == account
            assert owner[event.event_id] not in of_purpose
            of_purpose[owner[event.event_id]] = (event.time, event.properties["consent"])
        elif account and event.channel in {"app", "store"}:
            named.setdefault(owner[event.event_id], event.time)
    for purpose, least, most in (("marketing", 0.5, 0.7), ("location", 0.3, 0.5)):
        answers = answered[purpose]
        assert set(named) <= set(answers)
        assert all(answers[name][0] <= time for name, time in named.items())
        assert least < sum(yes for _, yes in answers.values()) / len(answers) < most


def test_what_shoppers_agree_to_changes_nothing_else():
    def rest(agrees: float) -> list[ChannelEvent]:
        habits = Habits(agrees=agrees, lets_follow=agrees)
        simulation = Simulation(1, shoppers=100, days=2, habits=habits)
        return [event for event in events(simulation) if event.type != "Consent Changed"]

    assert rest(0.0) == rest(1.0)
