"""Who is who, kept up to date one event at a time, is what the whole evidence gives, and what the oracle says."""

from __future__ import annotations

from copy import deepcopy
from random import Random  # noqa: TC003 -- Hypothesis reads annotations
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.commands import PAIR_OPS, Command, verdict_of
from stream_app.domain.identities import ASK, Identities, load
from stream_app.domain.ownership import Owners
from stream_app.domain.partition import LinkRules
from tests.property.examples import examples
from tests.property.identity_oracle import answer
from tests.property.identity_rest import given_of
from tests.property.identity_strategies import arrivals, policies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_app.domain.partition import Names
    from stream_app.domain.policy import IdentityPolicy
    from tests.property.identity_oracle import Answer
    from tests.property.identity_rest import Given, Input
    from tests.property.identity_strategies import Arrival


@st.composite
def worlds(draw: st.DrawFn, *, commands: bool = False) -> tuple[IdentityPolicy, list[Arrival], Given]:
    policy = draw(policies())
    arrived = draw(arrivals(policy, commands=commands))
    return policy, arrived, given_of(policy, arrived)


class Kept:
    """Identities that take in one input after the other, and are settled after each."""

    def __init__(self, policy: IdentityPolicy) -> None:
        self.rules = LinkRules(policy)
        self.identities = Identities(self.rules)
        self.events: dict[str, tuple[Names, int]] = {}

    def take(self, one: Input) -> None:
        if isinstance(one, Command):
            self._follow(one)
        elif one.event_id not in self.events:
            self.events[one.event_id] = (one.identifiers, one.time)
            self.identities.see(one.identifiers, one.time, one.event_id)
        self.identities.settle()

    def _follow(self, command: Command) -> None:
        verdict, names = verdict_of(command), command.identifiers
        if command.op in PAIR_OPS:
            if verdict.beats(self.identities.verdicts.get((names[0], names[1]))):
                self.identities.verdicts[names[0], names[1]] = verdict
        elif verdict.beats(self.identities.marks.get(names[0])):
            self.identities.marks[names[0]] = verdict
        self.identities.compute()

    def again(self) -> Identities:
        """Return the same, computed from scratch."""
        known = self.identities
        found = load(self.rules, deepcopy(known.sightings), known.verdicts, known.marks)
        found.slot_of, found.slots = dict(known.slot_of), known.slots
        outcome = found.settle()
        assert not outcome.members, "slots are not kept by who has them"
        return found


def as_oracle(identities: Identities, events: dict[str, tuple[Names, int]]) -> Answer:
    """Say who is who in the oracle's words."""
    answered = answer(identities.policy, [])
    of_slot = {group.slot: frozenset(group.members) for group in set(identities.all.groups.values())}
    owners = Owners(identities, lambda *_: list(events.values()))
    answered.customers = frozenset(of_slot.values())
    answered.owner = {event_id: of_slot.get(owners.slot(*seen)) for event_id, seen in events.items()}
    answered.refused = {(weaker, stronger) for stronger, weaker in identities.all.refused}
    answered.quarantined = set(identities.shared)
    return answered


def is_as_computed_from_scratch(kept: Kept) -> None:
    known, found = kept.identities, kept.again()
    assert as_oracle(known, kept.events) == as_oracle(found, kept.events)
    assert known.all.refused.keys() == found.all.refused.keys()
    assert known.since == found.since
    assert {name: group.contested for name, group in known.all.groups.items()} == {
        name: group.contested for name, group in found.all.groups.items()
    }
    assert {name: group.first for name, group in known.all.groups.items()} == {
        name: group.first for name, group in found.all.groups.items()
    }
    assert fixed(known) == fixed(found)


def fixed(identities: Identities) -> set[tuple[Names, int]]:
    return {(names, row.slot) for names, row in identities.sightings.items()}


def is_the_oracles(policy: IdentityPolicy, arrived: Sequence[Arrival], kept: Kept) -> None:
    wanted, known = answer(policy, arrived), as_oracle(kept.identities, kept.events)
    wanted.owner = {event_id: wanted.owner[event_id] for event_id in kept.events}
    assert known == wanted


@examples(100)
@given(worlds())
def test_after_every_event_it_is_as_computed_from_scratch_and_at_last_as_the_oracle_says(
    drawn: tuple[IdentityPolicy, list[Arrival], Given],
) -> None:
    policy, arrived, given = drawn
    kept = Kept(policy)
    for _, one in given:
        kept.take(one)
        is_as_computed_from_scratch(kept)
    is_the_oracles(policy, arrived, kept)


@examples(100)
@given(worlds(commands=True))
def test_after_every_command_too(drawn: tuple[IdentityPolicy, list[Arrival], Given]) -> None:
    policy, arrived, given = drawn
    kept = Kept(policy)
    for _, one in given:
        kept.take(one)
        is_as_computed_from_scratch(kept)
    is_the_oracles(policy, arrived, kept)


@examples(60)
@given(worlds(), st.randoms(use_true_random=False))
def test_events_in_another_order_give_the_same(
    drawn: tuple[IdentityPolicy, list[Arrival], Given], random: Random
) -> None:
    policy, _, given = drawn
    one, other = Kept(policy), Kept(policy)
    take_all(one, (event for _, event in given))
    shuffled = [event for _, event in given]
    random.shuffle(shuffled)
    take_all(other, shuffled)
    assert as_oracle(one.identities, one.events) == as_oracle(other.identities, other.events)


@examples(60)
@given(worlds(), st.integers(0, 25))
def test_sightings_taken_over_from_another_component_are_as_good_as_ones_own(
    drawn: tuple[IdentityPolicy, list[Arrival], Given], cut: int
) -> None:
    policy, arrived, given = drawn
    unique = {one.event_id: one for _, one in given if not isinstance(one, Command)}
    here, there = Kept(policy), Kept(policy)
    take_all(here, list(unique.values())[:cut])
    take_all(there, list(unique.values())[cut:])
    for names, row in there.identities.sightings.items():
        here.identities.take(names, deepcopy(row))
        here.identities.settle()
        here.events |= there.events if names is next(reversed(there.identities.sightings)) else {}
    is_as_computed_from_scratch(here)
    is_the_oracles(policy, arrived, here)


@examples(50)
@given(worlds(commands=True))
def test_an_event_with_a_fixed_slot_that_brings_nothing_new_changes_nobody(
    drawn: tuple[IdentityPolicy, list[Arrival], Given],
) -> None:
    """Such events are not shown to `Identities` at all."""
    policy, _, given = drawn
    kept = Kept(policy)
    take_all(kept, (one for _, one in given))
    for names, row in list(kept.identities.sightings.items()):
        if row.slot == ASK:
            continue
        before, slot = deepcopy(as_oracle(kept.identities, {})), row.slot
        kept.identities.see(names, row.last + 60_000, "one more")
        kept.identities.settle()
        assert as_oracle(kept.identities, {}) == before
        assert kept.identities.sightings[names].slot == slot


def take_all(kept: Kept, inputs: Iterable[Input]) -> None:
    for one in inputs:
        kept.take(one)
