"""Writes a customer's profile as Avro binary straight from the domain's struct: it changes with every event.

The order of fields and branches is that of schemas/avro/customer_profile.avsc. Maps are in the order of
their keys, so that equal profiles have equal bytes in whatever order their events came. What few customers have is
left out early, and the bytes of short texts that many of them share (channels, items, currencies, zones) are
remembered; identifiers and ids, which are one customer's own, are not.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

from stream_app.domain.profile import MICROS, conclude, customer_zone
from stream_app.domain.profile.carts import currency_of, value_of
from stream_app.domain.profile.orders import Orders, main_currency, refunded_of, state_of
from stream_app.domain.profile.ratings import average
from stream_app.domain.profile.service import Service
from stream_app.wire.avro_writer import write_long, write_scalar, write_shared, write_string, write_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_app.domain.profile import Profile
    from stream_app.domain.profile.carts import Cart, Line
    from stream_app.domain.profile.consent import Said
    from stream_app.domain.profile.orders import Money, Order, Return
    from stream_app.domain.profile.ratings import Ratings
    from stream_app.domain.profile.seen import Device, Seen
    from stream_app.domain.profile.service import Request
    from stream_app.domain.profile.values import Latest
    from stream_app.domain.profile.viewed import Viewed
    from stream_app.domain.profile.whereabouts import Fix
    from stream_app.domain.profile.wishes import Wish

V = TypeVar("V")

_double = struct.Struct("<d").pack
_END = b"\x00"
_ABSENT, _PRESENT = b"\x00", b"\x02"
_BOOLEAN = (b"\x00", b"\x01")


def encode_profile(
    customer_id: str,
    version: int,
    identifiers: Sequence[str],
    profile: Profile,
    segments: Iterable[str] = (),
) -> bytes:
    """Encode a profile, without framing.

    Args:
        customer_id: whose it is.
        version: grows with every change.
        identifiers: all of the customer's, as namespace:value, in the order to publish.
        profile: of at least one event.
        segments: those that the customer is in.
    """
    first, last = profile.first or (0, ""), profile.last or (0, "")
    orders, where, zone = profile.orders, profile.where, customer_zone(profile)
    money = orders.earned
    parts = (
        write_string(customer_id),
        write_long(version),
        _block([write_string(identifier) for identifier in identifiers]),
        write_time(first[0]),
        write_time(last[0]),
        write_long(profile.events),
        _block([write_shared(channel) + _activity(seen) for channel, seen in _sorted(profile.seen)]),
        write_long(orders.count),
        _money({code: one.revenue for code, one in money.items()}) if money else _END,
        _optional_long(orders.last) if money else _ABSENT,
        _block([write_string(cart_id) + _cart(cart) for cart_id, cart in _sorted(profile.carts)]),
        _viewed(profile.viewed),
        _traits(profile.traits) if profile.traits else _END,
        _block(
            [write_shared(about) + _BOOLEAN[answer.granted] for about, answer in _sorted(profile.consent)]
        ),
        _ABSENT if where.locale is None else _PRESENT + write_shared(str(where.locale.value)),
        _optional_shared(zone),
        _NO_ORDERS if orders == _NONE else _orders(orders, money),
        _block([_wish(wish) for wish in reversed(profile.wishes)]),
        _block([write_string(name) + _activity(device) for name, device in _sorted(profile.devices)]),
        _service(profile.service) if profile.service.requests else _NO_SERVICE,
        _ratings(profile.satisfaction),
        _ratings(profile.reviews),
        _conclusions(profile, zone),
        _position(where.fix),
        _block([_said(said) for said in reversed(profile.history)]),
        _block([write_shared(segment) for segment in sorted(segments)]),
    )
    return b"".join(parts)


def _activity(seen: Seen | Device) -> bytes:
    first, last = seen.first, seen.last
    once = write_time(first)
    return once + (once if last == first else write_time(last)) + write_long(seen.count)


def _viewed(viewed: Sequence[Viewed]) -> bytes:
    text, time = write_shared, write_time
    return _block([text(view.item) + time(view.time) for view in reversed(viewed)])


def _cart(cart: Cart) -> bytes:
    parts = (
        _block([write_shared(sku) + _line(line) for sku, line in _sorted(cart.lines)]),
        _double(value_of(cart)),
        _optional_shared(currency_of(cart)),
        write_time(cart.touched[0]),
    )
    return b"".join(parts)


def _line(line: Line) -> bytes:
    return _double(line.quantity) + (_ABSENT if line.price is None else _PRESENT + _double(line.price))


def _traits(traits: Mapping[str, Latest]) -> bytes:
    known = [(name, latest.value) for name, latest in _sorted(traits) if latest.value is not None]
    return _block([write_shared(name) + write_scalar(value) for name, value in known])


def _orders(orders: Orders, money: Mapping[str, Money]) -> bytes:
    net = {code: one.revenue - one.refunded for code, one in money.items()}
    currency = main_currency(money)
    parts = (
        _optional_long(orders.first),
        write_long(orders.cancelled),
        write_long(orders.returns),
        _money({code: one.refunded for code, one in money.items()}),
        _money(net),
        _optional_shared(currency),
        _double(0 if currency is None else net[currency] / MICROS),
        _block([_order(order) for order in reversed(orders.recent) if order.placed]),
        _block([_return(one) for one in reversed(orders.returned)]),
    )
    return b"".join(parts)


def _order(order: Order) -> bytes:
    parts = (
        _optional_string(order.order_id or None),
        write_time(order.time),
        write_shared(order.channel),
        _optional_shared(order.store),
        _optional_micros(order.amount),
        _optional_shared(order.currency),
        _double(refunded_of(order) / MICROS),
        write_shared(state_of(order)),
    )
    return b"".join(parts)


def _return(one: Return) -> bytes:
    parts = (
        _optional_string(one.order_id or None),
        write_time(one.time),
        write_shared(one.channel),
        _optional_shared(one.store),
        _optional_micros(one.amount),
        _optional_shared(one.currency),
    )
    return b"".join(parts)


def _wish(wish: Wish) -> bytes:
    parts = (
        write_shared(wish.item),
        _optional_string(wish.wishlist or None),
        write_time(wish.time),
        _optional_micros(wish.price),
        _optional_shared(wish.currency),
    )
    return b"".join(parts)


def _service(service: Service) -> bytes:
    requests = [_request(request) for request in reversed(service.cases)]
    return write_long(service.requests) + write_long(service.complaints) + _block(requests)


def _request(request: Request) -> bytes:
    parts = (
        _optional_string(request.case or None),
        write_shared(request.kind),
        write_shared(request.channel),
        write_time(request.opened),
        _optional_long(request.closed),
    )
    return b"".join(parts)


def _ratings(ratings: Ratings | None) -> bytes:
    if ratings is None:
        return _ABSENT
    last = ratings.latest
    parts = (
        _PRESENT,
        write_long(ratings.count),
        _double(average(ratings)),
        _double(last.value),
        write_time(last.time),
    )
    return b"".join(parts)


def _conclusions(profile: Profile, zone: str | None) -> bytes:
    """Encode what is concluded from several parts of the profile."""
    loyalty, traits = profile.loyalty, profile.traits
    parts = (
        _NO_LOYALTY if loyalty is None and not traits else _loyalty(profile),
        _optional_shared(conclude.preferred_channel(profile)),
        _optional_shared(conclude.preferred_store(profile)),
        _optional_shared(conclude.preferred_category(profile)),
        _optional_shared(conclude.preferred_size(profile)),
        _optional_long(conclude.preferred_hour(profile, zone)),
    )
    return b"".join(parts)


def _loyalty(profile: Profile) -> bytes:
    points = conclude.loyalty_points(profile)
    parts = (
        _optional_string(conclude.loyalty_tier(profile)),
        _ABSENT if points is None else _PRESENT + _double(points),
        _optional_long(None if profile.loyalty is None else profile.loyalty.joined),
    )
    return b"".join(parts)


def _position(fix: Fix | None) -> bytes:
    if fix is None:
        return _ABSENT
    accuracy = _ABSENT if fix.accuracy_m is None else _PRESENT + _double(fix.accuracy_m)
    return _PRESENT + _double(fix.latitude) + _double(fix.longitude) + accuracy + write_time(fix.time)


def _said(said: Said) -> bytes:
    parts = (
        _optional_shared(said.purpose),
        _optional_shared(said.channel),
        _BOOLEAN[said.granted],
        write_time(said.time),
        write_shared(said.through),
    )
    return b"".join(parts)


def _money(amounts: Mapping[str, int]) -> bytes:
    return _block([write_shared(code) + _double(micros / MICROS) for code, micros in _sorted(amounts)])


def _optional_shared(text: str | None) -> bytes:
    return _ABSENT if text is None else _PRESENT + write_shared(text)


def _optional_string(value: str | None) -> bytes:
    return _ABSENT if value is None else _PRESENT + write_string(value)


def _optional_long(value: int | None) -> bytes:
    return _ABSENT if value is None else _PRESENT + write_long(value)


def _optional_micros(value: int | None) -> bytes:
    return _ABSENT if value is None else _PRESENT + _double(value / MICROS)


def _sorted(entries: Mapping[str, V]) -> Iterable[tuple[str, V]]:
    return sorted(entries.items(), key=_key) if len(entries) > 1 else entries.items()


def _key(entry: tuple[str, object]) -> str:
    return entry[0]


def _block(items: list[bytes]) -> bytes:
    """Encode a list, or a map whose entries are its items, as one block."""
    return write_long(len(items)) + b"".join(items) + _END if items else _END


_NONE = Orders()
_NO_ORDERS = _orders(_NONE, {})
_NO_SERVICE = _service(Service())
_NO_LOYALTY = _ABSENT * 3
