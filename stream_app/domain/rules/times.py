"""Durations and instants as rules write them, in milliseconds."""

from __future__ import annotations

import datetime as dt
import re

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
