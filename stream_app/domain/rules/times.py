"""Durations and instants as rules write them, in milliseconds."""

from __future__ import annotations

import datetime as dt
import re

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LOCAL_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)


def parse_duration(text: str) -> int:
    """Read `900ms`, `1s`, `30m`, `2h` or `3d` as ms.

    Raises:
        ValueError: It is none of these.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is a whole number and a unit, like 900ms, 1s, 30m, 2h or 3d")
    return int(match.group(1)) * _UNITS[match.group(2)]


def parse_offset(text: str) -> int:
    """Read a duration that may be negative, like -2h, as ms.

    Raises:
        ValueError: It isn't one.
    """
    sign = -1 if text.startswith("-") else 1
    return sign * parse_duration(text.removeprefix("-").removeprefix("+"))


def parse_local_time(text: str) -> dt.time:
    """Read 09:00 or 21:30:15 as a time of the day.

    Raises:
        ValueError: It isn't one.
    """
    match = _LOCAL_TIME.fullmatch(text)
    if match is None:
        raise ValueError("a time of the day is like 09:00 or 21:30:15, 00:00 to 23:59:59")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return dt.time(hours, minutes, seconds)


def parse_instant(text: str) -> int:
    """Read an ISO 8601 date or time as ms since the epoch; without an offset it is UTC.

    Raises:
        ValueError: It isn't one.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time is ISO 8601, like 2026-03-01 or 2026-03-01T10:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
