"""The worker of `engine_worker` with something planted: a handler that fails, or an eye on the engine.

What was planted says what it sees in lines that begin with `SAID`. Run as a process, with the probe's name in
the environment: `PROBE=failing_timers python -m tests.engine_probes GROUP WORKER FOLDER`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

from stream_app.engine.assignment import Assignment
from stream_app.engine.producer import TransactionalProducer
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

    def slowly(self: Assignment, task: Task, rows: Any) -> Any:
        say(RESTORING, task.id)
        while time.monotonic() < until and not task.cancelled.is_set():
            time.sleep(0.05)
        return restore(self, task, rows)

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
