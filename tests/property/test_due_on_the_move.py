"""What falls due while it is on the move is not late: its time passed when nobody could decide about it.

A customer's rows move when components join, when customers are joined or parted in one, and when events turn out to be
another's. The clock may go on meanwhile, in a replay by hours. Rules here have a grace of minutes: what is taken for
late is never sent.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_app.agents import rules
from stream_app.agents.rules import Rules
from stream_app.domain.commands import Command, Op
from stream_app.domain.customer import Customers
from stream_app.domain.drain import Drains
from stream_app.domain.folding import FoldLimits
from stream_app.domain.rules import Action
from stream_app.engine.timers import TIMERS, Timers
from tests.property.examples import search
from tests.property.identity_world import MemoryTable, World
from tests.property.test_folding_any_order import ANA, BEN, ONE, POLICY, SMALL, TWO, Shop
from tests.property.test_rules_any_order import MINUTE, START, STRICT, make
from tests.property.test_rules_any_order import Shop as Drawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.event import Event

HOUR = 60
"""In minutes."""


class Moving(Shop):
    """A shop by rules with little grace, whose clock is moved by hand."""

    crashes = 0.0

    def rules_of(self, place: int) -> Rules:
        if not place:
            self.clock = START
            self.decisions = []
            self.timers = [MemoryTable(TIMERS) for _ in range(self.partitions)]
            self.rules = []
        task: Any = SimpleNamespace(timers=Timers(self.timers[place]), clock=self.clock)
        self.rules.append(Rules(task, STRICT, lambda _, decision: self.decisions.append(decision)))
        return self.rules[-1]

    def step(self, *, slow: bool = True) -> bool:
        return World.step(self, slow=slow)

    def set_clock(self, clock: int) -> None:
        super().set_clock(clock)
        for one in self.clocks:
            one.now = clock

    def rest(self) -> None:
        while self.step():
            pass

    def pass_to(self, minute: int) -> None:
        """Move the clock, and fire what is due."""
        self.set_clock(START + minute * MINUTE)
        for place in range(self.partitions):
            while self.fire(place, at_most=1):
                pass


def happened(number: int, minute: int, kind: str, *names: str) -> Event:
    """Return an event that was read when the clock stood at its time."""
    event = make(number, Drawn(minute, kind, "k1", "B"))
    return msgspec.structs.replace(event, identifiers=names, received=event.time, source=f"web/0/{number}")


def said(op: Op, minute: int, *names: str) -> Command:
    time = START + minute * MINUTE
    return Command(f"{op}", op, names, time, "operator", "because", f"commands/0/{minute}")


BASKET = happened(0, 0, "Product Added", ONE)
KNOWN = happened(1, 10, "Page Viewed", ANA, TWO)
STORIES: dict[str, tuple[list[Event | Command], Event | Command]] = {
    "components join": ([BASKET, KNOWN], happened(2, 20 * HOUR, "Page Viewed", ANA, ONE)),
    "customers are joined": (
        [BASKET, KNOWN, said(Op.DENY, 11, ANA, ONE), happened(2, 12, "Page Viewed", ANA, ONE)],
        said(Op.ASSERT, 20 * HOUR, ANA, ONE),
    ),
    "customers are parted": (
        [BASKET, KNOWN, happened(2, 12, "Page Viewed", ANA, ONE)],
        said(Op.DENY, 20 * HOUR, ANA, ONE),
    ),
    "events are another's": (
        [BASKET, KNOWN, happened(2, 12, "Page Viewed", BEN, ONE)],
        happened(3, 20 * HOUR, "Page Viewed", ANA, ONE),
    ),
}


def check(story: str, seed: int, steps: int, folding: FoldLimits) -> None:
    """Let the basket fall due at some step of the change: it is sent once, as due, in whatever hands it is by then."""
    before, change = STORIES[story]
    world = Moving(seed, partitions=1 + seed % 3, policy=POLICY, limits=SMALL, folding=folding, timed=True)
    world.set_clock(START)
    for one in before:
        world.give(one)
        world.rest()
    world.give(change)
    for _ in range(steps):
        world.step()
    world.pass_to(15 * HOUR)
    world.rest()
    world.pass_to(40 * HOUR)
    world.rest()
    made = [one for one in world.decisions if one.opened_by == BASKET.event_id]
    assert [one.action for one in made] == [Action.FIRE], [one.reason for one in made]
    assert made[0].sent == made[0].due


LIMITS = st.builds(FoldLimits, st.integers(1, 3), st.integers(1, 2), st.integers(1, 4))


@pytest.mark.parametrize("story", STORIES)
def test_what_falls_due_while_it_is_on_the_move_is_sent_as_on_time(story: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 10**6), st.integers(0, 40), LIMITS)
    def wanted(seed: int, steps: int, folding: FoldLimits) -> None:
        check(story, seed, steps, folding)

    wanted()


def forgets_it_is_pending(patch: pytest.MonkeyPatch) -> None:
    """Say nothing, when a customer leaves, of what is yet to be decided."""
    patch.setattr(rules, "_earlier", lambda *_: None)
    patch.setattr(Customers, "stood", lambda _, stamp: stamp)


def goes_by_the_clock_of_arrival(patch: pytest.MonkeyPatch) -> None:
    """Take for late what the clock has passed where rows come to."""
    part = Drains._send_part

    def wrong(self: Drains, at: Any, stamp: int, _: int, *held: Any) -> None:
        part(self, at, stamp, stamp, *held)

    patch.setattr(Drains, "_send_part", wrong)


def goes_by_the_source_alone(patch: pytest.MonkeyPatch) -> None:
    """Take for late what the clock has passed where the news was read."""
    patch.setattr(Customers, "stood", lambda _, stamp: stamp)


@pytest.mark.parametrize(
    "plant", [forgets_it_is_pending, goes_by_the_clock_of_arrival, goes_by_the_source_alone]
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @search(1_000)
    @example("events are another's", 0, 7, FoldLimits(1, 1, 1))
    @given(st.sampled_from(sorted(STORIES)), st.integers(0, 10**6), st.integers(0, 40), LIMITS)
    def wanted(story: str, seed: int, steps: int, folding: FoldLimits) -> None:
        check(story, seed, steps, folding)

    with pytest.raises(AssertionError):
        wanted()
