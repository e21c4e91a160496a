"""The engine alone, ended and frozen at each step of a commit, under a dying broker, and with planted bugs.

The job counts events per key through two stages; each tenth gives an output. Lost input, doubled input, lost
output, doubled output: each of them changes the list of outputs. So the oracle is that list, and a planted bug is
noticed when the list is another. What provokes a bug is a step at which a process ends, not luck.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from stream_app.errors import UserError
from tests.engine_job import Job, every_tenth
from tests.engine_sabotage import CRASHED, PLANTS, POINTS, RESTORED
from tests.engine_worker import PARTITIONS
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.broker, pytest.mark.chaos]

SMALL = {"BATCH": "40", "EPOCH_MS": "5", "SESSION_MS": "1000"}
"""Many epochs for few events; a dead worker is given up at once."""


def some(count: int, seed: int) -> list[tuple[bytes, bytes]]:
    rnd = random.Random(seed)
    return [(b"k%03d" % rnd.randrange(40), b"x") for _ in range(count)]


def telling(seed: int) -> list[tuple[bytes, bytes]]:
    """Return events of which a single one too many (of half of the keys) or too few (of the others) tells."""
    events = [(b"k%03d" % key, b"x") for key in range(40) for _ in range(99 + key % 2)]
    random.Random(seed).shuffle(events)
    return events


def job(bootstrap: str, prefix: str, folder: Path) -> Job:
    return Job(bootstrap, prefix, folder, time_mode="events")


def finished(run: Job, timeout: float = 60.0) -> list[bytes]:
    """Wait for the end; return the outputs.

    Raises:
        UserError: it does not come to an end.
    """
    run.drain(timeout)
    return sorted(value for _, value in run.read("output") if value is not None)


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


def poisoned(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """A handler that raises makes the worker read again what other batches of the partition follow."""
    events = some(6_000, 1)
    bad = [(b"k%03d" % number, b"poison") for number in range(12)]
    mixed = [
        record
        for number, one in enumerate(bad)
        for record in (*events[500 * number : 500 * (number + 1)], one)
    ]
    counts = run.feed(mixed) - Counter(key for key, _ in bad)
    run.start("w1", **{**SMALL, "EPOCH_MS": "400"}, **plant)
    return counts


def killed(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """A second life goes on where the first one stopped."""
    counts = run.feed(some(600, 1))
    run.start("w1", **SMALL, **plant)
    run.drain()
    run.kill("w1")
    restored = run.log("w1").count(RESTORED)
    run.start("w1", **SMALL, **plant)
    assert wait_for(lambda: run.log("w1").count(RESTORED) == restored + 2 * PARTITIONS)
    return counts


def died_before_the_commit(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """A transaction that was all but committed is none."""
    counts = run.feed(telling(1))
    died = run.start("w1", **SMALL, **plant, RACCORD_CRASH="after_offsets:3")
    assert died.wait(30) == CRASHED
    run.start("w1", **SMALL, **plant)
    return counts


def froze_before_the_commit(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """A worker whose offsets were accepted is given up, replaced, and only then commits."""
    counts = run.feed(telling(1))
    patient = {**SMALL, "TRANSACTION_MS": "20000"}
    frozen = run.start("w1", **patient, **plant, RACCORD_FREEZE="after_offsets:3")
    assert wait_for(lambda: stopped(frozen.pid)), "it never came to its commit"
    run.start("w2", **patient, **plant)
    # Until w2 has taken over everything; a sound one can't, and waits for the open transaction.
    wait_for(lambda: run.log("w2").count(RESTORED) == 2 * PARTITIONS, 10)
    frozen.send_signal(signal.SIGCONT)
    return counts


def stopped(pid: int) -> bool:
    """Tell whether a child of ours has been stopped by SIGSTOP since the last call."""
    changed, status = os.waitpid(pid, os.WUNTRACED | os.WNOHANG)
    assert not changed or os.WIFSTOPPED(status), f"it ended: {status}"
    return changed == pid


PROVOKED_BY = {
    "leaves out the position": killed,
    "writes RocksDB first": died_before_the_commit,
    "does not wait for open transactions": froze_before_the_commit,
}


def test_each_planted_bug_has_what_provokes_it():
    assert PROVOKED_BY.keys() == PLANTS.keys()


@pytest.mark.parametrize("bug", PROVOKED_BY)
def test_a_planted_bug_is_noticed(bug, bootstrap_servers, topic_prefix, tmp_path):
    with job(bootstrap_servers, topic_prefix, tmp_path) as run:
        counts = PROVOKED_BY[bug](run, {"RACCORD_PLANT": bug})
        try:
            outputs = finished(run, 12)
        except UserError:
            return  # it reads on for ever, or waits for ever: noticed
        assert outputs != every_tenth(counts)


@pytest.mark.parametrize("provoke", [poisoned, froze_before_the_commit], ids=lambda call: call.__name__)
def test_what_provokes_planted_bugs_does_not_hurt_a_sound_engine(
    provoke, bootstrap_servers, topic_prefix, tmp_path
):
    with job(bootstrap_servers, topic_prefix, tmp_path) as run:
        counts = provoke(run, {})
        assert finished(run) == every_tenth(counts)


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
