"""The overview that `raccord kpis` prints: a table for each question that is asked of numbers every day.

What is long is cut (`TOP`), and the line beneath says so, and what shows all of it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from stream_app.cli.kpis_text import shown, table, words
from stream_app.domain.numbers import MODELS, Unit
from stream_app.runs.kpis import SCORE, SHARE, UP_TO, earned, figures, triangles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Group

    from stream_app.cli.kpis_text import Value
    from stream_app.runs.kpis import Group as Key
    from stream_app.runs.kpis import Sums

TOP = 10
"""Rows of what may have many: campaigns, rules, pairs of channels."""
DEVICES = 4
"""Those with the most visits have a column."""
LARGE = 100_000 * 1_000_000
"""From so much on revenue is shown without decimals: the columns of five models have to fit beside each other."""
HUGE = 100 * LARGE
"""From so much on in thousands."""
_LEFT = 22
"""Room for a cohort and its size."""


def overview(sums: Sums, width: int) -> Iterator[Group | str]:
    """Yield the tables that have something in them, and lines about what they leave out."""
    parts = (
        _conversion(sums),
        _revenue(sums),
        returns(sums),
        _clicks(sums),
        _triggers(sums),
        _triangles(sums, width),
        _satisfaction(sums),
        _assisted(sums),
        _cross_channel(sums),
        _delays(sums),
    )
    for part in parts:
        yield from (one for one in part if one is not None)


def _conversion(sums: Sums) -> Iterator[Group | str | None]:
    visits, orders = _values("visits", sums, "channel"), _values("orders", sums, "channel")
    overall, by_device = (
        _values("conversion", sums, "channel"),
        _values("conversion", sums, "channel", "device"),
    )
    seen = _values("visits", sums, "device")
    devices = sorted((one for (one,) in seen if one), key=lambda one: (-seen[one,], one))
    columns = ["channel", "visits", "orders", "conversion", *devices[:DEVICES]]
    rows = [
        [
            *channel,
            shown(visits.get(channel, 0), Unit.COUNT),
            shown(orders.get(channel, 0), Unit.COUNT),
            shown(overall.get(channel), SHARE),
            *(shown(by_device.get((*channel, device)), SHARE) for device in devices[:DEVICES]),
        ]
        for channel in sorted(visits.keys() | orders.keys())
    ]
    if rows:
        device_totals = _values("conversion", sums, "device")
        rows.append(
            [
                "all",
                *(shown(_values(name, sums).get((), 0), Unit.COUNT) for name in ("visits", "orders")),
                shown(_values("conversion", sums).get(()), SHARE),
                *(shown(device_totals.get((device,)), SHARE) for device in devices[:DEVICES]),
            ]
        )
    yield table("conversion by channel and device", columns, rows, total=True)
    if devices[DEVICES:]:
        yield f"also {', '.join(devices[DEVICES:])}: raccord kpis conversion"


def _revenue(sums: Sums) -> Iterator[Group | None]:
    """Revenue less refunds: where the orders were placed, and whose merit they are."""
    placed = earned(sums)
    credited = _values("attributed_revenue", sums, "currency", "channel", "model")
    currencies = sorted({currency for _, currency in placed} | {group[0] for group in credited})
    for currency in currencies:
        channels = sorted(
            {channel for channel, code in placed if code == currency}
            | {channel for code, channel, _ in credited if code == currency}
        )
        rows: list[list[Value]] = [
            [
                placed.get((channel, currency), 0),
                *(credited.get((currency, channel, model), 0) for model in MODELS),
            ]
            for channel in channels
        ]
        rows.append([sum(column) for column in zip(*rows, strict=True)])
        most = max(max(amount, -amount) for amount in rows[-1])
        whole, scale = most >= LARGE, 1000 if most >= HUGE else 1
        yield table(
            f"revenue by channel, less refunds, in {'thousands of ' * (scale > 1)}{currency or 'no currency'}",
            ["channel", "placed", *map(words, MODELS)],
            [
                [
                    channel,
                    *(shown(Fraction(amount, scale), Unit.MONEY, currency, whole=whole) for amount in row),
                ]
                for channel, row in zip([*channels, "all"], rows, strict=True)
            ],
            total=True,
        )


def returns(sums: Sums) -> Iterator[Group | str | None]:
    """Yield what campaigns brought for what they cost, by each model."""
    spent = _values("spend", sums, "currency", "campaign")
    roi = _values("roi", sums, "currency", "campaign", "model")
    campaigns = sorted(
        (group for group, amount in spent.items() if amount), key=lambda one: (one[0], -spent[one], one[1])
    )
    whole = any(spent[group] >= LARGE for group in campaigns)
    yield table(
        "return on investment by campaign",
        ["campaign", "in", "spent", *map(words, MODELS)],
        [
            [
                campaign,
                currency,
                shown(spent[currency, campaign], Unit.MONEY, currency, whole=whole),
                *(shown(roi.get((currency, campaign, model)), SHARE, whole=True) for model in MODELS),
            ]
            for currency, campaign in campaigns[:TOP]
        ],
        texts=2,
    )
    yield _more(campaigns, "roi")


def _clicks(sums: Sums) -> Iterator[Group | str | None]:
    seen, clicks = (
        _values("impressions", sums, "kind", "campaign"),
        _values("clicks", sums, "kind", "campaign"),
    )
    rate = _values("ctr", sums, "kind", "campaign")
    groups = sorted(
        seen.keys() | clicks.keys(), key=lambda one: (-seen.get(one, 0), -clicks.get(one, 0), one)
    )
    yield table(
        "click-through of campaigns",
        ["campaign", "kind", "impressions", "clicks", "click-through"],
        [
            [
                campaign,
                kind,
                shown(seen.get((kind, campaign), 0), Unit.COUNT),
                shown(clicks.get((kind, campaign), 0), Unit.COUNT),
                shown(rate.get((kind, campaign)), SHARE),
            ]
            for kind, campaign in groups[:TOP]
        ],
        texts=2,
    )
    yield _more(groups, "ctr")


def triggers(sums: Sums, most: int) -> tuple[Group | None, int]:
    """Return what came of our triggers, of the rules that sent most, and how many rules that leaves out."""
    sent, back = _values("triggers_sent", sums, "rule"), _values("triggers_taken_back", sums, "rule")
    returned, bought = (
        _values("trigger_return_rate", sums, "rule"),
        _values("trigger_purchase_rate", sums, "rule"),
    )
    rules = sorted(sent, key=lambda one: (-sent[one], one))
    shown_rules = [
        [
            *rule,
            shown(sent[rule], Unit.COUNT),
            shown(back.get(rule, 0), Unit.COUNT),
            shown(returned.get(rule), SHARE),
            shown(bought.get(rule), SHARE),
        ]
        for rule in rules[:most]
    ]
    head = ["rule", "sent", "taken back", "came back", "bought"]
    found = table("what came of our triggers within 7 days", head, shown_rules)
    return found, max(0, len(rules) - most)


def _triggers(sums: Sums) -> Iterator[Group | str | None]:
    found, more = triggers(sums, TOP)
    yield found
    if more:
        yield f"and {more} more: raccord kpis trigger_return_rate"


def _triangles(sums: Sums, width: int) -> Iterator[Group | str | None]:
    active = _values("active_customers", sums, "cohort")
    for found in triangles(sums):
        whole = found.unit == SHARE
        lines = {
            cohort: [shown(value, found.unit, found.currency, whole=whole) for value in values]
            for cohort, values in found.rows.items()
        }
        cohorts = [*lines][-TOP:]
        longest = max(len(lines[cohort]) for cohort in cohorts)
        cell = max(len(text) for cohort in cohorts for text in lines[cohort]) + 2
        columns = max(1, min(longest, (width - _LEFT) // cell))
        yield table(
            found.title,
            ["cohort", "customers", *map(str, range(columns))],
            [
                [
                    cohort,
                    shown(active.get((cohort, "0"), 0), Unit.COUNT),
                    *(lines[cohort] + [""] * columns)[:columns],
                ]
                for cohort in cohorts
            ],
        )
        if columns < longest or len(lines) > TOP:
            yield f"later months and earlier cohorts: raccord kpis {found.name}"


def _satisfaction(sums: Sums) -> Iterator[Group | None]:
    names, units = ("csat_answers", "csat", "nps_answers", "nps"), (Unit.COUNT, SHARE, Unit.COUNT, SCORE)
    found = [_values(name, sums, "channel") for name in names]
    channels = sorted({group for one in found for group in one})
    rows = [
        [*channel, *(shown(one.get(channel), unit) for one, unit in zip(found, units, strict=True))]
        for channel in channels
    ]
    if rows:
        totals = (_values(name, sums).get(()) for name in names)
        rows.append(["all", *(shown(one, unit) for one, unit in zip(totals, units, strict=True))])
    columns = ["channel", "ratings", "CSAT", "answers", "NPS"]
    yield table("satisfaction by channel", columns, rows, total=True)


def _assisted(sums: Sums) -> Iterator[Group | str | None]:
    by = ("assisting_channel", "channel")
    orders, shares = _values("assisted_orders", sums, *by), _values("assisted_share", sums, *by)
    revenue = _values("assisted_revenue", sums, *by)
    currencies = sorted({group[-1] for group in revenue})
    groups = sorted(orders, key=lambda one: (-orders[one], one))
    yield table(
        "assisted conversions",
        ["assisting", "order on", "orders", "of its orders", *currencies],
        [
            [
                *group,
                shown(orders[group], Unit.COUNT),
                shown(shares.get(group), SHARE),
                *(shown(revenue.get((*group, code)), Unit.MONEY, code) for code in currencies),
            ]
            for group in groups[:TOP]
        ],
        texts=2,
    )
    yield _more(groups, "assisted_orders")


def _cross_channel(sums: Sums) -> Iterator[Group | None]:
    orders = _values("cross_channel_orders", sums, "direction")
    revenue = _values("cross_channel_revenue", sums, "direction")
    currencies = sorted({group[-1] for group in revenue})
    yield table(
        "orders across online and store",
        ["direction", "orders", *currencies],
        [
            [
                words(*group),
                shown(count, Unit.COUNT),
                *(shown(revenue.get((*group, code)), Unit.MONEY, code) for code in currencies),
            ]
            for group, count in orders.items()
        ],
    )


def _delays(sums: Sums) -> Iterator[Group | None]:
    whole, buckets = (
        _values("purchase_delays", sums, "channel"),
        _values("purchase_delays", sums, "channel", "up_to"),
    )
    mean = _values("time_to_purchase", sums, "channel")
    rows = [
        [
            *channel,
            shown(count, Unit.COUNT),
            shown(mean.get(channel), Unit.TIME),
            *(shown(buckets.get((*channel, name), 0), Unit.COUNT) for name in UP_TO),
        ]
        for channel, count in whole.items()
    ]
    columns = ["channel", "orders", "mean", *(f"≤{name}" for name in UP_TO)]
    yield table("time from first touch to order", columns, rows)


def _values(name: str, sums: Sums, *by: str) -> dict[Key, Value]:
    """Return a number by some of its dimensions; what is kept apart beside them comes last in a group."""
    return figures(name, sums, by).rows


def _more(groups: Sequence[Key], name: str) -> str | None:
    return f"and {len(groups) - TOP} more: raccord kpis {name}" if len(groups) > TOP else None
