"""Figures drawn in a terminal: bars for what can be compared, lines of columns over days, a heat table for cohorts.

All of it is text: it can be read without colours, in a file, and in 80 columns.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from stream_app.cli.kpis_text import currency_of, plain, shown, titled, words
from stream_app.domain.numbers import Unit
from stream_app.runs.kpis import DAY, MONTH, NotAsked, figures, rank, triangles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from stream_app.cli.kpis_text import Value
    from stream_app.runs.kpis import Figures, Sums, Triangle

OVERVIEW = (
    ("visits", (DAY,)),
    ("orders", (DAY,)),
    ("conversion", (DAY,)),
    ("revenue", (DAY,)),
    ("conversion", ("channel",)),
    ("conversion", ("device",)),
    ("attributed_revenue", ("channel",)),
    ("roi", ("campaign",)),
    ("ctr", ("campaign",)),
    ("trigger_return_rate", ("rule",)),
    ("trigger_purchase_rate", ("rule",)),
    ("assisted_orders", ("assisting_channel", "channel")),
    ("cross_channel_orders", ("direction",)),
    ("csat", ("channel",)),
    ("nps", ("channel",)),
    ("purchase_delays", ("up_to",)),
)
"""What is drawn when nothing is asked for, beside the cohorts."""
TOP = 12
"""Bars of one chart; more are counted in a line beneath."""
_LABEL, _VALUE = 28, 14
"""Columns for what a bar is of, and for its value."""
_COLUMNS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SHADES = " ░▒▓█"
_HEAT = ("", "on grey15", "on dark_green", "on green4", "black on green3")
_PANELS = ("model", "currency")
"""Each value of these has a chart of its own."""


def drawn_overview(sums: Sums, width: int) -> Iterator[Table | Text]:
    """Yield the charts of what is asked every day, those that there is anything for."""
    for name, by in OVERVIEW:
        yield from drawn(figures(name, sums, by), width, only="last_touch")
    for triangle in triangles(sums):
        yield from _heat(triangle, width)


def drawn_cohorts(name: str, sums: Sums, width: int) -> Iterator[Table | Text]:
    """Yield the heat tables of a ratio of cohorts."""
    for triangle in triangles(sums):
        if triangle.name == name:
            yield from _heat(triangle, width)


def drawn(found: Figures, width: int, only: str | None = None) -> Iterator[Table | Text]:
    """Yield the charts of a number or ratio: over days or months if it is by these, else bars.

    Args:
        found: its figures.
        width: of the terminal.
        only: the only model that is drawn.
    """
    times = [one for one in (DAY, MONTH) if one in found.by]
    if len(times) > 1:
        raise NotAsked(f"{found.name}: a chart is over days or over months, not both")
    parts = [one for one in found.by if one in _PANELS]
    apart = [found.by.index(one) for one in parts]
    panels: dict[tuple[str, ...], dict[tuple[str, ...], Value]] = defaultdict(dict)
    for group, value in found.rows.items():
        panels[tuple(group[place] for place in apart)][group] = value
    for panel in sorted(
        panels, key=lambda one: [rank(name, value) for name, value in zip(parts, one, strict=True)][::-1]
    ):
        rows = panels[panel]
        if only is not None and "model" in found.by and only not in panel:
            continue
        part = found._replace(rows=rows)
        title = ", ".join([words(found.name), *(words(plain(one)) for one in panel)])
        places = [place for place, one in enumerate(found.by) if one not in _PANELS and one not in times]
        if times:
            yield from _over_time(title, part, found.by.index(times[0]), places, width)
        else:
            of = " and ".join(words(found.by[place]) for place in places)
            yield from _bars(f"{title} by {of}" if of else title, part, places, width)


def _over_time(
    title: str, found: Figures, when: int, places: Sequence[int], width: int
) -> Iterator[Table | Text]:
    series: dict[tuple[str, ...], dict[str, Value]] = defaultdict(dict)
    for group, value in found.rows.items():
        series[tuple(group[place] for place in places)][group[when]] = value
    times = _all_times({group[when] for group in found.rows})
    groups = sorted(series, key=lambda one: (-sum(series[one].values()), one))
    labels = [" / ".join(map(plain, group)) or "all" for group in groups[:TOP]]
    code = currency_of(found, next(iter(found.rows)))
    ends = {
        group: [shown(end(_filled(series[group], times, found.unit)), found.unit, code) for end in (min, max)]
        for group in groups[:TOP]
    }
    sides = min(_LABEL, max(map(cell_len, labels))) + 2 * max(
        8, *(len(end) for both in ends.values() for end in both)
    )
    cut = times[-max(10, width - sides - 3) :]
    yield titled(f"{title} by {found.by[when]}, {cut[0]} to {cut[-1]}")
    made = _grid(("", "", "lowest", "highest"))
    for group, label in zip(groups, labels, strict=False):
        made.add_row(
            label, Text(_columns([series[group].get(one) for one in cut]), style="cyan"), *ends[group]
        )
    yield made
    yield from _left_out(len(groups))


def _filled(values: Mapping[str, Value], times: Iterable[str], unit: str) -> list[Value]:
    """Return the values over time: a day without a count is one of 0, a day without a ratio is none."""
    counted = unit in (Unit.COUNT, Unit.MONEY)
    return [values.get(one, 0) for one in times if counted or one in values]


def _columns(values: Sequence[Value | None]) -> str:
    """Return a line of columns, the highest value as high as can be, 0 the lowest; blank where there is none."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0), max(known, default=0)
    low, high = min(0, low), max(0, high)
    span = Fraction(high - low) or Fraction(1)
    last = len(_COLUMNS) - 1
    return "".join(
        " " if one is None else _COLUMNS[round(Fraction(one - low) / span * last)] for one in values
    )


def _all_times(known: Collection[str]) -> list[str]:
    """Return all days (or months) from the first to the last: those without a figure have their place too."""
    size = len(next(iter(known)))
    first, last = (date.fromisoformat(f"{one}-01"[:10]) for one in (min(known), max(known)))
    days = ((first + timedelta(n)).isoformat() for n in range((last - first).days + 1))
    return [*dict.fromkeys(one[:size] for one in days)]


def _bars(title: str, found: Figures, places: Sequence[int], width: int) -> Iterator[Table | Text]:
    counted = found.unit in (Unit.COUNT, Unit.MONEY)
    rows = {group: value for group, value in found.rows.items() if value or not counted}
    if not rows:
        return
    ordered = [*rows] if "up_to" in found.by else sorted(rows, key=lambda one: (-rows[one], one))
    low, high = min(0, *rows.values()), max(0, *rows.values())
    labels = {group: _label(group, places) for group in ordered[:TOP]}
    room = max(10, width - min(_LABEL, max(map(cell_len, labels.values()))) - _VALUE - 3)
    yield titled(title)
    made = _grid(("", "", ""))
    for group, label in labels.items():
        value = rows[group]
        bar = Text(_bar(value, low, high, room), style="red" if value < 0 else "cyan")
        made.add_row(label, bar, shown(value, found.unit, currency_of(found, group)))
    yield made
    yield from _left_out(len(ordered))


def _bar(value: Value, low: Value, high: Value, room: int) -> str:
    """Return a bar from 0 to a value, on a scale from low to high; what is below 0 goes to the left, in whole signs."""
    if not value:
        return ""
    scale = Fraction(room * 8) / (Fraction(high) - Fraction(low))
    left = round(-low * scale) // 8
    if value < 0:
        size = max(1, min(left, round(-value * scale) // 8))
        return (" " * (left - size) + "▓" * size) if left else "▓"
    whole, eighths = divmod(max(1, round(value * scale)), 8)
    return " " * left + "█" * whole + _EIGHTHS[eighths].strip()


def _heat(triangle: Triangle, width: int) -> Iterator[Table | Text]:
    """Yield a triangle of cohorts: the darker the more. Beyond the first month, which is 100 % by definition."""
    unit, code, whole = triangle.unit, triangle.currency, triangle.unit != Unit.MONEY
    cohorts = [*triangle.rows][-TOP:]
    texts = {one: [shown(value, unit, code, whole=whole) for value in triangle.rows[one]] for one in cohorts}
    cell = max(len(text) for one in cohorts for text in texts[one]) + 3
    columns = max(1, min(max(map(len, texts.values())), (width - 9) // cell))
    skipped = 1 if triangle.unit != Unit.MONEY else 0
    highest = max((value for one in cohorts for value in triangle.rows[one][skipped:columns]), default=0)
    yield titled(triangle.title)
    made = _grid(("cohort", *map(str, range(columns))), heat=True)
    for cohort in cohorts:
        values = triangle.rows[cohort][:columns]
        made.add_row(
            cohort,
            *(
                _shaded(text, value, highest, cell)
                for text, value in zip(texts[cohort], values, strict=False)
            ),
        )
    yield made
    if columns < max(map(len, texts.values())) or len(triangle.rows) > TOP:
        yield Text(f"later months and earlier cohorts: raccord kpis {triangle.name}")


def _shaded(text: str, value: Value, highest: Value, cell: int) -> Text:
    last = len(_SHADES) - 1
    level = 0 if value <= 0 or not highest else max(1, min(last, round(Fraction(value) / highest * last)))
    return Text(f"{text.rjust(cell - 2)}{_SHADES[level]}", style=_HEAT[level])


def _label(group: Sequence[str], places: Sequence[int]) -> str:
    return " / ".join(plain(group[place]) for place in places) or "all"


def _left_out(count: int) -> Iterable[Text]:
    return [Text(f"and {count - TOP} more")] if count > TOP else []


def _grid(columns: Sequence[str], *, heat: bool = False) -> Table:
    made = Table(
        box=None,
        pad_edge=False,
        padding=(0, 1 if not heat else 0, 0, 0),
        show_header=any(columns),
    )
    for place, column in enumerate(columns):
        made.add_column(
            column,
            justify="right" if (heat and place) or place > 1 else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=_LABEL if not place and not heat else None,
        )
    return made
