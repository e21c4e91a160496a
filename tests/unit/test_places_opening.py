"""When stores are open: on their own clocks, with holidays, across midnight and across changes of clocks."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stream_app.domain.places import Store, is_open, next_change, read_store

ROOT = Path(__file__).parents[2]
BERLIN, CHICAGO, TOKYO = "Europe/Berlin", "America/Chicago", "Asia/Tokyo"


def ms(local: str, zone: str = BERLIN, fold: int = 0) -> int:
    return int(datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def shop(hours: str | None, **fields: Any) -> Store:
    return read_store(
        {"id": "1", "latitude": 52.52, "longitude": 13.4, "timezone": BERLIN, "hours": hours, **fields}
    )


def states(store: Store, *locals_: str, zone: str = BERLIN) -> list[bool | None]:
    return [is_open(store, ms(local, zone)) for local in locals_]


# Hours


def test_a_shop_opens_on_the_minute_and_is_closed_on_the_minute():
    store = shop("Mo-Sa 09:00-20:00")
    monday = ("2026-03-02 08:59:59.999", "2026-03-02 09:00", "2026-03-02 19:59:59.999", "2026-03-02 20:00")
    assert states(store, *monday) == [False, True, True, False]
    assert states(store, "2026-03-01 12:00") == [False]  # a Sunday


def test_hours_are_of_the_shop_s_own_clock():
    hours, noon = "Mo-Fr 10:00-18:00", ms("2026-03-02 12:00", BERLIN)
    assert is_open(shop(hours), noon) is True
    assert is_open(shop(hours, timezone=CHICAGO), noon) is False  # 5 in the morning
    assert is_open(shop(hours, timezone=TOKYO), noon) is False  # 8 in the evening
    assert next_change(shop(hours, timezone=CHICAGO), noon) == ms("2026-03-02 10:00", CHICAGO)


def test_without_a_zone_the_clock_is_that_at_the_position():
    store = read_store({"id": "1", "latitude": 35.68, "longitude": 139.69, "hours": "10:00-18:00"})
    assert states(store, "2026-03-02 10:00", "2026-03-02 18:00", zone=TOKYO) == [True, False]


def test_a_shop_without_hours_is_neither_open_nor_closed():
    assert is_open(shop(None), ms("2026-03-02 12:00")) is None
    assert next_change(shop(None), ms("2026-03-02 12:00")) is None


def test_hours_that_say_unknown_are_unknown():
    store = shop("Mo-Fr 10:00-18:00; Sa unknown")
    assert states(store, "2026-03-06 12:00", "2026-03-07 12:00", "2026-03-08 12:00") == [True, None, False]
    assert next_change(store, ms("2026-03-06 20:00")) == ms("2026-03-07 00:00")
    assert next_change(store, ms("2026-03-07 12:00")) == ms("2026-03-08 00:00")


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin():
    store = shop("Fr-Sa 20:00-02:00")
    assert states(store, "2026-03-07 01:59", "2026-03-07 02:00", "2026-03-08 01:00", "2026-03-06 01:00") == [
        True,
        False,
        True,
        False,
    ]
    assert next_change(store, ms("2026-03-06 23:00")) == ms("2026-03-07 02:00")


@pytest.mark.parametrize("hours", ["24/7", "Mo-Su 00:00-24:00"])
def test_a_shop_that_never_closes_never_changes(hours: str):
    assert is_open(shop(hours), ms("2026-03-02 03:00")) is True
    assert next_change(shop(hours), ms("2026-03-02 03:00")) is None


@pytest.mark.parametrize("hours", ["off", "closed", "Mo-Fr 10:00-18:00; off"])
def test_a_shop_that_is_closed_for_good_never_opens(hours: str):
    assert is_open(shop(hours), ms("2026-03-02 12:00")) is False
    assert next_change(shop(hours), ms("2026-03-02 12:00")) is None


def test_months_weeks_dates_and_the_first_monday_are_understood():
    store = shop(
        "Apr-Sep 09:00-20:00; Oct-Mar 10:00-18:00; 2026 Mar 3-2026 Mar 5 off; Mo[1] off; week 11 off"
    )
    assert states(store, "2026-04-07 09:30", "2026-03-24 09:30", "2026-03-24 10:30") == [True, False, True]
    assert states(store, "2026-03-03 12:00", "2026-03-05 12:00", "2026-03-06 12:00") == [False, False, True]
    assert states(store, "2026-03-02 12:00", "2026-03-10 12:00", "2026-03-17 12:00") == [False, False, True]


def test_a_comment_does_not_close_a_shop_and_is_no_change():
    store = shop('Mo-Fr 10:00-14:00 "front door"; Mo-Fr 10:00-14:00 "front door", Mo-Fr 14:00-18:00 "yard"')
    assert states(store, "2026-03-02 12:00", "2026-03-02 15:00") == [True, True]
    assert next_change(store, ms("2026-03-02 12:00")) == ms("2026-03-02 18:00")


def test_a_comma_between_days_dates_or_times_makes_a_list_with_a_space_behind_it_too():
    days = shop("Mo-Fr, Sa 10:00-18:00")
    assert states(days, "2026-03-02 03:00", "2026-03-02 12:00", "2026-03-07 12:00") == [False, True, True]
    times = shop("Mo-Fr 10:00-12:00, 14:00-18:00")
    assert states(times, "2026-03-02 15:00", "2026-03-02 13:00", "2026-03-07 15:00") == [True, False, False]
    dates = shop("10:00-18:00; Dec 24, Dec 31 off")
    assert states(dates, "2026-12-24 12:00", "2026-12-31 12:00", "2026-12-30 12:00") == [False, False, True]
    both = shop("Mo-Fr 10:00-18:00, Sa 12:00-14:00")
    assert states(both, "2026-03-02 12:30", "2026-03-07 12:30", "2026-03-07 15:00") == [True, True, False]


def test_far_changes_are_found_and_those_beyond_ten_years_are_never():
    assert next_change(shop("Feb 29 10:00-11:00"), ms("2024-03-01 12:00")) == ms("2028-02-29 10:00")
    assert next_change(shop("2034 Jan 1 10:00-11:00"), ms("2026-03-01 12:00")) == ms("2034-01-01 10:00")
    assert next_change(shop("2099 Mo-Su 10:00-11:00"), ms("2026-03-01 12:00")) is None
    assert next_change(shop("PH 10:00-11:00", holidays=[]), ms("2026-03-01 12:00")) is None


# Holidays


def test_a_shop_is_closed_on_its_country_s_holidays():
    store = shop("Mo-Sa 10:00-20:00; PH off", country="DE")
    assert states(store, "2026-12-24 12:00", "2026-12-25 12:00", "2026-12-26 12:00", "2026-12-28 12:00") == [
        True,
        False,
        False,
        True,
    ]
    assert next_change(store, ms("2026-12-24 21:00")) == ms("2026-12-28 10:00")  # the 27th is a Sunday


def test_each_country_has_its_own_holidays_and_regions_have_theirs():
    epiphany = "2026-01-06 12:00"
    hours = "Mo-Sa 10:00-20:00; PH off"
    assert states(shop(hours, country="DE"), epiphany) == [True]
    assert states(shop(hours, country="DE-BY"), epiphany) == [False]
    assert states(shop(hours, country="AT"), epiphany) == [False]
    assert states(shop(hours, country="GB"), "2027-01-01 12:00", epiphany) == [False, True]


def test_holidays_may_have_hours_of_their_own():
    store = shop("Mo-Fr 09:00-20:00; PH 10:00-16:00", country="DE")
    assert states(store, "2026-12-25 09:30", "2026-12-25 12:00", "2026-12-25 17:00") == [False, True, False]
    weekend = shop("Sa-Su,PH 10:00-16:00", country="DE")
    assert states(weekend, "2026-12-25 12:00", "2026-12-27 12:00", "2026-12-28 12:00") == [True, True, False]


def test_without_a_country_the_holidays_are_those_at_the_position():
    store = read_store({"id": "1", "latitude": 48.85, "longitude": 2.35, "hours": "10:00-20:00; PH off"})
    paris = "Europe/Paris"
    assert states(store, "2026-07-14 12:00", "2026-07-15 12:00", zone=paris) == [False, True]


def test_at_sea_there_are_no_holidays():
    store = read_store({"id": "1", "latitude": 0, "longitude": -30, "hours": "10:00-20:00; PH off"})
    assert states(store, "2026-12-25 12:00", zone="Etc/GMT+2") == [True]


def test_holidays_that_a_row_lists_are_the_only_ones():
    store = shop("10:00-20:00; PH off", country="DE", holidays=["2026-03-10"])
    assert states(store, "2026-03-10 12:00", "2026-12-25 12:00") == [False, True]
    assert states(shop("10:00-20:00; PH off", country="DE", holidays=[]), "2026-12-25 12:00") == [True]


def test_a_day_before_a_holiday_may_have_hours_and_months_pick_among_holidays():
    eve = shop("10:00-20:00; PH -1 day 10:00-14:00; PH off", country="DE")
    assert states(eve, "2026-12-24 13:00", "2026-12-24 15:00", "2026-12-23 15:00") == [True, False, True]
    summer = shop("10:00-20:00; May-Oct PH off", country="DE")
    assert states(summer, "2026-05-01 12:00", "2026-12-25 12:00") == [False, True]


def test_the_night_before_a_holiday_goes_on_into_it_and_the_holiday_has_no_night():
    store = shop("Mo-Su 20:00-02:00; PH off", holidays=["2026-12-25"])
    assert states(store, "2026-12-25 01:59", "2026-12-25 02:00", "2026-12-25 21:00") == [True, False, False]
    assert states(store, "2026-12-26 01:00", "2026-12-26 21:00") == [False, True]
    assert next_change(store, ms("2026-12-24 21:00")) == ms("2026-12-25 02:00")
    assert next_change(store, ms("2026-12-25 02:00")) == ms("2026-12-26 20:00")


def test_a_day_that_is_off_takes_its_own_night_with_it_and_not_the_one_before():
    store = shop("Mo-Su 20:00-26:00; Fr off; Sa 10:00-12:00")
    assert states(store, "2026-03-06 01:00", "2026-03-06 21:00", "2026-03-07 01:00") == [True, False, False]
    assert states(store, "2026-03-07 11:00", "2026-03-07 21:00", "2026-03-08 01:00") == [True, False, False]


def test_a_lunch_break_is_no_end_to_a_night():
    store = shop("Mo-Sa 10:00-02:00; Tu 12:00-13:00 off")
    assert states(store, "2026-03-03 12:30", "2026-03-03 13:00", "2026-03-04 01:00") == [False, True, True]


def test_a_holiday_s_own_night_goes_on_into_the_next_day():
    store = shop("Mo-Su 20:00-22:00, PH 20:00-02:00", holidays=["2026-12-25"])
    assert states(store, "2026-12-26 01:59", "2026-12-26 02:00", "2026-12-27 01:00") == [True, False, False]
    assert next_change(store, ms("2026-12-25 21:00")) == ms("2026-12-26 02:00")


def test_the_last_days_of_a_year_know_the_holidays_of_the_next_and_the_first_those_of_the_last():
    eve = shop("10:00-20:00; PH -1 day 10:00-14:00", country="DE")
    assert states(eve, "2026-12-31 13:00", "2026-12-31 15:00", "2026-12-30 15:00") == [True, False, True]
    long = shop("10:00-20:00; PH 20:00-02:00", holidays=["2026-12-31"])
    assert states(long, "2027-01-01 01:00", "2027-01-02 01:00") == [True, False]


def test_a_holiday_in_years_is_found():
    store = shop("PH 10:00-12:00", holidays=["2029-03-10"])
    assert next_change(store, ms("2026-03-01 12:00")) == ms("2029-03-10 10:00")


def test_holidays_of_the_next_year_are_seen_from_this_one():
    store = shop("PH 10:00-12:00", country="DE")
    assert next_change(store, ms("2026-12-26 13:00")) == ms("2027-01-01 10:00")
    assert next_change(shop("24/7; PH off", country="DE"), ms("2026-12-27 12:00")) == ms("2027-01-01 00:00")


# Clocks that change: Berlin skips 2:00 to 3:00 on 2026-03-29, and has it twice on 2026-10-25


def test_hours_that_a_change_of_clocks_skips_are_not_there():
    store = shop("02:15-02:45")
    before = ms("2026-03-29 01:00")
    assert next_change(store, before) == ms("2026-03-30 02:15")


def test_hours_that_begin_in_skipped_time_begin_when_the_clocks_have_changed():
    store = shop("02:30-05:00")
    changed = ms("2026-03-29 03:00")
    assert next_change(store, ms("2026-03-29 01:00")) == changed
    assert (is_open(store, changed - 1), is_open(store, changed)) == (False, True)
    assert next_change(store, changed) == ms("2026-03-29 05:00")


def test_hours_that_a_change_of_clocks_doubles_are_there_twice():
    store = shop("02:15-02:45")
    times = [ms("2026-10-25 02:15"), ms("2026-10-25 02:45")]
    times += [ms("2026-10-25 02:15", fold=1), ms("2026-10-25 02:45", fold=1)]
    found, at = [], ms("2026-10-25 00:00")
    for _ in times:
        at = next_change(store, at) or 0
        found.append(at)
    assert found == times


def test_a_shop_that_closes_at_three_closes_once_though_it_is_two_twice():
    store = shop("Sa 20:00-03:00")
    assert next_change(store, ms("2026-10-24 21:00")) == ms("2026-10-25 03:00")
    assert is_open(store, ms("2026-10-25 02:30", fold=1)) is True


def test_a_shop_that_closes_in_doubled_time_is_open_again_when_that_comes_again():
    store = shop("Sa 20:00-02:30")
    back = ms("2026-10-25 02:00", fold=1)
    assert next_change(store, ms("2026-10-24 21:00")) == ms("2026-10-25 02:30")
    assert next_change(store, ms("2026-10-25 02:30")) == back
    assert next_change(store, back) == ms("2026-10-25 02:30", fold=1)


def test_hours_of_a_day_are_right_on_both_days_of_a_change():
    store = shop("10:00-18:00")
    for day, evening in (("2026-03-29", "2026-03-28"), ("2026-10-25", "2026-10-24")):
        assert next_change(store, ms(f"{evening} 19:00")) == ms(f"{day} 10:00")
        assert states(store, f"{day} 09:59", f"{day} 10:00") == [False, True]


def test_a_far_opening_in_skipped_time_is_when_the_clocks_have_changed():
    store = shop("2026 Mar 29 02:30-05:00")
    assert next_change(store, ms("2026-01-01 00:00")) == ms("2026-03-29 03:00")


# What is asked of the machine


def test_neither_the_machine_s_zone_nor_its_language_changes_anything():
    asked = """
from stream_app.domain.places import is_open, next_change, read_store
store = read_store({"id": "1", "latitude": 48.85, "longitude": 2.35, "hours": "Mo-Sa 20:00-02:00; PH off"})
times = range(1_766_000_000_000, 1_768_000_000_000, 7_654_321)
print(hash(tuple((is_open(store, at), next_change(store, at)) for at in times)))
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", asked],
            cwd=ROOT,
            env={**os.environ, "TZ": zone, "LC_ALL": language, "LANGUAGE": language},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for zone, language in (("UTC", "C"), ("Pacific/Auckland", "fr_FR.UTF-8"))
    }
    assert len(said) == 1
    assert "None" not in said
