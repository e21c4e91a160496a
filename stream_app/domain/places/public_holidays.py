"""On which dates a country has public holidays, from the tables of the `holidays` package.

A country is an ISO 3166-1 alpha-2 code (`DE`), or an ISO 3166-2 one where the region has days of its own (`DE-BY`).
Days on which a holiday is observed instead count too. The tables are those of the locked version, for years past and
to come; nothing asks what day it is. They take a sixth of a second to load: only who asks pays. Where a row names no
country, it is that of the time zone at the position, in tzdata's own table.

Not taken is what `opening-hours-py` knows of holidays: in 0.109 against 2.1.4, it lacks India and the Emirates, New
Year's Day in Britain and the holidays of Islam in Turkey.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from stream_app.domain.zone_at import zone_at

if TYPE_CHECKING:
    from datetime import date

_CODE = re.compile(r"([A-Z]{2})(?:-([A-Z0-9]{1,3}))?")


@lru_cache(maxsize=1024)
def known_country(code: str) -> bool:
    """Return whether there are tables for a country, or a region of one."""
    return bool(_CODE.fullmatch(code)) and _tables(code, ()) is not None


@lru_cache(maxsize=4096)
def public_holidays(code: str, first: int, last: int) -> tuple[date, ...]:
    """Return a country's public holidays in some years, in order; none of an unknown country."""
    return tuple(sorted(_tables(code, range(first, last + 1)) or ()))


def country_at(latitude: float, longitude: float) -> str | None:
    """Return the country of the time zone at a position; None at sea."""
    return _countries().get(zone_at(latitude, longitude))


def _tables(code: str, years: range | tuple[()]) -> list[date] | None:
    from holidays import country_holidays  # noqa: PLC0415 - the tables are for who needs them

    country, _, region = code.partition("-")
    try:
        return list(country_holidays(country, subdiv=region or None, years=years, expand=False))
    except NotImplementedError:  # so the library says of a country or a region that it doesn't know
        return None


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return {zone: country for country, _, zone, *_ in rows}
