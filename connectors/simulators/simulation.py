"""The simulation: a seed and a few numbers in, the records of all channels in order of arrival out."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING

from connectors.simulators.campaigns import Campaigns
from connectors.simulators.catalogue import catalogue
from connectors.simulators.chances import DAY
from connectors.simulators.consent import pass_on
from connectors.simulators.diary import Diary
from connectors.simulators.errands import live_a_day
from connectors.simulators.population import Population
from connectors.simulators.promotions import show_promotions
from connectors.simulators.sequels import add_sequels
from connectors.simulators.settings import Habits, IdentityNoise, Noise
from connectors.simulators.transit import Transit
from connectors.simulators.truth import Ledger, TrueShopper, Truth
from connectors.simulators.walks import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.planned import Planned

DEFAULT_START = 1_740_960_000_000  # Monday 2025-03-03T00:00:00Z
_AT = attrgetter("at")


class Simulation:
    """Seeded omnichannel shoppers. The same arguments give the same records, byte for byte.

    Each shopper has her own random stream: more shoppers or other noise leave what she does unchanged.
    """

    def __init__(
        self,
        seed: int,
        *,
        shoppers: int,
        days: int,
        start: int = DEFAULT_START,
        noise: Noise | None = None,
        habits: Habits | None = None,
        identity_noise: IdentityNoise | None = None,
    ) -> None:
        """Plan a simulation.

        Args:
            seed: any integer.
            shoppers: how many people; some of them may not do anything in a short time.
            days: how many days of 24 hours.
            start: when the first day begins, ms since the epoch. What shoppers do ends `days` later; late
                arrivals and copies come after that.
            noise: what goes wrong on the way; None: the defaults of `Noise`.
            habits: how shoppers behave; None: the defaults of `Habits`.
            identity_noise: what makes people hard to tell apart; None: the defaults of `IdentityNoise`.

        Raises:
            ValueError: for fewer than one shopper or day, or a start before the epoch.
        """
        if shoppers < 1 or days < 1 or start < 0:
            raise ValueError(
                f"a simulation needs at least 1 shopper and 1 day, from 1970 on; "
                f"got {shoppers} shoppers, {days} days, start {start} ms"
            )
        self.seed = seed
        self.shoppers = shoppers
        self.days = days
        self.start = start
        self.end = start + days * DAY
        self.noise = Noise() if noise is None else noise
        self.habits = Habits() if habits is None else habits
        self.identity_noise = IdentityNoise() if identity_noise is None else identity_noise
        self._truth: Truth | None = None

    def records(self) -> Iterator[Planned]:
        """Yield the records in order of arrival (`at`); made a day at a time, so memory is about a day's."""
        goods, campaigns = catalogue(self.seed), Campaigns(self.seed)
        population = Population(
            self.seed, self.habits, self.identity_noise, goods, start=self.start, end=self.end
        )
        people = list(population.shoppers(self.shoppers))
        ledger = Ledger()
        transit = Transit(self.seed, self.noise, ledger)
        pending: list[Planned] = []
        for day in range(self.start, self.end, DAY):
            for shopper in people:
                diary = Diary(shopper)
                live_a_day(diary, day, goods, campaigns, self.habits)
                add_sequels(diary, goods, self.habits)
                show_promotions(diary, goods, campaigns, self.habits)
                walk(diary, day, self.habits)
                pass_on(diary, self.habits)
                for act in diary.acts:
                    if act.time < self.end:
                        pending.extend(transit.carry(act))
            pending.sort(key=_AT)
            due = bisect_left(pending, day + DAY, key=_AT)
            yield from pending[:due]
            del pending[:due]
        yield from pending
        self._truth = ledger.truth(
            self.seed,
            (TrueShopper(one.name, one.household, one.identifiers, one.mistyped) for one in people),
            population.recycled,
        )

    @property
    def truth(self) -> Truth:
        """The truth about all records; runs the simulation once more if no run has come to its end yet."""
        if self._truth is None:
            for _ in self.records():
                pass
        if self._truth is None:  # pragma: no cover - records() sets it at its end
            raise AssertionError
        return self._truth
