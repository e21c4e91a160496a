"""Each number by hand: what a customer's entries add to it, figure by figure."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from stream_app.domain.event import Event
from stream_app.domain.numbers import (
    BY_NAME,
    EDITION,
    NUMBERS,
    RATIOS,
    Cell,
    Numbers,
    Sent,
    Spend,
    TakenBack,
    Told,
    cell_key,
    cell_of,
    changed,
    day_of,
    day_text,
    difference,
    in_turn,
    keep,
    lifetime_value,
    month_of,
    month_text,
    pack,
    read_spend,
    resume,
    retention,
    send_step,
    spent,
    step,
    unpack,
    worked_out,
)
from stream_app.domain.numbers.attribution import Touch, credit, decayed, split
from stream_app.domain.numbers.messages import MAX_CLICKED
from stream_app.domain.numbers.sends import MAX_SENDS
from stream_app.domain.numbers.visits import MAX_TOUCHES
from stream_app.domain.profile import Profile, apply
from stream_app.domain.profile.orders import MAX_ORDERS
from tests.property.numbers_world import Rows

EURO = 1_000_000
HOUR = 3_600_000
DAY = 24 * HOUR


def at(text: str) -> int:
    """Return the time of "05-04 10:30" in 2026, ms."""
    return int(datetime.fromisoformat(f"2026-{text}:00").replace(tzinfo=UTC).timestamp() * 1000)


def event(when: str | int, channel: str, kind: str, **properties: Any) -> Event:
    time = at(when) if isinstance(when, str) else when
    return Event(f"{time}-{kind}", time, channel, kind, ("cookie:1",), properties, 0, "t/0/0")


def order(when: str | int, channel: str, name: str, total: Any = 100, **more: Any) -> Event:
    return event(when, channel, "Order Completed", order_id=name, total=total, currency="EUR", **more)


def told(*entries: Any, state: Numbers | None = None) -> dict[Cell, int]:
    """Fold entries, given in order; return what they come to."""
    state, profile, sums = state or Numbers(), Profile(), Counter[Cell]()
    for entry in entries:
        if isinstance(entry, Event):
            assert in_turn(state, profile, entry.order)
            apply(profile, entry)
            sums.update(step(state, entry, profile))
        else:
            sums.update(send_step(state, entry))
    return {cell: amount for cell, amount in sums.items() if amount}


def of(name: str, sums: dict[Cell, int]) -> dict[str, int]:
    """Return a number's figures by window and dimensions, as text."""
    show = month_text if BY_NAME[name].window == "cohort" else day_text
    return {
        " ".join((show(cell.window), *cell.dimensions)).strip(): amount
        for cell, amount in sums.items()
        if cell.number == name
    }


def plain(name: str, *entries: Any) -> dict[str, int]:
    return of(name, told(*entries))


# -- visits and touches --------------------------------------------------------------------------------


def test_half_an_hour_without_anything_ends_a_visit_to_the_millisecond() -> None:
    start = at("05-04 10:00")
    half_hours = (start, start + HOUR // 2, start + HOUR, start + HOUR + HOUR // 2 + 1)
    assert plain("visits", *(event(time, "web", "Page Viewed") for time in half_hours)) == {
        "2026-05-04 web": 2
    }


def test_a_visit_counts_on_the_day_on_which_it_began_and_each_channel_has_its_own() -> None:
    entries = (
        event("05-04 23:50", "web", "Page Viewed"),
        event("05-04 23:55", "app", "Screen Viewed"),
        event("05-05 00:10", "web", "Page Viewed"),
    )
    assert plain("visits", *entries) == {"2026-05-04 web": 1, "2026-05-04 app": 1}


@pytest.mark.parametrize(
    "kind", ["Email Delivered", "Email Opened", "Order Cancelled", "Unsubscribed", "Call Ended"]
)
def test_what_is_done_to_her_or_ends_something_is_no_visit(kind: str) -> None:
    assert plain("visits", event("05-04 10:00", "email", kind)) == {}


def test_a_visit_has_the_device_that_is_said_first_in_it_though_it_began_without() -> None:
    entries = (
        event("05-04 10:00", "web", "Page Viewed"),
        event("05-04 10:01", "web", "Signed In", device_type="Phone"),
        event("05-04 10:02", "web", "Page Viewed", device_type="desktop"),
        event("05-04 12:00", "web", "Page Viewed", device_type="smart fridge"),
        event("05-04 14:00", "web", "Page Viewed", device_type=7),
    )
    assert plain("visits", *entries) == {
        "2026-05-04 web phone": 1,
        "2026-05-04 web other": 1,
        "2026-05-04 web": 1,
    }


def test_where_a_click_in_a_message_leads_is_no_touch_of_its_own() -> None:
    entries = (
        event("05-04 10:00", "email", "Link Clicked", campaign_id="spring"),
        event("05-04 10:00", "web", "Page Viewed"),
        order("05-04 10:10", "web", "o"),
    )
    last = {
        name: amount for name, amount in plain("attributed_revenue", *entries).items() if "last_touch" in name
    }
    assert last == {"2026-05-04 last_touch email spring EUR": 100 * EURO}


def test_a_click_leads_to_one_visit_and_to_none_after_half_an_hour() -> None:
    click = event("05-04 10:00", "sms", "Link Clicked")
    late = (click, event("05-04 10:31", "web", "Page Viewed"), order("05-04 10:40", "web", "o"))
    assert plain("assisted_orders", *late) == {"2026-05-04 sms web": 1}
    assert "2026-05-04 last_touch web  EUR" in plain("attributed_revenue", *late)
    second = (
        click,
        event("05-04 10:01", "web", "Page Viewed"),
        event("05-04 10:05", "app", "Screen Viewed"),
        order("05-04 10:10", "app", "o"),
    )
    assert "2026-05-04 last_touch app  EUR" in plain("attributed_revenue", *second)


# -- orders and money ----------------------------------------------------------------------------------


def test_an_order_counts_once_where_it_was_placed_with_its_latest_amount() -> None:
    sums = told(
        event("05-04 10:00", "web", "Page Viewed", device_type="tablet"),
        order("05-04 10:01", "web", "o", 19.99),
        order("05-06 10:01", "call_center", "o", 24.5),
        event("05-07 10:00", "web", "Order Updated", order_id="o", total="30.25"),
    )
    assert of("orders", sums) == {"2026-05-04 web tablet": 1}
    assert of("revenue", sums) == {"2026-05-04 web tablet EUR": 30_250_000}
    assert of("refunded", sums) == {}


def test_a_refund_and_a_cancellation_come_off_on_the_day_of_the_order() -> None:
    bought = order("05-04 10:00", "web", "o", 100)
    refund = event("06-20 10:00", "store", "Order Refunded", order_id="o", total=30, currency="EUR")
    cancel = event("06-25 10:00", "call_center", "Order Cancelled", order_id="o")
    sums = told(bought, refund)
    assert of("revenue", sums) == {"2026-05-04 web  EUR": 100 * EURO}
    assert of("refunded", sums) == {"2026-05-04 web  EUR": 30 * EURO}
    assert set(of("attributed_revenue", sums).values()) == {70 * EURO}
    assert of("customer_value", sums) == {"2026-05 0 EUR": 70 * EURO}
    gone = told(bought, refund, cancel)
    assert {cell.number for cell in gone} == {"visits", "active_customers"}


def test_a_refund_beyond_the_order_takes_off_no_more_than_the_order() -> None:
    sums = told(
        order("05-04 10:00", "web", "o", 20),
        event("05-09 10:00", "web", "Order Refunded", order_id="o", total=25),
    )
    assert of("refunded", sums) == {"2026-05-04 web  EUR": 20 * EURO}


def test_a_refund_of_an_order_that_nobody_knows_is_nobodys_merit_until_the_order_comes_to_light() -> None:
    refund = event("05-04 10:00", "store", "Order Refunded", order_id="o", total=30, currency="EUR")
    sums = told(refund)
    assert of("refunded", sums) == {"2026-05-04   EUR": 30 * EURO}
    assert of("attributed_revenue", sums)["2026-05-04 linear   EUR"] == -30 * EURO
    later = told(refund, order("05-05 10:00", "web", "o", 100))
    assert of("refunded", later) == {"2026-05-05 web  EUR": 30 * EURO}
    assert of("attributed_revenue", later)["2026-05-05 linear web  EUR"] == 70 * EURO
    nameless = told(event("05-04 10:00", "store", "Order Refunded", total=5, currency="USD"))
    assert of("refunded", nameless) == {"2026-05-04   USD": 5 * EURO}


def test_a_refund_in_another_currency_comes_off_in_that_one() -> None:
    refund = event("05-05 10:00", "web", "Order Refunded", order_id="o", total=10, currency="USD")
    sums = of("attributed_revenue", told(order("05-04 10:00", "web", "o", 100), refund))
    assert sums["2026-05-04 linear web  EUR"] == 100 * EURO
    assert sums["2026-05-04 linear web  USD"] == -10 * EURO


def test_an_order_beyond_those_that_the_profile_knows_changes_no_more() -> None:
    orders = [order(at("05-04 10:00") + n, "web", f"o{n}", 1) for n in range(MAX_ORDERS + 1)]
    cancel = [event(at("05-05 10:01") - n, "web", "Order Cancelled", order_id=f"o{n}") for n in (1, 0)]
    state = Numbers()
    assert of("orders", told(*orders, *cancel, state=state)) == {"2026-05-04 web": MAX_ORDERS}
    assert len(state.bookings) == MAX_ORDERS


def test_a_refund_of_an_order_that_one_without_an_id_has_pushed_out_takes_nothing_of_it() -> None:
    orders = [order(at("05-04 10:00") + n, "web", f"o{n}", 10) for n in range(MAX_ORDERS)]
    loose = event("05-04 11:00", "web", "Order Completed", total=1, currency="EUR")
    refund = event("05-05 10:00", "web", "Order Refunded", order_id="o0", total=4, currency="EUR")
    sums = told(*orders, loose, refund)
    assert of("orders", sums) == {"2026-05-04 web": MAX_ORDERS + 1}
    assert of("revenue", sums) == {"2026-05-04 web  EUR": (10 * MAX_ORDERS + 1) * EURO}
    assert of("refunded", sums) == {"2026-05-05   EUR": 4 * EURO}


# -- attribution ---------------------------------------------------------------------------------------


def path(
    *touches: tuple[str, str], bought: str = "05-15 12:00", total: Any = 100
) -> dict[str, dict[str, int]]:
    """Return how an order at a till is split, model -> channel -> amount; touches are (when, channel)."""
    entries = [event(when, channel, "Page Viewed") for when, channel in touches]
    found: dict[str, dict[str, int]] = {}
    for cell, amount in told(*entries, order(bought, "store", "o", total)).items():
        if cell.number == "attributed_revenue":
            found.setdefault(cell.dimensions[0], {})[cell.dimensions[1]] = amount
    return found


def test_the_five_models_split_an_order_as_their_names_say() -> None:
    found = path(("05-01 12:00", "social"), ("05-08 12:00", "web"), ("05-15 11:00", "app"))
    assert found["last_touch"] == {"store": 100 * EURO}
    assert found["first_touch"] == {"social": 100 * EURO}
    assert found["linear"] == dict.fromkeys(("social", "web", "app", "store"), 25 * EURO)
    assert found["position_based"] == {
        "social": 40 * EURO, "web": 10 * EURO, "app": 10 * EURO, "store": 40 * EURO,
    }  # fmt: skip
    # 14 days, 7 days, 1 hour and no time before: 1/4, 1/2, 2^(-1/168) = 0.995882... and 1 of 2.745882...
    assert found["time_decay"] == {
        "social": 9_104_541, "web": 18_209_081, "app": 36_268_215, "store": 36_418_163,
    }  # fmt: skip


def test_of_two_touches_each_has_half_by_position_and_of_one_it_has_all() -> None:
    assert path(("05-10 12:00", "web"))["position_based"] == {"web": 50 * EURO, "store": 50 * EURO}
    assert path()["position_based"] == {"store": 100 * EURO}


def test_what_cannot_be_split_evenly_goes_to_the_largest_remainder_then_by_name() -> None:
    found = path(("05-10 12:00", "web"), ("05-11 12:00", "app"), total=0.00001)
    assert found["linear"] == {"app": 4, "store": 3, "web": 3}
    assert path(("05-10 12:00", "web"), ("05-11 12:00", "app"), total=-0.00001)["linear"] == {
        "app": -4, "store": -3, "web": -3,
    }  # fmt: skip
    assert split(11, [1, 1, 3]) == [2, 2, 7]
    assert split(10, [5, 5, 11]) == [3, 2, 5]
    assert split(0, [1, 2]) == [0, 0]


def test_touches_of_one_channel_and_campaign_are_added_up_before_the_split() -> None:
    found = path(("05-10 12:00", "web"), ("05-11 12:00", "web"), total=0.00001)
    assert found["linear"] == {"web": 7, "store": 3}


def test_a_touch_of_thirty_days_ago_has_a_share_and_one_before_that_has_none() -> None:
    time = at("05-31 12:00")
    for age, first in ((30 * DAY, "web"), (30 * DAY + 1, "store")):
        entries = (event(time - age, "web", "Page Viewed"), order(time, "store", "o"))
        assert plain("attributed_revenue", *entries)[f"2026-05-31 first_touch {first}  EUR"] == 100 * EURO


def test_a_touch_grows_too_old_during_a_visit_and_is_let_go_with_the_next_touch() -> None:
    start = at("05-31 12:00")
    state, entries = (
        Numbers(),
        [event(start - 30 * DAY, "web", "Page Viewed"), event(start, "store", "Till Opened")],
    )
    assert set(
        of("attributed_revenue", told(*entries, order(start + 1, "store", "o"), state=state)).values()
    ) == {100 * EURO}
    assert [touch.channel for touch in state.journey.touches] == ["web", "store"]
    told(*entries, event(start + 1, "app", "Screen Viewed"), state=(state := Numbers()))
    assert [touch.channel for touch in state.journey.touches] == ["store", "app"]


def test_a_weight_is_a_power_of_two_cut_off_and_halves_every_seven_days() -> None:
    for hours in (0, 1, 84, 167, 168, 169, 720):
        worth = decayed(hours * HOUR)
        assert worth**168 <= 2 ** (48 * 168 - hours) < (worth + 1) ** 168
        assert decayed(hours * HOUR + HOUR - 1) == worth
        assert decayed((hours + 168) * HOUR) == worth // 2


def test_of_too_many_touches_the_latest_share() -> None:
    state, time = Numbers(), at("05-04 00:00")
    looks = [
        event(time + n * HOUR, "web", "Page Viewed", campaign_id=f"c{n}") for n in range(MAX_TOUCHES + 3)
    ]
    told(*looks, state=state)
    assert [touch.campaign for touch in (state.journey.touches[0], state.journey.touches[-1])] == [
        "c3",
        f"c{MAX_TOUCHES + 2}",
    ]
    assert credit((), time)[0].weights == (1, 1, 1, 1, 1)
    assert len(credit([Touch(time, "web", "a"), Touch(time, "web", "b")], time)) == 2


def test_another_channels_touch_assists_and_online_before_a_till_is_told_from_the_reverse() -> None:
    till = told(
        event("05-04 10:00", "web", "Page Viewed"),
        event("05-05 10:00", "app", "Screen Viewed"),
        order("05-06 10:00", "store", "o", 80),
    )
    assert of("assisted_orders", till) == {"2026-05-06 web store": 1, "2026-05-06 app store": 1}
    assert of("assisted_revenue", till) == {
        "2026-05-06 web store EUR": 80 * EURO,
        "2026-05-06 app store EUR": 80 * EURO,
    }
    assert of("cross_channel_orders", till) == {"2026-05-06 online_before_store": 1}
    reverse = told(event("05-04 10:00", "store", "Product Scanned"), order("05-06 10:00", "web", "o", 80))
    assert of("cross_channel_orders", reverse) == {"2026-05-06 store_before_online": 1}
    assert of("cross_channel_revenue", reverse) == {"2026-05-06 store_before_online EUR": 80 * EURO}
    alone = told(event("05-04 10:00", "call_center", "Call Started"), order("05-06 10:00", "store", "o"))
    assert of("cross_channel_orders", alone) == {}


def test_time_to_purchase_is_from_the_first_touch_in_buckets_and_as_a_sum() -> None:
    sums = told(
        event("05-04 10:00", "web", "Page Viewed"),
        order("05-04 11:00", "web", "a"),
        order("05-05 10:01", "web", "b"),
    )
    assert of("purchase_delays", sums) == {"2026-05-04 web 1h": 1, "2026-05-05 web 3d": 1}
    assert of("purchase_delay_ms", sums) == {"2026-05-04 web": HOUR, "2026-05-05 web": DAY + 60_000}


# -- campaigns, triggers, answers ----------------------------------------------------------------------


def test_a_message_is_clicked_once_and_a_promotion_as_often_as_it_is() -> None:
    clicks = [
        event(f"05-04 10:0{n}", "email", "Link Clicked", message_id="m", campaign_id="c") for n in range(3)
    ]
    promotions = [event(f"05-04 10:1{n}", "web", "Promotion Clicked", campaign_id="c") for n in range(2)]
    sums = told(
        event("05-03 08:00", "email", "Email Delivered", message_id="m", campaign_id="c"),
        *clicks,
        event("05-04 10:05", "email", "Link Clicked", campaign_id="c"),
        *promotions,
    )
    assert of("impressions", sums) == {"2026-05-03 message email c": 1}
    assert of("clicks", sums) == {"2026-05-04 message email c": 2, "2026-05-04 promotion web c": 2}


def test_a_message_that_was_clicked_too_long_ago_counts_anew() -> None:
    names = ["m", *(f"m{n}" for n in range(MAX_CLICKED)), "m"]
    clicks = [
        event(at("05-04 10:00") + n, "email", "Link Clicked", message_id=name) for n, name in enumerate(names)
    ]
    assert plain("clicks", *clicks) == {"2026-05-04 message email": MAX_CLICKED + 2}


SENT = Sent("t1", "abandoned_cart", "email", at("05-04 10:00"))
TAKEN = TakenBack("t1", "abandoned_cart", "email", SENT.time, at("05-08 10:00"))


def outcome(*entries: Any) -> tuple[int, ...]:
    """Return sent, taken back, returned and bought; all on the day and under the rule of the send."""
    sums = told(*entries)
    names = ("sent", "taken_back", "returned", "bought")
    assert all(of(f"triggers_{name}", sums).keys() <= {"2026-05-04 abandoned_cart email"} for name in names)
    return tuple(sum(of(f"triggers_{name}", sums).values()) for name in names)


def test_a_visit_and_an_order_within_seven_days_are_a_triggers_success() -> None:
    assert outcome(SENT) == (1, 0, 0, 0)
    assert outcome(SENT, SENT, event(SENT.time, "web", "Page Viewed")) == (1, 0, 1, 0)
    assert outcome(SENT, event(SENT.time + 7 * DAY, "web", "Page Viewed")) == (1, 0, 1, 0)
    assert outcome(SENT, event(SENT.time + 7 * DAY + 1, "web", "Page Viewed")) == (1, 0, 0, 0)
    assert outcome(SENT, order("05-05 10:00", "store", "o"), order("05-06 10:00", "store", "p")) == (
        1,
        0,
        1,
        1,
    )


def test_who_was_there_already_and_stays_has_not_come_back() -> None:
    before, after = (event(SENT.time + gap, "web", "Page Viewed") for gap in (-60_000, 60_000))
    assert outcome(before, SENT, after) == (1, 0, 0, 0)
    assert outcome(before, SENT, order(SENT.time + 60_000, "web", "o")) == (1, 0, 0, 1)


def test_a_trigger_whose_first_order_is_cancelled_brought_none() -> None:
    orders = (order("05-05 10:00", "web", "o"), order("05-06 10:00", "web", "p"))
    assert outcome(SENT, *orders, event("05-20 10:00", "web", "Order Cancelled", order_id="o"))[3] == 0
    assert outcome(SENT, *orders, event("05-20 10:00", "web", "Order Cancelled", order_id="p"))[3] == 1


def test_a_trigger_that_is_taken_back_has_no_success_and_an_order_that_is_cancelled_then_takes_nothing_more() -> (
    None
):
    bought = order("05-05 10:00", "web", "o")
    cancel = event("05-20 10:00", "web", "Order Cancelled", order_id="o")
    assert outcome(SENT, bought, TAKEN) == (1, 1, 0, 0)
    assert outcome(SENT, bought, TAKEN, TAKEN, cancel) == (1, 1, 0, 0)
    assert outcome(SENT, event("05-05 10:00", "web", "Order Completed"), TAKEN) == (1, 1, 0, 0)
    assert outcome(SENT, TAKEN, order("05-09 10:00", "web", "o")) == (1, 1, 0, 0)


def test_a_trigger_keeps_an_order_that_is_forgotten_though_another_one_has_its_id_by_now() -> None:
    others = [order(SENT.time + n, "web", f"o{n}") for n in range(1, MAX_ORDERS + 1)]
    orders = (order(SENT.time, "web", "o"), *others, order("05-05 10:00", "web", "o"))
    assert outcome(SENT, *orders, TAKEN) == (1, 1, 0, 1)


def test_a_trigger_that_is_sent_again_after_it_was_taken_back_is_a_second_send() -> None:
    again = Sent("t1", "abandoned_cart", "email", TAKEN.time + 1)
    sums = told(SENT, TAKEN, again, event("05-09 10:00", "web", "Page Viewed"))
    assert of("triggers_sent", sums) == {
        "2026-05-04 abandoned_cart email": 1,
        "2026-05-08 abandoned_cart email": 1,
    }
    assert of("triggers_returned", sums) == {"2026-05-08 abandoned_cart email": 1}


def test_an_order_that_adds_nothing_may_use_up_a_send_and_is_said_to_change_the_journey() -> None:
    state, bought = Numbers(), order(SENT.time + 2, "web", "o")
    before = event(SENT.time - 1, "web", "Order Cancelled", order_id="o")
    told(before, event(SENT.time - 1, "web", "Page Viewed"), SENT, state=state)
    assert state.journey.sends[0].order is None
    profile = Profile()
    for one in (before, bought):
        apply(profile, one)
    added = step(state, bought, profile)
    assert added == {}
    assert state.journey.sends[0].order == "o"
    assert changed(bought, added) == (True, True)
    assert changed(event("05-04 10:00", "web", "Page Viewed"), {}) == (False, False)
    assert changed(SENT, {}) == (True, False)
    assert changed(TAKEN, {}) == (True, True)


def test_of_too_many_sends_the_latest_have_an_outcome() -> None:
    sends = [Sent(f"t{n}", "r", "email", SENT.time + n) for n in range(MAX_SENDS + 2)]
    sums = told(*sends, event("05-05 10:00", "web", "Page Viewed"))
    assert of("triggers_sent", sums) == {"2026-05-04 r email": MAX_SENDS + 2}
    assert of("triggers_returned", sums) == {"2026-05-04 r email": MAX_SENDS}


@pytest.mark.parametrize(
    ("rating", "answers"),
    [
        (5, (1, 1)),
        (4, (1, 1)),
        ("4.5", (1, 1)),
        (3, (1, 0)),
        (1, (1, 0)),
        (0, (0, 0)),
        (6, (0, 0)),
        (None, (0, 0)),
    ],
)
def test_four_and_five_of_five_are_satisfied(rating: Any, answers: tuple[int, int]) -> None:
    sums = told(event("05-04 10:00", "call_center", "Call Ended", rating=rating))
    assert tuple(sum(of(f"csat_{name}", sums).values()) for name in ("answers", "satisfied")) == answers


@pytest.mark.parametrize(
    ("said", "answers"),
    [(10, (1, 1, 0)), ("9", (1, 1, 0)), (8, (1, 0, 0)), (7, (1, 0, 0)), (6, (1, 0, 1)), (0, (1, 0, 1)),
     (11, (0, 0, 0)), (-1, (0, 0, 0)), (8.5, (0, 0, 0)), (True, (0, 0, 0))],
)  # fmt: skip
def test_nine_and_ten_promote_and_up_to_six_detract(said: Any, answers: tuple[int, ...]) -> None:
    sums = told(event("05-04 10:00", "sms", "Satisfaction Rated", recommend=said))
    names = ("answers", "promoters", "detractors")
    assert tuple(sum(of(f"nps_{name}", sums).values()) for name in names) == answers


# -- cohorts -------------------------------------------------------------------------------------------


def test_a_customer_is_active_once_a_month_by_the_month_of_her_first_visit() -> None:
    days = ("01-31 23:59", "02-01 00:30", "02-27 10:00", "04-02 10:00")
    sums = told(*(event(day, "web", "Page Viewed") for day in days))
    assert of("active_customers", sums) == {"2026-01 0": 1, "2026-01 1": 1, "2026-01 3": 1}


def test_what_she_is_worth_counts_by_the_month_of_the_order_and_refunds_with_it() -> None:
    sums = told(
        event("01-31 10:00", "web", "Page Viewed"),
        order("03-01 10:00", "store", "o", 50),
        event("04-05 10:00", "store", "Order Refunded", order_id="o", total=20, currency="EUR"),
    )
    assert of("customer_value", sums) == {"2026-01 2 EUR": 30 * EURO}


# -- spend, sums, ratios -------------------------------------------------------------------------------


def test_a_row_of_spend_is_read_to_the_millionth_and_may_name_no_campaign() -> None:
    row = {"spend_id": "x", "day": "1970-01-03", "channel": "email", "currency": "eur", "amount": 0.1}
    assert read_spend(row) == Spend(2, "email", "", "EUR", 100_000)
    assert read_spend(row | {"campaign_id": 7, "amount": "-0.000001"}) == Spend(2, "email", "7", "EUR", -1)


def test_of_spend_that_is_corrected_goes_out_the_difference() -> None:
    first, second = (
        Spend(day_of(at("05-04 00:00")), "social", "spring", "EUR", amount) for amount in (50, 70)
    )
    assert of("spend", dict(spent(None, first))) == {"2026-05-04 social spring EUR": 50}
    assert of("spend", dict(spent(first, second))) == {"2026-05-04 social spring EUR": 20}
    assert of("spend", dict(spent(second, None))) == {"2026-05-04 social spring EUR": -70}
    assert spent(first, first) == {}


def ratio(
    name: str, sums: dict[Cell, int], by: tuple[str, ...] | None = None
) -> dict[tuple[str, ...], Fraction]:
    return worked_out(next(one for one in RATIOS if one.name == name), sums, by)


def test_conversion_is_orders_per_visit_over_whatever_days() -> None:
    visits = [event(f"05-0{day} 10:00", "web", "Page Viewed", device_type="phone") for day in range(1, 5)]
    sums = told(*visits, order("05-04 10:01", "web", "o"), event("05-05 09:00", "app", "Screen Viewed"))
    assert ratio("conversion", sums) == {("app", ""): 0, ("web", "phone"): Fraction(1, 4)}
    assert ratio("conversion", sums, ("device",)) == {("",): 0, ("phone",): Fraction(1, 4)}
    assert ratio("conversion", sums, ()) == {(): Fraction(1, 5)}


def test_roi_is_by_model_and_a_campaign_that_brought_nothing_lost_all_in_each() -> None:
    click = event("05-04 10:00", "social", "Link Clicked", campaign_id="spring")
    sums = told(click, order("05-04 10:05", "web", "o", 90))
    for campaign, amount in (("spring", 60), ("summer", 10)):
        sums |= spent(None, Spend(day_of(click.time), "social", campaign, "EUR", amount * EURO))
    found = ratio("roi", sums)
    assert found["last_touch", "social", "spring", "EUR"] == Fraction(1, 2)
    assert {found[model, "social", "summer", "EUR"] for model in ("linear", "time_decay")} == {Fraction(-1)}
    assert len(found) == 10


def test_rates_of_campaigns_triggers_and_answers() -> None:
    answers = [
        event(f"05-05 10:0{n}", "sms", "Satisfaction Rated", rating=rating, recommend=recommend)
        for n, (rating, recommend) in enumerate([(5, 10), (4, 9), (3, 8), (1, 2)])
    ]
    sums = told(
        *(event(f"05-04 08:0{n}", "email", "Email Delivered", campaign_id="c") for n in range(4)),
        event("05-04 09:00", "email", "Link Clicked", campaign_id="c"),
        SENT,
        Sent("t2", "abandoned_cart", "email", SENT.time),
        TakenBack("t2", "abandoned_cart", "email", SENT.time, SENT.time + 1),
        order("05-05 09:00", "store", "o"),
        *answers,
    )
    where = ("abandoned_cart", "email")
    assert ratio("ctr", sums) == {("message", "email", "c"): Fraction(1, 4)}
    assert ratio("trigger_return_rate", sums) == ratio("trigger_purchase_rate", sums) == {where: 1}
    assert ratio("csat", sums) == {("sms",): Fraction(1, 2)}
    assert ratio("nps", sums) == {("sms",): Fraction(100 * (2 - 1), 4)}
    assert ratio("assisted_share", sums) == {("email", "store"): 1}
    assert ratio("time_to_purchase", sums) == {("store",): DAY}


def test_retention_and_lifetime_value_are_of_a_cohort_and_the_latter_adds_up_months() -> None:
    ann = told(event("01-05 10:00", "web", "Page Viewed"), order("02-05 10:00", "web", "o", 40))
    bob = told(order("01-06 10:00", "web", "p", 10), order("04-06 10:00", "web", "q", 20))
    sums = dict(Counter(ann) + Counter(bob))
    january = month_of(at("01-01 00:00"))
    assert retention(sums) == {
        (january, 0): 1, (january, 1): Fraction(1, 2), (january, 3): Fraction(1, 2),
    }  # fmt: skip
    assert lifetime_value(sums) == {
        (january, 0, "EUR"): 5 * EURO, (january, 1, "EUR"): 25 * EURO, (january, 3, "EUR"): 35 * EURO,
    }  # fmt: skip


# -- keeping and telling -------------------------------------------------------------------------------


def test_a_cell_is_the_same_bytes_wherever_it_is_written_and_is_read_back() -> None:
    cell = Cell("orders", -3, ("web", "ä\0|"))
    assert cell_of(cell_key(cell)) == cell
    assert (
        cell_key(Cell("orders", -3, ("web", "ä\0|")))
        == cell_key(cell)
        != cell_key(Cell("orders", -3, ("webä", "\0|")))
    )
    one, other = {cell: 1, Cell("a", 1, ()): 2}, {Cell("a", 1, ()): 2, cell: 1}
    assert pack(one) == pack(other)
    assert unpack(pack(one)) == one


def test_increments_may_have_more_than_64_bits() -> None:
    most = {"order_id": "o", "total": 999_999_999_999}
    events = [
        *(event(at("05-04 10:00") + n, "web", "Order Refunded", **most) for n in range(10)),
        *(event(at("05-04 11:00") + n, "web", "Order Refunded", **most, currency="EUR") for n in range(10)),
        event("05-04 12:00", "web", "Order Updated", order_id="o", currency="EUR"),
        order("05-05 10:00", "web", "o"),
    ]
    state, profile, sums = Numbers(), Profile(), Counter[Cell]()
    for one in events:
        apply(profile, one)
        found = step(state, one, profile)
        assert unpack(pack(found)) == found
        sums.update(found)
    assert min(found.values()) < -(1 << 63), "what is taken back at once is more than any refund"
    assert of("refunded", {cell: amount for cell, amount in sums.items() if amount}) == {
        "2026-05-05 web  EUR": 100 * EURO
    }


def test_days_and_months_are_utc_and_hold_before_the_epoch() -> None:
    assert [day_text(day_of(time)) for time in (0, -1, at("05-04 00:00"))] == [
        "1970-01-01",
        "1969-12-31",
        "2026-05-04",
    ]
    assert [month_text(month_of(time)) for time in (0, -1, at("12-31 23:59"))] == [
        "1970-01",
        "1969-12",
        "2026-12",
    ]


def test_what_other_definitions_have_folded_is_void() -> None:
    state = Numbers()
    told(event("05-04 10:00", "web", "Page Viewed"), state=state)
    assert resume(keep(state)) == state
    state.ongoing.edition = EDITION + 1
    assert resume(keep(state)) is None


def test_an_event_before_a_send_that_was_folded_is_not_in_turn() -> None:
    state = Numbers()
    told(SENT, state=state)
    assert not in_turn(state, Profile(), (SENT.time - 1, "e"))
    assert in_turn(state, Profile(), (SENT.time, "e"))
    assert not in_turn(Numbers(), Profile(last=(5, "e")), (5, "d"))


def test_one_more_event_of_a_visit_adds_nothing_and_makes_nothing() -> None:
    state, profile = Numbers(), Profile()
    first, second = event("05-04 10:00", "web", "Page Viewed"), event("05-04 10:05", "web", "Product Viewed")
    step(state, first, profile)
    assert step(state, second, profile) is step(state, event("05-04 10:05", "email", "Email Opened"), profile)
    assert state.ongoing.visits["web"].last == second.time


A, B = Cell("a", 0, ()), Cell("b", 0, ())


def test_the_difference_makes_of_what_was_told_what_is() -> None:
    assert difference({A: 1, B: 2}, {A: 4}) == {A: 3, B: -2}
    assert difference({A: 1}, {A: 1}) == difference({}, {}) == {}


def test_a_fold_made_again_leaves_what_is_the_same_and_takes_back_what_is_gone() -> None:
    rows, sent = Rows(), []
    before = Told(rows, lambda _: None)
    for key, added in ((b"c1", {A: 1}), (b"c2", {A: 1}), (b"c3", {B: 1}), (b"c9", {B: 5}), (b"d1", {B: 9})):
        before.tell(key, added)
    again = Told(rows, sent.append).again(b"c")
    for key, now in ((b"c1", {A: 1}), (b"c3", {B: 3}), (b"c4", {A: 7}), (b"c5", {})):
        again.tell(key, now)
    assert sent == [{A: -1}, {B: 2}, {A: 7}]
    again.end()
    assert sent[3:] == [{B: -5}]
    assert {key: unpack(row) for key, row in rows.rows.items()} == {
        b"c1": {A: 1}, b"c3": {B: 3}, b"c4": {A: 7}, b"d1": {B: 9},
    }  # fmt: skip


def test_a_fold_made_again_from_a_key_on_leaves_what_is_before() -> None:
    rows, sent = Rows(), []
    told = Told(rows, sent.append)
    for key in (b"c1", b"c2", b"c3"):
        told.tell(key, {A: 1})
    told.tell(b"c4", {})
    assert b"c4" not in rows.rows
    told.again(b"c", b"c2" + b"\0").end()
    assert sorted(rows.rows) == [b"c1", b"c2"]
    told.take_back(b"c1")
    told.take_back(b"c7")
    assert sent == [{A: 1}] * 3 + [{A: -1}] * 2


def test_names_in_the_catalogue_are_used_once_and_ratios_are_of_its_numbers() -> None:
    names = [one.name for one in (*NUMBERS, *RATIOS)]
    assert len(set(names)) == len(names)
    for one in RATIOS:
        assert {*one.over, *one.under} <= BY_NAME.keys()
        assert all(name in one.formula for name in (*one.over, *one.under))
