"""A worker of several processes: how they begin together, hear what the worker hears, and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream_app.runs.processes import slots

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(30)

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("worker_of_doubles.py")
PAGES = "set up http://127.0.0.1:1001/metrics http://127.0.0.1:1003/metrics"


class Running:
    """A worker whose processes are doubles, and what they all have printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def until(self, *lines: str) -> None:
        """Read until all these lines have been printed."""
        while missing := set(lines) - set(self.said):
            line = self.process.stdout.readline()
            assert line, f"{missing} not in {self.said}"
            self.said.append(line.rstrip("\n"))

    def ended(self) -> int:
        """Wait until nobody prints any more: the worker and its processes have ended. Return its exit code."""
        self.said += [line.rstrip("\n") for line in self.process.stdout]
        return self.process.wait()


@contextmanager
def worker(behaviour: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, str(WORKER), behaviour],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_the_first_process_keeps_the_workers_slot_so_that_more_processes_lose_no_state():
    assert slots("w", 1) == ["w"]
    assert slots("w", 3) == ["w", "w.1", "w.2"]


def test_processes_begin_when_all_are_set_up_and_share_the_cache():
    with worker("works") as running:
        running.until("w runs with 50", "w.1 runs with 50")
    begun = running.said.index(PAGES)
    assert set(running.said[:begun]) == {"w is set up", "w.1 is set up"}
    assert set(running.said[begun + 1 :]) == {"w runs with 50", "w.1 runs with 50"}


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_lets_its_processes_leave(told):
    with worker("works") as running:
        running.until("w runs with 50", "w.1 runs with 50")
        os.killpg(running.process.pid, told)  # as a terminal does at a Ctrl-C
        assert running.ended() == 0
    assert set(running.said[-4:]) == {"w SIGTERM", "w.1 SIGTERM", "w left", "w.1 left"}


def test_processes_are_told_to_read_their_rules_again():
    with worker("works") as running:
        running.until("w runs with 50", "w.1 runs with 50")
        running.process.send_signal(signal.SIGHUP)
        running.until("w SIGHUP", "w.1 SIGHUP")


@pytest.mark.parametrize(("behaviour", "code"), [("fails", 70), ("ends", 1)])
def test_a_process_that_ends_untold_takes_the_others_with_it_and_the_worker_fails(behaviour, code):
    with worker(behaviour) as running:
        assert running.ended() == code
    assert {"w.1 SIGTERM", "w.1 left"} <= set(running.said)


def test_processes_leave_when_their_worker_is_killed():
    with worker("works") as running:
        running.until("w runs with 50", "w.1 runs with 50")
        running.process.kill()
        running.ended()
    assert {"w left", "w.1 left"} <= set(running.said)


def test_what_a_process_lacks_is_said_by_the_worker_and_nothing_begins():
    with worker("can't") as running:
        assert running.ended() == 3
    assert [line for line in running.said if "error" in line or "runs" in line] == [
        "error there is no broker"
    ]


def test_a_process_that_dies_before_it_is_set_up_is_an_error_of_the_worker():
    with worker("dies early") as running:
        assert running.ended() == 1
    assert (
        "error a process of worker w ended with exit code 9 before it was set up; see above" in running.said
    )
