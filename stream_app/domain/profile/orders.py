"""Orders, refunds and what they are worth, folded in the order of the timeline.

An order is one `order_id` (an order without one is an order of its own). All that is said about it counts together,
whatever comes first:
- Order Completed places it; said again of the same order it is no second one.
- Order Completed and Order Updated say its amount (see `values.amount_of`); the latest counts.
- Order Cancelled cancels all of it: it counts for nothing any more, and what it was refunded doesn't either.
- Order Refunded, through any channel, is a return. Its amount is what it says; without any, what is left of the order.
  Up to the order's amount it is taken off: what is refunded beyond (shipping, tax) was no revenue.
- A refund of an order that isn't known, or in another currency, is taken off in full.

    orders          how many were placed and not cancelled
    revenue         sum of their amounts, by currency
    refunded        sum of what was refunded for them, by currency
    monetary value  revenue - refunded, by currency

Bounds: the `MAX_ORDERS` orders first heard of last are known one by one; older ones keep counting, but can't be
cancelled or changed, and a refund of one is a refund of an order that isn't known. `MAX_RETURNS` returns, the latest.
`MAX_CURRENCIES`, alphabetically.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.profile.values import NO_CURRENCY, amount_of, bounded, currency_of, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stream_app.domain.event import Event

MAX_ORDERS = 20
MAX_RETURNS = 10
MAX_CURRENCIES = 16
OWN = ""
"""Stands for the order's own currency, in a refund that names none."""


class Order(msgspec.Struct, array_like=True, gc=False):
    """What is known of one order. Money in millionths.

    Attributes:
        order_id: "" where it has none.
        time: when it was placed, ms; before that, when it was first heard of.
        channel: that it was placed through.
        store: the shop that it was placed in.
        placed: whether there was an Order Completed.
        cancelled: whether there was an Order Cancelled.
        amount: None as long as nothing said it.
        currency: None as long as nothing said it.
        refunds: by currency.
    """

    order_id: str
    time: int
    channel: str
    store: str | None = None
    placed: bool = False
    cancelled: bool = False
    amount: int | None = None
    currency: str | None = None
    refunds: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether it is one of the customer's orders."""
        return self.placed and not self.cancelled


class Return(msgspec.Struct, array_like=True, gc=False):
    """A refund: of which order ("": it didn't say), when (ms), through what channel and shop, how much (millionths)."""

    order_id: str
    time: int
    channel: str
    store: str | None
    amount: int | None
    currency: str | None


class Money(msgspec.Struct, array_like=True, gc=False):
    """In one currency: how many orders, the sum of their amounts, and what was refunded; millionths."""

    orders: int = 0
    revenue: int = 0
    refunded: int = 0


class Orders(msgspec.Struct, array_like=True, gc=False):
    """All of a customer's orders.

    Attributes:
        count: how many were placed and not cancelled.
        cancelled: how many were placed and cancelled.
        returns: how many refunds there were.
        money: by currency; `NO_CURRENCY` where none was said.
        recent: the latest orders, the one first heard of last at the end.
        returned: the latest refunds.
        aged: times of the first and the last order (ms) among those that are no longer known one by one.
    """

    count: int = 0
    cancelled: int = 0
    returns: int = 0
    money: dict[str, Money] = msgspec.field(default_factory=dict)
    recent: list[Order] = msgspec.field(default_factory=list)
    returned: list[Return] = msgspec.field(default_factory=list)
    aged: tuple[int, int] | None = None

    @property
    def first(self) -> int | None:
        """Time of the first order, ms."""
        if not self.recent:
            return None if self.aged is None else self.aged[0]
        times = self._times()
        if self.aged is not None:
            times.append(self.aged[0])
        return min(times, default=None)

    @property
    def last(self) -> int | None:
        """Time of the latest order, ms."""
        if not self.recent:
            return None if self.aged is None else self.aged[1]
        times = self._times()
        if self.aged is not None:
            times.append(self.aged[1])
        return max(times, default=None)

    def _times(self) -> list[int]:
        return [one.time for one in self.recent if one.placed and not one.cancelled]

    @property
    def earned(self) -> dict[str, Money]:
        """The money, without currencies in which there is none any more."""
        if not self.money:
            return {}
        return {code: money for code, money in self.money.items() if money != _NOTHING}

    @property
    def currency(self) -> str | None:
        """The main currency: that of most orders, of equals the first by name."""
        return main_currency(self.earned)


def main_currency(earned: Mapping[str, Money]) -> str | None:
    """Return the currency of most orders, of equals the first by name."""
    if len(earned) > 1:
        return min(earned, key=lambda code: (-earned[code].orders, code))
    return next(iter(earned), None)


def state_of(order: Order) -> str:
    """Return in a word how an order stands: completed, cancelled, partly_refunded, refunded."""
    if order.cancelled:
        return "cancelled"
    if not order.refunds:
        return "completed"
    return "partly_refunded" if refunded_of(order) < (order.amount or 0) else "refunded"


def take_order(orders: Orders, event: Event) -> bool:
    """Take in an event of `ORDER_EVENTS`; return whether it placed an order."""
    name = text(event.properties.get("order_id")) or ""
    if not name and event.type in _OF_SOME_ORDER:
        return False
    order = _order(orders, name, event)
    counted, cancelled, before = order.counts, order.placed and order.cancelled, [*worth_of(order)]
    placed = order.placed
    _TAKE[event.type](orders, order, event)
    orders.count += order.counts - counted
    orders.cancelled += (order.placed and order.cancelled) - cancelled
    for sign, worth in ((-1, before), (1, worth_of(order))):
        for code, number, revenue, refunded in worth:
            money = orders.money.setdefault(code, Money())
            money.orders += sign * number
            money.revenue = bounded(money.revenue + sign * revenue)
            money.refunded = bounded(money.refunded + sign * refunded)
    _forget(orders)
    return order.placed and not placed


def spoken_of(orders: Orders, event: Event) -> Order | None:
    """Return the order that an event of `ORDER_EVENTS` spoke of, which has just been taken in; None: of none.

    A refund that names no order is one of an order that nobody knows, and is not kept.
    """
    name = text(event.properties.get("order_id")) or ""
    if name:
        return next((order for order in reversed(orders.recent) if order.order_id == name), None)
    if event.type == "Order Completed":
        return orders.recent[-1]
    if event.type in _OF_SOME_ORDER:
        return None
    last = orders.returned[-1]
    return Order("", last.time, last.channel, refunds={last.currency or OWN: last.amount or 0})


def _order(orders: Orders, name: str, event: Event) -> Order:
    """Return the order that an event speaks of, a new one if need be."""
    for order in reversed(orders.recent):
        if name and order.order_id == name:
            return order
    order = Order(name, event.time, event.channel)
    if name or event.type == "Order Completed":  # nothing more will be said about a refund of no order
        orders.recent.append(order)
    return order


def _completed(_: Orders, order: Order, event: Event) -> None:
    if not order.placed:
        order.placed, order.time, order.channel = True, event.time, event.channel
        order.store = text(event.properties.get("store_id"))
    _updated(_, order, event)


def _updated(_: Orders, order: Order, event: Event) -> None:
    amount = amount_of(event)
    order.amount = order.amount if amount is None else amount
    order.currency = currency_of(event.properties) or order.currency


def _cancelled(_: Orders, order: Order, __: Event) -> None:
    order.cancelled = True


def _refund(orders: Orders, order: Order, event: Event) -> None:
    amount, currency = amount_of(event), currency_of(event.properties)
    if amount is None and order.amount is not None and currency in (None, order.currency):
        amount = max(0, order.amount - refunded_of(order))
    elif amount is not None:
        amount = abs(amount)  # some say what they pay out as less than nothing
    store = text(event.properties.get("store_id"))
    orders.returns += 1
    orders.returned.append(
        Return(order.order_id, event.time, event.channel, store, amount, currency or order.currency)
    )
    order.refunds[currency or OWN] = bounded(order.refunds.get(currency or OWN, 0) + (amount or 0))


def refunded_of(order: Order) -> int:
    """Return what was refunded in the order's own currency."""
    own = {OWN, order.currency}
    return sum(amount for code, amount in order.refunds.items() if code in own)


def worth_of(order: Order) -> Iterator[tuple[str, int, int, int]]:
    """Yield what an order adds to the sums: (currency, orders, revenue, refunded)."""
    own, refunded = order.currency or NO_CURRENCY, refunded_of(order)
    if order.counts:
        amount = order.amount or 0
        yield own, 1, amount, min(refunded, max(0, amount))
    elif refunded and not order.placed and not order.cancelled:
        yield own, 0, 0, refunded
    for code, amount in order.refunds.items():
        if code not in (OWN, order.currency) and amount and not order.cancelled:
            yield code, 0, 0, amount


def _forget(orders: Orders) -> None:
    """Keep within bounds."""
    if len(orders.recent) > MAX_ORDERS:
        order = orders.recent.pop(0)
        if order.counts:
            first, last = orders.aged or (order.time, order.time)
            orders.aged = min(first, order.time), max(last, order.time)
    if len(orders.returned) > MAX_RETURNS:
        del orders.returned[0]
    while len(orders.money) > MAX_CURRENCIES:
        del orders.money[max(orders.money)]


_NOTHING = Money()
_OF_SOME_ORDER = frozenset({"Order Updated", "Order Cancelled"})
_TAKE: dict[str, Callable[[Orders, Order, Event], None]] = {
    "Order Completed": _completed,
    "Order Updated": _updated,
    "Order Cancelled": _cancelled,
    "Order Refunded": _refund,
}
ORDER_EVENTS = frozenset(_TAKE)
