"""Raccord beside Kafka Streams, Quix Streams and stock Faust at three jobs: `make bench-peers`.

One broker (the embedded one unless KAFKA_BOOTSTRAP_SERVERS names another), one system at a time, the same records for
all. What each puts out is compared with what must come out (`jobs`). If it is something else, that is a result, and
ends the benchmark if it is ours.
Measured, per worker:
- events/s with the input already there: from the moment at which a fifth of the outputs has been seen (start and
  just-in-time compilers are over) to the last; CPU-seconds of the worker and of the broker per million events between
  the two; peak memory;
- p50 and p99 from event to output (from due time to output for baskets) at half of that rate, and at a quarter (at
  half, the machine that all share is busy with more than the worker);
- recovery: a worker with a million keys is killed with SIGKILL and started again, with its local state and without;
  seconds until events of all partitions are put out again, with the right counts.

And, of Raccord alone, the whole pipeline (identity, timeline, profile, all rules that ship) of one worker and of two;
p50 and p99 from event to trigger at 5,000 events/s: as `make bench` measures them.

Results go to `tests/benchmarks/results/peers.json`, the tables to `docs/benchmarks.md`.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from stream_app.embedded.broker import EmbeddedKafka
from stream_app.embedded.java import find_java
from stream_app.runs.show import Show
from tests.benchmarks import command, pipeline
from tests.benchmarks.peers import java, jobs, systems
from tests.benchmarks.peers.bed import (
    PARTITIONS,
    ROOT,
    Listening,
    Running,
    Use,
    WrongOutputError,
    follow,
    make_topics,
    use,
    write,
)
from tests.benchmarks.peers.report import OURS, write_page
from tests.machine import with_broker

if TYPE_CHECKING:
    import argparse
    from collections import Counter
    from collections.abc import Callable, Iterator

    from tests.benchmarks.peers.systems import System

RESULTS = command.RESULTS / "peers.json"
CACHE = ROOT / ".raccord" / "peers"
SKIPPED = 0.2
"""Share of the outputs before the clock starts."""
WARM_UP_S, LIVE_S = 10.0, 10.0
PATIENCE_S = 60.0
"""A system that puts out nothing for so long, and owes something, puts out nothing any more."""
RECOVERY_S = 600.0
"""The same, of one that comes back."""
PROBES = 400


class Bench:
    """One run of the comparison: its broker, and the inputs that have been written to it."""

    def __init__(self, bootstrap: str, broker: Callable[[], Use], folder: Path, console: Console) -> None:
        self.bootstrap = bootstrap
        self.broker = broker
        self.folder = folder
        self.console = console
        self._inputs: dict[tuple[str, jobs.Load], Counter[tuple[bytes, bytes]]] = {}
        self._runs = 0

    def throughput(self, system: System, job: str, lanes: int) -> dict[str, Any]:
        """Measure events per second, and what an event costs.

        Raises:
            WrongOutputError: what it put out is not what must come out.
        """
        load = jobs.Load(system.events[job], system.events[job] // 20)
        source, expected = self._input(job, load)
        with self._worker(system, job, lanes, source, jobs.GAP_MS, live=False) as running:
            started = time.monotonic()
            found = self._follow(running, expected.total())
            seen = jobs.comparable(job, found.found)
            if seen != expected:
                raise WrongOutputError(_difference(seen, expected))
        samples = [one for one in found.samples if one.outputs >= SKIPPED * expected.total()]
        first, last = samples[0], samples[-1]
        share = (last.outputs - first.outputs) / expected.total()
        events = share * load.events
        return {
            "lanes": lanes,
            "events": load.events,
            "outputs": expected.total(),
            "events_per_second": round(events / (last.at - first.at)),
            "seconds_to_first_output": round(
                next(one.at for one in found.samples if one.outputs) - started, 1
            ),
            "cpu_s_per_million": round((last.worker.cpu - first.worker.cpu) / events * 1e6, 2),
            "broker_cpu_s_per_million": round((last.broker.cpu - first.broker.cpu) / events * 1e6, 2),
            "peak_memory_mib": round(max(one.worker.memory for one in found.samples) / 2**20),
        }

    def latency(self, system: System, job: str, lanes: int, rate: int) -> dict[str, Any]:
        """Measure from event to output, live, at a steady rate."""
        source = self._name("live")
        make_topics(self.bootstrap, [source])
        with self._worker(system, job, lanes, source, jobs.LIVE_GAP_MS, live=True) as running:
            listening = Listening(self.bootstrap, f"{self._last}.output")
            try:
                began = self._feed(source, job, rate)
                running.check()
                time.sleep(3.0)
            finally:
                output = listening.stop()
        due = [
            (now, int(value.split()[1 if job == "basket" else 2]) / 1000) for now, value in output.arrivals
        ]
        measured = sorted(now - at for now, at in due if began + WARM_UP_S <= at < began + WARM_UP_S + LIVE_S)
        if not measured:
            return {"rate": rate, "outputs": 0}
        return {
            "rate": rate,
            "outputs": len(measured),
            "p50_ms": round(measured[len(measured) // 2] * 1000),
            "p99_ms": round(measured[int(len(measured) * 0.99)] * 1000),
        }

    def _feed(self, topic: str, job: str, rate: int) -> float:
        """Write events as they happen; return when that began (s). First the worker warms up, and catches up."""
        templates = self.folder / "templates"
        templates.write_bytes(b"".join(jobs.templates(job, rate)))
        feed = [*java.built(CACHE / "streams", self.console.print), "Live", topic, str(templates), str(rate)]
        done = subprocess.run(
            [*feed, str(WARM_UP_S + LIVE_S)],
            env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap},
            check=True,
            stdout=subprocess.PIPE,
        )
        return int(done.stdout.split()[1]) / 1000

    def recovery(self, system: System, lanes: int) -> dict[str, Any]:
        """Measure from the restart of a killed worker to outputs of all partitions, with local state and without.

        Raises:
            WrongOutputError: what it put out is not what must come out.
        """
        load = jobs.Load(system.keys, system.keys, distinct=True)
        source, expected = self._input("count", load)
        total, figures = expected.total(), {"keys": load.customers}
        with self._worker(system, "count", lanes, source, jobs.GAP_MS, live=True) as running:
            self._follow(running, total)
            time.sleep(2.0)
            for count, name in ((2, "seconds_with_local_state"), (3, "seconds_without")):
                running.kill()
                if count == 3:
                    shutil.rmtree(self.folder / self._last)
                    (self.folder / self._last).mkdir()
                write(self.bootstrap, source, _probes(load, count))
                started = time.monotonic()
                running.start()
                total += PROBES
                found = self._follow(running, total, RECOVERY_S)
                when = next(one.at for one in found.samples if one.outputs == total)
                figures[name] = round(when - started, 1)
                right = sum(1 for _, value in found.found if value.startswith(b"%d " % count))
                if right != PROBES:
                    raise WrongOutputError(f"it came back with wrong counts: {right} of {PROBES} are {count}")
        self._inputs.pop(("count", load))  # it has been written to
        return figures

    def _follow(self, running: Running, expected: int, patience: float = PATIENCE_S) -> Any:
        with self.console.status("") as status:
            return follow(
                self.bootstrap,
                f"{self._last}.output",
                running,
                self.broker,
                expected,
                patience=patience,
                progress=lambda seen: status.update(f"{seen:,} of {expected:,} outputs"),
            )

    def _worker(
        self, system: System, job: str, lanes: int, source: str, gap_ms: int, *, live: bool
    ) -> Running:
        group = self._last = self._name(job)
        make_topics(self.bootstrap, [f"{group}.{role}" for role in system.topics])
        folder = self.folder / group
        folder.mkdir()
        variables = systems.environment(
            system, bootstrap=self.bootstrap, source=source, lanes=lanes, gap_ms=gap_ms,
            partitions=PARTITIONS, live=live,
        )  # fmt: skip
        return Running(system.commands(job, group, lanes, folder), variables, self.folder / f"{group}.log")

    def _name(self, job: str) -> str:
        self._runs += 1
        return f"p{self._runs:02d}-{job}"

    def _input(self, job: str, load: jobs.Load) -> tuple[str, Counter[tuple[bytes, bytes]]]:
        """Return the topic that holds these events, and what must come of them; written once for all systems."""
        topic = f"{job}-{load.events}{'-distinct' * load.distinct}"
        if (job, load) not in self._inputs:
            if load.distinct:
                topic = self._name(topic)
            with self.console.status(f"writing {load.events:,} events for {job}"):
                make_topics(self.bootstrap, [topic])
                write(self.bootstrap, topic, _messages(job, load))
                self._inputs[job, load] = jobs.comparable(job, jobs.expected(job, jobs.events(load)))
        return topic, self._inputs[job, load]


def _messages(job: str, load: jobs.Load) -> Iterator[jobs.Message]:
    for one in jobs.events(load):
        yield jobs.message(job, one)
    if job == "basket":
        yield from jobs.ticks(PARTITIONS, jobs.START + jobs.SPAN_MS + jobs.TICK_MS)


def _probes(load: jobs.Load, count: int) -> Iterator[jobs.Message]:
    """Yield events that bring customers, who have had one, to this count; there, and not before, each is an output."""
    rnd = random.Random(count)
    for _ in range(count - 1):
        for who in range(10 - count, 10 * PROBES, 10):
            yield jobs.message("count", jobs.event(load.events, jobs.START + jobs.SPAN_MS, who, rnd))


def _difference(found: Counter[tuple[bytes, bytes]], expected: Counter[tuple[bytes, bytes]]) -> str:
    missing, extra = expected - found, found - expected
    return f"of {expected.total():,} outputs {missing.total():,} are missing, {extra.total():,} are too many"


def ready(names: list[str], console: Console) -> list[System]:
    """Get the systems ready, and say so.

    Raises:
        UserError: one of them can't be had.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    make: dict[str, Callable[[], System]] = {
        "raccord": systems.raccord,
        "streams": lambda: systems.streams(CACHE / "streams", console.print),
        "quix": lambda: systems.quix(CACHE / "quix", console.print),
        "faust": systems.faust,
    }
    return [make[name]() for name in names]


def measured(bench: Bench, system: System, job: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one system at one job: throughput with each number of lanes, latency at shares of the best.

    What another system does wrong is a result; what ours does wrong ends the benchmark.
    """
    found: dict[str, Any] = {"throughput": [], "wrong": []}
    for lanes in options.lanes:
        try:
            runs = [bench.throughput(system, job, lanes) for _ in range(options.runs)]
        except WrongOutputError as error:
            found["wrong"].append({"lanes": lanes, "what": _theirs(system, error)})
            bench.console.print(system.name, job, found["wrong"][-1])
            continue
        runs.sort(key=lambda run: run["events_per_second"])
        middle = {**runs[len(runs) // 2], "all_runs": [run["events_per_second"] for run in runs]}
        found["throughput"].append(middle)
        bench.console.print(system.name, job, middle)
    if not found["throughput"]:
        return found
    best = max(found["throughput"], key=lambda run: run["events_per_second"])
    if not options.no_latency:
        for name, divisor in (("latency", 2), ("latency_at_quarter", 4)):
            rate = best["events_per_second"] // divisor
            found[name] = bench.latency(system, job, best["lanes"], rate)
            bench.console.print(system.name, job, found[name])
    return found


def _theirs(system: System, error: WrongOutputError) -> str:
    """Return what was wrong with another system's output; ours must be right."""
    if system.name == OURS:
        raise SystemExit(f"{system.name}: {error}") from error
    return str(error)


WHOLE = {
    "one worker of one process": {"workers": 1, "processes": 1},
    "one worker of two processes": {"workers": 1, "processes": 2},
    "two workers of one process each": {"workers": 2, "processes": 1},
}
WHOLE_RATE, WHOLE_S, SHOPPERS = 5_000, 20, 6_000


def whole(console: Console, runs: int) -> dict[str, Any]:
    """Measure the whole pipeline; it brings a broker of its own."""
    found: dict[str, Any] = {"throughput": {}}
    # First: what the other measurements leave in this process's memory slows down what it plays and reads live.
    found["latency"] = pipeline.latency(Show(), WHOLE_RATE, WHOLE_S)
    console.print(found["latency"])
    for name, size in WHOLE.items():
        case = pipeline.median([pipeline.throughput(Show(), SHOPPERS, **size) for _ in range(runs)])
        found["throughput"][name] = {key: case[key] for key in ("events", "events_per_second", "all_runs")}
        console.print(name, found["throughput"][name])
    return found


def main() -> None:
    """Run what the arguments ask for, print it, and write the results."""
    parser = command.parser(__doc__)
    every = ["raccord", "streams", "quix", "faust"]
    parser.add_argument("--systems", nargs="+", choices=every, default=every)
    parser.add_argument("--jobs", nargs="+", choices=jobs.JOBS, default=list(jobs.JOBS))
    parser.add_argument("--lanes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--no-recovery", action="store_true")
    parser.add_argument("--no-pipeline", action="store_true")
    options = parser.parse_args()
    console = Console(highlight=False)
    results: dict[str, Any] = {
        "machine": with_broker(), "java": str(find_java()), "partitions": PARTITIONS,
        "seed": jobs.Load(0, 0).seed, "systems": {}, "recovery": {},
    }  # fmt: skip
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bootstrap, broker = _broker(stack, folder)
        bench = Bench(bootstrap, broker, folder, console)
        compared = ready(options.systems, console)
        for job in options.jobs:
            for system in compared:
                entry = results["systems"].setdefault(system.name, {"version": system.version, "jobs": {}})
                entry["jobs"][job] = measured(bench, system, job, options)
            _write(results, options)  # an hour is long: what is measured is kept
        for system in () if options.no_recovery else compared:
            try:
                results["recovery"][system.name] = bench.recovery(system, 1)
            except WrongOutputError as error:
                results["recovery"][system.name] = {"keys": system.keys, "wrong": _theirs(system, error)}
            _write(results, options)
            console.print(system.name, results["recovery"][system.name])
    if not options.no_pipeline:
        results["pipeline"] = whole(console, options.runs)
    _write(results, options)
    if not options.no_write:
        console.print(f"written: {RESULTS.relative_to(ROOT)} and docs/benchmarks.md")


def _write(results: dict[str, Any], options: argparse.Namespace) -> None:
    if not options.no_write:
        command.write(RESULTS, results)
        write_page(results)


def _broker(stack: ExitStack, folder: Path) -> tuple[str, Callable[[], Use]]:
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        return given, lambda: Use(0.0, 0)
    kafka = stack.enter_context(EmbeddedKafka(folder / "kafka"))
    pid = kafka.pid
    return kafka.bootstrap_servers, lambda: use([] if pid is None else [pid])


if __name__ == "__main__":
    main()
