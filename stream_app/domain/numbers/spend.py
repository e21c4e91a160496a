"""Spend: what a campaign cost on a day, as a reference feed says; no customer's.

One record for each day, channel, campaign and currency; a later one replaces it. Of a change goes out the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.numbers.cells import NOTHING, Cell
from stream_app.domain.numbers.telling import difference

if TYPE_CHECKING:
    from stream_app.domain.numbers.cells import Increments


class Spend(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What was spent: the day (from 1970-01-01), for what channel and campaign, how much (millionths)."""

    day: int
    channel: str
    campaign: str
    currency: str
    amount: int


def spent(known: Spend | None, now: Spend | None) -> Increments:
    """Return what changes with a record that comes in place of the one that is known; None: there is none."""
    return difference(_cells(known), _cells(now))


def _cells(spend: Spend | None) -> Increments:
    if spend is None or not spend.amount:
        return NOTHING
    return {Cell("spend", spend.day, (spend.channel, spend.campaign, spend.currency)): spend.amount}
