"""The books, kept by somebody else: reads the topics with kafka-python and shares no code with the workers.

    read = applied + duplicate + dead-lettered + dropped by policy

- *read*: records in the channel topics, clock markers apart.
- *dead-lettered*: each dead letter names topic, partition and offset of one of them.
- *applied*: the rest, by event id, must be the events of `customer.timeline`, each with one customer.
- *dropped by policy*: those of them that are on no timeline any more, or never were: the last word is "remove".
- *duplicate*: further records with the event id of an applied one.
- *lost*: an event that is in none of these. *Doubled*: an event, or a message of a trigger, that is there twice.

What the timelines say of orders and money is added up, too (`takings`): the published figures are held against it.
"""

from __future__ import annotations

import io
import json
import struct
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import fastavro
import fastavro.schema
from kafka import KafkaConsumer, TopicPartition

import schemas
from stream_app.runs.takings import Entry, Takings, entry_of, takings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Where = tuple[str, int, int]

_SINGLE_OBJECT = b"\xc3\x01"
_MARKER = "raccord-watermark"
_MARKER_BYTES = 8


@dataclass
class Books:
    """What the topics say.

    Attributes:
        read: channel -> records.
        applied: channel -> events on the timeline.
        duplicates: channel -> further copies of them.
        dead_letters: reason -> records.
        dropped: events that are nobody's: erased, or all that they named is blocked.
        lost: events that were accepted nowhere and refused nowhere.
        doubled: events or trigger messages that are there twice.
        customers: live profiles.
        owner: event id -> customer id.
        fired: rule -> fires.
        retracted: rule -> retractions.
        net: trigger ids whose last word is a fire.
        held_back: (rule, reason) -> decisions.
        takings: what the orders on the timelines come to.
    """

    read: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    dead_by_channel: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    lost: int = 0
    doubled: int = 0
    customers: int = 0
    owner: dict[str, str] = field(default_factory=dict)
    fired: Counter[str] = field(default_factory=Counter)
    retracted: Counter[str] = field(default_factory=Counter)
    net: dict[str, dict[str, Any]] = field(default_factory=dict)
    held_back: Counter[tuple[str, str]] = field(default_factory=Counter)
    takings: Takings = field(default_factory=Takings)

    @property
    def balanced(self) -> bool:
        """Whether every record that was read is accounted for, once."""
        read = sum(self.read.values())
        accounted = (
            sum(self.applied.values())
            + sum(self.duplicates.values())
            + sum(self.dead_by_channel.values())
            + self.dropped
        )
        return read == accounted and not self.lost and not self.doubled


class Auditor:
    """Reads a deployment's topics to their ends and adds them up."""

    def __init__(self, bootstrap_servers: str, progress: Callable[[str, int], None] | None = None) -> None:
        self._bootstrap = bootstrap_servers.split(",")
        self._progress = progress
        self._schemas = _Schemas()

    def audit(
        self,
        channels: Mapping[str, str],
        *,
        timeline: str,
        profiles: str,
        dead_letters: str,
        decisions: str,
        triggers: Mapping[str, str],
    ) -> Books:
        """Read everything and return the books. `channels` and `triggers` map names to topics."""
        books = Books()
        refused = self._dead_letters(books, dead_letters, {topic: name for name, topic in channels.items()})
        events = self._inputs(books, channels, refused)
        self._timeline(books, timeline, events)
        books.customers = self._profiles(profiles)
        for rule, topic in triggers.items():
            self._triggers(books, rule, topic)
        for record in self.read(decisions):
            decision = self._schemas.decode(record.value)
            if decision["outcome"] == "held_back":
                books.held_back[decision["rule"], decision["reason"]] += 1
        return books

    def read(self, topic: str) -> Iterator[Any]:
        """Yield a topic's committed records (kafka-python's `ConsumerRecord`), to its end as it is now."""
        consumer = KafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=16 * 1024 * 1024,
            fetch_max_bytes=64 * 1024 * 1024,
            max_poll_records=5_000,
        )
        try:
            partitions = [
                TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())
            ]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            consumer.seek_to_beginning(*partitions)
            count = 0
            while any(consumer.position(tp) < ends[tp] for tp in partitions):
                for records in consumer.poll(timeout_ms=500).values():
                    count += len(records)
                    yield from records
                if self._progress is not None:
                    self._progress(topic, count)
        finally:
            consumer.close()

    def _dead_letters(self, books: Books, topic: str, channel_of: Mapping[str, str]) -> set[Where]:
        refused: set[Where] = set()
        for record in self.read(topic):
            headers = {name: value or b"" for name, value in record.headers}
            where = (
                headers["raccord-topic"].decode(),
                int(headers["raccord-partition"]),
                int(headers["raccord-offset"]),
            )
            books.dead_letters[headers["raccord-reason"].decode()] += 1
            if where in refused:
                books.doubled += 1
            elif where[0] in channel_of:
                books.dead_by_channel[channel_of[where[0]]] += 1
            refused.add(where)
        return refused

    def _inputs(self, books: Books, channels: Mapping[str, str], refused: set[Where]) -> dict[str, str]:
        """Count the channels' records; return event id -> channel of those that were not refused."""
        events: dict[str, str] = {}
        for channel, topic in channels.items():
            for record in self.read(topic):
                if len(record.value or b"") == _MARKER_BYTES and any(
                    name == _MARKER for name, _ in record.headers
                ):
                    continue
                books.read[channel] += 1
                if (record.topic, record.partition, record.offset) in refused:
                    continue
                event_id = self._schemas.event_id(record.value, record.headers)
                if event_id in events:
                    books.duplicates[channel] += 1
                else:
                    events[event_id] = channel
        return events

    def _timeline(self, books: Books, topic: str, events: Mapping[str, str]) -> None:
        latest: dict[str, tuple[int, str]] = {}
        seen: set[tuple[str, int]] = set()
        said: dict[str, Entry] = {}
        for record in self.read(topic):
            row = self._schemas.decode(record.value)
            event_id, revision = row["event"]["event_id"], row["revision"]
            if (event_id, revision) in seen:
                books.doubled += 1
            seen.add((event_id, revision))
            if event_id not in latest or revision > latest[event_id][0]:
                latest[event_id] = (revision, row["customer_id"] if row["operation"] == "upsert" else "")
                entry = entry_of(row["event"])
                if entry is not None:
                    said[event_id] = entry
                else:
                    said.pop(event_id, None)  # its content has changed
        books.takings = _takings(said.values(), {one: owner for one, (_, owner) in latest.items()})
        books.owner = {event_id: customer for event_id, (_, customer) in latest.items()}
        for event_id, channel in events.items():
            if event_id in latest and not latest[event_id][1]:
                books.dropped += 1
                del books.owner[event_id]
            elif event_id in latest:
                books.applied[channel] += 1
            else:
                books.lost += 1
        books.doubled += sum(1 for event_id in latest if event_id not in events)  # from nowhere

    def _profiles(self, topic: str) -> int:
        live: dict[bytes, bool] = {}
        for record in self.read(topic):
            live[record.key] = record.value is not None
        return sum(live.values())

    def _triggers(self, books: Books, rule: str, topic: str) -> None:
        words: dict[str, list[str]] = defaultdict(list)
        last: dict[str, dict[str, Any]] = {}
        # Messages have their customer's key, and a merge changes it: those of one id may lie in two partitions,
        # which are read in any order. Their timestamps tell which was first; the sort keeps a partition's order.
        for record in sorted(self.read(topic), key=lambda record: record.timestamp):
            message = self._schemas.decode(record.value)
            words[message["trigger_id"]].append(message["action"])
            last[message["trigger_id"]] = message
        for trigger_id, actions in words.items():
            books.fired[rule] += actions.count("fire")
            books.retracted[rule] += actions.count("retract")
            # The messages of one id alternate, beginning with a fire; anything else reaches somebody twice.
            books.doubled += sum(
                1 for place, action in enumerate(actions) if action != ("fire", "retract")[place % 2]
            )
            if actions[-1] == "fire":
                books.net[trigger_id] = last[trigger_id]


def _takings(said: Iterable[Entry], owner: Mapping[str, str]) -> Takings:
    """Return what orders come to, each with the customer whose timeline it is on; what is nobody's is not counted."""
    customers: dict[str, list[Entry]] = defaultdict(list)
    for entry in said:
        customers[owner[entry.event_id]].append(entry)
    customers.pop("", None)
    return takings(customers.values())


class _Schemas:
    """Decodes Avro single-object encoding and finds event ids, apart from `stream_app.wire`."""

    def __init__(self) -> None:
        self._by_mark: dict[bytes, Any] = {}
        for name in schemas.files("avro", ".avsc"):
            raw = json.loads(schemas.read_text(name))
            plain = _without_logical_types(raw)
            form = fastavro.schema.to_parsing_canonical_form(raw)
            fingerprint = int(fastavro.schema.fingerprint(form, "CRC-64-AVRO"), 16)
            self._by_mark[_SINGLE_OBJECT + struct.pack(">Q", fingerprint)] = fastavro.parse_schema(plain)

    def decode(self, value: bytes) -> Any:
        """Decode a value in single-object encoding."""
        return fastavro.schemaless_reader(io.BytesIO(value[10:]), self._by_mark[value[:10]], None)

    def event_id(self, value: bytes, headers: Iterable[tuple[str, bytes]]) -> str:
        """Return the id of an event in any of the formats."""
        if value[:2] == _SINGLE_OBJECT:
            return str(self.decode(value)["event_id"])
        named = dict(headers)
        if "ce_id" in named:
            return named["ce_id"].decode()
        return str(json.loads(value)["id"])


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_without_logical_types(value) for value in node]
    return node
