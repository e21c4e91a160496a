"""Figures, tables and paragraphs as the benchmarks' pages write them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def wrapped(text: str) -> str:
    """Return paragraphs, as empty lines part them, in lines of 120 characters."""
    parts = (
        textwrap.fill(one, 120, break_long_words=False, break_on_hyphens=False) for one in text.split("\n\n")
    )
    return "\n\n".join(parts) + "\n"


def size(count: float) -> str:
    """Return bytes as people read them; a kB is 1,000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1_000:
            return f"{count:.3g} {unit}"
        count /= 1_000
    return f"{count:,.1f} PB"


def duration(seconds: float) -> str:
    """Return a time as people read it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3g} s"


def dollars(amount: float) -> str:
    """Return money, in whole thousands where it is much."""
    return f"${round(amount, -3):,.0f}" if amount >= 100_000 else f"${amount:,.0f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; the first column is words."""
    head = tuple(head)
    lines = [head, ("---",) + ("---:",) * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def facts(machine: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield what a page says first of a machine that was described before the run (`tests.machine.with_broker`).

    Results of before it was noted lack the processor and how busy it was.
    """
    cores = f"{machine['cores']} cores" + (f" of {machine['processor']}" if "processor" in machine else "")
    yield "date", machine["date"]
    yield "machine", f"{cores}, {machine['system']}; {machine['note']}"
    if "load_average" in machine:
        yield "load average before it", ", ".join(f"{one:g}" for one in machine["load_average"])
    yield "broker", f"Apache Kafka {machine['kafka']}, one node"
    yield (
        "Python",
        f"{machine['python']}, librdkafka {machine['librdkafka']}, native part {machine['native_part']}",
    )
