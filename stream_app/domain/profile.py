"""The profile: a pure fold over a customer's timeline, the same for every order of arrival.

Everything but the baskets commutes: each part keeps the time that decides (first, last, latest), so a late
event is simply applied. Basket events don't commute; `apply` says so when one comes before another that has
been folded, and the caller folds again from the timeline.

Bounds, each kept by a rule that doesn't depend on arrival: `MAX_VIEWED` items viewed, the latest;
`MAX_TRAITS` traits and `MAX_ANSWERS` consent answers, the latest; `MAX_CURRENCIES`, alphabetically; channels
are those that are configured; baskets see `cart`. A value longer than its bound is not kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.cart import CART_EVENTS, Cart, item_of, number, text
from stream_app.domain.event import Scalar  # noqa: TC001 - msgspec resolves the fields' types at run time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.event import Event

MAX_VIEWED = 20
MAX_TRAITS = 64
MAX_TRAIT_TEXT = 512
MAX_ANSWERS = 128
MAX_CURRENCIES = 16
MICROS = 1_000_000
"""Money is summed in whole millionths: sums of floats depend on their order."""

Place = tuple[int, str]
"""A place on the timeline: (event time in ms, event id)."""
BEGINNING: Place = (-(1 << 62), "")
"""Before every event."""
END: Place = (1 << 62, "")
"""Behind every event."""


class Seen(msgspec.Struct, array_like=True):
    """Visits through one channel: first and last event time (ms), and how many events."""

    first: int
    last: int
    count: int


class Latest(msgspec.Struct, array_like=True):
    """A value that later events replace; at equal times the larger event id counts."""

    value: Scalar
    time: int
    event_id: str


class Answer(msgspec.Struct, array_like=True):
    """An explicit answer to a question for consent, and its event time (ms)."""

    granted: bool
    time: int


class Viewed(msgspec.Struct, array_like=True):
    """An item, and the latest view of it."""

    item: str
    time: int
    event_id: str


class Profile(msgspec.Struct, array_like=True):
    """What the timeline says about a customer, at a glance.

    Attributes:
        events: how many there are.
        first: place of the first one.
        last: place of the last one.
        seen: by channel.
        orders: how many Order Completed events.
        revenue: by currency, in millionths; of the order's revenue, else its total, else its value.
        first_order: event time, ms.
        last_order: event time, ms.
        carts: open baskets by cart id.
        cart_last: place of the latest basket event.
        viewed: recently viewed items, the latest view last.
        traits: scalars from Identify and Signed Up; null says that a trait is no longer known.
        consent: by "purpose/channel", with * for all.
        locale: as the latest event that has one says.
        timezone: as the latest event that has one says.
    """

    events: int = 0
    first: Place | None = None
    last: Place | None = None
    seen: dict[str, Seen] = msgspec.field(default_factory=dict)
    orders: int = 0
    revenue: dict[str, int] = msgspec.field(default_factory=dict)
    first_order: int | None = None
    last_order: int | None = None
    carts: dict[str, Cart] = msgspec.field(default_factory=dict)
    cart_last: Place | None = None
    viewed: list[Viewed] = msgspec.field(default_factory=list)
    traits: dict[str, Latest] = msgspec.field(default_factory=dict)
    consent: dict[str, Answer] = msgspec.field(default_factory=dict)
    locale: Latest | None = None
    timezone: Latest | None = None


def fold(events: Iterable[Event]) -> Profile:
    """Return the profile of a timeline, given in order (event time, event id)."""
    profile = Profile()
    for event in events:
        apply(profile, event)
    return profile


def apply(profile: Profile, event: Event) -> bool:
    """Take in an event, in whatever order events come; each event once.

    Returns:
        False where a basket event came before another that had been folded: the profile must be folded again.
    """
    time, order = event.time, event.order
    profile.events += 1
    if profile.last is None or order > profile.last:
        profile.last = order
    if profile.first is None or order < profile.first:
        profile.first = order
    seen = profile.seen.get(event.channel)
    if seen is None:
        profile.seen[event.channel] = Seen(time, time, 1)
    else:
        seen.count += 1
        if time > seen.last:
            seen.last = time
        elif time < seen.first:
            seen.first = time
    if event.context is not None:
        profile.locale = _latest(profile.locale, event.context.locale, event)
        profile.timezone = _latest(profile.timezone, event.context.timezone, event)
    part = _PARTS.get(event.type)
    if part is not None:
        part(profile, event)
    cart = CART_EVENTS.get(event.type)
    if cart is None:
        return True
    if profile.cart_last is not None and order < profile.cart_last:
        return False
    profile.cart_last = order
    cart(profile.carts, event)
    return True


def consent_for(profile: Profile, purpose: str, channel: str) -> bool | None:
    """Return the latest explicit answer that speaks of a purpose on a channel; None if there is none.

    An answer without purpose or channel speaks of all of them. At equal times "no" counts.
    """
    keys = (f"{purpose}/{channel}", f"{purpose}/*", f"*/{channel}", "*/*")
    answers = [answer for answer in map(profile.consent.get, keys) if answer is not None]
    if not answers:
        return None
    latest = max(answer.time for answer in answers)
    return all(answer.granted for answer in answers if answer.time == latest)


def _latest(old: Latest | None, value: str | None, event: Event) -> Latest | None:
    if (
        not value
        or len(value) > MAX_TRAIT_TEXT
        or (old is not None and event.order < (old.time, old.event_id))
    ):
        return old
    return Latest(value, event.time, event.event_id)


def _view(profile: Profile, event: Event) -> None:
    item = item_of(event.properties)
    if item is None:
        return
    viewed = profile.viewed
    for place, view in enumerate(viewed):
        if view.item == item:
            if (view.time, view.event_id) > event.order:
                return
            del viewed[place]
            break
    place = len(viewed)
    while place and (viewed[place - 1].time, viewed[place - 1].event_id) > event.order:
        place -= 1
    viewed.insert(place, Viewed(item, event.time, event.event_id))
    if len(viewed) > MAX_VIEWED:
        del viewed[0]


def _order(profile: Profile, event: Event) -> None:
    profile.orders += 1
    if profile.first_order is None or event.time < profile.first_order:
        profile.first_order = event.time
    if profile.last_order is None or event.time > profile.last_order:
        profile.last_order = event.time
    for name in ("revenue", "total", "value"):
        amount = number(event.properties.get(name))
        if amount is not None:
            break
    else:
        return
    currency = _currency(event.properties.get("currency"))
    profile.revenue[currency] = profile.revenue.get(currency, 0) + round(amount * MICROS)
    if len(profile.revenue) > MAX_CURRENCIES:
        del profile.revenue[max(profile.revenue)]


def _currency(value: object) -> str:
    """Return an ISO 4217 code; XXX, which the standard keeps for "no currency", for anything else."""
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha():  # noqa: PLR2004
        return value.upper()
    return "XXX"


def _traits(profile: Profile, event: Event) -> None:
    traits = profile.traits
    for name, value in event.properties.items():
        if not 0 < len(name) <= MAX_TRAIT_TEXT or not _is_trait(value):
            continue
        old = traits.get(name)
        if old is None or event.order > (old.time, old.event_id):
            traits[name] = Latest(value, event.time, event.event_id)
    while len(traits) > MAX_TRAITS:
        del traits[min(traits, key=lambda name: (traits[name].time, traits[name].event_id, name))]


def _is_trait(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TRAIT_TEXT
    return value is None or (isinstance(value, bool | int | float) and math.isfinite(value))


def _consent(profile: Profile, event: Event) -> None:
    granted = event.properties.get("consent")
    if not isinstance(granted, bool):
        return
    purpose = event.properties.get("purpose")
    channel = event.properties.get("channel")
    if (purpose is not None and text(purpose) is None) or (channel is not None and text(channel) is None):
        return
    key = f"{'*' if purpose is None else purpose}/{'*' if channel is None else channel}"
    old = profile.consent.get(key)
    if old is None or event.time > old.time:
        profile.consent[key] = Answer(granted, event.time)
    elif event.time == old.time and not granted:
        old.granted = False
    answers = profile.consent
    if len(answers) > MAX_ANSWERS:
        del answers[min(answers, key=lambda name: (answers[name].time, name))]


_PARTS: dict[str, Callable[[Profile, Event], None]] = {
    "Product Viewed": _view,
    "Order Completed": _order,
    "Identify": _traits,
    "Signed Up": _traits,
    "Consent Changed": _consent,
}
