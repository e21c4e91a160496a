"""The worker of `engine_worker` with something planted: a handler that fails, or an eye on the engine.

What was planted says what it sees in lines that begin with `SAID`. Run as a process, with the probe's name in
the environment: `PROBE=failing_timers python -m tests.engine_probes GROUP WORKER FOLDER`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka.client import AIOKafkaClient
from aiokafka.partitioner import murmur2
from aiokafka.protocol.fetch import FetchRequest

from stream_app.engine.assignment import Assignment
from stream_app.engine.engine import Engine
from stream_app.engine.errors import EpochAbortedError
from stream_app.engine.producer import TransactionalProducer
from stream_app.engine.standby import Standbys
from stream_app.engine.store import Rows
from stream_app.engine.watermark import TimeMode
from tests import engine_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_app.engine.task import Task
    from stream_app.engine.worker import Worker

    Build = Callable[[], Worker]

SAID = "SAID"
RESTORING, JOINING = "restoring", "joining"
TOO_LARGE = b"too-large"
BAD = b"bad"
SLOW_RESTORE_S = 8.0
"""From the worker's start."""
IMPATIENCE_S = 2.0
"""Faust's longest time between two fetches, in a slow restore."""

LONG_BATCH_S = 5.0

UNREAD_S = 0.7
"""How long the broker's answers lie unread: well beyond the tolerance of clocks."""


def say(*words: object) -> None:
    sys.stderr.write(f"{' '.join(map(str, (SAID, *words)))}\n")
    sys.stderr.flush()


def sound(build: Build) -> Worker:
    """Plant nothing."""
    return build()


def failing_timers(build: Build) -> Worker:
    """Timers that are due at an odd time fail whenever they fire."""

    class Count(engine_worker.Count):
        def fire(self, due: int, key: bytes) -> None:
            if due % 2:
                msg = "planted"
                raise ValueError(msg)
            super().fire(due, key)

    engine_worker.Count = Count
    return build()


def failing_flush(build: Build) -> Worker:
    """An epoch in which a record of the key "bad" was counted fails at its end."""

    class Count(engine_worker.Count):
        def __init__(self, task: Task, target: str) -> None:
            super().__init__(task, target)
            self.held: set[bytes] = set()

        def process(self, records: Sequence[Any]) -> None:
            super().process(records)
            self.held.update(record.key for record in records)

        def flush(self) -> None:
            if BAD in self.held:
                msg = "planted"
                raise ValueError(msg)
            self.held.clear()

        def reset(self) -> None:
            self.held.clear()

    engine_worker.Count = Count
    return build()


def failing_start(build: Build) -> Worker:
    """The handler of one partition can't be made."""

    class Count(engine_worker.Count):
        def __init__(self, task: Task, target: str) -> None:
            if task.tp.partition == 1:
                msg = "planted: no handler"
                raise ValueError(msg)
            super().__init__(task, target)

    engine_worker.Count = Count
    return build()


def large_output(build: Build) -> Worker:
    """Some records make an output that is larger than any topic takes."""

    class Count(engine_worker.Count):
        def process(self, records: Sequence[Any]) -> None:
            super().process(records)
            for record in records:
                if record.value == TOO_LARGE:
                    self.task.send(self.target, os.urandom(2_000_000), record.key)

    engine_worker.Count = Count
    return build()


def slow_restore(build: Build) -> Worker:
    """Nothing is restored for some seconds, during which nothing is fetched either."""
    restore, until = Assignment._restore, time.monotonic() + SLOW_RESTORE_S

    def slowly(self: Assignment, task: Task, *arguments: Any) -> Any:
        say(RESTORING, task.id)
        while time.monotonic() < until and not task.cancelled.is_set():
            time.sleep(0.05)
        return restore(self, task, *arguments)

    Assignment._restore = slowly
    worker = build()
    worker.app.conf.broker_max_poll_interval = IMPATIENCE_S

    @worker.app.on_partitions_assigned.connect(weak=False)
    async def assigned(_app: Any, _assigned: Any, **_kwargs: Any) -> None:
        say("assigned")

    return worker


def late_records(build: Build) -> Worker:
    """Tells of records that come when their task's clock has passed their time."""
    _tell_of_late_records()
    return build()


def late_answers(build: Build) -> Worker:
    """The same, in a worker that gets to see the broker's answers a while after they were given."""
    _tell_of_late_records()
    send = AIOKafkaClient.send

    async def slow(self: AIOKafkaClient, node_id: int, request: Any, **options: Any) -> Any:
        answer = await send(self, node_id, request, **options)
        if isinstance(request, FetchRequest):
            await asyncio.sleep(UNREAD_S)
        return answer

    AIOKafkaClient.send = slow
    return build()


def _tell_of_late_records() -> None:
    class Forward(engine_worker.Forward):
        def process(self, records: Sequence[Any]) -> None:
            for record in records:
                if record.timestamp < self.task.clock:
                    say("late", self.task.clock - record.timestamp)
            super().process(records)
            say("took", len(records))

    engine_worker.Forward = Forward


def books(build: Build) -> Worker:
    """Counts commits, and what Faust keeps for commits of its own."""
    commits = 0
    commit = TransactionalProducer.commit

    def counted(self: TransactionalProducer, *arguments: Any) -> None:
        nonlocal commits
        commit(self, *arguments)
        commits += 1

    TransactionalProducer.commit = counted
    worker = build()

    @worker.app.task
    async def tell() -> None:
        while True:
            await asyncio.sleep(0.5)
            consumer = worker.app.consumer
            kept = [
                sum(map(len, each.values()))
                for each in (consumer._gap, consumer._acked, consumer._acked_index)
            ]
            say("books", round(time.monotonic(), 3), commits, sum(kept), len(consumer._unacked_messages))

    return worker


def shell(build: Build) -> Worker:
    """Tells of what Faust has started: sockets that listen, how much is logged, what measures."""
    listen = socket.socket.listen

    def told(self: socket.socket, *arguments: int) -> None:
        listen(self, *arguments)
        say("listens", self.getsockname())

    socket.socket.listen = told
    worker = build()

    @worker.app.task
    async def tell() -> None:
        logger = logging.getLogger()
        say("logs", logging.getLevelName(logger.getEffectiveLevel()), len(logger.handlers))
        say("measures", *(type(sensor).__name__ for sensor in (*worker.app.sensors, worker.app.monitor)))

    return worker


def batches(build: Build) -> Worker:
    """Tells of each batch that comes: its partition, how many records, whether all are its own and in order."""
    process = Engine.process

    def told(self: Engine, tp: Any, batch: Any) -> None:
        offsets = [record.offset for record in batch.records]
        owners = {
            (murmur2(record.key) & 0x7FFFFFFF) % engine_worker.PARTITIONS
            for record in batch.records
            if record.key is not None
        }
        sound = owners <= {tp.partition} and offsets == sorted(set(offsets))
        say("batch", f"{tp.topic}/{tp.partition}", len(offsets), sound)
        process(self, tp, batch)

    Engine.process = told
    return build()


def stores(build: Build) -> Worker:
    """Tells of assignments, of stores that are opened and closed, and of how many rows a restore brings."""
    open_rows, close = Assignment._open_rows, Rows.close

    def opened(self: Assignment, task: Task) -> Any:
        if task.stage.tables:
            say("opened", task.id)
        return open_rows(self, task)

    def closed(self: Rows) -> None:
        say("closed", self.folder.name)
        close(self)

    def restored(_self: Assignment, task: Task, progress: Any) -> None:
        say("restored", task.id, progress.rows)

    def warm(_self: Standbys, *_of: Any) -> None:
        tell(_self)
        for topic, partition in sorted(_self._roster.warm):
            say("warm", f"{topic}/{partition}")

    tell = Standbys._tell
    Standbys._tell = warm
    Assignment._open_rows, Rows.close, Assignment._progress = opened, closed, restored
    worker = build()
    ready = Assignment._refresh

    def refreshed(self: Assignment) -> None:
        ready(self)
        say("ready", *sorted(task.id for task in self.ready()))

    Assignment._refresh = refreshed
    return worker


def long_batch(build: Build) -> Worker:
    """The first batch keeps a handler busy for longer than the session lasts."""

    class Forward(engine_worker.Forward):
        def process(self, records: Sequence[Any]) -> None:
            if not slept:
                slept.append(True)
                time.sleep(LONG_BATCH_S)
            super().process(records)

    slept: list[bool] = []
    engine_worker.Forward = Forward
    worker = build()

    @worker.app.on_partitions_assigned.connect(weak=False)
    async def assigned(_app: Any, _assigned: Any, **_kwargs: Any) -> None:
        say("assigned")

    return worker


def failing_commits(build: Build) -> Worker:
    """No commit goes through, and the worker gives up after the third."""

    def commit(_self: TransactionalProducer, *_arguments: Any) -> None:
        say("commit")
        msg = "planted: no commit"
        raise EpochAbortedError(msg)

    TransactionalProducer.commit = commit
    worker = build()
    worker.engine.pace = replace(worker.engine.pace, failures=3)
    return worker


PROBES: dict[str, Callable[[Build], Worker]] = {
    probe.__name__: probe
    for probe in (
        sound,
        failing_timers,
        failing_flush,
        failing_start,
        large_output,
        slow_restore,
        late_records,
        late_answers,
        books,
        shell,
        batches,
        stores,
        long_batch,
        failing_commits,
    )
}


def main() -> None:
    """Run a worker with the probe that the environment names."""
    logging.basicConfig(level=logging.WARNING)
    group, name, folder = sys.argv[1:]
    bootstrap, mode = os.environ["KAFKA_BOOTSTRAP_SERVERS"], TimeMode(os.environ["TIME"])

    def build() -> Worker:
        return engine_worker.build(group, name, Path(folder), bootstrap, mode=mode)

    worker = PROBES[os.environ["PROBE"]](build)

    @worker.app.task
    async def joining() -> None:
        say(JOINING)

    worker.run()


if __name__ == "__main__":
    main()
