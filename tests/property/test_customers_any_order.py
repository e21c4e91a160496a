"""Customers, and whose the events are, don't depend on the order and the way in which evidence comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.property.examples import examples
from tests.property.identity_play import SMALL, Forgetful, Unlucky, agree, deployment, worlds
from tests.property.identity_rest import found, given_of, inputs
from tests.property.identity_strategies import timestamp
from tests.property.identity_world import POLICY

if TYPE_CHECKING:
    from stream_app.domain.policy import IdentityPolicy
    from tests.property.identity_rest import Given
    from tests.property.identity_strategies import Arrival


@examples(40)
@given(worlds(), st.integers(0, 10**6), st.booleans())
def test_events_in_any_interleaving_come_to_the_oracles_customers(
    drawn: tuple[IdentityPolicy, Given], seed: int, small: bool
) -> None:
    policy, given = drawn
    world = deployment(policy, seed, small=small)
    world.run(inputs(given))
    agree(world, policy, given)


@examples(50)
@given(worlds(conflicts=True, commands=True), st.integers(0, 10**6), st.booleans())
def test_commands_and_conflicting_contents_in_any_interleaving_come_to_the_oracles_customers(
    drawn: tuple[IdentityPolicy, Given], seed: int, small: bool
) -> None:
    policy, given = drawn
    world = deployment(policy, seed, small=small)
    world.run(inputs(given))
    agree(world, policy, given)


@examples(30)
@given(worlds(conflicts=True, commands=True), st.integers(0, 10**6))
def test_work_that_is_interrupted_between_any_two_messages_goes_on_from_the_rows(
    drawn: tuple[IdentityPolicy, Given], seed: int
) -> None:
    policy, given = drawn
    world = deployment(policy, seed, Forgetful)
    world.run(inputs(given))
    agree(world, policy, given)


@examples(15)
@given(worlds(conflicts=True, commands=True), st.integers(0, 10**6))
def test_epochs_that_are_rolled_back_leave_no_trace(drawn: tuple[IdentityPolicy, Given], seed: int) -> None:
    policy, given = drawn
    world = Unlucky(seed, partitions=1 + seed % 3, policy=policy, limits=SMALL)
    world.run(inputs(given))
    agree(world, policy, given)


# -- commands ------------------------------------------------------------------------------------------------


def said(op: str, minute: int, one: str, other: str) -> Arrival:
    return {"op": op, "time": timestamp(minute), "a": one, "b": other}


def event(event_id: str, minute: int, **identifiers: str) -> Arrival:
    return {
        "event_id": event_id,
        "time": timestamp(minute),
        "channel": "web",
        "type": "Page Viewed",
        "identifiers": identifiers,
    }


@examples(60)
@given(st.permutations(range(5)), st.integers(0, 10**6))
def test_of_deny_assert_and_deny_again_the_latest_by_its_own_time_stands_in_any_order(
    order: list[int], seed: int
) -> None:
    ana, bea = "email:ana@example.org", "email:bea@example.org"
    verdicts = [said("deny", 1, ana, bea), said("assert", 2, ana, bea), said("deny", 3, ana, bea)]
    arrived = [*verdicts, event("e1", 0, email="ana@example.org"), event("e2", 4, email="bea@example.org")]
    given = given_of(POLICY, [arrived[place] for place in order])
    world = deployment(POLICY, seed)
    world.run(inputs(given))
    assert found(world, given).customers == {frozenset({ana}), frozenset({bea})}


@examples(20)
@given(worlds(), st.data(), st.integers(0, 10**6))
def test_a_denial_that_comes_afterwards_leaves_what_one_that_came_first_leaves(
    drawn: tuple[IdentityPolicy, Given], data: st.DataObject, seed: int
) -> None:
    policy, given = drawn
    names = sorted({name for _, one in given for name in one.identifiers})
    if len(names) < 2:
        return
    one, other = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
    denial = given_of(policy, [said("deny", 5, one, other)])
    first, last = deployment(policy, seed), deployment(policy, seed + 1)
    first.run(inputs(denial + given))
    last.run(inputs(given))
    last.run(inputs(denial))
    early, late = found(first, denial + given), found(last, given + denial)
    assert (early.customers, early.owners) == (late.customers, late.owners)
    assert first.effects.profiles == last.effects.profiles
