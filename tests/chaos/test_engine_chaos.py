"""The engine alone, ended, frozen and failed at each step of a commit, and under a dying broker.

The job counts events per key through two stages; each tenth gives an output. Lost input, doubled input, lost
output, doubled output: each of them changes the list of outputs. So the oracle is that list. That it notices bugs is
shown in `test_planted_bugs`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.chaos.provocations import (
    SMALL,
    finished,
    forgotten_by_the_group,
    froze_before_the_commit,
    froze_before_the_flush,
    job,
    not_delivered,
    noticed,
    poisoned,
    some,
)
from tests.engine_job import Job, every_tenth
from tests.engine_sabotage import CRASHED, POINTS
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.broker, pytest.mark.chaos]

NOT_ONLY_DEATHS = (
    poisoned,
    forgotten_by_the_group,
    froze_before_the_commit,
    froze_before_the_flush,
    not_delivered,
)
"""Those of the provocations that the next test does not hold."""


def test_a_worker_that_dies_at_any_step_of_a_commit_or_restore_loses_and_doubles_nothing(
    bootstrap_servers, topic_prefix, tmp_path
):
    counts: Counter[bytes] = Counter()
    with job(bootstrap_servers, topic_prefix, tmp_path) as run:
        for seed, point in enumerate(POINTS):
            counts += run.feed(some(2_000, seed))
            died = run.start("w1", **SMALL, RACCORD_CRASH=f"{point}:3")
            assert died.wait(30) == CRASHED, f"it never came to {point}"
        run.start("w1", **SMALL)
        assert finished(run) == every_tenth(counts)


@pytest.mark.parametrize("provoke", NOT_ONLY_DEATHS, ids=lambda call: call.__name__)
def test_what_provokes_planted_bugs_does_not_hurt_a_sound_engine(
    provoke, bootstrap_servers, topic_prefix, tmp_path
):
    with job(bootstrap_servers, topic_prefix, tmp_path) as run:
        assert noticed(run, None, provoke) is None


def test_a_broker_that_dies_in_mid_flow_costs_nothing(own_kafka, topic_prefix, tmp_path):
    with Job(own_kafka.start(), topic_prefix, tmp_path) as run:
        fed: list[Counter[bytes]] = []
        flows, died = threading.Event(), threading.Event()

        def events() -> Iterator[tuple[bytes, bytes]]:
            """Some before anything has come out, some while the broker dies, and some when it is dead."""
            for seed, reached in enumerate((flows, died, None)):
                yield from some(3_000, seed)
                if reached is not None:
                    reached.wait(60)

        feeding = threading.Thread(target=lambda: fed.append(run.feed(events(), seconds=9.0, count=9_000)))
        run.start("w1")
        run.start("w2")
        feeding.start()
        assert wait_for(lambda: bool(run.read("output"))), "nothing flows"
        flows.set()
        own_kafka.kill()
        died.set()
        time.sleep(1.0)
        own_kafka.start()
        feeding.join()
        (counts,) = fed
        assert sorted(run.outputs(len(every_tenth(counts)), 60)) == every_tenth(counts)
