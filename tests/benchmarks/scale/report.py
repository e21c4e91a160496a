"""The page about scale, `docs/scale.md`: what was measured, and the plan that follows from it.

`python -m tests.benchmarks.scale.report` writes the page anew from the results that are there. Every number on it is
measured, assumed (in the table of assumptions) or computed (its formula beside it).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks import command
from tests.benchmarks.scale.plan_page import section
from tests.benchmarks.scale.planning import EXCHANGES, Assumptions, Measured
from tests.benchmarks.words import facts, size, table, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "scale.md"
RESULTS = command.RESULTS / "scale.json"
TAKEOVER = RESULTS.with_name("takeover.json")
PARTS = ("customers", "partitions", "workers")
WHOLE = 1_000_000
"""Customers of the largest size from which on a plan is worth something."""
WARM_UP_SHARE = 0.2
"""Of the measured events so many more are played before, and stay in the state."""

INTRODUCTION = """\
# Scale, measured and planned

Regenerate with `make bench-scale` (`python -m tests.benchmarks.scale --customers 10000 100000 --add` does a part, and
keeps the others). The page is written by that command from [scale.json](../tests/benchmarks/results/scale.json); its
words and its generator of events are in [tests/benchmarks/scale](../tests/benchmarks/scale). Every number here is
measured by that command, assumed, and then it is in the table of assumptions, or computed by the formula beside it.

**What is measured.** The whole pipeline with all rules that ship, on an embedded Kafka of its own, one node. Customers
come in, one event each (she signs in, with account, browser and e-mail address). The workers are stopped and started
again. Then a day of what they come back for, spread over all of them: visits to the shop's pages and its app, baskets,
orders, purchases in shops, newcomers, and logins by which a new browser's events become a known customer's. A fifth of
it is a warm-up. All events that are measured are written while the workers work; the clock runs from the first that is
written to the last on `customer.timeline`. Processor time is that of the processes, as Linux counts it.

**What this machine can't show.** Its {cores} cores are shared by worker, broker, JVM compiler, the process that writes
the events and reads the timeline, and whatever else runs there. Events per second are those of a crowded machine;
processor time per event is the better figure, and still dearer than on cores of one's own, for caches are shared too.
On the other hand the workers are behind while they are measured, and commit about once a second; workers that keep up
commit up to ten times as often, which costs them more for each event. The broker has one copy of everything, a heap of
512 MB and a JVM that compiles simply. There is no network, and no disk to wait for: all files fit into the memory that
Linux keeps them in. The events are synthetic.

| | |
|---|---|
"""

CUSTOMERS = """\
`RACCORD_CACHE_MIB` is {cache} MiB in each size, for all stores of the worker; beside it are up to 48 MiB of memtables a
store, and 20,000 decoded rows a table. {exceeds} {one_worker}, {partitions} partitions, {events:,} events measured.
Reads are those of a worker's main thread that the block cache did not answer; it was emptied by the restart before the
warm-up, so the first read of a block is one of them at every size. State is what lies on the worker's disk
when the customers are there, with one event each; topics are changelogs and profiles on the broker at that moment."""

PARTITIONS = """\
{customers:,} customers, {events:,} events. {one_worker}. A round of clock markers (one for each partition of each
channel, every 10,000 events) is in the figures; a live deployment has none. Latency is from an event to its trigger,
live, with one rule that fires at once, at the rate that stands there, one worker of one process.

What grows with partitions is the commit. librdkafka sends each partition's batch in a request of its own
([librdkafka#1700](https://github.com/confluentinc/librdkafka/issues/1700)), and under load an epoch writes to every
partition of every topic in use: two between the stages, three changelogs, the outputs. An event crosses three epochs
on its way to its trigger, and clocks wait for one or two more. So take as many partitions as the workers that you will
want, and not more."""

WORKERS = """\
{customers:,} customers, {events:,} events, {partitions} partitions, workers of one process each. **Two cores can't make
more workers faster**: what can be seen is whether an event costs more processor time in total when more workers share
the partitions, and whether they share the work evenly. What can't be seen is throughput that grows with workers, or the
network between them."""

RECOVERY = """\
The worker's data were deleted, and it was started again: rows of all stores, from the beginning of their changelogs,
two partitions at a time in each process."""


def write_page(results: Mapping[str, Any], path: Path = PAGE) -> None:
    """Write the page from a run's results."""
    takeover = json.loads(TAKEOVER.read_text(encoding="utf-8")) if TAKEOVER.exists() else None
    path.write_text(page(results, takeover), encoding="utf-8")


def page(results: Mapping[str, Any], takeover: Mapping[str, Any] | None = None) -> str:
    """Return the page; what was not measured is left out, and said."""
    missing = [part for part in PARTS if not results.get(part)]
    text = [INTRODUCTION.format(cores=results["machine"]["cores"]), *_head(results["machine"])]
    if missing:
        text.append(f"\nNot measured in this run, and left out: {', '.join(missing)}.\n")
    largest = max((run["customers"] for run in results.get("customers") or []), default=0)
    if largest < WHOLE:
        text.append(
            f"\n**A trial: the largest size is {largest:,} customers. What is computed below shows the formulas at "
            "work, and is no advice.**\n"
        )
    if results.get("customers"):
        text.append(_customers(results["customers"], results["cache_mib"]))
    if results.get("partitions"):
        text.append(_partitions(results["partitions"]))
    if results.get("workers"):
        text.append(_workers(results["workers"]))
    text.append(_recovery(results.get("customers") or [], takeover))
    measured = measured_of(results, takeover)
    if measured is None:
        text.append(
            "\n## A plan\n\nNo plan: it needs the part `customers`, with a restore (`--restore-at`).\n"
        )
    else:
        text.append(section(measured, largest))
    return "".join(text)


def measured_of(results: Mapping[str, Any], takeover: Mapping[str, Any] | None = None) -> Measured | None:
    """Return what the plan rests on: the largest size, and the largest restore; None: something is missing."""
    runs = results.get("customers") or []
    restored = [run for run in runs if "restored" in run]
    if not restored:
        return None
    run, back = max(runs, key=_customers_of), max(restored, key=_customers_of)["restored"]
    loaded, grown = run["loaded"], run["bytes_per_event"]
    tables = loaded["topic_bytes"]["changelogs"] + loaded["topic_bytes"]["profiles"]
    standby = next((one for one in (takeover or {}).get("takeover", []) if one["standby_replicas"]), None)
    return Measured(
        worker_cpu_us=run["worker_cpu_us"],
        main_cpu_us=run["worker_cpu_us_by_thread"]["main"],
        broker_cpu_us=run["broker_cpu_us"],
        reads=run["cache_misses_per_event"],
        rows=run["rows_per_event"],
        restore_cpu_us=back["cpu_us_per_row"],
        restore_bytes_s=back["changelog_mb_per_second"] * 1e6,
        channel_bytes=grown["channels"],
        internal_bytes=grown["internal"],
        output_bytes=grown["outputs"],
        table_bytes=grown["changelogs"] + grown["profiles"],
        state_per_customer=loaded["state_bytes"] / run["customers"],
        state_per_event=_state_per_event(run),
        tables_per_state=tables / loaded["state_bytes"],
        process_memory=_memory(run) / (run["workers"] * run["processes"]),
        worker_touch_us=touch_us(results.get("partitions") or [], "worker_cpu_us"),
        broker_touch_us=touch_us(results.get("partitions") or [], "broker_cpu_us"),
        takeover_s=None if standby is None else standby["longest_wait_s"],
    )


def touch_us(runs: Sequence[Mapping[str, Any]], what: str) -> float:
    """Return what each partition that an epoch writes to costs, from the runs with the fewest and the most of them.

    Events cost the same in both; what is dearer in one of them is its epochs' doing, and in one worker an epoch writes
    to every partition of all topics in use.
    """
    if len(runs) < 2:
        return 0.0
    few, many = min(runs, key=_partitions_of), max(runs, key=_partitions_of)
    topics = Assumptions().own_topics + EXCHANGES
    touched = [run["epochs"] * run["partitions"] * topics for run in (few, many)]
    spent = [run[what] * run["events"] for run in (few, many)]
    return max(0.0, (spent[1] - spent[0]) / (touched[1] - touched[0])) if touched[1] > touched[0] else 0.0


# -- what was measured


def _customers(runs: Sequence[Mapping[str, Any]], cache_mib: int) -> str:
    head = (
        "customers", "events/s", "worker CPU, us/event", "its main thread", "broker CPU, us/event", "reads/event",
        "changelogs, B/event", "peak memory, MiB", "state", "B/customer", "topics, B/customer", "loading, events/s",
    )  # fmt: skip
    rows = [
        (
            f"{run['customers']:,}",
            f"**{run['events_per_second']:,}**",
            f"{run['worker_cpu_us']:.1f}",
            f"{run['worker_cpu_us_by_thread']['main']:.1f}",
            f"{run['broker_cpu_us']:.1f}",
            f"{run['cache_misses_per_event']:.2f}",
            f"{run['bytes_per_event']['changelogs']:,.0f}",
            f"{_memory(run) / 2**20:,.0f}",
            size(run["loaded"]["state_bytes"]),
            f"{run['loaded']['state_bytes'] / run['customers']:,.0f}",
            f"{_tables(run) / run['customers']:,.0f}",
            f"{run['loaded']['events_per_second']:,}",
        )
        for run in runs
    ]
    large = [run for run in runs if run["loaded"]["state_bytes"] > cache_mib * 2**20]
    exceeds = (
        f"From {large[0]['customers']:,} customers on the state is larger than that."
        if large
        else "**The state never became larger than that: reads and what they cost are too low here for a plan.**"
    )
    words = wrapped(CUSTOMERS.format(cache=cache_mib, exceeds=exceeds, **_common(runs[0])))
    growth = ""
    if len(runs) > 1:
        first, last = runs[0], runs[-1]
        growth = wrapped(
            f"From {first['customers']:,} to {last['customers']:,} customers an event's processor time in the worker "
            f"is {last['worker_cpu_us'] / first['worker_cpu_us']:.2f} times what it was. "
            f"A further event adds {_state_per_event(last):,.0f} B of state at the largest size: timelines keep "
            "everything."
        )
    return f"\n## Customers\n\n{words}\n{table(head, rows)}\n{growth}"


def _partitions(runs: Sequence[Mapping[str, Any]]) -> str:
    head = (
        "partitions", "events/s", "worker CPU, us/event", "broker CPU, us/event", "epochs", "a commit, ms",
        "events an epoch", "peak memory, MiB", "latency at events/s", "p50, ms", "p99, ms",
    )  # fmt: skip
    rows = [
        (
            str(run["partitions"]),
            f"**{run['events_per_second']:,}**",
            f"{run['worker_cpu_us']:.1f}",
            f"{run['broker_cpu_us']:.1f}",
            f"{run['epochs']:,}",
            f"{run['commit_ms']:.0f}",
            f"{run['events'] / max(1, run['epochs']):,.0f}",
            f"{_memory(run) / 2**20:,.0f}",
            *_latency(run.get("latency")),
        )
        for run in runs
    ]
    return f"\n## Partitions\n\n{wrapped(PARTITIONS.format(**_common(runs[0])))}\n{table(head, rows)}"


def _latency(found: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if found is None:
        return "", "", ""
    return f"{found['events_per_second']:,}", f"{found['p50_ms']:,}", f"{found['p99_ms']:,}"


def _workers(runs: Sequence[Mapping[str, Any]]) -> str:
    head = (
        "workers", "events/s, of all", "worker CPU, us/event, of all", "broker CPU, us/event", "epochs", "a commit, ms",
        "input partitions of each", "share of the records of each", "peak memory of all, MiB",
    )  # fmt: skip
    rows = [
        (
            str(run["workers"]),
            f"**{run['events_per_second']:,}**",
            f"{run['worker_cpu_us']:.1f}",
            f"{run['broker_cpu_us']:.1f}",
            f"{run['epochs']:,}",
            f"{run['commit_ms']:.0f}",
            ", ".join(map(str, run["tasks"])),
            ", ".join(f"{share:.0%}" for share in run["share_of_records"]),
            f"{_memory(run) / 2**20:,.0f}",
        )
        for run in runs
    ]
    return f"\n## Workers\n\n{wrapped(WORKERS.format(**_common(runs[0])))}\n{table(head, rows)}"


def _recovery(runs: Sequence[Mapping[str, Any]], takeover: Mapping[str, Any] | None) -> str:
    text = ["\n## Recovery\n\n"]
    restored = [run for run in runs if "restored" in run]
    if restored:
        head = ("customers", "partitions", "rows", "s", "rows/s", "changelogs, MB/s", "worker CPU, us/row")
        rows = [
            (
                f"{run['customers']:,}",
                f"{run['restored']['partitions']}",
                f"{run['restored']['rows']:,}",
                f"{run['restored']['seconds']}",
                f"**{run['restored']['rows_per_second']:,}**",
                f"{run['restored']['changelog_mb_per_second']}",
                f"{run['restored']['cpu_us_per_row']}",
            )
            for run in restored
        ]
        text.append(f"{RECOVERY}\n\n{table(head, rows)}")
    else:
        text.append("Not measured in this run: how fast state comes back from its changelogs.\n")
    if takeover is None:
        text.append("\nNot measured in this run: how long events wait for a worker that was killed.\n")
        return "".join(text)
    text.append("\nHow long events wait when one of two workers is killed (`make bench-takeover`):\n\n")
    head = ("standbys", "customers", "longest wait, s", "served again after, s", "session timeout, s")
    text.append(
        table(
            head,
            [
                (
                    str(one["standby_replicas"]), f"{one['customers']:,}", str(one["longest_wait_s"]),
                    str(one["served_again_after_kill_s"]), str(one["session_timeout_s"]),
                )
                for one in takeover["takeover"]
            ],
        )
    )  # fmt: skip
    return "".join(text)


# -- the plan


def _head(machine: Mapping[str, Any]) -> Iterable[str]:
    return (f"| {name} | {value} |\n" for name, value in facts(machine))


def _common(run: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: run[name] for name in ("customers", "events", "partitions", "workers", "processes")}
    count = run["processes"]
    return {**found, "one_worker": f"One worker of {f'{count} processes' if count > 1 else 'one process'}"}


def _customers_of(run: Mapping[str, Any]) -> int:
    return int(run["customers"])


def _partitions_of(run: Mapping[str, Any]) -> int:
    return int(run["partitions"])


def _memory(run: Mapping[str, Any]) -> int:
    return max(run["peak_memory_bytes"], run["loaded"]["peak_memory_bytes"])


def _tables(run: Mapping[str, Any]) -> int:
    sizes = run["loaded"]["topic_bytes"]
    return int(sizes["changelogs"] + sizes["profiles"])


def _state_per_event(run: Mapping[str, Any]) -> float:
    grown = run["state_bytes"] - run["loaded"]["state_bytes"]
    return float(grown / (run["events"] * (1 + WARM_UP_SHARE)))


if __name__ == "__main__":
    write_page(json.loads(RESULTS.read_text(encoding="utf-8")))
