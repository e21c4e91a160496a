"""The engine and the domain under a seeded scheduler: crashes, freezes and faults between any two steps.

`make simulate` runs thousands of seeds; these are a few of them, and each planted bug with the seeds that find it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.planting import RESULTS, look_for
from tests.simulation.process import FAULTS, POINTS
from tests.simulation.run import JOBS, failing, replay

ROOT = Path(__file__).parents[2]
SEEDS = {"counting": 250, "live": 60, "road": 100, "merging": 100}
FOUND = {line["bug"]: line for line in json.loads(RESULTS.read_text())}


Runs = dict[str, tuple[list[tuple[int, str]], set[str]]]


@pytest.fixture(scope="module")
def runs() -> Runs:
    """Return the seeds of each job that failed, with the reasons, and what has struck."""
    found: Runs = {}
    for job, seeds in SEEDS.items():
        struck: set[str] = set()
        found[job] = failing(job, range(seeds), struck), struck
    return found


@pytest.mark.parametrize("job", JOBS)
def test_whatever_strikes_between_two_steps_the_outcome_is_that_of_an_undisturbed_run(job, runs):
    failed, _ = runs[job]
    assert not failed, "\n".join(f"{replay(job, seed)}\n  {reason}" for seed, reason in failed)


def test_a_seed_gives_the_same_steps_in_every_process():
    program = (
        "from tests.simulation.run import installed, play\n"
        "with installed():\n"
        "    for job in ('counting', 'road'):\n"
        "        for seed in range(3, 6):\n"
        "            play(job, seed, print)\n"
    )
    traces = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert traces[0].count(b"\n") > 500
    assert traces[0] == traces[1]


def test_crashes_freezes_and_faults_strike_at_every_point(runs):
    struck = set().union(*(struck for _, struck in runs.values()))
    rare = {"crash at init", "freeze at init"}  # only where a producer is made anew
    wanted = {
        f"{what} at {point}" for point in POINTS for what in ("crash", "freeze", *FAULTS.get(point, ()))
    }
    assert wanted - rare - struck == set()
    assert {f"failure of {stage}" for stage in ("ingest", "resolve", "customer")} <= struck


def test_every_planted_bug_has_been_found_and_the_table_is_of_these():
    assert FOUND.keys() == PLANTED.keys()
    assert [bug for bug, line in FOUND.items() if line["first_failing_seed"] is None] == []


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_by_the_seed_that_found_it_first(bug):
    seed = FOUND[bug]["first_failing_seed"]
    found = look_for(bug, 1, first=seed)
    assert found is not None, (
        f"{bug} is not found any more: python -m tests.simulation --planted looks for it anew"
    )


@pytest.mark.parametrize("bug", PLANTED)
def test_where_a_planted_bug_is_found_a_sound_engine_is_right(bug):
    assert failing(PLANTED[bug].job, [FOUND[bug]["first_failing_seed"]]) == []
