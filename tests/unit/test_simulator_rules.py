"""A day of simulated shoppers shows what the shipped rules do, through the real identities and rules, in memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

import schemas
from connectors.simulators import Noise, Planned, Simulation, with_backoffice
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.rules import Action, RuleBook, load_rule
from stream_app.runs.comparison import good_events
from stream_app.runs.feed import encoded
from stream_app.runs.triggers_in_memory import TriggersInMemory
from stream_app.wire import ReferenceDecoder

if TYPE_CHECKING:
    from stream_app.domain.reference import Said

NEEDS_MORE_THAN_A_DAY = {"birthday", "win_back"}
"""A birthday that somebody just told, and is one of the next days, is rare; nobody is silent for 90 days."""
CLOSING = 48 * 3_600_000
"""How far the demo's clock runs on after the last record, ms."""


@pytest.fixture(scope="module")
def decided() -> Counter[tuple[str, Action]]:
    policy = IdentityPolicy.from_yaml(schemas.read_text("policies/identity.yaml"))
    rules = [load_rule(schemas.read_text(path), path) for path in schemas.files("rules", ".yaml")]
    simulation = Simulation(1, shoppers=500, days=1, noise=Noise(too_large=0))
    run = TriggersInMemory(policy, RuleBook(rules))
    records = list(with_backoffice(simulation))
    events = {event.event_id: event for event in good_events(records, policy)}
    for record in records:
        if record.row is not None:
            run.refer(said(record))
        elif record.event is not None and record.note in {None, "late"}:
            run.give(events[record.event.event_id])
    run.advance(simulation.end + CLOSING)
    return Counter((one.decision.rule, one.decision.action) for one in run.decided)


def said(record: Planned) -> Said:
    feed = schemas.references()[record.channel.removeprefix("reference.")]
    value, headers = encoded(record)
    return ReferenceDecoder(feed).decode(value, headers, record.key, record.at)


def test_a_day_makes_the_shipped_rules_fire(decided: Counter[tuple[str, Action]]):
    fired = {rule for rule, action in decided if action == Action.FIRE}
    shipped = {schemas.read_yaml(path)["name"] for path in schemas.files("rules", ".yaml")}
    assert fired >= shipped - NEEDS_MORE_THAN_A_DAY


def test_what_comes_to_light_late_takes_some_messages_back(decided: Counter[tuple[str, Action]]):
    retracted = sum(count for (_, action), count in decided.items() if action == Action.RETRACT)
    fired = sum(count for (_, action), count in decided.items() if action == Action.FIRE)
    assert 0 < retracted < 0.1 * fired
