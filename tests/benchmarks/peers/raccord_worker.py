"""Raccord's engine at the jobs of `jobs`: `python -m tests.benchmarks.peers.raccord_worker JOB GROUP SLOT FOLDER`.

The engine as the product runs it, Faust's shell around it, with the handlers that a user would write. Nothing is
tuned that the product does not tune.
"""

from __future__ import annotations

import logging
import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.engine.observer import Observer
from stream_app.engine.stage import Stage
from stream_app.engine.store import TableSpec
from stream_app.engine.watermark import TimeMode
from stream_app.engine.worker import Worker, WorkerConfig
from tests.benchmarks.peers.jobs import ADDED, COMPLETED, KEPT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.engine.task import Task

_COUNT = struct.Struct(">I")
_BASKET = struct.Struct(">QQQIQ")
Count = tuple[int, bytes]
Basket = tuple[int, int, int, int, int]
"""Opened, due, when its timer fires (not after due), items, cents."""


class Named(msgspec.Struct):
    """What the second job reads of an event."""

    customer: str


class Shopping(msgspec.Struct):
    """What the counting and the basket job read of an event."""

    n: int
    at: int
    type: str
    cents: int
    items: int


def _encode_count(row: Count) -> bytes:
    return _COUNT.pack(row[0]) + row[1][:KEPT]


def _decode_count(raw: bytes) -> Count:
    return _COUNT.unpack_from(raw)[0], raw[4:]


COUNTS = TableSpec("counts", b"c", _encode_count, _decode_count)
BASKETS = TableSpec("baskets", b"b", lambda row: _BASKET.pack(*row), _BASKET.unpack)

_named = msgspec.json.Decoder(Named).decode
_shopping = msgspec.json.Decoder(Shopping).decode


class Plain:
    """A handler that holds nothing back."""

    def __init__(self, task: Task, target: str) -> None:
        self.task = task
        self.target = target

    def flush(self) -> None: ...

    def reset(self) -> None: ...

    def fire(self, due: int, key: bytes) -> None:
        raise AssertionError


class Repartition(Plain):
    """Keys every event by its customer."""

    def process(self, records: Sequence[Any]) -> None:
        """Pass them on."""
        send, target = self.task.send, self.target
        for record in records:
            value = record.value
            send(target, value, _named(value).customer.encode())


class Counting(Plain):
    """Counts per customer."""

    def __init__(self, task: Task, target: str) -> None:
        super().__init__(task, target)
        self.counts = task.table("counts")

    def process(self, records: Sequence[Any]) -> None:
        """Count them."""
        get, put = self.counts.get, self.counts.put
        for record in records:
            key, value = record.key, record.value
            row = get(key)
            count = 1 if row is None else row[0] + 1
            put(key, (count, value))
            if (count + key[-1] - 48) % 10 == 0:
                event = _shopping(value)
                self.task.send(self.target, b"%d %d %d" % (count, event.n, event.at), key)


class Baskets(Plain):
    """Finds abandoned baskets; a basket's timer is set once, and again when it fires too early."""

    def __init__(self, task: Task, target: str, gap: int) -> None:
        super().__init__(task, target)
        self.baskets = task.table("baskets")
        self.gap = gap

    def process(self, records: Sequence[Any]) -> None:
        """Keep baskets."""
        task, gap = self.task, self.gap
        get, put, delete, observe = self.baskets.get, self.baskets.put, self.baskets.delete, task.observe
        for record in records:
            event = _shopping(record.value)
            at, key = event.at, record.key
            observe(at, record.timestamp)
            row = get(key)
            if row is not None and at > row[1]:
                self._abandoned(key, row)
                task.timers.cancel(row[2], key)
                delete(key)
                row = None
            if event.type == ADDED:
                if row is None:
                    task.timers.set(at + gap, key)
                    put(key, (at, at + gap, at + gap, event.items, event.cents))
                else:
                    put(key, (row[0], at + gap, row[2], row[3] + event.items, row[4] + event.cents))
            elif event.type == COMPLETED and row is not None:
                task.timers.cancel(row[2], key)
                delete(key)

    def fire(self, due: int, key: bytes) -> None:
        """Say that a basket is abandoned, unless something was added since its timer was set."""
        row = self.baskets.get(key)
        if row is None or row[2] != due:
            return  # two timers were due at once, and the other one has done it
        if row[1] >= self.task.clock:
            self.task.timers.set(row[1], key)
            self.baskets.put(key, (row[0], row[1], row[1], row[3], row[4]))
        else:
            self._abandoned(key, row)
            self.baskets.delete(key)

    def _abandoned(self, key: bytes, row: Basket) -> None:
        self.task.send(self.target, b"%d %d %d %d" % (row[0], row[1], row[3], row[4]), key)


class Dead:
    """There are no dead letters here: an event that fails ends the run."""

    def poison(self, task: Task, record: Any, error: BaseException) -> None:
        raise AssertionError from error

    def poison_timer(self, task: Task, due: int, key: bytes) -> None:
        raise AssertionError


def stages(job: str, source: str, prefix: str, gap: int) -> tuple[Stage, ...]:
    """Return what a job consists of."""
    out, middle, changelog = f"{prefix}output", f"{prefix}middle", f"{prefix}changelog"
    if job == "basket":
        return (Stage("basket", (source,), changelog, lambda task: Baskets(task, out, gap), (BASKETS,)),)
    counted = middle if job == "repartition" else source
    count = Stage(
        "count", (counted,), changelog, lambda task: Counting(task, out), (COUNTS,),
        upstream=(source,) if job == "repartition" else (),
    )  # fmt: skip
    if job == "count":
        return (count,)
    forward = Stage("repartition", (source,), f"{prefix}positions", lambda task: Repartition(task, middle))
    return forward, count


def main() -> None:
    """Run one process of the worker."""
    logging.basicConfig(level=logging.WARNING)
    job, group, slot, folder = sys.argv[1:]
    road = stages(job, os.environ["INPUT"], f"{group}.", int(os.environ["GAP_MS"]))
    topics = {topic for stage in road for topic in (*stage.topics, stage.changelog)} | {f"{group}.output"}
    config = WorkerConfig(
        group=group,
        worker=slot,
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        partitions=dict.fromkeys(topics, int(os.environ["PARTITIONS"])),
        folder=Path(folder) / slot,
        mode=TimeMode.WALL,
        session_timeout_ms=int(os.environ.get("SESSION_MS", "10000")),
        batch=int(os.environ.get("BATCH", "2000")),
    )
    Worker(config, road, dispatcher=Dead(), observer=Observer()).run()


if __name__ == "__main__":
    main()
