"""The customers that a run found, beside those that it had to find and beside the true persons.

What it had to find follows from the events by the rules, and any difference is a bug. The truth is another matter:
no rules tell everybody apart, so of that only precision and recall are given.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.identifiers import Identifier, to_event
from stream_app.domain.offline import who_is_who
from stream_app.runs.accuracy import Accuracy, accuracy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connectors.planned import Planned
    from connectors.simulators import Truth
    from stream_app.domain.event import Event
    from stream_app.domain.policy import IdentityPolicy


class Comparison(msgspec.Struct, frozen=True):
    """What comparing gave.

    Attributes:
        expected_customers: how many customers hold the events by the rules.
        misplaced: events that are not with exactly the events with which they belong by the rules.
        accuracy: of the customers that were found, against the truth.
    """

    expected_customers: int
    misplaced: int
    accuracy: Accuracy


def compare(
    records: Iterable[Planned],
    truth: Truth,
    owner: Mapping[str, str],
    policy: IdentityPolicy,
    key: bytes | None = None,
) -> Comparison:
    """Compare a run over a simulation's records with what it had to find, and with the truth.

    Args:
        records: all that the simulation planned.
        truth: about the same simulation.
        owner: event id -> customer id, as the run found it. Events that it lacks are left out: they are
            lost, which the books say.
        policy: the identity policy of the run.
        key: the run's secret; needed where the policy has values hashed.
    """
    events = good_events(records, policy, key)
    wanted = expected(policy, events)
    there = [event for event in events if event.event_id in owner]
    found = {event.event_id: owner[event.event_id] for event in there}
    return Comparison(
        expected_customers=len(set(wanted.values())),
        misplaced=misplaced(found, {event_id: wanted[event_id] for event_id in found}),
        accuracy=accuracy(
            {event_id: truth.shopper_of[event_id] for event_id in found},
            found,
            {event.event_id: event.identifiers for event in there},
        ),
    )


def good_events(records: Iterable[Planned], policy: IdentityPolicy, key: bytes | None = None) -> list[Event]:
    """Return a simulation's good events, each once, as the stages behind ingest see them."""
    identifier = Identifier(policy, key)
    events = []
    for number, record in enumerate(records):
        if record.event is not None and record.note in {None, "late"}:
            identifiers, _ = identifier.identify(record.event)
            events.append(
                to_event(record.event, identifiers, record.at, f"channel.{record.channel}/0/{number}")
            )
    return events


def expected(policy: IdentityPolicy, events: Sequence[Event]) -> Mapping[str, str]:
    """Return event id -> customer, as a computation over all events at once gives it."""
    return who_is_who(policy, events)


def misplaced(found: Mapping[str, str], wanted: Mapping[str, str]) -> int:
    """Count the events that are not with exactly the events with which they should be; names don't matter."""
    cells = {(found[event_id], group) for event_id, group in wanted.items()}
    by_found = Counter(customer for customer, _ in cells)
    by_wanted = Counter(group for _, group in cells)
    return sum(by_found[found[event_id]] > 1 or by_wanted[group] > 1 for event_id, group in wanted.items())
