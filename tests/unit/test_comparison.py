"""A run's customers beside those that it had to find, and beside the truth."""

from __future__ import annotations

import pytest

import schemas
from connectors.simulators import Planned, Simulation, Truth
from stream_app.domain.policy import IdentityPolicy
from stream_app.runs.comparison import compare, expected, good_events, misplaced

POLICY = IdentityPolicy.from_yaml(schemas.read_text("policies/identity.yaml"))


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(1, shoppers=80, days=2)


@pytest.fixture(scope="module")
def records(simulation: Simulation) -> list[Planned]:
    return list(simulation.records())


@pytest.fixture(scope="module")
def truth(simulation: Simulation) -> Truth:
    return simulation.truth


@pytest.fixture
def right(records: list[Planned]) -> dict[str, str]:
    """What the rules say, under other names."""
    wanted = expected(POLICY, good_events(records, POLICY))
    return {event_id: f"customer of {group}" for event_id, group in wanted.items()}


def test_good_events_are_those_of_the_truth_each_once(records, truth):
    events = good_events(records, POLICY)
    assert len(events) == truth.events
    assert {event.event_id for event in events} == truth.shopper_of.keys()


def test_a_run_that_finds_what_the_rules_say_misplaces_nothing(records, truth, right):
    compared = compare(records, truth, right, POLICY)
    assert compared.misplaced == 0
    assert compared.expected_customers == len(set(right.values())) == compared.accuracy.customers
    assert compared.accuracy.events == truth.events
    assert compared.accuracy.persons == truth.active_shoppers


def test_customers_of_persons_are_perfect_against_the_truth_whatever_the_rules_say(records, truth):
    accuracy = compare(records, truth, truth.shopper_of, POLICY).accuracy
    assert accuracy.pairwise.precision == accuracy.pairwise.recall == 1.0


def test_an_event_that_the_run_lost_is_left_out(records, truth, right):
    lost = next(iter(right))
    found = {event_id: customer for event_id, customer in right.items() if event_id != lost}
    compared = compare(records, truth, found, POLICY)
    assert compared.accuracy.events == truth.events - 1
    assert compared.misplaced == 0


def test_an_event_of_unknown_origin_is_left_out(records, truth, right):
    compared = compare(records, truth, {**right, "from nowhere": "somebody"}, POLICY)
    assert compared.accuracy.events == truth.events


def test_events_at_a_customer_that_was_split_or_joined_are_misplaced():
    wanted = {"a": "1", "b": "1", "c": "2", "d": "3"}
    assert misplaced({"a": "x", "b": "x", "c": "y", "d": "z"}, wanted) == 0
    assert misplaced({"a": "x", "b": "w", "c": "y", "d": "z"}, wanted) == 2  # a, b
    assert misplaced({"a": "x", "b": "x", "c": "x", "d": "z"}, wanted) == 3  # a, b, c
    assert misplaced({"a": "x", "b": "y", "c": "y", "d": "z"}, wanted) == 3
