"""Opening hours against what is simpler: a look at every minute, and the library's own holidays."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opening_hours import OpeningHours

from stream_app.domain.places import StoreError, is_open, next_change, read_store
from stream_app.domain.places.hours import on_dates, read_hours
from stream_app.domain.places.opening import clocks_change

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
WINDOW = 2 * DAY
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "UTC")
YEARS = (2010, 2030)
JANUARY, END = 1_262_304_000_000, 1_893_456_000_000

WIDE = ("", "", "", "Jul-Dec ", "week 20-53 ", "2026 ", "2025-2027 ", "Dec 24-Jan 1 ")
DAYS = (
    "Mo-Fr",
    "Sa",
    "Su",
    "Fr-Mo",
    "Mo[1]",
    "PH",
    "PH,Mo-Fr",
    "Su,PH",
    "PH -1 day",
    "PH +2 days",
    "Mo-Th,PH",
)
TIMES = (
    " 10:00-18:00",
    " 02:15-02:45",
    " 02:30-12:00",
    " 10:00-12:00,14:00-20:00",
    " 00:00-24:00",
    "",
    " off",
    " unknown",
    ' 11:00-13:00 "PH; as you like"',
)
NIGHTS = (" 22:00-02:00", " 10:00-12:00,14:00-26:00", " 20:00-02:30 unknown")


@st.composite
def texts(draw: st.DrawFn, *, nights: bool) -> str:
    """Draw opening hours."""
    said, before = "", None
    for n in range(draw(st.integers(1, 3))):
        times = draw(st.sampled_from(TIMES + NIGHTS if nights else TIMES))
        between = ("; ",) if times in NIGHTS else ("; ", " || ")
        # Behind days without times, a comma is read as that of a list, other than the library does.
        said += draw(st.sampled_from((*between, ", ") if before else between)) if n else ""
        before = times
        said += draw(st.sampled_from(WIDE)) + draw(st.sampled_from(DAYS)) + times
    return said


@cache
def changes(zone: str) -> tuple[int, ...]:
    """Return when a zone's clocks change."""
    found, at = [], JANUARY
    while (at := clocks_change(at, END, zone) or END) < END:
        found.append(at)
    return tuple(found)


@st.composite
def instants(draw: st.DrawFn, zone: str) -> int:
    """Draw an instant, often shortly before a zone's clocks change or a year ends."""
    near = draw(st.sampled_from([*changes(zone), 1_798_761_600_000, *range(JANUARY, END, 400 * DAY)]))
    return near + draw(st.integers(-WINDOW, DAY // 4)) // MINUTE * MINUTE


@given(st.data())
@settings(max_examples=150)
def test_the_next_change_is_what_a_look_at_every_minute_finds(data: st.DataObject):
    zone = data.draw(st.sampled_from(ZONES))
    at, text = data.draw(instants(zone)), data.draw(texts(nights=True))
    row = {"id": "1", "latitude": 0, "longitude": 0, "timezone": zone, "hours": text, "country": "DE"}
    store = read_store(row)
    now = is_open(store, at)
    found = next(
        (then for then in range(at + MINUTE, at + WINDOW, MINUTE) if is_open(store, then) != now), None
    )
    told = next_change(store, at)
    if found is None:
        assert told is None or told >= at + WINDOW
    else:
        assert told == found
    if told is not None:
        assert is_open(store, told - 1) == now != is_open(store, told)


@cache
def library_s_holidays(country: str) -> tuple[date, ...]:
    """Return what `opening-hours-py` itself takes for holidays."""
    asked = OpeningHours("PH", country=country, auto_country=False, auto_timezone=False)
    days = (date(2024, 1, 1) + timedelta(days=n) for n in range(5 * 365))
    return tuple(day for day in days if asked.is_open(datetime.combine(day, time(12))))


@given(st.data())
@settings(max_examples=200)
def test_dates_in_place_of_holidays_mean_what_the_library_means_by_holidays(data: st.DataObject):
    country, text = data.draw(st.sampled_from(("DE", "FR", "US", "JP"))), data.draw(texts(nights=False))
    days = library_s_holidays(country)
    theirs = OpeningHours(text, country=country, auto_country=False, auto_timezone=False)
    ours = on_dates(read_hours(text).day, days)
    near = data.draw(st.sampled_from([day for day in days if 2025 <= day.year <= 2027]))
    at = datetime(near.year, near.month, near.day) - timedelta(days=3)  # noqa: DTZ001 - a wall clock's
    for _ in range(24 * 7):
        assert ours.state(at)[0] == theirs.state(at)[0], (text, at)
        at += timedelta(minutes=59)


PIECES = (
    *(
        "Mo",
        "Su",
        "Mo-Fr",
        "PH",
        "SH",
        "10:00-12:00",
        "22:00-02:00",
        "22:00-48:00",
        "24:00-26:00",
        "00:00-00:00",
    ),
    *(
        "24/7",
        ",",
        ", ",
        ";",
        " || ",
        "off",
        "unknown",
        "open",
        '"PH; Mo"',
        '"',
        "Jan",
        "Feb 29",
        "Dec 31-Jan 1",
    ),
    *(
        "2026",
        "2024-2026/2",
        "week 1-53/2",
        "[1]",
        "[-1]",
        "+1 day",
        "-3 days",
        "-400 days",
        "easter",
        "+",
        ":",
    ),
    *("/01:00", "(sunset+01:00)", "-", "9999", "1900", "\0", "\ud800", "\N{PILE OF POO}", "\n", "ph", "MO"),
)
heaps = st.lists(st.sampled_from(PIECES) | st.sampled_from((" ", "")), max_size=12).map("".join)


@given(heaps | st.text(max_size=40) | texts(nights=True), st.integers(JANUARY, END))
@settings(max_examples=1000)
def test_any_text_is_either_refused_as_no_hours_or_can_be_asked_about_any_time(text: str, at: int):
    row = {
        "id": "1",
        "latitude": 0,
        "longitude": 0,
        "timezone": "Europe/Berlin",
        "hours": text,
        "country": "DE",
    }
    try:
        store = read_store(row)
    except StoreError:
        return
    assert is_open(store, at) in {True, False, None}
    told = next_change(store, at)
    assert told is None or is_open(store, told) != is_open(store, at)


@pytest.mark.parametrize(("zone", "many"), [("Europe/Berlin", 40), ("UTC", 0), ("Pacific/Apia", 23)])
def test_changes_of_clocks_are_all_found(zone: str, many: int):
    assert len(changes(zone)) == many
