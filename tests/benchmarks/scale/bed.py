"""A deployment of its own that is measured: broker, topics, workers, and what all of them use for a stretch of events.

One measurement is always the same: customers come in (one event each), the workers are stopped and started again so
that what lies on the disk can be counted, a warm-up, then the events that are measured. They are written while the
workers work, as in life; the clock runs from the first that is written to the last on `customer.timeline`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from kafka.admin import KafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from stream_app.embedded.broker import EmbeddedKafka
from stream_app.runs.feed import Feed, Speed
from stream_app.runs.session import Options, Session
from stream_app.runs.workers import WorkerProcess
from tests.benchmarks.scale import load, use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from connectors.planned import Planned
    from stream_app.runs.show import Show
    from stream_app.topology import Topics

SEED = 1
MARK_EVERY = 10_000
"""Events between two rounds of clock markers, one for each partition of each channel: seldom, for with many partitions
they would be most of the work, and a live deployment has none."""
SLOWEST = 500
"""Events/s below which a run is given up, once it has had ten minutes."""
DISK_PER_CUSTOMER = 6_000
"""Bytes on disk, state and topics together, that a run must find for each customer that it brings in."""
DISK_SPARE = 5 << 30
_GIVE_UP_S = 600.0


@dataclass(frozen=True)
class Case:
    """What is measured."""

    customers: int
    events: int
    partitions: int = 4
    workers: int = 1
    processes: int = 1
    cache_mib: int = 128
    restore: bool = False


@contextmanager
def broker(show: Show) -> Iterator[EmbeddedKafka]:
    """Start a broker in a folder of its own, for sessions to find; nothing is left of it."""
    with tempfile.TemporaryDirectory(prefix="raccord-scale-") as folder, ExitStack() as stack:
        with show.step("starting Apache Kafka"):
            kafka = stack.enter_context(EmbeddedKafka(Path(folder) / "kafka"))
        before = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        os.environ["KAFKA_BOOTSTRAP_SERVERS"] = kafka.bootstrap_servers
        try:
            yield kafka
        finally:
            if before is None:
                del os.environ["KAFKA_BOOTSTRAP_SERVERS"]
            else:
                os.environ["KAFKA_BOOTSTRAP_SERVERS"] = before


def check_disk(customers: int) -> None:
    """Refuse to begin what the disk can't hold."""
    needed = customers * DISK_PER_CUSTOMER + DISK_SPARE
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        raise SystemExit(
            f"{customers:,} customers need {needed >> 30} GiB in {tempfile.gettempdir()}, {free >> 30} are free: "
            "set TMPDIR to a larger disk, or ask for fewer (--customers)"
        )


def measure(case: Case, show: Show) -> dict[str, Any]:
    """Return all figures of one case."""
    check_disk(case.customers)
    with broker(show) as kafka, tempfile.TemporaryDirectory(prefix="raccord-scale-") as folder:
        settings = {"RACCORD_PROCESSES": str(case.processes), "RACCORD_CACHE_MIB": str(case.cache_mib)}
        options = Options(
            "scale", Path(folder), workers=0, partitions=case.partitions, settings=settings, keep=True
        )
        with Session(options, show) as session:
            assert kafka.pid is not None, "the broker has just been started"
            bed = Bed(session, case, kafka.pid, Path(folder), show)
            try:
                return bed.run()
            finally:
                bed.stop()


class Bed:
    """One deployment under measurement."""

    def __init__(self, session: Session, case: Case, broker: int, folder: Path, show: Show) -> None:
        self.session = session
        self.case = case
        self.broker = broker
        self.folder = folder
        self.show = show
        self.workers: list[WorkerProcess] = []
        self._starts = 0
        self._feed = Feed(
            session.settings.bootstrap_servers, session.topics.inputs, session.settings.partitions
        )

    def run(self) -> dict[str, Any]:
        """Load, count, warm up, measure."""
        case = self.case
        self.start()
        empty = self.usage().worker.cpu
        loaded = self._loaded()
        self.stop()
        loaded["state_bytes"] = _size(self.session.settings.data)
        loaded["topic_bytes"] = self.topic_bytes()
        if case.restore:
            shutil.rmtree(self.session.settings.data)
        self.start("restoring the state from its changelogs" if case.restore else "starting again")
        restored = self._restored(empty, loaded["topic_bytes"]) if case.restore else None
        self._keep_rewritten_rows()
        self._play(load.returning(SEED, case.customers, case.events // 5), case.events // 5, "warming up")
        found = self._measured()
        self.stop()
        found["state_bytes"] = _size(self.session.settings.data)
        return {**_settings(case), "loaded": loaded, **({"restored": restored} if restored else {}), **found}

    # -- the parts

    def _loaded(self) -> dict[str, Any]:
        count = self.case.customers
        before, started = self.usage(), time.monotonic()
        clock = self._play(load.customers(count), count, f"bringing {count:,} customers into the state")
        seconds = time.monotonic() - started
        spent = self.usage() - before
        self._feed.mark(clock)
        self._feed.flush()
        return {
            "seconds": round(seconds, 1),
            "events_per_second": round(count / seconds),
            "worker_cpu_us": _us(spent.worker.cpu, count),
            "broker_cpu_us": _us(spent.broker.cpu, count),
            "peak_memory_bytes": spent.worker.peak_memory,
        }

    def _restored(self, empty: float, topic_bytes: dict[str, int]) -> dict[str, Any]:
        """Return how fast the changelogs were read from their beginning; `empty` is what a start without them costs."""
        pages = self.pages()
        rows = sum(page.total("raccord_restored_rows") for page in pages)
        seconds = max(value for page in pages for value in page.values("raccord_restore_seconds"))
        cpu = self.usage().worker.cpu - empty
        return {
            "rows": int(rows),
            "seconds": round(seconds, 2),
            "rows_per_second": round(rows / seconds),
            "changelog_mb_per_second": round(topic_bytes["changelogs"] / seconds / 1e6, 1),
            "cpu_us_per_row": _us(max(0.0, cpu), int(rows)),
            "partitions": self.case.partitions,
        }

    def _measured(self) -> dict[str, Any]:
        case, start = self.case, load.START + 2 * load.DAY
        records = load.returning(SEED, case.customers, case.events, start)
        pages, sizes = self.pages(), self.topic_bytes()
        with _Timeline(self.session) as timeline:
            before, started = self.usage(), time.monotonic()
            with self.show.step(f"measuring {case.events:,} events"):
                self._write(records)
                self._wait(lambda: timeline.read() >= case.events, pause=0.0)
            seconds, spent = time.monotonic() - started, self.usage() - before
        grown = {kind: size - sizes[kind] for kind, size in self.topic_bytes().items()}
        moved = [after - page for after, page in zip(self.pages(), pages, strict=True)]
        return {
            "seconds": round(seconds, 2),
            "events_per_second": round(case.events / seconds),
            "worker_cpu_us": _us(spent.worker.cpu, case.events),
            "worker_cpu_us_by_thread": {
                kind: _us(cpu, case.events) for kind, cpu in sorted(spent.worker.by_thread.items())
            },
            "broker_cpu_us": _us(spent.broker.cpu, case.events),
            "cache_misses_per_event": round(spent.worker.reads / case.events, 3),
            "disk_read_bytes_per_event": round(spent.worker.disk_bytes / case.events, 1),
            "peak_memory_bytes": spent.worker.peak_memory,
            "bytes_per_event": {kind: round(size / case.events, 1) for kind, size in grown.items()},
            "rows_per_event": round(
                sum(page.total("raccord_changed_rows_total") for page in moved) / case.events, 2
            ),
            "epochs": int(sum(page.total("raccord_epoch_commit_seconds_count") for page in moved)),
            "commit_ms": _commit_ms(moved),
            "share_of_records": _shares(moved),
            "tasks": [int(page.total("raccord_tasks")) for page in self.pages()],
        }

    # -- what they need

    def start(self, text: str = "starting the workers") -> None:
        """Start the workers, and wait until they read all inputs; a second start finds what the first left."""
        self._starts += 1
        for number in range(1, self.case.workers + 1):
            log = self.folder / f"worker-{number}-{self._starts}.log"
            worker = WorkerProcess(f"worker-{number}", self.session.environment, log)
            worker.start()
            self.workers.append(worker)
        wanted = len(self.session.inputs) * self.case.partitions
        with self.show.step(text):
            self._wait(lambda: self._tasks() == wanted)

    def _tasks(self) -> int:
        """Return how many tasks are ready; 0 while a worker has none."""
        ready = [int(page.total("raccord_tasks")) for page in self.pages()]
        return sum(ready) if all(ready) else 0

    def stop(self) -> None:
        """Have the workers end in order."""
        while self.workers:
            self.workers.pop().stop()

    def usage(self) -> Usage:
        """Return what workers and broker have used."""
        pids = [pid for worker in self.workers for pid in use.tree(worker.pid)]
        return Usage(use.of(pids), use.of([self.broker]))

    def pages(self) -> list[Page]:
        """Return the workers' metrics pages as they are now."""
        return [Page.read(worker.log) for worker in self.workers]

    def topic_bytes(self) -> dict[str, int]:
        """Return the bytes on the broker's disk, by kind of topic."""
        admin = KafkaAdminClient(bootstrap_servers=self.session.settings.bootstrap_servers)
        try:
            return by_kind(self.session.topics, _topic_sizes(admin.describe_log_dirs()))
        finally:
            admin.close()

    def _keep_rewritten_rows(self) -> None:
        """Have tables not compacted any more: what is written from here on is counted by the growth of its topic."""
        admin = AdminClient({"bootstrap.servers": self.session.settings.bootstrap_servers, "log_level": 2})
        entry = ConfigEntry("min.cleanable.dirty.ratio", "1.0", incremental_operation=AlterConfigOpType.SET)
        tables = [self.session.topics.profiles, *self.session.topics.changelogs.values()]
        changes = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in tables]
        for done in admin.incremental_alter_configs(changes).values():
            done.result(30)

    def _write(self, records: list[Planned]) -> None:
        for first in range(0, len(records), MARK_EVERY):
            clock = self._feed.play(records[first : first + MARK_EVERY], Speed(None), markers=False)
            self._feed.mark(clock)
        self._feed.flush()

    def _play(self, records: Iterator[Planned] | list[Planned], count: int, text: str) -> int:
        """Play records in, and wait until the workers have done them; return the last one's time."""
        self.show.line(text)
        with self.show.playing(count) as playing:
            clock = self._feed.play(records, Speed(None), markers=False, progress=playing.sent)
        self._feed.mark(clock)
        self._feed.flush()
        session = self.session
        with self.show.processing() as processing:
            session.watcher.wait(
                session.inputs,
                session.outputs,
                timeout_s=_GIVE_UP_S + count / SLOWEST,
                check=self._check,
                progress=lambda: processing.lag(
                    {stage: session.watcher.lag(topics) for stage, topics in session._stages().items()}
                ),
            )
        return clock

    def _wait(self, holds: Callable[[], bool], pause: float = 0.2) -> None:
        deadline = time.monotonic() + _GIVE_UP_S + self.case.customers / SLOWEST
        while not holds():
            self._check()
            time.sleep(pause)
            if time.monotonic() > deadline:
                raise SystemExit(f"not done in time; the workers' logs are in {self.folder}")

    def _check(self) -> None:
        for worker in self.workers:
            worker.check()


@dataclass
class Usage:
    """What workers and broker have used."""

    worker: use.Use
    broker: use.Use

    def __sub__(self, before: Usage) -> Usage:
        return Usage(self.worker - before.worker, self.broker - before.broker)


@dataclass
class Page:
    """A metrics page: name -> (labels, value)."""

    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = field(default_factory=dict)

    @classmethod
    def read(cls, log: Path) -> Page:
        """Read the page whose address a worker has written to its log; empty as long as there is none."""
        addresses = re.findall(r"http://\S+/metrics", log.read_text())
        if not addresses:
            return cls()
        return cls.parse(requests.get(addresses[-1], timeout=10).text)

    @classmethod
    def parse(cls, text: str) -> Page:
        """Read a page's text."""
        samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(dict)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
        return cls(dict(samples))

    def values(self, name: str) -> list[float]:
        """Return a metric's values, whatever their labels."""
        return list(self.samples.get(name, {}).values())

    def total(self, name: str) -> float:
        """Return their sum."""
        return sum(self.values(name))

    def __sub__(self, before: Page) -> Page:
        """What was added since (counters; gauges mean nothing here)."""
        return Page(
            {
                name: {
                    labels: value - before.samples.get(name, {}).get(labels, 0.0)
                    for labels, value in found.items()
                }
                for name, found in self.samples.items()
            }
        )


class _Timeline:
    """Counts events that appear on the timeline from now on, as a reader of committed records sees them."""

    def __init__(self, session: Session) -> None:
        self._seen = 0
        self._consumer = Consumer(
            {
                "bootstrap.servers": session.settings.bootstrap_servers,
                "group.id": "scale",
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 5,
            }
        )
        places = [TopicPartition(session.topics.timeline, p) for p in range(session.settings.partitions)]
        for place in places:
            place.offset = self._consumer.get_watermark_offsets(place, timeout=10)[1]
        self._consumer.assign(places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._consumer.close()

    def read(self) -> int:
        """Read what is there; return how many events there have been."""
        for message in self._consumer.consume(10_000, 0.05):
            if message.error() is None and message.value()[43:44] == b"\x00":
                self._seen += 1  # revision 0: an event's first appearance, not a move
        return self._seen


def by_kind(topics: Topics, sizes: dict[str, int]) -> dict[str, int]:
    """Return bytes by kind of topic."""
    kinds = {
        "channels": [*topics.inputs.values(), topics.commands],
        "internal": [topics.lookup, topics.components, topics.increments],
        "outputs": [
            topics.timeline, topics.segments, topics.changes, topics.decisions, topics.dead_letters,
            topics.numbers, *topics.triggers.values(),
        ],
        "profiles": [topics.profiles],
        "changelogs": [*topics.changelogs.values()],
    }  # fmt: skip
    return {kind: sum(sizes.get(name, 0) for name in names) for kind, names in kinds.items()}


def _topic_sizes(brokers: list[dict[str, Any]]) -> dict[str, int]:
    """Return topic -> bytes, of kafka-python's answer to DescribeLogDirs."""
    sizes: dict[str, int] = defaultdict(int)
    for topic in (topic for broker in brokers for folder in broker["log_dirs"] for topic in folder["topics"]):
        sizes[topic["name"]] += sum(partition["partition_size"] for partition in topic["partitions"])
    return sizes


def _settings(case: Case) -> dict[str, int]:
    return {
        "customers": case.customers,
        "events": case.events,
        "partitions": case.partitions,
        "workers": case.workers,
        "processes": case.processes,
    }


def _us(seconds: float, count: int) -> float:
    return round(seconds / max(1, count) * 1e6, 2)


def _commit_ms(pages: list[Page]) -> float:
    count = sum(page.total("raccord_epoch_commit_seconds_count") for page in pages)
    return round(
        sum(page.total("raccord_epoch_commit_seconds_sum") for page in pages) / max(1.0, count) * 1000, 1
    )


def _shares(pages: list[Page]) -> list[float]:
    """Return each worker's share of the records of all stages."""
    done = [page.total("raccord_stage_records_total") for page in pages]
    return [round(one / max(1.0, sum(done)), 3) for one in done]


def _size(folder: Path) -> int:
    """Return the bytes that a folder takes, as `du` counts."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
