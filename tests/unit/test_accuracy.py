"""Precision and recall, against values worked out by hand and in the literature."""

from __future__ import annotations

import pytest

from stream_app.runs.accuracy import (
    Score,
    accuracy,
    b_cubed,
    connected_components,
    pairwise,
    reachable,
    spread,
)

# Ana did a, b and c; Bo did d and e. They share the cookie "tablet"; nothing connects Ana's c with the rest.
PERSON = {"a": "Ana", "b": "Ana", "c": "Ana", "d": "Bo", "e": "Bo"}
CUSTOMER = {"a": "X", "b": "X", "d": "X", "c": "Y", "e": "Z"}
IDENTIFIERS = {
    "a": ["cookie:tablet"],
    "b": ["user_id:1", "cookie:tablet"],
    "c": ["cookie:phone"],
    "d": ["cookie:tablet"],
    "e": ["cookie:tablet"],
}


def partition(*groups: str) -> dict[str, str]:
    return {event: group for group in groups for event in group}


def test_pairwise_counts_pairs_of_events():
    # X claims ab, ad and bd, of which ab is right; true are ab, ac, bc and de.
    score = pairwise(PERSON, CUSTOMER)
    assert score.precision == pytest.approx(1 / 3)
    assert score.recall == pytest.approx(1 / 4)
    assert score.f1 == pytest.approx(2 / 7)


def test_b_cubed_counts_events():
    # Precision of a, b, c, d, e: 2/3, 2/3, 1, 1/3, 1; recall: 2/3, 2/3, 1/3, 1/2, 1/2.
    score = b_cubed(PERSON, CUSTOMER)
    assert score.precision == pytest.approx(11 / 15)
    assert score.recall == pytest.approx(8 / 15)


@pytest.mark.parametrize(
    ("found", "precision"), [(("12345", "6789ABC"), 16 / 21), (("1234589ABC", "67"), 7 / 12)]
)
def test_b_cubed_tells_a_small_mistake_from_a_large_one_as_bagga_and_baldwin_do(found, precision):
    truth = partition("12345", "67", "89ABC")  # their example: 76 % and 58 %, and everything recalled
    assert b_cubed(truth, partition(*found)) == Score(pytest.approx(precision), 1.0)


def test_recall_can_be_over_what_a_persons_own_evidence_connects():
    found = accuracy(PERSON, CUSTOMER, IDENTIFIERS)
    assert found.pairwise.recall == pytest.approx(1 / 4)
    assert found.reachable_pairwise_recall == pytest.approx(1 / 2)  # ab and de, of which ab is found
    assert found.reachable_b_cubed_recall == pytest.approx(4 / 5)  # 1, 1, 1, 1/2, 1/2


def test_a_customer_of_two_persons_is_an_over_merge_and_a_person_at_two_customers_an_under_merge():
    found = accuracy(PERSON, CUSTOMER, IDENTIFIERS)
    assert (found.events, found.persons, found.customers) == (5, 2, 3)
    assert found.over_merge == pytest.approx(1 / 3)  # X, of X, Y and Z
    assert found.largest_merge == 2
    assert found.under_merge == 1.0  # Ana and Bo both
    assert found.reachable_under_merge == pytest.approx(1 / 3)  # de, of ab, c and de


def test_a_chain_leads_through_a_persons_other_events_but_not_through_other_peoples():
    persons = {"a": "Ana", "b": "Ana", "c": "Ana", "d": "Bo"}
    through = {"a": ["cookie:1"], "b": ["email:ana"], "c": ["cookie:1", "email:ana"], "d": ["cookie:9"]}
    around = {"a": ["cookie:1"], "b": ["email:ana"], "c": ["cookie:2"], "d": ["cookie:1", "email:ana"]}
    connected, apart = reachable(persons, through), reachable(persons, around)
    assert connected["a"] == connected["b"] == connected["c"]
    assert apart["a"] != apart["b"]
    joined = connected_components(around)
    assert joined["a"] == joined["b"] == joined["d"] != joined["c"]


def test_two_persons_who_share_an_identifier_are_apart_in_what_is_reachable():
    groups = reachable(PERSON, IDENTIFIERS)
    assert groups["a"] == groups["b"] != groups["d"] == groups["e"]
    assert groups["c"] not in (groups["a"], groups["d"])


def test_a_perfect_answer_scores_one_whatever_the_names():
    perfect = accuracy(PERSON, {event: f"c-{person}" for event, person in PERSON.items()}, IDENTIFIERS)
    assert perfect.pairwise == perfect.b_cubed == Score(1.0, 1.0)
    assert perfect.over_merge == perfect.under_merge == 0.0
    assert perfect.pairwise.f1 == 1.0


def test_where_nothing_is_claimed_nothing_is_wrong():
    nothing = pairwise(PERSON, {event: event for event in PERSON})
    assert nothing == Score(precision=1.0, recall=0.0)
    assert nothing.f1 == 0.0
    assert pairwise({}, {}) == b_cubed({}, {}) == Score(1.0, 1.0)
    assert spread({}, {}) == 0.0


def test_one_customer_for_everybody_recalls_everything():
    everybody = dict.fromkeys(PERSON, "all")
    assert pairwise(PERSON, everybody) == Score(pytest.approx(4 / 10), 1.0)
    assert spread(everybody, PERSON) == 1.0


def test_partitions_of_other_events_are_refused():
    with pytest.raises(ValueError, match="2 events are in one alone"):
        pairwise(PERSON, {**dict.fromkeys("abcd", "X"), "f": "X"})
    with pytest.raises(ValueError, match="identifiers are needed for exactly the events"):
        accuracy(PERSON, CUSTOMER, {"a": ["cookie:1"]})
