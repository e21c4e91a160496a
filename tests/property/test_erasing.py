"""What erasures leave is what the oracle leaves, whenever and in however many steps they are carried out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.commands import Command, Op
from stream_app.domain.repair import Limits
from tests.property.identity_play import (
    Forgetful,
    Unlucky,
    agree,
    deployment,
    examples,
    one_by_one,
    rest,
    worlds,
)
from tests.property.identity_rest import inputs, one_component_at_a_time
from tests.property.identity_world import World

if TYPE_CHECKING:
    from stream_app.domain.policy import IdentityPolicy
    from tests.property.identity_rest import Given

TIMES = int(os.environ.get("TIMES", "1"))


@examples(80 * TIMES)
@given(worlds(conflicts=True, commands=True, erasures=True), st.integers(0, 10**6), st.booleans())
def test_what_erasures_leave_is_what_the_oracle_leaves(
    drawn: tuple[IdentityPolicy, Given], seed: int, small: bool
) -> None:
    policy, given = drawn
    given = one_component_at_a_time(given)
    world = deployment(policy, seed, small=small)
    one_by_one(world, given)
    agree(world, policy, given)


def in_between(world: World, given: Given) -> None:
    """Give inputs while erasures are being carried out; each erasure when all that came before is done."""
    for one in inputs(given):
        if is_erasure(one):
            rest(world)
        world.give(one)
        rest(world, slow=False)
        for _ in range(world.random.randrange(4)):
            world.step()
    rest(world)


def is_erasure(one: Any) -> bool:
    return isinstance(one, Command) and one.op is Op.ERASE


@examples(80 * TIMES)
@given(
    worlds(conflicts=True, commands=True, erasures=True),
    st.integers(0, 10**6),
    st.integers(1, 3),
    st.booleans(),
)
def test_an_erasure_in_small_steps_with_other_events_in_between_leaves_the_same(
    drawn: tuple[IdentityPolicy, Given], seed: int, rows: int, forgetful: bool
) -> None:
    policy, given = drawn
    given = one_component_at_a_time(given)
    world = World(
        seed,
        partitions=1 + seed % 3,
        policy=policy,
        limits=Limits(rows=rows),
        **({"components": Forgetful} if forgetful else {}),
    )
    in_between(world, given)
    agree(world, policy, given)


@examples(40 * TIMES)
@given(worlds(conflicts=True, commands=True, erasures=True), st.integers(0, 10**6), st.integers(1, 3))
def test_an_erasure_that_is_rolled_back_at_any_step_leaves_the_same(
    drawn: tuple[IdentityPolicy, Given], seed: int, rows: int
) -> None:
    policy, given = drawn
    given = one_component_at_a_time(given)
    world = Unlucky(seed, partitions=1 + seed % 3, policy=policy, limits=Limits(rows=rows))
    in_between(world, given)
    agree(world, policy, given)
