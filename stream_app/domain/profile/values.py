"""What a profile takes from an event's properties: numbers, short texts, items, money. Anything else is as if absent.

Money is whole millionths of a currency: sums of floats depend on their order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.event import Scalar  # noqa: TC001 - msgspec resolves the fields' types at run time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.domain.event import Event

MAX_TEXT = 256
"""Longest item, cart id, order id, store, category, size or currency that is kept, in characters."""
MICROS = 1_000_000
MAX_AMOUNT = 10**12
"""Nobody pays so much at once, in any currency; sums stay within 64 bits."""
NO_CURRENCY = "XXX"
"""ISO 4217 keeps it for "no currency"."""
_SUM = (1 << 63) - 1

Place = tuple[int, str]
"""A place on the timeline: (event time in ms, event id)."""
BEGINNING: Place = (-(1 << 62), "")
"""Before every event."""
END: Place = (1 << 62, "")
"""Behind every event."""


class Latest(msgspec.Struct, array_like=True, gc=False):
    """A value that later events replace; at equal times the larger event id counts."""

    value: Scalar
    time: int
    event_id: str


def later(known: Latest | None, value: Scalar, event: Event) -> Latest:
    """Return which counts of what is known and what an event says."""
    if known is None:
        return Latest(value, event.time, event.event_id)
    time = event.time
    if time > known.time or (time == known.time and event.event_id > known.event_id):
        known.value, known.time, known.event_id = value, time, event.event_id
    return known


def number(value: Any) -> int | float | None:
    """Return a finite number, given as such or as text; None for anything else."""
    if type(value) is str:
        try:
            value = float(value)
        except ValueError:
            return None
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return value if abs(value) < 1e15 else None  # noqa: PLR2004 - beyond, sums are no longer exact
    return None


def text(value: Any) -> str | None:
    """Return a short text, or a whole number as text; None for anything else, and for the empty text."""
    if type(value) is str:
        return value if 0 < len(value) <= MAX_TEXT else None
    return str(value) if type(value) is int and value.bit_length() <= 64 else None  # noqa: PLR2004


def item_of(properties: dict[str, Any]) -> str | None:
    """Return the item that an event or a line of it is about: its `sku`, else its `product_id`."""
    sku = properties.get("sku")
    if type(sku) is str and 0 < len(sku) <= MAX_TEXT:  # as `text` has it
        return sku
    return text(sku) or text(properties.get("product_id"))


def products_of(event: Event) -> Iterator[dict[str, Any]]:
    """Yield the lines of an event's `products`."""
    products = event.properties.get("products")
    if type(products) is list:
        for line in products:
            if type(line) is dict:
                yield line


def quantity_of(properties: dict[str, Any]) -> int | float:
    """Return a quantity: 1 where none is given, 0 for what is none."""
    quantity = number(properties.get("quantity", 1))
    return 0 if quantity is None or quantity < 0 else quantity


def micros(value: Any) -> int | None:
    """Return an amount of money in millionths."""
    amount = number(value)
    return None if amount is None or abs(amount) >= MAX_AMOUNT else round(amount * MICROS)


def amount_of(event: Event) -> int | None:
    """Return what an order or a refund amounts to: its `revenue`, else `total`, else `value`, else its lines.

    Lines: the sum of price x quantity over `products` whose price is known; None without any.
    """
    properties = event.properties
    for name in ("revenue", "total", "value"):
        amount = micros(properties.get(name))
        if amount is not None:
            return amount
    lines = []
    for line in products_of(event):
        price = number(line.get("price"))
        amount = None if price is None else micros(price * quantity_of(line))
        if amount is not None:
            lines.append(amount)
    whole = sum(lines)
    return whole if lines and abs(whole) < MAX_AMOUNT * MICROS else None


def currency_of(properties: dict[str, Any]) -> str | None:
    """Return an ISO 4217 code, in capitals."""
    value = properties.get("currency")
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha():  # noqa: PLR2004
        return value.upper()
    return None


def bounded(total: int) -> int:
    """Return a sum as 64 bits can hold it: no real one comes near."""
    return max(-_SUM, min(_SUM, total))
