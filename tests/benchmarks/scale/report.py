"""The page about scale, `docs/scale.md`: what was measured, and the plan that follows from it.

`python -m tests.benchmarks.scale.report` writes the page anew from the results that are there. Every number on it is
measured, assumed (in the table of assumptions) or computed (its formula beside it).
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.scale.planning import (
    EXCHANGES,
    FORMULAS,
    MOST_PARTITIONS,
    WITHOUT_DISK,
    Assumptions,
    Measured,
    Prices,
    Targets,
    plan,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.benchmarks.scale.planning import Plan

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "scale.md"
RESULTS = ROOT / "tests" / "benchmarks" / "results" / "scale.json"
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
live, with one rule that fires at once, at the rate that stands there, one worker of one process."""

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
    text = [INTRODUCTION.format(cores=results["machine"]["cores"]), *_facts(results["machine"])]
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
        text.append(_plan(measured, results))
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

MEASURED = {
    "worker_cpu_us": "worker CPU, us/event",
    "main_cpu_us": "its main thread's, us/event",
    "broker_cpu_us": "broker CPU, us/event",
    "reads": "reads per event that the block cache misses",
    "rows": "changelog rows per event",
    "restore_cpu_us": "worker CPU, us per row that is read back (a standby's work)",
    "restore_bytes_s": "changelogs read back by a process, per second",
    "channel_bytes": "written to channels, B/event (compressed, as all of these)",
    "internal_bytes": "written between the stages, B/event",
    "output_bytes": "written to timelines, triggers, segments and other outputs, B/event",
    "table_bytes": "written to changelogs and profiles, B/event",
    "state_per_customer": "state of a customer with one event, B",
    "state_per_event": "state of a further event, B",
    "tables_per_state": "changelogs and profiles on the broker, B for each B of state",
    "process_memory": "peak memory of a process",
    "worker_touch_us": "worker CPU for each partition that an epoch writes to, us (least and most partitions compared)",
    "broker_touch_us": "broker CPU for it, us",
    "takeover_s": "wait for a killed worker's partitions with a standby, s",
}
TARGETS = {
    "customers": "customers",
    "events_s": "events/s, mean",
    "peak_factor": "peak / mean",
    "replication": "replication factor",
    "standbys": "standbys of each partition (`RACCORD_STANDBY_REPLICAS`)",
    "retention_days": "days that channels and outputs are kept (`RACCORD_RETENTION_DAYS`)",
    "history_days": "days of events in the timelines",
    "recovery_s": "state back from changelogs within, s",
}
ASSUMED = {
    "utilisation": "share of processor, memory and network that is used at the peak",
    "disk_free": "share of disks that stays free",
    "read_us": "time of a read that the block cache misses, us: local NVMe; no credit for the system's page cache",
    "follower_share": "processor time of a follower's copy, as a share of the leader's",
    "output_readers": "readers of all outputs",
    "crossing_share": "share of what clients write and read that crosses zones (three zones, leaders anywhere)",
    "replicas_per_broker": "partition replicas that a broker carries",
    "epochs_s": "epochs/s of each process; more of them are sooner at the reader, and dearer",
    "own_topics": "topics that an epoch writes to in its own partition: changelogs, outputs",
    "topics": "topics with that many partitions each: channels, internal, outputs, one a rule, changelogs",
}
PRICES_FROM = """\
Public list prices in US dollars, us-east-1, on demand, as publicly listed in November 2026: check before use, they are
the fields of `Prices` in [planning.py](../tests/benchmarks/scale/planning.py). The vendor's pages
([EC2](https://aws.amazon.com/ec2/pricing/on-demand/), [EBS](https://aws.amazon.com/ebs/pricing/)) have the last word;
these figures are second-hand: machines from price tables in public repositories, volumes from
[a description of gp3](https://www.saisci.com/aws/gp3-throughput-explained/), traffic between zones from
[a description of its cost](https://basavytix.com/blog/aws-cross-az-data-transfer-cost). No discounts, no support, no
traffic out of the region, no machines for monitoring or for what reads the outputs."""

PLAN = """\
For {customers:,.0f} customers and {events:,.0f} events/s. What was measured is taken to hold there: that processor time
per event stays what it is at {measured:,} customers, and that a vCPU does what a core here does. Workers have local
NVMe disks: what is on them can be rebuilt, and **a process waits for each read**, for its code is sequential; the time
of a read weighs as much as the code's.

**State grows with events.** Timelines keep everything: {growth} a day here, for ever. A plan is for a date, {days:.0f}
days after the start; the retention of topics changes nothing about it."""

HARDER = """\
Each epoch of each process writes to every partition of the two topics between the stages, data, watermarks and the
transaction's end: that grows with processes times partitions, and is what limits how many of them there can be. Not
planned for: positions hold the watermarks of all partitions upstream, so each grows with partitions too; garbage of
RocksDB between compactions; uneven partitions; brokers that fail while others are being upgraded."""


def _plan(measured: Measured, results: Mapping[str, Any]) -> str:
    targets, assumed, prices = Targets(), Assumptions(), Prices()
    found = plan(measured, targets, assumed, prices)
    largest = max(results["customers"], key=_customers_of)["customers"]
    words = "\n".join(
        wrapped(paragraph)
        for paragraph in PLAN.format(
            customers=targets.customers, events=targets.events_s, measured=largest,
            growth=size(found.state_growth_day), days=targets.history_days,
        ).split("\n\n")
    )  # fmt: skip
    return "".join(
        (
            f"\n## A plan\n\n{words}",
            "\n**Measured**, at the largest size and the largest restore above:\n\n",
            table(("", "measured"), _fields(measured, MEASURED)),
            "\n**Targets:**\n\n",
            table(("", "target"), _fields(targets, TARGETS)),
            "\n**Assumptions:**\n\n",
            table(("", "assumed"), [*_fields(assumed, ASSUMED), *_machines(prices)]),
            f"\n{wrapped(f'**Prices.** {PRICES_FROM}')}\n",
            table(("", "US dollars"), _prices(prices)),
            f"\n### What it needs\n\n{wrapped(HARDER)}\n",
            table(("", "computed", "formula"), _needs(found, measured)).replace(
                "---: | ---: |", "---: | --- |", 1
            ),
            *_warnings(found, measured, targets),
            "\n### What if\n\n",
            "The same plan with one thing changed.\n\n",
            table(_WHAT_IF_HEAD, what_if(measured, targets, assumed)),
        )
    )


def _needs(found: Plan, measured: Measured) -> Iterable[tuple[str, str, str]]:
    for name, title, value in (
        ("worker_cores", "worker cores", f"{found.worker_cores:,.0f}"),
        ("busy_processes", "processes that the events keep busy", f"{found.busy_processes:,}"),
        ("worker_machines", "worker machines", f"**{found.worker_machines:,}** ({found.workers_bound_by})"),
        ("processes", "worker processes", f"**{found.processes:,}**"),
        ("machine_memory", "memory of the processes of a machine", size(found.machine_memory)),
        ("partitions", "partitions", f"**{found.partitions:,}**"),
        ("touched_s", "partitions written to by epochs, a second", f"{found.touched_s:,.0f}"),
        ("state_bytes", "state", size(found.state_bytes)),
        ("state_per_machine", "state that a machine owns", size(found.state_per_machine)),
        ("state_growth_day", "state, more every day", size(found.state_growth_day)),
        ("worker_disk_bytes", "disk of all workers", size(found.worker_disk_bytes)),
        ("reads_s_per_machine", "reads/s of a machine's disk, peak", f"{found.reads_s_per_machine:,.0f}"),
        ("broker_cores", "broker cores", f"{found.broker_cores:,.0f}"),
        ("broker_disk_bytes", "disk of all brokers", size(found.broker_disk_bytes)),
        ("brokers", "brokers", f"**{found.brokers:,}** ({found.brokers_bound_by})"),
        ("replicas_per_broker", "partition replicas of a broker", f"{found.replicas_per_broker:,.0f}"),
        ("in_bytes_s", "into all brokers, mean", f"{size(found.in_bytes_s)}/s"),
        ("out_bytes_s", "out of all brokers, mean", f"{size(found.out_bytes_s)}/s"),
        ("crossing_bytes_s", "between zones, mean", f"{size(found.crossing_bytes_s)}/s"),
        (
            "partition_recovery_s",
            "one partition back from its changelog",
            duration(found.partition_recovery_s),
        ),
        ("cold_recovery_s", "a machine's state back from changelogs", duration(found.cold_recovery_s)),
        ("worker_dollars", "workers, a month", dollars(found.worker_dollars)),
        ("broker_dollars", "brokers, a month", dollars(found.broker_dollars)),
        ("volume_dollars", "brokers' volumes, a month", dollars(found.volume_dollars)),
        ("crossing_dollars", "traffic between zones, a month", dollars(found.crossing_dollars)),
    ):
        yield title, value, FORMULAS[name]
    yield "**all, a month**", f"**{dollars(found.dollars)}**", "the four above"
    if measured.takeover_s is not None:
        yield "wait after a worker's end, with a standby", f"{measured.takeover_s} s", "as measured"


def _warnings(found: Plan, measured: Measured, targets: Targets) -> Iterable[str]:
    if found.partitions > MOST_PARTITIONS:
        yield "\n" + wrapped(
            f"**{found.partitions:,} partitions are more than a deployment takes ({MOST_PARTITIONS:,}).**"
        )
    if not measured.broker_touch_us:
        yield "\n" + wrapped(
            "**What an epoch costs for each partition that it writes to was not measured in this run (it needs two "
            "sizes of the part `partitions`), and is taken for nothing.**"
        )
    if found.cold_recovery_s > targets.recovery_s:
        yield "\n" + wrapped(
            f"Without a standby a lost machine would be back after {duration(found.cold_recovery_s)}, "
            f"where the target is {duration(targets.recovery_s)}: the plan does not hold without standbys."
        )
    if not measured.reads:
        yield "\n" + wrapped("**No read missed the block cache in this run: with more customers many will.**")


_WHAT_IF_HEAD = (
    "", "worker machines", "bound by", "processes", "partitions", "brokers", "bound by", "state",
    "a machine's state back", "a month",
)  # fmt: skip


def what_if(measured: Measured, targets: Targets, assumed: Assumptions) -> list[tuple[str, ...]]:
    """Return the plan's main figures, as it is and with one thing changed."""
    dear = replace(
        measured,
        worker_cpu_us=2 * measured.worker_cpu_us,
        main_cpu_us=2 * measured.main_cpu_us,
        broker_cpu_us=2 * measured.broker_cpu_us,
    )
    volumes = replace(assumed, read_us=1_000.0), Prices(worker=WITHOUT_DISK)
    cases: dict[str, tuple[Any, ...]] = {
        "as planned": (measured, targets, assumed),
        "an event costs twice the processor time": (dear, targets, assumed),
        "twice the reads": (replace(measured, reads=2 * measured.reads), targets, assumed),
        "no read misses the cache": (replace(measured, reads=0.0), targets, assumed),
        f"workers on network volumes ({WITHOUT_DISK.name}), 1 ms a read": (measured, targets, *volumes),
        "ten times the customers": (measured, replace(targets, customers=10 * targets.customers), assumed),
        "a tenth of the events": (measured, replace(targets, events_s=targets.events_s / 10), assumed),
        "five epochs/s": (measured, targets, replace(assumed, epochs_s=5.0)),
        "a day of history": (measured, replace(targets, history_days=1), assumed),
        "a year of history": (measured, replace(targets, history_days=365), assumed),
        "a week of retention": (measured, replace(targets, retention_days=7), assumed),
        "no standbys": (measured, replace(targets, standbys=0), assumed),
    }
    return [(name, *_main_figures(plan(*case))) for name, case in cases.items()]


def _main_figures(found: Plan) -> tuple[str, ...]:
    too_many = " (too many)" if found.partitions > MOST_PARTITIONS else ""
    return (
        f"{found.worker_machines:,}", found.workers_bound_by, f"{found.processes:,}", f"{found.partitions:,}{too_many}",
        f"{found.brokers:,}", found.brokers_bound_by, size(found.state_bytes), duration(found.cold_recovery_s),
        dollars(found.dollars),
    )  # fmt: skip


def _machines(prices: Prices) -> Iterable[tuple[str, str]]:
    for who, one in (("worker", prices.worker), ("broker", prices.broker)):
        disk = f", {one.disk_gb:,.0f} GB NVMe" if one.disk_gb else ""
        yield (
            f"a {who}'s machine, {one.name}",
            f"{one.vcpus} vCPUs, {one.memory_gib} GiB, {one.network_gbit} Gbit/s sustained{disk}",
        )
    yield "largest volumes of a broker", size(prices.volume_most_gb * 1e9)


def _prices(prices: Prices) -> Iterable[tuple[str, str]]:
    for one in (prices.worker, prices.broker):
        yield f"{one.name}, an hour", f"{one.dollars_hour}"
    yield "gp3, a GB and month", f"{prices.volume_gb_month}"
    yield f"{WITHOUT_DISK.name}, an hour (in one line of *What if*)", f"{WITHOUT_DISK.dollars_hour}"
    yield (
        f"gp3, a read/s and month beyond {prices.volume_reads_included:,.0f} (there too)",
        f"{prices.volume_read_month}",
    )
    yield f"gp3, a MB/s and month beyond {prices.volume_mb_s_included:.0f}", f"{prices.volume_mb_s_month}"
    yield "a GB from zone to zone, both sides", f"{prices.crossing_gb}"


def _fields(of: Any, titles: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    values = asdict(of)
    for one in fields(of):
        value = values[one.name]
        if value is None:
            continue
        if one.name == "process_memory":
            shown = size(value)
        elif one.name == "restore_bytes_s":
            shown = f"{size(value)}/s"
        else:
            shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        yield titles[one.name], shown


# -- small things


def _facts(machine: Mapping[str, Any]) -> Iterable[str]:
    yield f"| date | {machine['date']} |\n"
    yield f"| machine | {machine['cores']} cores, {machine['system']}; {machine['note']} |\n"
    yield f"| broker | Apache Kafka {machine['kafka']}, one node |\n"
    yield (
        f"| Python | {machine['python']}, librdkafka {machine['librdkafka']}, native part {machine['native_part']} |\n"
    )


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


def wrapped(text: str) -> str:
    """Return a paragraph in lines of 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def size(count: float) -> str:
    """Return bytes as people read them; a kB is 1,000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1_000:
            return f"{count:.3g} {unit}"
        count /= 1_000
    return f"{count:,.1f} PB"


def duration(seconds: float) -> str:
    """Return a time as people read it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3g} s"


def dollars(amount: float) -> str:
    """Return money, in whole thousands where it is much."""
    return f"${round(amount, -3):,.0f}" if amount >= 100_000 else f"${amount:,.0f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; the first column is words."""
    head = tuple(head)
    lines = [head, ("---",) + ("---:",) * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    write_page(json.loads(RESULTS.read_text(encoding="utf-8")))
