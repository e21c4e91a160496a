"""Runs the whole pipeline on a broker, in a deployment of its own: topics, workers as processes, input, outcome."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from kafka import KafkaProducer
from rocksdict import AccessType, Options, Rdict

from connectors.planned import Planned
from stream_app.app import topics_of
from stream_app.domain.event import ChannelEvent
from stream_app.engine import topics as kafka_topics
from stream_app.engine.store import _CHANGELOG_KEY as CHANGELOG_KEY
from stream_app.runs.audit import Auditor, Books
from stream_app.runs.drain import Watcher
from stream_app.runs.feed import Feed, Speed
from stream_app.runs.session import _settings
from stream_app.runs.workers import WorkerProcess
from stream_app.wire import OutputReader, encode_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Self

    from stream_app.wire import IdentityCommand

ROOT = Path(__file__).parents[1]
START = 1_740_960_000_000
"""Monday 2025-03-03T00:00:00Z: where the clock of replayed tests begins."""
MINUTE = 60_000
HOUR = 60 * MINUTE
FAST = Speed(None)
KEEP_ROWS = ("resolve", "customer", "numbers")
"""The stages whose tasks keep rows, so that they restore them, and have standbys."""


@dataclass
class Outcome:
    """What a pipeline came to, without anything that depends on when its workers ran.

    Attributes:
        owner: event id -> customer id.
        timeline: customer id -> the ids of her events.
        profiles: customer id -> her profile, decoded.
        net: ids of the triggers whose last word is a fire.
        held_back: trigger id -> the reasons for which it was held back, ever.
        books: the auditor's.
    """

    owner: dict[str, str] = field(default_factory=dict)
    timeline: dict[str, set[str]] = field(default_factory=dict)
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    net: set[str] = field(default_factory=set)
    held_back: dict[str, set[str]] = field(default_factory=dict)
    books: Books = field(default_factory=Books)


class Pipeline:
    """One deployment; a context manager that ends its workers.

    Args:
        bootstrap: address of the broker.
        prefix: of its topics and its group; no other deployment has it.
        folder: for state and logs.
        settings: further settings, as `RACCORD_...` variables.
        create: make the topics.
    """

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        create: bool = True,
    ) -> None:
        self.folder = folder
        self.bootstrap = bootstrap
        self.environment = {
            "RACCORD_BOOTSTRAP_SERVERS": bootstrap,
            "RACCORD_PREFIX": prefix,
            "RACCORD_DATA": str(folder / "state"),
            "RACCORD_PARTITIONS": "2",
            "RACCORD_REFERENCES": "",
            "RACCORD_TIME": "events",
            "RACCORD_SENDING_POLICY": "none",
            "RACCORD_METRICS_PORT": "0",
            "RACCORD_SESSION_TIMEOUT_MS": "2000",
            **(settings or {}),
        }
        self.settings = _settings(self.environment)
        self.topics = topics_of(self.settings)
        self.workers: dict[str, WorkerProcess] = {}
        self.sent = 0
        if create:
            kafka_topics.create(bootstrap, self.topics.specs(self.settings))
        self._feed = Feed(bootstrap, self.topics.inputs, self.settings.partitions)
        self._watcher = Watcher(bootstrap, f"{prefix}raccord", self.settings.partitions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for worker in self.workers.values():
            worker.kill()
        self._watcher.close()

    def start(self, *names: str) -> None:
        """Start workers; one that was started before keeps its slot."""
        for name in names:
            if name not in self.workers:
                self.workers[name] = WorkerProcess(name, self.environment, self.folder / f"{name}.log")
            self.workers[name].start()

    def pause(self, name: str) -> None:
        """Stop a worker in the middle of whatever it does: SIGSTOP."""
        os.kill(self.workers[name].pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Have it go on as if nothing had happened: SIGCONT."""
        os.kill(self.workers[name].pid, signal.SIGCONT)

    def supervise(self) -> None:
        """Start workers again that have ended by themselves."""
        for name, worker in self.workers.items():
            if worker._process is not None and worker._process.poll() is not None:
                self.start(name)

    def play(self, records: Iterable[Planned], speed: Speed = FAST) -> int:
        """Write records with the clock markers that belong to them; return where the clock stands (ms)."""
        return self._feed.play(records, speed)

    def mark(self, clock: int) -> None:
        """Set the clock of every partition of every channel (ms)."""
        self._feed.mark(clock)
        self._feed.flush()

    def drain(self, timeout: float = 60.0, *, supervised: bool = False) -> None:
        """Wait until the workers have nothing left to do; `supervised`: start them again when they end."""
        topics = self.topics
        self._watcher.wait(
            [*topics.inputs.values(), topics.commands, topics.lookup, topics.components, topics.increments],
            [
                topics.timeline,
                topics.segments,
                topics.decisions,
                topics.dead_letters,
                *topics.triggers.values(),
            ],
            timeout_s=timeout,
            check=self.supervise if supervised else self.check,
            progress=lambda: None,
        )

    def check(self) -> None:
        """Fail if a worker has ended by itself."""
        for worker in self.workers.values():
            worker.check()

    def read(self, topic: str) -> list[Any]:
        """Return a topic's committed records (kafka-python's `ConsumerRecord`)."""
        return list(Auditor(self.bootstrap).read(topic))

    def outputs(self, topic: str) -> list[dict[str, Any]]:
        """Return a topic's committed records, decoded; tombstones left out."""
        return [decoded(record.value) for record in self.read(topic) if record.value is not None]

    def triggers(self) -> list[dict[str, Any]]:
        """Return the messages of the shipped rule's topic, in the order of sending."""
        records = sorted(
            self.read(self.topics.triggers["abandoned_cart"]), key=lambda record: record.timestamp
        )
        return [decoded(record.value) for record in records]

    def owners(self) -> dict[str, str]:
        """Return event id -> customer id."""
        return self.books().owner

    def published(self) -> set[str]:
        """Return the ids of the events that are or were on a timeline, sooner than the books do."""
        return {row["event"]["event_id"] for row in self.outputs(self.topics.timeline)}

    def books(self) -> Books:
        """Have the books checked by the independent reader."""
        topics = self.topics
        return Auditor(self.bootstrap).audit(
            topics.channels,
            timeline=topics.timeline,
            profiles=topics.profiles,
            dead_letters=topics.dead_letters,
            decisions=topics.decisions,
            triggers=topics.triggers,
        )

    def outcome(self) -> Outcome:
        """Return what the topics say now."""
        books = self.books()
        found = Outcome(owner=books.owner, net=set(books.net), books=books)
        for event_id, customer in books.owner.items():
            found.timeline.setdefault(customer, set()).add(event_id)
        latest = {record.key.decode(): record.value for record in self.read(self.topics.profiles)}
        found.profiles = {key: decoded(value) for key, value in latest.items() if value is not None}
        held: defaultdict[str, set[str]] = defaultdict(set)
        for decision in self.outputs(self.topics.decisions):
            if decision["outcome"] == "held_back":
                held[decision["trigger_id"]].add(decision["reason"])
        found.held_back = dict(held)
        return found

    def command(self, *commands: IdentityCommand) -> None:
        """Write what operators say, and wait until the broker has it."""
        with self._writer() as send:
            for one in commands:
                send(self.topics.commands, encode_command(one), one.command_id.encode())

    def write(self, topic: str, *values: bytes) -> None:
        """Write records as they stand, and wait until the broker has them."""
        with self._writer() as send:
            for value in values:
                send(topic, value, b"key")

    def copy_inputs_from(self, other: Pipeline) -> None:
        """Write what another deployment was told, clock markers and commands too, partition by partition, in order."""
        for name, topic in other.topics.inputs.items():
            self.copy_from(other, topic, self.topics.inputs[name])
        self.copy_from(other, other.topics.commands, self.topics.commands)

    def copy_from(self, other: Pipeline, topic: str, target: str) -> None:
        """Write what lies in a topic of another deployment to one of this, partition by partition, in order.

        Records keep their timestamps where the target takes those of producers.
        """
        with self._writer() as send:
            for record in other.read(topic):
                send(
                    target, record.value, record.key, list(record.headers),
                    partition=record.partition, timestamp_ms=record.timestamp,
                )  # fmt: skip

    @contextmanager
    def _writer(self) -> Iterator[Any]:
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap.split(","),
            compression_type="lz4",
            max_request_size=16_777_216,
            linger_ms=5,
        )
        try:
            yield producer.send
            producer.flush()
        finally:
            producer.close()

    def rows(self) -> dict[str, dict[bytes, bytes]]:
        """Return every row of every task's store; the workers must have stopped.

        A task whose store lies at several workers is that of whoever had it last.
        """
        newest: dict[str, tuple[int, dict[bytes, bytes]]] = {}
        for folder in self.settings.data.glob("*/*-*/CURRENT"):
            found = stored(folder.parent)
            position = int(found.pop(CHANGELOG_KEY, b"0").split()[0])
            task = folder.parent.name
            if task not in newest or position > newest[task][0]:
                newest[task] = position, found
        return {task: found for task, (_, found) in newest.items()}

    def raccord(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command of the command line with this deployment's settings."""
        return raccord(*arguments, environment={**self.environment, **settings})

    def log(self, name: str) -> str:
        """Return what a worker has logged."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def metrics(self, name: str) -> str:
        """Return a worker's metrics page; empty while it has none."""
        pages = re.findall(r"http://\S+/metrics", self.log(name))
        try:
            return requests.get(pages[-1], timeout=10).text if pages else ""
        except requests.ConnectionError:
            return ""

    def at_work(self) -> bool:
        """Tell whether the workers, all of which run, have taken up every task that keeps rows, and restored these.

        Each page is of another moment, and a task that moves may be on two of them. What all pages say twice, one
        round after the other, was true of all at once.
        """
        told = self._restored()
        return (
            all(told) and sum(told) == len(KEEP_ROWS) * self.settings.partitions and told == self._restored()
        )

    def _restored(self) -> list[int]:
        return [self.tasks_of(name) for name in self.workers]

    def tasks_of(self, name: str) -> int:
        """Return how many tasks that keep rows a worker processes."""
        pattern = rf'^raccord_tasks\{{.*stage="(?:{"|".join(KEEP_ROWS)})"\}} (\d+)'
        return sum(map(int, re.findall(pattern, self.metrics(name), re.MULTILINE)))


def stored(folder: Path) -> dict[bytes, bytes]:
    """Return all that RocksDB holds in a folder, key by key."""
    database = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.read_only())
    try:
        return {bytes(key): bytes(value) for key, value in database.items()}
    finally:
        database.close()


def decoded(value: bytes) -> dict[str, Any]:
    """Return what a record of an output topic says."""
    return OutputReader().read(value)[1]


def raccord(
    *arguments: str, environment: Mapping[str, str], timeout: float = 280.0, cwd: Path = ROOT
) -> subprocess.CompletedProcess[bytes]:
    """Run a command of the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "stream_app", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=timeout,
        check=False,
    )


def happened(
    event_id: str,
    minute: float,
    kind: str,
    identifiers: dict[str, Any],
    *,
    channel: str = "web",
    arrives: float | None = None,
    **properties: Any,
) -> Planned:
    """Return the record of an event that happened some minutes after `START`, and arrived then or later."""
    time_ms = START + round(minute * MINUTE)
    event = ChannelEvent(event_id, time_ms, channel, kind, identifiers, properties)
    at = time_ms if arrives is None else START + round(arrives * MINUTE)
    return Planned(channel=channel, at=at, event=event, key=event_id.encode())
