"""What takes in a component's first event at once comes to the same as learning from it, whatever happens then.

The same world is lived through twice, with and without it. Rows, messages, and all that is asked of the rules and of
the effects are equal, in their order.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.component import Components
from stream_app.domain.folding import FoldLimits
from stream_app.domain.newcomers import Newcomers
from stream_app.domain.repair import Limits
from tests.property.examples import examples
from tests.property.worlds_twice import Lived, Logged, given_worlds, live, lives

if TYPE_CHECKING:
    from stream_app.domain.customer import At
    from stream_app.domain.event import Event
    from stream_app.domain.policy import IdentityPolicy
    from tests.property.identity_rest import Given


class Nobody(Newcomers):
    """Takes in no newcomer."""

    def take(self, _at: At, _event: Event) -> bool:
        return False


class Thorough(Components):
    """Learns from every event."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._customers._newcomers = Nobody(self._customers, str)


@examples(200)
@given(
    given_worlds(),
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from((0, 1, 3)),
    st.builds(FoldLimits, st.integers(1, 6), st.just(1), st.integers(1, 4)),
)
def test_newcomers_are_taken_in_as_if_all_had_been_learned(
    drawn: tuple[IdentityPolicy, Given], seed: int, shared: bool, clock: int, folding: FoldLimits
) -> None:
    policy, given_events = drawn
    limits = Limits(rows=3 + seed % 40, size=400)
    one, other = lives(
        (Thorough, Components),
        policy,
        given_events,
        seed,
        limits=limits,
        folding=folding,
        shared=shared,
        clock=clock,
    )
    assert one == other


@examples(30)
@given(given_worlds(), st.integers(0, 10**6))
def test_what_was_in_memory_is_freed_when_it_is_let_go_of(
    drawn: tuple[IdentityPolicy, Given], seed: int
) -> None:
    policy, given_events = drawn
    world = Lived(seed, partitions=1, policy=policy, recorder=Logged, shared=True)
    gc.collect()
    gc.disable()
    try:
        live(world, given_events, 0)
        for components in world.homes:
            components.reset()
        found = gc.collect()
    finally:
        gc.enable()
    # Circles are freed by nobody but the collector, which a worker has look once an hour.
    assert found == 0
