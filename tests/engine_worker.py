"""A worker with two small stages, for tests of the engine alone: forward by key, then count per key.

Every tenth event of a key gives an output. Run as a process: `python -m tests.engine_worker GROUP WORKER FOLDER`.
"""

from __future__ import annotations

import logging
import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_app.engine.observer import Observer
from stream_app.engine.pace import Pace
from stream_app.engine.stage import Stage
from stream_app.engine.store import TableSpec
from stream_app.engine.watermark import TimeMode
from stream_app.engine.worker import Worker, WorkerConfig
from tests import engine_sabotage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.engine.task import Task

PARTITIONS = 4
COUNT = struct.Struct(">I")
COUNTS = TableSpec("counts", b"c", COUNT.pack, lambda raw: COUNT.unpack(raw)[0])


def topics(prefix: str) -> dict[str, str]:
    """Return the job's topics by role."""
    roles = ("input", "middle", "output", "dead", "forward-changelog", "count-changelog")
    return {role: f"{prefix}{role}" for role in roles}


class Plain:
    """A handler that holds nothing back."""

    def flush(self) -> None: ...

    def reset(self) -> None: ...


class Forward(Plain):
    """Passes every record on, keyed as it came."""

    def __init__(self, task: Task, target: str) -> None:
        self.task = task
        self.target = target

    def process(self, records: Sequence[Any]) -> None:
        for record in records:
            if record.value == b"fail-forward":
                msg = "planted"
                raise ValueError(msg)
            self.task.observe(record.timestamp, record.timestamp)
            self.task.send(self.target, record.value, record.key)

    def fire(self, due: int, key: bytes) -> None:
        raise AssertionError


class Count(Plain):
    """Counts per key; `timer` values set a timer that gives an output of its own."""

    def __init__(self, task: Task, target: str) -> None:
        self.task = task
        self.target = target
        self.counts = task.table("counts")

    def process(self, records: Sequence[Any]) -> None:
        for record in records:
            if record.value == b"poison":
                msg = "planted"
                raise ValueError(msg)
            count = (self.counts.get(record.key) or 0) + 1
            self.counts.put(record.key, count)
            if record.value.startswith(b"timer:"):
                self.task.timers.set(int(record.value[6:]), record.key)
            if count % 10 == 0:
                self.task.send(self.target, b"%s:%d" % (record.key, count), record.key)

    def fire(self, due: int, key: bytes) -> None:
        self.task.send(self.target, b"fired:%s:%d" % (key, due), key)


class Dead:
    """Dead letters of the job: the record as it was."""

    def __init__(self, topic: str) -> None:
        self.topic = topic

    def poison(self, task: Task, record: Any, _error: BaseException) -> None:
        task.send(self.topic, record.value, record.key)

    def poison_timer(self, task: Task, due: int, key: bytes) -> None:
        task.send(self.topic, b"%d" % due, key)


def build(group: str, worker: str, folder: Path, bootstrap: str, **options: Any) -> Worker:
    """Compose the job's worker."""
    t = topics(f"{group}.")
    stages = (
        Stage(
            "forward",
            (t["input"],),
            t["forward-changelog"],
            lambda task: Forward(task, t["middle"]),
            watermarks_to=t["middle"],
        ),
        Stage(
            "count",
            (t["middle"],),
            t["count-changelog"],
            lambda task: Count(task, t["output"]),
            (COUNTS,),
            upstream=(t["input"],),
        ),
    )
    epoch_s = int(os.environ.get("EPOCH_MS", "100")) / 1000
    config = WorkerConfig(
        group=group,
        worker=worker,
        bootstrap_servers=bootstrap,
        partitions=dict.fromkeys(t.values(), PARTITIONS),
        folder=folder / worker,
        session_timeout_ms=int(os.environ.get("SESSION_MS", "6000")),
        transaction_timeout_ms=int(os.environ.get("TRANSACTION_MS", "8000")),
        batch=int(os.environ.get("BATCH", "2000")),
        standby_replicas=int(os.environ.get("STANDBYS", "0")),
        pace=Pace(interval_s=epoch_s, longest_s=epoch_s),
        **options,
    )
    return Worker(config, stages, dispatcher=Dead(t["dead"]), observer=Observer())


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    engine_sabotage.apply(os.environ)
    mode = TimeMode(os.environ.get("TIME", "wall"))
    build(sys.argv[1], sys.argv[2], Path(sys.argv[3]), os.environ["KAFKA_BOOTSTRAP_SERVERS"], mode=mode).run()
