"""What a deployment needs, from what an event costs: a pure function of measured figures, targets, assumptions, prices.

Units: the names say them; a byte is a byte (GB = 1e9), a month is 730 hours, rates are means unless they say `peak`.
Each step of `plan` has its formula beside it in `FORMULAS`, which the page shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from math import ceil
from typing import TYPE_CHECKING

from stream_app.app import topics_of
from stream_app.settings import Settings

if TYPE_CHECKING:
    from stream_app.topology import Topics

DAY_S = 86_400
MONTH_H = 730
INTERNAL_DAYS = 2
"""How long the topics between the stages are kept: `INTERNAL_RETENTION_MS` in stream_app/topology.py."""
EXCHANGES = 3
"""Topics between the stages. A process writes to every partition of them; to the others, to its own partitions only."""
OWN_OUTPUTS = ("timeline", "profiles", "segments", "decisions", "numbers")
"""Outputs that nearly every epoch writes to, as `Topics` calls them; the others are seldom written to."""
MOST_PARTITIONS = 1_024
"""What RACCORD_PARTITIONS takes at most."""


@dataclass(frozen=True)
class Measured:
    """What an event, a customer and a restore cost, as `scale.json` has them."""

    worker_cpu_us: float
    """Processor time of all threads of a worker per event."""
    main_cpu_us: float
    """Of its main thread alone: with the reads below it is what bounds a process."""
    broker_cpu_us: float
    reads: float
    """Reads per event that the block cache did not answer."""
    rows: float
    """Rows per event that are written to changelogs."""
    restore_cpu_us: float
    """Processor time per row that is read back from a changelog."""
    restore_bytes_s: float
    """Bytes of changelogs per second that one process reads back."""
    channel_bytes: float
    internal_bytes: float
    output_bytes: float
    table_bytes: float
    """Written per event to changelogs and profiles."""
    state_per_customer: float
    """Bytes of state on a worker's disk after a customer's first event."""
    state_per_event: float
    """Bytes of state that each further event adds: timelines keep everything."""
    tables_per_state: float
    """Bytes of compacted topics on the broker's disk for each byte of state."""
    process_memory: float
    worker_touch_us: float = 0.0
    """Processor time of a worker for each partition that an epoch writes to, however little; 0: not measured."""
    broker_touch_us: float = 0.0
    takeover_s: float | None = None
    """How long events wait when a worker dies whose rows are warm elsewhere (`make bench-takeover`)."""


@dataclass(frozen=True)
class Targets:
    """What the deployment is to do."""

    customers: float = 100e6
    events_s: float = 200e3
    peak_factor: float = 2.0
    replication: int = 3
    standbys: int = 1
    retention_days: float = 30
    """Of channels and outputs (RACCORD_RETENTION_DAYS)."""
    history_days: float = 30
    """So many days of events are in the timelines. Nothing takes them out again: this is a date, not a setting."""
    recovery_s: float = 3_600
    """A machine's state should be back from changelogs in so long, where no standby has it; the page says if not."""


_SHIPPED = Settings(bootstrap_servers="none:9")


@cache
def _shipped() -> Topics:
    """Return the topics of a deployment with what ships."""
    return topics_of(_SHIPPED)


def _all_topics() -> int:
    return len(_shipped().specs(_SHIPPED))


def _own_topics() -> int:
    return len(_shipped().changelogs) + len(OWN_OUTPUTS)


@dataclass(frozen=True)
class Assumptions:
    """What was not measured here."""

    utilisation: float = 0.6
    disk_free: float = 0.3
    read_us: float = 100.0
    follower_share: float = 0.5
    output_readers: float = 1.0
    crossing_share: float = 2 / 3
    replicas_per_broker: int = 4_000
    topics: int = field(default_factory=_all_topics)
    epochs_s: float = 1.0
    own_topics: int = field(default_factory=_own_topics)


@dataclass(frozen=True)
class Machine:
    """A kind of machine; `disk_gb` is its own, 0: it has none."""

    name: str
    vcpus: int
    memory_gib: int
    disk_gb: float
    network_gbit: float
    dollars_hour: float


@dataclass(frozen=True)
class Prices:
    """Public list prices, us-east-1, on demand, in US dollars, as collected in November 2026: check before use."""

    worker: Machine = Machine("i4i.4xlarge", 16, 128, 3_750, 9.375, 1.373)
    broker: Machine = Machine("m6i.4xlarge", 16, 64, 0, 6.25, 0.768)
    volume_gb_month: float = 0.08
    """gp3."""
    volume_mb_s_month: float = 0.04
    """gp3, for each MB/s beyond what is included."""
    volume_mb_s_included: float = 125.0
    volume_most_gb: float = 48_000
    """Three volumes of 16 TB a broker."""
    volume_read_month: float = 0.005
    """gp3, for each read/s beyond what is included."""
    volume_reads_included: float = 3_000.0
    crossing_gb: float = 0.02
    """A GB from one availability zone to another: 0.01 on either side."""


WITHOUT_DISK = Machine("r6i.4xlarge", 16, 128, 0, 6.25, 1.008)
"""A worker's machine whose state lies on network volumes, to compare with."""


@dataclass(frozen=True)
class Plan:
    """What is needed."""

    worker_cores: float
    busy_processes: int
    worker_machines: int
    workers_bound_by: str
    processes: int
    partitions: int
    touched_s: float
    state_bytes: float
    state_per_machine: float
    state_growth_day: float
    worker_disk_bytes: float
    machine_memory: float
    reads_s_per_machine: float
    broker_cores: float
    brokers: int
    brokers_bound_by: str
    broker_disk_bytes: float
    replicas_per_broker: float
    in_bytes_s: float
    out_bytes_s: float
    crossing_bytes_s: float
    cold_recovery_s: float
    partition_recovery_s: float
    worker_dollars: float
    broker_dollars: float
    volume_dollars: float
    crossing_dollars: float

    @property
    def dollars(self) -> float:
        """Per month, in all."""
        return self.worker_dollars + self.broker_dollars + self.volume_dollars + self.crossing_dollars


FORMULAS = {
    "worker_cores": (
        "(peak events/s x (worker CPU + standbys x rows x restore CPU a row) "
        "+ partitions written to x worker's CPU for one) / utilisation"
    ),
    "busy_processes": "peak events/s x (main thread's CPU + reads x time of a read) / utilisation",
    "worker_machines": (
        "the most of: cores / vCPUs; these processes x memory of one / (memory x utilisation); disk / its disk; "
        "1 + standbys"
    ),
    "processes": "those, and one a machine at least",
    "partitions": "the least power of two that is no less than processes",
    "touched_s": "epochs/s x partitions x (topics of one's own + 3 x processes)",
    "state_bytes": "customers x state of one + (events/s x history - customers) x state of a further event",
    "state_per_machine": "state / worker machines",
    "state_growth_day": "events/s x 86,400 s x state of a further event",
    "worker_disk_bytes": "state x (1 + standbys) / (1 - free)",
    "machine_memory": "processes / worker machines x peak memory of a process",
    "reads_s_per_machine": "peak events/s x reads / worker machines",
    "broker_cores": (
        "(peak events/s x broker CPU + partitions written to x broker's CPU for one) "
        "x (1 + (replication - 1) x follower's share) / utilisation"
    ),
    "broker_disk_bytes": (
        "replication x (events/s x (channel + output bytes) x retention + events/s x internal bytes x 2 days "
        "+ state x tables per state) / (1 - free)"
    ),
    "brokers": (
        "the most of: replication; cores / vCPUs; disk / largest volumes; "
        "peak out of brokers / (network x utilisation); replicas / replicas a broker"
    ),
    "replicas_per_broker": "topics x partitions x replication / brokers",
    "in_bytes_s": "events/s x (channel + internal + output + table bytes) x replication",
    "out_bytes_s": (
        "events/s x ((replication - 1) x all bytes + channel + internal + outputs x readers + tables x standbys)"
    ),
    "crossing_bytes_s": "events/s x ((replication - 1) x all bytes + share of clients x (written + read by clients))",
    "cold_recovery_s": "state per machine x tables per state / (restore rate x processes per machine, at most network)",
    "partition_recovery_s": "state x tables per state / partitions / restore rate",
    "worker_dollars": "worker machines x 730 h x price",
    "broker_dollars": "brokers x 730 h x price",
    "volume_dollars": (
        "broker disk x price of a GB + MB/s per broker at the peak beyond those included x price x brokers; "
        "for workers without disks of their own, their disk x price of a GB + reads/s beyond those included x price"
    ),
    "crossing_dollars": "bytes that cross x 86,400 x 365 / 12 x price of a GB",
}
"""How each figure of a `Plan` comes about, in words."""


def plan(
    measured: Measured,
    targets: Targets,
    assumed: Assumptions | None = None,
    prices: Prices | None = None,
) -> Plan:
    """Return what a deployment needs that meets the targets."""
    assumed, prices = assumed or Assumptions(), prices or Prices()
    one, rate, peak = measured, targets.events_s, targets.events_s * targets.peak_factor
    free = 1 - assumed.disk_free

    # State: timelines keep everything, so it grows with events, not with customers alone.
    events = max(targets.customers, rate * DAY_S * targets.history_days)
    state = targets.customers * one.state_per_customer + (events - targets.customers) * one.state_per_event
    tables = state * one.tables_per_state

    # Workers
    standby_us = targets.standbys * one.rows * one.restore_cpu_us
    busy_us = one.main_cpu_us + one.reads * assumed.read_us
    busy = max(1, ceil(peak * busy_us / 1e6 / assumed.utilisation))
    worker_disk = state * (1 + targets.standbys) / free
    needs = {
        "memory": busy * one.process_memory / (prices.worker.memory_gib * 2**30 * assumed.utilisation),
        "disk": worker_disk / (prices.worker.disk_gb * 1e9) if prices.worker.disk_gb else 0.0,
        "standbys": 1.0 + targets.standbys,
    }
    worker_machines, workers_bound_by = _most(needs)
    while True:  # more processes make more epochs, which need more processor time
        processes = max(busy, worker_machines)
        partitions = 2 ** (processes - 1).bit_length()
        touched = assumed.epochs_s * partitions * (assumed.own_topics + EXCHANGES * processes)
        worker_us = peak * (one.worker_cpu_us + standby_us) + touched * one.worker_touch_us
        worker_cores = worker_us / 1e6 / assumed.utilisation
        before = worker_machines
        worker_machines, workers_bound_by = _most({**needs, "processor": worker_cores / prices.worker.vcpus})
        if worker_machines <= before or partitions > MOST_PARTITIONS:  # settled; or it never will
            break

    # Brokers
    written = one.channel_bytes + one.internal_bytes + one.output_bytes + one.table_bytes
    read = (
        one.channel_bytes
        + one.internal_bytes
        + one.output_bytes * assumed.output_readers
        + one.table_bytes * targets.standbys
    )
    copies = targets.replication - 1
    out = rate * (copies * written + read)
    broker_us = peak * one.broker_cpu_us + touched * one.broker_touch_us
    broker_cores = broker_us * (1 + copies * assumed.follower_share) / 1e6 / assumed.utilisation
    kept = (
        rate
        * DAY_S
        * (
            (one.channel_bytes + one.output_bytes) * targets.retention_days
            + one.internal_bytes * INTERNAL_DAYS
        )
    )
    broker_disk = targets.replication * (kept + tables) / free
    replicas = assumed.topics * partitions * targets.replication
    network = prices.broker.network_gbit * 1e9 / 8
    brokers, brokers_bound_by = _most(
        {
            "replication": targets.replication,
            "processor": broker_cores / prices.broker.vcpus,
            "disk": broker_disk / (prices.volume_most_gb * 1e9),
            "network": out * targets.peak_factor / (network * assumed.utilisation),
            "replicas": replicas / assumed.replicas_per_broker,
        }
    )
    crossing = rate * (copies * written + assumed.crossing_share * (written + read))
    volume_mb_s = peak * written * targets.replication / brokers / 1e6

    volumes = broker_disk / 1e9 * prices.volume_gb_month
    volumes += max(0.0, volume_mb_s - prices.volume_mb_s_included) * prices.volume_mb_s_month * brokers
    reads_s = peak * one.reads / worker_machines
    if not prices.worker.disk_gb:
        volumes += worker_disk / 1e9 * prices.volume_gb_month
        more = max(0.0, reads_s - prices.volume_reads_included)
        volumes += more * prices.volume_read_month * worker_machines

    # Recovery
    per_machine = processes / worker_machines
    restored_s = min(one.restore_bytes_s * per_machine, prices.worker.network_gbit * 1e9 / 8)
    return Plan(
        worker_cores=worker_cores,
        busy_processes=busy,
        worker_machines=worker_machines,
        workers_bound_by=workers_bound_by,
        processes=processes,
        partitions=partitions,
        touched_s=touched,
        state_bytes=state,
        state_per_machine=state / worker_machines,
        state_growth_day=rate * DAY_S * one.state_per_event,
        worker_disk_bytes=worker_disk,
        machine_memory=per_machine * one.process_memory,
        reads_s_per_machine=reads_s,
        broker_cores=broker_cores,
        brokers=brokers,
        brokers_bound_by=brokers_bound_by,
        broker_disk_bytes=broker_disk,
        replicas_per_broker=replicas / brokers,
        in_bytes_s=rate * written * targets.replication,
        out_bytes_s=out,
        crossing_bytes_s=crossing,
        cold_recovery_s=tables / worker_machines / restored_s,
        partition_recovery_s=tables / partitions / one.restore_bytes_s,
        worker_dollars=worker_machines * MONTH_H * prices.worker.dollars_hour,
        broker_dollars=brokers * MONTH_H * prices.broker.dollars_hour,
        volume_dollars=volumes,
        crossing_dollars=crossing * DAY_S * 365 / 12 / 1e9 * prices.crossing_gb,
    )


def _most(needs: dict[str, float]) -> tuple[int, str]:
    """Return the largest need, as a whole number, and what it is."""
    name = max(needs, key=lambda one: needs[one])
    return max(1, ceil(needs[name])), name
