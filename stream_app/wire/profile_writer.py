"""Writes a customer's profile as Avro binary straight from the domain's struct: it changes with every event.

The order of fields and branches is that of schemas/avro/customer_profile.avsc. Maps are in the order of
their keys, so that equal profiles have equal bytes in whatever order their events came.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

from stream_app.domain.profile import MICROS, conclude, customer_zone
from stream_app.domain.profile.carts import currency_of, value_of
from stream_app.domain.profile.orders import Orders, refunded_of, state_of
from stream_app.domain.profile.ratings import average
from stream_app.domain.profile.service import Service
from stream_app.wire.avro_writer import write_long, write_scalar, write_string

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
    orders, where = profile.orders, profile.where
    money = orders.earned
    parts = [
        write_string(customer_id),
        write_long(version),
        _block([write_string(identifier) for identifier in identifiers]),
        write_long(first[0]),
        write_long(last[0]),
        write_long(profile.events),
        _block([write_string(channel) + _activity(seen) for channel, seen in _sorted(profile.seen)]),
        write_long(orders.count),
        _money({code: one.revenue for code, one in money.items()}) if money else _END,
        _optional_long(orders.last) if money else _ABSENT,
        _block([write_string(cart_id) + _cart(cart) for cart_id, cart in _sorted(profile.carts)]),
        _block([write_string(view.item) + write_long(view.time) for view in reversed(profile.viewed)]),
        _traits(profile.traits),
        _block([write_string(key) + _BOOLEAN[answer.granted] for key, answer in _sorted(profile.consent)]),
        _ABSENT if where.locale is None else _PRESENT + write_string(str(where.locale.value)),
        _optional_string(customer_zone(profile)),
        _NO_ORDERS if orders == _NONE else _orders(orders, money),
        _block([_wish(wish) for wish in reversed(profile.wishes)]),
        _block([write_string(name) + _activity(device) for name, device in _sorted(profile.devices)]),
        _service(profile.service) if profile.service.requests else _NO_SERVICE,
        _ratings(profile.satisfaction),
        _ratings(profile.reviews),
        _conclusions(profile),
        _position(where.fix),
        _block([_said(said) for said in reversed(profile.history)]),
        _block([write_string(segment) for segment in sorted(segments)]),
    ]
    return b"".join(parts)


def _activity(seen: Seen | Device) -> bytes:
    return write_long(seen.first) + write_long(seen.last) + write_long(seen.count)


def _cart(cart: Cart) -> bytes:
    parts = (
        _block([write_string(sku) + _line(line) for sku, line in _sorted(cart.lines)]),
        _double(value_of(cart)),
        _optional_string(currency_of(cart)),
        write_long(cart.touched[0]),
    )
    return b"".join(parts)


def _line(line: Line) -> bytes:
    return _double(line.quantity) + (_ABSENT if line.price is None else _PRESENT + _double(line.price))


def _traits(traits: Mapping[str, Latest]) -> bytes:
    known = [(name, latest.value) for name, latest in _sorted(traits) if latest.value is not None]
    return _block([write_string(name) + write_scalar(value) for name, value in known])


def _orders(orders: Orders, money: Mapping[str, Money]) -> bytes:
    net = {code: one.revenue - one.refunded for code, one in money.items()}
    currency = orders.currency
    parts = (
        _optional_long(orders.first),
        write_long(orders.cancelled),
        write_long(orders.returns),
        _money({code: one.refunded for code, one in money.items()}),
        _money(net),
        _optional_string(currency),
        _double(0 if currency is None else net[currency] / MICROS),
        _block([_order(order) for order in reversed(orders.recent) if order.placed]),
        _block([_return(one) for one in reversed(orders.returned)]),
    )
    return b"".join(parts)


def _order(order: Order) -> bytes:
    parts = (
        _optional_string(order.order_id or None),
        write_long(order.time),
        write_string(order.channel),
        _optional_string(order.store),
        _optional_micros(order.amount),
        _optional_string(order.currency),
        _double(refunded_of(order) / MICROS),
        write_string(state_of(order)),
    )
    return b"".join(parts)


def _return(one: Return) -> bytes:
    parts = (
        _optional_string(one.order_id or None),
        write_long(one.time),
        write_string(one.channel),
        _optional_string(one.store),
        _optional_micros(one.amount),
        _optional_string(one.currency),
    )
    return b"".join(parts)


def _wish(wish: Wish) -> bytes:
    parts = (
        write_string(wish.item),
        _optional_string(wish.wishlist or None),
        write_long(wish.time),
        _optional_micros(wish.price),
        _optional_string(wish.currency),
    )
    return b"".join(parts)


def _service(service: Service) -> bytes:
    requests = [_request(request) for request in reversed(service.cases)]
    return write_long(service.requests) + write_long(service.complaints) + _block(requests)


def _request(request: Request) -> bytes:
    parts = (
        _optional_string(request.case or None),
        write_string(request.kind),
        write_string(request.channel),
        write_long(request.opened),
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
        write_long(last.time),
    )
    return b"".join(parts)


def _conclusions(profile: Profile) -> bytes:
    """Encode what is concluded from several parts of the profile."""
    points = conclude.loyalty_points(profile)
    parts = (
        _optional_string(conclude.loyalty_tier(profile)),
        _ABSENT if points is None else _PRESENT + _double(points),
        _optional_long(None if profile.loyalty is None else profile.loyalty.joined),
        _optional_string(conclude.preferred_channel(profile)),
        _optional_string(conclude.preferred_store(profile)),
        _optional_string(conclude.preferred_category(profile)),
        _optional_string(conclude.preferred_size(profile)),
        _optional_long(conclude.preferred_hour(profile)),
    )
    return b"".join(parts)


def _position(fix: Fix | None) -> bytes:
    if fix is None:
        return _ABSENT
    accuracy = _ABSENT if fix.accuracy_m is None else _PRESENT + _double(fix.accuracy_m)
    return _PRESENT + _double(fix.latitude) + _double(fix.longitude) + accuracy + write_long(fix.time)


def _said(said: Said) -> bytes:
    parts = (
        _optional_string(said.purpose),
        _optional_string(said.channel),
        _BOOLEAN[said.granted],
        write_long(said.time),
        write_string(said.through),
    )
    return b"".join(parts)


def _money(amounts: Mapping[str, int]) -> bytes:
    return _block([write_string(code) + _double(micros / MICROS) for code, micros in _sorted(amounts)])


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
