"""The plan for a large deployment, as a section of `docs/scale.md`: what it rests on, what it needs, and what if."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from tests.benchmarks.scale.planning import (
    FORMULAS,
    MOST_PARTITIONS,
    WITHOUT_DISK,
    Assumptions,
    Measured,
    Prices,
    Targets,
    plan,
)
from tests.benchmarks.words import dollars, duration, size, table, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.benchmarks.scale.planning import Plan

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
List prices in US dollars, us-east-1, on demand, as collected in November 2026: check before use. They are
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
planned for: positions hold the watermarks of all partitions upstream, one number for each topic only where they are
alike; garbage of RocksDB between compactions; uneven partitions; brokers that fail while others are being upgraded."""


def section(measured: Measured, largest: int) -> str:
    """Return the plan; `largest`: customers of the largest size that was measured."""
    targets, assumed, prices = Targets(), Assumptions(), Prices()
    found = plan(measured, targets, assumed, prices)
    words = wrapped(
        PLAN.format(
            customers=targets.customers, events=targets.events_s, measured=largest,
            growth=size(found.state_growth_day), days=targets.history_days,
        )
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
