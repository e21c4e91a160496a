"""Local time: what a clock on the customer's wall shows, and when it will show something.

Times are milliseconds since the epoch; local times are datetimes without a zone, as a wall clock shows them.
- Zones are IANA names, read from the locked `tzdata` and not from the machine: a replay on another machine finds
  the same hours. A name that isn't in there is UTC.
- A local time that a change of clocks skips is read as if the clocks hadn't moved; of a doubled one the first
  counts. (Python calls both `fold=0`, see PEP 495.)
- Years 2 to 9998; what is further out raises OverflowError.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

UTC_NAME = "UTC"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DAY = timedelta(days=1)
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the names of all zones."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def known_zone(name: object) -> bool:
    """Return whether something names a zone."""
    return isinstance(name, str) and name in zone_names()


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return a zone by its name; UTC for any other text."""
    known = name if name in zone_names() else UTC_NAME
    with resources.files("tzdata").joinpath("zoneinfo", *known.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=known)


def to_local(ms: int, name: str) -> datetime:
    """Return the local time at an instant."""
    return (_EPOCH + ms * _MILLISECOND).astimezone(zone(name)).replace(tzinfo=None, fold=0)


def to_epoch(local: datetime, name: str) -> int:
    """Return the instant of a local time: a doubled one's first, a skipped one's as if clocks hadn't moved."""
    return (local.replace(tzinfo=zone(name), fold=0) - _EPOCH) // _MILLISECOND


def next_local_time(ms: int, at: time, name: str) -> int:
    """Return the first instant, from `ms` on, at which it is `at`: today's, or that of a day to come."""
    today = to_local(ms, name).date()
    # From yesterday on: a skipped time is read as a later one, which may lie beyond midnight.
    days = (datetime.combine(today + n * _DAY, at) for n in range(-1, 4))
    return next(instant for local in days if (instant := to_epoch(local, name)) >= ms)


def start_of_day(ms: int, name: str, days: int = 0) -> int:
    """Return when the local calendar day of an instant began, or that of so many days later (or before)."""
    return to_epoch(datetime.combine(to_local(ms, name).date() + days * _DAY, time()), name)


def hour_of_day(ms: int, name: str) -> int:
    """Return the local hour, 0 to 23. Cheaper than `to_local` for many instants of few days."""
    ahead = ahead_all_day(ms // _DAY_MS, name)
    return to_local(ms, name).hour if ahead is None else (ms + ahead) // _HOUR_MS % 24


@lru_cache(maxsize=1 << 14)
def ahead_all_day(day: int, name: str) -> int | None:
    """Return how much a zone is ahead of UTC all through a day since the epoch, ms; None if that changes."""
    first, last = (to_local(ms, name) for ms in (day * _DAY_MS, (day + 1) * _DAY_MS))
    return (
        None
        if last - first != _DAY
        else (first - _EPOCH.replace(tzinfo=None)) // _MILLISECOND - day * _DAY_MS
    )
