"""The oracle's small change: times, durations, keys, patterns, and what conditions see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stream_app.domain.rules.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Order = tuple[int, str]
Raw = dict[str, Any]

VARIABLES = frozenset(
    {"event", "event_type", "channel", "time", "opened", "first", "last", "cart", "customer"}
    | {"old", "new", "now", "before", "store", "stock", "weather", "season"},
)
UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Happening:
    """An event as a case writes it."""

    event_id: str
    time: int
    channel: str
    type: str
    properties: Mapping[str, Any]

    @property
    def order(self) -> Order:
        """Events at equal times are ordered by event id."""
        return (self.time, self.event_id)

    @property
    def evidence(self) -> tuple[str, ...]:
        """What a trigger that rests on it is told by."""
        return (self.event_id,)

    @property
    def shown(self) -> Raw:
        """What patterns and conditions see of it once it has opened."""
        return {"opened": dict(self.properties)}


def instant(text: str) -> int:
    """Return an ISO 8601 time in ms; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - EPOCH) // timedelta(milliseconds=1)


def duration(text: str) -> int:
    """Return `900ms 1s 30m 2h 3d`, with a sign or without, in ms."""
    found = re.fullmatch(r"([+-]?)(\d+)(ms|s|m|h|d)", text)
    if found is None:
        raise ValueError(f"no duration: {text}")
    sign, count, unit = found.groups()
    return (-1 if sign == "-" else 1) * int(count) * UNITS[unit]


def listed(value: Any) -> list[Any]:
    """Return a value or a list of values as a list; nothing as an empty one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def as_key(value: Any) -> str:
    """Return a key's value as text, so that 12 and "12" are one; "" is the empty key."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)


def key_of(rule: Raw, event: Happening) -> tuple[str, ...]:
    """Return what tells instances of a rule apart."""
    return tuple(as_key(event.properties.get(name)) for name in listed(rule.get("key")))


@lru_cache(maxsize=4096)
def _condition(source: str) -> Condition:
    return Condition(source, VARIABLES)


def holds(source: Any, variables: Mapping[str, Any]) -> bool:
    """Judge a condition; none is true."""
    if source is None or isinstance(source, bool):
        return source is not False
    return _condition(source).holds(variables)


def seen_in(event: Happening) -> dict[str, Any]:
    """Return what a condition sees of an event."""
    return {
        "event": dict(event.properties),
        "event_type": event.type,
        "channel": event.channel,
        "time": event.time,
    }


def fits(pattern: Raw | None, event: Happening, variables: Mapping[str, Any]) -> bool:
    """Tell whether an event is one of a pattern's types and fits its `if`."""
    if pattern is None or event.type not in listed(pattern["event"]):
        return False
    return holds(pattern.get("if"), {**variables, **seen_in(event)})


def traits(timeline: Iterable[Happening]) -> dict[str, Any]:
    """Return a customer's traits: "traits come from `Identify` events' properties"; null takes one back."""
    known: dict[str, Any] = {}
    for event in timeline:
        if event.type == "Identify":
            known |= event.properties
    return {name: value for name, value in known.items() if value is not None}


def bought(event: Happening) -> set[str]:
    """Return what an order is of."""
    lines = event.properties.get("products")
    return (
        {as_key(line.get("sku")) for line in lines if isinstance(line, dict)}
        if isinstance(lines, list)
        else set()
    )


def customer(timeline: Iterable[Happening]) -> dict[str, Any]:
    """Return a customer: "profile and traits". Of the profile the oracle knows the wish list alone.

    What is bought is on it no longer; it is on a list of its own where the event names one.
    """
    wishes: set[tuple[str, str]] = set()
    seen = list(timeline)
    for event in seen:
        sku, listed_in = (as_key(event.properties.get(name)) for name in ("sku", "wishlist_id"))
        if event.type == "Product Added to Wishlist" and sku:
            wishes.add((sku, listed_in))
        elif event.type in ("Product Removed from Wishlist", "Wishlist Product Added to Cart"):
            wishes = {wish for wish in wishes if wish[0] != sku or listed_in not in ("", wish[1])}
        elif event.type == "Order Completed":
            wishes = {wish for wish in wishes if wish[0] not in bought(event)}
    return {"wishlist": sorted({sku for sku, _ in wishes})} | traits(seen)


def cart(timeline: Iterable[Happening], cart_id: Any, prices: Mapping[str, float]) -> dict[str, Any]:
    """Return the basket `cart_id`, or all of them where there is none.

    "price x quantity added less removed, a missing price is the product's; ordered or emptied it is empty"
    """
    lines: dict[tuple[str, str], list[float]] = {}
    known = dict(prices)
    for event in timeline:
        basket, sku = as_key(event.properties.get("cart_id")), as_key(event.properties.get("sku"))
        if event.type in ("Order Completed", "Cart Emptied"):
            lines = {place: line for place, line in lines.items() if basket and place[0] != basket}
        if event.properties.get("price") is not None and sku:
            known[sku] = event.properties["price"]
        if event.type in ("Product Added", "Wishlist Product Added to Cart", "Product Removed"):
            count = event.properties.get("quantity", 1)
            price = event.properties.get("price", known.get(sku, 0.0))
            line = lines.setdefault((basket, sku), [0, 0.0])
            sign = -1 if event.type == "Product Removed" else 1
            line[0] += sign * count
            line[1] += sign * count * price
            if line[0] <= 0:
                del lines[basket, sku]
    wanted = as_key(cart_id)
    held = {place: line for place, line in lines.items() if wanted in ("", place[0])}
    return {
        "value": round(sum((line[1] for line in held.values()), 0.0), 4),
        "items": sum(line[0] for line in held.values()),
        "products": [{"item": sku, "quantity": line[0]} for (_, sku), line in held.items()],
    }


def upto(timeline: Sequence[Happening], time: int) -> list[Happening]:
    """Return the events up to and including a time."""
    return [event for event in timeline if event.time <= time]
