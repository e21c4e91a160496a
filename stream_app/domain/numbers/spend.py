"""Spend: what a campaign cost on a day, as a reference feed says; no customer's.

A bill is replaced by a later one with its `spend_id`; bills for one day, channel, campaign and currency add up. Of a
change goes out the difference.

    {"spend_id": "2026-03-01/email/spring/EUR", "day": "2026-03-01", "channel": "email",
     "campaign_id": "spring", "currency": "EUR", "amount": 120.5}

`campaign_id` may be absent: spent for none in particular. The others may not.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.numbers.cells import NOTHING, Cell
from stream_app.domain.numbers.telling import difference
from stream_app.domain.profile.values import MAX_AMOUNT, MAX_TEXT, currency_of, micros, text

if TYPE_CHECKING:
    from stream_app.domain.numbers.cells import Increments

SPEND = "spend"
"""The kind of the feed's items."""
_EPOCH = date(1970, 1, 1).toordinal()
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class SpendError(ValueError):
    """A row that says no spend. It says which field is wrong, and holds none of the row's values."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field} {detail}")
        self.field = field


class Spend(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What was spent: the day (from 1970-01-01), for what channel and campaign, how much (millionths)."""

    day: int
    channel: str
    campaign: str
    currency: str
    amount: int


def read_spend(row: dict[str, Any]) -> Spend:
    """Read a row of the feed.

    Raises:
        SpendError: it says no spend.
    """
    channel, currency = text(row.get("channel")), currency_of(row)
    if channel is None:
        raise SpendError("channel", f"must be a text of 1 to {MAX_TEXT} characters")
    if currency is None:
        raise SpendError("currency", "must be a code of ISO 4217, as EUR")
    amount = micros(row.get("amount"))
    if amount is None:
        raise SpendError("amount", f"must be a number below {MAX_AMOUNT}")
    said = row.get("campaign_id")
    campaign = "" if said is None or said == "" else text(said)
    if campaign is None:
        raise SpendError("campaign_id", f"must be a text of up to {MAX_TEXT} characters; none: leave it out")
    return Spend(_day(row.get("day")), channel, campaign, currency, amount)


def _day(value: Any) -> int:
    try:
        if type(value) is str and _DAY.fullmatch(value):
            return date.fromisoformat(value).toordinal() - _EPOCH
    except ValueError:
        pass
    raise SpendError("day", "must be a date in ISO 8601, as 2026-12-25")


def spent(known: Spend | None, now: Spend | None) -> Increments:
    """Return what changes with a record that comes in place of the one that is known; None: there is none."""
    return difference(_cells(known), _cells(now))


def _cells(spend: Spend | None) -> Increments:
    if spend is None or not spend.amount:
        return NOTHING
    return {Cell("spend", spend.day, (spend.channel, spend.campaign, spend.currency)): spend.amount}
