"""Durations, offsets, times of the day and instants, as rules and policies write them."""

from __future__ import annotations

from datetime import time

import pytest

from stream_app.domain.rules import SendingPolicy
from stream_app.domain.rules.due import named_due
from stream_app.domain.rules.model import FOREVER, DueAt
from stream_app.domain.rules.sending import QuietHours
from stream_app.domain.rules.times import parse_duration, parse_instant, parse_local_time, parse_offset

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [("900ms", 900), ("1s", 1_000), ("30m", 30 * 60_000), ("2h", 2 * HOUR), ("3d", 72 * HOUR), ("0s", 0)],
)
def test_a_duration_is_a_whole_number_and_a_unit(text, ms):
    assert parse_duration(text) == ms
    assert parse_offset(text) == parse_offset(f"+{text}") == ms
    assert parse_offset(f"-{text}") == -ms


@pytest.mark.parametrize("text", ["", "1", "h", "1.5h", "1 h", "-1h", "1h1m", "1w", "1234567890s", "٣h"])
def test_what_is_no_duration_is_told_what_one_looks_like(text):
    with pytest.raises(
        ValueError, match=r"^a duration is a whole number and a unit, like 900ms, 1s, 30m, 2h or 3d$"
    ):
        parse_duration(text)


@pytest.mark.parametrize("text", ["--1h", "++1h", "+-1h", "1h-", "1h+"])
def test_an_offset_has_one_sign_at_most_in_front(text):
    with pytest.raises(ValueError, match="a duration is"):
        parse_offset(text)


def test_a_time_of_the_day_has_hours_and_minutes_and_may_have_seconds():
    assert parse_local_time("09:00") == time(9)
    assert parse_local_time("23:59:58") == time(23, 59, 58)
    for text in ("24:00", "9:00", "09:60", "09:00:60", "09", "09:00 "):
        with pytest.raises(
            ValueError, match=r"^a time of the day is like 09:00 or 21:30:15, 00:00 to 23:59:59$"
        ):
            parse_local_time(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01", 0),
        ("1970-01-02T00:00:00.001", 24 * HOUR + 1),
        ("1970-01-01T00:00:00.0019Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000),
    ],
)
def test_an_instant_is_in_utc_where_it_says_nothing_else_and_in_whole_milliseconds(text, ms):
    found = parse_instant(text)
    assert (found, type(found)) == (ms, int)


def test_what_is_no_instant_is_told_what_one_looks_like():
    with pytest.raises(ValueError, match=r"^a time is ISO 8601, like 2026-03-01 or 2026-03-01T10:00:00Z$"):
        parse_instant("spring")


@pytest.mark.parametrize(
    "value", [-(10**14), "-100000000000000", "0001-01-01T00:00:00Z", "0002-12-31T23:59:59Z"]
)
def test_a_due_time_before_every_calendar_is_none(value):
    assert named_due(DueAt(named="at"), value) == FOREVER


def test_of_the_earliest_due_time_it_can_be_told_everywhere_whether_it_is_quiet():
    earliest = named_due(DueAt(named="at"), "0003-01-01T00:00:00Z")
    assert earliest != FOREVER
    assert named_due(DueAt(named="at", offset=-1), "0003-01-01T00:00:00Z") == FOREVER
    policy = SendingPolicy(quiet_hours=QuietHours(0, 23 * HOUR))
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        assert policy.quiet_until(earliest, zone) >= earliest
