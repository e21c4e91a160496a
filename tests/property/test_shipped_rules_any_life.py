"""Shipped rules: what late events, merges, splits and erasures leave of a fold is what folding from scratch gives.

The deployment folds step by step, goes on from checkpoints, and moves what was sent along with events. After every
input each customer's fold and profile are held against those of its timeline as it stands, folded at once, with all
that was said of reference data.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.agents.rules import Rules
from stream_app.domain import repair
from stream_app.domain.commands import Op
from stream_app.domain.customer import Customer, Customers
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits, Folds
from stream_app.domain.profile import END, Profile, apply
from stream_app.domain.reference import Ahead
from stream_app.domain.rules import RuleBook, RulesState
from stream_app.domain.rules.changes import Change
from stream_app.domain.rules.state import merged
from tests.property.folds import is_that_of_the_timeline
from tests.property.lived_worlds import HOUR, MINUTE, ONE, Input, play
from tests.property.rules_oracle_reference import BEHIND_ALL, changes
from tests.property.shipped_lives import AFTER, BOOKS, LIMITS, RULES, START, finds_fault, shipped_lives

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_app.domain.reference import Said
    from stream_app.domain.rules import Ledger
    from tests.property.rules_oracle_reference import Changed


def is_folded(customer: Customer, book: RuleBook, said: Sequence[Said], clock: int) -> int:
    """Hold a customer against its timeline; return how many instances are open or due."""
    assert customer.settled
    events = list(customer.history())
    state = None if customer.rules is None else customer.rules.state
    if state is None:
        assert not events
        return 0
    profile = Profile()
    for event in events:
        apply(profile, event)
    assert customer.profile == profile
    if said:
        whole = refolded(book, events, changes(said), state.ledger)
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=RulesState)
        for one in (
            state,
            whole,
        ):  # a change that opens nothing may have been passed over: be due all the same
            book.elapse(one, clock, profile)
            one.revised = (0, "")
    else:
        whole = book.refold(events, (state.ledger,))
    is_that_of_the_timeline(state, whole)
    return sum(map(len, state.open.values())) + sum(map(len, state.elapsed.values()))


def refolded(
    book: RuleBook, events: Sequence[Event], changed: Sequence[Changed], ledger: Ledger
) -> RulesState:
    """Fold a timeline from nothing, and each change of reference data behind the events of its time."""
    state, profile = book.new_state(), Profile()
    state.ledger = merged((ledger,))
    steps = [(event.order, event) for event in events]
    steps += [((one.time, BEHIND_ALL + one.item), Change(**vars(one))) for one in changed]
    for (time, _), step in sorted(steps, key=lambda pair: pair[0]):
        book.elapse(state, time, profile)
        if isinstance(step, Change):
            book.revise(state, step, profile)
        else:
            apply(profile, step)
            book.step(state, step, profile)
    book.watched.clear()
    return state


def check(life: Sequence[Input], book: RuleBook, folding: FoldLimits) -> Counter[str]:
    """Play a life; return what there was to see."""
    seen: Counter[str] = Counter()
    for number, run in enumerate(play(book, life, AFTER, folding)):
        around = book.among(run.references)  # what there is of prices and shops, the run's own
        for customer in run.customers():
            seen["instances"] += is_folded(customer, around, run.said, run.clock)
        if number < len(life):
            what = life[number].what
            seen[getattr(what, "op", "late" if what.time < life[number].at else "in time")] += 1
    return seen


@pytest.mark.parametrize("name", sorted(RULES))
def test_late_events_merges_splits_and_erasures_leave_what_folding_from_scratch_gives(name: str) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=30, deadline=None)
    @given(shipped_lives(name), st.sampled_from(BOOKS), LIMITS)
    def wanted(life: list[Input], book: RuleBook, folding: FoldLimits) -> None:
        seen.update(check(life, book, folding))

    wanted()
    if settings.default.derandomize:  # else what is drawn is another each time
        assert all(seen[what] for what in ("instances", "late", *(Op.ASSERT, Op.DENY, Op.WITHDRAW, Op.ERASE)))


def test_what_quiet_hours_held_and_is_history_is_left_out_of_a_fold() -> None:
    def ready(number: int, at: int) -> Input:
        event = Event(
            f"e{number}", at, "store", "Order Ready for Pickup", (ONE,), {}, at, f"store/0/{number}"
        )
        return Input(at, event)

    check(
        [ready(0, START), ready(1, START + 10 * MINUTE), ready(2, START + 10 * HOUR)], BOOKS[1], FoldLimits()
    )


# -- planted bugs --------------------------------------------------------------------------------------------


def goes_on_behind_what_has_changed(patch: pytest.MonkeyPatch) -> None:
    """Begin at the last checkpoint, whatever has changed before it."""
    begin = Folds._begin

    def wrong(self: Folds, turn: Any) -> Any:
        turn.fold.since = END
        return begin(self, turn)

    patch.setattr(Folds, "_begin", wrong)


def judges_with_what_comes_next(patch: pytest.MonkeyPatch) -> None:
    """Judge what is due before an event with a profile that has it already."""
    patch.setattr(Rules, "before_step", lambda *_: None)


def heeds_no_row_that_has_gone(patch: pytest.MonkeyPatch) -> None:
    """Go on behind the place of what has moved to another, or was erased."""
    patch.setattr(repair, "place_of", lambda *_: END)


def heeds_no_row_that_has_come(patch: pytest.MonkeyPatch) -> None:
    """Go on behind the place of what has come from another."""
    touch = Customers.touch

    def wrong(self: Customers, at: Any, slot: int, stamp: int, _: Any = None, **more: Any) -> None:
        touch(self, at, slot, stamp, END, **more)

    patch.setattr(Customers, "touch", wrong)


def lets_nothing_elapse_on_the_way(patch: pytest.MonkeyPatch) -> None:
    """Step by step alone, judge what is due before an event with a profile that has it already."""
    patch.setattr(Rules, "before", lambda *_: None)


PLANTS = [
    goes_on_behind_what_has_changed,
    judges_with_what_comes_next,
    heeds_no_row_that_has_gone,
    heeds_no_row_that_has_come,
    lets_nothing_elapse_on_the_way,
]


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    finds_fault(check)


def folds_again_without_what_changed(patch: pytest.MonkeyPatch) -> None:
    """Fold again, and forget what was said of reference data."""
    patch.setattr(Ahead, "watch", lambda *_: None)


def goes_on_without_what_changed(patch: pytest.MonkeyPatch) -> None:
    """Go on from a checkpoint, and forget what was said of reference data since."""
    patch.setattr(Ahead, "resume", lambda *_: None)


@pytest.mark.parametrize("plant", [folds_again_without_what_changed, goes_on_without_what_changed])
def test_a_planted_bug_of_reference_data_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    finds_fault(check, "back_in_stock")


def forgets_the_region_in_checkpoints(patch: pytest.MonkeyPatch) -> None:
    """Keep a fold without where she buys."""
    keep = RuleBook.keep
    patch.setattr(RuleBook, "keep", lambda self, state: keep(self, msgspec.structs.replace(state, region=())))


def test_a_region_that_is_forgotten_in_checkpoints_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    forgets_the_region_in_checkpoints(monkeypatch)
    finds_fault(check, "price_drop")
