"""One run from end to end on topics of its own: broker, topics, workers, feed, drain, audit.

`demo` and `replay` are such runs; so are tests. Everything that was started is stopped, however the run ends.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from pydantic import ValidationError

from stream_app.app import topics_of
from stream_app.embedded.broker import EmbeddedKafka
from stream_app.engine import topics as kafka_topics
from stream_app.engine.errors import FatalError
from stream_app.errors import EnvironmentMissing, UserError
from stream_app.runs.audit import Auditor, Books
from stream_app.runs.drain import Watcher
from stream_app.runs.feed import Feed
from stream_app.runs.numbers_reader import read_numbers
from stream_app.runs.workers import WorkerProcess
from stream_app.settings import Settings, complaint
from stream_app.wire import OutputReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from connectors.planned import Planned
    from stream_app.domain.numbers import Cell
    from stream_app.runs.feed import Speed
    from stream_app.runs.show import Playing, Show

DRAIN_SECONDS = 600.0
HOUR_MS = 3_600_000


@dataclass
class Options:
    """How a run is set up.

    Attributes:
        name: of the run; in its topics' prefix.
        folder: for the workers' state and logs.
        workers: how many processes.
        partitions: of each topic.
        keep: leave topics and state behind.
        settings: further settings (`RACCORD_...`) of the workers.
    """

    name: str
    folder: Path
    workers: int = 1
    partitions: int = 4
    keep: bool = False
    settings: dict[str, str] = field(default_factory=dict)


class Session:
    """A deployment of its own for one run; a context manager."""

    def __init__(self, options: Options, show: Show) -> None:
        self.options = options
        self.show = show
        self._stack = ExitStack()
        self.workers: list[WorkerProcess] = []

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _begin(self) -> None:
        options = self.options
        options.folder.mkdir(parents=True, exist_ok=True)
        prefix = f"{options.name}-{int(time.time())}-{os.getpid()}."
        self.environment = {
            "RACCORD_BOOTSTRAP_SERVERS": self._broker(),
            "RACCORD_PREFIX": prefix,
            "RACCORD_PARTITIONS": str(options.partitions),
            "RACCORD_DATA": str(options.folder / "state" / prefix.rstrip(".")),
            "RACCORD_TIME": "events",
            "RACCORD_METRICS_PORT": "0",
            **options.settings,
        }
        self.settings = _settings(self.environment)
        self.topics = topics_of(self.settings)
        specs = self.topics.specs(self.settings)
        with self.show.step(f"creating {len(specs)} topics"):
            self._create(specs)
        if not options.keep:
            self._stack.callback(shutil.rmtree, self.settings.data, ignore_errors=True)
        with self.show.step(f"starting {options.workers} worker{'s' * (options.workers > 1)}"):
            for number in range(1, options.workers + 1):
                log = options.folder / f"worker-{number}.log"
                log.unlink(missing_ok=True)
                worker = WorkerProcess(f"worker-{number}", self.environment, log)
                worker.start()
                self._stack.callback(worker.stop)
                self.workers.append(worker)
        self.watcher = Watcher(
            self.settings.bootstrap_servers, f"{self.settings.prefix}raccord", options.partitions
        )
        self._stack.callback(self.watcher.close)
        self.inputs = [
            *self.topics.inputs.values(),
            self.topics.commands,
            self.topics.lookup,
            self.topics.components,
            self.topics.increments,
        ]
        self.outputs = [
            self.topics.timeline,
            self.topics.segments,
            self.topics.numbers,
            self.topics.decisions,
            self.topics.dead_letters,
            *self.topics.triggers.values(),
        ]

    def _broker(self) -> str:
        given = os.environ.get("RACCORD_BOOTSTRAP_SERVERS") or os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        if given:
            return given
        folder = Path(".raccord/kafka")
        running = EmbeddedKafka(folder).state
        if running is not None:
            return running.bootstrap_servers
        kafka = EmbeddedKafka(folder, report=self.show.line)
        self._stack.callback(kafka.stop)
        with self.show.step("starting Apache Kafka"):
            return kafka.start()

    def _create(self, specs: list[kafka_topics.TopicSpec]) -> None:
        if not self.options.keep:
            self._stack.callback(self._delete, [spec.name for spec in specs])
        try:
            kafka_topics.create(self.settings.bootstrap_servers, specs, self.settings.replicas)
        except FatalError as error:
            raise EnvironmentMissing(str(error)) from error

    def _delete(self, names: list[str]) -> None:
        """Delete the run's topics; a broker that is gone must not hide why the run ended."""
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers.split(","))
            admin.delete_topics(names, raise_errors=False)
            admin.close()
        except KafkaError:
            self.show.line(f"the topics {self.settings.prefix}* were left behind: the broker does not answer")

    def feed(self, records: Iterable[Planned], speed: Speed, total: int | None, closing_ms: int) -> int:
        """Play records in, then one clock marker `closing_ms` after the last: all that is pending falls due."""
        feed = Feed(self.settings.bootstrap_servers, self.topics.inputs, self.settings.partitions)
        if speed.factor is not None and self.workers:
            self.wait_ready()
        with self.show.playing(total) as playing:
            clock = feed.play(records, speed, progress=lambda sent, at: self._watch(playing, sent, at))
        if self.workers:
            self.drain()  # so that the leap of the clock finds nothing on its way
        feed.mark(clock + closing_ms)
        feed.flush()
        return feed.sent

    def _watch(self, playing: Playing, sent: int, at: int) -> None:
        self._check()
        playing.sent(sent, at)

    def _check(self) -> None:
        for worker in self.workers:
            worker.check()

    def wait_ready(self) -> None:
        """Wait until every partition between the stages has an owner that has committed: the workers are at work."""
        with self.show.step("waiting for the workers"):
            self.watcher.wait_committed(
                [self.topics.lookup, self.topics.components],
                timeout_s=DRAIN_SECONDS,
                check=self._check,
            )

    def drain(self) -> None:
        """Wait until the workers have done everything there is to do."""
        with self.show.processing() as processing:
            self.watcher.wait(
                self.inputs,
                self.outputs,
                timeout_s=DRAIN_SECONDS,
                check=self._check,
                progress=lambda: processing.lag(
                    {stage: self.watcher.lag(topics) for stage, topics in self._stages().items()}
                ),
            )

    def _stages(self) -> Mapping[str, list[str]]:
        topics = self.topics
        return {
            "ingest": list(topics.inputs.values()),
            "resolve": [topics.lookup],
            "customer": [topics.components],
            "numbers": [topics.increments],
        }

    def audit(self) -> Books:
        """Have the books checked by the independent reader."""
        topics = self.topics
        with self.show.step("checking the books"):
            return Auditor(self.settings.bootstrap_servers).audit(
                topics.channels,
                timeline=topics.timeline,
                profiles=topics.profiles,
                dead_letters=topics.dead_letters,
                decisions=topics.decisions,
                triggers=topics.triggers,
            )

    def figures(self) -> dict[Cell, int]:
        """Return the figures that the workers have published, as `raccord kpis` reads them."""
        with self.show.step("reading the figures"):
            return read_numbers(self.settings, self.topics.numbers, OutputReader(None)).cells


def _settings(environment: Mapping[str, str]) -> Settings:
    """Read settings as a worker with this environment would.

    Raises:
        UserError: one of them is wrong; the message names it.
    """
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("RACCORD_")]:
        del os.environ[name]  # a run is a deployment of its own: only what it says counts
    os.environ.update(environment)
    try:
        return Settings()
    except ValidationError as error:
        raise UserError(complaint(error)) from error
    finally:
        os.environ.clear()
        os.environ.update(before)
