"""Accuracy by counting cells is what looking at every pair of events gives."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.runs.accuracy import accuracy, b_cubed, connected_components, pairwise, reachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EVENTS = st.lists(
    st.tuples(
        st.sampled_from("ABCD"),
        st.sampled_from("wxyz"),
        st.lists(st.sampled_from("123456"), min_size=1, max_size=3, unique=True),
    ),
    max_size=14,
)
"""Of each event the person, the customer and the identifiers."""

Partition = dict[str, str]


def unzip(events: Sequence[tuple[str, str, list[str]]]) -> tuple[Partition, Partition, dict[str, list[str]]]:
    named = {f"e{number}": event for number, event in enumerate(events)}
    return (
        {name: person for name, (person, _, _) in named.items()},
        {name: customer for name, (_, customer, _) in named.items()},
        {name: identifiers for name, (_, _, identifiers) in named.items()},
    )


def share(found: Sequence[bool]) -> float:
    return fmean(found) if found else 1.0


def together(group_of: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(one, other) for one, other in combinations(group_of, 2) if group_of[one] == group_of[other]]


def walk(start: str, inside: set[str], identifiers_of: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the events that a chain of identifiers connects with `start`, by searching."""
    seen, waiting = {start}, [start]
    while waiting:
        here = set(identifiers_of[waiting.pop()])
        near = {event for event in inside - seen if here & set(identifiers_of[event])}
        seen |= near
        waiting += near
    return seen


@given(EVENTS)
def test_pairwise_is_what_looking_at_every_pair_gives(events):
    person, customer, _ = unzip(events)
    score = pairwise(person, customer)
    right = [person[one] == person[other] for one, other in together(customer)]
    recalled = [customer[one] == customer[other] for one, other in together(person)]
    assert score.precision == pytest.approx(share(right))
    assert score.recall == pytest.approx(share(recalled))


@given(EVENTS.filter(bool))
def test_b_cubed_is_the_mean_of_what_each_event_sees(events):
    person, customer, _ = unzip(events)
    precisions, recalls = [], []
    for event in person:
        hers = {other for other in person if person[other] == person[event]}
        held = {other for other in person if customer[other] == customer[event]}
        precisions.append(len(hers & held) / len(held))
        recalls.append(len(hers & held) / len(hers))
    score = b_cubed(person, customer)
    assert score.precision == pytest.approx(fmean(precisions))
    assert score.recall == pytest.approx(fmean(recalls))


@given(EVENTS)
def test_what_is_reachable_is_what_a_search_through_the_persons_own_events_finds(events):
    person, _, identifiers = unzip(events)
    groups, components = reachable(person, identifiers), connected_components(identifiers)
    for event in person:
        own = {other for other in person if person[other] == person[event]}
        assert {o for o in person if groups[o] == groups[event]} == walk(event, own, identifiers)
        assert {o for o in person if components[o] == components[event]} == walk(
            event, set(person), identifiers
        )


@given(EVENTS)
def test_components_reach_everything_that_is_reachable_and_recall_is_never_more_than_reachable_recall(events):
    person, customer, identifiers = unzip(events)
    components = connected_components(identifiers)
    plain = accuracy(person, components, identifiers)
    assert plain.reachable_pairwise_recall == plain.reachable_b_cubed_recall == 1.0
    assert plain.reachable_under_merge == 0.0
    finer = {event: f"{components[event]} {customer[event]}" for event in person}
    found = accuracy(person, finer, identifiers)
    # Whatever only joins what evidence connects: the pairs that it can't know of are missing from recall alone.
    assert found.pairwise.recall <= plain.pairwise.recall
    assert found.over_merge <= 1.0


@given(EVENTS)
def test_the_rates_are_shares_of_customers_and_of_persons(events):
    person, customer, identifiers = unzip(events)
    found = accuracy(person, customer, identifiers)
    mixed = {c for c in customer.values() if len({person[e] for e in person if customer[e] == c}) > 1}
    torn = {p for p in person.values() if len({customer[e] for e in person if person[e] == p}) > 1}
    assert found.over_merge == pytest.approx(len(mixed) / len(set(customer.values())) if customer else 0.0)
    assert found.under_merge == pytest.approx(len(torn) / len(set(person.values())) if person else 0.0)
