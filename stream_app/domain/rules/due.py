"""When a trigger is due: after silence, at a time that an event names, or by the customer's calendar.

Pure functions of the opening event and the customer's zone. "Never" is `FOREVER`: an event without the property,
a customer without the date, a time out of every calendar.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

from stream_app.domain.local_time import next_local_time, to_epoch, to_local
from stream_app.domain.rules.model import FOREVER
from stream_app.domain.rules.times import parse_instant

if TYPE_CHECKING:
    from stream_app.domain.rules.model import DueAt

MILLISECONDS_FROM = 10**11
"""A number from here on is ms since the epoch, below it seconds."""
_FURTHEST = 8_000 * 366 * 86_400_000
_EARLIEST = (dt.date(3, 1, 1) - dt.date(1970, 1, 1)).days * 86_400_000
"""Before it (ms) there are no local times everywhere, so no quiet hours either."""


def named_time(value: Any) -> int | None:
    """Read a time in an event: ISO 8601, seconds, or from 10^11 on milliseconds since the epoch."""
    if type(value) is str:
        try:
            return parse_instant(value.strip())
        except (ValueError, OverflowError):
            return _number(value)
    return _number(value)


def _number(value: Any) -> int | None:
    try:
        number = float(value) if type(value) in {str, int, float} else math.nan
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or abs(number) > _FURTHEST:
        return None
    return round(number if abs(number) >= MILLISECONDS_FROM else number * 1000)


def named_due(due_at: DueAt, value: Any) -> int:
    """Return the due time that an opening event names."""
    time = named_time(value)
    return FOREVER if time is None or time + due_at.offset < _EARLIEST else time + due_at.offset


def local_due(due_at: DueAt, start: int, zone: str, date: tuple[int, int] | None) -> int:
    """Return the next due time by the calendar after `start` (ms); `date`: month and day of `yearly`."""
    try:
        if due_at.yearly is not None:
            return FOREVER if date is None else _yearly(due_at, start, zone, date)
        own = to_local(start, zone).date()
        if due_at.days is not None:
            day = own + dt.timedelta(days=due_at.days)
        elif due_at.weekday is not None:
            day = own + dt.timedelta(days=(due_at.weekday - own.weekday() - 1) % 7 + 1)
        else:
            return next_local_time(start + 1, due_at.local_time, zone)
        return to_epoch(dt.datetime.combine(day, due_at.local_time), zone)
    except (OverflowError, ValueError):  # beyond the calendar
        return FOREVER


def _yearly(due_at: DueAt, start: int, zone: str, date: tuple[int, int]) -> int:
    """Return the next anniversary after `start`.

    That of 29 February, in a year without one, is the day after the 28th: a day that the calendar skips is read as a
    local time is that the clocks skip.
    """
    month, day = date
    year = to_local(start, zone).year
    for one in (year - 1, year, year + 1):
        own = dt.date(one, month, 1) + dt.timedelta(days=day - 1)
        due = to_epoch(dt.datetime.combine(own, due_at.local_time), zone)
        if due > start:
            return due
    return FOREVER
