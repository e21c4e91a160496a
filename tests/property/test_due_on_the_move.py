"""What falls due while it is on the move is not late: its time passed when nobody could decide about it.

A customer's rows move when components join, when customers are joined or parted in one, and when events turn out to be
another's. The clock may go on meanwhile, in a replay by hours. Rules here have a grace of minutes: what is taken for
late is never sent.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_app.agents import rules
from stream_app.agents.rules import Rules
from stream_app.domain import drain, repair
from stream_app.domain.commands import Command, Op
from stream_app.domain.customer import Customers
from stream_app.domain.drain import Drains
from stream_app.domain.folding import FoldLimits, Folds
from stream_app.domain.keys import timer_of
from stream_app.domain.rules import Action, RuleBook, load_rule
from stream_app.engine.timers import TIMERS, Timers
from tests.property.examples import examples, search
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

    def rest(self) -> None:
        while self.step():
            pass

    def handle(self) -> None:
        """Handle all messages, and end no epoch for want of any."""
        while any(self.queues.values()):
            self.step()

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


LATER: dict[str, tuple[list[Event | Command], Event | Command]] = {
    **STORIES,
    "somebody else is found to have logged in before": (
        [
            happened(1, 10, "Page Viewed", ANA, TWO),
            happened(2, 12, "Page Viewed", BEN, ONE),
            happened(3, 14, "Page Viewed", ANA, ONE),
        ],
        msgspec.structs.replace(happened(4, 5, "Page Viewed", ANA, ONE), received=START + 20 * HOUR * MINUTE),
    ),
}
"""The same for a basket that comes behind the clock."""


def check_that_it_was_sent_as_due(world: Moving) -> None:
    """Live on until nothing can follow any more, and look at what was decided about the basket."""
    world.pass_to(40 * HOUR)
    world.rest()
    made = [one for one in world.decisions if one.opened_by == BASKET.event_id]
    assert [one.action for one in made] == [Action.FIRE], [one.reason for one in made]
    assert made[0].sent == made[0].due


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
    check_that_it_was_sent_as_due(world)


def check_late(story: str, seed: int, folding: FoldLimits, *, late: bool, ends: bool) -> None:
    """Let the basket come behind the clock, and the clock pass its due time before anything is decided about it.

    `late`: behind another event of its customer, too. `ends`: the epoch in which it comes ends before the clock moves.
    """
    before, change = LATER[story]
    world = Moving(
        seed, partitions=1 + seed % 3, policy=POLICY, limits=SMALL, folding=folding, timed=True, lazy=1.0
    )
    world.set_clock(START)
    for one in before:
        if one is not BASKET:
            world.give(one)
            world.rest()
    if late:
        world.give(happened(5, 13, "Page Viewed", ONE))
        world.rest()
    world.set_clock(START + 20 * MINUTE)
    world.give(msgspec.structs.replace(BASKET, received=START + 20 * MINUTE))
    world.handle()
    if ends:
        for place in range(world.partitions):
            world.end_epoch(place)
    world.pass_to(20 * HOUR)
    world.give(change)
    world.handle()
    world.rest()
    check_that_it_was_sent_as_due(world)


LIMITS = st.builds(FoldLimits, st.integers(1, 3), st.integers(1, 2), st.integers(1, 4))


@pytest.mark.parametrize("story", STORIES)
def test_what_falls_due_while_it_is_on_the_move_is_sent_as_on_time(story: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 10**6), st.integers(0, 40), LIMITS)
    def wanted(seed: int, steps: int, folding: FoldLimits) -> None:
        check(story, seed, steps, folding)

    wanted()


@pytest.mark.parametrize("story", LATER)
def test_what_came_behind_the_clock_and_moves_before_it_is_decided_is_judged_by_the_clock_that_it_found(
    story: str,
) -> None:
    @examples(100)
    @given(st.integers(0, 10**6), LIMITS, st.booleans(), st.booleans())
    def wanted(seed: int, folding: FoldLimits, late: bool, ends: bool) -> None:
        check_late(story, seed, folding, late=late, ends=ends)

    wanted()


@pytest.mark.parametrize("where", [drain, repair])
def test_a_move_that_forgets_what_is_undecided_is_caught(where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = Folds.stamps

    def wrong(self: Folds, prefix: bytes, row: Any) -> Any:
        caller = sys._getframe(1).f_code.co_filename
        return () if caller == where.__file__ else stamps(self, prefix, row)

    monkeypatch.setattr(Folds, "stamps", wrong)

    @search(400)
    @given(st.sampled_from(sorted(LATER)), st.integers(0, 10**6), LIMITS, st.booleans(), st.booleans())
    def wanted(story: str, seed: int, folding: FoldLimits, late: bool, ends: bool) -> None:
        check_late(story, seed, folding, late=late, ends=ends)

    with pytest.raises(AssertionError):
        wanted()


LONGER = """
name: longer
version: 1
opens: {event: Page Viewed}
after: 90m
grace: 10m
"""


def test_a_timer_that_goes_off_before_an_epoch_decides_does_not_make_late_what_that_has_to_decide() -> None:
    class Both(Moving):
        def rules_of(self, place: int) -> Rules:
            rules = super().rules_of(place)
            rules.book = RuleBook([*STRICT.rules, load_rule(LONGER)])
            return rules

    world = Both(1, partitions=1, policy=POLICY, limits=SMALL, folding=FoldLimits(), timed=True, lazy=1.0)
    world.set_clock(START)
    world.give(happened(1, 10, "Page Viewed", ANA))  # due at 100
    world.rest()
    world.pass_to(60)
    basket = happened(0, 50, "Product Added", ANA)  # due at 80, and behind the clock
    world.give(msgspec.structs.replace(basket, received=START + 60 * MINUTE))
    world.handle()
    world.set_clock(START + 20 * HOUR * MINUTE)
    ((due, key),) = world.rules[0].task.timers.due(world.clock, 10)
    customer = world.homes[0].customer(*timer_of(key))
    assert customer is not None
    assert world.rules[0].fire(customer, due)
    world.homes[0].save(customer)
    assert world.decisions == []
    world.rest()
    assert [(one.rule, one.action, one.sent - START) for one in world.decisions] == [
        ("cart", Action.FIRE, 80 * MINUTE),
        ("longer", Action.FIRE, 100 * MINUTE),
    ]


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
