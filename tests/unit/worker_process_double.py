"""Stands for a process of a worker: tells its worker that it is set up, and prints what it hears.

Run by `test_worker_processes` as `worker_process_double.py BEHAVIOUR`, where the behaviour is of the process with the
worker's own name; the others do as they should.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from stream_app.errors import EnvironmentMissing
from stream_app.runs.processes import Parent


def say(line: str) -> None:
    """Print a line at once and in one piece: others print to the same pipe."""
    os.write(sys.stdout.fileno(), line.encode() + b"\n")


def main(behaviour: str) -> None:
    """Live a process's life."""
    slot = os.environ["RACCORD_WORKER"]
    if slot != "w":
        behaviour = "works"
    stopped: list[int] = []  # not an event: its lock might be held where a signal interrupts

    def hear(number: int, _frame: object) -> None:
        say(f"{slot} {signal.Signals(number).name}")
        if number != signal.SIGHUP:
            stopped.append(number)

    parent = Parent.found()
    assert parent is not None
    with parent.told_of_errors():
        if behaviour == "can't":
            raise EnvironmentMissing("there is no broker")
    end_at_once(behaviour, {"dies early": 9})
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, hear)
    if slot != "w":
        time.sleep(0.3)  # the last to be set up
    say(f"{slot} is set up")
    parent.ready(1000 + len(slot))
    say(f"{slot} runs with {os.environ['RACCORD_CACHE_MIB']}")
    end_at_once(behaviour, {"ends": 0, "fails": 70})
    while not stopped:
        time.sleep(0.05)
    say(f"{slot} left")


def end_at_once(behaviour: str, codes: dict[str, int]) -> None:
    """End without a word, if that is how this process behaves."""
    if behaviour in codes:
        os._exit(codes[behaviour])


if __name__ == "__main__":
    main(sys.argv[1])
