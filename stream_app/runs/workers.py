"""Worker processes of a run: started with the run's settings, watched, stopped with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from stream_app.errors import Exit, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STOP_SECONDS = 30.0
_LAST_LINES = 5

WITH_PARENT = "RACCORD_END_WITH_PARENT"
"""Environment variable: the worker stops when the process that started it is gone."""

OF_THE_MACHINE = frozenset({"RACCORD_NATIVE"})
"""Settings that a run's workers have from the environment, as whoever starts the run has them."""


class WorkerProcess:
    """One `raccord worker`, its output in a log file."""

    def __init__(self, name: str, settings: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.command = [sys.executable, "-m", "stream_app", "worker"]
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("RACCORD_") or name in OF_THE_MACHINE
        }
        self._environment = {**inherited, **settings, "RACCORD_WORKER": name, WITH_PARENT: "1"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; output is appended to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self.command,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C reaches us first, and we stop it in order
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "not started"  # noqa: S101 - a programming error
        return self._process.pid

    def check(self) -> None:
        """Say so if it has ended by itself.

        Raises:
            UserError: it has; the message has the end of its log.
        """
        code = None if self._process is None else self._process.poll()
        if code is not None:
            tail = " | ".join(self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
            msg = f"worker {self.name} ended with exit code {code}; its log {self.log} ends: {tail}"
            raise UserError(msg, Exit.FAILED)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """Have it finish its epoch and leave; kill it when it doesn't. Return its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode or 0


def end_with_parent() -> None:
    """Stop this process, in order, when its parent is gone. Runs for ever; give it a daemon thread."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), 15)
