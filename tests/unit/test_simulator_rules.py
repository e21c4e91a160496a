"""A day of simulated shoppers shows what the shipped rules do, through the real identities and rules, in memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

import schemas
from connectors.simulators import QUIET, Habits, Noise, Planned, Simulation, with_backoffice
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.rules import Action, RuleBook, load_rule
from stream_app.runs.comparison import good_events
from stream_app.runs.feed import encoded
from stream_app.runs.triggers_in_memory import TriggersInMemory
from stream_app.wire import ReferenceDecoder

if TYPE_CHECKING:
    from stream_app.domain.event import Event
    from stream_app.domain.reference import Said

NEEDS_MORE_THAN_A_DAY = {"birthday", "win_back"}
"""A birthday that somebody just told, and is one of the next days, is rare; nobody is silent for 90 days."""
HOUR = 3_600_000
CLOSING = 48 * HOUR
"""How far the demo's clock runs on after the last record, ms."""


def play(simulation: Simulation, *names: str) -> tuple[TriggersInMemory, dict[str, Event]]:
    """Run the shipped rules of these names (none: all) over a simulation; return the run, and its events by id."""
    policy = IdentityPolicy.from_yaml(schemas.read_text("policies/identity.yaml"))
    rules = [load_rule(schemas.read_text(path), path) for path in schemas.files("rules", ".yaml")]
    run = TriggersInMemory(policy, RuleBook([rule for rule in rules if not names or rule.name in names]))
    records = list(with_backoffice(simulation))
    events = {event.event_id: event for event in good_events(records, policy)}
    for record in records:
        if record.row is not None:
            if feed_of(record).broadcast:
                run.refer(said(record))
        elif record.event is not None and record.note in {None, "late"}:
            run.give(events[record.event.event_id])
    run.advance(simulation.end + CLOSING)
    return run, events


@pytest.fixture(scope="module")
def decided() -> Counter[tuple[str, Action]]:
    run, _ = play(Simulation(1, shoppers=500, days=1, noise=Noise(too_large=0)))
    return Counter((one.decision.rule, one.decision.action) for one in run.decided)


def said(record: Planned) -> Said:
    value, headers = encoded(record)
    return ReferenceDecoder(feed_of(record)).decode(value, headers, record.key, record.at)


def feed_of(record: Planned) -> schemas.ReferenceFeed:
    return schemas.references()[record.channel.removeprefix("reference.")]


def test_a_day_makes_the_shipped_rules_fire(decided: Counter[tuple[str, Action]]):
    fired = {rule for rule, action in decided if action == Action.FIRE}
    shipped = {schemas.read_yaml(path)["name"] for path in schemas.files("rules", ".yaml")}
    assert fired >= shipped - NEEDS_MORE_THAN_A_DAY


def test_what_comes_to_light_late_takes_some_messages_back(decided: Counter[tuple[str, Action]]):
    retracted = sum(count for (_, action), count in decided.items() if action == Action.RETRACT)
    fired = sum(count for (_, action), count in decided.items() if action == Action.FIRE)
    assert 0 < retracted < 0.1 * fired


def test_walks_past_shops_make_offers_where_the_shop_is_open_and_none_where_it_is_closed():
    habits = Habits(walks=0.5, shows_position=1.0, lets_follow=1.0, adds=0.8, abandonment=0.9)
    run, events = play(Simulation(1, shoppers=500, days=1, noise=QUIET, habits=habits), "near_store_offer")
    walked = [
        one.decision
        for one in run.decided
        if events[one.decision.opened_by].properties.get("screen") == "shops"
    ]
    fired = [decision for decision in walked if decision.action == Action.FIRE]
    assert len(walked) > len(fired) > 5
    assert all(8 <= decision.due // HOUR % 24 < 18 for decision in fired)
    assert {decision.because.values["store.open"] for decision in walked} == {True, False}
