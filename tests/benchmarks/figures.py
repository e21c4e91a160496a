"""Figures of several runs: the median, and how far the runs are apart."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_STATM = Path("/proc/self/statm")


def of(runs: Sequence[float], digits: int = 1) -> dict[str, Any]:
    """Return the median, the least and the most of some runs."""
    return {
        "median": round(median(runs), digits),
        "min": round(min(runs), digits),
        "max": round(max(runs), digits),
    }


def shown(figure: dict[str, Any]) -> str:
    """Return figures as people read them: the median, and the spread behind it."""
    return f"{figure['median']:,} [dim]({figure['min']:,}-{figure['max']:,})[/]"


def resident_mib() -> float | None:
    """Return how much memory this process holds; None where the system doesn't say it in Linux' way."""
    if not _STATM.exists():
        return None
    pages = int(_STATM.read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
