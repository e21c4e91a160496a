"""RFC 3339 timestamps as CloudEvents have them <-> milliseconds since the epoch, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECOND = 1000
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d{1,18})?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)

_MINUTE = 60_000
_USUAL = len("2026-03-01T10:00:00.000Z")
"""Most timestamps are that long, and of a minute that was read before: what precedes the seconds is remembered."""
_minutes: dict[str, int] = {}
_MINUTES_KEPT = 1 << 14
_TOO_LATE = "61"
"""Of seconds and milliseconds; second 60 is the next minute's first."""


def parse_timestamp(text: str) -> int:
    """Return the milliseconds since the epoch of an RFC 3339 timestamp with any offset.

    Fractions finer than a millisecond are cut off; second 60 (a leap second) is the next minute's first.

    Raises:
        ValueError: the text is no RFC 3339 timestamp.
    """
    if len(text) == _USUAL and text[19] == "." and text[23] == "Z":
        digits, begun = text[17:19] + text[20:23], _minutes.get(text[:17])
        if begun is not None and digits.isascii() and digits.isdigit() and digits < _TOO_LATE:
            return begun + int(digits)
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 timestamp")
    day, minute, second, fraction, offset = match.groups()
    leap = second == "60"
    moment = datetime.fromisoformat(f"{day}T{minute}:{'59' if leap else second}{_offset(offset)}")
    whole = (moment - _EPOCH) // _MILLISECOND + (_SECOND if leap else 0)
    if len(text) == _USUAL and offset == "Z":
        if len(_minutes) >= _MINUTES_KEPT:
            _minutes.clear()
        _minutes[text[:17]] = whole // _MINUTE * _MINUTE - (_MINUTE if leap else 0)
    return whole + (int(fraction[1:4].ljust(3, "0")) if fraction else 0)


def format_timestamp(time: int) -> str:
    """Return the RFC 3339 timestamp, UTC with milliseconds, of a time in milliseconds since the epoch.

    Raises:
        ValueError: the year is not within 1 to 9999.
    """
    try:
        moment = _EPOCH + timedelta(milliseconds=time)
    except OverflowError as error:
        raise ValueError("a time is beyond the years 1 to 9999") from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _offset(text: str) -> str:
    return "+00:00" if text in {"Z", "z"} else text
