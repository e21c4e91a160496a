"""Who gets the credit for an order: five models over the touches before it, in whole numbers.

A touch has a weight under each model; the touches of one source (channel and campaign) are added up, and an amount is
split between sources in the ratio of their weights, to the last millionth:
- last touch, first touch: all to one.
- linear: to each the same.
- position-based: 40 % to the first, 40 % to the last, 20 % shared by those between; of two, half to each.
- time decay: h whole hours before the order, 2^(48 - h / 168), cut off: half as much as seven days later.

No float is summed, so that the result is the same on every machine and in any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

MODELS = ("last_touch", "first_touch", "linear", "position_based", "time_decay")
_LAST, _FIRST, _LINEAR, _POSITION, _DECAY = range(len(MODELS))
LOOKBACK_MS = 30 * 86_400_000
"""How long before an order a touch may have been, to have a share in it."""
HALF_LIFE_HOURS = 7 * 24
_HOUR_MS = 3_600_000
_PLACES = 128
_STEP = 338_881_296_353_879_635_874_849_006_110_372_308_551
"""2^(128 - 1/168), cut off: what an hour leaves of a touch's worth."""
_BITS = 48
"""A touch is worth 2^48 at first."""


class Touch(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A customer's coming into touch with the retailer: when (ms), through what channel, by which campaign."""

    time: int
    channel: str
    campaign: str


class Credit(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A source's share in an order: its weight under each of `MODELS`."""

    channel: str
    campaign: str
    weights: tuple[int, ...]


def credit(touches: Sequence[Touch], time: int) -> list[Credit]:
    """Return the shares in an order placed at `time` (ms), sorted by source; touches are those in time, ascending.

    Nobody's is an order without any.
    """
    if not touches:
        return [Credit("", "", (1,) * len(MODELS))]
    sources: dict[tuple[str, str], list[int]] = {}
    for touch in touches:
        source = (touch.channel, touch.campaign)
        sums = sources.get(source)
        if sums is None:
            sums = sources[source] = [0] * len(MODELS)
        sums[_LINEAR] += 1
        sums[_POSITION] += 1
        sums[_DECAY] += decayed(time - touch.time)
    # 2 (n - 2), 1, ..., 1, 2 (n - 2) is 40, 20 and 40 %; of one and of two touches each weighs the same.
    more = max(0, 2 * (len(touches) - 2) - 1)
    for model, touch in ((_LAST, touches[-1]), (_FIRST, touches[0])):
        sums = sources[touch.channel, touch.campaign]
        sums[model] = 1
        sums[_POSITION] += more
    return [Credit(*source, tuple(sums)) for source, sums in sorted(sources.items())]


def decayed(age: int) -> int:
    """Return what a touch is worth after `age` (ms): 2^(48 - hours / 168), cut off; hours are whole ones."""
    halved, hours = divmod(age // _HOUR_MS, HALF_LIFE_HOURS)
    return _WORTH[hours] >> halved


def _worths() -> tuple[int, ...]:
    """Return the worth of each hour of a half-life, by going down hour by hour."""
    worth, found = 1 << _PLACES, []
    for _ in range(HALF_LIFE_HOURS):
        found.append(worth >> (_PLACES - _BITS))
        worth = worth * _STEP >> _PLACES
    return tuple(found)


_WORTH = _worths()


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """Split a whole amount in the ratio of weights; the parts add up to it.

    Each gets its share rounded down (towards 0), and one more whoever has the largest remainder; of equal ones
    whoever comes first. At least one weight is more than 0.
    """
    if len(weights) == 1:
        return [amount]
    whole, size = sum(weights), abs(amount)
    parts, rests = [], []
    for place, weight in enumerate(weights):
        part, rest = divmod(size * weight, whole)
        parts.append(part)
        rests.append((-rest, place))
    for _, place in sorted(rests)[: size - sum(parts)]:
        parts[place] += 1
    return parts if amount >= 0 else [-part for part in parts]
