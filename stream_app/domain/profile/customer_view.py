"""What `customer` means in a condition or a payload: the profile's names, and traits by theirs.

What was said goes before what was counted: a trait of the name of something in the profile (CRM's own
`lifetime_value`, a customer's `preferred_store` or `size`) stands in its place, but for what changes as time goes by,
and for the tier and points that the loyalty programme says. What isn't known is absent.

Times are ms since the epoch; days are whole days of 24 hours up to `now`, 0 for what lies ahead; money is in the main
currency, that of most orders. Recency, frequency and monetary value are `days_since_last_order`, `orders` and
`monetary_value`. schemas/README.md has the list for people who write conditions.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.domain.profile import conclude
from stream_app.domain.profile.carts import value_of
from stream_app.domain.profile.orders import Money
from stream_app.domain.profile.ratings import average
from stream_app.domain.profile.service import open_requests
from stream_app.domain.profile.traits import trait
from stream_app.domain.profile.values import MICROS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.profile.ratings import Ratings
    from stream_app.domain.profile.state import Profile

DAY_MS = 24 * 3600 * 1000


class _Reading(NamedTuple):
    """How a name is found: whether a trait may say it, and what reads it, or since when it counts days."""

    name: str
    said: bool
    read: Callable[[Profile], Any] | None
    days: Callable[[Profile], int | None] | None


def view(
    profile: Profile, now: int, segments: Iterable[str] = (), names: frozenset[str] | None = None
) -> dict[str, Any]:
    """Return `customer` as of `now` (ms).

    Args:
        profile: the customer's.
        now: what days are counted up to.
        segments: those that the customer is in.
        names: what is asked for, the names right below `customer`; None: everything.
    """
    traits = profile.traits
    found: dict[str, Any] = {}
    for name, said, read, days in _reading({*traits, *NAMES}) if names is None else _known_reading(names):
        value: Any = trait(traits, name) if traits and said else None
        if value is None:
            if read is not None:
                value = read(profile)
            elif days is not None:
                since = days(profile)
                value = None if since is None else max(0, now - since) // DAY_MS
            elif name == "segments":
                value = sorted(segments)
        if value is not None:
            found[name] = value
    return found


def _reading(names: Iterable[str]) -> tuple[_Reading, ...]:
    """Return how each name is found."""
    return tuple(_Reading(name, name not in NOT_SAID, _READ.get(name), _DAYS.get(name)) for name in names)


_known_reading = lru_cache(maxsize=256)(_reading)  # what conditions and payloads ask for stays the same


def day_changes(profile: Profile, name: str) -> int | None:
    """Return since when a name of `DAY_NAMES` counts days, ms."""
    return _DAYS[name](profile)


def money_of(profile: Profile) -> Money:
    """Return what was earned in the main currency."""
    money = profile.orders.money
    if len(money) <= 1:  # most customers have one currency; of one in which nothing is left, all sums are 0
        return next(iter(money.values()), None) or Money()
    currency = profile.orders.currency
    return money[currency] if currency is not None else Money()


def _position(profile: Profile) -> dict[str, float] | None:
    fix = profile.where.fix
    if fix is None:
        return None
    place = {"latitude": fix.latitude, "longitude": fix.longitude}
    return place if fix.accuracy_m is None else place | {"accuracy_m": fix.accuracy_m}


def _monetary_value(profile: Profile) -> float:
    if not profile.orders.money:
        return 0.0
    money = money_of(profile)
    return (money.revenue - money.refunded) / MICROS


def _cart_items(profile: Profile) -> int | float:
    carts = profile.carts
    return sum([line.quantity for cart in carts.values() for line in cart.lines.values()]) if carts else 0


def _average_order_value(profile: Profile) -> float | None:
    money = money_of(profile)
    return (money.revenue - money.refunded) / MICROS / money.orders if money.orders else None


def _average(ratings: Ratings | None) -> float | None:
    return None if ratings is None else average(ratings)


def _time(place: tuple[int, str] | None) -> int | None:
    return None if place is None else place[0]


_READ: dict[str, Callable[[Profile], Any]] = {
    "events": lambda profile: profile.events,
    "first_seen": lambda profile: _time(profile.first),
    "last_seen": lambda profile: _time(profile.last),
    "channels": lambda profile: sorted(profile.seen),
    "devices": lambda profile: len(profile.devices),
    "recently_viewed": lambda profile: [view.item for view in reversed(profile.viewed)],
    "cart_items": _cart_items,
    "cart_value": lambda profile: sum(map(value_of, profile.carts.values())),
    "wishlist": lambda profile: sorted({wish.item for wish in profile.wishes}),
    "orders": lambda profile: profile.orders.count,
    "cancelled_orders": lambda profile: profile.orders.cancelled,
    "returns": lambda profile: profile.orders.returns,
    "currency": lambda profile: profile.orders.currency,
    "revenue": lambda profile: money_of(profile).revenue / MICROS,
    "refunded": lambda profile: money_of(profile).refunded / MICROS,
    "monetary_value": _monetary_value,
    "lifetime_value": _monetary_value,
    "average_order_value": _average_order_value,
    "first_order": lambda profile: profile.orders.first,
    "last_order": lambda profile: profile.orders.last,
    "service_requests": lambda profile: profile.service.requests,
    "open_requests": lambda profile: open_requests(profile.service),
    "complaints": lambda profile: profile.service.complaints,
    "satisfaction": lambda profile: _average(profile.satisfaction),
    "last_satisfaction": lambda profile: profile.satisfaction and profile.satisfaction.latest.value,
    "average_review": lambda profile: _average(profile.reviews),
    "loyalty_tier": conclude.loyalty_tier,
    "loyalty_points": conclude.loyalty_points,
    "preferred_channel": conclude.preferred_channel,
    "preferred_store": conclude.preferred_store,
    "preferred_category": conclude.preferred_category,
    "preferred_size": conclude.preferred_size,
    "preferred_hour": conclude.preferred_hour,
    "locale": lambda profile: profile.where.locale and profile.where.locale.value,
    "timezone": conclude.zone_of,
    "position": _position,
    "consent": lambda profile: {about: answer.granted for about, answer in profile.consent.items()},
}
_DAYS: dict[str, Callable[[Profile], int | None]] = {
    "days_since_first_seen": lambda profile: _time(profile.first),
    "days_since_last_seen": lambda profile: _time(profile.last),
    "days_since_first_order": lambda profile: profile.orders.first,
    "days_since_last_order": lambda profile: profile.orders.last,
    "days_since_joined": lambda profile: None if profile.loyalty is None else profile.loyalty.joined,
}
DAY_NAMES = frozenset(_DAYS)
NOT_SAID = (
    DAY_NAMES
    | {"segments", "loyalty_tier", "loyalty_points"}
    | {f"preferred_{name}" for name in ("channel", "store", "category", "size", "hour")}
)
"""What no trait stands in the place of: it changes as time goes by, or asks the traits itself (see `conclude`)."""
NAMES = frozenset(_READ) | DAY_NAMES | {"segments"}
