"""The deployment in memory: its clock and timers, and what is compared with what came of them."""

from __future__ import annotations

import pytest

from stream_app.domain.event import Event
from stream_app.domain.identifiers import Identifier
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.rules import RuleBook, load_rule
from stream_app.runs.rule_expectations import Expectation, Outcome, differences
from stream_app.runs.triggers_in_memory import Timekeeper, TriggersInMemory

POLICY = IdentityPolicy.from_mapping({"namespaces": [{"name": "cookie", "priority": 1, "kind": "device"}]})
RULES = [
    "{name: x, opens: {event: A}, closes: {event: B}, after: 10ms}",
    "{name: y, opens: {event: A}, closes: {event: B}, after: 20ms}",
]


@pytest.fixture
def deployment() -> TriggersInMemory:
    return TriggersInMemory(POLICY, RuleBook([load_rule(text) for text in RULES]))


def event(event_id: str, time: int, kind: str, cookie: str) -> Event:
    return Event(event_id, time, "web", kind, (f"cookie:{cookie}",), {}, time, f"test/0/{event_id}")


def decided(deployment: TriggersInMemory) -> list[tuple[str, str, int]]:
    return [(d.rule, d.opened_by, d.sent) for d in (one.decision for one in deployment.decided)]


def test_timers_of_all_customers_go_off_in_the_order_of_their_times(deployment):
    deployment.give(event("a", 100, "A", "c"))
    deployment.give(event("b", 103, "A", "d"))
    deployment.advance(1_000)
    assert decided(deployment) == [("x", "a", 110), ("x", "b", 113), ("y", "a", 120), ("y", "b", 123)]
    assert deployment.clock == 1_000


def test_an_event_moves_the_clock_to_its_own_time_before_it_is_looked_at(deployment):
    deployment.give(event("a", 100, "A", "c"))
    deployment.give(event("b", 111, "B", "c"))
    assert deployment.clock == 111
    assert decided(deployment) == [("x", "a", 110)]
    deployment.advance(1_000)
    assert decided(deployment) == [("x", "a", 110)]


def test_a_decision_names_whom_it_was_made_about(deployment):
    deployment.give(event("a", 100, "A", "c"))
    deployment.advance(111)
    assert [one.identifiers for one in deployment.decided] == [{"cookie:c"}]


def test_a_timer_that_was_taken_back_does_not_go_off_unless_it_is_set_again():
    timers = Timekeeper()
    for due, key in ((3, b"c"), (1, b"a"), (1, b"b"), (1, b"a")):
        timers.set(due, key)
    timers.cancel(1, b"b")
    timers.cancel(2, b"unknown")
    assert [timers.take(3), timers.take(3)] == [(1, b"a"), None]
    timers.set(1, b"b")
    assert [timers.take(4), timers.take(4), timers.take(4)] == [(1, b"b"), (3, b"c"), None]


def test_messages_are_compared_in_the_order_of_their_sending(deployment):
    deployment.give(event("a", 100, "A", "c"))
    deployment.advance(1_000)
    outcomes = [Outcome(one.decision, one.identifiers) for one in reversed(deployment.decided)]
    identifier = Identifier(POLICY)
    assert not list(differences(Expectation([{"rule": "x"}, {"rule": "y"}]), outcomes, identifier))
    assert list(differences(Expectation([{"rule": "y"}, {"rule": "x"}]), outcomes, identifier))
