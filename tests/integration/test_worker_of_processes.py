"""A worker of two processes on a real broker: one worker to whoever looks at it, and exactly once whoever is killed."""

from __future__ import annotations

import os
import re
import signal
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.simulators import Simulation
from stream_app.app import load_policy
from stream_app.domain.offline import who_is_who
from stream_app.runs.comparison import good_events
from stream_app.settings import STAGES
from tests.pipeline_job import Pipeline
from tests.waiting import wait_for

if TYPE_CHECKING:
    from connectors.planned import Planned
    from tests.pipeline_job import Outcome

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

CHANNELS = ("web", "app", "store")
SETTINGS = {"RACCORD_PROCESSES": "2", "RACCORD_CHANNELS": ",".join(CHANNELS), "RACCORD_EPOCH_MS": "50"}
TASK = re.compile(r'^raccord_tasks\{process="(\d)",stage="(\w+)"\} (\d+)', re.MULTILINE)


def records() -> list[Planned]:
    simulation = Simulation(7, shoppers=150, days=1)
    return [one for one in simulation.records() if one.channel in CHANNELS]


def processes_of(pid: int) -> list[int]:
    """Return the processes that a worker has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in found]


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has asked for its exit code yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def shared(pipeline: Pipeline) -> bool:
    """Tell whether each process has a part of every stage."""
    return {
        (process, stage) for process, stage, count in TASK.findall(pipeline.metrics("w1")) if int(count)
    } == {(process, stage) for process in "01" for stage in STAGES}


@dataclass(frozen=True, repr=False)
class Life:
    """What happened to a worker of two processes.

    Attributes:
        page: its metrics page, when it had done a third of the work.
        processes: how many it had then.
        killed: its exit code after one of its processes was killed.
        left: whether the other process was gone then, and whether both were soon after the worker itself was killed.
        code: its exit code when it was told to stop.
        log: of all its lives.
        first: events on timelines after a third of the work.
        outcome: in the end.
        wanted: event id -> customer id, as all events at once give it.
    """

    page: str
    processes: int
    killed: int
    left: tuple[bool, bool]
    code: int
    log: str
    first: int
    outcome: Outcome
    wanted: dict[str, str]


@pytest.fixture(scope="module")
def life(bootstrap_servers, tmp_path_factory) -> Life:
    planned = records()
    third = len(planned) // 3
    with Pipeline(
        bootstrap_servers, f"t{uuid.uuid4().hex[:10]}.", tmp_path_factory.mktemp("life"), SETTINGS
    ) as pipeline:
        pipeline.start("w1")
        worker = pipeline.workers["w1"]
        assert wait_for(lambda: pipeline.at_work() and shared(pipeline))
        pipeline.play(planned[:third])
        pipeline.drain()
        page, first = pipeline.metrics("w1"), len(pipeline.owners())

        pipeline.play(planned[third : 2 * third])
        processes = processes_of(worker.pid)
        os.kill(processes[1], signal.SIGKILL)
        killed = worker._process.wait(90)
        left = not alive(processes[0])

        pipeline.start("w1")
        assert wait_for(lambda: pipeline.at_work() and shared(pipeline))
        pipeline.play(planned[2 * third :])
        again = processes_of(worker.pid)
        worker.kill()
        left_too = wait_for(lambda: not any(map(alive, again)))

        pipeline.start("w1")
        pipeline.drain()
        code = worker.stop()
        policy = load_policy(pipeline.settings)
        key = pipeline.settings.customer_key.get_secret_value().encode()
        return Life(
            page,
            len(processes),
            killed,
            (left, left_too),
            code,
            pipeline.log("w1"),
            first,
            pipeline.outcome(),
            who_is_who(policy, good_events(planned, policy), key),
        )


def test_two_processes_are_one_worker_with_one_metrics_page(life):
    applied = re.findall(r'^raccord_events_total\{.*outcome="applied".*\} (\S+)', life.page, re.MULTILINE)
    names = re.findall(r"^# TYPE (\S+)", life.page, re.MULTILINE)
    assert life.processes == 2
    assert sum(map(float, applied)) == life.first > 100
    assert sorted(names) == sorted(set(names)), "a metric is declared twice"
    assert life.log.count("metrics at http") == 3, "once in each life"


def test_a_worker_one_of_whose_processes_is_killed_ends_as_a_whole(life):
    assert life.killed == 128 + signal.SIGKILL
    assert life.left[0]
    assert "exit_codes=[0, 137]" in life.log


def test_processes_leave_when_their_worker_is_killed(life):
    assert life.left[1]


def test_a_worker_that_is_told_to_stop_ends_well(life):
    assert life.code == 0


def test_nothing_is_lost_or_doubled_whoever_is_killed(life):
    assert life.outcome.owner == life.wanted
    assert life.outcome.books.balanced
    assert life.outcome.books.lost == life.outcome.books.doubled == 0


def test_topics_that_are_missing_are_said_once(bootstrap_servers, topic_prefix, tmp_path):
    with Pipeline(bootstrap_servers, topic_prefix, tmp_path, SETTINGS, create=False) as pipeline:
        done = pipeline.raccord("worker")
    assert done.returncode == 3
    assert done.stderr.decode().count("topics create") == 1
