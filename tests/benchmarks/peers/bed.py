"""Where the peers are measured: topics, input, the processes of a worker and what they use, and what comes out."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from stream_app.engine import topics as kafka_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Self

    from tests.benchmarks.peers.jobs import Message

PARTITIONS = 4
ROOT = Path(__file__).parents[3]
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LARGEST = 1 << 20


def make_topics(bootstrap: str, names: Iterable[str]) -> None:
    """Make topics whose records carry their producers' time; changelogs are compacted, all others kept for ever."""
    log = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
    table = kafka_topics.table_topic(_LARGEST)
    kafka_topics.create(
        bootstrap,
        [
            kafka_topics.TopicSpec(
                name, PARTITIONS, table if name.endswith(("changelog", "positions")) else log
            )
            for name in names
        ],
    )


def producer(bootstrap: str) -> Producer:
    """Return a producer that puts keys where Java's does."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
            "enable.idempotence": True,
        }
    )


def write(bootstrap: str, topic: str, messages: Iterable[Message]) -> None:
    """Write records, and wait until the broker has them."""
    client = producer(bootstrap)
    for number, one in enumerate(messages):
        while True:
            try:
                client.produce(topic, one.value, one.key, one.partition, timestamp=one.at)
            except BufferError:
                client.poll(0.1)
            else:
                break
        if number % 1_000 == 0:
            client.poll(0)
    if client.flush(60):
        raise SystemExit(f"{topic}: the broker did not take all records")


class WrongOutputError(Exception):
    """A system did not put out what it must."""


@dataclass
class Use:
    """What processes have used: CPU-seconds, and resident memory (bytes)."""

    cpu: float
    memory: int


def use(pids: Iterable[int]) -> Use:
    """Return what these processes and their children have used so far; those that have ended count nothing."""
    cpu, pages = 0.0, 0
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        cpu += sum(map(int, words[11:15])) / _TICKS
    return Use(cpu, pages * _PAGE)


class Running:
    """The processes of one worker; a context manager that kills them."""

    def __init__(self, commands: Sequence[Sequence[str]], environment: Mapping[str, str], log: Path) -> None:
        self.commands = commands
        self.environment = {**os.environ, **environment}
        self.log = log
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start them all."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.processes = [
                subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=log, stderr=log)
                for command in self.commands
            ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End them as a power cut would."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def check(self) -> None:
        """End the run if one of them has ended by itself."""
        for process in self.processes:
            if process.poll() is not None:
                tail = self.log.read_text(errors="replace")[-3_000:]
                raise SystemExit(f"it ended with {process.returncode}: {self.log}\n{tail}")

    def use(self) -> Use:
        """Return what they have used."""
        return use(process.pid for process in self.processes)


@dataclass
class Sample:
    """How things stood at a moment (s, monotonic)."""

    at: float
    outputs: int
    worker: Use
    broker: Use


@dataclass
class Output:
    """What a committed reader saw: each (key, value) with its count, when each came (s, wall clock), and samples."""

    found: Counter[tuple[bytes, bytes]] = field(default_factory=Counter)
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


class Follower:
    """Reads a topic as its consumers would, from now on or from the beginning."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "peers",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "fetch.queue.backoff.ms": 5,
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        self.output = Output()
        self._total = 0

    def take(self, seconds: float, *, timed: bool = False) -> int:
        """Read for so long at most; return how many records there have been in all."""
        for message in self._consumer.consume(5_000, seconds):
            error = message.error()
            if error is None:
                self._total += 1
                self.output.found[message.key(), message.value()] += 1
                if timed:
                    self.output.arrivals.append((time.time(), message.value()))
            elif error.code() != KafkaError._PARTITION_EOF:
                raise SystemExit(f"reading the output failed: {error.str()}")
        return self._total

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def follow(
    bootstrap: str,
    topic: str,
    running: Running,
    broker: Callable[[], Use],
    expected: int,
    *,
    patience: float,
    progress: Callable[[int], None],
) -> Output:
    """Read outputs until all are there, and a little longer for any too many; sample what is used meanwhile.

    Raises:
        WrongOutputError: for so long (s) there was no further one, and some are missing.
    """
    follower = Follower(bootstrap, topic)
    with closing(follower):
        deadline, seen = time.monotonic() + patience, 0
        while seen < expected:
            running.check()
            before, seen = seen, follower.take(0.1)
            now = time.monotonic()
            if seen > before:
                deadline = now + patience
            follower.output.samples.append(Sample(now, seen, running.use(), broker()))
            progress(seen)
            if now > deadline:
                msg = f"{seen:,} of {expected:,} outputs, and no further one in {patience:.0f} s"
                raise WrongOutputError(msg)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            follower.take(0.2)
    return follower.output


class Listening:
    """Follows outputs in a thread while events are being written; `stop` returns what has come."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._follower = Follower(bootstrap, topic)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._done.is_set():
            self._follower.take(0.01, timed=True)

    def stop(self) -> Output:
        """Return what has come."""
        self._done.set()
        self._thread.join()
        self._follower.close()
        return self._follower.output
