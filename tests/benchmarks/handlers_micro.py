"""CPU time per event of each stage's code, without Kafka: `python -m tests.benchmarks.handlers_micro`.

Simulated shoppers go through the three handlers in one process, batch by batch, over real stores; what a handler
sends is handed to the next one's queue. After a batch the customer stage's clock moves to the latest event time that a
source has seen, and what is due fires: a clock that stood still would have rules settle nothing, and forget nothing.
Process time, so that other processes matter less.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import tempfile
import time
from collections import defaultdict, deque
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from faust.types import TP

from connectors.simulators import Noise, Simulation
from stream_app.app import _stages, in_force_of, load_policy
from stream_app.engine.collector import Collector
from stream_app.engine.store import Rows
from stream_app.engine.task import Clockwork, Task
from stream_app.engine.watermark import SourceWatermark, TimeMode
from stream_app.runs.feed import encoded
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

BATCH = 1_000
TIMERS = 10_000
"""Timers that are taken out at once."""


class Wire:
    """Stands for the producer: hands messages to the stages' queues, counts all of them."""

    def __init__(self, read: Collection[str]) -> None:
        self.read = read
        self.queues: dict[str, deque[Any]] = defaultdict(deque)
        self.sent: dict[str, int] = defaultdict(int)

    def send(self, topic: str, value: Any, key: Any, partition: int = -1, headers: Any = None) -> None:
        self.sent[topic] += 1
        if topic in self.read:
            self.queues[topic].append(
                SimpleNamespace(value=value, key=key, headers=(), offset=self.sent[topic])
            )


def move_clock(tasks: Iterable[Task], customers: Task) -> None:
    """Move the customer stage's clock to where its sources' have come, and fire what is due."""
    seen = max(task.watermark.value for task in tasks if isinstance(task.watermark, SourceWatermark))
    customers._firing.value = max(customers._firing.value, seen)
    while due := customers.timers.due(customers.clock, TIMERS):
        for time_due, key in due:
            customers.handler.fire(time_due, key)


def main() -> None:
    shoppers = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    settings = Settings(bootstrap_servers="none:9", partitions=1)
    in_force = in_force_of(settings)
    topics = in_force.terms.topics
    stages = {stage.name: stage for stage in _stages(settings, in_force, load_policy(settings))}
    wire, clock = Wire({topics.lookup, topics.components}), Clockwork(TimeMode.EVENTS, 0, 10**15)
    records: dict[str, list[Any]] = defaultdict(list)
    order = []
    for record in Simulation(1, shoppers=shoppers, days=3, noise=Noise(too_large=0)).records():
        if "--avro" in sys.argv:
            record.encoding = "single_object"
        value, headers = encoded(record)
        topic = topics.channels[record.channel]
        records[topic].append(
            SimpleNamespace(
                value=value,
                key=record.key,
                headers=tuple(headers),
                timestamp=1_790_000_000_000,
                topic=topic,
                partition=0,
                offset=len(records[topic]),
            )
        )
        order.append(topic)
    with tempfile.TemporaryDirectory() as folder:
        tasks = {}
        for stage in stages.values():
            for topic in stage.topics:
                task = tasks[topic] = Task(stage, TP(topic, 0), {}, 1, clock)
                task.open(Rows(Path(folder) / topic), wire)
        collector = Collector()
        spent: dict[str, float] = defaultdict(float)
        profile = cProfile.Profile() if "--profile" in sys.argv else None
        if profile is not None:
            profile.enable()
        positions: dict[str, int] = defaultdict(int)
        for start in range(0, len(order), BATCH):
            step: dict[str, int] = defaultdict(int)
            for topic in order[start : start + BATCH]:
                step[topic] += 1
            for topic, count in step.items():
                at = positions[topic]
                began = time.process_time()
                tasks[topic].handler.process(records[topic][at : at + count])
                spent["ingest"] += time.process_time() - began
                positions[topic] += count
            while wire.queues[topics.lookup] or wire.queues[topics.components]:
                for name, topic in (("resolve", topics.lookup), ("customer", topics.components)):
                    batch = list(wire.queues[topic])
                    wire.queues[topic].clear()
                    began = time.process_time()
                    tasks[topic].handler.process(batch)
                    spent[name] += time.process_time() - began
            began = time.process_time()
            move_clock(tasks.values(), tasks[topics.components])
            spent["timers"] += time.process_time() - began
            for topic, task in tasks.items():
                began = time.process_time()
                task.handler.flush()
                spent["flush"] += time.process_time() - began
                began = time.process_time()
                changes = task.store.changes()
                spent["encode rows"] += time.process_time() - began
                spent["rows"] += len(changes) / 1e6
                began = time.process_time()
                task.store.commit(changes, 1)
                spent["write rows"] += time.process_time() - began
                del topic
            collector.between_epochs()
        if profile is not None:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    n = len(order)
    for name, seconds in spent.items():
        print(f"{name:12} {seconds / n * 1e6:8.2f} us per event")
    print(f"{'all':12} {(sum(spent.values()) - spent['rows']) / n * 1e6:8.2f} us per event, {n} events")
    print({topic: round(count / n, 2) for topic, count in wire.sent.items()})


if __name__ == "__main__":
    main()
