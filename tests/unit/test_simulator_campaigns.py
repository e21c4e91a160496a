"""Campaigns of the simulated retailer: messages, clicks and visits that belong together, promotions, and costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest

import schemas
from connectors.simulators import DEFAULT_START, QUIET, Habits, Simulation, with_backoffice
from connectors.simulators.backoffice import COSTS
from connectors.simulators.campaigns import CHANNELS, Campaigns
from stream_app.domain.numbers import Spend, read_spend, spent
from stream_app.runs.feed import encoded
from stream_app.wire import ReferenceDecoder

if TYPE_CHECKING:
    from connectors.simulators import Planned
    from stream_app.domain.event import ChannelEvent

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000
DELIVERIES = {
    "Email Delivered": {"Email Opened", "Link Clicked", "Unsubscribed"},
    "SMS Delivered": {"Link Clicked"},
    "Push Notification Received": {"Push Notification Tapped"},
}
CLICKS = {"Link Clicked", "Push Notification Tapped"}
NO_VISIT = {"Signed Up", "Identify", "Push Notification Received"}
"""What says no device: traits, and what the app only receives."""
SEEDS = (1, 2, 3)


class Played(msgspec.Struct):
    """A simulation's events in order of time, who did each, and the rows of its back office in order of arrival."""

    events: list[ChannelEvent]
    who: dict[str, str]
    rows: dict[str, list[Planned]]
    records: list[Planned]


def play(seed: int = 1, habits: Habits | None = None, shoppers: int = 400, days: int = 3) -> Played:
    simulation = Simulation(seed, shoppers=shoppers, days=days, noise=QUIET, habits=habits)
    records = list(with_backoffice(simulation))
    rows = defaultdict(list)
    for record in records:
        if record.row is not None:
            rows[record.channel].append(record)
    events = [record.event for record in records if record.event is not None]
    events.sort(key=lambda event: (event.time, event.event_id))
    return Played(events, simulation.truth.shopper_of, rows, records)


@pytest.fixture(scope="module", params=SEEDS)
def played(request: pytest.FixtureRequest) -> Played:
    return play(request.param)


def of(played: Played, *types: str) -> list[ChannelEvent]:
    return [event for event in played.events if event.type in types]


def test_on_each_medium_one_campaign_follows_the_other_a_week_each():
    one, again, other = Campaigns(1), Campaigns(1), Campaigns(2)
    days = range(DEFAULT_START, DEFAULT_START + 60 * DAY, DAY)
    for medium, channel in CHANNELS.items():
        run = [one.on(medium, day) for day in days]
        assert run == [again.on(medium, day) for day in reversed(days)][::-1]
        assert all(made.first <= day <= made.last for made, day in zip(run, days, strict=True))
        assert all(made.channel == channel for made in run)
        assert set(Counter(made.campaign_id for made in run[7:-7]).values()) <= {7, *range(1, 7)}
        assert len({made.campaign_id for made in run}) in {9, 10}
        starts = sorted({made.first for made in run})
        assert all(later - first == 7 * DAY for first, later in pairwise(starts))
        assert run[0].campaign_id != other.on(medium, days[0]).campaign_id


def test_whatever_comes_of_a_message_comes_of_one_that_was_delivered_to_the_same_person_before(
    played: Played,
):
    delivered: dict[tuple[str, str], tuple[ChannelEvent, str]] = {}
    followed: Counter[str] = Counter()
    for event in played.events:
        message = event.properties.get("message_id")
        if message is None:
            assert event.type not in {*DELIVERIES, "Email Opened", "Push Notification Tapped"}
            assert event.type != "Link Clicked" or event.channel == "social"
        elif event.type in DELIVERIES:
            assert (event.channel, message) not in delivered
            delivered[event.channel, message] = event, played.who[event.event_id]
        else:
            first, whose = delivered[event.channel, message]
            assert event.type in DELIVERIES[first.type]
            assert whose == played.who[event.event_id]
            assert event.properties["campaign_id"] == first.properties["campaign_id"]
            followed[f"{event.channel} {event.type}"] += 1
    assert followed.keys() >= {
        "email Email Opened",
        "email Link Clicked",
        "sms Link Clicked",
        "app Push Notification Tapped",
    }


def test_a_click_leads_to_the_page_or_screen_of_its_campaign_within_seconds(played: Played):
    landed = {
        (played.who[event.event_id], event.properties["campaign_id"], event.time): event
        for event in of(played, "Page Viewed", "Screen Viewed")
        if "campaign_id" in event.properties
    }
    seen, last = set(), played.events[-1].time
    for click in of(played, *CLICKS):
        message = click.properties.get("message_id", click.event_id)
        if message in seen or click.time > last - MINUTE:
            continue
        seen.add(message)
        place = (played.who[click.event_id], click.properties["campaign_id"], click.time + 2 * SECOND)
        page = landed.pop(place)
        assert page.channel == ("app" if click.type == "Push Notification Tapped" else "web")
        assert page.properties["device_type"] == click.properties["device_type"]
    assert len(seen) > 100
    assert not landed


def test_some_clicks_lead_to_orders_and_some_are_made_twice(played: Played):
    clicked: dict[str, int] = {}
    bought: set[str] = set()
    for event in played.events:
        who = played.who[event.event_id]
        if event.type in CLICKS:
            clicked[who] = event.time
        elif event.type == "Order Completed" and event.time - clicked.get(who, 0) < 30 * MINUTE:
            bought.add(event.event_id)
    messages = Counter(event.properties.get("message_id") for event in of(played, *CLICKS))
    del messages[None]
    assert len(bought) > 5
    assert 0 < sum(count - 1 for count in messages.values()) < 0.2 * len(messages)


def test_every_visit_to_the_site_or_the_app_says_first_on_what_device_and_stays_with_it(played: Played):
    last: dict[tuple[str, str], tuple[int, str | None]] = {}
    devices: Counter[str] = Counter()
    for event in played.events:
        mark = event.identifiers.get("cookie") or event.identifiers.get("device")
        if event.channel not in {"web", "app"} or mark is None or event.type in NO_VISIT:
            continue
        said = event.properties.get("device_type")
        time, known = last.get((event.channel, mark), (0, None))
        if event.time - time > 30 * MINUTE:
            assert said is not None, event.type
            devices[said] += 1
        else:
            assert said in {None, known}
        last[event.channel, mark] = event.time, said or known
    assert devices.keys() == {"phone", "desktop", "tablet", "kiosk"}
    assert min(devices["phone"], devices["desktop"]) > 0.25 * devices.total()


def test_promotions_are_clicked_where_they_were_shown_and_lead_to_a_product(played: Played):
    shown, clicks = of(played, "Promotion Viewed"), of(played, "Promotion Clicked")
    places = {(str(event.identifiers), str(event.properties)): event.time for event in shown}
    products = {(str(event.identifiers), event.time) for event in of(played, "Product Viewed")}
    last = played.events[-1].time
    for click in clicks:
        assert places[str(click.identifiers), str(click.properties)]
        assert (str(click.identifiers), click.time + SECOND) in products or click.time + SECOND > last
        assert any(
            0 < click.time - event.time < MINUTE
            for event in shown
            if (event.identifiers, event.properties) == (click.identifiers, click.properties)
        )
    assert 0.02 < len(clicks) / len(shown) < 0.12


def test_promotions_are_shown_as_often_as_asked_and_move_nothing():
    usual, without, always = (play(habits=Habits(promotions=share)) for share in (0.25, 0.0, 1.0))
    assert not of(without, "Promotion Viewed", "Promotion Clicked")
    lists = len(of(without, "Product List Viewed", "Screen Viewed")) - _walked(without)
    assert 0.2 < len(of(usual, "Promotion Viewed")) / lists < 0.3
    assert len(of(always, "Promotion Viewed")) == pytest.approx(lists, rel=0.01)
    for other in (usual, always):
        same = {event.event_id: event for event in other.events}
        assert all(same[event.event_id] == event for event in without.events)


def _walked(played: Played) -> int:
    return sum(event.properties["screen"] == "shops" for event in of(played, "Screen Viewed"))


def test_push_messages_are_sent_as_often_as_asked():
    usual, never, always = (play(habits=Habits(pushes=share)) for share in (0.25, 0.0, 1.0))
    counts = [len(of(one, "Push Notification Received")) for one in (usual, never, always)]
    assert counts[1] == 0
    assert 0.2 < counts[0] / counts[2] < 0.3


def test_campaigns_promotions_and_walks_are_a_tenth_of_all_events_at_most():
    without = play(habits=Habits(pushes=0, promotions=0, walks=0))
    pages = len(of(without, "Page Viewed"))
    assert 1.03 < len(play().events) / (len(without.events) - pages) < 1.1


def test_half_of_the_ratings_say_whether_she_would_recommend_the_shop_and_the_content_ones_do(played: Played):
    answers: dict[int, list[int]] = defaultdict(list)
    ratings = of(played, "Satisfaction Rated")
    for event in ratings:
        assert event.properties["rating"] in range(1, 6)
        if "recommend" in event.properties:
            assert type(event.properties["recommend"]) is int
            assert event.properties["recommend"] in range(11)
            answers[event.properties["rating"]].append(event.properties["recommend"])
    said = sum(map(len, answers.values()))
    assert 0.35 < said / len(ratings) < 0.65
    means = [sum(answers[rating]) / len(answers[rating]) for rating in (1, 3, 5)]
    assert means == sorted(means)
    assert means[0] < 6
    assert means[2] > 8


# -- what it costs --------------------------------------------------------------------------------------


def test_what_the_back_office_says_comes_in_order_of_arrival_and_can_be_read(played: Played):
    assert all(one.at <= then.at for one, then in pairwise(played.records))
    for feed in ("campaigns", "spend"):
        decoder = ReferenceDecoder(schemas.references()[feed])
        for record in played.rows[f"reference.{feed}"]:
            value, headers = encoded(record)
            assert decoder.decode(value, headers, record.key, record.at).item == record.key.decode()


def test_a_deployment_that_has_not_all_feeds_gets_the_others_and_all_else():
    simulation = Simulation(1, shoppers=60, days=1, noise=QUIET)
    everything = list(with_backoffice(simulation))
    some = list(with_backoffice(simulation, ("stores", "spend")))
    assert {record.channel for record in some if record.row is not None} == {
        "reference.stores",
        "reference.spend",
    }
    channels = {record.channel for record in some}
    assert some == [record for record in everything if record.channel in channels]


def test_every_campaign_is_announced_before_it_is_named(played: Played):
    announced: dict[str, dict[str, object]] = {}
    named = set()
    for record in played.records:
        if record.channel == "reference.campaigns":
            assert record.row["campaign_id"] not in announced
            announced[record.row["campaign_id"]] = record.row
        elif record.channel == "reference.spend":
            assert announced[record.row["campaign_id"]]["channel"] == record.row["channel"]
        elif record.event is not None and (campaign := record.event.properties.get("campaign_id")):
            named.add(campaign)
            assert campaign in announced
    assert named <= announced.keys()
    assert {row["channel"] for row in announced.values()} == set(CHANNELS.values())


def test_spend_is_what_was_delivered_and_clicked_and_corrections_replace_it(played: Played):
    due: Counter[tuple[str, str, str]] = Counter()
    for event in played.events:
        if event.type in COSTS and (event.type != "Link Clicked" or event.channel == "social"):
            day = (event.time - DEFAULT_START) // DAY
            due[f"2025-03-0{3 + day}", event.channel, event.properties["campaign_id"]] += COSTS[event.type]
    said: dict[str, list[Planned]] = defaultdict(list)
    for record in played.rows["reference.spend"]:
        said[record.row["spend_id"]].append(record)
    sums: Counter[tuple[int, str, str]] = Counter()
    for bill, *corrections in said.values():
        row = bill.row
        assert row["amount"] == pytest.approx(
            due.pop((row["day"], row["channel"], row["campaign_id"])) / 1e6, abs=0.0051
        )
        known: Spend | None = None
        for record in (bill, *corrections):
            now = read_spend(record.row)
            assert now.amount % 10_000 == 0, "cents"
            for cell, amount in spent(known, now).items():
                sums[cell.window, *cell.dimensions[:2]] += amount
            known = now
        assert len(corrections) <= 1
        for correction in corrections:
            assert correction.row | {"amount": 0, "time": 0} == row | {"amount": 0, "time": 0}
            assert 0.85 * row["amount"] - 0.01 < correction.row["amount"] <= row["amount"]
            assert DAY - 3_600_000 < correction.at - bill.at < DAY + 3_600_000
    assert not due, "every day is billed"
    assert 0.5 < sum(len(records) == 2 for records in said.values()) / len(said) < 1
    latest = {
        (one.day, one.channel, one.campaign): one.amount
        for one in (read_spend(rows[-1].row) for rows in said.values())
    }
    assert len(latest) == len(said)
    assert sums == latest
