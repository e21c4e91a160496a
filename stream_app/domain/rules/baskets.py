"""What a customer has in the basket: a pure fold over the events that fill and empty it.

Price x quantity added (from the wish list too) less removed, by `cart_id` (events without one share a basket of
their own). A missing price is the product's: the one last seen with it, else the catalogue's. Ordered or emptied, by
`cart_id` or all, a basket is empty. Prices and quantities are numbers; anything else is as if absent (quantity 1).
Money is rounded to 4 decimals when it is asked for, so that sums of floats compare as people expect.

Bounded: 32 baskets (the one untouched longest goes first), 200 products each (what comes on top shares one
line), 256 prices. The bounds depend on the events alone, so folding again gives the same.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

MAX_CARTS = 32
MAX_LINES = 200
MAX_PRICES = 256
DECIMALS = 4

ADDS = frozenset({"Product Added", "Wishlist Product Added to Cart"})
REMOVES = "Product Removed"
EMPTIES = frozenset({"Cart Emptied", "Order Completed"})
SHOWS_PRICE = frozenset({"Product Viewed", "Product Clicked"})
EVENT_TYPES = ADDS | {REMOVES} | EMPTIES | SHOWS_PRICE
"""The event types that this fold wants to see."""
_OTHER = "\x00other"


class Catalogue(Protocol):
    """What products cost, by item."""

    def get(self, item: str, default: float, /) -> float:
        """Return a product's price, or a default."""


_NO_PRICES: Catalogue = MappingProxyType({})


class Line(msgspec.Struct, array_like=True, gc=False):
    """One product in a basket. `amount`: money of what came with a price; `unpriced`: pieces without."""

    quantity: float = 0.0
    amount: float = 0.0
    unpriced: float = 0.0


class Cart(msgspec.Struct, array_like=True, gc=False):
    """One basket: its lines by product, in the order they came, and the latest currency named."""

    lines: dict[str, Line] = msgspec.field(default_factory=dict)
    currency: str | None = None


class Baskets(msgspec.Struct, array_like=True, gc=False):
    """All baskets of a customer by cart id ("" without one), least recently touched first."""

    carts: dict[str, Cart] = msgspec.field(default_factory=dict)
    prices: dict[str, float] = msgspec.field(default_factory=dict)

    def apply(self, event_type: str, properties: dict[str, Any]) -> None:
        """Fold one event of EVENT_TYPES, in order."""
        if event_type in SHOWS_PRICE:
            self._learn(_item(properties), _number(properties.get("price")))
            return
        cart_id = cart_of(properties)
        if event_type in EMPTIES:
            if cart_id:
                self.carts.pop(cart_id, None)
            else:
                self.carts.clear()
            return
        if event_type == REMOVES and cart_id not in self.carts:
            for product in _products(properties):
                self._learn(_item(product), _number(product.get("price")))
            return
        cart = self._touch(cart_id)
        if isinstance(currency := properties.get("currency"), str):
            cart.currency = currency
        sign = -1.0 if event_type == REMOVES else 1.0
        for product in _products(properties):
            self._change(cart, product, sign)
        if not cart.lines:
            del self.carts[cart_id]

    def view(self, cart_id: str, prices: Catalogue = _NO_PRICES) -> dict[str, Any]:
        """Return what `cart` means in a condition and a payload: the basket `cart_id`, or all of them if "".

        `prices` are the catalogue's.

        `value` in the basket's currency, `items` is the number of pieces, `currency` is absent where no event
        named one, `products` lists item, quantity and amount.
        """
        carts = list(self.carts.values()) if not cart_id else [c for c in [self.carts.get(cart_id)] if c]
        products: list[dict[str, Any]] = []
        value = items = 0.0
        view: dict[str, Any] = {}
        for cart in carts:
            for item, line in cart.lines.items():
                amount = line.amount
                if line.unpriced:
                    amount += line.unpriced * self._price(item, prices)
                value += amount
                items += line.quantity
                name = "" if item == _OTHER else item
                products.append({"item": name, "quantity": _count(line.quantity), "amount": _money(amount)})
            if cart.currency is not None:
                view["currency"] = cart.currency
        view.update(value=_money(value), items=_count(items), products=products)
        return view

    def _price(self, item: str, prices: Catalogue) -> float:
        """Return a product's price: as last seen with it, else as the catalogue has it, else 0."""
        seen = self.prices.get(item)
        return prices.get(item, 0.0) if seen is None else seen

    def _touch(self, cart_id: str) -> Cart:
        """Return the basket, made the most recently touched, and make room for it if need be."""
        cart = self.carts.pop(cart_id, None) or Cart()
        if len(self.carts) >= MAX_CARTS:
            del self.carts[next(iter(self.carts))]
        self.carts[cart_id] = cart
        return cart

    def _learn(self, item: str, price: float | None) -> None:
        """Remember a product's price, the newest last."""
        if price is None or not item:
            return
        self.prices.pop(item, None)
        if len(self.prices) >= MAX_PRICES:
            del self.prices[next(iter(self.prices))]
        self.prices[item] = price

    def _change(self, cart: Cart, product: dict[str, Any], sign: float) -> None:
        """Add (sign 1) or remove (-1) a product."""
        item, price = _item(product), _number(product.get("price"))
        quantity = _number(product.get("quantity"))
        quantity = 1.0 if quantity is None else quantity
        self._learn(item, price)
        line = cart.lines.get(item)
        if line is None and len(cart.lines) >= MAX_LINES:
            price = self.prices.get(item) if price is None else price
            item = _OTHER
            line = cart.lines.get(item)
        if sign > 0:
            if line is None:
                line = cart.lines[item] = Line()
            _add(line, quantity, price)
        elif line is not None:
            _remove(line, quantity, self.prices.get(item) if price is None else price)
            if line.quantity <= 0:
                del cart.lines[item]


def cart_of(properties: dict[str, Any]) -> str:
    """Return the event's cart id as text, "" without one."""
    return _name(properties.get("cart_id"))


def _add(line: Line, quantity: float, price: float | None) -> None:
    line.quantity += quantity
    if price is None:
        line.unpriced += quantity
    else:
        line.amount += quantity * price


def _remove(line: Line, quantity: float, price: float | None) -> None:
    """Take pieces out: those without a price first, the rest at `price`, or the line's average."""
    quantity = min(quantity, line.quantity)
    without = min(quantity, line.unpriced)
    priced = line.quantity - line.unpriced
    if price is None:
        price = line.amount / priced if priced > 0 else 0.0
    line.quantity -= quantity
    line.unpriced -= without
    line.amount = max(0.0, line.amount - (quantity - without) * price)


def _products(properties: dict[str, Any]) -> list[dict[str, Any]]:
    """List the products an event is about: its `products`, or the event itself."""
    products = properties.get("products")
    if type(products) is list and products:
        return [product for product in products if type(product) is dict]
    return [properties]


def _item(product: dict[str, Any]) -> str:
    return _name(product.get("sku")) or _name(product.get("product_id"))


def _name(value: Any) -> str:
    """Return an id as text; whole numbers as their decimal text, so that 12, 12.0 and "12" are one."""
    if type(value) is str:
        return value
    if type(value) is float and value.is_integer():
        return str(int(value))
    return str(value) if type(value) in {int, float} else ""


def _number(value: Any) -> float | None:
    """Return a finite number that isn't negative, or None."""
    if type(value) not in {int, float} or not 0 <= value < math.inf:
        return None
    return float(value)


def _money(value: float) -> float:
    return round(value, DECIMALS)


def _count(value: float) -> float:
    return int(value) if value.is_integer() else value
