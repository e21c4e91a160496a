"""The weather of a made-up year: what the stations of some cities say every three hours.

Each station's day has a random stream of its own. It is warm in July and in the afternoon, and more so on some days
than on others; a sky mostly stays as it is for some hours; what falls from it is snow where it is cold.
"""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING, Any

from connectors.simulators.chances import DAY, HOUR, chance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.simulators.catalogue import Store

EVERY = 3 * HOUR
"""How often a station speaks, ms."""
STAYS = 0.6
"""Probability that a sky is as it was three hours before."""
SKIES = {"clear": 36, "clouds": 34, "rain": 22, "fog": 4, "storm": 4}
"""How often each is drawn, else."""
WET = {"rain": (0.2, 5.0), "snow": (0.2, 2.0), "storm": (2.0, 25.0)}
"""What falls in an hour, mm."""
YEAR = 365.25 * DAY
COLDEST, WARMEST = 15 * DAY, 3.0
"""When the year is coldest, from its beginning (ms; 1970 began a year), and how warm that is on average."""
SWING, BY_DAY = 18.0, 8.0
"""How much warmer July is, and an afternoon than the night before."""
SNOWS_BELOW = 1.0
"""Degrees."""


def station(store: Store) -> dict[str, Any]:
    """Return what is always said by the station of a store's city: at its airport, some kilometres off."""
    position = store.context.position
    there = (
        {}
        if position is None
        else {"latitude": position.latitude + 0.05, "longitude": position.longitude + 0.04}
    )
    return {"station_id": f"{store.city.lower()}-airport"} | there


def said_on(seed: int, store: Store, day: int) -> Iterator[dict[str, Any]]:
    """Yield what that station says on the day that begins then (ms), with its time."""
    always = station(store)
    random = Random(f"{seed}/weather/{always['station_id']}/{day}")
    warmer, sky = random.gauss(0, 3), _sky(random)
    for time in range(day, day + DAY, EVERY):
        if not chance(random, STAYS):
            sky = _sky(random)
        yield always | {"time": time} | _measured(random, sky, _usual(time) + warmer)


def _sky(random: Random) -> str:
    return random.choices(list(SKIES), weights=list(SKIES.values()))[0]


def _usual(time: int) -> float:
    """Return how warm it usually is at a time (ms)."""
    of_year = 1 - math.cos(2 * math.pi * (time - COLDEST) / YEAR)
    of_day = math.cos(2 * math.pi * (time % DAY / HOUR - 14) / 24)
    return WARMEST + SWING / 2 * of_year + BY_DAY / 2 * of_day


def _measured(random: Random, sky: str, temperature: float) -> dict[str, Any]:
    condition = "snow" if sky == "rain" and temperature < SNOWS_BELOW else sky
    fallen = random.uniform(*WET[condition]) if condition in WET else 0.0
    wind = random.uniform(60, 110) if condition == "storm" else random.lognormvariate(2.4, 0.5)
    return {
        "condition": condition,
        "temperature_c": round(temperature, 1),
        "precipitation_mm": round(fallen, 1),
        "wind_kmh": round(wind, 1),
    }
