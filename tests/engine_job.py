"""Runs the small job of `engine_worker` on a broker: topics, input, workers as processes, outputs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from kafka.admin import KafkaAdminClient

from stream_app.engine import topics as kafka_topics
from stream_app.engine.codec import WATERMARK_HEADER, encode_marker
from stream_app.engine.errors import FatalError
from stream_app.runs.drain import Watcher
from tests.engine_probes import SAID
from tests.engine_worker import PARTITIONS, topics
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).parents[1]
KEYS = [b"k%02d" % number for number in range(40)]


class Job:
    """One run of the job, with topics of its own; a context manager that ends its workers."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, *, time_mode: str = "wall") -> None:
        self.bootstrap = bootstrap
        self.group = prefix.rstrip(".")
        self.folder = folder
        self.topics = topics(f"{self.group}.")
        self.time_mode = time_mode
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        kafka_topics.create(bootstrap, specs(self.topics))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()

    def feed(
        self, records: Iterable[tuple[bytes, bytes]], *, seconds: float = 0.0, count: int = 1
    ) -> Counter[bytes]:
        """Send (key, value) pairs, spread over some seconds; return how many each key got."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "enable.idempotence": True,
            }
        )
        counts: Counter[bytes] = Counter()
        started = time.monotonic()
        for sent, (key, value) in enumerate(records):
            counts[key] += 1
            producer.produce(self.topics["input"], value, key)
            if sent % 200 == 0:
                producer.poll(0)
                if seconds:
                    time.sleep(max(0.0, started + sent * seconds / count - time.monotonic()))
        assert producer.flush(90) == 0  # a broker that was killed may be long in coming back
        return counts

    def mark(self, clock: int) -> None:
        """Write a clock marker to every partition of the input."""
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for partition in range(PARTITIONS):
            producer.produce(
                self.topics["input"],
                encode_marker(clock),
                None,
                partition,
                headers=[(WATERMARK_HEADER, b"1")],
            )
        assert producer.flush(30) == 0

    def start(self, worker: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker, with further environment variables; its log is in the job's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{worker}.log").open("ab") as log:
            self.workers[worker] = subprocess.Popen(
                [sys.executable, "-m", "tests.engine_worker", self.group, worker, str(self.folder)],
                cwd=ROOT,
                env={
                    **os.environ,
                    "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
                    "TIME": self.time_mode,
                    **environment,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self.workers[worker]

    def kill(self, worker: str) -> None:
        """End a worker as a power cut would."""
        self.workers[worker].kill()
        self.workers[worker].wait()

    def restart_dead(self) -> None:
        """Do what a supervisor does."""
        for name, worker in list(self.workers.items()):
            if worker.poll() is not None:
                self.start(name)

    def read(self, role: str) -> list[tuple[bytes, bytes | None]]:
        """Read a topic to its end, committed records only."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"{self.group}-check",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(self.topics[role], p, 0) for p in range(PARTITIONS)])
        found, ends = [], 0
        with contextlib.closing(consumer):
            while ends < PARTITIONS:
                for message in consumer.consume(1_000, 0.1):
                    if message.error() is None:
                        found.append((message.key(), message.value()))
                    else:
                        assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                        ends += 1
        return found

    def drain(self, timeout: float = 60.0) -> None:
        """Wait until the workers have nothing left to do (with time_mode "events": a wall clock never rests)."""
        watcher = Watcher(self.bootstrap, self.group, PARTITIONS)
        with contextlib.closing(watcher):
            watcher.wait(
                [self.topics["input"], self.topics["middle"]],
                [self.topics["output"], self.topics["dead"]],
                timeout_s=timeout,
                check=lambda: None,
                progress=lambda: None,
            )

    def outputs(self, expected: int, timeout: float = 60.0) -> list[bytes]:
        """Wait for so many outputs, then a little longer for any too many."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = [value for _, value in self.read("output") if value is not None]
            if len(found) >= expected:
                break
            self.restart_dead()
            time.sleep(0.5)
        time.sleep(1.0)
        return [value for _, value in self.read("output") if value is not None]

    def log(self, worker: str) -> str:
        """Return what a worker has logged."""
        return (self.folder / f"{worker}.log").read_text(errors="replace")


class Probed(Job):
    """The job, with a probe planted in its workers."""

    def __init__(
        self, probe: str, bootstrap: str, prefix: str, folder: Path, *, time_mode: str = "wall"
    ) -> None:
        super().__init__(bootstrap, prefix, folder, time_mode=time_mode)
        self.probe = probe

    def start(self, worker: str, **environment: str) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        variables = {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap, "TIME": self.time_mode, "PROBE": self.probe}
        with (self.folder / f"{worker}.log").open("ab") as log:
            self.workers[worker] = subprocess.Popen(
                [sys.executable, "-m", "tests.engine_probes", self.group, worker, str(self.folder)],
                cwd=ROOT,
                env={**os.environ, **variables, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self.workers[worker]

    def said(self, worker: str, *words: str) -> list[list[str]]:
        """Return what a probe has said after these words."""
        lines = [line[line.index(SAID) :].split() for line in self.log(worker).splitlines() if SAID in line]
        return [line[1 + len(words) :] for line in lines if line[1 : 1 + len(words)] == list(words)]

    def waits_for(self, worker: str, holds: Callable[[], bool], seconds: float = 20.0) -> None:
        assert wait_for(holds, seconds), self.log(worker)[-2_000:]

    def make_anew(self, role: str) -> None:
        """Delete a topic and make it again, empty."""
        name = self.topics[role]
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.delete_topics([name])
            assert wait_for(lambda: name not in admin.list_topics())

        def made() -> bool:
            with contextlib.suppress(FatalError):  # the broker may still be busy with the deletion
                kafka_topics.create(self.bootstrap, specs(self.topics))
            return kafka_topics.problems(self.bootstrap, specs(self.topics)) == []

        assert wait_for(made)


def specs(names: dict[str, str]) -> list[kafka_topics.TopicSpec]:
    """Return the job's topics as they must be."""
    log, table = kafka_topics.log_topic(3_600_000, 1 << 20, stamped=True), kafka_topics.table_topic(1 << 20)
    return [
        kafka_topics.TopicSpec(name, PARTITIONS, table if role.endswith("changelog") else log)
        for role, name in names.items()
    ]


def every_tenth(counts: Counter[bytes]) -> list[bytes]:
    """Return the outputs that these counts give, sorted."""
    return sorted(b"%s:%d" % (key, n) for key, total in counts.items() for n in range(10, total + 1, 10))


def tens(times: int = 10) -> list[tuple[bytes, bytes]]:
    """Return so many events of each key, mixed."""
    events = [(key, b"x") for key in KEYS for _ in range(times)]
    random.Random(times).shuffle(events)
    return events
