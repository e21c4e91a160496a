"""The retailer's campaigns: on each medium one runs after the other, a week each.

Which ones there are depends on the seed alone, and any day can be asked for without those before it.
"""

from __future__ import annotations

import datetime as dt
from random import Random
from typing import TYPE_CHECKING, Literal

import msgspec

from connectors.simulators.chances import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator

Medium = Literal["email", "sms", "push", "social", "site"]

CHANNELS: dict[Medium, str] = {
    "email": "email",
    "sms": "sms",
    "push": "app",
    "social": "social",
    "site": "web",
}
"""Medium -> the channel that it is on, as events name it. On the site are promotions; they cost nothing."""
RUNS = 7
"""Days for which a campaign runs."""
THEMES = ("spring", "garden", "kitchen", "back-to-school", "cosy-home", "clearance", "new-in", "outdoor")
BUDGETS = (250, 400, 600, 1_000, 1_500)


class Campaign(msgspec.Struct, frozen=True):
    """A campaign; `first` and `last` are the times (ms) at which its first and last day begin, UTC."""

    campaign_id: str
    name: str
    medium: Medium
    first: int
    last: int
    budget: int

    @property
    def channel(self) -> str:
        """The channel that it is on."""
        return CHANNELS[self.medium]


class Campaigns:
    """All campaigns of a simulation."""

    def __init__(self, seed: int) -> None:
        """Plan them; the media begin theirs on different days of the week."""
        self._seed = seed
        self._shift = {medium: Random(f"{seed}/campaigns/{medium}").randrange(RUNS) for medium in CHANNELS}
        self._made: dict[tuple[Medium, int], Campaign] = {}

    def on(self, medium: Medium, time: int) -> Campaign:
        """Return the campaign that runs on a medium at a time (ms)."""
        number = (time // DAY - self._shift[medium]) // RUNS
        made = self._made.get((medium, number))
        if made is None:
            made = self._made[medium, number] = self._make(medium, number)
        return made

    def running(self, time: int) -> Iterator[Campaign]:
        """Yield all that run at a time (ms)."""
        for medium in CHANNELS:
            yield self.on(medium, time)

    def _make(self, medium: Medium, number: int) -> Campaign:
        random = Random(f"{self._seed}/campaigns/{medium}/{number}")
        first = (self._shift[medium] + number * RUNS) * DAY
        theme, day = random.choice(THEMES), date_of(first)
        return Campaign(
            f"{medium}-{theme}-{day:%Y%m%d}",
            f"{theme.replace('-', ' ').capitalize()}, {medium} from {day:%d %B}",
            medium,
            first,
            first + (RUNS - 1) * DAY,
            random.choice(BUDGETS),
        )


def date_of(time: int) -> dt.date:
    """Return the date of a time (ms), UTC."""
    return dt.datetime.fromtimestamp(time / 1000, dt.UTC).date()
