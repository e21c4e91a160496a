"""Orders and money, by the timelines alone: the audit's own arithmetic, which shares no code with the workers.

An order is one `order_id` of a customer (an order without one is an order of its own):

- It counts if it was completed and not cancelled, on the channel of its first Order Completed. A cancelled one is worth
  nothing, and neither is what was refunded for it.
- It comes to what was said of it last: `revenue`, else `total`, else `value`, else price x quantity of its `products`.
- Refunds are taken off up to that, in its own currency; in another one, or of an order that isn't there, in full. A
  refund without an amount is of what is left.
- Of a customer's orders, the `KNOWN` first heard of last can still change.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLACED, SAID, CANCELLED, REFUNDED = "Order Completed", "Order Updated", "Order Cancelled", "Order Refunded"
KNOWN = 20
"""Orders of a customer that are known one by one, as docs/numbers.md says."""
NO_CURRENCY = "XXX"
_MICROS = 1_000_000
_MOST, _MOST_MONEY = 10**15, 10**12
"""What is larger is no number, and no amount of money."""
_LONGEST, _BITS, _CODE = 256, 64, 3


class Entry(NamedTuple):
    """What an event says of an order; money in millionths, None where it says nothing."""

    time: int
    event_id: str
    channel: str
    type: str
    order_id: str
    amount: int | None
    currency: str | None


@dataclass
class Takings:
    """What all customers' orders come to.

    Attributes:
        orders: channel -> orders that count.
        revenue: (channel, currency) -> what they amount to, in millionths.
        refunded: (channel, currency) -> what was refunded, in millionths; channel "" of orders that aren't there.
    """

    orders: Counter[str] = field(default_factory=Counter)
    revenue: Counter[tuple[str, ...]] = field(default_factory=Counter)
    refunded: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def earned(self) -> dict[str, int]:
        """Return revenue less refunds by currency."""
        found: Counter[str] = Counter()
        for sums, sign in ((self.revenue, 1), (self.refunded, -1)):
            for (_, code), amount in sums.items():
                found[code] += sign * amount
        return dict(found)


def entry_of(event: Mapping[str, Any]) -> Entry | None:
    """Return what an event of the timeline says of an order; None: nothing."""
    if event["type"] not in (PLACED, SAID, CANCELLED, REFUNDED):
        return None
    said = event["properties"]
    name = _text(said.get("order_id"))
    if not name and event["type"] in (SAID, CANCELLED):
        return None
    code = said.get("currency")
    known = isinstance(code, str) and len(code) == _CODE and code.isascii() and code.isalpha()
    return Entry(
        event["time"],
        event["event_id"],
        event["channel"],
        event["type"],
        name,
        _amount(said),
        code.upper() if known else None,
    )


def takings(customers: Iterable[Iterable[Entry]]) -> Takings:
    """Return what the orders of customers come to, each customer given by all that was said, in any order."""
    found = Takings()
    for entries in customers:
        for order in _orders(sorted(entries)):
            _count(order, found)
    return found


def _orders(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return what was said of each order, by one customer's entries in turn."""
    known: list[list[Entry]] = []
    done: list[list[Entry]] = []
    for entry in entries:
        order = next((one for one in known if entry.order_id and one[0].order_id == entry.order_id), None)
        if order is not None:
            order.append(entry)
        elif not entry.order_id and entry.type == REFUNDED:
            done.append([entry])  # nothing more will be said of it
        else:
            known.append([entry])
            if len(known) > KNOWN:
                done.append(known.pop(0))
    return done + known


def _count(order: list[Entry], found: Takings) -> None:
    """Add what one order comes to."""
    if any(entry.type == CANCELLED for entry in order):
        return
    amount: int | None = None
    own: str | None = None
    back: dict[str | None, int] = defaultdict(int)
    for entry in order:
        if entry.type == REFUNDED:
            back[entry.currency] += _refund(entry, amount, own, back)
        else:
            amount = amount if entry.amount is None else entry.amount
            own = entry.currency or own
    channel = next((entry.channel for entry in order if entry.type == PLACED), None)
    returned = back.pop(None, 0) + (back.pop(own, 0) if own else 0)
    code = own or NO_CURRENCY
    if channel is not None:
        found.orders[channel] += 1
        found.revenue[channel, code] += amount or 0
        returned = min(returned, max(0, amount or 0))
    found.refunded[channel or "", code] += returned
    for other, rest in back.items():
        found.refunded[channel or "", other or NO_CURRENCY] += rest


def _refund(entry: Entry, amount: int | None, own: str | None, back: Mapping[str | None, int]) -> int:
    """Return what a refund comes to: what it says, else what is left of the order."""
    if entry.amount is not None:
        return abs(entry.amount)  # some say what they pay out as less than nothing
    if amount is None or entry.currency not in (None, own):
        return 0
    return max(0, amount - sum(back.get(code, 0) for code in {None, own}))


def _amount(said: Mapping[str, Any]) -> int | None:
    amounts = (_money(said.get(name)) for name in ("revenue", "total", "value"))
    amount = next((one for one in amounts if one is not None), None)
    return _lines(said.get("products")) if amount is None else amount


def _lines(products: object) -> int | None:
    """Return what the lines of an order come to, those whose price is known."""
    amounts = []
    for line in products if isinstance(products, list) else ():
        if isinstance(line, dict):
            price, pieces = _number(line.get("price")), _number(line.get("quantity", 1))
            amounts.append(None if price is None else _money(price * max(0, pieces or 0)))
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known and abs(sum(known)) < _MOST_MONEY * _MICROS else None


def _money(value: object) -> int | None:
    amount = _number(value)
    return None if amount is None or abs(amount) >= _MOST_MONEY else round(amount * _MICROS)


def _number(value: object) -> int | float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if abs(value) < _MOST else None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else ""
    whole = isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _BITS
    return str(value) if whole else ""
