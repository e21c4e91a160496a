"""Preferences: how often a customer was in a shop, at a category, bought a size; the most frequent is preferred.

Stores: `store_id` of what she did. Categories: of products viewed, put into the basket and ordered. Sizes: of products
ordered. Bound: `MAX_TALLY` names each; the one not met for longest goes, and is counted anew should it come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.local_time import hour_of_day
from stream_app.domain.profile.seen import QUARTER_MS
from stream_app.domain.profile.values import products_of, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.domain.event import Event

MAX_TALLY = 16


class Count(msgspec.Struct, array_like=True, gc=False):
    """How often something was met, and when last (ms)."""

    count: int
    last: int


Tally = dict[str, Count]


def count(tally: Tally, name: str, time: int, *, late: bool) -> bool:
    """Count one name; return False where that is late and might have kept another from going."""
    known = tally.get(name)
    if known is not None:
        if late and len(tally) >= MAX_TALLY:
            return False
        known.count += 1
        known.last = max(known.last, time)
        return True
    if len(tally) >= MAX_TALLY:
        if late:
            return False
        del tally[min(tally, key=lambda other: (tally[other].last, other))]
    tally[name] = Count(1, time)
    return True


def count_category(tally: Tally, event: Event, *, late: bool) -> bool:
    """Count the category of the product that an event is about."""
    name = text(event.properties.get("category"))
    return name is None or count(tally, name, event.time, late=late)


def count_lines(tally: Tally, event: Event, name: str, *, late: bool) -> bool:
    """Count a property of the products ordered, each value once an order."""
    values = sorted({value for line in products_of(event) if (value := text(line.get(name))) is not None})
    return all(count(tally, value, event.time, late=late) for value in values)


def most(tally: Tally) -> str | None:
    """Return the most frequent; of equals the one met last, then the last by name."""
    if len(tally) > 1:
        return max(tally, key=lambda name: (tally[name].count, tally[name].last, name))
    return next(iter(tally), None)


def hour_of_most(active: Sequence[int], zone: str) -> int | None:
    """Return the local hour, 0 to 23, of most quarters of an hour, ascending; of equals the one of the latest."""
    if len(active) <= 2:  # noqa: PLR2004 - no hour is there more often than the latest one
        return hour_of_day(active[-1] * QUARTER_MS, zone) if active else None
    hours = [hour_of_day(quarter * QUARTER_MS, zone) for quarter in active]
    return max(
        dict.fromkeys(reversed(hours)), key=hours.count
    )  # of equals the first one, which is the latest


CATEGORY_EVENTS = frozenset({"Product Viewed", "Product Added"})
