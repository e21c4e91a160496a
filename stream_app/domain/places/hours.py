"""Opening hours in OpenStreetMap's notation: reading a text, and putting dates where it says `PH`.

`opening-hours-py` reads and evaluates it, on wall clocks: it is given no zone, no position and no country, and always
a time, so it asks no clock. Three things are done here before it sees a text:

- `PH` is replaced by dates, as the library's own tables of holidays are too thin (see public_holidays.py) and can't be
  given: `Mo-Fr,PH 10:00-18:00` becomes `Mo-Fr 10:00-18:00; 2026 Dec 25,2026 Dec 26 10:00-18:00`. A month, week or
  year before it picks among the dates, an offset (`PH -1 day`) moves them.
- A comma and a space between two weekdays, two dates or two times make a list, as people mean it: to the library
  `Mo-Fr, Sa 10:00-18:00` is open day and night from Monday to Friday.
- Refused is what readers of the notation take for different things or what would need another clock: a holiday and a
  weekday with no comma between them (`PH Sa`), and the sun (`sunrise-sunset`), whose times depend on the machine's
  mathematics and on a second set of time zones.

School holidays (`SH`) have no tables: they never are.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from opening_hours import OpeningHours, ParserError  # type: ignore[attr-defined] # its stub leaves it out

MAX_HOURS = 1_000
"""Characters of a text; OpenStreetMap allows 255."""
HORIZON = timedelta(days=3_660)
"""What changes later than that is taken for never: ten years, as between 2096 and 2104 there is no 29 February."""

_WEEKDAY = "(?:Mo|Tu|We|Th|Fr|Sa|Su)"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = f"(?:{'|'.join(_MONTHS)})"
_HOLIDAY = r"(?:PH|SH)(?:\s*[+-]\s*\d+\s*days?)?"
_DAY = rf"(?:{_HOLIDAY}|{_WEEKDAY}(?:\s*-\s*{_WEEKDAY})?(?:\[[^\]]*\])?(?:\s*[+-]\s*\d+\s*days?)?)"
_PIECES = re.compile(r'("[^"]*")')
_SEPARATORS = re.compile(r"(;|\|\||,\s)")
_LISTS = (
    re.compile(rf"(?i:(\b(?:PH|SH|{_WEEKDAY})(?:\[[^\]]*\])?)\s*,\s+(?=(?:PH|SH|{_WEEKDAY})\b))"),
    re.compile(rf"(?i:(\b{_MONTH}(?:\s*\d\d?)?)\s*,\s+(?=(?:\d{{4}}\s*)?{_MONTH}\b))"),
    re.compile(r"(\d\d?:\d\d\+?)\s*,\s+(?=\d\d?:\d\d)"),
)
_DAYS = re.compile(rf"(?i:\b{_DAY}(?:\s*,\s*{_DAY})*)")
_PH = re.compile(r"PH(?:\s*([+-])\s*(\d+)\s*days?)?")
_AMBIGUOUS = re.compile(rf"(?i:\b{_HOLIDAY}\s+{_WEEKDAY}\b|\b{_WEEKDAY}(?:\[[^\]]*\])?\s+(?:PH|SH)\b)")
_SUN = re.compile(r"(?i:\b(dawn|sunrise|sunset|dusk)\b)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_AT = re.compile(r"--> 1:(\d+)")
_NEVER = "1900 Jan 1"
"""A date before every event."""
_MAX_OFFSET = 300
"""Days that `PH` may be moved by: dates are known for a year on either side."""


class HoursError(ValueError):
    """Opening hours that can't be read; the message says why, and holds nothing of the text."""


class Hours(NamedTuple):
    """Opening hours that can be read."""

    text: str
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
    pieces = _PIECES.split(text.strip())
    pieces[::2] = map(_with_lists, pieces[::2])  # the others are comments
    bare = "\0".join(pieces[::2])
    if _SUN.search(bare):
        raise HoursError("the sun's times are not supported: write them as times of the day")
    if _AMBIGUOUS.search(bare):
        raise HoursError(
            "a holiday and a weekday stand side by side: put a comma between them, which means either"
        )
    found = Hours("".join(pieces), any(map(_PH.search, pieces[::2])))
    _parsed(found.text)  # also where it says PH: what isn't the notation fails here
    if found.on_holidays:
        on_dates(found.text, (date(2000, 1, 1),))
    return found


@lru_cache(maxsize=1 << 13)
def on_dates(text: str, dates: tuple[date, ...] | None) -> OpeningHours:
    """Return what `read_hours` made of a text, ready to be asked, with public holidays on these dates.

    Raises:
        HoursError: What the text says of holidays can't be read.
    """
    if dates is None:
        return _parsed(text)
    said: list[str] = []
    rule, separator = "", ""
    # Comments keep their semicolons: a text is cut outside of them only.
    for n, piece in enumerate(_PIECES.split(text)):
        parts = [piece] if n % 2 else _SEPARATORS.split(piece)
        for m, part in enumerate(parts):
            if m % 2:
                said += [separator, *_placed(rule, separator, dates)]
                rule, separator = "", f"{part} "
            else:
                rule += part
    said += [separator, *_placed(rule, separator, dates)]
    return _parsed("".join(said))


def _with_lists(piece: str) -> str:
    for pattern in _LISTS:
        piece = pattern.sub(r"\1,", piece)
    return piece


def _parsed(text: str) -> OpeningHours:
    try:
        return OpeningHours(
            text or " ", auto_country=False, auto_timezone=False, max_interval_days=HORIZON.days
        )
    except ParserError as fault:
        at = _AT.search(str(fault))
        where = f" at character {at[1]}" if at else ""
        raise HoursError(
            f"not in OpenStreetMap's notation{where}, as in `Mo-Sa 09:00-20:00; PH off`"
        ) from fault


def _placed(rule: str, separator: str, dates: tuple[date, ...]) -> list[str]:
    """Return a rule, or the two that it takes: one for its weekdays, one for the dates."""
    comment = rule.find('"')
    days = next(
        (
            found
            for found in _DAYS.finditer(rule, 0, len(rule) if comment < 0 else comment)
            if "PH" in found[0]
        ),
        None,
    )
    if days is None:
        return [rule]
    where, then = rule[: days.start()].strip().rstrip(":"), rule[days.end() :]
    items = [item.strip() for item in re.split(r",(?![^\[]*\])", days[0])]
    others = ",".join(item for item in items if not item.startswith("PH"))
    moved = sorted({day + _offset(item) for item in items if item.startswith("PH") for day in dates})
    if where:
        among = _parsed(where)
        moved = [day for day in moved if among.is_open(datetime.combine(day, time(12)))]
    listed = ",".join(f"{day.year:04} {_MONTHS[day.month - 1]} {day.day}" for day in moved) or _NEVER
    if not others:
        return [listed, then]
    return [where, " ", others, then, separator or "; ", listed, then]


def _offset(item: str) -> timedelta:
    found = _PH.fullmatch(item)
    days = int(found[2]) if found and found[2] else 0
    if found is None or days > _MAX_OFFSET:
        raise HoursError(f"`PH` with more than an offset of at most {_MAX_OFFSET} days")
    return timedelta(days=-days if found[1] == "-" else days)
