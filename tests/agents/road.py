"""The three handlers in one process, without Kafka: what one sends is the next one's input."""

from __future__ import annotations

from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any

from faust.types import TP

import schemas
from stream_app.app import _stages, in_force_of, load_policy
from stream_app.domain.commands import Op
from stream_app.domain.event import ChannelEvent
from stream_app.engine.store import MemoryRows
from stream_app.engine.task import Clockwork, Task
from stream_app.engine.watermark import TimeMode
from stream_app.settings import NO_POLICY, Settings
from stream_app.wire import (
    IdentityCommand,
    OutputReader,
    encode_command,
    encode_reference,
    encode_single_object,
)

NOW = 1_790_000_000_000


class Sent:
    """Stands for the producer: keeps messages by topic, in order, until they are read; and all of them in `all`."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self.by_topic: dict[str, deque[Any]] = defaultdict(deque)
        self.offset = 0

    def send(self, topic, value, key, partition=-1, headers=None, on_delivery=None) -> None:
        self.offset += 1
        record = SimpleNamespace(
            value=value,
            key=key,
            headers=[(name, content) for name, content in headers or ()],
            timestamp=NOW,
            topic=topic,
            partition=0,
            offset=self.offset,
        )
        self.by_topic[topic].append(record)
        self.all.append(record)


class Road:
    """One partition of everything; `play` takes events through all hops and ends an epoch."""

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings(partitions=1, sending_policy=NO_POLICY)
        self.in_force = in_force_of(settings)
        self.topics = self.in_force.terms.topics
        self.sent = Sent()
        self.reader = OutputReader()
        clock = Clockwork(TimeMode.EVENTS, 0, 10**15)
        self.tasks: dict[str, Task] = {}
        self.rows: dict[str, MemoryRows] = {}
        for stage in _stages(settings, self.in_force, load_policy(settings)):
            for topic in stage.topics:
                task = self.tasks[topic] = Task(stage, TP(topic, 0), {"up": 1}, 1, clock)
                self.rows[topic] = MemoryRows()
                task.open(self.rows[topic], self.sent)
        self.customer = self.tasks[self.topics.components]

    def play(self, *events: ChannelEvent, clock: int | None = None) -> None:
        """Take events through the road, have the clock reach `clock`, and end the epoch."""
        for event in events:
            self.raw(event.channel, encode_single_object(event))
        self.settle()
        if clock is not None:
            self.tick(clock)
        self.end_epoch()

    def raw(self, channel: str, value: bytes | None, headers: Any = ()) -> None:
        """Give one record to a channel's handler."""
        self._give(self.topics.channels[channel], value, headers)

    def refer(self, feed: str, *, time: int | None = None, key: bytes = b"k", **row: Any) -> None:
        """Give a row of reference data to its handler; `time` is in minutes after a fixed start, as for events."""
        if time is not None:
            row["time"] = at(time)
        value = encode_reference(schemas.references()[feed], row) if row else None
        self._give(self.topics.references[feed], value, key=key)
        self.tasks[self.topics.references[feed]].handler.flush()

    def say(self, op: str, a: str, b: str | None = None, *, time: int) -> None:
        """Give an operator's command to its handler; `time` is in minutes after a fixed start, as for events."""
        name = f"command-{self.sent.offset}"
        command = IdentityCommand(name, Op(op), a, b, at(time), "operator", "reason")
        self._give(self.topics.commands, encode_command(command))

    def _give(self, topic: str, value: bytes | None, headers: Any = (), key: bytes = b"k") -> None:
        self.sent.offset += 1
        record = SimpleNamespace(
            value=value,
            key=key,
            headers=headers,
            timestamp=NOW,
            topic=topic,
            partition=0,
            offset=self.sent.offset,
        )
        self.tasks[topic].handler.process([record])

    def settle(self) -> None:
        """Hand messages on until none is left."""
        inner = (self.topics.lookup, self.topics.components)
        while any(self.sent.by_topic[topic] for topic in inner):
            for topic in inner:
                batch = list(self.sent.by_topic[topic])
                self.sent.by_topic[topic].clear()
                self.tasks[topic].handler.process(batch)

    def tick(self, clock: int) -> None:
        """Move the customer stage's clock, and fire what is due."""
        self.customer.watermark.advance({"up": (clock, [])})
        self.customer._firing.value = clock
        while due := self.customer.timers.due(clock, 100):
            for timer in due:
                self.customer.handler.fire(*timer)

    def end_epoch(self) -> None:
        """Flush and commit every handler."""
        for topic, task in self.tasks.items():
            if topic == self.topics.increments:  # filled by the stages before it, as they end their epochs
                task.handler.process(list(self.sent.by_topic.pop(topic, ())))
            task.handler.flush()
            task.store.commit(task.store.changes(), 1)

    def read(self, topic: str) -> list[dict[str, Any]]:
        """Take and decode what was sent to an output topic; tombstones are left out."""
        records = list(self.sent.by_topic[topic])
        self.sent.by_topic[topic].clear()
        return [self.reader.read(record.value)[1] for record in records if record.value is not None]


def event(
    event_id: str, time: int, kind: str, identifiers: dict[str, Any], channel: str = "web", **properties: Any
):
    """Return a channel event; `time` is in minutes after a fixed start."""
    return ChannelEvent(event_id, NOW - 10**9 + time * 60_000, channel, kind, identifiers, properties)


def at(minutes: int) -> int:
    """Return that time in ms."""
    return NOW - 10**9 + minutes * 60_000
