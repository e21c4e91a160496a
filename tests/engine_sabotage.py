"""Breaks a worker of `engine_worker` on purpose, as its environment says, so that tests can see what notices.

`RACCORD_CRASH=point:n` ends the process the n-th time it comes to a point of a commit; `RACCORD_FREEZE=point:n`
stops it there with SIGSTOP, and it goes on from there when it is told to. `RACCORD_UNDELIVERED=point:n` has what waits
to be sent there fail, as a delivery that has timed out. A sound engine survives all of these at each point.
`RACCORD_LAG=seconds` has each stage rest between two messages, so that others that were fetched already wait behind.
`RACCORD_PLANT=bug` plants a bug that the engine was designed against; a test that can't tell it from a sound
engine shows nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import confluent_kafka

from stream_app.engine import changelog, epoch, orphans, producer
from stream_app.engine.assignment import Assignment
from stream_app.engine.epoch import Epoch
from stream_app.engine.errors import EpochAbortedError, FencedError
from stream_app.engine.store import Store
from stream_app.engine.task import Task
from stream_app.engine.transport import Gate
from stream_app.engine.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

CRASHED = 99
"""Exit code of a worker that was ended at a point."""

RESTORED = "a task's rows are restored"
"""What a worker says in its log for each of its tasks."""

UNDELIVERED = "what waited to be sent was thrown away"
"""What a worker says in its log when it did as `RACCORD_UNDELIVERED` says."""

HOW = ("CRASH", "FREEZE", "UNDELIVERED")

POINTS = (
    "before_flush",
    "after_flush",
    "after_offsets",
    "after_commit",
    "between_stores",
    "after_epoch",
    "in_restore",
)
"""In the order in which a commit comes to them; the last one is in the restore of a store. `before_flush` and
`after_offsets` count only commits of epochs that change rows."""

_NOT_BY_ITSELF_MS = 7_000
"""Less than the shortest transaction of a test may last, as librdkafka wants it."""


class Points:
    """Counts how often each point was reached, and does there what the environment says."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.rows = False
        self._left: dict[tuple[str, str], int] = {}
        for how in HOW:
            point, _, times = environment.get(f"RACCORD_{how}", "").partition(":")
            if point:
                assert point in POINTS, point
                self._left[how, point] = int(times)

    def wait_for(self, point: str) -> bool:
        """Tell whether anything is to be done at a point."""
        return any((how, point) in self._left for how in HOW)

    def begin(self, _epoch: Epoch, tasks: Iterable[Task]) -> None:
        """Begin a commit."""
        self.rows = any(task.dirty and task.store.dirty for task in tasks)

    def reach(self, point: str, producer: confluent_kafka.Producer | None = None) -> None:
        """Come to a point; `producer` is the one that has something to send there."""
        for how in HOW:
            left = self._left.get((how, point))
            if left is None:
                continue
            self._left[how, point] = left - 1
            if left != 1:
                continue
            if how == "CRASH":
                os._exit(CRASHED)
            elif how == "FREEZE":
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                assert producer is not None, "nothing is sent there"
                assert len(producer), "everything has been sent already"
                producer.purge(in_queue=True, in_flight=False)
                sys.stderr.write(f"{UNDELIVERED}\n")


def apply(environment: Mapping[str, str]) -> None:
    """Do to this process what its environment says."""
    points = Points(environment)
    _Producer.points = points
    _before(Epoch, "commit", points.begin)
    producer.Producer = _Producer
    _after(Store, "land", lambda *_: points.reach("between_stores"))
    _after(Epoch, "commit", lambda *_: points.reach("after_epoch"))
    _after(changelog.Restorer, "_apply", lambda *_: points.reach("in_restore"))
    _after(changelog.Restorer, "restore", lambda *_: sys.stderr.write(f"{RESTORED}\n"))
    if "RACCORD_LAG" in environment:
        _rest_between_messages(float(environment["RACCORD_LAG"]))
    plant = environment.get("RACCORD_PLANT")
    if plant in PLANTS:
        PLANTS[plant]()


def _rest_between_messages(seconds: float) -> None:
    """Have the agents rest, while the fetch loop goes on."""
    original = Worker._agent

    def agent(self: Worker) -> Callable[[Any], Any]:
        take = original(self)

        async def resting(stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for message in stream:
                yield message
                await asyncio.sleep(seconds)

        async def slow(stream: AsyncIterator[Any]) -> None:
            await take(resting(stream))

        return slow

    Worker._agent = agent


class _Producer(confluent_kafka.Producer):
    """librdkafka's producer, with the points around its calls."""

    points: Points

    def __init__(self, config: dict[str, Any]) -> None:
        if self.points.wait_for("before_flush"):
            # Or what was to be sent by the flush may have been sent before it, on a slow machine.
            config = {**config, "linger.ms": _NOT_BY_ITSELF_MS}
        super().__init__(config)

    def flush(self, *arguments: Any) -> Any:
        if self.points.rows:
            self.points.reach("before_flush", self)
        left = super().flush(*arguments)
        self.points.reach("after_flush")
        return left

    def send_offsets_to_transaction(self, *arguments: Any) -> None:
        super().send_offsets_to_transaction(*arguments)
        if self.points.rows:
            self.points.reach("after_offsets")

    def commit_transaction(self, *arguments: Any) -> None:
        super().commit_transaction(*arguments)
        self.points.reach("after_commit")


def _before(owner: type, name: str, call: Callable[..., None]) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, *arguments: Any, **options: Any) -> Any:
        call(self, *arguments, **options)
        return original(self, *arguments, **options)

    setattr(owner, name, wrapped)


def _after(owner: type, name: str, call: Callable[..., None]) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, *arguments: Any, **options: Any) -> Any:
        result = original(self, *arguments, **options)
        call(self)
        return result

    setattr(owner, name, wrapped)


def _leave_out_the_position() -> None:
    """Begin where the group's first offset is, not where the rows say."""
    original = Task.open

    def open_(self: Task, *arguments: Any) -> None:
        original(self, *arguments)
        self.position = 0

    Task.open = open_


def _write_rocksdb_first() -> None:
    """Write the rows before the transaction that makes them true."""
    original = Epoch.commit

    def commit(self: Epoch, tasks: Any) -> Any:
        for task in tasks:
            if task.dirty:
                task.store.rows.write([*task.store.changes(), task.meta()], task.changelog_position)
                if task.stage.tables:
                    task.store.rows._db.flush()  # there is no write-ahead log to survive the process
        return original(self, tasks)

    Epoch.commit = commit


def _do_not_wait_for_open_transactions() -> None:
    """Restore what is stable now, whatever a former owner may still commit."""
    original = changelog.Restorer._wait_stable

    def wait(self: Any, where: Any, cancelled: Any) -> tuple[int, int]:
        stable = self._committed.get_watermark_offsets(where, timeout=10)
        everything, self._all = self._all, _Answers(stable)
        try:
            return original(self, where, cancelled)
        finally:
            self._all = everything  # it is asked about the input too

    changelog.Restorer._wait_stable = wait
    _leave_open_transactions_alone()  # then there would be nothing to wait for


def _leave_open_transactions_alone() -> None:
    """Have the group's leader end none for a worker that is gone."""
    orphans._end = lambda *_arguments: None


class _Answers:
    """A client that gives one answer."""

    def __init__(self, answer: tuple[int, int]) -> None:
        self.answer = answer

    def get_watermark_offsets(self, *_arguments: Any, **_options: Any) -> tuple[int, int]:
        return self.answer

    def close(self) -> None: ...


def _take_what_was_fetched_before_a_seek() -> None:
    """Believe that offsets tell what is stale: whatever lies behind the position is taken."""
    original = Gate.reopen

    def reopen(self: Gate, *arguments: Any) -> int:
        original(self, *arguments)
        return -1

    Gate.reopen = reopen


def _trust_the_groups_offset() -> None:
    """Begin where the group's offset is, as consumers do, and not where the rows say."""
    of_group: dict[str, int] = {}
    groups: list[str] = []
    _after(Worker, "__init__", lambda worker: groups.append(worker.config.group))
    restore, open_ = Assignment._restore, Task.open

    def asking(self: Assignment, task: Task, *arguments: Any) -> Any:
        consumer = confluent_kafka.Consumer({**self._client, "group.id": groups[0]})
        (found,) = consumer.committed([confluent_kafka.TopicPartition(*task.tp)], timeout=10)
        consumer.close()
        of_group[task.id] = max(0, found.offset)
        return restore(self, task, *arguments)

    def opened(self: Task, *arguments: Any) -> None:
        open_(self, *arguments)
        self.position = of_group[self.id]

    Assignment._restore, Task.open = asking, opened


def _ignore_a_failed_delivery() -> None:
    """Take an epoch as committed whose transaction was aborted for a message that could not be delivered."""
    original = producer.TransactionalProducer.commit

    def commit(self: Any, *arguments: Any) -> None:
        try:
            original(self, *arguments)
        except FencedError:
            raise
        except EpochAbortedError as error:
            sys.stderr.write(f"planted: goes on though {error}\n")

    producer.TransactionalProducer.commit = commit


def _commit_though_fenced() -> None:
    """Commit what is there when the partitions are gone, without a word of which generation it is from."""
    original = epoch.group_metadata
    epoch.group_metadata = lambda group, _generation, _member: original(group, -1, "")
    _leave_open_transactions_alone()  # that fences too, by another way


PLANTS: dict[str, Callable[[], None]] = {
    "takes what was fetched before a seek": _take_what_was_fetched_before_a_seek,
    "trusts the group's offset": _trust_the_groups_offset,
    "leaves out the position": _leave_out_the_position,
    "writes RocksDB first": _write_rocksdb_first,
    "does not wait for open transactions": _do_not_wait_for_open_transactions,
    "ignores a failed delivery": _ignore_a_failed_delivery,
    "commits though it is fenced": _commit_though_fenced,
}
