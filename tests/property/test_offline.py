"""The answer that a run is held against, computed from all events and commands at once, against the oracle."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.commands import PAIR_OPS, Command, Op
from stream_app.domain.event import ChannelEvent, Event
from stream_app.domain.identifiers import Identifier, to_event
from stream_app.domain.offline import who_is_who
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.refusal import Refused
from stream_app.wire import parse_timestamp
from tests.property.examples import examples
from tests.property.identity_oracle import answer
from tests.property.identity_strategies import arrivals, policies

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence


def told(policy: IdentityPolicy, arrived: Sequence[Mapping[str, Any]]) -> tuple[list[Event], list[Command]]:
    """Return what the first hop makes of arrivals in the format of a case; what it refuses is left out."""
    identifier, events, commands = Identifier(policy), [], []
    for number, one in enumerate(arrived):
        time = parse_timestamp(one["time"])
        try:
            if (op := one.get("op")) is None:
                event = ChannelEvent(one["event_id"], time, "web", one["type"], one["identifiers"], {})
                events.append(to_event(event, identifier.identify(event)[0], number, f"case/0/{number}"))
            else:
                written = {name: one[name] for name in (("a", "b") if op in PAIR_OPS else ("id",))}
                names = identifier.named(written)
                commands.append(Command(f"c-{number}", Op(op), names, time, "zoe", "because", ""))
        except Refused:
            continue
    return events, commands


def cells(owner: Mapping[str, Hashable]) -> set[frozenset[str]]:
    """Return the sets of events that are one customer's each; those that are nobody's are one of them."""
    found: defaultdict[Hashable, set[str]] = defaultdict(set)
    for event_id, customer in owner.items():
        found[customer or None].add(event_id)
    return set(map(frozenset, found.values()))


@examples(100)
@given(st.data())
def test_all_events_and_commands_at_once_give_what_the_oracle_says(data: st.DataObject) -> None:
    policy = data.draw(policies())
    arrived = data.draw(arrivals(policy))
    events, commands = told(policy, arrived)
    random.Random(len(arrived)).shuffle(commands)
    owner = who_is_who(policy, events, b"key", commands)
    known = {
        event_id: whose for event_id, whose in answer(policy, arrived).owner.items() if event_id in owner
    }
    assert cells(owner) == cells(known)
    assert {event_id for event_id, customer in owner.items() if not customer} == {
        event_id for event_id, customer in known.items() if customer is None
    }


def test_an_erasure_has_no_answer_that_all_events_together_give() -> None:
    erase = Command("c-1", Op.ERASE, ("email:ana@example.org",), 1, "zoe", "she asks for it", "")
    policy = IdentityPolicy.from_mapping({"namespaces": [{"name": "email", "priority": 1, "kind": "person"}]})
    with pytest.raises(ValueError, match="erasure"):
        who_is_who(policy, [], commands=[erase])
