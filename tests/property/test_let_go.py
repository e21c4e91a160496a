"""What is decided for good leaves a customer's fold; the rules decide as if all of it were kept.

Each life is lived twice, in a deployment that lets go and in one that never does: every decision is the same, in the
same order, at the same clock, whatever comes late, merges, splits or is erased, and whichever checkpoint is gone on
from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.rules import Ledger, RuleBook, state
from stream_app.domain.rules import book as book_module
from stream_app.domain.rules import settle as settle_module
from stream_app.domain.rules.settle import _Settlement
from stream_app.domain.rules.state import FIRED, HELD, Row
from tests.property.examples import examples, search
from tests.property.lived_worlds import Input, Made, played
from tests.property.shipped_lives import AFTER, BOOKS, LIMITS, RULES, finds_fault, shipped_lives
from tests.property.test_folding_any_order import go_on_from_every_fold
from tests.property.test_rules_any_order import arrivals
from tests.property.test_shadow_rules import CHANGES, change_the_shadow, worlds

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.folding import FoldLimits


def keeps_all(life: list[Input], book: RuleBook, folding: FoldLimits) -> list[Made]:
    """Play a life where nothing is ever decided for good."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle_module, "_is_for_good", lambda *_: False)
        return played(book, life, AFTER, folding)


def check(life: list[Input], book: RuleBook, folding: FoldLimits) -> int:
    """Live a life twice; return how many decisions there were."""
    made = played(book, life, AFTER, folding)
    assert made == keeps_all(life, book, folding)
    return len(made)


@pytest.mark.parametrize("name", sorted(RULES))
def test_what_is_let_go_of_is_missed_by_no_decision(name: str) -> None:
    decided = 0

    @settings(max_examples=25, deadline=None)
    @given(shipped_lives(name), st.sampled_from(BOOKS), LIMITS)
    def wanted(life: list[Input], book: RuleBook, folding: FoldLimits) -> None:
        nonlocal decided
        decided += check(life, book, folding)

    wanted()
    assert decided


@examples(150)
@given(shipped_lives(), st.sampled_from(BOOKS), LIMITS)
def test_whatever_the_rules_of_a_life_what_is_let_go_of_is_missed_by_no_decision(
    life: list[Input], book: RuleBook, folding: FoldLimits
) -> None:
    check(life, book, folding)


@examples(60)
@given(worlds(), CHANGES, LIMITS)
def test_beside_a_shadow_that_changes_what_is_let_go_of_is_missed_by_neither_side(
    arrivals: Any, shadows: list[str | None], folding: FoldLimits
) -> None:
    found = change_the_shadow(arrivals, shadows, folding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle_module, "_is_for_good", lambda *_: False)
        assert found == change_the_shadow(arrivals, shadows, folding)


# -- planted bugs --------------------------------------------------------------------------------------------


def takes_back_what_it_let_go_of(patch: pytest.MonkeyPatch) -> None:
    """Take what is absent from the fold for unjustified, though a row stands for it."""
    patch.setattr(_Settlement, "stands_for", lets_go_silently)


def lets_go_silently(self: _Settlement, one: Any) -> bool:
    row = self.ledger.rows.get(one.trigger_id)
    return row is not None and settle_module._is_for_good(row, one)


def stands_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Have a row stand for what a fold that is made anew says, too."""
    patch.setattr(state, "_copy", lambda row: msgspec.structs.replace(row, reasons=list(row.reasons)))


def forgets_in_checkpoints(patch: pytest.MonkeyPatch) -> None:
    """Keep a fold without the rows that stand for a part of it."""
    patch.setattr(Ledger, "standing", lambda _: Ledger())


def stands_no_more_after_a_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """Go on from a kept fold, and have no row stand."""
    patch.setattr(book_module, "_stand_again", lambda *_: True)


def lets_go_of_what_quiet_hours_hold(patch: pytest.MonkeyPatch) -> None:
    """Take what waits for a morning for decided."""

    def wrong(row: Row, one: Any) -> bool:
        return row.due == one.due and row.status in {FIRED, HELD}

    patch.setattr(settle_module, "_is_for_good", wrong)


def lets_go_of_what_is_yet_to_come(patch: pytest.MonkeyPatch) -> None:
    """Let go of what came due by the events, before the clock has passed it."""

    def wrong(self: _Settlement, one: Any) -> bool:
        self.clock = max(self.clock, one.due + 1)
        row = self.ledger.rows.get(one.trigger_id)
        return row is None or settle_module._is_for_good(row, one)

    patch.setattr(_Settlement, "stands_for", wrong)


PLANTS = [
    takes_back_what_it_let_go_of,
    stands_for_ever,
    lets_go_of_what_quiet_hours_hold,
    lets_go_of_what_is_yet_to_come,
]
ABOUT = {
    stands_for_ever: "abandoned_browse",
    lets_go_of_what_quiet_hours_hold: "service_recovery",
}
"""With a rule by which it is seen soon, where most rules don't show it."""


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    finds_fault(check, ABOUT.get(plant))


@pytest.mark.parametrize("plant", [forgets_in_checkpoints, stands_no_more_after_a_checkpoint])
def test_a_bug_planted_into_what_is_kept_of_a_fold_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @search(1_000)
    @given(arrivals())
    def wanted(drawn: Any) -> None:
        go_on_from_every_fold(drawn[1], drawn[2])

    with pytest.raises(AssertionError):
        wanted()
