"""The comparison's tables, as a page of the documentation: `docs/benchmarks.md`.

`python -m tests.benchmarks.peers.report` writes the page anew from the results that are there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.benchmarks import command
from tests.benchmarks.peers.bed import ROOT
from tests.benchmarks.words import facts, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = command.RESULTS / "peers.json"
OURS = "Raccord"

TITLES = {
    "count": "Job 1: count per key, with state, changelog and outputs for a tenth of the events",
    "repartition": "Job 2: the same after a repartition",
    "basket": "Job 3: abandoned basket (keyed state, timers in event time, cancelled by a purchase)",
}

INTRODUCTION = """\
# Benchmarks against what else there is

Regenerate with `make bench-peers` (it takes long; `--systems raccord streams --jobs basket` of
`python -m tests.benchmarks.peers` does a part). The page is written by that command from
[peers.json](../tests/benchmarks/results/peers.json); its words and what they rest on are in
[tests/benchmarks/peers](../tests/benchmarks/peers). What the last run left out is not on the page.

**What is compared.** One job after the other, on one broker, with the same records; one system at a time. What each
puts out is compared with what an offline computation says must come out, key by key and value by value; a run that puts
out something else has no figures, and stands below its table. The systems take their input from one topic of
{partitions} partitions and keep their state in RocksDB (Faust: in memory, which is faster), with a changelog. All but
Faust are exactly once.

**Settings**, each the fastest that was found while the guarantees stay: Kafka Streams with the processor API, cached
persistent stores, a streaming JSON parser, timers looked for
from the earliest on, as often as it commits, the parallel collector,
`commit.interval.ms` 1,000 for throughput and 100 for latency; Quix Streams with a commit interval of 1 s and 0.1 s, and
raw bytes wherever it allows them; Faust with in-memory tables and long buffers; Raccord's engine as it is shipped, for
it paces its commits by itself. Event time drives all timers; Quix has none, so its job 3 is a session window with that
gap, which closes one gap later.

**A lane** is a thread of Kafka Streams, a process of the others. A worker with two lanes uses both cores of this
machine, of which the broker and the measuring process take their share.

**Latency** is from an event to its output (job 3: from the due time), with the lanes that gave the best throughput, at
a half and at a quarter of what that system itself reached there: each row is at a load of its own, and rows can't be
compared with each other. At a half, the machine that all share is busy with more than the worker.

**Runs.** "of runs" has the throughput of every run, of which "events/s" is the median; where it has one figure, all
that stands in the row is of that one run.

| | |
|---|---|
"""


def write_page(results: Mapping[str, Any]) -> None:
    """Write the page from a run's results."""
    PAGE.write_text(page(results), encoding="utf-8")


def page(results: Mapping[str, Any]) -> str:
    """Return the page."""
    machine = results["machine"]
    parts = [INTRODUCTION.format(partitions=results["partitions"])]
    parts.extend(f"| {name} | {value} |\n" for name, value in _facts(results, machine))
    found = results["systems"]
    for job, title in TITLES.items():
        rows = [row for name, system in found.items() for row in _rows(name, system["jobs"].get(job))]
        if rows:
            there = {name: system["jobs"][job] for name, system in found.items() if job in system["jobs"]}
            parts.append(f"\n## {title}\n\n{table(_HEAD, rows)}\n{_wrong(there)}{_ratios(there)}")
    if results.get("pipeline"):
        parts.append(f"\n## The whole of Raccord\n\n{WHOLE}\n\n{_whole(results['pipeline'])}")
    if results["recovery"]:
        rows = [_recovery(name, one) for name, one in results["recovery"].items()]
        parts.append(f"\n## Back after `kill -9`\n\n{RECOVERY}\n\n{table(_RECOVERY_HEAD, rows)}")
    return "".join(parts)


WHOLE = """\
Identity, timeline, profile and all rules that ship, with simulated shoppers; there is nothing to compare it with. As in
`make bench`, the clock runs from the first message behind the first hop to the last event on a timeline."""

RECOVERY = """\
Job 1 with one lane. The worker is killed when all keys are in its state, and started again at once; seconds from then
until events of all partitions, written while it was down, are put out with the right counts. The group gives a member
up 10 s after its last heartbeat, and heartbeats are 1.5 to 3 s apart: 7 to 10 s of waiting are in all of these
figures."""

_HEAD = (
    "system", "lanes", "events/s", "of runs", "CPU-s per million events", "broker's", "peak memory, MiB",
    "latency at events/s", "p50, ms", "p99, ms", "and at events/s", "p50, ms", "p99, ms",
)  # fmt: skip
_RECOVERY_HEAD = ("system", "keys", "local state there, s", "local state gone, s")


def _facts(results: Mapping[str, Any], machine: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    yield from facts(machine)
    yield "Java", results["java"]
    for name, system in results["systems"].items():
        yield name, system["version"] or "this repository"
    yield "seed", results["seed"]


def _rows(name: str, job: Mapping[str, Any] | None) -> Iterable[tuple[str, ...]]:
    if job is None or not job["throughput"]:
        return
    best = max(run["events_per_second"] for run in job["throughput"])
    for run in job["throughput"]:
        names = ("latency", "latency_at_quarter") if run["events_per_second"] == best else ()
        live = [cell for name in names for cell in _latency(job.get(name))]
        yield (
            name,
            str(run["lanes"]),
            f"**{run['events_per_second']:,}**",
            ", ".join(f"{one:,}" for one in run["all_runs"]),
            f"{run['cpu_s_per_million']:,}",
            f"{run['broker_cpu_s_per_million']:,}",
            f"{run['peak_memory_mib']:,}",
            *(live or [""] * 6),
        )


def _latency(live: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if live is None:
        return "", "", ""
    if not live["outputs"]:
        return f"{live['rate']:,}", "", ""
    return f"{live['rate']:,}", f"{live['p50_ms']:,}", f"{live['p99_ms']:,}"


def _wrong(found: Mapping[str, Any]) -> str:
    """Return what was put out that is not what must come out, a line for each run."""
    return "".join(
        f"{name}, {one['lanes']} lanes, put out something else: {one['what']}.\n\n"
        for name, job in found.items()
        for one in job.get("wrong", ())
    )


def _ratios(found: Mapping[str, Any]) -> str:
    """Return the sentence that says how many times as fast Raccord is: with one lane each, and each at its best."""
    best = {name: _best(job["throughput"]) for name, job in found.items()}
    alone = {
        name: _best(run for run in job["throughput"] if run["lanes"] == 1) for name, job in found.items()
    }
    said = []
    for what, rates in (("with one lane", alone), ("each at its best", best)):
        ours = rates.get(OURS)
        others = [
            f"{ours / rate:.2f} x {name}" for name, rate in rates.items() if ours and rate and name != OURS
        ]
        if others:
            said.append(f"{what}: {', '.join(others)}")
    return f"Raccord, {'; '.join(said)}.\n" if said else ""


def _best(runs: Iterable[Mapping[str, Any]]) -> int:
    return max((run["events_per_second"] for run in runs), default=0)


def _recovery(name: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    if "wrong" in one:
        return name, f"{one['keys']:,}", f"wrong: {one['wrong']}", ""
    return name, f"{one['keys']:,}", str(one["seconds_with_local_state"]), str(one["seconds_without"])


def _whole(pipeline: Mapping[str, Any]) -> str:
    rows = [
        (name, f"**{run['events_per_second']:,}**", ", ".join(f"{one:,}" for one in run["all_runs"]))
        for name, run in pipeline["throughput"].items()
    ]
    live = pipeline["latency"]
    return (
        f"{table(('', 'events/s', 'of runs'), rows)}\n"
        f"From an event to its trigger at {live['events_per_second']:,} events/s, one worker of one process: p50 "
        f"{live['p50_ms']:,} ms, p99 {live['p99_ms']:,} ms.\n"
    )


if __name__ == "__main__":
    write_page(json.loads(RESULTS.read_text(encoding="utf-8")))
