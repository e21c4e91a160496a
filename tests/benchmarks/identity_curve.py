"""What an event costs by the size of its component: `make bench-identity`.

Results go to `tests/benchmarks/results/identity_curve.json`. The customer stage as it is, over RocksDB, in one
process and without Kafka: components of 10 to 10,000 identifiers and ten times as many events, in three shapes:

- person: one person with many devices;
- kiosk: a shared device that everybody logs in on, so it is quarantined;
- chain: households, each of whose tablets is shared with the next one, so that everything is contested.

The policy's limits on devices are lifted, or there would be no large components to speak of. What is measured is
one message's handling, with the rows in the cache; an event that has rows moved goes on with further messages,
which are counted and timed too. Epochs are committed in between, outside of what is measured.
"""

from __future__ import annotations

import gc
import itertools
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
from faust.types import TP
from rich.table import Table

from stream_app.app import _stages, in_force_of
from stream_app.domain.commands import Command, Op
from stream_app.domain.event import Event
from stream_app.domain.labels import Labels
from stream_app.domain.messages import CommandTo, EventTo, encode
from stream_app.domain.policy import IdentityPolicy
from stream_app.engine.collector import Collector
from stream_app.engine.store import Rows
from stream_app.engine.task import Clockwork, Task
from stream_app.engine.watermark import TimeMode
from stream_app.settings import Settings
from tests.benchmarks import command
from tests.machine import machine

RESULTS = command.RESULTS / "identity_curve.json"
SIZES = (10, 100, 1_000, 10_000)
ROWS = 10
"""Timeline rows for each identifier."""
EPOCH = 200
"""Messages between two commits."""
SAMPLES, SECONDS, FEWEST = 200, 1.0, 3
"""How often one thing is measured: so often, or for so long, but at least so often."""
GROWTH = 5
"""A component is used until it has grown by one in so many identifiers; then another one is made."""
START = 1_790_000_000_000
STEP = 1_000
POLICY = IdentityPolicy.from_mapping(
    {
        "shared_after": 5,
        "component_cap": 1_000_000,
        "namespaces": [
            {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
            {"name": "email", "priority": 2, "kind": "person", "limit": 5},
            {"name": "device", "priority": 3, "kind": "device"},
            {"name": "cookie", "priority": 4, "kind": "device"},
        ],
    }
)

Names = tuple[str, ...]
Measure = Iterator[bytes]
"""Messages to measure, one after the other."""


class Wire:
    """Stands for the producer: what goes to components is handed back to them, the rest is dropped."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.queue: deque[bytes] = deque()

    def send(self, topic: str, value: Any, key: Any, partition: int = -1, headers: Any = None) -> None:
        del key, partition, headers
        if topic == self.topic:
            self.queue.append(value)


class Stage:
    """The customer stage of one partition."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(bootstrap_servers="none:9", partitions=1)
        in_force = in_force_of(settings)
        topics = in_force.terms.topics
        stage = next(one for one in _stages(settings, in_force, POLICY) if one.name == "customer")
        self.labels = Labels(POLICY, settings.customer_key.get_secret_value().encode())
        self.wire = Wire(topics.components)
        self.task = Task(stage, TP(topics.components, 0), {}, 1, Clockwork(TimeMode.EVENTS, 0, 10**15))
        self.task.open(Rows(folder), self.wire)
        self.handled = 0

    def handle(self, raw: bytes) -> float:
        """Handle one message; return how long that took, in us."""
        record = SimpleNamespace(value=raw, key=b"", headers=(), offset=self.handled)
        process = self.task.handler.process
        began = time.perf_counter()
        process([record])
        spent = (time.perf_counter() - began) * 1e6
        self.handled += 1
        if self.handled % EPOCH == 0:
            self.commit()
        return spent

    def rest(self) -> list[float]:
        """Handle what components have sent themselves; return how long each message took, in us."""
        spent = []
        while self.wire.queue:
            spent.append(self.handle(self.wire.queue.popleft()))
        return spent

    def commit(self) -> None:
        """End an epoch."""
        self.task.handler.flush()
        self.task.store.commit(self.task.store.changes(), 1)

    def cold(self) -> None:
        """Forget the evidence that is in memory."""
        self.commit()
        self.task.handler.components.reset()

    def close(self) -> None:
        """Close the files."""
        self.task.store.close()


class Shape(NamedTuple):
    """A component: its events, in order of time, and what may be asked of it.

    Attributes:
        events: the identifiers of each event.
        logins: combinations of a person and her own device.
        anonymous: combinations of devices only.
        persons: pairs of persons who may share one more tablet.
    """

    events: Callable[[], Iterator[Names]]
    logins: list[Names]
    anonymous: list[Names]
    persons: list[tuple[str, str]]


def person(size: int) -> Shape:
    """One person with many devices, and a second one who shares a tablet with her later on."""
    devices = [f"cookie:{number}" for number in range(size - 1)]
    logins = [("user_id:0", device) for device in devices]
    anonymous = [(device,) for device in devices]

    def events() -> Iterator[Names]:
        for turn in range(ROWS):
            yield from logins if turn % 2 == 0 else anonymous

    return Shape(events, logins, anonymous, [("user_id:0", "user_id:1")])


def kiosk(size: int) -> Shape:
    """One device that everybody logs in on."""
    device = "device:kiosk"
    logins = [(f"user_id:{number}", device) for number in range(size - 1)]

    def events() -> Iterator[Names]:
        for turn in range(ROWS):
            for login in logins:
                yield (device,) if turn == ROWS - 1 else login

    persons = [(one[0], other[0]) for one, other in itertools.pairwise(logins)]
    return Shape(events, logins, [(device,)], persons)


def chain(size: int) -> Shape:
    """Households: a person, her own device, and a tablet that the next one also logs in on."""
    count = max(3, size // 3)
    own = [(f"user_id:{number}", f"cookie:{number}") for number in range(count)]
    tablets = [(f"device:{number}",) for number in range(count - 1)]
    mine = [(f"user_id:{number}", *tablet) for number, tablet in enumerate(tablets)]
    theirs = [(f"user_id:{number + 1}", *tablet) for number, tablet in enumerate(tablets)]

    def events() -> Iterator[Names]:
        for turn in range(ROWS * size // (5 * count)):
            yield from own
            yield from mine if turn % 2 == 0 else theirs
            yield from tablets
            yield from (names[1:] for names in own)
            yield from own

    persons = [(one[0], other[0]) for one, other in itertools.pairwise(own)]
    return Shape(events, own, tablets, persons)


SHAPES: dict[str, Callable[[int], Shape]] = {"person": person, "kiosk": kiosk, "chain": chain}


class Component:
    """One component that is given events."""

    def __init__(self, stage: Stage, shape: Shape, number: int) -> None:
        self.stage = stage
        self.shape = shape
        self.label = f"{stage.labels.of(shape.logins[0][0])}.{number}"
        self.number = 0
        for names in shape.events():
            self.give(self.event(names))
        self.rows = self.number
        stage.commit()

    def event(self, names: Names, time: int | None = None) -> bytes:
        """Return the message for an event, later than all before unless said otherwise."""
        self.number += 1
        when = START + STEP * self.number if time is None else time
        name = f"e{self.number}"
        event = Event(
            name, when, "web", "Page Viewed", names, {"page": "/"}, self.number, f"web/0/{self.number}"
        )
        return encode(EventTo(self.label, msgspec.Raw(encode(event)), b"payload", START))

    def deny(self, one: str, other: str) -> bytes:
        """Return the message for a denial."""
        self.number += 1
        when = START + STEP * self.number
        pair = POLICY.pair(one, other)
        command = Command(f"c{self.number}", Op.DENY, pair, when, "op", "because", "c/0/0")
        return encode(CommandTo(self.label, command, tuple(map(self.stage.labels.of, pair)), START))

    def give(self, *messages: bytes) -> None:
        """Handle messages to rest."""
        for message in messages:
            self.stage.handle(message)
            self.stage.rest()

    # -- what is measured -------------------------------------------------------------------------------

    def known(self) -> Measure:
        for names in itertools.cycle(self.shape.logins):
            yield self.event(names)

    def anonymous(self) -> Measure:
        for names in itertools.cycle(self.shape.anonymous):
            yield self.event(names)

    def new(self) -> Measure:
        for number, names in enumerate(itertools.cycle(self.shape.logins)):
            yield self.event((names[0], f"cookie:new-{number}"))

    def cold(self, names: list[Names]) -> Measure:
        for one in itertools.cycle(names):
            self.stage.cold()
            yield self.event(one)

    def cold_new(self) -> Measure:
        for number, names in enumerate(itertools.cycle(self.shape.logins)):
            self.stage.cold()
            yield self.event((names[0], f"cookie:cold-{number}"))

    def tablet(self) -> Measure:
        """Two persons take turns on one tablet: every login moves it."""
        for number, (one, other) in enumerate(itertools.cycle(self.shape.persons)):
            tablet = f"device:moving-{number % len(self.shape.persons)}"
            self.give(self.event((one, tablet)), self.event((tablet,)))
            yield self.event((other, tablet))

    def late(self) -> Measure:
        """Events on a tablet are one person's until it is known that the other one had logged in before."""
        for number, (one, other) in enumerate(itertools.cycle(self.shape.persons)):
            tablet = f"device:late-{number}"
            self.give(self.event((one, tablet)))
            since = START + STEP * self.number
            self.number += 10
            self.give(*(self.event((tablet,)) for _ in range(5)))
            yield self.event((other, tablet), since + 5 * STEP)

    def split(self) -> Measure:
        """A person's device is found to be somebody else's."""
        for number, names in enumerate(itertools.cycle(self.shape.logins)):
            device = f"cookie:split-{number}"
            self.give(self.event((names[0], device)), self.event((device,)))
            yield self.deny(names[0], device)


WHAT: dict[str, Callable[[Component], Measure]] = {
    "known identifiers, later": Component.known,
    "device only": Component.anonymous,
    "a new identifier": Component.new,
    "cold: known identifiers": lambda one: one.cold(one.shape.logins),
    "cold: device only": lambda one: one.cold(one.shape.anonymous),
    "cold: a new identifier": Component.cold_new,
    "a login that moves a tablet": Component.tablet,
    "a late login": Component.late,
    "a denial that splits": Component.split,
}
FLAT = tuple(WHAT)[:2]
"""No new evidence: what these cost may not depend on the size."""


class Bench:
    """Measures at components of one shape and size."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.stage = Stage(folder)
        self._shape = SHAPES[name](size)
        self._most = max(1, size // GROWTH)
        self._left = 0
        self._count = 0
        self._component: Component
        self.build: list[float] = []

    def fresh(self) -> Component:
        """Return a component that has hardly grown by what was measured at it."""
        if not self._left:
            self._count += 1
            began = time.perf_counter()
            self._component = Component(self.stage, self._shape, self._count)
            self.build.append((time.perf_counter() - began) * 1e6 / self._component.rows)
            self._left = self._most
        return self._component

    def measure(self, what: str) -> dict[str, Any]:
        """Return what handling such messages took."""
        first, every = [], []
        longest, further = 0.0, 0
        component: Component | None = None
        until = time.monotonic() + SECONDS
        while len(first) < FEWEST or (len(first) < SAMPLES and time.monotonic() < until):
            if component is not self.fresh():
                component = self._component
                messages = WHAT[what](component)
            message = next(messages)
            spent = self.stage.handle(message)
            rest = self.stage.rest()
            first.append(spent)
            every.append(spent + sum(rest))
            longest = max(longest, spent, *rest)
            further += len(rest)
            self._left -= what not in FLAT
        first.sort()
        return {
            "median_us": round(median(first), 1),
            "p99_us": round(first[min(len(first) - 1, len(first) * 99 // 100)], 1),
            "to_rest_us": round(median(every), 1),
            "longest_message_us": round(longest, 1),
            "further_messages": round(further / len(first), 1),
            "samples": len(first),
        }


def measure_size(name: str, size: int) -> dict[str, Any]:
    """Measure everything at components of one shape and size."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "rows", name, size)
        rows = bench.fresh().rows
        gc.collect()
        gc.freeze()
        found = {what: bench.measure(what) for what in WHAT}
        bench.stage.close()
        gc.unfreeze()
    return {"rows": rows, "build_us_per_event": round(median(bench.build), 1), **found}


def table(found: dict[str, dict[int, dict[str, Any]]], what: str) -> Table:
    """Return what a person wants to see."""
    shown = Table(title=what, title_justify="left")
    shown.add_column("component")
    shown.add_column("us for")
    for size in next(iter(found.values())):
        shown.add_column(f"{size:,}", justify="right")
        shown.add_column("p99", justify="right", style="dim")
        shown.add_column("ratio", justify="right")
    for name, sizes in found.items():
        for number, row in enumerate(WHAT):
            base = sizes[min(sizes)][row]["median_us"]
            cells = []
            for one in sizes.values():
                figures = one[row]
                cells += [f"{figures['median_us']:,.0f}", f"{figures['p99_us']:,.0f}"]
                cells.append(f"x{figures['median_us'] / base:.1f}")
            shown.add_row("" if number else name, row, *cells)
        shown.add_section()
    return shown


def main() -> None:
    """Measure, print, and write the results."""
    parser = command.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=tuple(SHAPES))
    options = parser.parse_args()
    console = command.console(140)
    Collector()  # out of the way, as in a worker
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for name in options.shapes:
        found[name] = {}
        for size in options.sizes:
            began = time.monotonic()
            found[name][size] = measure_size(name, size)
            console.print(f"{name}: {size:,} identifiers, {time.monotonic() - began:.1f} s", style="dim")
    console.print(
        table(found, "us per message in the customer stage: median, p99, times that at the smallest")
    )
    flat = {
        f"{name}: {what}": round(
            sizes[max(sizes)][what]["median_us"] / sizes[min(sizes)][what]["median_us"], 2
        )
        for name, sizes in found.items()
        for what in FLAT
    }
    console.print("no new evidence, largest to smallest:", flat)
    if not options.no_write:
        results = {
            "machine": machine("rocksdict"),
            "no_new_evidence_largest_to_smallest": flat,
            "shapes": found,
        }
        command.write(RESULTS, results)
        console.print(f"written: {RESULTS}")


if __name__ == "__main__":
    main()
