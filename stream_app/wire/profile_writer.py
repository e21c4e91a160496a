"""Writes a customer's profile as Avro binary straight from the domain's struct: it changes with every event.

The order of fields and branches is that of schemas/avro/customer_profile.avsc. Maps are in the order of
their keys, so that equal profiles have equal bytes in whatever order their events came.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, TypeVar

from stream_app.domain.profile import MICROS
from stream_app.wire.avro_writer import write_long, write_scalar, write_string

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_app.domain.cart import Cart, Line
    from stream_app.domain.profile import Latest, Profile, Seen

V = TypeVar("V")

_double = struct.Struct("<d").pack
_END = b"\x00"
_ABSENT, _PRESENT = b"\x00", b"\x02"
_ANSWER = (b"\x00", b"\x01")
VALUE_DECIMALS = 6
"""What a basket's value is rounded to."""


def encode_profile(customer_id: str, version: int, identifiers: Sequence[str], profile: Profile) -> bytes:
    """Encode a profile, without framing.

    Args:
        customer_id: whose it is.
        version: grows with every change.
        identifiers: all of the customer's, as namespace:value, in the order to publish.
        profile: of at least one event.
    """
    first, last = profile.first or (0, ""), profile.last or (0, "")
    parts = [
        write_string(customer_id),
        write_long(version),
        _block([write_string(identifier) for identifier in identifiers]),
        write_long(first[0]),
        write_long(last[0]),
        write_long(profile.events),
        _block([write_string(channel) + _seen(seen) for channel, seen in _sorted(profile.seen)]),
        write_long(profile.orders),
        _block([write_string(code) + _double(micros / MICROS) for code, micros in _sorted(profile.revenue)]),
        _ABSENT if profile.last_order is None else _PRESENT + write_long(profile.last_order),
        _block([write_string(cart_id) + _cart(cart) for cart_id, cart in _sorted(profile.carts)]),
        _block([write_string(view.item) + write_long(view.time) for view in reversed(profile.viewed)]),
        _traits(profile.traits),
        _block([write_string(key) + _ANSWER[answer.granted] for key, answer in _sorted(profile.consent)]),
        _latest(profile.locale),
        _latest(profile.timezone),
    ]
    return b"".join(parts)


def _seen(seen: Seen) -> bytes:
    return write_long(seen.first) + write_long(seen.last) + write_long(seen.count)


def _cart(cart: Cart) -> bytes:
    lines = cart.lines
    known = [line.quantity * line.price for line in lines.values() if line.price is not None]
    currencies = {line.currency for line in lines.values()}
    currency = currencies.pop() if len(currencies) == 1 else None
    parts = (
        _block([write_string(sku) + _line(line) for sku, line in _sorted(lines)]),
        _double(round(math.fsum(known), VALUE_DECIMALS)),
        _ABSENT if currency is None else _PRESENT + write_string(currency),
        write_long(cart.touched[0]),
    )
    return b"".join(parts)


def _line(line: Line) -> bytes:
    return _double(line.quantity) + (_ABSENT if line.price is None else _PRESENT + _double(line.price))


def _traits(traits: Mapping[str, Latest]) -> bytes:
    known = [(name, latest.value) for name, latest in _sorted(traits) if latest.value is not None]
    return _block([write_string(name) + write_scalar(value) for name, value in known])


def _latest(latest: Latest | None) -> bytes:
    if latest is None or not isinstance(latest.value, str):
        return _ABSENT
    return _PRESENT + write_string(latest.value)


def _sorted(entries: Mapping[str, V]) -> Iterable[tuple[str, V]]:
    return sorted(entries.items(), key=_key) if len(entries) > 1 else entries.items()


def _key(entry: tuple[str, object]) -> str:
    return entry[0]


def _block(items: list[bytes]) -> bytes:
    """Encode a list, or a map whose entries are its items, as one block."""
    return write_long(len(items)) + b"".join(items) + _END if items else _END
