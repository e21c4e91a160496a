"""Baskets: the part of a profile whose events don't commute, folded in the order of the timeline.

Product Added and Product Removed change a line; Cart Emptied and Order Completed empty the basket of their
`cart_id`, or all of them where they have none (Segment e-commerce spec v2 names the events and properties).
Bounds: `MAX_CARTS` baskets, the longest untouched goes first; `MAX_LINES` items in one, further ones are not
taken.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.event import Event

MAX_CARTS = 8
MAX_LINES = 100
MAX_TEXT = 256
"""Longest item, cart id, currency or trait's name that is kept, in characters."""


class Line(msgspec.Struct, array_like=True):
    """An item in a basket: how many, and price and currency as last said."""

    quantity: int | float
    price: int | float | None = None
    currency: str | None = None


class Cart(msgspec.Struct, array_like=True):
    """A basket: when it was last touched (event time in ms, event id), and its lines by item."""

    touched: tuple[int, str]
    lines: dict[str, Line] = msgspec.field(default_factory=dict)


Carts = dict[str, Cart]
"""Baskets by cart id; "" is that of events without one."""


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
    if type(value) is int:
        value = str(value) if value.bit_length() <= 64 else ""  # noqa: PLR2004
    return value if type(value) is str and 0 < len(value) <= MAX_TEXT else None


def item_of(properties: dict[str, Any]) -> str | None:
    """Return the item that an event is about: its `sku`, else its `product_id`."""
    return text(properties.get("sku")) or text(properties.get("product_id"))


def step(carts: Carts, event: Event) -> None:
    """Take in an event whose type is in `CART_EVENTS`; it must be the latest of them."""
    CART_EVENTS[event.type](carts, event)


def _added(carts: Carts, event: Event) -> None:
    item = item_of(event.properties)
    quantity = _quantity(event)
    if item is None or quantity <= 0:
        return
    lines = _touched(carts, event).lines
    line = lines.get(item)
    if line is None:
        if len(lines) >= MAX_LINES:
            return
        line = lines[item] = Line(0)
    line.quantity += quantity
    price = number(event.properties.get("price"))
    line.price = line.price if price is None else price
    line.currency = text(event.properties.get("currency")) or line.currency


def _removed(carts: Carts, event: Event) -> None:
    item = item_of(event.properties)
    cart_id = text(event.properties.get("cart_id")) or ""
    if item is None or cart_id not in carts:
        return
    cart = carts[cart_id]
    cart.touched = event.order
    line = cart.lines.get(item)
    if line is not None:
        line.quantity -= _quantity(event)
        if line.quantity <= 0:
            del cart.lines[item]
    if not cart.lines:
        del carts[cart_id]


def _emptied(carts: Carts, event: Event) -> None:
    cart_id = text(event.properties.get("cart_id"))
    if cart_id is None:
        carts.clear()
    else:
        carts.pop(cart_id, None)


def _quantity(event: Event) -> int | float:
    quantity = number(event.properties.get("quantity", 1))
    return 0 if quantity is None or quantity < 0 else quantity


def _touched(carts: Carts, event: Event) -> Cart:
    cart_id = text(event.properties.get("cart_id")) or ""
    cart = carts.get(cart_id)
    if cart is None:
        if len(carts) >= MAX_CARTS:
            del carts[min(carts, key=lambda name: carts[name].touched)]
        cart = carts[cart_id] = Cart(event.order)
    cart.touched = event.order
    return cart


CART_EVENTS: dict[str, Callable[[Carts, Event], None]] = {
    "Product Added": _added,
    "Product Removed": _removed,
    "Cart Emptied": _emptied,
    "Order Completed": _emptied,
}
