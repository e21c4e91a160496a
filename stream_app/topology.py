"""The road on one screen: topics, and the stages between them.

    channel.<name>  ->  ingest  ->  identity.lookup  ->  resolve  ->  identity.components  ->  customer  ->  outputs
                                                                                                 |
                                         outputs: numbers  <-  numbers  <-  numbers.increments  <-

`ingest` also reads what operators say (`identity.commands`), and reference data (`reference.<name>`), which go to every
partition of `customer` at once, but for spend, which is no customer's. `resolve` and `customer` also write to each
other's input: that is the resolver protocol (`domain.resolver`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.engine.topics import TopicSpec, log_topic, table_topic
from stream_app.engine.watermark import TimeMode

if TYPE_CHECKING:
    from stream_app.settings import Settings

DAY_MS = 24 * 3600 * 1000
INTERNAL_RETENTION_MS = 2 * DAY_MS
TAKEN = frozenset({"decisions", "shadow"})
"""Names that no rule may have: triggers.<name> is a topic of its own."""
VERSIONS_MS = 35 * DAY_MS
"""How long all versions of a row of reference data are kept: a replay learns from them what a price was when."""
FOREVER_MS = -1
"""Commands are evidence: without them a replay would not arrive at the same customers."""


@dataclass(frozen=True)
class Topics:
    """Every topic's name, with the deployment's prefix."""

    channels: dict[str, str]
    references: dict[str, str]
    commands: str
    lookup: str
    components: str
    dead_letters: str
    timeline: str
    profiles: str
    segments: str
    changes: str
    decisions: str
    shadow: str
    increments: str
    numbers: str
    triggers: dict[str, str]
    changelogs: dict[str, str]

    @classmethod
    def of(cls, settings: Settings, rules: tuple[str, ...]) -> Topics:
        """Name the topics of a deployment with these rules."""
        p = settings.prefix
        return cls(
            channels={name: f"{p}channel.{name}" for name in settings.channels},
            references={name: f"{p}reference.{name}" for name in settings.references},
            commands=f"{p}identity.commands",
            lookup=f"{p}identity.lookup",
            components=f"{p}identity.components",
            dead_letters=f"{p}dead-letters",
            timeline=f"{p}customer.timeline",
            profiles=f"{p}customer.profiles",
            segments=f"{p}customer.segments",
            changes=f"{p}identity.changes",
            decisions=f"{p}triggers.decisions",
            shadow=f"{p}triggers.shadow",
            increments=f"{p}numbers.increments",
            numbers=f"{p}numbers",
            triggers={rule: f"{p}triggers.{rule}" for rule in rules},
            changelogs={
                stage: f"{p}raccord-{stage}-changelog"
                for stage in ("ingest", "resolve", "customer", "numbers")
            },
        )

    @property
    def inputs(self) -> dict[str, str]:
        """What producers write to, and a replay's clock markers go to: channels by name, feeds as reference.<name>."""
        return {**self.channels, **{f"reference.{name}": topic for name, topic in self.references.items()}}

    def specs(self, settings: Settings) -> list[TopicSpec]:
        """Return every topic as it must be."""
        n, size = settings.partitions, settings.topic_max_bytes
        kept = log_topic(settings.retention_days * DAY_MS, size)
        # Live, the broker says when a record came. A replay reads copies: theirs is the time that they came with.
        clock = "LogAppendTime" if settings.time is TimeMode.WALL else "CreateTime"
        dated = {"message.timestamp.type": clock}
        versions = {**table_topic(size), "min.compaction.lag.ms": str(VERSIONS_MS)}
        return [
            *(TopicSpec(t, n, {**kept, **dated}) for t in self.channels.values()),
            *(TopicSpec(t, n, {**versions, **dated}) for t in self.references.values()),
            TopicSpec(self.commands, n, {**log_topic(FOREVER_MS, size), **dated}),
            *(
                TopicSpec(t, n, log_topic(INTERNAL_RETENTION_MS, size, stamped=True))
                for t in (self.lookup, self.components, self.increments)
            ),
            *(
                TopicSpec(t, n, kept)
                for t in (self.dead_letters, self.timeline, self.segments, self.changes, self.decisions)
            ),
            *(TopicSpec(t, n, kept) for t in self.triggers.values()),
            *([TopicSpec(self.shadow, n, kept)] if settings.shadow_rules is not None else []),
            *(
                TopicSpec(t, n, table_topic(size))
                for t in (self.profiles, self.numbers, *self.changelogs.values())
            ),
        ]

    def partitions(self, settings: Settings) -> dict[str, int]:
        """Return topic -> number of partitions."""
        return {spec.name: spec.partitions for spec in self.specs(settings)}
