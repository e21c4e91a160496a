"""The customer stage of one partition for measuring: with any rules, over RocksDB, live, and without Kafka.

An epoch is handed its messages and where the clock stands at its end, and says how long each part of it took, in
process time. As over Kafka, what the stage sends to itself comes back with the next epoch. What a producer would
take for what is sent is not in the figures.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from faust.types import TP

from stream_app.agents.in_force import InForce, Written
from stream_app.app import _stages, _terms, _topics, load_policy, read_rules
from stream_app.domain.rules import RuleBook
from stream_app.engine.pace import Pace
from stream_app.engine.store import Rows
from stream_app.engine.task import Clockwork, Task
from stream_app.engine.watermark import TimeMode
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from stream_app.domain.rules import Rule

UPSTREAM = "upstream"
CLOCKWORK = Clockwork(TimeMode.WALL, 0, 0)


class Cost(NamedTuple):
    """Seconds of process time that an epoch took.

    Attributes:
        handlers: taking in the messages.
        timers: firing what is due.
        end: folding again, publishing profiles, encoding changed rows.
        write: writing those into RocksDB.
    """

    handlers: float
    timers: float
    end: float
    write: float

    @property
    def all(self) -> float:
        """The whole epoch."""
        return sum(self)


class Wire:
    """Stands for the producer: keeps what goes to some topics, counts all of them."""

    def __init__(self, kept: Collection[str]) -> None:
        self.queues: dict[str, deque[Any]] = {topic: deque() for topic in kept}
        self.sent: Counter[str] = Counter()

    def send(self, topic: str, value: Any, key: Any, partition: int = -1, headers: Any = None) -> None:
        del partition, headers
        self.sent[topic] += 1
        if topic in self.queues:
            record = SimpleNamespace(value=value, key=key, headers=(), offset=self.sent[topic])
            self.queues[topic].append(record)

    def take(self, topic: str) -> list[Any]:
        """Return what is kept of a topic, and forget it."""
        taken = list(self.queues[topic])
        self.queues[topic].clear()
        return taken


class CustomerStage:
    """The stage; `rules` are those in force, None: those that ship."""

    def __init__(self, folder: Path, rules: Sequence[Rule] | None = None) -> None:
        settings = Settings(bootstrap_servers="none:9", partitions=1)
        policy = load_policy(settings)
        written = read_rules(settings, policy)
        if rules is not None:
            written = Written(RuleBook(rules, written.book.policy), None)
        self.topics = _topics(settings, written.book)
        in_force = InForce(_terms(settings, written, self.topics))
        self.stages = {stage.name: stage for stage in _stages(settings, in_force, policy)}
        self.wire = Wire({self.topics.lookup, self.topics.components})
        where = TP(self.topics.components, 0)
        self.task = Task(self.stages["customer"], where, {UPSTREAM: 1}, 1, CLOCKWORK)
        self.task.open(Rows(folder), self.wire)
        self.fired = 0

    @property
    def idle(self) -> bool:
        """Whether it has asked itself for nothing more."""
        return not self.wire.queues[self.topics.components]

    def epoch(self, messages: Sequence[Any] = (), clock: int | None = None) -> Cost:
        """Take in what it has sent to itself and these messages (records), let the clock go on, end the epoch."""
        task, records = self.task, [*self.wire.take(self.topics.components), *messages]
        marks = [time.process_time()]
        task.handler.process(records)
        marks.append(time.process_time())
        if clock is not None and task.advance({UPSTREAM: (clock, []), task.tp.topic: (clock, [])}):
            self._fire()
        marks.append(time.process_time())
        task.handler.flush()
        changes = task.store.changes()
        marks.append(time.process_time())
        task.store.commit(changes, 1)
        marks.append(time.process_time())
        return Cost(*(after - before for before, after in pairwise(marks)))

    def _fire(self) -> None:
        """Fire what is due, as the engine does."""
        task = self.task
        while due := task.timers.due(task.clock, Pace.timers):
            for timer in due:
                task.handler.fire(*timer)
            self.fired += len(due)

    def sent(self) -> dict[str, int]:
        """Return how many triggers and decisions were sent, and how many timers have fired."""
        triggers = sum(self.wire.sent[topic] for topic in self.topics.triggers.values())
        decisions = self.wire.sent[self.topics.decisions]
        return {"triggers": triggers, "decisions": decisions, "timers_fired": self.fired}

    def close(self) -> None:
        """Close the files."""
        self.task.store.close()
