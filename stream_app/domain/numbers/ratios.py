"""Ratios, worked out of sums when they are shown; exact, as fractions.

What is handed in are sums: of all windows, or of those that are to be looked at. A ratio is worked out for groups: the
cells that have the same in its dimensions `by`, whatever their window. A number that doesn't have one of these (spend
has no model) counts in each group that agrees with it in the others. Where there is nothing below the line there is no
ratio.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING

from stream_app.domain.numbers.attribution import MODELS
from stream_app.domain.numbers.definitions import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.numbers.cells import Cell
    from stream_app.domain.numbers.definitions import Ratio

Group = tuple[str, ...]


def worked_out(
    ratio: Ratio, sums: Mapping[Cell, int], by: tuple[str, ...] | None = None
) -> dict[Group, Fraction]:
    """Return a ratio for each group; `by`: some of its dimensions, None: all. Not for cohorts'."""
    names = ratio.by if by is None else by
    over = [(factor, *_grouped(name, sums, names)) for name, factor in ratio.over.items()]
    under = [(factor, *_grouped(name, sums, names)) for name, factor in ratio.under.items()]
    found = {}
    for group in sorted(_groups(names, [(has, one) for _, has, one in (*over, *under)])):
        whole = _total(group, under)
        if whole:
            found[group] = Fraction(_total(group, over), whole)
    return found


def retention(sums: Mapping[Cell, int]) -> dict[tuple[int, int], Fraction]:
    """Return the share of a cohort (month) that was active so many months later."""
    active = _active(sums)
    return {
        (cohort, months): Fraction(count, active[cohort, 0])
        for (cohort, months), count in sorted(active.items())
        if active.get((cohort, 0))
    }


def lifetime_value(sums: Mapping[Cell, int]) -> dict[tuple[int, int, str], Fraction]:
    """Return what a cohort's (month's) customers were worth on average, up to so many months later, by currency."""
    active = _active(sums)
    values: dict[tuple[int, str], dict[int, int]] = defaultdict(dict)
    for cell, amount in sums.items():
        if cell.number == "customer_value":
            since, code = cell.dimensions
            values[cell.window, code][int(since)] = amount
    found = {}
    for (cohort, currency), by_month in sorted(values.items()):
        size, whole = active.get((cohort, 0)), 0
        for months in sorted(by_month):
            whole += by_month[months]
            if size:
                found[cohort, months, currency] = Fraction(whole, size)
    return found


def _active(sums: Mapping[Cell, int]) -> dict[tuple[int, int], int]:
    return {
        (cell.window, int(cell.dimensions[0])): count
        for cell, count in sums.items()
        if cell.number == "active_customers"
    }


def _grouped(
    name: str, sums: Mapping[Cell, int], by: tuple[str, ...]
) -> tuple[tuple[int, ...], dict[Group, int]]:
    """Return which places of a group a number knows, and its sums by what is there."""
    own = BY_NAME[name].dimensions
    known = tuple(place for place, dimension in enumerate(by) if dimension in own)
    places = [own.index(by[place]) for place in known]
    found: dict[Group, int] = defaultdict(int)
    for cell, amount in sums.items():
        if cell.number == name:
            found[tuple(cell.dimensions[place] for place in places)] += amount
    return known, dict(found)


def _groups(by: tuple[str, ...], parts: Iterable[tuple[tuple[int, ...], dict[Group, int]]]) -> set[Group]:
    """Return all groups that a number has something in; who has no model is in each model's."""
    found: set[Group] = set()
    for known, sums in parts:
        missing = set(range(len(by))) - {*known}
        if not missing:
            found |= sums.keys()
        elif [by[place] for place in missing] == ["model"]:
            (at,) = missing
            found |= {(*one[:at], model, *one[at:]) for one in sums for model in MODELS}
    return found


def _total(group: Group, terms: Iterable[tuple[int, tuple[int, ...], dict[Group, int]]]) -> int:
    return sum(factor * sums.get(tuple(group[place] for place in known), 0) for factor, known, sums in terms)
