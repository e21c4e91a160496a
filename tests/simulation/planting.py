"""Looks for each planted bug, and writes down which seed is the first to find it.

`python -m tests.simulation --planted` writes `results/planted_bugs.json` anew.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.run import forget, play
from tests.simulation.seams import installed
from tests.simulation.world import WrongOutcomeError

MOST = 4_000
RESULTS = Path(__file__).with_name("results") / "planted_bugs.json"


class Found(NamedTuple):
    """The first seed that fails, and what is wrong there."""

    seed: int
    reason: str


def look_for(bug: str, most: int, first: int = 0) -> Found | None:
    """Plant a bug, and return what finds it among so many seeds."""
    plant, job = PLANTED[bug]
    forget()
    try:
        with installed(), pytest.MonkeyPatch.context() as patch:
            plant(patch)
            for seed in range(first, first + most):
                try:
                    play(job, seed)
                except WrongOutcomeError as failure:
                    return Found(seed, str(failure))
                except Exception as error:  # noqa: BLE001 - a bug may well break the doubles
                    return Found(seed, f"{type(error).__name__}: {error}")
    finally:
        forget()
    return None


def main(most: int) -> int:
    """Look for all of them, on all cores; return 1 if any isn't found."""
    table = []
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for line in pool.imap(partial(_line, most=most), PLANTED):
            table.append(line)
            print(f"{line['bug']:45} {line['first_failing_seed']!s:>5}  {line['seen_as']}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(table, indent=1) + "\n")
    return 1 if any(line["first_failing_seed"] is None for line in table) else 0


def _line(bug: str, most: int) -> dict[str, Any]:
    """Return what the table says of a bug."""
    plant, job = PLANTED[bug]
    found = look_for(bug, most)
    return {
        "bug": bug,
        "what": (plant.__doc__ or "").strip(),
        "job": job,
        "first_failing_seed": None if found is None else found.seed,
        "seeds_tried": most if found is None else found.seed + 1,
        "seen_as": None if found is None else found.reason[:160],
    }
