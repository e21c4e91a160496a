"""The real road - ingest, resolve, customer with rules and segments - over small worlds of shoppers.

What must come of a world, however its workers were disturbed:
- each event is whose it is by `domain.offline`, a computation over all of them at once;
- timelines, profiles and net triggers are those of an undisturbed run over the same records;
- the books balance (`runs.audit`): nothing is lost, and nothing is there twice.

What may differ is *when* somebody came to know something (see `tests/chaos/test_pipeline_chaos.py`): a trigger that
only one run sent is no difference if the other held it back as `past`.

Eight seeds have the same world, so that its undisturbed run is made once.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from faust.types import TP

import schemas
from stream_app.agents.dead_letters import DeadLetters
from stream_app.agents.in_force import InForce, Written
from stream_app.app import VERSION, _stages, _terms, _topics, load_policy, load_segments
from stream_app.domain.commands import Command
from stream_app.domain.event import ChannelEvent
from stream_app.domain.identifiers import Identifier, to_event
from stream_app.domain.keys import label_key
from stream_app.domain.offline import who_is_who
from stream_app.domain.rules import RuleBook, SendingPolicy, load_rule
from stream_app.engine.codec import WATERMARK_HEADER, encode_marker
from stream_app.engine.watermark import TimeMode
from stream_app.runs.audit import Auditor, Books, _Schemas
from stream_app.settings import NO_POLICY, Settings
from stream_app.wire import OutputReader, encode_command, encode_single_object
from tests.simulation.job import Input, Job
from tests.simulation.rows import differing, visible
from tests.simulation.shoppers import CHANNELS, MINUTE, START, Said, life
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stream_app.domain.segments import SegmentBook
    from tests.simulation.job import Rows
    from tests.simulation.transactions import Broker

PARTITIONS = 2
SEEDS_A_WORLD = 8
END_MINUTE = 60 * 60
NUDGE = """
name: nudge
version: 1
description: Somebody looked at something and did not buy for half an hour.
purpose: marketing
channel: [email]
opens: {event: Product Viewed}
closes: {event: Order Completed}
after: 30m
retract_within: 24h
"""


class Deployment:
    """What does not change from seed to seed: settings, rules, stages. Nothing in it remembers a run's events."""

    def __init__(
        self,
        mode: TimeMode = TimeMode.EVENTS,
        rules: Sequence[str] | None = None,
        segments: SegmentBook | None = None,
    ) -> None:
        """Take rules and segments other than the usual ones, or a live clock."""
        self.settings = Settings(
            channels=CHANNELS,
            references=(),
            partitions=PARTITIONS,
            sending_policy=NO_POLICY,
            time=mode,
            prefix="",
        )
        settings = self.settings
        self.policy = load_policy(settings)
        # What `at_most` allows depends on what was sent before, and so on when.
        cart = re.sub(
            r"^at_most:.*\n", "", schemas.read_text("rules/abandoned_cart.yaml"), flags=re.MULTILINE
        )
        texts = (cart, NUDGE) if rules is None else rules
        segments = load_segments(settings) if segments is None else segments
        loaded = [load_rule(text, "a rule of the simulation") for text in texts]
        book = RuleBook(loaded, SendingPolicy(), segments=segments)
        self.topics = _topics(settings, book)
        in_force = InForce(_terms(settings, Written(book, None), self.topics))
        self.stages = _stages(settings, in_force, self.policy, segments)
        self.partitions = self.topics.partitions(settings)
        self.dispatcher = DeadLetters(self.topics.dead_letters, VERSION)
        self.key = settings.customer_key.get_secret_value().encode()
        self.schemas = _Schemas()
        self.reader = OutputReader()
        tables = {spec.name: spec for stage in self.stages for spec in stage.tables}
        self._identifiers, self._components = tables["identifiers"], tables["components"]
        self._sightings = tables["sightings"]

    def evidence(self, rows: Mapping[str, Rows]) -> dict[bytes, tuple[int, int, int]]:
        """Return which identifiers were seen together: since when, until when, how often."""
        spec, found = self._sightings, {}
        for task, stored in rows.items():
            for key, raw in stored.items() if task.startswith(self.topics.components) else ():
                if key.startswith(spec.prefix):
                    row = spec.decode(raw)
                    found[key] = (row.first, row.last, row.count)
        return found

    def pointing_nowhere(self, rows: Mapping[str, Rows]) -> list[str]:
        """Say which identifiers' rows still name a component that has joined another: REPOINT comes to all of them."""
        labels: set[str] = set()
        gone: dict[bytes, str] = {}
        for task, stored in rows.items():
            spec = self._identifiers if task.startswith(self.topics.lookup) else self._components
            for key, raw in stored.items():
                if not key.startswith(spec.prefix):
                    continue
                if spec is self._identifiers:
                    labels.add(spec.decode(raw).label)
                elif spec.decode(raw).redirect:
                    gone[key[len(spec.prefix) :]] = spec.decode(raw).redirect
        left = sorted(label for label in labels if label_key(label) in gone)
        return [f"rows of identifiers were not repointed: {left}"] if left else []


@lru_cache(maxsize=1)
def deployment() -> Deployment:
    """Return the one deployment, made when it is first asked for."""
    return Deployment()


@dataclass
class Outcome:
    """What the topics say, without anything that depends on when workers ran."""

    owner: dict[str, str]
    timeline: dict[str, set[str]]
    profiles: dict[str, Any]
    net: set[str]
    held_back: dict[str, set[str]]
    dead: dict[str, int]
    evidence: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    books: Books = field(default_factory=Books)


def job(seed: int) -> Job:
    """Return the job with the world of a seed."""
    world = seed // SEEDS_A_WORLD
    return _job(world, lambda: undisturbed(world))


def _job(world: int, calmly: Callable[[], Outcome] | None, keep: list[Outcome] | None = None) -> Job:
    """Return a world's job, to be held against an undisturbed outcome if there is one; `keep` takes its own."""
    one = deployment()
    said = life(random.Random(f"shoppers {world}"))
    inputs = _inputs(one, said, random.Random(f"partitions {world}"))

    def problems(broker: Broker, rows: Mapping[str, Rows]) -> list[str]:
        found = outcome(one, broker, rows)
        if keep is not None:
            keep.append(found)
        problems = differing("owners by the rules", found.owner, _owners(one, said))
        books = found.books
        if not books.balanced:
            problems.append(f"the books: {books.lost} lost, {books.doubled} doubled of {books.read.total()}")
        problems += one.pointing_nowhere(rows)
        return problems if calmly is None else problems + _beside(found, calmly())

    return Job(
        one.stages,
        one.partitions,
        one.dispatcher,
        inputs,
        problems,
        max_ahead_ms=0,
        upsets=0.1,
        unruly=(200, 400, 800),
    )


def _beside(found: Outcome, calm: Outcome) -> list[str]:
    """Say where an outcome is another one than the undisturbed run's."""
    problems = differing("owners", found.owner, calm.owner)
    problems += differing("timelines", found.timeline, calm.timeline)
    problems += differing("profiles", found.profiles, calm.profiles)
    problems += differing("dead letters", found.dead, calm.dead)
    problems += differing("evidence", found.evidence, calm.evidence)
    for trigger in sorted(found.net - calm.net):
        if "past" not in calm.held_back.get(trigger, ()):
            problems.append(f"trigger {trigger} is sent, and was not undisturbed")
    for trigger in sorted(calm.net - found.net):
        if "past" not in found.held_back.get(trigger, ()):
            problems.append(f"trigger {trigger} is not sent, and was undisturbed")
    return problems


@lru_cache(maxsize=4)
def undisturbed(world: int) -> Outcome:
    """Return what comes of a world when nothing goes wrong."""
    kept: list[Outcome] = []
    alone = World(_job(world, None, kept), seed=0)
    alone.unruly, alone.violence = 0, 0.0
    alone.run()
    return kept[0]


def _inputs(one: Deployment, said: list[Said], rnd: random.Random) -> list[Input]:
    inputs: list[Input] = []
    for number, (minute, channel, what) in enumerate(said):
        at, key = START + minute * MINUTE, b"%d" % number
        if isinstance(what, ChannelEvent):
            topic, value = one.topics.channels[channel], encode_single_object(what)
        else:
            topic, value = one.topics.commands, encode_command(what)
        inputs.append(Input(TP(topic, rnd.randrange(PARTITIONS)), key, value, (), at))
    end = START + END_MINUTE * MINUTE
    for topic in one.topics.inputs.values():
        for partition in range(PARTITIONS):
            mark = ((WATERMARK_HEADER, b"1"),)
            inputs.append(Input(TP(topic, partition), None, encode_marker(end), mark, end))
    return inputs


def _owners(one: Deployment, said: list[Said]) -> dict[str, str]:
    """Return whose each event is, by a computation over all of them at once."""
    identifier = Identifier(one.policy)
    events, commands = [], []
    for number, (minute, channel, what) in enumerate(said):
        if isinstance(what, ChannelEvent):
            names, _ = identifier.identify(what)
            events.append(to_event(what, names, START + minute * MINUTE, f"channel.{channel}/0/{number}"))
        else:
            named = identifier.named(what.named)
            commands.append(
                Command(what.command_id, what.op, named, what.time, what.operator, what.reason, "")
            )
    owner = who_is_who(one.policy, events, one.key, commands)
    return {event_id: customer for event_id, customer in owner.items() if customer}


class _Auditor(Auditor):
    """The auditor, reading the simulated topics. What it takes for time is the order of writing."""

    def __init__(self, broker: Broker, one: Deployment) -> None:
        self._broker = broker
        self._schemas = one.schemas

    def read(self, topic: str) -> Iterator[Any]:
        for partition in range(self._broker.partitions[topic]):
            for record in self._broker.logs[TP(topic, partition)].committed():
                yield SimpleNamespace(
                    topic=topic,
                    partition=partition,
                    offset=record.offset,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    timestamp=record.sequence,
                )


def outcome(one: Deployment, broker: Broker, rows: Mapping[str, Rows]) -> Outcome:
    """Read what has come of a run."""
    topics = one.topics
    books = _Auditor(broker, one).audit(
        topics.channels,
        timeline=topics.timeline,
        profiles=topics.profiles,
        dead_letters=topics.dead_letters,
        decisions=topics.decisions,
        triggers=topics.triggers,
    )
    timeline: defaultdict[str, set[str]] = defaultdict(set)
    for event_id, customer in books.owner.items():
        timeline[customer].add(event_id)
    latest = {record.key: record.value for record in visible(broker, topics.profiles)}
    profiles = {
        key.decode(): one.reader.read(raw)[1] for key, raw in latest.items() if key and raw is not None
    }
    held: defaultdict[str, set[str]] = defaultdict(set)
    for record in visible(broker, topics.decisions):
        decision = one.reader.read(record.value or b"")[1]
        if decision["outcome"] == "held_back":
            held[decision["trigger_id"]].add(decision["reason"])
    return Outcome(
        books.owner,
        dict(timeline),
        profiles,
        set(books.net),
        dict(held),
        dict(books.dead_letters),
        one.evidence(rows),
        books,
    )
