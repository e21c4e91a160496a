"""Reading a store from a row: what makes it one, what makes it none, and what is kept."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import msgspec
import pytest

from stream_app.domain.places import Store, StoreError, read_store, zone_name
from stream_app.domain.places.hours import MAX_HOURS

BERLIN = {"id": "berlin-1", "latitude": 52.52, "longitude": 13.4}


def refusal(**fields: Any) -> StoreError:
    with pytest.raises(StoreError) as fault:
        read_store({**BERLIN, **fields})
    return fault.value


def test_an_id_and_a_position_make_a_store():
    store = read_store(BERLIN)
    assert (store.id, store.latitude, store.longitude) == ("berlin-1", 52.52, 13.4)
    assert (store.hours, store.timezone, store.country, store.holidays, store.name) == (None,) * 5


def test_a_row_may_come_from_a_table_whose_columns_are_texts_and_empty():
    row = {"id": 7, "latitude": " 52.52", "longitude": "13.4", "hours": " ", "timezone": "", "country": ""}
    store = read_store(row)
    assert (store.id, store.latitude, store.longitude) == ("7", 52.52, 13.4)
    assert (store.hours, store.timezone, store.country) == (None, None, None)


def test_all_fields_are_read():
    store = read_store(
        {
            **BERLIN,
            "name": "Alexanderplatz",
            "hours": "Mo-Sa 09:00-20:00; PH off",
            "timezone": "Europe/Berlin",
            "country": "de-be",
            "holidays": ["2026-12-26", "2026-12-25", "2026-12-25"],
        }
    )
    assert (store.name, store.hours, store.timezone) == (
        "Alexanderplatz",
        "Mo-Sa 09:00-20:00; PH off",
        "Europe/Berlin",
    )
    assert (store.country, store.holidays) == ("DE-BE", (date(2026, 12, 25), date(2026, 12, 26)))


@pytest.mark.parametrize("field", ["latitude", "longitude"])
@pytest.mark.parametrize("value", [None, "", "north", float("nan"), float("inf"), 180.5, -181, True, [1]])
def test_a_row_without_a_usable_position_is_no_store(field: str, value: Any):
    assert refusal(**{field: value}).field == field


def test_the_ends_of_the_earth_are_positions():
    for latitude, longitude in ((90, 180), (-90, -180)):
        store = read_store({"id": "x", "latitude": latitude, "longitude": longitude})
        assert (store.latitude, store.longitude) == (latitude, longitude)
    assert refusal(latitude=90.01).field == "latitude"


@pytest.mark.parametrize("value", [None, "", "x" * 300, 1.5, True, {}])
def test_a_row_without_a_usable_id_is_no_store(value: Any):
    assert refusal(id=value).field == "id"


@pytest.mark.parametrize(
    "hours",
    [
        "9 to 5",
        "Mon-Fri 09:00-18:00",
        "Mo-Fr 25:00-26:00",
        "Mo-Fr 9-18",
        24,
        ["Mo"],
        "\ud800",
        "Mo," * MAX_HOURS,
    ],
)
def test_hours_that_cannot_be_read_are_refused(hours: Any):
    assert refusal(hours=hours).field == "hours"


def test_a_refusal_says_where_the_hours_stop_making_sense_and_repeats_nothing_of_the_row():
    fault = refusal(hours="Mo-Fr 09:00-18:00; secret 25")
    assert "character 20" in str(fault)
    assert "leave `hours` out: then `store.open` is absent" in str(fault)
    assert "secret" not in str(fault)


def test_hours_that_readers_of_the_notation_take_for_different_things_are_refused():
    assert "comma" in refusal(hours="Mo-Fr 09:00-18:00; PH Sa 10:00-12:00").detail
    assert "comma" in refusal(hours="SH Mo-Fr 10:00-12:00").detail
    assert "comma" in refusal(hours="Mo-Fr PH 10:00-12:00").detail
    assert "midnight" in refusal(hours="Mo-Fr 10:00-12:00 || Sa 22:00-02:00").detail
    assert "sun" in refusal(hours="sunrise-sunset").detail
    assert "sun" in refusal(hours="Mo 10:00-(sunset+01:00)").detail
    read_store({**BERLIN, "hours": 'Mo-Fr 10:00-12:00 "PH Sa until sunset"'})  # a comment says what it likes


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "CEST", "../etc", 1])
def test_a_zone_that_is_none_is_refused(zone: Any):
    assert refusal(timezone=zone).field == "timezone"


@pytest.mark.parametrize("country", ["Germany", "XX", "DE-ZZ", "D", 49])
def test_a_country_without_tables_is_refused(country: Any):
    assert refusal(country=country).field == "country"


@pytest.mark.parametrize(
    "holidays", ["2026-12-25", ["25.12.2026"], [20261225], {"2026-12-25": 1}, ["2026-02-30"]]
)
def test_holidays_that_are_no_dates_are_refused(holidays: Any):
    assert refusal(holidays=holidays).field == "holidays"


def test_no_holidays_and_unknown_holidays_are_two_things():
    assert read_store({**BERLIN, "holidays": []}).holidays == ()
    assert read_store({**BERLIN, "holidays": None}).holidays is None


def test_a_store_s_zone_is_its_own_else_that_at_its_position():
    assert zone_name(read_store({**BERLIN, "timezone": "Europe/Vienna"})) == "Europe/Vienna"
    assert zone_name(read_store(BERLIN)) == "Europe/Berlin"
    assert zone_name(read_store({"id": "x", "latitude": 41.9, "longitude": -87.6})) == "America/Chicago"


def test_a_row_s_other_fields_are_kept_as_far_as_they_are_plain():
    row = {
        **BERLIN,
        "phone": "+49 30 1",
        "opened": 1999,
        "outlet": False,
        "area": 1250.5,
        "services": ["repairs", None, b"x"],
        "address": {"city": "Berlin", "zip": None},
        "bytes": b"x",
        "nan": float("nan"),
        "long": 1 << 70,
        "at": date(2026, 1, 1),
        5: "x",
    }
    kept = read_store(row).row
    assert kept == {
        **BERLIN,
        "phone": "+49 30 1",
        "opened": 1999,
        "outlet": False,
        "area": 1250.5,
        "services": ["repairs"],
        "address": {"city": "Berlin"},
    }
    json.dumps(kept)


def test_a_row_that_is_nested_without_end_is_cut():
    row: dict[str, Any] = dict(BERLIN)
    row["deep"] = inner = []
    for _ in range(5000):
        inner.append([])
        inner = inner[0]
    json.dumps(read_store(row).row)


def test_a_store_s_row_is_its_own():
    row = {**BERLIN, "services": ["repairs"]}
    store = read_store(row)
    row["services"].append("coffee")
    assert store.row["services"] == ["repairs"]


def test_a_store_can_be_kept_and_read_back():
    store = read_store({**BERLIN, "holidays": ["2026-12-25"], "area": 7})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(store), type=Store) == store
