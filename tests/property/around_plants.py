"""Bugs of what is around a customer, for tests to plant: shops nearby, what they have, prices by region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.rules import changes, fold, nearest, regions, surroundings
from stream_app.domain.rules.plan import Plan

if TYPE_CHECKING:
    import pytest


def asks_nobody_whether_she_may_be_located(patch: pytest.MonkeyPatch) -> None:
    """Go by where she is, whatever she said to that."""
    patch.setattr(Plan, "_may_locate", lambda *_: True)


def takes_one_channel_for_all(patch: pytest.MonkeyPatch) -> None:
    """Go by where she is, if she agreed to that on one of the channels."""
    may = Plan._may_locate
    patch.setattr(Plan, "_may_locate", lambda self, profile, _: may(self, profile, ()))


def goes_by_the_shop_that_she_prefers(patch: pytest.MonkeyPatch) -> None:
    """Never go by where she is."""
    patch.setattr(Plan, "_may_locate", lambda *_: False)


def takes_the_farthest_shop(patch: pytest.MonkeyPatch) -> None:
    """Take the one farthest away, of those near enough."""
    around = nearest.around
    patch.setattr(nearest, "around", lambda *args, **more: around(*args, **more)[::-1])


def knows_no_distance_that_is_too_far(patch: pytest.MonkeyPatch) -> None:
    """Take shops for near that are not."""
    patch.setattr(nearest, "MAX_DISTANCE_M", 10_000_000)


def asks_the_nearest_shop_alone(patch: pytest.MonkeyPatch) -> None:
    """Look on the shelves of one shop."""
    patch.setattr(nearest, "MAX_STORES", 1)


def wants_one_product_of_many(patch: pytest.MonkeyPatch) -> None:
    """Be content with a shop that has one product of the basket."""
    wanted = nearest.wanted
    patch.setattr(nearest, "wanted", lambda opened, cart: wanted(opened, cart)[:1])


def looks_into_the_basket_first(patch: pytest.MonkeyPatch) -> None:
    """Look for what is in the basket, whatever the event names."""
    wanted = nearest.wanted
    patch.setattr(nearest, "wanted", lambda opened, cart: wanted({}, cart) or wanted(opened, cart))


def takes_the_price_of_all(patch: pytest.MonkeyPatch) -> None:
    """Have products cost the same everywhere."""
    for module in (changes, surroundings):
        patch.setattr(module, "row_in", lambda row, _: row)


def has_baskets_cost_the_same_everywhere(patch: pytest.MonkeyPatch) -> None:
    """Look at regions where prices change, not where they are added up."""
    patch.setattr(surroundings, "row_in", lambda row, _: row)


def takes_the_country_first(patch: pytest.MonkeyPatch) -> None:
    """Have the country's price go before the region's."""
    named = regions.named_by
    for module in (fold, regions):
        patch.setattr(module, "named_by", lambda properties: named(properties)[::-1])


def keeps_the_first_region(patch: pytest.MonkeyPatch) -> None:
    """Have her stay where she was first."""
    watch = fold._watch_region

    def wrong(state: Any, event: Any) -> None:
        if not state.region:
            watch(state, event)

    patch.setattr(fold, "_watch_region", wrong)


def knows_no_region_of_a_shop(patch: pytest.MonkeyPatch) -> None:
    """Know where she is from her own events alone."""
    for module in (changes, surroundings):
        patch.setattr(module, "regions_of", lambda state, *_: state.region)


def tells_nobody_of_a_price_that_changes_in_a_region(patch: pytest.MonkeyPatch) -> None:
    """Take a change that opens nothing by the price of all for one that opens nothing at all."""
    patch.setattr(fold, "may_open", changes._opens)


def tells_of_regions_that_come_and_go_only_what_each_sees(patch: pytest.MonkeyPatch) -> None:
    """Forget that of who is in two regions, one may count before and the other one after."""
    prices_in = regions.prices_in

    def wrong(reference: Any, change: Any) -> bool:
        names = prices_in(change.old).keys() | prices_in(change.new).keys()
        return changes._opens(reference, change) or any(
            changes._opens(reference, changes._seen_in(change, (name,))) for name in names
        )

    patch.setattr(fold, "may_open", wrong)


SHOPS = [
    asks_nobody_whether_she_may_be_located,
    takes_one_channel_for_all,
    goes_by_the_shop_that_she_prefers,
    takes_the_farthest_shop,
    knows_no_distance_that_is_too_far,
    asks_the_nearest_shop_alone,
    wants_one_product_of_many,
    looks_into_the_basket_first,
]
PRICES = [
    takes_the_price_of_all,
    has_baskets_cost_the_same_everywhere,
    takes_the_country_first,
    keeps_the_first_region,
    knows_no_region_of_a_shop,
    tells_nobody_of_a_price_that_changes_in_a_region,
]
