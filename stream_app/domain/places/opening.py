"""When a store is open: on its own wall clock, holidays included.

`is_open` is what the hours say of the local time at an instant, and nothing else: hours of 02:00 to 03:00 are not
there on a night whose clocks skip them, and twice as long where they go back. `next_change` is the first instant at
which `is_open` says something else, found without looking at each: between two changes of clocks local time runs as
the instants do.

Unknown is None: no hours in the row, or the hours themselves say `unknown`. Rules should take it for not open: an
offer that leads to a closed door can't be taken back, and one that wasn't sent has a decision that says why. What a
condition sees as `store.open` is absent then, so that asking for it is false; a retailer who knows no hours writes
`!(store.open == false)`.

Times are ms since the epoch. Where hours speak of holidays, those of a year and its neighbours are put into them, year
by year; what changes only after `hours.HORIZON` is taken for never.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from opening_hours import OpeningHours, State

from stream_app.domain.local_time import ahead_all_day, to_epoch, to_local
from stream_app.domain.places.hours import HORIZON, on_dates, read_hours
from stream_app.domain.places.public_holidays import country_at, public_holidays
from stream_app.domain.places.store import zone_name

if TYPE_CHECKING:
    from datetime import date

    from stream_app.domain.places.store import Store

MAX_STEPS = 1_000
"""Of one look ahead: hours that are always open and change their comment all the time are not followed further."""
_MILLISECOND = timedelta(milliseconds=1)
_DAY = timedelta(days=1)
_DAY_MS = 86_400_000
_HORIZON_MS = HORIZON // _MILLISECOND


def is_open(store: Store, time_ms: int) -> bool | None:
    """Return whether a store is open at an instant; None where nobody knows."""
    if store.hours is None:
        return None
    local = to_local(time_ms, zone_name(store))
    return _state(_in_force(store, store.hours, local.year), local)


def next_change(store: Store, time_ms: int) -> int | None:
    """Return the first instant after this one at which `is_open` changes; None for never."""
    if store.hours is None:
        return None
    now, at, zone = is_open(store, time_ms), time_ms, zone_name(store)
    for _ in range(MAX_STEPS):
        step = _step(store, store.hours, at, zone)
        if step is None or step - time_ms > _HORIZON_MS:
            break
        at = step
        if is_open(store, at) != now:
            return at
    return None


class _InForce(NamedTuple):
    """A store's hours as they are in a year."""

    day: OpeningHours
    night: OpeningHours | None
    """Of what goes on after midnight: asked a day later."""
    yearly: bool
    """Whether they are others in the next year."""


def _in_force(store: Store, text: str, year: int) -> _InForce:
    hours = read_hours(text)
    holidays = _holidays(store, year) if hours.on_holidays else None
    night = None if hours.night is None else on_dates(hours.night, holidays)
    return _InForce(on_dates(hours.day, holidays), night, hours.on_holidays)


def _state(hours: _InForce, local: datetime) -> bool | None:
    said = hours.day.state(local)[0]
    if hours.night is not None and said != State.OPEN:
        night = hours.night.state(local - _DAY)[0]
        said = said if night == State.CLOSED else night
    return None if said == State.UNKNOWN else bool(said == State.OPEN)


def _next_said(hours: _InForce, local: datetime) -> datetime | None:
    """Return when a wall clock comes to where a text says something else, which may come to the same."""
    then = hours.day.next_change(local)
    if hours.night is not None:
        night = hours.night.next_change(local - _DAY)
        if night is not None and (then is None or night + _DAY < then):
            return night + _DAY
    return then


def _holidays(store: Store, year: int) -> tuple[date, ...]:
    """Return the public holidays of a year and of those before and after, which hours may reach over from."""
    if store.holidays is not None:
        return tuple(day for day in store.holidays if abs(day.year - year) <= 1)
    country = store.country or country_at(store.latitude, store.longitude)
    return () if country is None else public_holidays(country, year - 1, year + 1)


def _step(store: Store, text: str, at: int, zone: str) -> int | None:
    """Return an instant up to which nothing changes: of a change, of clocks, or of the holidays in force."""
    local = to_local(at, zone)
    hours = _in_force(store, text, local.year)
    then = _next_said(hours, local)
    if hours.yearly:
        new_year = datetime(local.year + 1, 1, 1)  # noqa: DTZ001 - a wall clock's
        then = new_year if then is None else min(then, new_year)
    if then is None or then - local > HORIZON:
        return None
    ahead = (then - local) // _MILLISECOND
    # Clocks go back by a day at most: from two days on, they can't lead back to before `at`.
    moved = clocks_change(at, at + min(ahead, 2 * _DAY_MS), zone)
    if moved is not None:
        return moved
    return at + ahead if ahead <= 2 * _DAY_MS else _first_reading(then, zone)


def clocks_change(after: int, until: int, zone: str) -> int | None:
    """Return the first instant after one, and until another, from which a zone's clocks are set differently."""
    for day in range(after // _DAY_MS, until // _DAY_MS + 1):
        if ahead_all_day(day, zone) is None:
            before, behind = max(after, day * _DAY_MS), min(until, (day + 1) * _DAY_MS)
            if _differently(before, behind, zone):
                return _bisected(before, behind, zone)
    return None


def _bisected(before: int, behind: int, zone: str) -> int:
    start = before
    while behind - before > 1:
        middle = (before + behind) // 2
        before, behind = (before, middle) if _differently(start, middle, zone) else (middle, behind)
    return behind


def _differently(one: int, other: int, zone: str) -> bool:
    return to_local(other, zone) - to_local(one, zone) != (other - one) * _MILLISECOND


def _first_reading(local: datetime, zone: str) -> int:
    """Return when a wall clock first shows a time, or a later one where that is skipped."""
    instant = to_epoch(local, zone)
    if to_local(instant, zone) == local:
        return instant
    moved = clocks_change(instant - _DAY_MS, instant, zone)
    return instant if moved is None else moved
