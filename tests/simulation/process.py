"""A worker's process in a simulation: the real engine, put together as `engine.worker.Worker` does it, and its fate.

A process has one event loop and two threads that restore; each goes on in steps, which the scheduler chooses. At a
point of a step (before and after each call to the broker, and each write of rows) the fate that was drawn may strike:
- crash: the process ends there; its memory is gone, and of its rows what had not been flushed;
- freeze: all of it stops there, and goes on from there when it is thawed, as a zombie if it was replaced meanwhile;
- a fault of the broker's: no answer in time, an answer that comes late, a message that can't be delivered.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from faust.types import TP

from stream_app.engine.assignment import Assignment
from stream_app.engine.engine import Engine
from stream_app.engine.epoch import Epoch
from stream_app.engine.errors import FatalError
from stream_app.engine.observer import Observer
from stream_app.engine.producer import TransactionalProducer
from stream_app.engine.task import Clockwork
from stream_app.engine.transport import Gate
from stream_app.engine.watermark import BrokerClock
from tests.simulation.clients import PROCESS
from tests.simulation.fetching import Fetching
from tests.simulation.fiber import Fiber, Inline, suspend
from tests.simulation.seams import NOW, Call, Job

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from stream_app.engine.task import Task
    from tests.simulation.disk import Disk
    from tests.simulation.job import Job as Topology
    from tests.simulation.transactions import Broker

POINTS = (
    "produce",
    "before_flush",
    "after_flush",
    "before_offsets",
    "after_offsets",
    "before_commit",
    "after_commit",
    "before_rows",
    "after_rows",
    "before_abort",
    "in_restore",
    "init",
)
FAULTS = {
    "produce": ("fail",),
    "before_flush": ("timeout", "fail"),
    "before_offsets": ("timeout",),
    "before_commit": ("timeout", "late"),
}
"""Point -> what the broker may do there."""

GROUP = "simulated"
TIMEOUT_S = 2.0
STABLE_S = 2 * TIMEOUT_S + 5
_THREADS = 2


class Crashed(BaseException):
    """The process is no more. No error: nothing may handle it."""


class Fate(NamedTuple):
    """What strikes at which point, when that is reached for the how-manieth time."""

    what: str
    point: str
    left: int


class Process:
    """One life of one worker's slot."""

    def __init__(
        self, name: str, slot: str, topology: Topology, broker: Broker, disk: Disk, rnd: random.Random
    ) -> None:
        self.name = name
        self.slot = slot
        self.broker = broker
        self.disk = disk
        self.calm = False
        self.dead = False
        self.frozen = False
        self.zombie = False
        self.fate: Fate | None = None
        self.upset = False
        self.jobs: list[Job] = []
        self.calls: list[Call] = []
        self.threads: list[tuple[Call, Fiber]] = []
        self.busy: Fiber | None = None
        """What the event loop is blocked by."""
        self.member: tuple[str, int] | None = None
        self.member_id: str | None = None
        self.wrong: BaseException | None = None
        self.reached: list[str] = []
        self._random = rnd
        self._topology = topology
        self.engine: Engine
        self.fetching: Fetching
        self._run: Any

    def start(self) -> None:
        """Put the engine together; `stream_app.engine.worker` does the same."""
        topology = self._topology
        gate = Gate(live=topology.live)
        client = {PROCESS: self}
        producer = TransactionalProducer(client, f"{GROUP}-{self.slot}", TIMEOUT_S)
        broker_clock = BrokerClock()
        pace = topology.pace
        epoch = Epoch(producer, self.membership, self.broker.partitions, broker_clock, pace.watermark_s / 2)
        cache: Any = self  # see `disk`
        assignment = Assignment(
            topology.stages,
            self.broker.partitions,
            folder=Path(self.slot),
            client=client,
            stable_timeout_s=STABLE_S,
            clockwork=Clockwork(topology.mode, topology.tolerance_ms, topology.max_ahead_ms),
            gate=gate,
            epoch=epoch,
            observer=Observer(),
            cache=cache,
        )
        self.engine = Engine(
            assignment,
            epoch,
            dispatcher=topology.dispatcher,
            observer=Observer(),
            broker_clock=broker_clock,
            pace=pace,
            mode=topology.mode,
        )
        agents = [stage.name for stage in topology.stages]
        self.fetching = Fetching(self, gate, agents, topology.batch)
        self._run = self.engine.run()
        self.member_id = self.broker.group.enter()

    def membership(self) -> tuple[str, int, str] | None:
        """Return what the client knows of its group."""
        return None if self.member is None else (GROUP, self.member[1], self.member[0])

    # -- what the doubles ask --------------------------------------------------------------------------

    def alive(self) -> None:
        if self.dead:
            raise Crashed

    def point(self, name: str) -> str | None:
        """Come to a point; return the fault that is to happen there, if there is one."""
        if self.dead:
            raise Crashed
        fate = self.fate
        if fate is None or fate.point != name:
            return None
        if fate.left > 1:
            self.fate = fate._replace(left=fate.left - 1)
            return None
        self.fate = None
        self.reached.append(f"{fate.what} at {name}")
        if fate.what == "crash":
            self.dead = True
            raise Crashed
        if fate.what == "freeze":
            self.frozen = True
            self.pause()
            return None
        return fate.what

    def pause(self) -> None:
        """Let others go on, if this call may be stopped."""
        suspend()
        NOW.process = self
        if self.dead:
            raise Crashed

    def sleep(self, seconds: float) -> None:
        NOW.seconds += seconds
        self.broker.seconds, self.broker.now = NOW.seconds, int(NOW.time() * 1000)
        self.pause()

    def chance(self, probability: float) -> bool:
        return not self.calm and self._random.random() < probability

    def draw(self, below: int) -> int:
        return self._random.randrange(below)

    def partition_of(self, topic: str, key: bytes | None) -> int:
        return crc32(key or b"") % self.broker.partitions[topic]

    # -- what the scheduler does -----------------------------------------------------------------------

    def do(self, call: Callable[[], Any]) -> None:
        """Have the event loop make a call; where a fate is armed it may be stopped in its middle."""
        if self.fate is not None and self.fate.what != "crash":
            self.busy = Fiber(call)
            self.go_on()
            return
        NOW.process = self
        self._guarded(call)

    def go_on(self) -> None:
        """Go on with what the event loop is blocked by."""
        fiber = self.busy
        assert fiber is not None
        NOW.process = self
        self._guarded(lambda: self._ended(fiber))

    def _ended(self, fiber: Fiber) -> None:
        try:
            ended = fiber.resume()
        except BaseException:
            self.busy = None
            raise
        if ended:
            self.busy = None

    def _guarded(self, call: Callable[[], Any]) -> None:
        """Do what `Worker._guard` does: an error that comes out of the engine ends the process."""
        try:
            call()
        except Crashed:
            self.dead = True
        except FatalError as error:
            self.dead = True
            self.wrong = error if "epochs failed in a row" not in str(error) else None
        except Exception as error:  # noqa: BLE001 - the run is told of it
            self.dead = True
            self.wrong = error

    def fetch(self) -> None:
        self.fetching.step()

    def work(self, agent: str) -> None:
        taken = self.fetching.take(agent)
        if taken is not None:
            if self.upset:
                self._upset(self.engine.assignment.tasks.get(taken[0]))
            self.engine.process(*taken)

    def _upset(self, task: Task | None) -> None:
        """Have a task's handler fail once, when it has done its work; not where it failed: twice is a dead letter."""
        if task is None or not task.ready or task.suspect is not None:
            return
        self.upset = False
        handler: Any = task.handler
        process = handler.process

        def failing(records: Any) -> None:
            del handler.process
            process(records)
            if task.suspect is None:
                msg = "planted, once"
                raise RuntimeError(msg)

        handler.process = failing
        self.reached.append(f"failure of {task.stage.name}")

    def tick(self) -> None:
        """Go once round `Engine.run`."""
        self._run.send(None)

    def restore(self, choice: int) -> None:
        """Go on with one of the restores: in the event loop, or in one of its threads."""
        NOW.process = self
        ready = [job for job in self.jobs if job.ready()]
        places = len(ready) + len(self.threads) + (bool(self.calls) and len(self.threads) < _THREADS)
        if not places:
            return
        choice %= places
        if choice < len(ready):
            job = ready[choice]
            self._guarded(job.step)
            if job.done:
                self.jobs.remove(job)
        elif choice < len(ready) + len(self.threads):
            self._thread(*self.threads[choice - len(ready)])
        else:
            self._begin(self.calls.pop(0))

    def _begin(self, call: Call) -> None:
        """Begin a restore. Most go through without a stop: to stop one costs 0.1 ms."""
        task, _, shared = call.arguments
        waits = shared is not None and shared.lock.held  # for another restore, which has to go on meanwhile
        log = self.broker.logs[TP(task.stage.changelog, task.tp.partition)]
        fated = self.fate is not None and self.fate.point == "in_restore"
        if log.stable == log.end and not waits and not fated and not self.chance(0.3):
            thread: Any = Inline(call.call)
        else:
            thread = Fiber(call.call)
        self.threads.append((call, thread))
        self._thread(call, thread)

    def _thread(self, call: Call, fiber: Fiber) -> None:
        try:
            if not fiber.resume():
                return
            call.result = fiber.result
        except Crashed:
            self.dead = True
        except BaseException as error:  # noqa: BLE001 - the coroutine gets it
            call.error = error
        call.done = True
        self.threads.remove((call, fiber))

    def restoring(self) -> bool:
        return bool(self.jobs or self.calls or self.threads)

    def revoked(self) -> None:
        self.fetching.stop()
        self.engine.revoked()

    def assigned(self, tps: frozenset[TP], generation: int) -> None:
        assert self.member_id is not None
        self.member = (self.member_id, generation)
        self.fetching.go_on(tps, self.broker.group.offsets, generation)
        self.engine.assigned(set(tps))

    def bury(self, kept: Callable[[int], int]) -> None:
        """End what is left of a dead process; `kept` draws how many of so many batches were flushed."""
        self.dead = True
        self.calm = True
        for fiber in [fiber for _, fiber in self.threads] + ([self.busy] if self.busy is not None else []):
            while not fiber.done:
                with contextlib.suppress(BaseException):  # the dead say nothing
                    fiber.resume()
        self.threads.clear()
        self.busy = None
        for job in self.jobs:
            job.coroutine.close()
        self._close()
        for files in self.disk.values():
            if files.opened_by is self:
                files.crash(kept(len(files.written) + 1))

    def _close(self) -> None:
        run = getattr(self, "_run", None)
        if run is not None:
            run.close()
