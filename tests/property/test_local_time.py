"""Local times, in every zone that there is, near every change of its clocks."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.local_time import (
    hour_of_day,
    known_zone,
    next_local_time,
    start_of_day,
    to_epoch,
    to_local,
    zone,
    zone_names,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START, END = 946_684_800_000, 2_145_916_800_000  # 2000 to 2037
ZONES = sorted(available_timezones() & zone_names())


def offset(ms: int, name: str) -> int:
    """Return how much local time is ahead of UTC at an instant, ms: asked of zoneinfo itself, from UTC."""
    ahead = (EPOCH + timedelta(milliseconds=ms)).astimezone(zone(name)).utcoffset()
    return ahead // timedelta(milliseconds=1)


@cache
def changes(name: str) -> tuple[int, ...]:
    """Return when a zone's clocks change, ms."""
    found, at = [], START
    while at < END:
        following = at + 7 * DAY
        if offset(at, name) != offset(following, name):
            low, high = at, following
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle, name) == offset(at, name) else (low, middle)
            found.append(high)
            following = high
        at = following
    return tuple(found)


def wall(ms: int) -> datetime:
    """Return the local time that is so many ms after 1970 on the wall."""
    return EPOCH.replace(tzinfo=None) + timedelta(milliseconds=ms)


def read(local: int, name: str) -> int:
    """Return the instant of a local time (ms on the wall), found by trying all offsets that may hold."""
    before, after = offset(local - 2 * DAY, name), offset(local + 2 * DAY, name)
    offsets = {offset(at, name) for at in range(local - 2 * DAY, local + 2 * DAY, 6 * HOUR)} | {before, after}
    fitting = [local - ahead for ahead in offsets if offset(local - ahead, name) == ahead]
    # None fits: the time is skipped, and the offset is that of the latest instant whose wall is before it.
    return min(fitting, default=local - offset(min(local - ahead for ahead in offsets) - 1, name))


@st.composite
def moments(draw):
    """Draw a zone and an instant, as a rule within a day of a change of its clocks."""
    name = draw(st.sampled_from(ZONES))
    near = st.integers(-DAY // MINUTE, DAY // MINUTE).map(lambda minutes: minutes * MINUTE)
    anywhere = st.integers(START, END)
    if changes(name):
        anywhere |= st.builds(int.__add__, st.sampled_from(changes(name)), near)
    return name, draw(anywhere)


@given(moments())
def test_a_local_time_is_read_as_the_first_instant_that_has_it(moment):
    name, ms = moment
    local = to_local(ms, name)
    assert local == wall(ms + offset(ms, name))
    first = to_epoch(local, name)
    assert first <= ms
    assert to_local(first, name) == local
    assert first == read(ms + offset(ms, name), name)


@given(moments())
def test_any_local_time_is_read_and_a_skipped_one_as_if_the_clocks_had_not_moved(moment):
    name, ms = moment
    local = ms + offset(ms - DAY, name)  # what the wall would show, had it not moved since yesterday
    assert to_epoch(wall(local), name) == read(local, name)


@pytest.mark.parametrize("name", ZONES)
def test_in_each_zone_the_hours_that_a_change_skips_or_doubles_are_as_stated(name):
    for change in changes(name):
        before, after = offset(change - 1, name), offset(change, name)
        if after > before:
            skipped = change + before + (after - before) // 2
            assert to_epoch(wall(skipped), name) == skipped - before
        else:
            doubled = change + after + (before - after) // 2
            assert to_epoch(wall(doubled), name) == doubled - before < change


@given(moments(), st.times().map(lambda at: at.replace(microsecond=0)))
def test_the_next_local_time_is_the_first_reading_of_it_that_is_not_before(moment, at):
    name, ms = moment
    found = next_local_time(ms, at, name)
    today = to_local(ms, name).date()
    readings = [to_epoch(datetime.combine(today + timedelta(days=n), at), name) for n in range(-4, 6)]
    assert readings == sorted(readings)
    assert found == min(reading for reading in readings if reading >= ms)
    assert found - ms <= 2 * DAY + HOUR


@given(moments())
def test_a_day_starts_at_its_first_instant(moment):
    name, ms = moment
    start = start_of_day(ms, name)
    assert start <= ms
    assert to_local(start, name).date() == to_local(ms, name).date()
    assert to_local(start - 1, name).date() < to_local(ms, name).date()


@given(moments(), st.integers(-400, 400))
def test_so_many_days_later_is_a_calendar_day_and_not_24_hours_each(moment, days):
    name, ms = moment
    there = to_local(ms, name).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)
    assert start_of_day(ms, name, days) == to_epoch(there, name)


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "europe/paris", "../etc/passwd", "localtime", "Europe", "\0"]
)
def test_what_names_no_zone_is_utc(name):
    assert not known_zone(name)
    assert to_local(0, name) == datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock has no zone
    assert to_epoch(datetime(1970, 1, 1, 12), name) == 12 * HOUR  # noqa: DTZ001 - a wall clock has no zone


def test_every_zone_of_this_machine_is_known_but_the_machine_s_own():
    assert available_timezones() - zone_names() <= {"localtime"}
    assert all(known_zone(name) for name in ZONES)


def test_a_day_that_the_date_line_took_is_read_as_the_next_one():
    skipped = datetime(2011, 12, 30, 10)  # noqa: DTZ001 - a wall clock has no zone
    assert to_epoch(skipped, "Pacific/Apia") == to_epoch(skipped + timedelta(days=1), "Pacific/Apia")
    morning = to_epoch(datetime(2011, 12, 29, 9), "Pacific/Apia")  # noqa: DTZ001 - a wall clock has no zone
    assert next_local_time(morning, time(8), "Pacific/Apia") - morning == 23 * HOUR


def test_zones_agree_with_the_machine_s_where_both_have_the_same_rules():
    moment = datetime(2024, 7, 1, 12, tzinfo=UTC)
    assert to_local(int(moment.timestamp() * 1000), "Europe/Paris") == moment.astimezone(
        ZoneInfo("Europe/Paris")
    ).replace(tzinfo=None)


@given(moments())
def test_the_hour_of_the_day_is_that_of_the_local_time(moment):
    name, ms = moment
    assert hour_of_day(ms, name) == to_local(ms, name).hour
