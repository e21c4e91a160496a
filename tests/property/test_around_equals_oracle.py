"""What is around a customer - prices where she buys, shops nearby, what they have - against the oracle.

As in `test_rules_equal_oracle`, in worlds in which that decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given

from stream_app.domain.rules import Action
from stream_app.runs.rule_cases import Case
from tests.property import around_plants
from tests.property.around_strategies import worlds_around
from tests.property.examples import examples, search
from tests.property.test_rules_equal_oracle import RUNNER, check_on_time, check_what_is_left
from tests.rule_case_files import LANGUAGE, cases

if TYPE_CHECKING:
    from tests.property.rule_strategies import World


@examples(600)
@given(worlds_around())
def test_on_time_what_is_around_a_customer_is_the_oracles_too(world: World) -> None:
    check_on_time(world)


@examples(300)
@given(worlds_around(late=True))
def test_in_any_order_what_is_left_of_what_prices_by_region_open_is_the_oracles_too(world: World) -> None:
    check_what_is_left(world)


# -- planted bugs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plant", [*around_plants.SHOPS, *around_plants.PRICES])
def test_a_bug_in_what_is_around_a_customer_is_caught(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    @search(5_000)
    @given(worlds_around(about="shops" if plant in around_plants.SHOPS else "prices"))
    def wanted(world: World) -> None:
        check_on_time(world)

    with pytest.raises(AssertionError):
        wanted()


def test_that_who_is_in_two_regions_may_see_one_before_and_the_other_after_is_caught_by_its_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Too rare to be drawn: a region's price comes beside its country's, and neither falls by itself."""
    (case,) = (
        case
        for case in cases(LANGUAGE / "reference.jsonl")
        if case["id"] == "a-region-that-gets-a-price-beside-its-country"
    )
    assert [one.decision.action for one in RUNNER.run(msgspec.convert(case, Case))[0]] == [Action.FIRE]
    around_plants.tells_of_regions_that_come_and_go_only_what_each_sees(monkeypatch)
    assert RUNNER.run(msgspec.convert(case, Case))[0] == []
