"""What an event costs the customer stage by the number of rules in force.

Simulated shoppers go through `ingest` and `resolve` once; what comes to the customer stage is kept, epoch by epoch,
with the clock of a live deployment. Each number of rules gets the very same messages, in a stage of its own. The
first rules are those that ship, `abandoned_cart` before the others by name; further ones are copies of them under
other names, each with another waiting time.
"""

from __future__ import annotations

import gc
import re
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from faust.types import TP
from rich.table import Table

from connectors.simulators import Noise, Simulation
from stream_app.app import rule_files
from stream_app.domain.rules import load_rule
from stream_app.engine.store import MemoryRows
from stream_app.engine.task import Task
from stream_app.runs.feed import encoded
from tests.benchmarks import figures
from tests.benchmarks.customer_stage import CLOCKWORK, UPSTREAM, Cost, CustomerStage, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from connectors.planned import Planned
    from stream_app.domain.rules import Rule

EPOCH = 1_000
"""Events of the channels in an epoch."""
TOLERANCE = 200
"""How far the clock stays behind, ms: the default of `RACCORD_TOLERANCE_MS`."""
FIRST = "abandoned_cart"
_MICRO = 1e6


class Step(NamedTuple):
    """One epoch of the customer stage: how many events it is of, its messages, and the clock at its end."""

    events: int
    messages: list[Any]
    clock: int


def recorded(shoppers: int, days: int) -> list[Step]:
    """Return what simulated shoppers come to at the customer stage."""
    records = [
        record
        for record in Simulation(1, shoppers=shoppers, days=days, noise=Noise(too_large=0)).records()
        if record.note in (None, "late")
    ]
    with tempfile.TemporaryDirectory() as folder:
        customer = CustomerStage(Path(folder) / "rows")
        road = _Road(customer)
        steps = [road.step(records[start : start + EPOCH]) for start in range(0, len(records), EPOCH)]
        while not road.idle:
            steps.append(road.step([]))
        customer.close()
    return steps


class _Road:
    """The two hops before the customer stage, which answers them."""

    def __init__(self, customer: CustomerStage) -> None:
        self._customer = customer
        self._topics = topics = customer.topics
        self._wire = Wire({topics.lookup, topics.components})
        self._tasks: dict[str, Task] = {}
        for name in ("ingest", "resolve"):
            stage = customer.stages[name]
            for topic in stage.topics:
                upstreams = {UPSTREAM: 1} if stage.upstream else {}
                task = self._tasks[topic] = Task(stage, TP(topic, 0), upstreams, 1, CLOCKWORK)
                task.open(MemoryRows(), self._wire)
        self._clock = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        lookup = self._topics.lookup
        on_their_way = self._wire.queues[lookup] or self._customer.wire.queues[lookup]
        return not on_their_way and self._customer.idle

    def step(self, records: Sequence[Planned]) -> Step:
        """Take records in, end an epoch everywhere, and return the customer stage's."""
        topics = self._topics
        for record in records:
            value, headers = encoded(record)
            topic = topics.channels[record.channel]
            one = SimpleNamespace(
                value=value,
                key=record.key,
                headers=tuple(headers),
                timestamp=record.at,
                topic=topic,
                partition=0,
                offset=self._wire.sent[topics.lookup],
            )
            self._tasks[topic].handler.process([one])
            self._clock = max(self._clock, record.at - TOLERANCE)
        asked = [*self._customer.wire.take(topics.lookup), *self._wire.take(topics.lookup)]
        self._tasks[topics.lookup].handler.process(asked)
        for task in self._tasks.values():
            task.handler.flush()
            task.store.commit(task.store.changes(), 1)
        step = Step(len(records), self._wire.take(topics.components), self._clock)
        self._customer.epoch(step.messages, step.clock)
        return step


WAITS = re.compile(r'(?m)^after: \d|local_time: "\d\d:00"')
"""What can be changed in a copy: a rule that is due at once has no other waiting time."""


def in_order() -> Iterator[tuple[str, str]]:
    """Yield (source, text) of the rules that ship, then of copies without end."""
    files = sorted(rule_files(None), key=lambda file: (Path(file[0]).stem != FIRST, file[0]))
    yield from files
    waiting = [(source, text) for source, text in files if WAITS.search(text)]
    number = 1
    while True:
        for source, text in waiting:
            yield f"{source} ({number})", copied(text, number)
        number += 1


def copied(text: str, number: int) -> str:
    """Return a rule file under another name and with another waiting time.

    Raises:
        ValueError: the text has no name, or waits for nothing that could be changed.
    """
    named, names = re.subn(r"(?m)^name: (\w+)$", rf"name: \1_{number}", text)
    waits, times = re.subn(r"(?m)^after: (\d+)", lambda found: f"after: {int(found[1]) + number}", named)
    if not times:
        waits, times = re.subn(
            r'local_time: "(\d\d):00"', lambda found: f'local_time: "{found[1]}:{number:02}"', named
        )
    if names != 1 or times != 1:
        msg = "a copy needs a line with the rule's name, and `after` or a `local_time` on the hour"
        raise ValueError(msg)
    return waits


def rules_of(count: int) -> list[Rule]:
    """Return so many rules."""
    return [load_rule(text, source) for (source, text), _ in zip(in_order(), range(count), strict=False)]


def measure(
    counts: Sequence[int], shoppers: int, days: int, runs: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return what an event costs with each of these numbers of rules, and what one more rule costs."""
    steps = recorded(shoppers, days)
    rules = {count: rules_of(count) for count in counts}
    costs: dict[int, list[Cost]] = {count: [] for count in counts}
    sent: dict[int, dict[str, int]] = {}
    _play(steps[: len(steps) // 4 + 1], rules[max(counts)])  # what is only done once is done now
    gc.collect()
    gc.freeze()
    for run in range(runs):
        for count in counts:  # in turn, so that a busy minute of the machine is everybody's
            cost, sent[count] = _play(steps, rules[count])
            costs[count].append(cost)
            say(f"rules: run {run + 1} of {runs}, {count} rules, {cost.all:.1f} us per event")
    gc.unfreeze()
    found = {
        str(count): {
            "us_per_event": {
                part: figures.of([getattr(cost, part) for cost in costs[count]])
                for part in ("all", *Cost._fields)
            },
            **sent[count],
        }
        for count in counts
    }
    return {
        "events": sum(step.events for step in steps),
        "shoppers": shoppers,
        "days": days,
        "runs": runs,
        "by_rules": found,
        **_slopes(found),
    }


def _play(steps: Sequence[Step], rules: Sequence[Rule]) -> tuple[Cost, dict[str, int]]:
    """Return what an event cost, in us, and what was sent."""
    spent: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        stage = CustomerStage(Path(folder) / "rows", rules)
        for step in steps:
            spent.update(stage.epoch(step.messages, step.clock)._asdict())
        while not stage.idle:
            spent.update(stage.epoch()._asdict())
        sent = stage.sent()
        stage.close()
    gc.collect()
    events = sum(step.events for step in steps)
    return Cost(**{part: seconds / events * _MICRO for part, seconds in spent.items()}), sent


def _slopes(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what one more rule adds to an event, in us: between each two numbers of rules, and over all."""
    points = sorted((int(count), figure["us_per_event"]["all"]["median"]) for count, figure in found.items())
    if len(points) == 1:
        return {}
    between = {
        f"{fewer} to {more}": round((dearer - cheaper) / (more - fewer), 2)
        for (fewer, cheaper), (more, dearer) in pairwise(points)
    }
    line = linear_regression(*zip(*points, strict=True))
    return {"us_per_further_rule": between, "us_per_rule_all_in_all": round(line.slope, 2)}


def table(found: dict[str, Any]) -> Table:
    """Return what a person wants to see."""
    title = f"us per event in the customer stage, {found['events']:,} events, {found['runs']} runs"
    shown = Table(title=title, title_justify="left")
    for name in (
        "rules",
        "us per event",
        "handlers",
        "timers",
        "end of epoch",
        "writing",
        "triggers",
        "decisions",
    ):
        shown.add_column(name, justify="right")
    for count, figure in found["by_rules"].items():
        shown.add_row(
            count,
            *map(figures.shown, figure["us_per_event"].values()),
            f"{figure['triggers']:,}",
            f"{figure['decisions']:,}",
        )
    if "us_per_further_rule" in found:
        steps = ", ".join(f"{step}: {us}" for step, us in found["us_per_further_rule"].items())
        shown.caption = f"us per further rule: {steps}; all in all {found['us_per_rule_all_in_all']}"
    return shown
