"""Opening hours that can be asked, from OpenStreetMap's notation.

`opening-hours-py` evaluates it, on wall clocks: it is given no zone, no position and no country, and always a time, so
it asks no clock. Two things it can't do are done to the text before:

- `PH` is replaced by dates, as the library's own tables of holidays are too thin (see public_holidays.py) and can't be
  given: `Mo-Fr,PH 10:00-18:00` becomes `Mo-Fr 10:00-18:00; 2026 Dec 25,2026 Dec 26 10:00-18:00`. A month, week or
  year before it picks among the dates, an offset (`PH -1 day`) moves them.
- Hours over midnight belong to the day on which they begin: to the library, `Mo-Su 20:00-02:00; Fr off` is closed
  early on Friday and open early on Saturday. So a text becomes two, that of days (`Mo-Su 20:00-24:00; Fr off`) and that
  of the nights behind them (`Mo-Su 00:00-02:00; Fr off`), which is asked a day later.

School holidays (`SH`) have no tables: they never are.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from opening_hours import OpeningHours, ParserError  # type: ignore[attr-defined] # its stub leaves it out

from stream_app.domain.places.notation import MONTHS, HoursError, Rule, cut, days_of, joined, with_lists

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_HOURS = 1_000
"""Characters of a text; OpenStreetMap allows 255."""
HORIZON = timedelta(days=3_660)
"""What changes later than that is taken for never: ten years. Looking further ahead costs milliseconds."""

_MIDNIGHT = 24 * 60
_SPAN = re.compile(r"(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)(\+?)")
_PH = re.compile(r"PH(?:\s*([+-])\s*(\d+)\s*days?)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_AT = re.compile(r"--> 1:(\d+)")
_NEVER = "1900 Jan 1"
"""A date before every event."""
_MAX_OFFSET = 300
"""Days that `PH` may be moved by: dates are known for a year on either side."""
_A_DATE = (date(2000, 1, 1),)


class Hours(NamedTuple):
    """Opening hours that can be read."""

    day: str
    """What they say of a day, up to its midnight."""
    night: str | None
    """What they say of the time behind that, as if it were the same day; None where they never reach over."""
    on_holidays: bool
    """Whether they speak of public holidays."""


@lru_cache(maxsize=1 << 12)
def read_hours(text: str) -> Hours:
    """Read a text.

    Raises:
        HoursError: It isn't OpenStreetMap's notation, or of what is refused.
    """
    if len(text) > MAX_HOURS or _SURROGATE.search(text):
        raise HoursError(f"longer than {MAX_HOURS} characters, or with half a character in it")
    _parsed(text)  # says where it isn't the notation
    said = with_lists(text)
    rules = cut(said)
    if str(_parsed(joined(rules))) != str(_parsed(said)):
        raise HoursError(
            "written in a way that is not supported; write one rule for some days and their times"
        )
    days = joined(rule._replace(times=_times(rule)[0]) for rule in rules)
    nights = [*_nights(rules)] if any(_times(rule)[1] for rule in rules) else None
    found = Hours(days, None if nights is None else joined(nights), any("PH" in rule.days for rule in rules))
    for part in found[:2]:
        if part is not None:
            on_dates(part, _A_DATE if found.on_holidays else None)
    return found


@lru_cache(maxsize=1 << 13)
def on_dates(text: str, dates: tuple[date, ...] | None) -> OpeningHours:
    """Return a text of `Hours`, ready to be asked, with public holidays on these dates; None where it names none.

    Raises:
        HoursError: What the text says of holidays can't be read.
    """
    if dates is None:
        return _parsed(text)
    return _parsed(joined(placed for rule in cut(text) for placed in _placed(rule, dates)))


def _parsed(text: str) -> OpeningHours:
    try:
        return OpeningHours(text, auto_country=False, auto_timezone=False, max_interval_days=HORIZON.days)
    except ParserError as fault:
        at = _AT.search(str(fault))
        where = f" at character {at[1]}" if at else ""
        raise HoursError(
            f"not in OpenStreetMap's notation{where}, as in `Mo-Sa 09:00-20:00; PH off`"
        ) from fault


# Over midnight


def _times(rule: Rule) -> tuple[str, str]:
    """Return the times of a rule up to midnight, and those after it."""
    day, night = [], []
    for span in filter(None, rule.times.split(",")):
        found = _SPAN.match(span.strip())
        if found is None:
            day.append(span)
            continue
        begin, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
        end += _MIDNIGHT if end <= begin else 0
        if end <= _MIDNIGHT:
            day.append(span)
            continue
        if begin >= _MIDNIGHT or found.end() < len(span.strip()):
            raise HoursError("times that begin after midnight, or repeat over it, are not supported")
        day.append(f"{found[1]}:{found[2]}-24:00")
        night.append(f"00:00-{(end - _MIDNIGHT) // 60:02}:{end % 60:02}")
    return ",".join(day), ",".join(night)


def _nights(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Yield what rules say of the time after midnight, by the day before it."""
    for rule in rules:
        night = _times(rule)[1]
        if night and rule.separator == " || ":
            raise HoursError("a rule behind `||` whose times go over midnight is not supported")
        if night:
            yield rule._replace(times=night)
        elif rule.separator in {"", "; "} and not (rule.is_off and rule.times):
            yield rule._replace(times="", meaning="off")  # it replaces what was said of its days


# Holidays


def _placed(rule: Rule, dates: tuple[date, ...]) -> list[Rule]:
    """Return a rule, or the two that it takes: one for its weekdays, one for the dates of holidays."""
    where, days = days_of(rule)
    holidays = [day for day in days if day.startswith("PH")]
    if not holidays:
        return [rule]
    moved = sorted({day + _offset(holiday) for holiday in holidays for day in dates})
    if where:
        among = _parsed(where)
        moved = [day for day in moved if among.is_open(datetime.combine(day, time(12)))]
    listed = ",".join(f"{day.year:04} {MONTHS[day.month - 1]} {day.day}" for day in moved) or _NEVER
    others = ",".join(day for day in days if day not in holidays)
    if not others:
        return [rule._replace(days=listed)]
    return [
        rule._replace(days=f"{where} {others}".strip()),
        rule._replace(days=listed, separator=rule.separator or "; "),
    ]


def _offset(holiday: str) -> timedelta:
    found = _PH.fullmatch(holiday)
    days = int(found[2] or 0) if found else 0
    if found is None or days > _MAX_OFFSET:
        raise HoursError(f"`PH` may be moved by at most {_MAX_OFFSET} days")
    return timedelta(days=-days if found[1] == "-" else days)
