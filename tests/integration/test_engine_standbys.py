"""Rows that are kept warm for another worker's partitions, and what a worker that is gone leaves open."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.engine_job import Job, Probed, every_tenth
from tests.engine_sabotage import CRASHED, RESTORED
from tests.engine_worker import PARTITIONS
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections import Counter

pytestmark = [pytest.mark.broker]

SMALL = {"BATCH": "40", "EPOCH_MS": "5", "SESSION_MS": "1000"}
WARM = {**SMALL, "STANDBYS": "1"}


def distinct(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"k%05d" % number, b"x") for number in range(count)] * 10


def outputs(job: Job) -> list[bytes]:
    return sorted(value for _, value in job.read("output") if value is not None)


def tasks(job: Probed, worker: str) -> set[str]:
    """Return the partitions of the counting stage that a worker was ready to process when it said so last."""
    said = job.said(worker, "ready")
    return {task for task in said[-1] if "middle" in task} if said else set()


def test_a_killed_workers_partitions_are_taken_over_with_rows_that_are_warm(
    bootstrap_servers, topic_prefix, tmp_path
):
    with Probed("stores", bootstrap_servers, topic_prefix, tmp_path, time_mode="events") as job:
        for worker in ("w1", "w2"):
            job.start(worker, **WARM)
        job.waits_for("w2", lambda: len(tasks(job, "w1")) == len(tasks(job, "w2")) == PARTITIONS // 2, 40)
        moving = tasks(job, "w1")
        counts: Counter[bytes] = job.feed(distinct(2_000))
        job.drain()
        job.waits_for("w2", lambda: warm(job, "w2") >= 2)
        job.kill("w1")
        counts += job.feed(distinct(2_000))
        job.waits_for("w2", lambda: len(tasks(job, "w2")) == PARTITIONS, 40)
        job.drain()
        assert outputs(job) == every_tenth(counts)
        for task in moving:
            # What is read on is the last moment's, not two thousand rows.
            read = [int(rows) for name, rows in job.said("w2", "restored") if name == task]
            assert sum(read) < 200, (task, read)


def warm(job: Job, worker: str) -> int:
    """Return how many partitions a worker has said to have warm rows of."""
    return len(set(re.findall(r"SAID warm (\S+)", job.log(worker))))


def test_what_a_worker_that_is_gone_left_open_is_waited_for_by_nobody_and_is_in_nobodys_rows(
    bootstrap_servers, topic_prefix, tmp_path
):
    patient = {**WARM, "TRANSACTION_MS": "600000"}
    with Job(bootstrap_servers, topic_prefix, tmp_path, time_mode="events") as job:
        job.start("w2", **patient)
        assert wait_for(lambda: job.log("w2").count(RESTORED) == 2 * PARTITIONS), job.log("w2")
        died = job.start("w1", **patient, RACCORD_CRASH="after_offsets:3")
        # It must have something to do: on a busy machine the group may take longer than the records do.
        assert wait_for(lambda: job.log("w1").count(RESTORED) >= PARTITIONS, 60), job.log("w1")
        counts = job.feed([(b"k%03d" % (n % 40), b"x") for n in range(6_000)], seconds=8.0, count=6_000)
        assert died.wait(30) == CRASHED
        assert wait_for(lambda: "transaction_ended" in job.log("w2"), 40), job.log("w2")
        job.drain(60)
        assert outputs(job) == every_tenth(counts)


def test_a_worker_that_leaves_gives_its_partitions_to_who_has_them_warm_and_gets_them_back_warm(
    bootstrap_servers, topic_prefix, tmp_path
):
    with Job(bootstrap_servers, topic_prefix, tmp_path, time_mode="events") as job:
        counts = job.feed(distinct(200))
        for worker in ("w1", "w2"):
            job.start(worker, **WARM)
        job.drain()
        for worker in ("w1", "w2", "w1"):
            job.workers[worker].terminate()
            assert job.workers[worker].wait(30) == 0
            counts += job.feed(distinct(200))
            job.drain()
            job.start(worker, **WARM)
        assert outputs(job) == every_tenth(counts)
