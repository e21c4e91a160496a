"""The engine: hands batches to tasks, paces epochs, and rolls back what fails.

Everything here runs in the worker's event loop and nothing in it awaits between a batch's first record and its
last, so an epoch always sees whole batches. What fails is told apart:
- a handler raises: the epoch is rolled back, the batch comes again in halves, each committed alone, until the
  one record that does it is found; that one goes to the dead letters in the same transaction as its neighbours;
- a delivery or commit fails: rolled back and tried again, a few times, then `FatalError`;
- the group fenced us: rolled back, and nothing is read before the next assignment;
- a commit is left unanswered: stores are reopened from their changelogs.

Between two epochs, when nothing is uncommitted, `between_epochs` is called: there, and only there, what all tasks go by
may be replaced. It must return at once.
"""

from __future__ import annotations

import asyncio
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from stream_app.engine.codec import WATERMARK_HEADER, decode_arrivals, decode_marker, decode_watermarks
from stream_app.engine.epoch import gathered, local_ms
from stream_app.engine.errors import (
    EpochAbortedError,
    FatalError,
    FencedError,
    HandlerError,
    OutcomeUnknownError,
)
from stream_app.engine.flights import ARRIVALS_HEADER, FLIGHT_HEADER
from stream_app.engine.pace import Pacer
from stream_app.engine.task import Task
from stream_app.engine.watermark import SourceWatermark, TimeMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faust.types import TP

    from stream_app.engine.assignment import Assignment
    from stream_app.engine.epoch import Epoch
    from stream_app.engine.observer import Observer
    from stream_app.engine.pace import Pace
    from stream_app.engine.stage import Dispatcher
    from stream_app.engine.transport import Batch
    from stream_app.engine.watermark import BrokerClock

log = structlog.get_logger(__name__)

_HEADERS = attrgetter("headers")
_OWN_HEADERS = frozenset({WATERMARK_HEADER, ARRIVALS_HEADER})


class _RolledBackError(Exception):
    """The epoch ended badly in the middle of a batch, and everything has been sought back."""


class Engine:
    """Drives the tasks of one worker."""

    def __init__(
        self,
        assignment: Assignment,
        epoch: Epoch,
        *,
        dispatcher: Dispatcher,
        observer: Observer,
        broker_clock: BrokerClock,
        pace: Pace,
        mode: TimeMode,
        between_epochs: Callable[[], None] | None = None,
    ) -> None:
        self.assignment = assignment
        self.epoch = epoch
        self.dispatcher = dispatcher
        self.observer = observer
        self.pace = pace
        self.stopping = False
        self._broker_clock = broker_clock
        self._mode = mode
        self._between_epochs = between_epochs
        self._failures = 0
        self._fenced_at: float | None = None
        self._busy = 0.0
        self._pacer = Pacer(pace, time.monotonic())

    def process(self, tp: TP, batch: Batch) -> None:
        """Take one batch of one partition; stale ones and records from before its position are skipped.

        Raises:
            FatalError: the worker can't go on.
        """
        task = self.assignment.tasks.get(tp)
        if task is None or not task.ready or batch.incarnation <= task.since or self.stopping:
            return
        records = batch.records
        if records[0].offset < task.position:
            records = [record for record in records if record.offset >= task.position]
        started = time.monotonic()
        while records:
            piece = records if task.suspect is None else _first_half(records, task.suspect)
            if not self._attempt(task, piece):
                return
            records = records[len(piece) :]
            if task.suspect is not None:
                if not self.commit():
                    return
                self._cleared(task, piece[-1].offset + 1)
        now = time.monotonic()
        self._busy += now - started
        if self._pacer.due(now, at_hand=self._at_hand):
            self._follow_clocks()
            self._meet()
            if self._fire_due() and self.commit():
                self.pause()

    def _attempt(self, task: Task, records: Sequence[Any]) -> bool:
        started = time.monotonic()
        self._pacer.begin(started)
        task.take(records[0].offset, records[-1].offset)
        poison = len(records) == 1 and task.suspect == (records[0].offset, -1) and not _own(records[0])
        try:
            if poison:
                self._set_aside(task, records[0])
                task.position = records[0].offset + 1
            else:
                self._run(task, records)
        except (FatalError, _RolledBackError) as error:
            if isinstance(error, FatalError):
                raise
            return False
        except EpochAbortedError as error:
            self._rolled_back(error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, nothing may be acknowledged
            self._handler_failed(task, error)
            return False
        seconds = time.monotonic() - started
        self._pacer.worked(len(records), seconds)
        self.observer.batch(task, len(records), seconds)
        return True

    def _run(self, task: Task, records: Sequence[Any]) -> None:
        """Give data records to the handler, and take out of the stream, in order, what is the engine's own."""
        start = 0
        if any(map(_HEADERS, records)):
            for index, record in enumerate(records):
                if not record.headers:
                    continue
                name, value = record.headers[0]
                if name == FLIGHT_HEADER and task.flights is not None:
                    task.flights.arrive(value)
                elif name in _OWN_HEADERS and _readable(task, name, record.value):
                    if index > start:
                        task.handler.process(records[start:index])
                    start = index + 1
                    self._take(task, name, record)
        if start < len(records):
            task.handler.process(records[start:] if start else records)
            if task.follows_clock:
                self._fire_passed(task, records[-1].offset + 1)
        task.position = records[-1].offset + 1

    def _fire_passed(self, task: Task, position: int) -> None:
        """Fire what a source's own events or markers have passed; all before `position` is done by then."""
        if task.stage.tables and task.timers.earliest < task.clock:
            task.position = position  # an epoch may end between two timers
            self._fire(task)

    def _take(self, task: Task, name: str, record: Any) -> None:
        """Take in a record of the engine's own: watermarks, a clock marker, arrivals."""
        value = record.value or b""
        if isinstance(task.watermark, SourceWatermark):
            marker = decode_marker(value) if name == WATERMARK_HEADER else None
            if marker is not None:
                task.watermark.mark(marker)
                self._fire_passed(task, record.offset)
            return
        try:
            told = decode_watermarks(value) if name == WATERMARK_HEADER else {}
            arrived = decode_arrivals(value) if name == ARRIVALS_HEADER else {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a text that is none is the latter
            msg = (
                f"{task.id} holds a record at {record.offset} that only a worker writes, and it can't be read"
            )
            raise FatalError(msg) from error
        if arrived and task.flights is not None:
            task.flights.acknowledged(arrived)
        if told and task.advance(told) and task.stage.tables:
            task.position = record.offset  # all before it is done: an epoch may end between two timers
            self._fire(task)

    def _fire(self, task: Task) -> None:
        """Fire every timer that is due, before anything else is read: a replay must do what was done live."""
        while due := task.timers.due(task.clock, self.pace.timers):
            task.dirty = True
            for timer in due:
                if timer in task.bad_timers:
                    self.dispatcher.poison_timer(task, *timer)
                    continue
                try:
                    task.handler.fire(*timer)
                except EpochAbortedError:
                    raise
                except Exception:
                    task.bad_timers.add(timer)
                    raise
            if self._overdue():
                taken = task.taken
                if not self.commit():
                    raise _RolledBackError
                if taken is not None:  # the rest of the batch belongs to the next epoch
                    task.take(*taken)

    def _overdue(self) -> bool:
        return self._pacer.overdue(time.monotonic())

    def _at_hand(self) -> bool:
        """Tell whether records wait that have been fetched already."""
        gate = self.assignment.gate
        return any(gate.at_hand(task.tp, task.position) for task in self.assignment.ready())

    def _set_aside(self, task: Task, record: Any) -> None:
        """Send a record on which its handler fails to the dead letters; it has arrived all the same."""
        try:
            self.dispatcher.poison(task, record, RuntimeError("its handler failed twice"))
        except EpochAbortedError:
            raise
        except Exception as error:
            msg = f"the record at {record.offset} of {task.id} can neither be processed nor set aside"
            raise FatalError(msg) from error
        if record.headers and record.headers[0][0] == FLIGHT_HEADER and task.flights is not None:
            task.flights.arrive(record.headers[0][1])

    def _handler_failed(self, task: Task, error: BaseException) -> None:
        """Roll back, and look for the record that does it among those of this epoch."""
        if task.taken is not None:
            first, last = task.taken
            # A record that fails alone is tried twice: the second time its neighbours are out of the way.
            task.suspect = (first, -1 if first == last and task.suspect == (first, last + 1) else last + 1)
        log.warning(
            "handler_failed",
            stage=task.stage.name,
            task=task.id,
            offsets=task.taken,
            error=type(error).__name__,
            where=_where(error),
        )
        self.epoch.producer.abort()
        self.observer.aborted("handler")
        self._rewind()

    def _cleared(self, task: Task, position: int) -> None:
        """A piece of a suspect stretch went through: look further on, or stop looking."""
        if task.suspect is not None and position > task.suspect[0]:
            end = task.suspect[1]
            task.suspect = (position, end) if position < end else None

    def tick(self) -> None:
        """Advance clocks, fire what is due, and commit if there is anything to commit."""
        if self._fenced_at is not None and time.monotonic() - self._fenced_at > self.pace.fenced_s:
            msg = f"without partitions for {self.pace.fenced_s:.0f} s: the group gave none back"
            raise FatalError(msg)
        ready = self.assignment.ready()
        if self.stopping or not ready:
            return
        self._follow_clocks()
        self._meet()
        if not self._fire_due():
            return
        now = time.monotonic()
        if any(task.dirty for task in ready):
            if self._pacer.overdue(now) or not self._at_hand():
                self.commit()
        elif self._pacer.age(now) > self.pace.watermark_s and self.epoch.unsaid(ready):
            self.commit()

    def pause(self) -> None:
        """Let what all tasks go by be replaced, unless an epoch is under way."""
        if self._between_epochs is not None and not any(task.dirty for task in self.assignment.ready()):
            self._between_epochs()

    def _meet(self) -> None:
        """Let timers go by how far all tasks of their stage have come, where this worker has all of them.

        Nothing is under way before the smallest of what they may announce, this epoch included, and nothing will be.
        To be told of it in the next epoch, as by others, would make every trigger late by that much.
        """
        for tasks in gathered(self.assignment.ready()).values():
            reached = min(task.announced for task in tasks)
            for task in tasks:
                task.reach(reached)

    def _fire_due(self) -> bool:
        """Fire what is due, of all tasks; return whether that went well."""
        return all(
            self._fired(task)
            for task in self.assignment.ready()
            if task.stage.tables and task.timers.earliest < task.clock
        )

    def _fired(self, task: Task) -> bool:
        """Fire a task's timers outside of a batch; return whether that went well."""
        try:
            self._fire(task)
        except EpochAbortedError as error:
            self._rolled_back(error)
            return False
        except _RolledBackError:
            return False
        except FatalError:
            raise
        except Exception as error:  # noqa: BLE001 - a timer's handler may raise anything
            self._handler_failed(task, error)
            return False
        return True

    def _follow_clocks(self) -> None:
        """Move the clocks of sources to where all of their records have been processed."""
        if self._mode is not TimeMode.WALL:
            return
        for task in self.assignment.ready():
            if isinstance(task.watermark, SourceWatermark):
                read_up_to = self.assignment.gate.read_up_to(task.tp, task.position)
                now = None if read_up_to is None else self._broker_clock.now(read_up_to)
                if now is not None:
                    task.watermark.caught_up(now)

    def commit(self) -> bool:
        """Commit the epoch; return whether it was committed."""
        tasks = self.assignment.ready()
        try:
            written = self.epoch.commit(tasks)
        except HandlerError as error:
            self._flush_failed(error)
            return False
        except EpochAbortedError as error:
            self._rolled_back(error)
            return False
        except OutcomeUnknownError as error:
            self._failed(error)
            self.observer.aborted("unknown")
            self.assignment.reopen_all()
            return False
        self._failures = 0
        self.observer.committed(self._pacer.records, written.changes, written.seconds)
        now = self._broker_clock.now(local_ms()) if self._mode is TimeMode.WALL else None
        waiting = 0
        for task in tasks:
            self.observer.watermark(task, task.clock)
            lag = self.assignment.gate.waiting(task.tp, task.position)
            if lag is not None:
                self.observer.lag(task, lag)
                waiting += lag
            if task.tally or task.fired:
                self.observer.counted(task, now)
                task.tally.clear()
                task.fired.clear()
        self._pacer.committed(time.monotonic(), written.seconds, waiting)
        return True

    def _flush_failed(self, error: HandlerError) -> None:
        task = error.task
        if not isinstance(task, Task) or task.taken is None:
            msg = f"a stage failed at the end of an epoch in which it read nothing: {error}"
            raise FatalError(msg) from error
        self._handler_failed(task, error.__cause__ or error)

    def _rolled_back(self, error: EpochAbortedError) -> None:
        self.epoch.producer.abort()  # once more where the commit did it already: an empty one costs nothing
        if isinstance(error, FencedError):
            log.info("fenced", reason=str(error))
            self.observer.aborted("fenced")
            self._suspend()
            return
        self._failed(error)
        self.observer.aborted("delivery")
        self._rewind()

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        log.warning("epoch_failed", reason=str(error), attempt=self._failures, of=self.pace.failures)
        if self._failures >= self.pace.failures:
            msg = f"{self._failures} epochs failed in a row, the last one because {error}"
            raise FatalError(msg) from error
        # Nothing better to do than to wait: the whole worker shares the transaction that failed.
        time.sleep(min(0.05 * 2**self._failures, 5.0))

    def _rewind(self) -> None:
        """Go back to the last commit: drop what this epoch wrote, and read its input again."""
        self._pacer.dropped()
        for task in self.assignment.ready():
            if task.dirty:
                task.abort()
                task.since = self.assignment.gate.reopen(task.tp, task.position)

    def revoked(self) -> None:
        """Finish the epoch and let go of all partitions; those that come straight back keep their stores."""
        if any(task.dirty for task in self.assignment.ready()):
            self.commit()
        self._suspend()

    def _suspend(self) -> None:
        self._fenced_at = self._fenced_at or time.monotonic()
        self._pacer.dropped()
        self.assignment.suspend()

    def assigned(self, tps: set[TP]) -> None:
        """Take over partitions."""
        self._fenced_at = None
        self.assignment.assign(tps)

    async def run(self) -> None:
        """Pace epochs until stopped.

        Raises:
            FatalError: the worker can't go on.
        """
        before = time.monotonic()
        while not self.stopping:
            now = time.monotonic()
            loaded = self._busy > (now - before) / 2
            before, self._busy = now, 0.0
            await asyncio.sleep(self._pacer.interval if loaded else self._pacer.pause)
            if not self.stopping:
                self.assignment.check()
                self.tick()
                self.pause()

    def stop(self) -> None:
        """Finish the epoch and close everything: the worker is leaving the group."""
        if not self.stopping:
            self.revoked()
            self.stopping = True
            self.assignment.close()
            self.epoch.producer.close()


def _first_half(records: Sequence[Any], suspect: tuple[int, int]) -> Sequence[Any]:
    """Return the records before the suspect stretch; when there are none, the first half of those in it."""
    start, end = suspect
    before = sum(1 for record in records if record.offset < start)
    if before:
        return records[:before]
    inside = sum(1 for record in records if start <= record.offset < end)
    return records[: max(1, inside // 2)]


def _readable(task: Task, name: str, value: bytes | None) -> bool:
    """Say whether a record that claims to be the engine's own is: producers' topics may hold anything."""
    return not task.follows_clock or (name == WATERMARK_HEADER and decode_marker(value) is not None)


def _own(record: Any) -> bool:
    """Say whether a record is the engine's own: it fails only when a timer does, and must not be set aside."""
    return bool(record.headers) and record.headers[0][0] in _OWN_HEADERS


def _where(error: BaseException) -> str:
    """Return file and line of an error: its text may hold an event's values, its place can't."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
