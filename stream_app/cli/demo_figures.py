"""The figures that a demo shows, on one screen: each channel, each campaign, and what came of our own triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.cli.kpis_overview import returns, triggers
from stream_app.cli.kpis_text import json_of, shown, table
from stream_app.domain.numbers import Unit
from stream_app.runs.kpis import SHARE, figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Group

    from stream_app.cli.kpis_text import Value
    from stream_app.runs.figures_check import Checked
    from stream_app.runs.kpis import Sums

MODEL = "last_touch"
RULES = 8
"""Rules that are shown, those that sent most."""
_REPORTED = (
    ("visits", ("channel",)),
    ("orders", ("channel",)),
    ("conversion", ("channel",)),
    ("attributed_revenue", ("channel",)),
    ("roi", ("campaign",)),
    ("ctr", ("kind", "campaign")),
    ("triggers_sent", ("rule",)),
    ("triggers_taken_back", ("rule",)),
    ("trigger_return_rate", ("rule",)),
    ("trigger_purchase_rate", ("rule",)),
)
"""What the report has of them."""


def shown_figures(sums: Sums) -> Iterator[Group | str]:
    """Yield the tables that have something in them, and a line about what they leave out."""
    for part in (_channels(sums), *returns(sums), *_triggers(sums)):
        if part is not None:
            yield part


def reported(sums: Sums, checked: Checked) -> dict[str, Any]:
    """Return the figures for the report: as `raccord kpis --json` has them, and how they compare with the books."""
    lines = [line for name, by in _REPORTED for line in json_of(figures(name, sums, by))]
    return {"compared": checked.compared, "differences": checked.differences, "published": lines}


def verdict(checked: Checked) -> Iterator[str]:
    """Yield lines that say whether the figures are those of the books."""
    if not checked.compared:
        yield "figures: none to compare: nothing was ordered, refunded or sent"
    elif not checked.differences:
        yield f"figures: {checked.compared} held against the books, all equal"
    else:
        differ = f"{len(checked.differences)} of {checked.compared} differ"
        yield f"figures: {differ} from what the audit counted in the topics:"
        yield from (f"  {line}" for line in checked.differences)


def _channels(sums: Sums) -> Group | None:
    visits, orders = _values("visits", sums, "channel"), _values("orders", sums, "channel")
    conversion, credited = _values("conversion", sums, "channel"), _credited(sums, "channel")
    currencies = sorted({group[-1] for group in credited})
    channels = sorted(visits.keys() | orders.keys() | {(channel,) for channel, _ in credited})
    rows = [
        [
            *channel,
            shown(visits.get(channel, 0), Unit.COUNT),
            shown(orders.get(channel, 0), Unit.COUNT),
            shown(conversion.get(channel), SHARE),
            *(shown(credited.get((*channel, code), 0), Unit.MONEY, code) for code in currencies),
        ]
        for channel in channels
    ]
    if rows:
        whole, totals = _values("conversion", sums).get(()), _credited(sums)
        rows.append(
            [
                "all",
                *(shown(_values(name, sums).get((), 0), Unit.COUNT) for name in ("visits", "orders")),
                shown(whole, SHARE),
                *(shown(totals[code,], Unit.MONEY, code) for code in currencies),
            ]
        )
    return table(
        "figures by channel, revenue less refunds to the last touch",
        ["channel", "visits", "orders", "conversion", *currencies],
        rows,
        total=True,
    )


def _triggers(sums: Sums) -> Iterator[Group | str | None]:
    found, more = triggers(sums, RULES)
    yield found
    if more:
        yield f"and {more} more rules, which report.json has"


def _values(name: str, sums: Sums, *by: str) -> dict[tuple[str, ...], Value]:
    return figures(name, sums, by).rows


def _credited(sums: Sums, *by: str) -> dict[tuple[str, ...], Value]:
    """Return revenue less refunds by dimensions and currency, as the model of the demo has it."""
    rows = _values("attributed_revenue", sums, *by, "model", "currency")
    return {(*group, code): value for (*group, model, code), value in rows.items() if model == MODEL}
