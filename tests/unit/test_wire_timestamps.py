"""RFC 3339, with any offset, to the millisecond."""

from __future__ import annotations

import pytest

from stream_app.wire.timestamps import format_timestamp, parse_timestamp

INSTANT = 1_700_000_000_000  # 2023-11-14T22:13:20Z


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-14T22:13:20Z", INSTANT),
        ("2023-11-14t22:13:20z", INSTANT),
        ("2023-11-14 22:13:20Z", INSTANT),
        ("2023-11-14T22:13:20.1Z", INSTANT + 100),
        ("2023-11-14T22:13:20.123456789Z", INSTANT + 123),
        ("2023-11-14T22:13:20.999999999Z", INSTANT + 999),
        ("2023-11-14T23:13:20+01:00", INSTANT),
        ("2023-11-15T03:58:20+05:45", INSTANT),
        ("2023-11-14T12:43:20-09:30", INSTANT),
        ("2023-11-14T22:13:20-00:00", INSTANT),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2016-12-31T23:59:60.5Z", 1_483_228_800_500),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_a_timestamp_is_milliseconds_since_the_epoch(text, expected):
    assert parse_timestamp(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20+0100",
        "2023-11-14T22:13:20+24:00",
        "2023-11-14T24:00:00Z",
        "2023-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2023-W46-2T22:13:20Z",
        "٢٠٢٣-11-14T22:13:20Z",
        "2023-11-14T22:13:20Z\n",
        "1700000000000",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the caller names the field
        parse_timestamp(text)


@pytest.mark.parametrize("time", [0, 1, -1, INSTANT, 253_402_300_799_999, -62_135_596_800_000])
def test_a_formatted_timestamp_is_read_back(time):
    assert parse_timestamp(format_timestamp(time)) == time


def test_a_time_that_no_timestamp_has_is_refused():
    with pytest.raises(ValueError, match="years 1 to 9999"):
        format_timestamp(253_402_300_800_000)
