"""The published figures, held against the books: what the numbers stage says beside what the audit has counted.

Compared are the figures that the audit can count by itself, all days together: triggers sent and taken back, orders,
revenue and refunds; and that each attribution model shares out exactly what was earned. The rest is ratios of these,
or rests on visits, which the audit doesn't know.

It is for runs in which nothing is erased: a trigger that an erased event had opened is counted no more, though it was
sent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.numbers import BY_NAME, MODELS, Unit
from stream_app.runs.kpis import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_app.runs.audit import Books
    from stream_app.runs.kpis import Sums

_MICROS = 1_000_000


class Checked(NamedTuple):
    """How many figures were held against the books, and in a sentence for each which ones differ."""

    compared: int
    differences: list[str]


def check(sums: Sums, books: Books) -> Checked:
    """Hold figures against the books; one that only one of them has is 0 in the other."""
    compared, differences = 0, []
    for name, by, counted in _counted(books):
        published = figures(name, sums, by).rows
        wanted = {group: amount for group, amount in counted.items() if amount}
        for group in sorted(wanted.keys() | {group for group, amount in published.items() if amount}):
            compared += 1
            said, there = int(published.get(group, 0)), wanted.get(group, 0)
            if said != there:
                what = " / ".join(one or "-" for one in group)
                differences.append(
                    f"{name} of {what}: published {_exact(name, said)}, by the books {_exact(name, there)}"
                )
    return Checked(compared, differences)


def _exact(name: str, amount: int) -> str:
    """Return an amount without rounding; money in units of its currency."""
    return f"{Decimal(amount) / _MICROS:f}" if BY_NAME[name].unit is Unit.MONEY else str(amount)


def _counted(books: Books) -> Iterator[tuple[str, tuple[str, ...], Mapping[tuple[str, ...], int]]]:
    """Yield the numbers that the books have: name, dimensions, group -> amount (money in millionths)."""
    found = books.takings
    yield "triggers_sent", ("rule",), {(rule,): fires for rule, fires in books.fired.items()}
    yield "triggers_taken_back", ("rule",), {(rule,): count for rule, count in books.retracted.items()}
    yield "orders", ("channel",), {(channel,): count for channel, count in found.orders.items()}
    yield "revenue", ("channel", "currency"), found.revenue
    yield "refunded", ("channel", "currency"), found.refunded
    earned = found.earned().items()
    shares: dict[tuple[str, ...], int] = {
        (model, code): amount for code, amount in earned for model in MODELS
    }
    yield "attributed_revenue", ("model", "currency"), shares
