"""Which shop is nearest to a customer, and which has what she wants: `store.nearest`, `store.nearest_in_stock`.

1. Nearest to her last known position, no further away than `MAX_DISTANCE_M`. That needs her consent to being told by
   where she is (`location`), on every channel that the message may take.
2. Without the consent, or without a position, it is the shop that she prefers, and how far away that is isn't said.
3. In stock: of the `MAX_STORES` nearest, the first that has all that is wanted. Wanted is the product that the opening
   event names (`sku`, else `product_id`); where it names none, what is in the basket.

A function of the timeline, of reference data and of the time at which it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.places import is_open
from stream_app.domain.profile.conclude import preferred_store
from stream_app.domain.rules.applying import token_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.surroundings import Surroundings

NEAREST = "nearest"
IN_STOCK = "nearest_in_stock"
NAMES = frozenset({NEAREST, IN_STOCK})
"""What there is below `store` in every rule."""
PRODUCT = ("sku", "product_id")
"""What of the opening event names a product, the first that is there."""
MAX_DISTANCE_M = 50_000
RINGS = (0.02, 0.1, 0.4, 1.0)
"""Shares of that distance within which shops are sought, one after the other, until there are enough."""
MAX_STORES = 32
"""So many are asked what they have."""


def names_in(paths: Iterable[tuple[str, ...]]) -> frozenset[str]:
    """Return which of `NAMES` paths go by."""
    return frozenset(path[1] for path in paths if path[0] == "store" and len(path) > 1) & NAMES


def around(
    surroundings: Surroundings, profile: Profile | None, time: int, most: int, *, by_position: bool
) -> Sequence[tuple[str, float | None]]:
    """Return (store id, distance in m; None: not known) of the shops in question at a time (ms), the nearest first.

    `most`: so many are enough. They are sought in ever wider rings: of three hundred shops around a city, measured one
    by one, the nearest one costs more than a millisecond.
    """
    if profile is None:
        return ()
    fix = profile.where.fix
    if by_position and fix is not None:
        found: Sequence[tuple[str, float]] = ()
        for share in RINGS:
            found = surroundings.near(fix.latitude, fix.longitude, MAX_DISTANCE_M * share, time)
            if len(found) >= most:
                break
        return found[:most]
    preferred = preferred_store(profile)
    return () if preferred is None else ((preferred, None),)


def wanted(opened: Mapping[str, Any], cart: dict[str, Any] | None) -> list[str]:
    """Return the products that a shop must have."""
    named = next((item for name in PRODUCT if (item := token_of(opened.get(name)))), None)
    if named is not None:
        return [named]
    return [] if cart is None else [line["item"] for line in cart["products"]]


def in_stock(
    surroundings: Surroundings,
    stores: Sequence[tuple[str, float | None]],
    products: Sequence[str],
    time: int,
) -> tuple[str, float | None] | None:
    """Return the first of some shops that had all of some products at a time (ms); None: there is none.

    Nor is there where no product is wanted.
    """
    if not products or not stores:
        return None
    having = surroundings.having_all([store for store, _ in stores], products, time)
    return (having[0], dict(stores)[having[0]]) if having else None


def row_of(
    surroundings: Surroundings, store_id: str, distance: float | None, time: int
) -> dict[str, Any] | None:
    """Return what rules see of a shop at a time (ms): its row, how far away she was, and whether it is open.

    `distance_m` and `open` are absent where nobody knows: a condition that asks for them is false then.
    """
    store = surroundings.store(store_id, time)
    if store is None:
        return None
    found = dict(store.row)
    if distance is not None:
        found["distance_m"] = round(distance, 1)
    now = is_open(store, time)
    return found if now is None else found | {"open": now}
