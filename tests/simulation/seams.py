"""Where the engine meets clients, threads and clocks: what stands there in a simulation, and nothing else.

Real, unchanged: Engine, Epoch, Pacer, Task, Store, Timers, Flights, watermarks, Assignment, Restorer,
TransactionalProducer, Gate, Aligner, and the fetch loop of `BatchConsumer`. Replaced:
- `confluent_kafka.Producer` and `Consumer`: `clients`.
- `engine.store.Rows`, and deleting its folder: `disk`. RocksDB can't be made to lose its memory at a chosen batch.
- `time` in each module that asks it: the scheduler's clock. Nothing really sleeps.
- `asyncio` in `assignment` and `engine`: coroutines are kept, and gone on with by the scheduler. What goes to the
  pool of restoring threads runs in a fiber, two at a time as there.
- `threading.Event` in `task` and `threading.Lock` in `assignment`: waiting for them passes simulated time.
- Faust, aiokafka's connection, and what `Worker` does with them: `process` and `fetching`.
- Logs are dropped.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from stream_app.engine import assignment, changelog, engine, epoch, producer, task, transport
from stream_app.engine.transport import BatchConsumer
from tests.simulation.clients import SimulatedConsumer, SimulatedProducer
from tests.simulation.disk import SimulatedRows

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from tests.simulation.process import Process

START_S = 1_800_000_000.0
"""The wall clock when a simulation begins."""


class Now:
    """The one clock, and whose code runs; what is installed in the engine's modules asks here."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.process: Process | None = None

    # -- as the module `time` --------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.seconds

    def monotonic_ns(self) -> int:
        return int(self.seconds * 1_000_000_000)

    def time(self) -> float:
        return START_S + self.seconds

    def sleep(self, seconds: float) -> None:
        assert self.process is not None
        self.process.sleep(seconds)


NOW = Now()


class Event:
    """`threading.Event`, for which waiting is simulated."""

    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def wait(self, timeout: float) -> bool:
        if not self._set:
            NOW.sleep(timeout)
        return self._set


class Lock:
    """`threading.Lock`, for which whoever waits lets others go on: the one who holds it may be stopped midway."""

    def __init__(self) -> None:
        self.held = False

    def __enter__(self) -> None:
        while self.held:
            NOW.sleep(0.01)
        self.held = True

    def __exit__(self, *_exc: object) -> None:
        self.held = False


class Job:
    """A coroutine that the worker's event loop would go on with by itself."""

    def __init__(self, coroutine: Any) -> None:
        self.coroutine = coroutine
        self.waits_for: Call | Job | None = None
        self.done = False

    def __await__(self) -> Generator[Any, Any, None]:
        yield self

    def ready(self) -> bool:
        return not self.done and (self.waits_for is None or self.waits_for.done)

    def step(self) -> None:
        """Go on to the next `await`."""
        try:
            before, self.waits_for = self.waits_for, None
            if isinstance(before, Call) and before.error is not None:
                self.waits_for = self.coroutine.throw(before.error)
            else:
                self.waits_for = self.coroutine.send(before.result if isinstance(before, Call) else None)
        except StopIteration:
            self.done = True


class Call:
    """A call that was given to the pool of threads."""

    def __init__(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.call = lambda: call(*arguments)
        self.arguments = arguments
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


class _Loop:
    """The running event loop, as far as a restore asks for it."""

    @staticmethod
    def run_in_executor(_pool: Any, call: Callable[..., Any], *arguments: Any) -> Call:
        found = Call(call, arguments)
        assert NOW.process is not None
        NOW.process.calls.append(found)
        return found


class _Nap:
    """A sleep of the event loop's: whoever drives the coroutine decides when it is over."""

    def __init__(self, _seconds: float) -> None: ...

    def __await__(self) -> Generator[None, None, None]:
        yield


def _spawn(coroutine: Any) -> Job:
    job = Job(coroutine)
    assert NOW.process is not None
    NOW.process.jobs.append(job)
    return job


async def _wait(jobs: list[Job]) -> None:
    for job in jobs:
        if not job.done:
            await job


def _wipe(folder: Path) -> None:
    assert NOW.process is not None
    NOW.process.disk.pop(folder.name, None)


class _Silent:
    """A logger that says nothing."""

    def _nothing(self, *_arguments: Any, **_options: Any) -> None: ...

    info = warning = error = critical = debug = _nothing


@contextmanager
def installed() -> Iterator[None]:
    """Have the engine run on doubles, for as long as the block lasts."""
    loop = SimpleNamespace(
        ensure_future=_spawn,
        wait=_wait,
        get_running_loop=_Loop,
        CancelledError=asyncio.CancelledError,
        sleep=_Nap,
    )
    with pytest.MonkeyPatch.context() as patch:
        for module in (assignment, changelog, engine, epoch, producer, transport):
            patch.setattr(module, "time", NOW)
        for module in (assignment, engine):
            patch.setattr(module, "asyncio", loop)
            patch.setattr(module, "log", _Silent())
        patch.setattr(task, "threading", SimpleNamespace(Event=Event))
        patch.setattr(assignment, "threading", SimpleNamespace(Lock=Lock, local=threading.local))
        patch.setattr(producer, "Producer", SimulatedProducer)
        patch.setattr(changelog, "Consumer", SimulatedConsumer)
        patch.setattr(assignment, "Rows", SimulatedRows)
        patch.setattr(assignment, "wipe", _wipe)
        patch.setattr(
            assignment, "ThreadPoolExecutor", lambda *_, **__: SimpleNamespace(shutdown=lambda **_: None)
        )
        patch.setattr(BatchConsumer, "should_stop", False)
        yield
