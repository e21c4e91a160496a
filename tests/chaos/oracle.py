"""What a deployment must have come to, read from its input topics alone, and what it has come to.

Nothing of the pipeline is used to say what must be, but normalising identifiers, reading the policy, and evaluating a
rule's condition. Everything else is done once more, by other means: records are decoded with fastavro and `json`,
copies dropped, components found by a union-find over all identifiers, each component partitioned by brute force
(`tests/property/identity_oracle.py`), timelines sorted, profiles folded (`profile_oracle.py`), rules folded
(`rules_oracle.py`). What was found comes from a `read_committed` reader (kafka-python, see `runs.audit`), and from the
rows of the stores.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream_app.app import with_prefixes
from stream_app.domain.event import ChannelEvent, Context, Event, Position
from stream_app.domain.identifiers import Identifier
from stream_app.domain.rows import RESOLVER_TABLES, customer_tables
from stream_app.runs.audit import Auditor
from tests.property import identity_oracle, profile_oracle, rules_oracle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.policy import IdentityPolicy

Where = tuple[str, int, int]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MARKER = "raccord-watermark"
_SHOWN = 5


def digest(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Return what tells one record of an input topic from another."""
    text = repr((value, [(name, bytes(content or b"")) for name, content in headers]))
    return hashlib.sha256(text.encode()).digest()


class Fire(NamedTuple):
    """A trigger that must have a fire as its last word.

    Attributes:
        due: when it is due (ms).
        known: when the last of the events came in that it rests on (ms). One that was sent stands when something late
            moves its due time, as long as that has passed too: so the due time is only sure if all came in before.
        sure: whether it does not depend on when it was found out. What happens to the basket after it was due counts
            for who finds it out late, and for nobody else.
    """

    due: int
    known: int
    sure: bool


@dataclass
class Expected:
    """What must be.

    Attributes:
        read: records in the channels.
        refused: record -> why it must be in the dead letters.
        duplicates: further copies of events.
        events: by id, what stands.
        owner: event id -> customer id.
        profiles: customer id -> the fields of her profile that follow from events.
        fires: by its opening event, each trigger that must have a fire as its last word.
    """

    read: int = 0
    refused: dict[Where, str] = field(default_factory=dict)
    duplicates: int = 0
    events: dict[str, Event] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    fires: dict[str, Fire] = field(default_factory=dict)


class Oracle:
    """Says what must be.

    Args:
        bootstrap: address of the broker.
        policy: the identity policy.
        key: the deployment's secret.
        rule: the one rule, as its file says.
        bad: digest -> reason, of the records that were broken on purpose.
    """

    def __init__(
        self,
        bootstrap: str,
        policy: IdentityPolicy,
        key: bytes,
        rule: Mapping[str, Any] | None,
        bad: Mapping[bytes, str],
    ) -> None:
        self._auditor = Auditor(bootstrap)
        self._policy = policy
        self._key = key
        self._rule = rule
        self._bad = bad
        self._identify = Identifier(policy).identify

    def expect(self, channels: Mapping[str, str], until: int) -> Expected:
        """Read the channels (name -> topic), and say what must have come of them when the clock stood at `until`."""
        found = Expected()
        arrived: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for channel, topic in channels.items():
            for record in self._auditor.read(topic):
                if any(name == MARKER for name, _ in record.headers):
                    continue
                found.read += 1
                where = (record.topic, record.partition, record.offset)
                reason = self._bad.get(digest(record.value, record.headers))
                if reason is not None:
                    found.refused[where] = reason
                    continue
                said = self._decoded(record, channel)
                arrived[said["event_id"]].append(((record.timestamp, *where), said, record))
        for event_id, copies in arrived.items():
            copies.sort(key=lambda one: one[0])
            standing = copies[0][1]
            found.events[event_id] = self._event(standing, copies[0][0])
            for place, said, _ in copies[1:]:
                if said == standing:
                    found.duplicates += 1
                else:
                    found.refused[place[1:]] = "conflict"
        self._who_is_who(found)
        self._judge(found, until)
        return found

    def _decoded(self, record: Any, channel: str) -> dict[str, Any]:
        """Return what an event says, in whichever of the three ways it is written."""
        headers = {name: (value or b"").decode() for name, value in record.headers}
        if record.value[:2] == b"\xc3\x01":
            said = self._auditor._schemas.decode(record.value)
        elif "ce_id" in headers:
            said = self._cloud({name.removeprefix("ce_"): text for name, text in headers.items()},
                               json.loads(record.value))  # fmt: skip
        else:
            document = json.loads(record.value)
            said = self._cloud(document, document["data"])
        wanted = ("event_id", "time", "type", "identifiers")
        return {
            **{name: said[name] for name in wanted},
            "channel": said.get("channel") or channel,
            "properties": said.get("properties") or {},
            "context": said.get("context"),
        }

    @staticmethod
    def _cloud(attributes: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
        moment = datetime.fromisoformat(attributes["time"])
        time = (moment - EPOCH) // timedelta(milliseconds=1)
        return {**data, "event_id": attributes["id"], "type": attributes["type"], "time": time}

    def _event(self, said: Mapping[str, Any], arrival: tuple[int, str, int, int]) -> Event:
        plain = ChannelEvent(said["event_id"], said["time"], "", "", said["identifiers"], {})
        received, *source = arrival
        return Event(
            said["event_id"],
            said["time"],
            said["channel"],
            said["type"],
            self._identify(plain)[0],
            said["properties"],
            received,
            "/".join(map(str, source)),
            _context(said["context"]),
        )

    # -- who is who ------------------------------------------------------------------------------------

    def _who_is_who(self, found: Expected) -> None:
        for component in components(found.events.values()):
            answer = identity_oracle.answer(
                self._policy, [_arrival(event) for event in sorted(component, key=lambda one: one.received)]
            )
            since: dict[str, int] = {}
            for event in component:
                for name in event.identifiers:
                    since[name] = min(event.time, since.get(name, event.time))
            ids = {customer: self._id(customer, since) for customer in answer.customers}
            of: defaultdict[str, list[Event]] = defaultdict(list)
            for event in component:
                customer = answer.owner[event.event_id]
                if customer is not None:
                    found.owner[event.event_id] = ids[customer]
                    of[ids[customer]].append(event)
            for customer, name in ids.items():
                events = sorted(of.get(name, ()), key=lambda event: (event.time, event.event_id))
                if events:
                    found.profiles[name] = profile_oracle.published(events, sorted(customer), [])

    def _id(self, customer: frozenset[str], since: Mapping[str, int]) -> str:
        """Return the keyed hash of the first identifier, "by (priority, first event time, value)"."""
        first = min(customer, key=lambda name: (self._policy.priority(name), since[name], name))
        return hmac.new(self._key, first.encode(), "sha256").hexdigest()[:32]

    # -- triggers --------------------------------------------------------------------------------------

    def _judge(self, found: Expected, until: int) -> None:
        rule = self._rule
        if rule is None:
            return
        timelines: defaultdict[str, list[Event]] = defaultdict(list)
        for event_id, customer in found.owner.items():
            timelines[customer].append(found.events[event_id])
        opening = rule["opens"]["event"]
        for events in timelines.values():
            if not any(event.type == opening for event in events):
                continue
            events.sort(key=lambda event: (event.time, event.event_id))
            told = rules_oracle.answer([dict(rule)], [_arrival(event) for event in events], _text(until))
            for message in told.net:
                opened, due = message.firing.opened, message.due
                cart = opened.properties.get("cart_id")
                later = any(event.time > due and event.properties.get("cart_id") == cart for event in events)
                known = max(event.received for event in events if event.time <= due)
                found.fires[opened.event_id] = Fire(due, known, sure=not later)


def components(events: Iterable[Event]) -> list[list[Event]]:
    """Return the events in groups that are connected by identifiers, directly or through others."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    kept = list(events)
    for event in kept:
        for other in event.identifiers[1:]:
            parent[find(other)] = find(event.identifiers[0])
    groups: defaultdict[str, list[Event]] = defaultdict(list)
    for event in kept:
        groups[find(event.identifiers[0])].append(event)
    return list(groups.values())


def _text(time: int) -> str:
    return (EPOCH + timedelta(milliseconds=time)).isoformat()


def _arrival(event: Event) -> dict[str, Any]:
    """Return an event as the oracles read it."""
    identifiers: defaultdict[str, list[str]] = defaultdict(list)
    for name in event.identifiers:
        namespace, _, value = name.partition(":")
        identifiers[namespace].append(value)
    return {
        "event_id": event.event_id,
        "time": _text(event.time),
        "channel": event.channel,
        "type": event.type,
        "identifiers": dict(identifiers),
        "properties": event.properties,
    }


def _context(said: Mapping[str, Any] | None) -> Context | None:
    if not said:
        return None
    position = said.get("position")
    place = None if position is None else Position(
        position["latitude"], position["longitude"], position.get("accuracy_m")
    )  # fmt: skip
    return Context(said.get("locale"), said.get("timezone"), place, said.get("consent"))


# -- what has come ---------------------------------------------------------------------------------------


@dataclass
class Found:
    """What a `read_committed` reader has seen of the output topics, from their beginning to their end.

    Attributes:
        refused: record -> the reasons for which it is in the dead letters, each time.
        moves: event id -> (revision, customer id or "", the customer before), as they were read.
        profiles: customer id -> the latest record.
        words: trigger id -> (action, opening event, due time), in the order of sending.
    """

    refused: defaultdict[Where, list[str]] = field(default_factory=lambda: defaultdict(list))
    moves: defaultdict[str, list[tuple[int, str, str | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    words: defaultdict[str, list[tuple[str, str, int]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def owner(self) -> dict[str, str]:
        """Event id -> customer id, by the highest revision."""
        latest = {event_id: max(moves)[1] for event_id, moves in self.moves.items()}
        return {event_id: customer for event_id, customer in latest.items() if customer}

    @property
    def fires(self) -> dict[str, int]:
        """Opening event -> due time, of the triggers whose last word is a fire."""
        return dict(words[-1][1:] for words in self.words.values() if words[-1][0] == "fire")


def look(
    bootstrap: str, *, timeline: str, profiles: str, dead_letters: str, triggers: Iterable[str]
) -> Found:
    """Read the output topics."""
    auditor, found = Auditor(bootstrap), Found()
    decode = auditor._schemas.decode
    for record in auditor.read(dead_letters):
        said = {name: (value or b"").decode() for name, value in record.headers}
        where = (said["raccord-topic"], int(said["raccord-partition"]), int(said["raccord-offset"]))
        found.refused[where].append(said["raccord-reason"])
    for record in auditor.read(timeline):
        row = decode(record.value)
        customer = row["customer_id"] if row["operation"] == "upsert" else ""
        move = (row["revision"], customer, row["previous_customer_id"])
        found.moves[row["event"]["event_id"]].append(move)
    latest = {record.key.decode(): record.value for record in auditor.read(profiles)}
    found.profiles = {name: decode(value) for name, value in latest.items() if value is not None}
    for topic in triggers:
        for record in sorted(auditor.read(topic), key=lambda record: record.timestamp):
            said = decode(record.value)
            found.words[said["trigger_id"]].append((said["action"], said["opened_by"], said["due"]))
    return found


# -- differences -----------------------------------------------------------------------------------------


def differences(wanted: Expected, found: Found) -> list[str]:
    """Say in what the topics differ from what must be; nothing: in nothing."""
    told = [*_of_the_reader(found)]
    refused = {where: reasons[0] for where, reasons in found.refused.items()}
    told += _apart("dead letters", wanted.refused, refused)
    told += _apart("whose events are", wanted.owner, found.owner)
    told += _apart_profiles(wanted.profiles, found.profiles)
    fires = found.fires
    missing = {opening for opening, fire in wanted.fires.items() if fire.sure} - fires.keys()
    unwanted = fires.keys() - wanted.fires.keys()
    moved = {
        opening
        for opening, fire in wanted.fires.items()
        if opening in fires and fires[opening] != fire.due and fire.known < min(fire.due, fires[opening])
    }
    kinds = ((missing, "are missing"), (unwanted, "stand that should not"), (moved, "have another due time"))
    return [*told, *(f"{len(these)} triggers {how}: {_some(these)}" for these, how in kinds if these)]


def _of_the_reader(found: Found) -> Iterable[str]:
    """Say what no reader may ever have seen."""
    twice = {where for where, reasons in found.refused.items() if len(reasons) > 1}
    if twice:
        yield f"{len(twice)} records are in the dead letters twice: {_some(twice)}"
    again = {
        event_id
        for event_id, moves in found.moves.items()
        if sorted(revision for revision, *_ in moves) != list(range(len(moves)))
    }
    if again:
        yield f"{len(again)} events whose revisions are not 0, 1, 2 and so on: {_some(again)}"
    odd = {
        trigger
        for trigger, words in found.words.items()
        if any(action != ("fire", "retract")[place % 2] for place, (action, *_) in enumerate(words))
    }
    if odd:
        yield f"{len(odd)} triggers whose messages do not alternate, a fire first: {_some(odd)}"
    ids = defaultdict(set)
    for trigger, words in found.words.items():
        for _, opened_by, _ in words:
            ids[opened_by].add(trigger)
    several = {opened_by for opened_by, triggers in ids.items() if len(triggers) > 1}
    if several:
        yield f"{len(several)} opening events have triggers of several ids: {_some(several)}"


NOT_OF_EVENTS = frozenset({"version", "customer_id", "segments"})
"""Fields of a profile that do not follow from its events alone."""


def _apart_profiles(
    wanted: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    told = []
    if wanted.keys() != found.keys():
        apart = wanted.keys() ^ found.keys()
        told.append(f"{len(apart)} customers have a profile and should not, or the other way: {_some(apart)}")
    fields: Counter[str] = Counter()
    for customer in wanted.keys() & found.keys():
        for name, value in wanted[customer].items():
            if name not in NOT_OF_EVENTS and not _same(value, found[customer].get(name)):
                fields[name] += 1
    if fields:
        told.append(f"profiles differ, by field: {dict(fields)}")
    return told


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _apart(what: str, wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> list[str]:
    missing = wanted.keys() - found.keys()
    unwanted = found.keys() - wanted.keys()
    other = {key for key in wanted.keys() & found.keys() if wanted[key] != found[key]}
    return [
        f"{what}: {len(keys)} {how}: {_some(keys)}"
        for keys, how in ((missing, "are missing"), (unwanted, "should not be there"), (other, "are others"))
        if keys
    ]


def _some(keys: Iterable[Any]) -> str:
    ordered = sorted(map(str, keys))
    return ", ".join(ordered[:_SHOWN]) + (", ..." if len(ordered) > _SHOWN else "")


# -- the stores ------------------------------------------------------------------------------------------

POSITION = b"\x01"
"""What begins the keys of rows that say how far a task has read: they go on while nothing happens."""


def owners_in(rows: Mapping[str, Mapping[bytes, bytes]]) -> dict[str, str]:
    """Return event id -> customer id, as the rows of all stores say."""
    prefix = next(spec.prefix for spec in with_prefixes(customer_tables()) if spec.name == "timeline")
    found: dict[str, str] = {}
    for task, content in rows.items():
        if not task.startswith("customer-"):
            continue
        for key, value in content.items():
            if key.startswith(prefix):
                event, customer, _ = msgspec.msgpack.decode(value)
                event_id = msgspec.msgpack.decode(event)[0]
                found[event_id] = "twice" if event_id in found else customer
    return found


def misled(rows: Mapping[str, Mapping[bytes, bytes]]) -> set[str]:
    """Return the identifiers whose rows still lead to a component that has joined another: REPOINT is to heal that.

    An identifier is known by its label here, as in the rows.
    """
    prefixes = {
        spec.name: spec.prefix
        for spec in (*with_prefixes(customer_tables()), *with_prefixes(RESOLVER_TABLES))
    }
    gone, leads = set(), {}
    for task, content in rows.items():
        for key, value in content.items():
            if task.startswith("customer-") and key.startswith(prefixes["components"]):
                redirect = msgspec.msgpack.decode(value)[0]
                if redirect:
                    gone.add(key[3:].decode())  # the prefix, and two bytes of length
            elif task.startswith("resolve-") and key.startswith(prefixes["identifiers"]):
                leads[key[1:].decode()] = msgspec.msgpack.decode(value)[0]
    return {name for name, label in leads.items() if label in gone}


def differences_of_rows(
    wanted: Expected,
    before: Mapping[str, Mapping[bytes, bytes]],
    after: Mapping[str, Mapping[bytes, bytes]],
) -> list[str]:
    """Say in what live rows differ from what must be, and rebuilt ones from those."""
    told = [
        line
        for name, rows in (("live state", before), ("rebuilt state", after))
        for line in _apart(f"{name}: whose events are", wanted.owner, owners_in(rows))
    ]
    lost = misled(before)
    if lost:
        told.append(f"live state: {len(lost)} identifiers lead to components that have joined others")
    for task in sorted(before.keys() | after.keys()):
        one, other = before.get(task, {}), after.get(task, {})
        keys = [
            key
            for key in one.keys() | other.keys()
            if one.get(key) != other.get(key) and not key.startswith(POSITION)
        ]
        if keys:
            gone, new = sum(key not in other for key in keys), sum(key not in one for key in keys)
            told.append(
                f"rebuilt state: {len(keys)} rows of {task} differ (of {len(one)} there were, {len(other)} there are; "
                f"{gone} are missing, {new} are new): {_some(keys)}"
            )
    return told
