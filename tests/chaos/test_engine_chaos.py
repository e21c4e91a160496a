"""The engine alone, ended and frozen at each step of a commit, under a dying broker, and with planted bugs.

The job counts events per key through two stages; each tenth gives an output. Lost input, doubled input, lost
output, doubled output: each of them changes the list of outputs. So the oracle is that list, and a planted bug is
noticed when the list is another (see `provocations`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.chaos.provocations import PROVOKED_BY, SMALL, finished, job, noticed, some
from tests.engine_job import Job, every_tenth
from tests.engine_sabotage import CRASHED, PLANTS, POINTS
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.broker, pytest.mark.chaos]

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


def test_each_planted_bug_has_what_provokes_it():
    assert PROVOKED_BY.keys() == PLANTS.keys()


@pytest.mark.parametrize("bug", PROVOKED_BY)
def test_a_planted_bug_is_noticed(bug, bootstrap_servers, topic_prefix, tmp_path):
    with job(bootstrap_servers, topic_prefix, tmp_path) as run:
        assert noticed(run, bug, PROVOKED_BY[bug]) is not None


@pytest.mark.parametrize("provoke", [*dict.fromkeys(PROVOKED_BY.values())], ids=lambda call: call.__name__)
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
