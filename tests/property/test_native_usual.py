"""What takes in usual events natively comes to the same as the Python code, call for call, whatever else happens.

The same world is lived through twice, with and without it: evidence that comes in any order, commands, merges, clocks
that have passed an event or haven't, rules that are others by now, epochs that end early or late. Rows, messages, and
all that is asked of the rules and of the effects are equal, in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.component import Components, gather_events
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.messages import Drain, EventTo, Union
from stream_app.domain.repair import Limits
from tests.property.examples import examples
from tests.property.identity_rest import given_of, inputs
from tests.property.native_twins import leaks
from tests.property.worlds_twice import Lived, Logged, given_worlds, lives

if TYPE_CHECKING:
    from stream_app.domain.policy import IdentityPolicy
    from tests.property.identity_rest import Given

native_usual = pytest.importorskip(
    "stream_app.domain.native_usual",
    reason="the native part isn't built: `make setup` does it where there is a C compiler",
    exc_type=ImportError,
)


class InPython(Components):
    """Takes in all events in Python."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._usual = None


def event_to(time: int, event_id: str, label: str) -> EventTo:
    """Return a message that takes an event to a component."""
    event = Event(event_id, time, "web", "Page Viewed", (label,), {}, 0, "t/0/0")
    return EventTo(label, msgspec.Raw(msgspec.msgpack.encode(event)), b"", 0)


@examples(200)
@given(
    given_worlds(),
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from((0, 1, 3)),
    st.sampled_from((0, 0, 5)),
    st.builds(FoldLimits, st.integers(1, 6), st.just(1), st.integers(1, 4)),
)
def test_with_and_without_it_the_same_is_done_in_the_same_order(
    drawn: tuple[IdentityPolicy, Given],
    seed: int,
    shared: bool,
    clock: int,
    fickle: int,
    folding: FoldLimits,
) -> None:
    policy, given_events = drawn
    limits = Limits(rows=3, size=400)
    one, other = lives(
        (InPython, Components),
        policy,
        given_events,
        seed,
        limits=limits,
        folding=folding,
        shared=shared,
        clock=clock,
        fickle=fickle,
    )
    assert one == other


MESSAGES = st.one_of(
    st.builds(event_to, st.integers(-2, 2), st.sampled_from("ab"), st.sampled_from(("x:1", "x:2", "y:1"))),
    st.builds(Union, st.just("x:1"), st.just("a:1"), st.just(0)),
    st.builds(Drain, st.just("x:1"), st.just(0), st.just(0)),
)


@examples(300)
@given(st.lists(MESSAGES, max_size=12))
def test_events_are_gathered_by_component_up_to_each_other_message(messages: list[Any]) -> None:
    usual = Lived(1, partitions=1, recorder=Logged).homes[0]._usual
    assert usual is not None
    waits: list[dict[str, Any]] = [{}, {}]
    place = 0
    while place <= len(messages):
        stopped = [
            gather(messages, place, waiting)
            for gather, waiting in zip((gather_events, usual.gather), waits, strict=True)
        ]
        assert stopped[0] == stopped[1]
        assert list(waits[0].items()) == list(waits[1].items())
        for one, other in zip(*(waiting.values() for waiting in waits), strict=True):
            assert all(mine[3] is theirs[3] for mine, theirs in zip(one, other, strict=True))
        if place < len(messages) and place % 3 == 0:  # a component's turn has come
            for waiting in waits:
                waiting.pop("x:1", None)
        place = stopped[0] + 1


def test_what_can_not_be_decoded_is_refused_with_what_came_before_it_gathered() -> None:
    usual = Lived(1, partitions=1, recorder=Logged).homes[0]._usual
    assert usual is not None
    messages = [event_to(1, "a", "x:1"), EventTo("x:1", msgspec.Raw(b"\x91\x01"), b"", 0)]
    waits: list[dict[str, Any]] = [{}, {}]
    for gather, waiting in zip((gather_events, usual.gather), waits, strict=True):
        with pytest.raises(msgspec.DecodeError):
            gather(messages, 0, waiting)
    assert waits[0] == waits[1]
    assert len(waits[1]["x:1"]) == 1


def test_gathering_loses_no_memory() -> None:
    usual = Lived(1, partitions=1, recorder=Logged).homes[0]._usual
    assert usual is not None
    messages = [event_to(1, "a", "x:1"), event_to(2, "b", "x:1"), event_to(3, "b", "y:1")]
    assert not leaks(lambda: usual.gather(messages, 0, {}))


def test_the_events_of_a_known_shopper_are_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Lived(1, partitions=1, recorder=Logged, shared=True)
    arrived = [
        {
            "event_id": f"e{place}",
            "time": f"2026-03-01T00:0{place}:00Z",
            "channel": "web",
            "type": "Page Viewed",
            "identifiers": {"user_id": "ana", "device": "d"},
        }
        for place in range(6)
    ]
    first, *others = inputs(given_of(world.policy, arrived))
    world.run([first])
    monkeypatch.setattr(Components, "_event", lambda *_: pytest.fail("it was left to the Python code"))
    for one in others:
        world.run([one])
    assert world.effects.counts["in order"] == 6
