"""A soak: the same shoppers for half an hour, a fault now and then, memory and disk watched.

    python -m tests.chaos --soak 30

The shoppers of one day come again and again, a day a minute. Half of what they send are copies of what they sent on
the first day, half is new: so both dropping and folding are at work. Topics that are streams keep `STREAM_BYTES` a
partition, which they come to within the warm-up; topics that are tables are rolled and compacted twice a minute. Faults
are those that end no process: an old one is what shows a leak. (Torn connections do: librdkafka's
`send_offsets_to_transaction` may stay away for good, librdkafka#5456, and the worker's watchdog ends it then.)

Memory is what a process has allocated (`RssAnon`): pages of files that are mapped are the system's to drop. The
broker's heap has one size, all of it touched at the start, so that what grows is not the heap on its way there. The
workers' caches are small, so that they are full within the warm-up, and hold few of the shoppers: what is known of
each grows for weeks of event time, which are days here.

What must be flat:
- the memory of each worker, and of the broker; what streams take on the broker's disk, and what the broker keeps for
  itself;
- what stores, and the topics that are their logs, take *for each event that is kept*: an event is kept for ever, by
  design, so their whole can't be flat while new ones come.

Flat is what rises by less than `RISE` of its mean, or by less than its `noise`, over the time after the warm-up
(`WARM_UP` of all): the rise of the line of least squares through all samples, from its beginning to its end. The noise
is what logs and stores go up and down by when they are rolled and compacted.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
import threading
import time
import uuid
from collections import Counter, defaultdict
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from rich.table import Table

from connectors.simulators import QUIET, Simulation
from stream_app.runs.feed import Speed
from tests.chaos import results
from tests.chaos.broker import ProxiedBroker
from tests.chaos.deployment import AFTER_MS, WORKERS, Deployment
from tests.chaos.faults.every import FAULTS
from tests.chaos.faults.fault import Fault, Scene
from tests.chaos.schedule import Act, Conductor
from tests.chaos.show import progress_line
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from connectors.planned import Planned

SHOPPERS = 250
DAY_S = 60.0
NEW = 0.5
"""Share of events that are new on each day after the first."""
GENTLE = ("freeze", "slow", "clock")
"""Faults that a process survives."""
EVERY_S = 45.0
SAMPLE_S = 5.0
WARM_UP = 0.4
RISE = 0.05
MIB = 1 << 20
STREAM_BYTES = MIB // 8
_DAY_MS = 86_400_000
_BROKER = {
    "log.retention.check.interval.ms": "5000",
    "log.cleaner.backoff.ms": "3000",
    "offsets.topic.segment.bytes": str(1 * MIB),
    "transaction.state.log.segment.bytes": str(1 * MIB),
}
_FIXED_HEAP = ("-Xms384m", "-Xmx384m", "-XX:+AlwaysPreTouch")
# Rolled by time: Kafka takes no `segment.bytes` below 1 MiB, and deletes whole segments.
_STREAM = {"retention.bytes": str(STREAM_BYTES), "segment.ms": "15000"}
_TABLE = {"segment.ms": "30000", "max.compaction.lag.ms": "30000"}


class Watched(NamedTuple):
    """A line of figures: what it is, in which unit, below which rise nothing is said, and whether it must be flat."""

    what: str
    unit: str
    noise: float
    must: bool = True


LINES: dict[str, Watched] = {
    "w1": Watched("memory of w1", "MiB", 12),
    "w2": Watched("memory of w2", "MiB", 12),
    "broker": Watched("memory of the broker", "MiB", 40),
    "streams": Watched("topics that are streams", "MiB", 8),
    "own": Watched("topics of the broker's own", "MiB", 12),
    "stores_each": Watched("stores, for each event kept", "bytes", 150),
    "tables_each": Watched("changelogs and profiles, for each event kept", "bytes", 400),
    "stores": Watched("stores in all", "MiB", 0, must=False),
    "tables": Watched("changelogs and profiles in all", "MiB", 0, must=False),
}


class SameShoppers:
    """Feeds the same shoppers, a day a minute, until stopped. A stand-in for `Intake`, for gentle faults.

    Attributes:
        kept: events that were sent for the first time.
    """

    def __init__(self, seed: int, channels: set[str]) -> None:
        self.kept = 0
        self.last_time = 0
        self.error: BaseException | None = None
        self._random = random.Random(seed)
        simulation = Simulation(seed, shoppers=SHOPPERS, days=1, noise=QUIET)
        self._day = [
            one for one in simulation.records() if one.channel in channels and one.at < simulation.end
        ]
        self._origin = simulation.start
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def feeds(self) -> bool:
        """Whether it has not been stopped."""
        return not self._stop.is_set() and self._thread is not None and self._thread.is_alive()

    def start(self, deployment: Deployment) -> None:
        """Begin to feed."""

        def feed() -> None:
            try:
                deployment._feed.play(self._records(), Speed(1.0), markers=False)
            except BaseException as error:  # noqa: BLE001 - raised in `stop`
                self.error = error

        self._thread = threading.Thread(target=feed, name="same-shoppers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Feed no more, and raise what went wrong with the feeding itself."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self.error is not None:
            raise self.error

    def _records(self) -> Iterator[Planned]:
        first: list[Planned] = []
        begin = time.time_ns() // 1_000_000
        for day in count():
            base = begin + round(day * DAY_S * 1000)
            for place, record in enumerate(self._day):
                if self._stop.is_set():
                    return
                if day and self._random.random() >= NEW:
                    at = self._pressed(record.at, base)
                    yield msgspec.structs.replace(first[place], at=at)
                    continue
                renamed = self._renamed(record, base, day)
                if not day:
                    first.append(renamed)
                self.kept += 1
                self.last_time = max(self.last_time, renamed.event.time)
                yield renamed

    def _pressed(self, moment: int, base: int) -> int:
        return base + round((moment - self._origin) * DAY_S * 1000 / _DAY_MS)

    def _renamed(self, record: Planned, base: int, day: int) -> Planned:
        event, properties = record.event, dict(record.event.properties)
        if "cart_id" in properties:
            properties["cart_id"] = f"{properties['cart_id']}-{day}"
        again = msgspec.structs.replace(
            event,
            event_id=f"{event.event_id}-{day}",
            time=self._pressed(event.time, base),
            properties=properties,
            sent_at=None,
        )
        return msgspec.structs.replace(record, event=again, at=self._pressed(record.at, base))


class Sampler:
    """Takes a sample now and then, in a thread of its own."""

    def __init__(self, deployment: Deployment, broker: ProxiedBroker, shoppers: SameShoppers) -> None:
        self.samples: list[dict[str, Any]] = []
        self._deployment = deployment
        self._broker = broker
        self._shoppers = shoppers
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.samples.append(self._sample())

    def _sample(self) -> dict[str, Any]:
        deployment = self._deployment
        found: dict[str, Any] = {"s": round(time.monotonic() - self._began, 1), "kept": self._shoppers.kept}
        for name in WORKERS:
            if deployment.runs(name):
                found[f"{name}_pid"] = deployment.workers[name].pid
                found[name] = resident(deployment.workers[name].pid)
        found["broker"] = resident(self._broker.kafka.pid)
        by_kind = self._logs()
        stores = sum(size_of(deployment.store_of(name)) for name in WORKERS)
        for kind, size in (*by_kind.items(), ("stores", stores)):
            found[kind] = round(size / MIB, 2)
        for kind, size in (("stores", stores), ("tables", by_kind["tables"])):
            found[f"{kind}_each"] = round(size / max(1, self._shoppers.kept), 1)
        return found

    def _logs(self) -> dict[str, int]:
        topics = self._deployment.topics
        tables = {topics.profiles, topics.numbers, *topics.changelogs.values()}
        sizes = {"streams": 0, "tables": 0, "own": 0}
        for folder in (self._broker.kafka.folder / "data").iterdir():
            if folder.is_dir():
                topic = folder.name.rpartition("-")[0]
                kind = "own" if topic.startswith("__") else "tables" if topic in tables else "streams"
                sizes[kind] += size_of(folder)
        return sizes


def size_of(folder: Path) -> int:
    """Return what the files below a folder take; what vanishes meanwhile takes nothing.

    Blocks, not lengths: a log's index files are long, and empty.
    """
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += 512 * os.stat(os.path.join(where, name)).st_blocks  # noqa: PTH116, PTH118 - thousands of files
            except FileNotFoundError:
                continue
    return total


def resident(pid: int | None) -> float | None:
    """Return how much memory a process has allocated (MiB); None: it is gone, or this is not Linux."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    return None if found is None else round(int(found[1]) / 1024, 1)


class Verdict(NamedTuple):
    """What is said of a line.

    Attributes:
        mean: of the samples that count.
        rise: of the line of least squares through them, from beginning to end.
        flat: None where it needn't be, or where there are too few samples to tell.
    """

    mean: float
    rise: float
    flat: bool | None


def verdict(samples: Sequence[Mapping[str, Any]], name: str) -> Verdict:
    """Say whether a line is flat: see the module's docstring. Of a worker, its longest life counts."""
    counted = samples[int(len(samples) * WARM_UP) :]
    if name in WORKERS:
        lives = Counter(one[f"{name}_pid"] for one in counted if f"{name}_pid" in one)
        longest = max(lives, key=lives.__getitem__, default=None)
        counted = [one for one in counted if one.get(f"{name}_pid") == longest]
    points = [(one["s"], one[name]) for one in counted if one.get(name) is not None]
    if len(points) < 10:
        return Verdict(0.0, 0.0, None)
    middle = sum(x for x, _ in points) / len(points)
    mean = sum(y for _, y in points) / len(points)
    slope = sum((x - middle) * (y - mean) for x, y in points) / sum((x - middle) ** 2 for x, _ in points)
    rise = slope * (points[-1][0] - points[0][0])
    flat = rise < max(RISE * mean, LINES[name].noise) if LINES[name].must else None
    return Verdict(round(mean, 1), round(rise, 2), flat)


def gentle(seed: int, seconds: float) -> list[Act]:
    """Return a schedule of faults that processes survive, evenly spread."""
    rnd = random.Random(seed)
    acts, at = [], EVERY_S / 2
    while at < seconds:
        fault: Fault = FAULTS[rnd.choice(GENTLE)](rnd)
        acts.append(Act(at, fault))
        at += EVERY_S
    return acts


def main(minutes: float, seed: int, console: Console) -> int:
    """Soak for so long, and say what is flat; return the exit code."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raccord-soak-")))
        console.print(f"soak: {minutes:g} minutes, seed {seed}")
        broker = stack.enter_context(ProxiedBroker(_BROKER, _FIXED_HEAP))
        deployment = stack.enter_context(
            Deployment(
                broker.direct,
                broker.proxied,
                f"c{uuid.uuid4().hex[:8]}.",
                folder,
                {"RACCORD_CACHE_MIB": "8", "RACCORD_CACHED_ROWS": "20"},
            )
        )
        bound(deployment)
        shoppers = SameShoppers(seed, set(deployment.topics.channels))
        deployment.start(*WORKERS)
        assert wait_for(deployment.at_work, 60), deployment.log("w1")[-2_000:]
        scene = Scene(broker, deployment, shoppers)
        shoppers.start(deployment)
        sampler = Sampler(deployment, broker, shoppers)
        survived = soak(scene, gentle(seed, 60 * minutes), 60 * minutes, folder, console)
        sampler.stop()
        shoppers.stop()
        deployment.settle(shoppers.last_time + 2 * AFTER_MS)
    return told(console, sampler.samples, survived, deployment, minutes, seed)


def soak(scene: Scene, acts: list[Act], seconds: float, folder: Path, console: Console) -> Counter[str]:
    """Carry the faults out for so long; return how many of each were survived."""
    conductor = Conductor(scene, acts, folder / "schedule.jsonl")

    def tell(now: float, active: list[str]) -> None:
        line(f"[{'#' * int(30 * now / seconds):<30}] {now:5.0f} s  {scene.deployment._feed.sent:9,} records  "
             f"{' + '.join(active) or '-'}")  # fmt: skip

    with progress_line(console) as line:
        conductor.run(tell, until=seconds)
    return conductor.survived


def bound(deployment: Deployment) -> None:
    """Have streams keep little, and tables be compacted often: settings that a worker does not insist on."""
    topics, settings = deployment.topics, deployment.settings
    tables = {topics.profiles, topics.numbers, *topics.changelogs.values()}
    wanted: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for spec in topics.specs(settings):
        wanted[spec.name] = _TABLE if spec.name in tables else _STREAM
    admin = KafkaAdminClient(bootstrap_servers=deployment.bootstrap)
    try:
        answers: dict[str, str] = admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, configs) for name, configs in wanted.items()]
        )["topic"]
        refused = {name: said for name, said in answers.items() if said != "OK"}
        if refused:
            msg = f"the broker refused topics' settings: {refused}"
            raise RuntimeError(msg)
    finally:
        admin.close()


def told(
    console: Console,
    samples: list[dict[str, Any]],
    survived: Counter[str],
    deployment: Deployment,
    minutes: float,
    seed: int,
) -> int:
    """Print and write what was seen; return the exit code."""
    verdicts = {name: verdict(samples, name) for name in LINES}
    table = Table("what", "unit", "mean", "rise", "flat")
    for name, one in verdicts.items():
        word = "-" if one.flat is None else "yes" if one.flat else "[red]NO[/]"
        table.add_row(LINES[name].what, LINES[name].unit, f"{one.mean:,}", f"{one.rise:+,}", word)
    console.print(table)
    console.print(f"faults survived: {dict(survived)}; restarts by exit code: {dict(deployment.restarts)}")
    flat = all(one.flat is not False for one in verdicts.values())
    path = results.write(
        "soak",
        {
            "minutes": minutes,
            "seed": seed,
            "rule": f"after {WARM_UP:.0%} of the time, the least-squares line rises by less than {RISE:.0%} of "
            "the mean, or than the line's noise",
            "flat": flat,
            "lines": {name: {**LINES[name]._asdict(), **one._asdict()} for name, one in verdicts.items()},
            "records": deployment._feed.sent,
            "survived": dict(survived),
            "restarts_by_exit_code": {str(code): n for code, n in deployment.restarts.items()},
            "samples": samples[:: max(1, len(samples) // 120)],
        },
    )
    console.print(f"{'flat' if flat else '[red]not flat[/]'}; written: {path}")
    return 0 if flat else 1
