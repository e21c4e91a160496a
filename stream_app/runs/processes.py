"""A worker of several processes, for machines of several cores: Python code runs on one core a process.

Rules:
- Each process is a member of the group, with a slot of its own. The first has the worker's own name, so that a worker
  that is given more processes keeps what its stores hold; the others add their number.
- They join the group together, when all are set up: who joins later makes the others stop for a moment.
- What the worker is told (SIGTERM, SIGINT, SIGHUP), its processes are told, and by it alone: they are in process groups
  of their own.
- They end together. When one ends untold, the others are told to, and whoever supervises the worker starts it again.
  When the worker itself is gone, at once and without a word, they stop in order.

Worker and process speak through a pair of sockets, in lines of JSON: the process says `{"port": ...}` when it is set
up, or `{"error": ..., "code": ...}` when it can't be; the worker answers with `{}`. A socket's end is its owner's end.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from stream_app.errors import Exit, UserError
from stream_app.runs.workers import WITH_PARENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Self

    from stream_app.settings import Settings

log = structlog.get_logger(__name__)

SOCKET = "RACCORD_PROCESS_SOCKET"
"""Environment variable: the number of the open socket to the worker that a process belongs to."""

_COMMAND = (sys.executable, "-m", "stream_app", "worker")
_LEAST_CACHE_MIB = 8
_LEAVE_S = 60.0
"""So long may all take to finish their epochs and leave: as long as a container has (`deploy/compose.yaml`)."""
_LOOK_S = 1.0


def slots(worker: str, count: int) -> list[str]:
    """Return the slots of a worker's processes."""
    return [worker, *(f"{worker}.{number}" for number in range(1, count))]


class Processes:
    """The worker's side; a context manager that ends whatever still runs.

    Args:
        settings: the worker's. Its block cache is shared out.
        command: runs one process.
    """

    def __init__(self, settings: Settings, command: tuple[str, ...] = _COMMAND) -> None:
        self._worker = settings.worker
        self._slots = slots(settings.worker, settings.processes)
        self._cache_mib = max(_LEAST_CACHE_MIB, settings.cache_mib // settings.processes)
        self._command = command
        self._running: dict[socket.socket, subprocess.Popen[bytes]] = {}
        self._told = False

    def __enter__(self) -> Self:
        # Processes inherit that, and change it when they can hear it.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for heard in (signal.SIGTERM, signal.SIGINT):
            signal.signal(heard, self._stop)
        try:
            for slot in self._slots:
                self._start(slot)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._tell(signal.SIGTERM)
        for ours in self._running:
            ours.close()  # whoever still waits for the word will hear that there is none
        self._codes()

    def set_up(self) -> list[str]:
        """Wait until all processes are set up; return where their metrics are.

        Raises:
            UserError: one of them can't be; it says why.
        """
        return [
            f"http://127.0.0.1:{self._port(ours, process)}/metrics" for ours, process in self._running.items()
        ]

    def run(self) -> int:
        """Have all join the group, and wait for their end; return the worker's exit code."""
        signal.signal(signal.SIGHUP, self._pass_on)
        for ours in self._running:
            _say(ours, {})
        first = self._first_to_end()
        if self._told:
            return max(self._codes())
        self._tell(signal.SIGTERM)
        codes = self._codes()
        log.error("process_ended", worker=self._worker, exit_codes=codes, then="the worker ends")
        return codes[first] or Exit.FAILED

    def _first_to_end(self) -> int:
        """Wait until a process has ended; return its number."""
        with selectors.DefaultSelector() as selector:
            for number, ours in enumerate(self._running):
                selector.register(ours, selectors.EVENT_READ, number)
            while not (ended := selector.select(_LOOK_S)):
                pass  # for Python to look for signals that another thread was woken by
        return int(ended[0][0].data)

    def _start(self, slot: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {name: value for name, value in os.environ.items() if name != WITH_PARENT}
            environment |= {
                "RACCORD_PROCESSES": "1",
                "RACCORD_WORKER": slot,
                "RACCORD_MEMBER_OF": self._worker,
                "RACCORD_CACHE_MIB": str(self._cache_mib),
                "RACCORD_METRICS_HOST": "127.0.0.1",
                "RACCORD_METRICS_PORT": "0",
                SOCKET: str(theirs.fileno()),
            }
            self._running[ours] = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command, env=environment, pass_fds=[theirs.fileno()], process_group=0
            )
        if self._told:  # while this one was not there to hear it
            self._tell(signal.SIGTERM)

    def _port(self, ours: socket.socket, process: subprocess.Popen[bytes]) -> int:
        said = _heard(ours)
        if said is None and self._told:
            raise SystemExit(Exit.OK)
        if said is None:
            code = _exit_code(process.wait())
            msg = f"a process of worker {self._worker} ended with exit code {code} before it was set up; see above"
            raise UserError(msg, Exit.FAILED)
        if "error" in said:
            raise UserError(said["error"], Exit(said["code"]))
        return int(said["port"])

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._told = True
        self._tell(signal.SIGTERM)

    def _codes(self) -> list[int]:
        """Wait until all have ended that were told to, or have by themselves; return their exit codes."""
        deadline = time.monotonic() + _LEAVE_S
        for number, process in enumerate(self._running.values()):
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._kill(number, process)
        codes = [process.wait() for process in self._running.values()]
        # Who was told before it had begun had nothing to finish.
        return [Exit.OK if self._told and code == -signal.SIGTERM else _exit_code(code) for code in codes]

    def _kill(self, number: int, process: subprocess.Popen[bytes]) -> None:
        log.error("process_killed", worker=self._worker, process=number, reason="it did not end")
        process.kill()

    def _pass_on(self, heard: int, _frame: FrameType | None) -> None:
        if not self._told:
            self._tell(signal.Signals(heard))

    def _tell(self, what: signal.Signals) -> None:
        for process in self._running.values():
            process.send_signal(what)  # does nothing to one whose end has been seen


class Parent:
    """The process's side: the worker that it belongs to."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)

    @classmethod
    def found(cls) -> Parent | None:
        """Return the worker that this process belongs to; None: this process is a worker by itself."""
        number = os.environ.pop(SOCKET, None)
        return None if number is None else cls(int(number))

    @contextmanager
    def told_of_errors(self) -> Iterator[None]:
        """Have the worker say what went wrong, once, instead of each of its processes."""
        try:
            yield
        except UserError as error:
            _say(self._socket, {"error": error.message, "code": error.code})
            raise SystemExit(error.code) from error

    def ready(self, port: int) -> None:
        """Say that this process is set up, and wait for the word; from then on stop when the worker is gone."""
        _say(self._socket, {"port": port})
        if _heard(self._socket) is None:
            raise SystemExit(Exit.FAILED)
        threading.Thread(target=self._end_with_it, name="parent", daemon=True).start()

    def _end_with_it(self) -> None:
        while _heard(self._socket) is not None:
            pass
        os.kill(os.getpid(), signal.SIGTERM)


def _exit_code(code: int) -> int:
    """Return a process's exit code as a shell gives it: 128 and the signal that ended it."""
    return 128 - code if code < 0 else code


def _say(to: socket.socket, what: dict[str, Any]) -> None:
    try:
        to.sendall(json.dumps(what).encode() + b"\n")
    except OSError:
        log.debug("other_side_gone")  # who reads from it will see


def _heard(whom: socket.socket) -> dict[str, Any] | None:
    """Return what the other side says next; None: it has ended."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            more = whom.recv(1)
        except OSError:
            return None
        if not more:
            return None
        line += more
    said: dict[str, Any] = json.loads(line)
    return said
