"""The oracle's calendar: a customer's zone, local times, quiet hours, caps' days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tests.property.rules_oracle_texts import EPOCH, Happening, Raw, instant

if TYPE_CHECKING:
    from collections.abc import Sequence

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PLACES = {(40.7128, -74.006): "America/New_York", (35.6812, 139.7671): "Asia/Tokyo"}
"""Where the oracle knows its way: the positions that cases name."""
MILLISECONDS_FROM = 10**11


def zone_of(timeline: Sequence[Happening], policy: Raw) -> ZoneInfo:
    """Return "that of the latest event that has one, by position when it has only that", else the policy's."""
    for event in reversed(timeline):
        place = (event.properties.get("latitude"), event.properties.get("longitude"))
        for name in (event.properties.get("timezone"), PLACES.get(place)):
            if (zone := _zone(name)) is not None:
                return zone
    return _zone(policy.get("timezone")) or ZoneInfo("UTC")


def _zone(name: Any) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if isinstance(name, str) else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def local(moment: int, zone: ZoneInfo) -> datetime:
    """Return a time as the customer's clock shows it."""
    return (EPOCH + timedelta(milliseconds=moment)).astimezone(zone)


def at_local(day: date, clock: str, zone: ZoneInfo) -> int:
    """Return when a customer's clock shows a time on a day.

    "A local time that a change of clocks skips is read as if the clocks hadn't moved; of a doubled one the
    first counts": `fold=0` is both (PEP 495).
    """
    moment = datetime.combine(day, time.fromisoformat(clock), zone).astimezone(UTC)
    return (moment - EPOCH) // timedelta(milliseconds=1)


def given_time(value: Any) -> int | None:
    """Read `due_at.property`: "ISO 8601, epoch s, or ms from 10^11 on; absent: never due"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        try:
            return instant(value)
        except ValueError:
            return None
    return int(value) if abs(value) >= MILLISECONDS_FROM else int(value * 1000)


def local_due(due_at: Raw, opened: int, zone: ZoneInfo) -> int:
    """Return when `days`, `weekday` or a local time alone make an instance due."""
    today = local(opened, zone).date()
    if "days" in due_at:
        return at_local(today + timedelta(days=due_at["days"]), due_at["local_time"], zone)
    if "weekday" in due_at:
        ahead = (WEEKDAYS.index(due_at["weekday"]) - today.weekday() - 1) % 7 + 1
        return at_local(today + timedelta(days=ahead), due_at["local_time"], zone)
    days = (today + timedelta(days=ahead) for ahead in range(3))
    return next(moment for day in days if (moment := at_local(day, due_at["local_time"], zone)) > opened)


def yearly_due(birthday: Any, clock: str, after: int, zone: ZoneInfo) -> int | None:
    """Return the first birthday after a time; 29 February is 1 March where there is none."""
    try:
        born = date.fromisoformat(str(birthday)[:10])
    except ValueError:
        return None
    year = local(after, zone).year
    days = (_in_year(born, year + ahead) for ahead in range(-1, 3))
    return next(moment for day in days if (moment := at_local(day, clock, zone)) > after)


def _in_year(born: date, year: int) -> date:
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


MINUTE = 60_000


def quiet_until(moment: int, policy: Raw, zone: ZoneInfo) -> int | None:
    """Return the first minute after a time that isn't quiet, if the time is: by what a wall clock shows."""
    quiet = policy.get("quiet_hours")
    if quiet is None:
        return None
    end = _free(moment, quiet.get("from"), quiet.get("to"), tuple(quiet.get("days", ())), zone)
    return end if end > moment else None


@lru_cache(maxsize=100_000)
def _free(moment: int, begins: str | None, ends: str | None, days: tuple[str, ...], zone: ZoneInfo) -> int:
    while _is_quiet(moment, begins, ends, days, zone):
        moment = (moment // MINUTE + 1) * MINUTE
    return moment


def _is_quiet(
    moment: int, begins: str | None, ends: str | None, days: tuple[str, ...], zone: ZoneInfo
) -> bool:
    """`from` is inside, `to` is outside; whole days."""
    wall = local(moment, zone)
    if WEEKDAYS[wall.weekday()] in days:
        return True
    if begins is None or ends is None:
        return False
    first, last = time.fromisoformat(begins), time.fromisoformat(ends)
    if first < last:
        return first <= wall.time() < last
    return wall.time() >= first or wall.time() < last
