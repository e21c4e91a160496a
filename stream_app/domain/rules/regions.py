"""What a product costs where a customer is: its row may have `prices` by region, where they differ from `price`.

Her region is what the latest of her events says that says one, in its properties `region` and `country`; else what the
row of the shop that she prefers says there, as of the time asked about; else there is none, and what counts is `price`.
Where both are known `region` goes first, as the narrower of the two. They are compared as they are written: who writes
`DE` in prices has events say `DE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.profile.conclude import preferred_store
from stream_app.domain.profile.values import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.state import RulesState
    from stream_app.domain.rules.surroundings import Surroundings

PRODUCT = "product"
"""The kind of item that has prices."""
PRICE, PRICES = "price", "prices"
NARROW, WIDE = "region", "country"


def named_by(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the regions that an event or a shop's row names, the narrower first."""
    names = (text(properties.get(NARROW)), text(properties.get(WIDE)))
    return tuple(name for name in names if name is not None)


def regions_of(
    state: RulesState, profile: Profile | None, surroundings: Surroundings, time: int
) -> tuple[str, ...]:
    """Return a customer's regions at a time (ms), the narrower first."""
    if state.region or profile is None:
        return state.region
    preferred = preferred_store(profile)
    store = None if preferred is None else surroundings.store(preferred, time)
    return () if store is None else named_by(store.row)


def is_price(value: Any) -> bool:
    """Tell whether a value is a price."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def prices_in(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's prices by region."""
    prices = row.get(PRICES)
    return {name: one for name, one in prices.items() if is_price(one)} if isinstance(prices, dict) else {}


def row_in(row: dict[str, Any], regions: Sequence[str]) -> dict[str, Any]:
    """Return a product's row as it is in some regions, of which the first counts that has a price of its own."""
    prices = prices_in(row)
    return next((row | {PRICE: prices[name]} for name in regions if name in prices), row)
