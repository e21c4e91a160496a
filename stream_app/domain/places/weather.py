"""Weather as rules know it, read from a row of the reference feed: what one station says at a time.

    {"station_id": "lyon", "latitude": 45.72, "longitude": 4.94, "condition": "rain", "temperature_c": 8.5}

A station is whatever the provider measures or computes weather for: a weather station, an airport, a point of a grid.

| field | meaning | absent or empty |
|---|---|---|
| `latitude`, `longitude` | WGS84 degrees, as numbers or text | refused |
| `condition` | one of `CONDITIONS` | unknown |
| `temperature_c` | of the air, degrees Celsius | unknown |
| `precipitation_mm` | in the last hour | unknown |
| `wind_kmh` | mean | unknown |

A row is a whole one: what it doesn't say isn't known at its time, whatever was said before. One that says none of the
four is refused, and so is a value that no weather has: kelvin, or a word that a rule would wait for in vain. Further
fields are the provider's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.profile.values import number

if TYPE_CHECKING:
    from collections.abc import Mapping

WEATHER = "weather"
"""The kind of item that says what the weather is."""
CONDITIONS = ("clear", "clouds", "fog", "rain", "snow", "hail", "storm")
"""In these words rules ask for it, whichever provider says it: drizzle is rain, sleet is snow, thunder a storm."""
_RANGES = {"temperature_c": (-100, 70), "precipitation_mm": (0, 2_000), "wind_kmh": (0, 500)}
"""What has been measured on Earth, and some room."""
_DEGREES = {"latitude": 90, "longitude": 180}


class WeatherError(ValueError):
    """A row that says no weather. It says which field is wrong and what to do, and holds none of the row's values."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"weather.{field}: {detail}")
        self.field = field


def read_weather(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's fields, what is measured as numbers.

    Raises:
        WeatherError: it says no weather.
    """
    fields = {name: value for name, value in row.items() if value is not None}
    for name, most in _DEGREES.items():
        fields[name] = _number(fields.get(name), name, -most, most, "degrees (WGS84)")
    said = fields.get("condition")
    if said is not None and said not in CONDITIONS:
        raise WeatherError("condition", f"must be one of {', '.join(CONDITIONS)}; left out, it isn't known")
    for name, (least, most) in _RANGES.items():
        if name in fields:
            fields[name] = _number(fields[name], name, least, most, "its unit; left out, it isn't known")
    if "condition" not in fields and fields.keys().isdisjoint(_RANGES):
        raise WeatherError("condition", f"says nothing: give it, or one of {', '.join(_RANGES)}")
    return fields


def _number(value: Any, name: str, least: float, most: float, unit: str) -> float:
    found = number(value)
    if found is None or not least <= found <= most:
        raise WeatherError(name, f"must be a number from {least} to {most} in {unit}")
    return float(found)


def shown(station: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what rules see of a row: not where the station is, for near it is the customer."""
    return {**{name: value for name, value in row.items() if name not in _DEGREES}, "station_id": station}
