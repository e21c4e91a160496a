"""Every metric's name, once, with what it says. Labels never hold an identifier or a customer.

Counted once a batch or once an epoch, never once an event.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from stream_app.domain.numbers import NUMBERS as NUMBERS_CATALOGUE
from stream_app.domain.numbers import Window
from stream_app.engine.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.engine.changelog import Progress
    from stream_app.engine.task import Task

REGISTRY = CollectorRegistry()

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

EVENTS = Counter(
    "raccord_events",
    "Events by channel and outcome: applied, duplicate, dead_lettered, dropped",
    ["channel", "outcome"],
    registry=REGISTRY,
)
REFERENCES = Counter(
    "raccord_references",
    "Rows of reference data by feed and outcome: applied, dead_lettered",
    ["feed", "outcome"],
    registry=REGISTRY,
)
DEAD_LETTERS = Counter(
    "raccord_dead_letters", "Records sent to the dead letters", ["reason"], registry=REGISTRY
)
REJECTED_IDENTIFIERS = Counter(
    "raccord_rejected_identifiers",
    "Identifiers left out of an event: blocked, invalid, too long, too many, hashed with another key",
    ["namespace", "why"],
    registry=REGISTRY,
)
IDENTITY_CHANGES = Counter("raccord_identity_changes", "Changes of customers", ["change"], registry=REGISTRY)
FORWARDED = Counter(
    "raccord_forwarded", "Messages passed on to where their component has gone", registry=REGISTRY
)
UNIONS_REFUSED = Counter(
    "raccord_unions_refused", "Unions refused because the component would be too large", registry=REGISTRY
)
LINKS_REFUSED = Counter(
    "raccord_links_refused",
    "Links that join nothing: a limit is reached, or an operator denies it",
    ["reason", "namespace"],
    registry=REGISTRY,
)
SHARED_IDENTIFIERS = Counter(
    "raccord_shared_identifiers",
    "Identifiers that were found shared by many (quarantined), or no longer are (released)",
    ["namespace", "outcome"],
    registry=REGISTRY,
)
SEGMENTS = Counter(
    "raccord_segments", "Customers that entered or left a segment", ["segment", "action"], registry=REGISTRY
)
FIGURES = Counter(
    "raccord_figures", "Figures of numbers that were published, changed", ["number"], registry=REGISTRY
)
TRIGGERS = Counter("raccord_triggers", "Trigger decisions", ["rule", "outcome", "reason"], registry=REGISTRY)
SHADOW_DIFFERENCES = Counter(
    "raccord_shadow_differences",
    "Triggers that shadow rules would have sent, or not: see the schema shadow_decision",
    ["rule", "outcome"],
    registry=REGISTRY,
)
EVENT_TO_TRIGGER = Histogram(
    "raccord_event_to_trigger_seconds",
    "From a trigger's due time to its being sent (on-time fires only)",
    ["rule"],
    buckets=_SECONDS,
    registry=REGISTRY,
)

RULE_IN_FORCE = Gauge(
    "raccord_rule_in_force",
    "Always 1; the labels say which version of a rule runs",
    ["rule", "version"],
    registry=REGISTRY,
)
SHADOW_RULE_IN_FORCE = Gauge(
    "raccord_shadow_rule_in_force",
    "Always 1; the labels say which version of a rule runs in the shadow",
    ["rule", "version"],
    registry=REGISTRY,
)
SENDING_POLICY_IN_FORCE = Gauge(
    "raccord_sending_policy_in_force",
    "Always 1; the label says which sending policy runs",
    ["digest"],
    registry=REGISTRY,
)
RULES_RELOADS = Counter(
    "raccord_rules_reloads",
    "Changes of rule files and sending policy: taken, failed",
    ["outcome"],
    registry=REGISTRY,
)
RULES_RELOAD_FAILED = Gauge(
    "raccord_rules_reload_failed",
    "1 while the files of rules and sending policy are not what runs, because they can't be",
    registry=REGISTRY,
)

RECORDS = Counter("raccord_stage_records", "Input records processed", ["stage"], registry=REGISTRY)
HANDLER_SECONDS = Counter(
    "raccord_stage_handler_seconds", "Time spent in a stage's code", ["stage"], registry=REGISTRY
)
EPOCH_SECONDS = Histogram(
    "raccord_epoch_commit_seconds", "Time that committing an epoch took", buckets=_SECONDS, registry=REGISTRY
)
EPOCH_RECORDS = Histogram(
    "raccord_epoch_records",
    "Input records of an epoch",
    buckets=(1, 10, 100, 1_000, 5_000, 20_000, 100_000),
    registry=REGISTRY,
)
CHANGED_ROWS = Counter("raccord_changed_rows", "Rows written to changelogs", registry=REGISTRY)
ABORTED = Counter(
    "raccord_epochs_aborted",
    "Epochs rolled back: handler, delivery, fenced, unknown",
    ["cause"],
    registry=REGISTRY,
)
EXPIRED = Counter(
    "raccord_expired_records",
    "Input records that retention deleted before they were read",
    ["topic"],
    registry=REGISTRY,
)
LAG = Gauge("raccord_lag_records", "Input records not read yet", ["topic", "partition"], registry=REGISTRY)
WATERMARK = Gauge(
    "raccord_watermark_seconds",
    "Watermark of an input partition, seconds since the epoch",
    ["stage", "topic", "partition"],
    registry=REGISTRY,
)
READ = Gauge(
    "raccord_partition_read",
    "1: this worker reads this input partition; there while, and only while, it does",
    ["stage", "topic", "partition"],
    registry=REGISTRY,
)
TASKS = Gauge("raccord_tasks", "Input partitions that this worker processes", ["stage"], registry=REGISTRY)
RESTORE_RATIO = Gauge(
    "raccord_restore_ratio",
    "How much of a store is restored, 0 to 1",
    ["stage", "partition"],
    registry=REGISTRY,
)
RESTORED_ROWS = Gauge(
    "raccord_restored_rows", "Rows applied by the latest restore", ["stage", "partition"], registry=REGISTRY
)
RESTORE_SECONDS = Gauge(
    "raccord_restore_seconds", "Time that the latest restore took", ["stage", "partition"], registry=REGISTRY
)
STANDBY_BEHIND = Gauge(
    "raccord_standby_behind_records",
    "Changelog records that rows kept warm for another worker's partition are behind",
    ["stage", "partition"],
    registry=REGISTRY,
)
STATE_BYTES = Gauge("raccord_state_bytes", "Size of a store", ["stage", "partition"], registry=REGISTRY)
INFO = Gauge("raccord_info", "Always 1; the labels say what runs", ["version", "worker"], registry=REGISTRY)

NUMBERS = {
    number.name: Gauge(
        f"raccord_numbers_{number.name}",
        f"{number.sentence.replace('`', '')} All windows together.",
        [*(["cohort"] if number.window is Window.COHORT else []), *number.dimensions],
        registry=REGISTRY,
    )
    for number in NUMBERS_CATALOGUE
}
"""The numbers by name, see docs/numbers.md: money in units of its currency, time in ms. Fed by `NumbersMetrics`."""
CAMPAIGNS_FOLDED = Gauge(
    "raccord_numbers_campaigns_folded",
    "Campaigns that the numbers of this page have no names for, and count as other",
    registry=REGISTRY,
)

COUNTERS = {
    "events": EVENTS,
    "references": REFERENCES,
    "dead_letters": DEAD_LETTERS,
    "rejected_identifiers": REJECTED_IDENTIFIERS,
    "identity_changes": IDENTITY_CHANGES,
    "segments": SEGMENTS,
    "figures": FIGURES,
    "triggers": TRIGGERS,
    "shadow_differences": SHADOW_DIFFERENCES,
    "forwarded": FORWARDED,
    "unions_refused": UNIONS_REFUSED,
    "links_refused": LINKS_REFUSED,
    "shared_identifiers": SHARED_IDENTIFIERS,
}
"""Counters that stages count in, by the first word of a tally's key."""

_NEVER = -(2**61)
_SIZE_EVERY_S = 10.0


class EngineMetrics(Observer):
    """The engine's figures."""

    def __init__(self) -> None:
        self._sized: dict[str, float] = {}

    def batch(self, task: Task, records: int, seconds: float) -> None:
        """A batch was processed."""
        RECORDS.labels(task.stage.name).inc(records)
        HANDLER_SECONDS.labels(task.stage.name).inc(seconds)

    def committed(self, records: int, changes: int, seconds: float) -> None:
        """An epoch was committed."""
        EPOCH_SECONDS.observe(seconds)
        EPOCH_RECORDS.observe(records)
        CHANGED_ROWS.inc(changes)

    def counted(self, task: Task, now: int | None) -> None:
        """Add what a committed epoch counted: a tally's key is a counter's name and its labels."""
        for (name, *labels), count in task.tally.items():
            counter = COUNTERS[name]
            (counter.labels(*labels) if labels else counter).inc(count)
        if now is not None:
            for rule, due in task.fired:
                EVENT_TO_TRIGGER.labels(rule).observe(max(0, now - due) / 1000)

    def aborted(self, cause: str) -> None:
        """An epoch was rolled back."""
        ABORTED.labels(cause).inc()

    def restoring(self, task: Task, progress: Progress) -> None:
        """Rows of a task are being restored."""
        labels = (task.stage.name, str(task.tp.partition))
        RESTORE_RATIO.labels(*labels).set(progress.done / max(1, progress.total))
        RESTORED_ROWS.labels(*labels).set(progress.rows)

    def ready(self, task: Task, seconds: float) -> None:
        """A task's rows are restored."""
        labels = (task.stage.name, str(task.tp.partition))
        RESTORE_RATIO.labels(*labels).set(1)
        RESTORE_SECONDS.labels(*labels).set(seconds)
        READ.labels(task.stage.name, task.tp.topic, str(task.tp.partition)).set(1)
        TASKS.labels(task.stage.name).inc()

    def expired(self, task: Task, records: int) -> None:
        """Records had been deleted before they were read."""
        EXPIRED.labels(task.tp.topic).inc(records)

    def closed(self, task: Task) -> None:
        """A task was taken away: its gauges must not linger beside the new owner's."""
        for metric, labels in (
            (LAG, (task.tp.topic, str(task.tp.partition))),
            (READ, (task.stage.name, task.tp.topic, str(task.tp.partition))),
            (WATERMARK, (task.stage.name, task.tp.topic, str(task.tp.partition))),
            (STATE_BYTES, (task.stage.name, str(task.tp.partition))),
        ):
            metric.remove(*labels)

    def suspended(self, task: Task) -> None:
        """A ready task stopped reading."""
        TASKS.labels(task.stage.name).dec()

    def standby(self, stage: str, partition: int, behind: int | None) -> None:
        """How far rows that are kept warm are behind; None: they aren't any more."""
        labels = (stage, str(partition))
        if behind is None:
            STANDBY_BEHIND.remove(*labels)
        else:
            STANDBY_BEHIND.labels(*labels).set(behind)

    def lag(self, task: Task, records: int) -> None:
        """How many records of a task's input are still to be read."""
        LAG.labels(task.tp.topic, str(task.tp.partition)).set(records)

    def watermark(self, task: Task, value: int) -> None:
        """Where a task's watermark stands; every now and then also how large its store is."""
        partition = str(task.tp.partition)
        if value > _NEVER:
            WATERMARK.labels(task.stage.name, task.tp.topic, partition).set(value / 1000)
        now = time.monotonic()
        if task.stage.tables and now - self._sized.get(task.id, 0.0) > _SIZE_EVERY_S:
            self._sized[task.id] = now
            STATE_BYTES.labels(task.stage.name, partition).set(task.store.rows.size)


def in_force(live: Iterable[tuple[str, int]], shadow: Iterable[tuple[str, int]], policy: str) -> None:
    """Say which rules (name, version) run, live and in the shadow, and the digest of which sending policy."""
    for metric, rules in ((RULE_IN_FORCE, live), (SHADOW_RULE_IN_FORCE, shadow)):
        metric.clear()
        for rule, number in rules:
            metric.labels(rule, number).set(1)
    SENDING_POLICY_IN_FORCE.clear()
    SENDING_POLICY_IN_FORCE.labels(policy).set(1)


def serve(host: str, port: int, labels: Mapping[str, str]) -> int:
    """Serve the metrics page; return the port. Loopback unless the deployment says otherwise."""
    INFO.labels(**labels).set(1)
    server, _ = start_http_server(port, addr=host, registry=REGISTRY)
    return int(server.server_port)
