"""Quiet hours and caps in every zone that there is, near every change of its clocks, against a minute-wise check.

What is expected is computed from what zoneinfo says a wall clock shows, minute by minute; changes of clocks and the
ends of quiet hours here are all on whole minutes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import pairwise
from zoneinfo import ZoneInfo, _zoneinfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.local_time import zone, zone_names
from stream_app.domain.rules.quiet_hours import STEADY
from stream_app.domain.rules.sending import Cap, QuietHours, SendingPolicy
from tests.property.examples import examples

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START, END = 946_684_800_000, 2_145_916_800_000  # 2000 to 2037
ZONES = sorted(available_timezones() & zone_names())
NIGHT = QuietHours(21 * HOUR, 8 * HOUR)
SMALL_HOURS = QuietHours(90 * MINUTE, 3 * HOUR)
WEEKENDS = QuietHours(22 * HOUR, 7 * HOUR, frozenset({4, 5, 6}))
NEARLY_ALWAYS = QuietHours(3 * HOUR, 2 * HOUR)


def shown(ms: int, tz: ZoneInfo) -> datetime:
    """Return what the wall shows: of zoneinfo's own."""
    return (EPOCH + timedelta(milliseconds=ms)).astimezone(tz)


def is_quiet(hours: QuietHours, ms: int, tz: ZoneInfo) -> bool:
    """Judge one moment, without knowing of any other."""
    wall = shown(ms, tz)
    if wall.weekday() in hours.days:
        return True
    of_day = ((wall.hour * 60 + wall.minute) * 60 + wall.second) * 1000 + wall.microsecond // 1000
    if hours.start <= hours.end:
        return hours.start <= of_day < hours.end
    return of_day >= hours.start or of_day < hours.end


def first_allowed(hours: QuietHours, ms: int, tz: ZoneInfo) -> int:
    """Go on minute by minute."""
    while is_quiet(hours, ms, tz):
        ms = (ms // MINUTE + 1) * MINUTE
    return ms


@cache
def changes(name: str) -> tuple[int, ...]:
    """Return when a zone's clocks change, ms."""
    tz, found = zone(name), []
    offsets = [(at, shown(at, tz).utcoffset()) for at in range(START, END, 5 * DAY)]
    for (low, before), (high, after) in pairwise(offsets):
        if before != after:
            found.append(bisected(low, high, tz))
    return tuple(found)


def bisected(low: int, high: int, tz: ZoneInfo) -> int:
    """Return the minute between two instants in which clocks change."""
    before = shown(low, tz).utcoffset()
    while high - low > MINUTE:
        middle = (low + high) // 2 // MINUTE * MINUTE
        low, high = (middle, high) if shown(middle, tz).utcoffset() == before else (low, middle)
    return high


@st.composite
def moments(draw):
    """Draw a zone and an instant, as a rule within days of a change of its clocks."""
    name = draw(st.sampled_from(ZONES))
    anywhere = st.integers(START, END)
    if changes(name):
        anywhere |= st.builds(int.__add__, st.sampled_from(changes(name)), st.integers(-3 * DAY, 3 * DAY))
    return name, draw(anywhere)


def of_day() -> st.SearchStrategy[int]:
    return st.integers(0, DAY // MINUTE - 1).map(lambda minute: minute * MINUTE)


@st.composite
def quiet_hours(draw):
    """Draw hours that leave some time: any, those of a change of clocks, those that leave an hour or less."""
    start, end = draw(st.tuples(of_day(), of_day()))
    if draw(st.booleans()):
        end = (start - draw(st.integers(1, 60)) * MINUTE) % DAY
    days = draw(st.sets(st.integers(0, 6), max_size=6))
    return QuietHours(start, end, frozenset(days))


@given(quiet_hours(), moments())
def test_what_is_held_is_sent_at_the_first_moment_that_is_not_quiet(hours, moment):
    name, ms = moment
    until = SendingPolicy(quiet_hours=hours).quiet_until(ms, name)
    assert until == first_allowed(hours, ms, zone(name))
    assert until - ms <= SendingPolicy(quiet_hours=hours).longest_hold


@pytest.mark.parametrize("name", ZONES)
def test_in_each_zone_nothing_is_sent_in_quiet_hours_around_any_kind_of_change_of_its_clocks(name):
    tz = zone(name)
    kinds = {(shown(at - 1, tz).utcoffset(), shown(at, tz).utcoffset()): at for at in changes(name)}
    for change in kinds.values():
        for hours in (NIGHT, SMALL_HOURS, NEARLY_ALWAYS, WEEKENDS):
            for ms in range(change - DAY, change + DAY, 193 * MINUTE):
                until = hours.until(ms, name)
                assert not is_quiet(hours, until, tz)
                assert until == ms or is_quiet(hours, until - 1, tz)
                assert 0 <= until - ms <= hours.longest_hold


@pytest.mark.parametrize("name", ["Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"])
def test_holds_end_at_the_first_allowed_minute_from_every_minute_around_a_change(name):
    change = min(changes(name), key=lambda at: abs(at - 1_325_239_200_000))  # Apia's lost day
    for hours in (NIGHT, SMALL_HOURS, NEARLY_ALWAYS):
        expected = first_allowed(hours, change + DAY, zone(name))
        for ms in range(change + DAY, change - DAY, -MINUTE):
            expected = expected if is_quiet(hours, ms, zone(name)) else ms
            assert hours.until(ms, name) == expected


def test_a_pair_of_changes_within_a_hold_is_not_stepped_over():
    half_an_hour_a_week = QuietHours(23 * HOUR + HOUR // 2, 23 * HOUR, frozenset({0, 1, 2, 3, 4, 6}))
    before = 970_977_600_000  # 2000-10-08T04:00Z: a part of Brazil begins a summer time of one week
    after = before + 7 * DAY - HOUR
    assert changes("America/Boa_Vista")[-2:] == (before, after)
    until = half_an_hour_a_week.until(before - HOUR // 4, "America/Boa_Vista")
    assert until == after - HOUR
    assert until == first_allowed(half_an_hour_a_week, before - HOUR // 4, zone("America/Boa_Vista"))


def test_no_zone_changes_its_clocks_twice_within_what_counts_as_steady():
    assert {
        name for name in ZONES if any(b - a <= STEADY for a, b in pairwise(listed_changes(name)))
    } == set()


def listed_changes(name: str) -> list[int]:
    """Return the changes of a zone's clocks since 1970 that its file lists one by one, ms.

    The rules behind them change clocks twice a year.
    """
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        listed = _zoneinfo.ZoneInfo.from_file(file)
    kinds = [listed._tti_before, *listed._ttinfos]
    return [
        at * 1000
        for at, (before, after) in zip(listed._trans_utc, pairwise(kinds), strict=True)
        if at > 0 and before.utcoff != after.utcoff
    ]


@given(moments(), st.integers(1, 40))
@examples(50)
def test_a_calendar_cap_counts_from_the_first_minute_of_its_first_day(moment, days):
    name, ms = moment
    first_day = shown(ms, zone(name)).date() - timedelta(days=days - 1)
    day_before = (datetime.combine(first_day, datetime.min.time(), UTC) - EPOCH) // timedelta(
        milliseconds=1
    ) - DAY
    began = next(
        at
        for at in range(day_before, day_before + 3 * DAY, MINUTE)
        if shown(at, zone(name)).date() >= first_day
    )
    cap = Cap(1, days * DAY)
    assert SendingPolicy().since(cap, ms, name) == began
    assert began <= ms
    assert ms - began <= SendingPolicy(caps=(cap,)).longest_memory


@given(moments(), st.integers(1, 100 * DAY), st.integers(-2, 2))
def test_a_rolling_cap_counts_what_is_less_than_its_period_ago(moment, per, off):
    name, ms = moment
    sent, cap = ms - per + off, Cap(1, per, "rolling")
    assert (sent >= SendingPolicy().since(cap, ms, name)) is (ms - sent < per)
    assert ms - SendingPolicy().since(cap, ms, name) <= SendingPolicy(caps=(cap,)).longest_memory
