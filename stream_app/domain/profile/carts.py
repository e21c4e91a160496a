"""Baskets: what a customer put in and has neither paid nor taken out, folded in the order of the timeline.

Product Added, Wishlist Product Added to Cart and Product Removed change a line; Cart Emptied and Order Completed empty
the basket of their `cart_id`, or all of them where they have none (names as in Segment's e-commerce spec v2).
Bounds: `MAX_CARTS` baskets, the longest untouched goes first; `MAX_LINES` items in one, further ones are not
taken.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.profile.values import item_of, number, quantity_of, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.event import Event

MAX_CARTS = 8
MAX_LINES = 100
VALUE_DECIMALS = 6
"""What a basket's value is rounded to."""


class Line(msgspec.Struct, array_like=True, gc=False):
    """An item in a basket: how many, and price and currency as last said."""

    quantity: int | float
    price: int | float | None = None
    currency: str | None = None


class Cart(msgspec.Struct, array_like=True, gc=False):
    """A basket: when it was last touched (event time in ms, event id), and its lines by item."""

    touched: tuple[int, str]
    lines: dict[str, Line] = msgspec.field(default_factory=dict)


Carts = dict[str, Cart]
"""Baskets by cart id; "" is that of events without one."""


def value_of(cart: Cart) -> float:
    """Return the sum of quantity x price over the lines whose price is known."""
    known = [line.quantity * line.price for line in cart.lines.values() if line.price is not None]
    return round(math.fsum(known), VALUE_DECIMALS)


def currency_of(cart: Cart) -> str | None:
    """Return the currency of a basket's lines; None where they have none, or several."""
    currencies = {line.currency for line in cart.lines.values()}
    return currencies.pop() if len(currencies) == 1 else None


def step(carts: Carts, event: Event) -> None:
    """Take in an event whose type is in `CART_EVENTS`; it must be the latest of them."""
    CART_EVENTS[event.type](carts, event)


def _added(carts: Carts, event: Event) -> None:
    item = item_of(event.properties)
    quantity = quantity_of(event.properties)
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
        line.quantity -= quantity_of(event.properties)
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
    "Wishlist Product Added to Cart": _added,
    "Product Removed": _removed,
    "Cart Emptied": _emptied,
    "Order Completed": _emptied,
}
