"""Two minutes of everything that can go wrong, drawn from a seed, with the oracle's word at the end.

`make chaos` does the same for longer, and draws another seed each time.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.chaos.faults.every import ALL, FAULTS
from tests.chaos.run import Plan, run
from tests.chaos.schedule import draw

if TYPE_CHECKING:
    from tests.chaos.run import Report

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

SEED = 3
SECONDS = 120.0
FEW = 3.0
"""Shoppers for each second: there are others on this machine."""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Report:
    return run(Plan(SEED, SECONDS, folder=tmp_path_factory.mktemp("chaos"), per_second=FEW))


@pytest.mark.broker
def test_whatever_goes_wrong_nothing_is_lost_doubled_or_put_in_the_wrong_place(report):
    assert report.wrong == [], report.log


@pytest.mark.broker
def test_every_record_is_applied_a_duplicate_dead_lettered_or_dropped_by_policy(report):
    parts = ("applied", "duplicate", "dead_lettered", "dropped")
    assert report.ledger["read"] == sum(report.ledger[part] for part in parts)
    assert report.ledger["applied"] > 3_000


@pytest.mark.broker
def test_most_faults_came_and_did_something(report):
    assert sum(report.survived.values()) >= 8, report.log
    assert len(report.survived) >= 8, report.log
    bites = report.figures["bites"]
    came = report.survived
    assert bites["records sent twice"] > 0 or not came["duplicates"]
    assert bites["records out of order"] > 0 or not came["reordering"]
    assert bites["connections reset"] > 0 or not came["torn"]
    assert report.dead_letters.get("poison", 0) == bites["poison"]
    assert report.dead_letters["conflict"] > 0


def test_the_same_seed_draws_the_same_schedule():
    def told(seed: int) -> list[tuple[float, str, float, str]]:
        acts = draw(seed, 300, list(FAULTS.values()))
        return [(act.at, act.fault.name, act.fault.seconds, act.fault.details) for act in acts]

    assert told(1) == told(1) != told(2)


def test_each_fault_comes_before_any_comes_again():
    acts = draw(7, 600, list(FAULTS.values()))
    names = [act.fault.name for act in acts]
    assert len(names) > 3 * len(FAULTS)
    for begin in range(0, len(names) - len(FAULTS), len(FAULTS)):
        assert sorted(names[begin : begin + len(FAULTS)]) == sorted(FAULTS)


@pytest.mark.parametrize("fault", ALL.values(), ids=ALL)
def test_a_fault_says_what_it_is_and_lasts_as_long_as_it_says(fault):
    least, most = fault.lasts
    assert fault.what
    assert all(least <= fault(random.Random(seed)).seconds <= most for seed in range(20))
