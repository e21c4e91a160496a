"""What a million pending timers cost: memory, epochs, a restart, and their way back from a changelog.

A task of the engine, over RocksDB, with keys as customers' timers have them and due times all over thirty days. An
epoch sets, cancels and fires as many timers each, and leaves as many pending as it was to have: before it, in an
epoch that is not measured, as many are set. A child process for each thing, so that memory is its own.
"""

from __future__ import annotations

import gc
import random
import threading
import time
import uuid
from array import array
from base64 import urlsafe_b64encode
from bisect import bisect_left, insort
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from hashlib import blake2b
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from faust.types import TP
from kafka.admin import KafkaAdminClient
from rich.table import Table
from rocksdict import Cache

from stream_app.domain.keys import timer_key
from stream_app.embedded.broker import EmbeddedKafka
from stream_app.engine import topics as kafka_topics
from stream_app.engine.changelog import Progress, Restorer
from stream_app.engine.pace import Pace
from stream_app.engine.producer import TransactionalProducer
from stream_app.engine.stage import Stage
from stream_app.engine.store import Rows, TableSpec, identity
from stream_app.engine.task import Clockwork, Task
from stream_app.engine.timers import TIMERS
from stream_app.engine.watermark import TimeMode
from tests.benchmarks import figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FEW = 1_000
"""Pending timers that many are compared with; and so many are set, cancelled and fired in an epoch."""
START = 1_790_000_000_000
SPAN = 30 * 24 * 3_600_000
FILLED_AT_ONCE = 10_000
STRIDE = 997
"""One timer in so many is set before the ones in between are."""
BLOCK_CACHE = 128 * 2**20
"""As a worker has by default."""
UPSTREAM = "upstream"
PARTS = ("setting_and_cancelling", "firing", "writing")
_MILLI = 1e3


class Fired:
    """A handler that has nothing to do but to be called."""

    def __init__(self, task: Task) -> None:
        del task
        self.count = 0

    def process(self, records: Sequence[Any]) -> None: ...

    def fire(self, due: int, key: bytes) -> None:
        del due, key
        self.count += 1

    def flush(self) -> None: ...

    def reset(self) -> None: ...


STAGE = Stage(
    "timed", ("in",), "changelog", Fired, (TableSpec("rows", b"r", identity, identity),), ("upstream",)
)


def key_of(due: int) -> bytes:
    """Return the key of the timer at a time: a customer's in some component."""
    digest = blake2b(due.to_bytes(8, "big"), digest_size=16).digest()
    return timer_key(f"a1.{urlsafe_b64encode(digest)[:22].decode()}", 1)


def dues_of(count: int) -> array[int]:
    """Return the due times of so many timers, ascending, no two the same."""
    return array("q", sorted(random.Random(1).sample(range(START, START + SPAN), count)))


def opened(folder: Path) -> Task:
    """Return the task with what is in a folder."""
    task = Task(STAGE, TP("in", 0), {UPSTREAM: 1}, 1, Clockwork(TimeMode.WALL, 0, 0))
    task.open(Rows(folder, Cache(BLOCK_CACHE)), None)  # nothing is sent
    return task


class Pending:
    """A task with so many pending timers."""

    def __init__(self, folder: Path, count: int, turn: int) -> None:
        """Begin with none: `fill` sets them. An epoch sets, cancels and fires `turn`."""
        self.dues = dues_of(count)
        self._turn = turn
        self._draw = random.Random(2)
        self.task = opened(folder)

    def fill(self) -> None:
        """Set the timers, from all over the thirty days in each epoch."""
        dues, timers = self.dues, self.task.timers
        for number, due in enumerate(due for first in range(STRIDE) for due in dues[first::STRIDE]):
            timers.set(due, key_of(due))
            if number % FILLED_AT_ONCE == FILLED_AT_ONCE - 1:
                self._commit()
        self._commit()

    def epoch(self) -> list[float]:
        """Return what an epoch's parts took, in ms."""
        self._set_more()
        clock = self.dues[self._turn - 1] + 1
        fresh = self._fresh(clock)
        places = sorted(self._draw.sample(range(self._turn, len(self.dues)), self._turn), reverse=True)
        gone = [(self.dues[place], key_of(self.dues[place])) for place in places]
        task = self.task
        marks = [time.process_time()]
        for due, key in fresh:
            task.timers.set(due, key)
        for due, key in gone:
            task.timers.cancel(due, key)
        marks.append(time.process_time())
        task.advance({UPSTREAM: (clock, [])})
        while due_now := task.timers.due(task.clock, Pace.timers):
            for timer in due_now:
                task.handler.fire(*timer)
        marks.append(time.process_time())
        self._commit()
        marks.append(time.process_time())
        for place in places:
            del self.dues[place]
        del self.dues[: self._turn]
        for due, _ in fresh:
            insort(self.dues, due)
        return [(after - before) * _MILLI for before, after in pairwise(marks)]

    def _set_more(self) -> None:
        for due, key in self._fresh(self.dues[0]):
            self.task.timers.set(due, key)
            insort(self.dues, due)
        self._commit()

    def _fresh(self, clock: int) -> list[tuple[int, bytes]]:
        """Return timers that there are none of yet, due after the clock."""
        found: dict[int, bytes] = {}
        while len(found) < self._turn:
            due = self._draw.randrange(clock, clock + SPAN)
            place = bisect_left(self.dues, due)
            if place == len(self.dues) or self.dues[place] != due:
                found[due] = key_of(due)
        return list(found.items())

    def _commit(self) -> None:
        store = self.task.store
        store.commit(store.changes(), 1)


def pending(folder: Path, count: int, turn: int, epochs: int) -> dict[str, Any]:
    """Fill a store, and measure epochs at it; in a process of its own."""
    gc.set_threshold(100_000, 50, 100)  # as a worker does
    one = Pending(folder, count, turn)
    before = figures.resident_mib()
    began = time.process_time()
    one.fill()
    filled = time.process_time() - began
    after = figures.resident_mib()
    size = one.task.store.rows.size
    spent = [one.epoch() for _ in range(epochs)]
    totals = [sum(parts) for parts in spent]
    fired = one.task.handler.count
    earliest, left = one.task.timers.earliest, len(one.dues)
    if (fired, left, earliest) != (turn * epochs, count, one.dues[0]):
        msg = f"{fired} timers fired, {left} are pending, the earliest at {earliest}: that was not the plan"
        raise SystemExit(msg)
    one.task.store.close()
    tenth = max(1, epochs // 10)
    return {
        "pending": count,
        "rss_before_mib": before,
        "rss_after_mib": after,
        "rss_after_the_epochs_mib": figures.resident_mib(),
        "store_mib": round(size / 2**20, 1),
        "us_to_set_one": round(filled / count * 1e6, 2),
        "epochs": epochs,
        "epoch_ms": figures.of(totals, 2),
        "first_tenth_ms": round(median(totals[:tenth]), 2),
        "last_tenth_ms": round(median(totals[-tenth:]), 2),
        **{f"{part}_ms": figures.of([row[at] for row in spent], 2) for at, part in enumerate(PARTS)},
        "earliest": earliest,
    }


def restarted(folder: Path) -> dict[str, Any]:
    """Open a store again, and find its earliest timer; in a process of its own."""
    before, began = figures.resident_mib(), time.perf_counter()
    task = opened(folder)
    ready = time.perf_counter()
    earliest = task.timers.earliest
    done = time.perf_counter()
    found = {
        "open_ms": round((ready - began) * _MILLI, 1),
        "earliest_ms": round((done - ready) * _MILLI, 1),
        "rss_before_mib": before,
        "rss_after_mib": figures.resident_mib(),
        "earliest": earliest,
    }
    task.store.close()
    return found


def written(servers: str, topic: str, count: int) -> int:
    """Write the changelog of so many timers, in epochs, as a worker does; return the earliest."""
    dues = dues_of(count)
    producer = TransactionalProducer({"bootstrap.servers": servers, "log_level": 2}, f"{topic}-writer", 10.0)
    with closing(producer):
        for start in range(0, count, FILLED_AT_ONCE):
            for due in dues[start : start + FILLED_AT_ONCE]:
                producer.send(topic, b"", TIMERS.prefix + row_of(due), 0)
            producer.commit([], None)
    return dues[0]


def row_of(due: int) -> bytes:
    """Return the row of a timer, without the table's prefix."""
    key = key_of(due)
    return (due + (1 << 63)).to_bytes(8, "big") + key


def rebuilt(servers: str, topic: str, folder: Path) -> dict[str, Any]:
    """Rebuild a store from a changelog, and find the earliest timer; in a process of its own."""
    reports: list[Progress] = []
    before, began, cpu = figures.resident_mib(), time.perf_counter(), time.process_time()
    rows = Rows(folder, Cache(BLOCK_CACHE))
    with closing(Restorer({"bootstrap.servers": servers}, 30.0)) as restorer:
        restorer.restore(topic, 0, rows, cancelled=threading.Event(), progress=reports.append)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    rows.close()
    after = figures.resident_mib()
    task = opened(folder)
    earliest = task.timers.earliest
    task.store.close()
    count = reports[-1].rows
    return {
        "rows": count,
        "seconds": round(seconds, 2),
        "process_seconds": round(cpu, 2),
        "rows_per_second": round(count / seconds),
        "rss_before_mib": before,
        "rss_after_mib": after,
        "earliest": earliest,
    }


@contextmanager
def broker(servers: str | None, folder: Path) -> Iterator[str]:
    """Give the broker that is named, or start one."""
    if servers:
        yield servers
        return
    with EmbeddedKafka(folder) as kafka:
        yield kafka.bootstrap_servers


@contextmanager
def changelog(servers: str) -> Iterator[str]:
    """Give a topic of one partition with a changelog's settings, and delete it afterwards."""
    name = f"bench-{uuid.uuid4().hex[:10]}.changelog"
    kafka_topics.create(servers, [kafka_topics.TopicSpec(name, 1, kafka_topics.table_topic(1_000_000))])
    try:
        yield name
    finally:
        with closing(KafkaAdminClient(bootstrap_servers=servers.split(","))) as admin:
            admin.delete_topics([name], raise_errors=False)


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function comes to in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(
    count: int, epochs: int, runs: int, servers: str | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return what so many timers cost, beside few."""
    few = min(FEW, count)
    with TemporaryDirectory() as name:
        folder = Path(name)
        small = in_child(pending, folder / "few", few, few, epochs)
        say(f"timers: {few:,} pending: {small['epoch_ms']['median']} ms for an epoch")
        many = in_child(pending, folder / "many", count, few, epochs)
        say(f"timers: {count:,} pending: {many['epoch_ms']['median']} ms for an epoch")
        restarts = [in_child(restarted, folder / "many") for _ in range(runs)]
        rebuilds = []
        with broker(servers, folder / "kafka") as at, changelog(at) as topic:
            first = written(at, topic, count)
            for run in range(runs):
                rebuilds.append(in_child(rebuilt, at, topic, folder / f"rebuilt-{run}"))
                say(f"timers: rebuilt from a changelog in {rebuilds[-1]['seconds']} s")
    if {one["earliest"] for one in restarts} != {many["earliest"]}:
        msg = "after a restart another timer is the earliest"
        raise SystemExit(msg)
    if {(one["rows"], one["earliest"]) for one in rebuilds} != {(count, first)}:
        msg = "what was rebuilt from the changelog is not what was written"
        raise SystemExit(msg)
    return {
        "few": small,
        "many": many,
        "many_to_few": round(many["epoch_ms"]["median"] / small["epoch_ms"]["median"], 2),
        "restart": _over(restarts, ("open_ms", "earliest_ms", "rss_before_mib", "rss_after_mib")),
        "rebuild": {
            "rows": count,
            **_over(
                rebuilds,
                ("seconds", "process_seconds", "rows_per_second", "rss_before_mib", "rss_after_mib"),
            ),
        },
    }


def _over(runs: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of several runs, those that the system tells."""
    return {name: figures.of([run[name] for run in runs], 2) for name in names if runs[0][name] is not None}


def table(found: dict[str, Any]) -> Table:
    """Return what a person wants to see."""
    shown = Table(title="pending timers, one partition", title_justify="left")
    for name in (
        "pending",
        "RSS before, MiB",
        "after",
        "store, MiB",
        "ms per epoch",
        *PARTS,
        "first tenth",
        "last",
    ):
        shown.add_column(name.replace("_", " "), justify="right")
    for one in (found["few"], found["many"]):
        parts = [one["epoch_ms"], *(one[f"{part}_ms"] for part in PARTS)]
        shown.add_row(
            f"{one['pending']:,}",
            *(str(one[name]) for name in ("rss_before_mib", "rss_after_mib", "store_mib")),
            *(figures.shown(part) for part in parts),
            *(str(one[name]) for name in ("first_tenth_ms", "last_tenth_ms")),
        )
    restart, rebuild = found["restart"], found["rebuild"]
    shown.caption = (
        f"an epoch with many takes x{found['many_to_few']} of one with few. Restart: opened in "
        f"{figures.shown(restart['open_ms'])} ms, the earliest found in {figures.shown(restart['earliest_ms'])} ms. "
        f"Rebuilt from {rebuild['rows']:,} changelog rows in {figures.shown(rebuild['seconds'])} s"
    )
    return shown
