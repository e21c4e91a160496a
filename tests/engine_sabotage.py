"""Breaks a worker of `engine_worker` on purpose, as its environment says, so that tests can see what notices.

`RACCORD_CRASH=point:n` ends the process the n-th time it comes to a point of a commit; `RACCORD_FREEZE=point:n`
stops it there with SIGSTOP, and it goes on from there when it is told to. A sound engine survives both at each point.
`RACCORD_PLANT=bug` plants a bug that the engine was designed against; a test that can't tell it from a sound
engine shows nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import confluent_kafka

from stream_app.engine import changelog, producer
from stream_app.engine.epoch import Epoch
from stream_app.engine.store import Store
from stream_app.engine.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CRASHED = 99
"""Exit code of a worker that was ended at a point."""

RESTORED = "a task's rows are restored"
"""What a worker says in its log for each of its tasks."""

POINTS = (
    "before_flush",
    "after_flush",
    "after_offsets",
    "after_commit",
    "between_stores",
    "after_epoch",
    "in_restore",
)
"""In the order in which a commit comes to them; the last one is in the restore of a store. `after_offsets` counts
only commits of epochs that change rows."""


class Points:
    """Counts how often each point was reached, and does there what the environment says."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.rows = False
        self._left: dict[tuple[str, str], int] = {}
        for how in ("CRASH", "FREEZE"):
            point, _, times = environment.get(f"RACCORD_{how}", "").partition(":")
            if point:
                assert point in POINTS, point
                self._left[how, point] = int(times)

    def begin(self, _epoch: Epoch, tasks: Iterable[Task]) -> None:
        """Begin a commit."""
        self.rows = any(task.dirty and task.store.dirty for task in tasks)

    def reach(self, point: str) -> None:
        """Come to a point."""
        for how in ("CRASH", "FREEZE"):
            left = self._left.get((how, point))
            if left is None:
                continue
            self._left[how, point] = left - 1
            if left == 1 and how == "CRASH":
                os._exit(CRASHED)
            if left == 1:
                os.kill(os.getpid(), signal.SIGSTOP)


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
    plant = environment.get("RACCORD_PLANT")
    if plant:
        PLANTS[plant]()


class _Producer(confluent_kafka.Producer):
    """librdkafka's producer, with the points around its calls."""

    points: Points

    def flush(self, *arguments: Any) -> Any:
        self.points.reach("before_flush")
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
        self._all = _Answers(stable)
        return original(self, where, cancelled)

    changelog.Restorer._wait_stable = wait


class _Answers:
    """A client that gives one answer."""

    def __init__(self, answer: tuple[int, int]) -> None:
        self.answer = answer

    def get_watermark_offsets(self, *_arguments: Any, **_options: Any) -> tuple[int, int]:
        return self.answer

    def close(self) -> None: ...


PLANTS: dict[str, Callable[[], None]] = {
    "leaves out the position": _leave_out_the_position,
    "writes RocksDB first": _write_rocksdb_first,
    "does not wait for open transactions": _do_not_wait_for_open_transactions,
}
