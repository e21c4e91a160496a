"""Calls that can be stopped in their middle and go on later, whatever code lies in between.

A real call is blocked by the broker, or its process is frozen, while others go on. So a call that may be stopped runs
in a thread of its own; only one of all threads runs at any moment, and who does is handed over explicitly: the outcome
depends on nothing but the order in which fibers are resumed. Threads are used again: a new one costs 0.1 ms.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class _Thread:
    """A thread that waits to be given a fiber."""

    def __init__(self) -> None:
        self.go = threading.Lock()
        self.go.acquire()
        self.back = threading.Lock()
        self.back.acquire()
        self.fiber: Fiber | None = None
        threading.Thread(target=self._serve, name="fiber", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.go.acquire()
            fiber = self.fiber
            assert fiber is not None
            try:
                fiber.result = fiber.call()
            except BaseException as error:  # noqa: BLE001 - it is raised where the fiber is resumed
                fiber.error = error
            fiber.done = True
            self.fiber = None
            self.back.release()


_idle: list[_Thread] = []
_running: list[Fiber] = []


class Fiber:
    """A call that may be stopped by `suspend`."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = _idle.pop() if _idle else _Thread()
        self._thread.fiber = self

    def resume(self) -> bool:
        """Go on until the call ends or is stopped; return whether it has ended. Raises what it raises."""
        thread = self._thread
        _running.append(self)
        thread.go.release()
        thread.back.acquire()
        _running.pop()
        if not self.done:
            return False
        _idle.append(thread)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return True


class Inline:
    """A call that is made at once, in no fiber of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.done = False
        self.result: Any = None

    def resume(self) -> bool:
        """Make the call; return True, for it has ended. Raises what it raises."""
        self.done = True
        self.result = self.call()
        return True


def suspend() -> None:
    """Stop the fiber that runs, until it is resumed; nothing happens outside of one."""
    if _running:
        thread = _running[-1]._thread
        thread.back.release()
        thread.go.acquire()
