"""How right customers are, given who truly caused each event.

Two partitions of the same events are compared: the true one (by person) and the one found (by customer).

- *Pairwise* (Menestrina, Whang and Garcia-Molina 2010, "Evaluating entity resolution results"): over pairs
  of events. Precision: of the pairs with one customer, the share that one person caused. Recall: of the pairs
  that one person caused, the share with one customer. Long histories count most: n events are n (n - 1) / 2 pairs.
- *B-cubed* (Bagga and Baldwin 1998, "Algorithms for scoring coreference chains"): over events, each counting
  alike. An event's precision is the share of its customer's events that its person caused, its recall the share
  of its person's events that its customer has; itself included.
- *Over-merge rate*: the share of customers that hold events of more than one person. One customer that holds
  everybody is one customer of many: the largest merge, in persons, belongs beside it.
- *Under-merge rate*: the share of persons whose events are spread over more than one customer.

Recall is over everything that a person did. Some of it nobody can join: two cookies of somebody who never said
who she is have nothing in common. *Reachable* recall leaves that out: it is over the pairs (for B-cubed: the
events) that a chain of identifiers connects within the person's own events. See `reachable`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.simulators import Components

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Score(msgspec.Struct, frozen=True):
    """Precision and recall, each from 0 to 1; 1 where there is nothing that could be wrong."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of the two (van Rijsbergen 1979); 0 where both are."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


class Accuracy(msgspec.Struct, frozen=True):
    """How right the customers of some events are. Rates are from 0 to 1.

    Attributes:
        events: how many were compared.
        persons: how many caused them.
        customers: how many hold them.
        pairwise: over pairs of events.
        b_cubed: over events.
        reachable_pairwise_recall: pairwise recall over the pairs that the person's own evidence connects.
        reachable_b_cubed_recall: the same over events.
        over_merge: share of customers with events of more than one person.
        largest_merge: persons in the customer that has most of them.
        under_merge: share of persons with events at more than one customer.
        reachable_under_merge: share of the connected groups of a person's events that are at more than one.
    """

    events: int
    persons: int
    customers: int
    pairwise: Score
    b_cubed: Score
    reachable_pairwise_recall: float
    reachable_b_cubed_recall: float
    over_merge: float
    largest_merge: int
    under_merge: float
    reachable_under_merge: float


def figures(found: Accuracy) -> dict[str, Any]:
    """Return everything for machines, F1 included, rounded to six places."""
    scores = {"pairwise": found.pairwise, "b_cubed": found.b_cubed}
    reachable_recall = {
        "pairwise": found.reachable_pairwise_recall,
        "b_cubed": found.reachable_b_cubed_recall,
    }
    return {
        "events": found.events,
        "persons": found.persons,
        "customers": found.customers,
        **{
            name: {
                "precision": round(score.precision, 6),
                "recall": round(score.recall, 6),
                "f1": round(score.f1, 6),
                "reachable_recall": round(reachable_recall[name], 6),
            }
            for name, score in scores.items()
        },
        "over_merge": round(found.over_merge, 6),
        "largest_merge": found.largest_merge,
        "under_merge": round(found.under_merge, 6),
        "reachable_under_merge": round(found.reachable_under_merge, 6),
    }


def accuracy(
    person_of: Mapping[str, str],
    customer_of: Mapping[str, str],
    identifiers_of: Mapping[str, Sequence[str]],
) -> Accuracy:
    """Compare customers with persons, in time proportional to the number of events.

    Args:
        person_of: event id -> who truly caused it.
        customer_of: event id -> the customer that holds it.
        identifiers_of: event id -> its usable identifiers ("namespace:value"), at least one.

    Raises:
        ValueError: the three are not about the same events.
    """
    if identifiers_of.keys() != person_of.keys():
        raise ValueError("identifiers are needed for exactly the events whose person is known")
    groups = reachable(person_of, identifiers_of)
    return Accuracy(
        events=len(person_of),
        persons=len(set(person_of.values())),
        customers=len(set(customer_of.values())),
        pairwise=pairwise(person_of, customer_of),
        b_cubed=b_cubed(person_of, customer_of),
        reachable_pairwise_recall=pairwise(groups, customer_of).recall,
        reachable_b_cubed_recall=b_cubed(groups, customer_of).recall,
        over_merge=spread(customer_of, person_of),
        largest_merge=max(Counter(c for c, _ in _contingency(customer_of, person_of)).values(), default=0),
        under_merge=spread(person_of, customer_of),
        reachable_under_merge=spread(groups, customer_of),
    )


def pairwise(person_of: Mapping[str, str], customer_of: Mapping[str, str]) -> Score:
    """Return precision and recall over pairs of events.

    With n_pc the events of person p at customer c, and pairs(n) = n (n - 1) / 2: the sum of pairs(n_pc), over the
    sum of pairs(n_c) for precision, and over that of pairs(n_p) for recall.

    Raises:
        ValueError: the two are not about the same events.
    """
    cells = _contingency(person_of, customer_of)
    right = _pairs(cells.values())
    claimed, true = (
        _pairs(Counter(customer_of.values()).values()),
        _pairs(Counter(person_of.values()).values()),
    )
    return Score(right / claimed if claimed else 1.0, right / true if true else 1.0)


def b_cubed(person_of: Mapping[str, str], customer_of: Mapping[str, str]) -> Score:
    """Return the means over events of each event's precision and recall.

    With n events, n_pc of them of person p at customer c: the sum of n_pc * n_pc / n_c, over n, for precision;
    with n_p in the place of n_c for recall.

    Raises:
        ValueError: the two are not about the same events.
    """
    cells = _contingency(person_of, customer_of)
    persons, customers = Counter(person_of.values()), Counter(customer_of.values())
    events = len(person_of)
    if not events:
        return Score(1.0, 1.0)
    precision = sum(count * count / customers[customer] for (_, customer), count in cells.items())
    recall = sum(count * count / persons[person] for (person, _), count in cells.items())
    return Score(precision / events, recall / events)


def spread(group_of: Mapping[str, str], other_of: Mapping[str, str]) -> float:
    """Return the share of groups whose events are in more than one group of the other partition; 0 without any.

    Raises:
        ValueError: the two are not about the same events.
    """
    others = Counter(group for group, _ in _contingency(group_of, other_of))
    return sum(count > 1 for count in others.values()) / len(others) if others else 0.0


def reachable(person_of: Mapping[str, str], identifiers_of: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return event id -> the group of its person's events that a chain of identifiers connects it with.

    Two events of one person are connected if they have an identifier in common, or each has one in common with
    a third event of hers, and so on. What other people did doesn't count.
    """
    chains = Components()
    own = {
        event_id: [f"{person} {identifier}" for identifier in identifiers_of[event_id]]
        for event_id, person in person_of.items()
    }
    for identifiers in own.values():
        chains.join(identifiers)
    return {event_id: chains.find(identifiers[0]) for event_id, identifiers in own.items()}


def connected_components(identifiers_of: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return event id -> its connected component: the plain answer, to which whatever shares anything is one.

    Two events are in one component if a chain of identifiers connects them, whosever they are.
    """
    return reachable(dict.fromkeys(identifiers_of, ""), identifiers_of)


def _contingency(one: Mapping[str, str], other: Mapping[str, str]) -> Counter[tuple[str, str]]:
    if one.keys() != other.keys():
        missing = len(one.keys() ^ other.keys())
        raise ValueError(f"two partitions of the same events are needed; {missing} events are in one alone")
    return Counter((group, other[event_id]) for event_id, group in one.items())


def _pairs(counts: Iterable[int]) -> int:
    return sum(count * (count - 1) // 2 for count in counts)
