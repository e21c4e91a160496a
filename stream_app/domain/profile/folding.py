"""The profile as a pure fold over a customer's timeline, the same for every order of arrival.

Most parts commute: each keeps the time that decides (first, last, latest), so a late event is simply applied. Baskets,
wish lists, orders and service requests don't (`IN_TURN`), and what is counted by name doesn't once it is full: `apply`
says so when such an event comes before another one that has been folded, and the caller folds again from the timeline.

Each part states its bounds, by a rule that doesn't depend on arrival. A value longer than its bound is not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.profile.carts import CART_EVENTS
from stream_app.domain.profile.consent import allowed, answer
from stream_app.domain.profile.loyalty import LOYALTY_EVENTS, Loyalty, be_loyal
from stream_app.domain.profile.orders import ORDER_EVENTS, take_order
from stream_app.domain.profile.preferences import CATEGORY_EVENTS, count, count_category, count_lines
from stream_app.domain.profile.ratings import REVIEW_EVENTS, SATISFACTION_EVENTS, rated
from stream_app.domain.profile.seen import PASSIVE, be_active, device_of, see_channel, see_device
from stream_app.domain.profile.service import SERVICE_EVENTS, serve
from stream_app.domain.profile.state import Profile
from stream_app.domain.profile.traits import TRAIT_EVENTS, tell
from stream_app.domain.profile.values import text
from stream_app.domain.profile.viewed import view_item
from stream_app.domain.profile.whereabouts import locate
from stream_app.domain.profile.wishes import WISH_EVENTS, fulfil, wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.event import Event


def fold(events: Iterable[Event]) -> Profile:
    """Return the profile of a timeline, given in order (event time, event id)."""
    profile = Profile()
    for event in events:
        apply(profile, event)
    return profile


def apply(profile: Profile, event: Event) -> bool:
    """Take in an event, in whatever order events come; each event once.

    Returns:
        False where it had to be folded before others that have been: the profile must be folded again.
    """
    time, last = event.time, profile.last
    order = (time, event.event_id)
    late = last is not None and order < last
    profile.events += 1
    if not late:
        profile.last = order
        if last is None:
            profile.first = order
    elif profile.first is None or order < profile.first:
        profile.first = order
    active, part, category, in_turn = READINGS.get(event.type, PLAIN)
    see_channel(profile.seen, event.channel, time, active=active)
    device = device_of(event)
    whole = device is None or see_device(profile.devices, device, time, late=late)
    if active:
        be_active(profile.active, time)
        store = event.properties.get("store_id")
        if store is not None and (name := text(store)) is not None:
            whole &= count(profile.stores, name, time, late=late)
    locate(profile.where, event)
    if part is not None:
        part(profile, event)
    if category and not count_category(profile.categories, event, late=late):
        whole = False
    if in_turn and not take_in_turn(profile, event, late=late):
        whole = False
    return whole


def consent_for(profile: Profile, purpose: str, channel: str) -> bool | None:
    """Return the latest explicit answer that speaks of a purpose on a channel; None if there is none.

    An answer without purpose or channel speaks of all of them. At equal times "no" counts.
    """
    return allowed(profile.consent, purpose, channel)


def take_in_turn(profile: Profile, event: Event, *, late: bool) -> bool:
    """Take in an event of `IN_TURN`."""
    if profile.turn is not None and event.order < profile.turn:
        return False
    profile.turn = event.order
    kind, whole = event.type, True
    cart = CART_EVENTS.get(kind)
    if cart is not None:
        cart(profile.carts, event)
    if kind in WISH_EVENTS:
        wish(profile.wishes, event)
    elif kind in SERVICE_EVENTS:
        serve(profile.service, event)
    elif kind in ORDER_EVENTS:
        if kind == "Order Completed":
            fulfil(profile.wishes, event)
        if take_order(profile.orders, event):
            whole = count_lines(profile.categories, event, "category", late=late)
            whole &= count_lines(profile.sizes, event, "size", late=late)
    return whole


def _satisfied(profile: Profile, event: Event) -> None:
    profile.satisfaction = rated(profile.satisfaction, event)


def _reviewed(profile: Profile, event: Event) -> None:
    profile.reviews = rated(profile.reviews, event)


def _loyal(profile: Profile, event: Event) -> None:
    if profile.loyalty is None:
        profile.loyalty = Loyalty()
    be_loyal(profile.loyalty, event)


class _Reading(NamedTuple):
    """What is read from events of one type: `part` in any order, categories, and what has to be folded in turn."""

    active: bool
    part: Callable[[Profile, Event], None] | None
    category: bool
    in_turn: bool


IN_TURN = frozenset(CART_EVENTS) | WISH_EVENTS | ORDER_EVENTS | SERVICE_EVENTS
_PARTS: dict[str, Callable[[Profile, Event], None]] = {
    "Product Viewed": lambda profile, event: view_item(profile.viewed, event),
    "Consent Changed": lambda profile, event: answer(profile.consent, profile.history, event),
    **dict.fromkeys(TRAIT_EVENTS, lambda profile, event: tell(profile.traits, event)),
    **dict.fromkeys(SATISFACTION_EVENTS, _satisfied),
    **dict.fromkeys(REVIEW_EVENTS, _reviewed),
    **dict.fromkeys(LOYALTY_EVENTS, _loyal),
}
READINGS = {
    kind: _Reading(kind not in PASSIVE, _PARTS.get(kind), kind in CATEGORY_EVENTS, kind in IN_TURN)
    for kind in (PASSIVE | _PARTS.keys() | CATEGORY_EVENTS | IN_TURN)
}
PLAIN = _Reading(active=True, part=None, category=False, in_turn=False)
