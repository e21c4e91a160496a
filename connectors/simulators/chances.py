"""Chance and the clock: what is drawn, and the units of time that it is drawn in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_BY_HOUR = (2, 1, 1, 1, 1, 2, 5, 9, 11, 13, 14, 15, 17, 15, 13, 13, 14, 17, 20, 25, 28, 24, 14, 6)
_BY_HOUR_CUMULATED = tuple(sum(_BY_HOUR[: hour + 1]) for hour in range(24))
_SHOP_HOURS = tuple(weight if 8 <= hour < 18 else 0 for hour, weight in enumerate(_BY_HOUR))  # noqa: PLR2004
_SHOP_HOURS_CUMULATED = tuple(sum(_SHOP_HOURS[: hour + 1]) for hour in range(24))


def chance(random: Random, share: float) -> bool:
    """Draw whether it happens, which it does in this share of cases."""
    return random.random() < share


def moment(random: Random, day: int) -> int:
    """Draw a time of the day that begins at `day` (ms), as busy as web shops are at each hour."""
    return day + random.choices(range(24), cum_weights=_BY_HOUR_CUMULATED)[0] * HOUR + random.randrange(HOUR)


def shop_moment(random: Random, day: int) -> int:
    """Draw a time of that day at which the shops are open."""
    hour = random.choices(range(24), cum_weights=_SHOP_HOURS_CUMULATED)[0]
    return day + hour * HOUR + random.randrange(HOUR)


def is_open(time: int) -> bool:
    """Tell whether the shops are open at that time (ms)."""
    return bool(_SHOP_HOURS[time % DAY // HOUR])


def poisson(random: Random, mean: float) -> int:
    """Draw a Poisson number by Knuth's product of uniforms (TAOCP 2, 3.4.1); for small means."""
    limit = math.exp(-mean)
    count, product = 0, random.random()
    while product > limit:
        count += 1
        product *= random.random()
    return count
