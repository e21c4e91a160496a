"""Figures as people read them: money with its currency's decimals, shares in percent, times in days; and as JSON.

Rounded is only what is shown, half to even, once, from the exact value. What producers named (campaigns, say) is shown
without what could steer a terminal.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from stream_app.domain.numbers import Unit
from stream_app.runs.kpis import SCORE, SHARE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_app.runs.kpis import Figures

Value = int | Fraction
NOTHING = "-"
"""Shown where there is nothing to show, or nothing was said."""
FITS = 80
"""Columns that a table with long texts is made to fit into."""
CUT, _SHORTEST = 24, 8
"""Columns of a text that is cut off, at most and at least."""
_GAP = 2
_MICROS = 1_000_000
_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS_OF = {code: decimals for decimals, codes in _DECIMALS.items() for code in codes.split()}
"""ISO 4217; all others have two."""
_TIMES = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def shown(value: Value | None, unit: str, currency: str = "", *, whole: bool = False) -> str:
    """Return a value as text; `whole`: money without its decimals, shares without theirs."""
    if value is None:
        return NOTHING
    if unit == Unit.MONEY:
        return rounded(Fraction(value, _MICROS), 0 if whole else _DECIMALS_OF.get(currency.upper(), 2))
    if unit == Unit.TIME:
        return _time(value)
    if unit == SHARE:
        return f"{rounded(value * 100, 0 if whole else 1)}%"
    return rounded(value, 1) if unit == SCORE else f"{value:,}"


def rounded(value: Value, decimals: int) -> str:
    """Return a number with so many decimals and commas between thousands; half to even, exact before that."""
    scaled = round(Fraction(value) * 10**decimals)
    sign, digits = "-" if scaled < 0 else "", f"{abs(scaled):0{decimals + 1}}"
    head, tail = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    return f"{sign}{int(head):,}{'.' if decimals else ''}{tail}"


def plain(text: str) -> str:
    """Return what somebody named, for a terminal: nothing unprintable in it, and never empty."""
    return (
        "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text) or NOTHING
    )


def words(name: str) -> str:
    """Return a name in words."""
    return name.replace("_", " ")


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    texts: int = 1,
    total: bool = False,
    cut: bool = True,
) -> Group | None:
    """Return a table; None if there are no rows.

    Args:
        title: what it is about.
        columns: their heads.
        rows: their cells.
        texts: so many columns come first that are texts; the others are figures, and never cut.
        total: the last row is the sum of the others.
        cut: cut long texts off, instead of going on in the next line.
    """
    lines = [[*map(plain, row[:texts]), *row[texts:]] for row in rows]
    if not lines:
        return None
    heads = [*map(plain, columns)]
    widths = _widths([[head] for head in heads], lines)
    if sum(widths) + _GAP * (len(heads) - 1) > FITS:
        widths = _widths([head.split() for head in heads], lines)  # a word a line
    others = sum(widths) - widths[0] + _GAP * (len(heads) - 1)
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, _GAP - 1, 0, 0))
    for place, (head, width) in enumerate(zip(heads, widths, strict=True)):
        if place >= texts:
            made.add_column(head, justify="right", width=width)
        elif cut:
            most = CUT if place else max(_SHORTEST, min(CUT, FITS - others))
            made.add_column(head, overflow="ellipsis", no_wrap=True, max_width=most)
        else:
            made.add_column(head, overflow="fold")
    for number, line in enumerate(lines, 1):
        made.add_row(*line, style="bold" if total and number == len(lines) else None)
    return Group(titled(title), made)


def _widths(heads: Sequence[Sequence[str]], lines: Sequence[Sequence[str]]) -> list[int]:
    """Return how wide columns must be for the parts of their heads, and for what is in them."""
    columns = zip(heads, zip(*lines, strict=True), strict=True)
    return [max(cell_len(text) for text in (*head, *column)) for head, column in columns]


def titled(title: str) -> Text:
    """Return a title, apart from what stands before it."""
    return Text(f"\n{plain(title)}", style="bold")


def table_of(found: Figures) -> Group | None:
    """Return a number or ratio as a table, all of it."""
    columns = [*map(words, found.by), words(found.name)]
    rows = (
        [*group, shown(value, found.unit, currency_of(found, group))] for group, value in found.rows.items()
    )
    return table(words(found.name), columns, rows, texts=len(found.by), cut=False)


def currency_of(found: Figures, group: tuple[str, ...]) -> str:
    """Return the currency of a group, "" where it has none."""
    return group[found.by.index("currency")] if "currency" in found.by else ""


def json_of(found: Figures) -> Iterable[dict[str, Any]]:
    """Yield a number's or ratio's figures for programs, exact: a whole number or a fraction, as text."""
    for group, value in found.rows.items():
        yield {
            "name": found.name,
            "unit": str(found.unit),
            "dimensions": dict(zip(found.by, group, strict=True)),
            "value": str(value),
        }


def _time(value: Value) -> str:
    for size, name in _TIMES:
        if not -size < value < size:
            return f"{rounded(Fraction(value, size), 1)} {name}"
    return f"{rounded(value, 0)} ms"
