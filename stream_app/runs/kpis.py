"""Numbers and ratios for whoever looks at them: some days of them, grouped by what was asked for, exact.

- A number is asked for by any of its dimensions, and by `day` and `month`; a cohort's by `cohort`. A ratio by those of
  its `by`, and by `day` and `month`; those of cohorts are as they are.
- Some dimensions are kept apart though nobody asks (`APART`): euros and dollars have no sum, nor what two models say of
  the same order, nor the customers who were there in two months.
"""

from __future__ import annotations

from collections import defaultdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.numbers import (
    BY_NAME,
    MODELS,
    RATIOS,
    Unit,
    Window,
    day_text,
    lifetime_value,
    month_text,
    retention,
    worked_out,
)
from stream_app.domain.numbers.orders import DELAYS
from stream_app.wire import month_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from fractions import Fraction

    from stream_app.domain.numbers import Cell, Number

DAY, MONTH, COHORT = "day", "month", "cohort"
APART = ("model", "assisting_channel", "months_since", "currency")
"""Dimensions that are never added up."""
SHARE, SCORE = "share", "score"
RATIO_UNITS = {"time_to_purchase": Unit.TIME, "nps": SCORE, "lifetime_value": Unit.MONEY}
"""What ratios are in; all others are shares."""
COHORTS = frozenset({"retention", "lifetime_value"})
"""Ratios of cohorts: always by all that they have."""
_RATIOS = {ratio.name: ratio for ratio in RATIOS}
NAMES = (*BY_NAME, *_RATIOS)
UP_TO = tuple(name for _, name in DELAYS)
"""What the time to purchase is up to."""
_ORDER = {"model": MODELS, "up_to": UP_TO}
Group = tuple[str, ...]
_Moment = tuple[tuple[str, str], ...]
_FIRST, _LAST = -(1 << 62), 1 << 62
"""Windows before and after all others."""


class Figures(NamedTuple):
    """A number or ratio, by group.

    Attributes:
        name: its name.
        unit: count, money (millionths), time (ms), share or score.
        by: what it is grouped by.
        rows: group -> value, sorted by group; months_since as a number.
    """

    name: str
    unit: str
    by: tuple[str, ...]
    rows: dict[Group, int | Fraction]


class NotAsked(ValueError):  # noqa: N818 - a verdict
    """A number, or a dimension, that there isn't; the message says which there are."""


def known(name: str) -> str:
    """Return a number's or ratio's name; NotAsked when there is none of it."""
    if name in NAMES:
        return name
    near = get_close_matches(name, NAMES, 1)
    hint = f", did you mean {near[0]}?" if near else ":"
    raise NotAsked(f"there is no number or ratio {name!r}{hint} `raccord kpis --list` shows them all")


def dimensions(name: str) -> tuple[str, ...]:
    """Return what a number or ratio can be grouped by."""
    if name in COHORTS:
        return _RATIOS[name].by
    if name in _RATIOS:
        return (*_RATIOS[name].by, DAY, MONTH)
    number = BY_NAME[name]
    return (COHORT, *number.dimensions) if _of_cohorts(number) else (*number.dimensions, DAY, MONTH)


class Sums:
    """What cells have come to, by number: whoever asks for one doesn't look through all."""

    def __init__(self, cells: Mapping[Cell, int]) -> None:
        """Sort cells by their number."""
        self._cells: dict[str, dict[Cell, int]] = defaultdict(dict)
        for cell, amount in cells.items():
            self._cells[cell.number][cell] = amount

    def __len__(self) -> int:
        """Return how many cells there are."""
        return sum(map(len, self._cells.values()))

    def of(self, *names: str) -> Mapping[Cell, int]:
        """Return the cells of numbers."""
        found: dict[Cell, int] = {}
        for name in names:
            found |= self._cells.get(name, {})
        return found

    def days(self) -> tuple[int, int] | None:
        """Return the first and the last day, if there is one."""
        daily = (cells for name, cells in self._cells.items() if not _of_cohorts(BY_NAME[name]))
        days = {cell.window for cells in daily for cell in cells}
        return (min(days), max(days)) if days else None

    def within(self, first: int | None, last: int | None) -> Sums:
        """Return what is of some days, the first and the last too; of cohorts, those of these days' months."""
        if first is None and last is None:
            return self
        days = (_FIRST if first is None else first, _LAST if last is None else last)
        months = tuple(day if day in (_FIRST, _LAST) else month_from(day_text(day)[:7]) for day in days)
        found = {}
        for name, cells in self._cells.items():
            low, high = months if _of_cohorts(BY_NAME[name]) else days
            found.update({cell: amount for cell, amount in cells.items() if low <= cell.window <= high})
        return Sums(found)


def figures(name: str, sums: Sums, by: Sequence[str] | None = None) -> Figures:
    """Return a number or ratio by dimensions; None: all that it has, days and months added up.

    Raises:
        NotAsked: there is no such number, or it has no such dimension.
    """
    known(name)
    has = dimensions(name)
    asked = [one for one in has if one not in (DAY, MONTH)] if by is None else [*dict.fromkeys(by)]
    for one in asked:
        if one not in has:
            raise NotAsked(f"{name} is not by {one}: it can be by {', '.join(has)}")
    if name in COHORTS:
        return _cohorts(name, sums)
    names = (*asked, *(one for one in has if one in APART and one not in asked))
    if name in BY_NAME:
        return Figures(name, BY_NAME[name].unit, names, _sorted(names, _summed(name, sums.of(name), names)))
    rows: dict[Group, int | Fraction] = {}
    plain = tuple(one for one in names if one not in (DAY, MONTH))
    for moment, part in _by_time(sums.of(*_RATIOS[name].over, *_RATIOS[name].under), names).items():
        when = dict(moment)
        for group, value in worked_out(_RATIOS[name], part, plain).items():
            rest = iter(group)
            rows[tuple(when[one] if one in when else next(rest) for one in names)] = value
    return Figures(name, RATIO_UNITS.get(name, SHARE), names, _sorted(names, rows))


def earned(sums: Sums) -> dict[tuple[str, str], int]:
    """Return revenue less refunds by the channel of the orders, and currency."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for name, sign in (("revenue", 1), ("refunded", -1)):
        for (channel, currency), amount in figures(name, sums, ("channel", "currency")).rows.items():
            found[channel, currency] += sign * int(amount)
    return dict(found)


class Triangle(NamedTuple):
    """Retention or lifetime value of each cohort, month by month up to now.

    Attributes:
        name: of the ratio.
        title: what it is, for people.
        unit: share or money.
        currency: of money.
        rows: cohort (YYYY-MM) -> the values of its months, from that of the first visit on.
    """

    name: str
    title: str
    unit: str
    currency: str
    rows: dict[str, list[int | Fraction]]


def triangles(sums: Sums) -> list[Triangle]:
    """Return retention, and lifetime value in each currency, where there is any.

    Now is the last month in which any customer did anything. A month in which nobody came is one of 0; one in which
    nobody bought leaves a lifetime value as it was.
    """
    ages = _ages(sums)
    found = []
    kept = figures("retention", sums).rows
    if kept:
        # Who was never on a visit may still have been refunded something: a cohort of nobody keeps nobody.
        rows = {
            cohort: [kept.get((cohort, str(n)), 0) for n in range(age + 1)]
            for cohort, age in ages.items()
            if (cohort, "0") in kept
        }
        title = "retention by cohort and months since the first visit"
        found.append(Triangle("retention", title, SHARE, "", rows))
    values = figures("lifetime_value", sums).rows
    for currency in sorted({group[-1] for group in values}):
        rows = {}
        cohorts = {cohort for cohort, _, code in values if code == currency}
        for cohort in sorted(cohorts):
            age = ages[cohort]
            value: int | Fraction = 0
            rows[cohort] = [value := values.get((cohort, str(n), currency), value) for n in range(age + 1)]
        title = f"lifetime value by cohort and months since the first visit, {currency or 'no currency'} per customer"
        found.append(Triangle("lifetime_value", title, Unit.MONEY, currency, rows))
    return found


def _ages(sums: Sums) -> dict[str, int]:
    """Return how many months each cohort has lived."""
    cells = [*sums.of("active_customers", "customer_value")]
    now = max((cell.window + int(cell.dimensions[0]) for cell in cells), default=0)
    return {month_text(cohort): now - cohort for cohort in sorted({cell.window for cell in cells})}


def _cohorts(name: str, sums: Sums) -> Figures:
    by = _RATIOS[name].by
    cells = sums.of("active_customers", "customer_value")
    found = retention(cells) if name == "retention" else lifetime_value(cells)
    rows = {(month_text(cohort), *map(str, rest)): value for (cohort, *rest), value in found.items()}
    return Figures(name, RATIO_UNITS.get(name, SHARE), by, _sorted(by, rows))


def _summed(name: str, sums: Mapping[Cell, int], names: tuple[str, ...]) -> dict[Group, int | Fraction]:
    number = BY_NAME[name]
    rows: dict[Group, int | Fraction] = {}
    for cell, amount in sums.items():
        said = dict(zip(number.dimensions, cell.dimensions, strict=True)) | _when(number, cell.window)
        group = tuple(said[one] for one in names)
        rows[group] = rows.get(group, 0) + amount
    return rows


def _by_time(sums: Mapping[Cell, int], names: Iterable[str]) -> dict[_Moment, dict[Cell, int]]:
    """Return the sums apart by what of day and month is asked for."""
    asked = {*names} & {DAY, MONTH}
    parts: dict[_Moment, dict[Cell, int]] = defaultdict(dict)
    for cell, amount in sums.items():
        when = _when(BY_NAME[cell.number], cell.window) if asked else {}
        parts[tuple((one, text) for one, text in when.items() if one in asked)][cell] = amount
    return parts


def _when(number: Number, window: int) -> dict[str, str]:
    if _of_cohorts(number):
        return {COHORT: month_text(window)}
    day = day_text(window)
    return {DAY: day, MONTH: day[:7]}


def _of_cohorts(number: Number) -> bool:
    return number.window is Window.COHORT


def _sorted(names: tuple[str, ...], rows: Mapping[Group, int | Fraction]) -> dict[Group, int | Fraction]:
    """Return rows in the order of their groups; models and delays as they are listed, months as numbers."""
    return dict(sorted(rows.items(), key=lambda row: [rank(*one) for one in zip(names, row[0], strict=True)]))


def rank(name: str, value: str) -> tuple[int, str]:
    """Return what values of a dimension are sorted by."""
    if name == "months_since":
        return int(value), ""
    order = _ORDER.get(name, ())
    return (order.index(value) if value in order else len(order)), value
