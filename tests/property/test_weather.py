"""Stations and seasons: what is found in any order of arrival and after a restart, held to all that was said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain import stations
from stream_app.domain.places import StoreIndex
from stream_app.domain.ports import ComponentTables
from stream_app.domain.profile import Profile
from stream_app.domain.profile.values import Latest
from stream_app.domain.reference import KEPT_MS, MAX_SAID, References, Said, Taken
from stream_app.domain.rows import customer_tables
from stream_app.domain.rules import SendingPolicy
from stream_app.domain.rules import weather as weather_module
from stream_app.domain.rules.weather import season_of
from stream_app.domain.stations import MAX_SPOTS, Stations
from stream_app.runs.in_memory import MemoryTable
from tests.property.examples import examples, search
from tests.property.rules_oracle_weather import weather

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = 3_600_000
SPOTS = (
    (48.0, 2.0),
    (48.3, 2.0),
    (48.3, 2.3),
    (48.6, 2.0),
    (-48.0, 2.0),
    (0.0, 180.0),
    (0.1, -179.9),
    (90.0, 0.0),
)
POSITIONS = st.one_of(
    st.sampled_from(SPOTS),
    st.tuples(st.floats(47, 49), st.floats(1, 3)),
    st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
)
ROWS = st.tuples(st.sampled_from(SPOTS), st.integers(-30, 40)).map(
    lambda one: {"latitude": one[0][0], "longitude": one[0][1], "temperature_c": float(one[1])}
)
WORDS = st.lists(
    st.builds(
        Said,
        st.just("weather"),
        st.sampled_from(("a", "b", "c\0d")),
        st.integers(0, 40).map(lambda n: n * HOUR // 2),
        st.one_of(st.none(), *[ROWS] * 7),
    ),
    max_size=30,
)


def tables() -> ComponentTables:
    return ComponentTables(**{spec.name: MemoryTable(spec) for spec in customer_tables()})


def check(words: Sequence[Said], position: tuple[float, float], time: int) -> None:
    kept = tables()
    asked = References(kept)
    for said in words:
        assert asked.take(said) is Taken.NOTHING
        asked.weather(*position, time)  # so that the index is there, and has to follow
    expected = weather(words, position, time)
    assert asked.weather(*position, time) == expected
    assert References(kept).weather(*position, time) == expected
    asked.reset()
    assert asked.weather(*position, time) == expected


@examples(400)
@given(WORDS, POSITIONS, st.integers(0, 50).map(lambda n: n * HOUR // 2))
def test_the_nearest_station_that_spoke_lately_is_found_whatever_came_first_and_after_a_restart(
    words: list[Said], position: tuple[float, float], time: int
) -> None:
    check(words, position, time)


def forgets_where_stations_were(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Stations, station: str, row: Any) -> None:
        index = self._known()
        for spot in self._spots.pop(station, ()):
            index.remove(stations._name(station, spot))
        put(self, station, row)

    put = Stations.put
    patch.setattr(Stations, "put", wrong)


def puts_no_row_of_where_stations_are(patch: pytest.MonkeyPatch) -> None:
    put = Stations.put

    def wrong(self: Stations, station: str, row: Any) -> None:
        rows, self._rows = self._rows, tables().references
        put(self, station, row)
        self._rows = rows

    patch.setattr(Stations, "put", wrong)


def looks_in_one_cell_alone(patch: pytest.MonkeyPatch) -> None:
    within = StoreIndex.within
    patch.setattr(StoreIndex, "within", lambda self, lat, lon, _: within(self, lat, lon, 5_000))


def takes_what_is_said_later(patch: pytest.MonkeyPatch) -> None:
    lately = References._lately
    patch.setattr(References, "_lately", lambda self, prefix, since, _: lately(self, prefix, since, 2**62))


def looks_at_the_last_word_alone(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: References, prefix: bytes, since: int, time: int) -> Any:
        head = self._head(prefix)
        return head.new if head is not None and since <= head.time <= time else {}

    patch.setattr(References, "_lately", wrong)


@pytest.mark.parametrize(
    "plant",
    [
        forgets_where_stations_were,
        puts_no_row_of_where_stations_are,
        looks_in_one_cell_alone,
        takes_what_is_said_later,
        looks_at_the_last_word_alone,
    ],
)
def test_a_planted_bug_is_caught(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    @search(2_000)
    @given(WORDS, POSITIONS, st.integers(0, 50).map(lambda n: n * HOUR // 2))
    def wanted(words: list[Said], position: tuple[float, float], time: int) -> None:
        check(words, position, time)

    with pytest.raises(AssertionError):
        wanted()


def test_of_a_station_that_moves_the_last_positions_are_found_and_its_row_stays_small() -> None:
    kept = tables()
    asked = References(kept)
    for hour in range(3 * MAX_SPOTS):
        asked.take(
            Said("weather", "ship", hour * HOUR, {"latitude": 1.0 + hour, "longitude": 1.0, "wind_kmh": 9.0})
        )
    last = 3 * MAX_SPOTS - 1
    for hour in range(3 * MAX_SPOTS):
        is_found = bool(asked.weather(1.0 + hour, 1.0, hour * HOUR))
        assert is_found is (hour > last - MAX_SPOTS)
    (row,) = [row for _, row in kept.references.scan(b"") if "spots" in row]
    assert len(row["spots"]) == MAX_SPOTS


def test_of_a_station_so_many_words_are_kept_as_of_any_item_and_each_is_whole() -> None:
    kept = tables()
    asked = References(kept)
    for number in range(2 * MAX_SAID):
        fields = {"latitude": 1.0, "longitude": 1.0} | (
            {"wind_kmh": 9.0} if number % 2 else {"temperature_c": 3.0}
        )
        asked.take(Said("weather", "mast", number * HOUR, fields))
    # As of any item, with the last one and all that was before; and where it is.
    assert len(list(kept.references.scan(b""))) == MAX_SAID + 3
    earliest = MAX_SAID * HOUR
    for number in (MAX_SAID, 2 * MAX_SAID - 2):
        assert asked.weather(1.0, 1.0, number * HOUR) == {"station_id": "mast", "temperature_c": 3.0}
    assert asked.weather(1.0, 1.0, earliest - 12 * HOUR) == {}
    asked.take(
        Said("weather", "mast", earliest * 2 - KEPT_MS - 2 * HOUR, {"latitude": 7.0, "longitude": 7.0})
    )
    (row,) = [row for _, row in kept.references.scan(b"") if "spots" in row]
    assert list(map(tuple, row["spots"])) == [(1.0, 1.0)], "what nobody's decisions rest on is nowhere"


# -- seasons -------------------------------------------------------------------------------------------------

FIRST = {"spring": (3, 9), "summer": (6, 12), "autumn": (9, 3), "winter": (12, 6)}
"""The first month of each season, north and south."""
ZONES = st.sampled_from(
    ("UTC", "Europe/Paris", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago")
)
EDGES = st.builds(
    lambda year, month, minutes: datetime(year, month, 1, tzinfo=UTC) + timedelta(minutes=minutes),
    st.integers(2024, 2030),
    st.integers(1, 12),
    st.integers(-26 * 60, 26 * 60),
)


def check_season(moment: datetime, zone: str, latitude: float) -> None:
    profile = Profile()
    profile.where.zone = Latest(zone, 0, "e")
    found = season_of((latitude, 0.0), profile, SendingPolicy(), round(moment.timestamp()) * 1000)
    month = moment.astimezone(ZoneInfo(zone)).month
    assert found is not None
    first = FIRST[found][latitude < 0]
    assert month in {first, first % 12 + 1, (first + 1) % 12 + 1}


@examples(300)
@given(EDGES, ZONES, st.sampled_from((51.0, 0.0, -0.1, -33.0)))
def test_a_season_is_three_whole_months_on_her_clock_and_the_other_one_south_of_the_equator(
    moment: datetime, zone: str, latitude: float
) -> None:
    check_season(moment, zone, latitude)


def by_the_utc_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(weather_module, "zone_of", lambda *_: "UTC")


def counts_the_equator_as_south(patch: pytest.MonkeyPatch) -> None:
    season_of = weather_module.season_of
    patch.setattr(f"{__name__}.season_of", lambda here, *rest: season_of((here[0] - 1e-9, here[1]), *rest))


@pytest.mark.parametrize("plant", [by_the_utc_clock, counts_the_equator_as_south])
def test_a_bug_in_seasons_is_caught(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    @search(2_000)
    @given(EDGES, ZONES, st.sampled_from((51.0, 0.0, -0.1, -33.0)))
    def wanted(moment: datetime, zone: str, latitude: float) -> None:
        check_season(moment, zone, latitude)

    with pytest.raises(AssertionError):
        wanted()


def test_beyond_the_calendar_there_is_no_season() -> None:
    assert season_of(None, None, SendingPolicy(), -(10**17)) is None
