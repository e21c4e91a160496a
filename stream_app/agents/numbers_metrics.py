"""The numbers on the metrics page: over all windows, a gauge for each value of their dimensions.

Each task has a `NumbersMetrics` of its own, and what it adds is taken off when the task goes: a worker's page shows
the cells of its partitions, and the sum over all workers is the number. It is fed with what is committed, never with
what an epoch may still roll back.

Bounded, in two ways:
- `MAX_CAMPAIGNS` campaigns keep their names on a page, the same in all numbers: who is named in spend and "other" in
  revenue would have a return on investment of -100 %. Who they are is decided once in a process (`Campaigns`): at a
  start, those that had figures last, of equally late ones the first by name, so that every process that knows the same
  decides the same; then whoever comes while there is room.
- A number has at most `MAX_SERIES` series on a page (for each attribution model, if it has these). What comes when
  there are `MAX_NAMED` is counted under "other": campaigns and cohorts first, and when that makes too many as well, all
  of its dimensions. At a start the latest windows come first, so it is the old that is "other".

Only here: the topic and `raccord kpis` have everything.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from stream_app.domain.numbers import BY_NAME, MODELS, Unit, Window, month_text
from stream_app.metrics import CAMPAIGNS_FOLDED, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import Gauge

    from stream_app.domain.numbers import Cell

MAX_CAMPAIGNS = 100
"""Campaigns that keep their names."""
MAX_FOLDED = 10_000
"""Campaigns beyond these that are told apart, to say how many they are."""
MAX_SERIES = 500
MAX_NAMED = 400
"""Series of a number, at most; and of these, those that are what they are called. For each model, where there are any.

So a campaign has room for four pairs of channel and currency, on average.
"""
OTHER = "other"
CAMPAIGN, MODEL = "campaign", "model"
ALIKE_DAYS = 30
"""Campaigns whose last figures are no further apart are equally late: two processes see different figures of each."""
FREE = frozenset({CAMPAIGN, "cohort", "months_since"})
"""Dimensions that grow without a bound; the others have few values, unless somebody makes them up."""
_MICROS = 1_000_000
Labels = tuple[str, ...]


class Campaigns:
    """Which campaigns keep their names, in all numbers of this process."""

    def __init__(self, folded: Gauge, named: int = MAX_CAMPAIGNS, counted: int = MAX_FOLDED) -> None:
        """Name nobody so far; show by a gauge how many aren't named."""
        self._gauge, self._most, self._counted = folded, named, counted
        self._named: set[str] = set()
        self._folded: set[str] = set()

    def of(self, name: str) -> str:
        """Return what a campaign is called; the same as long as the process lives. None ("") needs no room."""
        if not name or name in self._named:
            return name
        if len(self._named) < self._most:
            self._named.add(name)
            return name
        if name not in self._folded and len(self._folded) < self._counted:
            self._folded.add(name)
            self._gauge.set(len(self._folded))
        return OTHER

    def admit(self, latest: Mapping[str, int]) -> None:
        """Name campaigns by when they had figures last (days), as far as there is room."""
        for name in sorted(latest, key=lambda one: (-(latest[one] // ALIKE_DAYS), one)):
            self.of(name)


class Series:
    """The series of one number on this worker's page, over all of its tasks."""

    def __init__(
        self, name: str, gauge: Gauge, campaigns: Campaigns, named: int = MAX_NAMED, most: int = MAX_SERIES
    ) -> None:
        """Show a number by a gauge."""
        number = BY_NAME[name]
        self._cohorts = number.window is Window.COHORT
        names = ("cohort", *number.dimensions) if self._cohorts else number.dimensions
        self.campaign = names.index(CAMPAIGN) if CAMPAIGN in names else None
        self._campaigns = campaigns
        self._free = tuple(one in FREE for one in names)
        self._others = (OTHER,) * len(names)
        self._scale = _MICROS if number.unit is Unit.MONEY else 1
        self._gauge = gauge
        room = len(MODELS) if MODEL in names else 1
        self._named, self._most = room * named, room * most
        self._sums: dict[Labels, int] = {}
        self._children: dict[Labels, Gauge] = {}

    def labels(self, cell: Cell) -> Labels:
        """Return what a cell's series is called, if it has one of its own."""
        return (month_text(cell.window), *cell.dimensions) if self._cohorts else cell.dimensions

    def of(self, labels: Labels) -> Labels:
        """Return which series that is; the same as long as the process lives."""
        if self.campaign is not None:
            place = self.campaign
            labels = (*labels[:place], self._campaigns.of(labels[place]), *labels[place + 1 :])
        if labels in self._sums or len(self._sums) < self._named:
            return labels
        folded = tuple(OTHER if free else one for one, free in zip(labels, self._free, strict=True))
        # The last one is for what has no room even so.
        return folded if folded in self._sums or len(self._sums) < self._most - 1 else self._others

    def add(self, labels: Labels, amount: int) -> None:
        """Add to a series. One that was begun is never given up, or cells would change theirs."""
        whole = self._sums[labels] = self._sums.get(labels, 0) + amount
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._gauge.labels(*labels)
        child.set(whole / self._scale)


CAMPAIGNS = Campaigns(CAMPAIGNS_FOLDED)
SERIES = {name: Series(name, gauge, CAMPAIGNS) for name, gauge in NUMBERS.items()}


class NumbersMetrics:
    """What one task's cells add to the metrics page."""

    def __init__(self, series: Mapping[str, Series] = SERIES, campaigns: Campaigns = CAMPAIGNS) -> None:
        """Add nothing so far."""
        self._series, self._campaigns = series, campaigns
        self._added: dict[str, dict[Labels, int]] = defaultdict(dict)

    def load(self, cells: Iterable[tuple[Cell, int]]) -> None:
        """Take in the cells of a task, and what each has come to, when it starts."""
        latest: dict[tuple[str, Labels], int] = {}
        whole: dict[tuple[str, Labels], int] = defaultdict(int)
        campaigns: dict[str, int] = {}
        for cell, amount in cells:
            series = self._series[cell.number]
            if series.campaign is not None:
                name = cell.dimensions[series.campaign]
                campaigns[name] = max(cell.window, campaigns.get(name, cell.window))
            of = (cell.number, series.labels(cell))
            whole[of] += amount
            if cell.window > latest.get(of, -1):
                latest[of] = cell.window
        self._campaigns.admit(campaigns)
        for of in sorted(latest, key=lambda one: -latest[one]):
            self._add(*of, whole[of])

    def change(self, cell: Cell, difference: int) -> None:
        """Take in by how much a cell has changed, once that is committed."""
        self._add(cell.number, self._series[cell.number].labels(cell), difference)

    def close(self) -> None:
        """Take off all that was added: the task goes, and its cells are on another worker's page."""
        for name, added in self._added.items():
            for labels, amount in added.items():
                self._series[name].add(labels, -amount)
        self._added.clear()

    def _add(self, name: str, labels: Labels, amount: int) -> None:
        series, added = self._series[name], self._added[name]
        place = series.of(labels)
        series.add(place, amount)
        added[place] = added.get(place, 0) + amount
