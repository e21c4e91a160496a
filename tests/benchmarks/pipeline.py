"""How fast the whole road is: `make bench`. Results go to `tests/benchmarks/results/pipeline.json`.

Three measurements on one broker (the embedded one unless KAFKA_BOOTSTRAP_SERVERS names another), one worker:
- throughput, with all rules that ship and with `abandoned_cart` alone, of a worker with a process for each core
  (RACCORD_PROCESSES; `--processes`), and of one with a single process: simulated shoppers are in the channel topics
  before the worker starts. The clock runs from the first message that a `read_committed` reader sees behind the first
  hop until the last event is on `customer.timeline`; all events count. (From one mark on the timeline to another would
  flatter: the first hop runs ahead of the others, and its work would lie before the first mark);
- latency: live events at a steady rate, a rule that fires at once; from an event's own time to its trigger's
  arrival at a `read_committed` reader, so everything is in it: tolerance, three hops, three epochs. Given apart: the
  first seconds, in which the broker's Java compiles its code and most customers are new ones;
- profile: the same work under cProfile; where the time goes, by module.
"""

from __future__ import annotations

import os
import pstats
import random
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console

import schemas
from connectors.simulators import Noise, Simulation
from stream_app.domain.event import ChannelEvent
from stream_app.runs.feed import Feed, Speed
from stream_app.runs.session import Options, Session
from stream_app.runs.show import Show
from stream_app.runs.workers import WorkerProcess
from stream_app.wire import OutputReader, encode_single_object
from tests.benchmarks import command
from tests.machine import with_broker

RESULTS = command.RESULTS / "pipeline.json"
FIRST_RULE = ("abandoned_cart",)
RULE = """
name: bench_instant
version: 1
description: Fires with every basket that is opened; for measuring how long that takes.
purpose: marketing
channel: [email]
key: cart_id
opens: {event: Product Added}
closes: {event: Order Completed, match: cart_id}
after: 0s
"""


def throughput(
    show: Show,
    shoppers: int,
    *,
    rules: tuple[str, ...] = (),
    processes: int = 1,
    workers: int = 1,
    profile: Path | None = None,
) -> dict[str, Any]:
    """Measure events per second through all three hops, with these rules of those that ship; none named: all.

    With several `workers`, of `processes` each, they do it together; their own figures are left out then.
    """
    records = [
        record
        for record in Simulation(1, shoppers=shoppers, days=3, noise=Noise(too_large=0)).records()
        if record.note in (None, "late")
    ]
    settings = {"RACCORD_PROCESSES": str(processes)}
    with tempfile.TemporaryDirectory() as folder:
        if rules:
            settings["RACCORD_RULES"] = str(Path(folder) / "rules")
            Path(folder, "rules").mkdir()
            for name in rules:
                Path(folder, "rules", f"{name}.yaml").write_text(schemas.read_text(f"rules/{name}.yaml"))
        options = Options("bench", Path(folder), workers=0, settings=settings)
        with Session(options, show) as session:
            feed = Feed(
                session.settings.bootstrap_servers, session.topics.inputs, session.settings.partitions
            )
            with show.step(f"writing {len(records):,} events"):
                clock = feed.play(records, Speed(None))
                feed.mark(clock + 48 * 3_600_000)
                feed.flush()
            running = workers_of(session, Path(folder), workers, profile)
            started = time.monotonic()
            for worker in running:
                worker.start()
            try:
                began, ended = _follow(session, running, len(records), started)
                figures = _metrics(Path(folder) / "bench.log") if workers == 1 else {}
            finally:
                for worker in running:
                    worker.stop()
    return {
        "workers": workers,
        "processes": processes,
        "events": len(records),
        "events_per_second": round(len(records) / (ended - began)),
        "seconds_from_start_of_worker": round(ended, 2),
        "worker": figures,
    }


def workers_of(session: Session, folder: Path, workers: int, profile: Path | None) -> list[WorkerProcess]:
    """Return the workers to measure; a profiled one runs through `profiled_worker`."""
    names = ["bench", *(f"bench{number}" for number in range(1, workers))]
    found = [WorkerProcess(name, session.environment, folder / f"{name}.log") for name in names]
    if profile is not None:
        for worker in found:
            worker.command = [sys.executable, "-m", "tests.benchmarks.profiled_worker", str(profile)]
    return found


def _follow(
    session: Session, workers: list[WorkerProcess], expected: int, started: float
) -> tuple[float, float]:
    """Return when the first message came out of the first hop, and when all events were on the timeline (s)."""
    consumer = Consumer(
        {
            "bootstrap.servers": session.settings.bootstrap_servers,
            "group.id": "bench",
            "isolation.level": "read_committed",
        }
    )
    partitions = range(session.settings.partitions)
    consumer.assign([TopicPartition(session.topics.lookup, p, 0) for p in partitions])
    while not any(message.error() is None for message in consumer.consume(1, 0.05)):
        _check(workers)
    began = now = time.monotonic() - started
    consumer.assign([TopicPartition(session.topics.timeline, p, 0) for p in partitions])
    seen = 0
    while seen < expected:
        _check(workers)
        for message in consumer.consume(10_000, 0.05):
            if message.error() is None and message.value()[43:44] == b"\x00":
                seen += 1  # revision 0: an event's first appearance, not a move
        now = time.monotonic() - started
        if now > 300:
            msg = f"only {seen} of {expected} events after 300 s"
            raise SystemExit(msg)
    consumer.close()
    return began, now


def _check(workers: list[WorkerProcess]) -> None:
    for worker in workers:
        worker.check()


def _metrics(log: Path) -> dict[str, float]:
    """Read the worker's own figures from its metrics page."""
    url = next(word for word in log.read_text().split() if word.startswith("http://"))
    with urllib.request.urlopen(url, timeout=5) as page:  # noqa: S310 - the worker's own page, on loopback
        lines = page.read().decode().splitlines()
    wanted = (
        "raccord_stage_handler_seconds_total",
        "raccord_epoch_commit_seconds_sum",
        "raccord_epoch_commit_seconds_count",
        "raccord_changed_rows_total",
        "raccord_stage_records_total",
    )
    return {
        line.rsplit(" ", 1)[0]: round(float(line.rsplit(" ", 1)[1]), 3)
        for line in lines
        if line.startswith(wanted)
    }


WARM_UP_S = 20
"""After so long the broker has compiled most of what it runs, and six of seven events are of customers seen before."""


PATIENCE_S = 60.0
"""So long after the last event triggers are waited for; what has not come by then is counted with it, which is too
little."""


def latency(show: Show, rate: int, seconds: int, *, partitions: int = 4) -> dict[str, Any]:
    """Measure from event time to trigger, live, at a steady rate; a fifth of the events open a basket."""
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules"
        rules.mkdir()
        (rules / "bench_instant.yaml").write_text(RULE)
        settings = {"RACCORD_TIME": "wall", "RACCORD_RULES": str(rules), "RACCORD_SENDING_POLICY": "none"}
        options = Options("latency", Path(folder), workers=1, partitions=partitions, settings=settings)
        with Session(options, show) as session:
            session.wait_ready()
            found: list[tuple[float, float]] = []
            stop = threading.Event()
            reader = threading.Thread(target=_triggers, args=(session, found, stop))
            reader.start()
            began = time.time()
            with show.step(f"{rate:,} events/s for {WARM_UP_S} s to warm up, and {seconds} s"):
                sent = _live(session, rate, WARM_UP_S + seconds)
            # For all of them: the slowest are what a p99 is about.
            given_up = time.monotonic() + PATIENCE_S
            while len(found) < sent["baskets"] and time.monotonic() < given_up:
                time.sleep(0.1)
            stop.set()
            reader.join()
    warm = began + WARM_UP_S
    return {
        "events_per_second": rate,
        "events": sent["events"],
        "triggers": len(found),
        "expected_triggers": sent["baskets"],
        **_percentiles(
            [took for due, took in found if due >= warm] + [PATIENCE_S] * (sent["baskets"] - len(found))
        ),
        "warm_up": {"seconds": WARM_UP_S, **_percentiles([took for due, took in found if due < warm])},
    }


def _percentiles(seconds: list[float]) -> dict[str, int]:
    ordered = sorted(seconds)
    return {
        "p50_ms": round(ordered[len(ordered) // 2] * 1000),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000),
        "max_ms": round(ordered[-1] * 1000),
    }


def _live(session: Session, rate: int, seconds: int) -> Counter[str]:
    producer = Producer(
        {
            "bootstrap.servers": session.settings.bootstrap_servers,
            "partitioner": "murmur2_random",
            "linger.ms": 2,
        }
    )
    rnd, counts = random.Random(1), Counter[str]()
    started = time.time()
    topic = session.topics.channels["web"]
    while (elapsed := time.time() - started) < seconds:
        while counts["events"] < elapsed * rate:
            number = counts["events"]
            who = f"u{rnd.randrange(20_000)}"
            basket = number % 5 == 0
            event = ChannelEvent(
                f"e{number}",
                int(time.time() * 1000),
                "web",
                "Product Added" if basket else "Product Viewed",
                {"user_id": who, "cookie": f"c-{who}"},
                {
                    "sku": f"s{number % 997}",
                    "price": 19.9,
                    "quantity": 1,
                    "currency": "EUR",
                    "cart_id": f"b{number}",
                },
            )
            producer.produce(topic, encode_single_object(event), who.encode())
            counts["events"] += 1
            counts["baskets"] += basket
        producer.poll(0.002)
    producer.flush(30)
    return counts


def _triggers(session: Session, found: list[tuple[float, float]], stop: threading.Event) -> None:
    """Note (due time, seconds from then to its arrival) of every trigger."""
    consumer = Consumer(
        {
            "bootstrap.servers": session.settings.bootstrap_servers,
            "group.id": "bench",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
            "fetch.queue.backoff.ms": 5,
        }
    )
    topic = session.topics.triggers["bench_instant"]
    consumer.assign([TopicPartition(topic, p, 0) for p in range(session.settings.partitions)])
    reader = OutputReader()
    while not stop.is_set():
        for message in consumer.consume(1_000, 0.02):
            now = time.time()
            if message.error() is None:
                _, trigger = reader.read(message.value())
                if trigger["action"] == "fire":
                    found.append((trigger["due"] / 1000, now - trigger["due"] / 1000))
    consumer.close()


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the run in the middle, and the figures of all."""
    runs.sort(key=lambda run: run["events_per_second"])
    return {**runs[len(runs) // 2], "all_runs": [run["events_per_second"] for run in runs]}


def by_module(path: Path) -> dict[str, Any]:
    """Return where the time of a profiled run went: seconds of own time by module, and the top functions."""
    stats = pstats.Stats(str(path)).stats
    modules: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for (file, line, name), (_, _, own, _, _) in stats.items():
        where = _module(file, name)
        modules[where] += own
        functions[f"{where}:{line}({name})" if file != "~" else name] += own
    total = sum(modules.values())
    return {
        "seconds": round(total, 2),
        "by_module": {name: round(own / total, 3) for name, own in modules.most_common(25)},
        "by_function": {name: round(own / total, 3) for name, own in functions.most_common(30)},
    }


def _module(file: str, name: str) -> str:
    parts = Path(file).parts
    for root in ("stream_app", "site-packages"):
        if root in parts:
            found = parts[parts.index(root) + (root == "site-packages") :]
            return "/".join(found[:3] if root == "stream_app" else found[:1])
    if file == "~":
        return next(
            (lib for lib in ("confluent", "rocksdict", "msgspec", "cimpl", "select") if lib in name),
            "builtins",
        )
    return "python"


def main() -> None:
    """Run what the arguments ask for, print it, and write the results."""
    parser = command.parser(__doc__)
    parser.add_argument("--shoppers", type=int, default=6_000)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--processes",
        type=int,
        default=os.cpu_count() or 1,
        help="of the worker; default: one a core",
    )
    parser.add_argument("--only", choices=["throughput", "latency", "profile"])
    options = parser.parse_args()
    show, console = Show(), Console(highlight=False)
    results: dict[str, Any] = {"machine": with_broker()}
    # First: what the other measurements leave in this process's memory slows down what it plays and reads live.
    if options.only in (None, "latency"):
        results["latency"] = latency(show, options.rate, options.seconds)
        console.print(results["latency"])
    if options.only in (None, "throughput"):
        results["throughput"] = {}
        for name, rules in (("one_rule", FIRST_RULE), ("all_rules", ())):
            for processes in sorted({options.processes, 1}, reverse=True):
                case = f"{name}_{processes}_process{'es' * (processes > 1)}"
                found = median(
                    [
                        throughput(show, options.shoppers, rules=rules, processes=processes)
                        for _ in range(options.runs)
                    ]
                )
                results["throughput"][case] = found
                console.print({case: found})
    if options.only in (None, "profile"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "profile"
            throughput(show, options.shoppers // 2, profile=path)
            results["profile"] = by_module(path)
        console.print(results["profile"])
    if options.only is None and not options.no_write:
        command.write(RESULTS, results)
        console.print(f"written: {RESULTS}")


if __name__ == "__main__":
    main()
