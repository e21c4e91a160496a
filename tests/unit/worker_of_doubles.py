"""Runs a worker of two processes that are doubles: `worker_of_doubles.py BEHAVIOUR` (see `worker_process_double`)."""

from __future__ import annotations

import sys
from pathlib import Path

from stream_app.errors import UserError
from stream_app.runs.processes import Processes
from stream_app.settings import Settings
from tests.unit.worker_process_double import say

DOUBLE = Path(__file__).with_name("worker_process_double.py")


def main(behaviour: str) -> int:
    """Live a worker's life; return its exit code."""
    settings = Settings(worker="w", processes=2, cache_mib=100)
    try:
        with Processes(settings, (sys.executable, str(DOUBLE), behaviour)) as processes:
            say(" ".join(["set up", *processes.set_up()]))
            return processes.run()
    except UserError as error:
        say(f"error {error.message}")
        return error.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
