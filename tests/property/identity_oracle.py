"""An oracle of who is who: the design's IDENTITY read once more, by brute force.

It shares nothing with the code it judges but the policy and normalising. Every step quotes the sentence that
it implements; nothing is kept between steps that could be computed again, and nothing is fast.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stream_app.domain.event import ChannelEvent
from stream_app.domain.identifiers import Identifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_app.domain.policy import IdentityPolicy

Customer = frozenset[str]
Pair = frozenset[str]
Strength = tuple[int, str]


@dataclass
class Answer:
    """Who is who, and whose each event is.

    Attributes:
        customers: sets of identifiers, "namespace:value".
        owner: event id -> the customer it belongs to; None where it is erased or no identifier is left.
        refused: links that don't count: (weaker end, stronger end).
        quarantined: shared identifiers.
    """

    customers: frozenset[Customer]
    owner: dict[str, Customer | None]
    refused: set[tuple[str, str]]
    quarantined: set[str]


def answer(policy: IdentityPolicy, arrivals: Sequence[Mapping[str, Any]]) -> Answer:
    """Say who is who after these events and operator commands (the format of a case), in order of arrival."""
    arrived = _Arrived(policy)
    for arrival in arrivals:
        arrived.take(arrival)
    known = _who_is_who(policy, arrived.evidence)
    known.owner = dict.fromkeys(arrived.named) | known.owner
    return known


@dataclass(frozen=True)
class _Event:
    """What identity knows of an event; `identifiers` are those that are left of it, perhaps none."""

    event_id: str
    time: int
    identifiers: frozenset[str]

    def without(self, identifiers: Iterable[str]) -> _Event:
        return replace(self, identifiers=self.identifiers.difference(identifiers))


@dataclass(frozen=True)
class _Verdict:
    """An operator's word on a pair: assert, deny or withdraw."""

    op: str
    time: int
    pair: Pair


@dataclass(frozen=True)
class _Control:
    """An operator's word on one identifier: block or release."""

    op: str
    time: int
    identifier: str


@dataclass
class _Evidence:
    """All that the answer depends on: three heaps without order."""

    events: list[_Event] = field(default_factory=list)
    verdicts: list[_Verdict] = field(default_factory=list)
    controls: list[_Control] = field(default_factory=list)

    def until(self, time: int) -> _Evidence:
        """Return "the evidence up to the command's time"; commands "are evidence too"."""
        return _Evidence(
            [event for event in self.events if event.time <= time],
            [verdict for verdict in self.verdicts if verdict.time <= time],
            [control for control in self.controls if control.time <= time],
        )


class _Arrived:
    """Turns arrivals into evidence: the one class in which the order of arrival counts."""

    def __init__(self, policy: IdentityPolicy) -> None:
        self.evidence = _Evidence()
        self.named: list[str] = []
        self._policy = policy
        self._identify = Identifier(policy).identify
        self._accepted: set[str] = set()
        self._erased: list[tuple[frozenset[str], int]] = []

    def take(self, arrival: Mapping[str, Any]) -> None:
        time = _milliseconds(arrival["time"])
        op = arrival.get("op")
        if op is None:
            self._take_event(arrival, time)
        elif op in ("assert", "deny", "withdraw"):
            self._take_verdict(op, time, arrival["a"], arrival["b"])
        elif op in ("block", "release"):
            self._take_control(op, time, arrival["id"])
        elif op == "erase":
            self._take_erasure(time, arrival["id"])
        else:
            raise ValueError(f"op: no such command: {op}")

    def _take_event(self, arrival: Mapping[str, Any], time: int) -> None:
        """Take the first content under an event id.

        "One event id is one event: a copy is dropped; another content under the same id is a conflict, goes
        to the dead letters, and the first one stands (the one place where arrival counts)."

        What names nobody is refused at the door, so it isn't the content that stands.
        """
        event_id = arrival["event_id"]
        self.named.append(event_id)
        identifiers = self._normalised(arrival["identifiers"])
        if event_id in self._accepted or not identifiers:
            return
        self._accepted.add(event_id)
        self.evidence.events.append(_Event(event_id, time, identifiers - self._gone(time)))

    def _take_verdict(self, op: str, time: int, one: str, other: str) -> None:
        """Take a verdict: "a verdict about a blocked or invalid value is void"; so is one without a pair."""
        first, second = self._normalised_text(one), self._normalised_text(other)
        if first is None or second is None or first == second:
            return
        pair = frozenset((first, second))
        if not pair & self._gone(time):
            self.evidence.verdicts.append(_Verdict(op, time, pair))

    def _take_control(self, op: str, time: int, text: str) -> None:
        identifier = self._normalised_text(text)
        if identifier is not None:
            self.evidence.controls.append(_Control(op, time, identifier))

    def _take_erasure(self, time: int, text: str) -> None:
        """Erase a customer.

        "Erasure acts when it arrives, on the customer as the evidence up to the command's time forms it: its
        events up to then go, its identifiers are cut out of other customers' events up to then, verdicts that
        name them go too; what arrives later from before then loses them (the second place where arrival
        counts)."

        An identifier that no customer holds yet is erased by itself.
        """
        identifier = self._normalised_text(text)
        if identifier is None:
            return
        then = _who_is_who(self._policy, self.evidence.until(time))
        erased = _holder(then.customers, identifier) or frozenset((identifier,))
        self.evidence.events = [
            event
            if event.time > time
            else event.without(event.identifiers if then.owner[event.event_id] == erased else erased)
            for event in self.evidence.events
        ]
        self.evidence.verdicts = [
            verdict for verdict in self.evidence.verdicts if verdict.time > time or not verdict.pair & erased
        ]
        self._erased.append((erased, time))

    def _gone(self, time: int) -> frozenset[str]:
        """Return what erasures took from everything of that time: "what arrives later [...] loses them"."""
        return frozenset(
            identifier for erased, until in self._erased if time <= until for identifier in erased
        )

    def _normalised(self, identifiers: Mapping[str, Any]) -> frozenset[str]:
        """Return "(namespace, value) after normalising"; what is blocked or invalid is left out."""
        event = ChannelEvent("", 0, "", "", dict(identifiers), {})
        return frozenset(self._identify(event)[0])

    def _normalised_text(self, text: str) -> str | None:
        namespace, _, value = text.partition(":")
        return next(iter(self._normalised({namespace: value})), None)


def _milliseconds(text: str) -> int:
    """Return an ISO-8601 time as milliseconds since the Unix epoch; without an offset it is UTC."""
    time = datetime.fromisoformat(text)
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _who_is_who(policy: IdentityPolicy, evidence: _Evidence) -> Answer:
    """Compute the answer: "a partition [...] computed from its evidence by a pure function".

    - `block`: "everything is then as if no event had carried it: the star forms around the strongest that
      remains", and "a verdict about a blocked or invalid value is void".
    - A shared identifier is "quarantined: makes no links, its earlier links stop counting, it is a customer
      of its own"; "stars form around what remains, as if blocked". An assertion that names it joins nothing;
      that "an assertion alone makes its identifiers exist" holds all the same.
    """
    blocked, released = _blocked_and_released(evidence.controls)
    events = [event.without(blocked) for event in evidence.events]
    asserted, denied = _asserted_and_denied(
        [verdict for verdict in evidence.verdicts if not verdict.pair & blocked]
    )
    quarantined = (
        _shared_devices(policy, events, asserted, denied) | _shared_persons(policy, events)
    ) - released
    remaining = [event.without(quarantined) for event in events]
    standing = {pair: time for pair, time in asserted.items() if not pair & quarantined}
    groups, refused = _partition(policy, remaining, standing, denied)
    held = frozenset(quarantined).union(*groups)
    named = frozenset().union(*asserted) - held
    customers = groups | {frozenset((identifier,)) for identifier in quarantined | named}
    owner = {event.event_id: _owner(policy, event, remaining, quarantined, customers) for event in events}
    return Answer(customers, owner, refused, set(quarantined))


def _blocked_and_released(controls: Sequence[_Control]) -> tuple[frozenset[str], frozenset[str]]:
    """Return what is blocked, and what is released: commands are "ordered by their own time".

    The latest of the blocks and releases of an identifier counts; at one instant, block.
    """
    latest = {
        control.identifier: max(
            (other.time, other.op == "block") for other in controls if other.identifier == control.identifier
        )
        for control in controls
    }
    blocked = frozenset(identifier for identifier, (_, is_block) in latest.items() if is_block)
    return blocked, frozenset(latest) - blocked


def _asserted_and_denied(verdicts: Sequence[_Verdict]) -> tuple[dict[Pair, int], frozenset[Pair]]:
    """Return the asserted pairs with their times, and the denied ones.

    "An operator's verdict on a pair is the latest by its own time: assert, deny, or withdrawn (at one
    instant: deny, then withdraw). An asserted link's time is the verdict's."
    """
    weight = {"deny": 2, "withdraw": 1, "assert": 0}
    counts = {
        verdict.pair: max(
            (other for other in verdicts if other.pair == verdict.pair),
            key=lambda other: (other.time, weight[other.op]),
        )
        for verdict in verdicts
    }
    asserted = {pair: verdict.time for pair, verdict in counts.items() if verdict.op == "assert"}
    denied = frozenset(pair for pair, verdict in counts.items() if verdict.op == "deny")
    return asserted, denied


def _shared_devices(
    policy: IdentityPolicy,
    events: Sequence[_Event],
    asserted: Mapping[Pair, int],
    denied: frozenset[Pair],
) -> frozenset[str]:
    """Return the devices that too many persons use.

    "A device identifier seen with more than `shared_after` persons (a kiosk tablet; persons are customers as
    person identifiers alone form them, so one person's e-mail and phone are one)".

    Seen with: carried by one event. Counted on all that isn't blocked, whatever is quarantined.
    """
    if policy.shared_after is None:
        return frozenset()
    of_persons = [replace(event, identifiers=_persons(policy, event.identifiers)) for event in events]
    among_persons = {pair: time for pair, time in asserted.items() if pair == _persons(policy, pair)}
    persons, _ = _partition(policy, of_persons, among_persons, denied)
    shared = set()
    for device in _devices(policy, _carried(events)):
        seen_with = {
            _holder(persons, person)
            for event in events
            if device in event.identifiers
            for person in _persons(policy, event.identifiers)
        }
        if len(seen_with) > policy.shared_after:
            shared.add(device)
    return frozenset(shared)


def _shared_persons(policy: IdentityPolicy, events: Sequence[_Event]) -> frozenset[str]:
    """Return the person identifiers on too many devices: "a person identifier with more than `max_devices`".

    Counted on all that isn't blocked, shared devices included.
    """
    if policy.max_devices is None:
        return frozenset()
    shared = set()
    for person in _persons(policy, _carried(events)):
        carrying = [event for event in events if person in event.identifiers]
        if len(_devices(policy, _carried(carrying))) > policy.max_devices:
            shared.add(person)
    return frozenset(shared)


def _partition(
    policy: IdentityPolicy,
    events: Sequence[_Event],
    asserted: Mapping[Pair, int],
    denied: frozenset[Pair],
) -> tuple[frozenset[Customer], set[tuple[str, str]]]:
    """Return the customers, and the refused links as (weaker end, stronger end).

    "Take them one by one and join the two ends, unless [...]. A refused link is kept and can be explained".
    "An assertion alone makes its identifiers exist, a denial doesn't".
    """
    exist = _carried(events).union(*asserted)
    groups = {frozenset((identifier,)) for identifier in exist}
    refused = set()
    for weaker, stronger in _links_in_order(policy, events, asserted):
        one, other = _holder(groups, weaker), _holder(groups, stronger)
        assert one is not None
        assert other is not None
        if one == other:
            continue
        is_asserted = frozenset((weaker, stronger)) in asserted
        if _parts_a_denied_pair(one | other, denied) or (
            not is_asserted and _exceeds_a_limit(policy, one, other)
        ):
            refused.add((weaker, stronger))
        else:
            groups = (groups - {one, other}) | {one | other}
    return frozenset(groups), refused


def _links_in_order(
    policy: IdentityPolicy, events: Sequence[_Event], asserted: Mapping[Pair, int]
) -> list[tuple[str, str]]:
    """Return the links as (weaker end, stronger end), in the order in which they are taken.

    "Order the links: asserted first; then by the priority of the weaker end, then of the stronger end; then
    by time as the weaker end's namespace says (newest: by last event time, latest first; oldest: by first
    event time, earliest first); then by the identifiers themselves, ascending, weaker end first, so that the
    order is total." "An asserted link's time is the verdict's."
    """
    times = _star_links(policy, events) | {pair: [time] for pair, time in asserted.items()}

    def place(pair: Pair) -> tuple[bool, int, int, int, str, str]:
        weaker, stronger = _ends(policy, pair)
        on_conflict = policy.namespaces[_namespace(weaker)].on_conflict
        time = -max(times[pair]) if on_conflict == "newest" else min(times[pair])
        return (
            pair not in asserted,
            policy.priority(weaker),
            policy.priority(stronger),
            time,
            weaker,
            stronger,
        )

    return [_ends(policy, pair) for pair in sorted(times, key=place)]


def _star_links(policy: IdentityPolicy, events: Sequence[_Event]) -> dict[Pair, list[int]]:
    """Return each evidence link with the times of its events.

    "a link between two identifiers of one event (a star around the event's strongest identifier: smallest by
    priority, then value), with first and last event time".
    """
    times: dict[Pair, list[int]] = {}
    for event in events:
        if event.identifiers:
            strongest = _strongest(policy, event.identifiers)
            for other in event.identifiers - {strongest}:
                times.setdefault(frozenset((strongest, other)), []).append(event.time)
    return times


def _parts_a_denied_pair(joined: Customer, denied: frozenset[Pair]) -> bool:
    """Say whether "the joined customer would hold both ends of a denied pair (directly or through a path)"."""
    return any(pair <= joined for pair in denied)


def _exceeds_a_limit(policy: IdentityPolicy, one: Customer, other: Customer) -> bool:
    """Say whether the joined customer would hold too many values of a namespace.

    "more values of some namespace than its `limit` *and* more than either side holds already (what an
    assertion took over the limit doesn't stop a cookie from joining). Asserted identifiers count as values of
    their own."
    """
    for namespace in policy.namespaces.values():
        if namespace.limit is None:
            continue
        mine = sum(_namespace(identifier) == namespace.name for identifier in one)
        its = sum(_namespace(identifier) == namespace.name for identifier in other)
        if mine + its > namespace.limit and mine + its > max(mine, its):
            return True
    return False


def _owner(
    policy: IdentityPolicy,
    event: _Event,
    remaining: Sequence[_Event],
    quarantined: frozenset[str],
    customers: frozenset[Customer],
) -> Customer | None:
    """Return the customer whose an event is; `remaining` are the events without quarantined identifiers.

    "An event belongs to the customer that holds its strongest identifier. An event with device identifiers
    only belongs, by default, to the person of the most recent login [...], or to whoever holds its strongest
    device now (`device_owner`)."

    Of a shared device: "its device-only events belong to it (an event that also carries a normal device
    belongs by that one)". An event with quarantined identifiers only belongs to the strongest of them.
    """
    if not event.identifiers:
        return None
    left = event.identifiers - quarantined
    if not left:
        return _holder(customers, _strongest(policy, event.identifiers))
    person = None
    if policy.anonymous_events == "last_login" and left == _devices(policy, left):
        person = _person_logged_in(policy, left, event.time, remaining)
    return _holder(customers, person or _strongest(policy, left))


def _person_logged_in(
    policy: IdentityPolicy, devices: frozenset[str], now: int, remaining: Sequence[_Event]
) -> str | None:
    """Return the person whom an anonymous event is taken for; None where nobody ever logged in.

    "the person of the most recent login at or before it, in event time, on any of its devices (equal times:
    the strongest device's), else of the earliest login after it". "A login is any event that carries a person
    identifier beside the device; of two persons at one instant, the smaller identifier counts." "a
    quarantined person's logins don't count".
    """
    logins = [
        (event.time, _strength(policy, device), _strength(policy, person))
        for event in remaining
        for device in event.identifiers & devices
        for person in _persons(policy, event.identifiers)
    ]
    before = [login for login in logins if login[0] <= now]
    if before:
        latest = max(time for time, _, _ in before)
        return min(login for login in before if login[0] == latest)[2][1]
    return min(logins)[2][1] if logins else None


def _holder(customers: Iterable[Customer], identifier: str) -> Customer | None:
    return next((customer for customer in customers if identifier in customer), None)


def _namespace(identifier: str) -> str:
    return identifier.partition(":")[0]


def _strength(policy: IdentityPolicy, identifier: str) -> Strength:
    """Return the place of an identifier: "smallest by priority, then value" is the strongest."""
    return (policy.priority(identifier), identifier)


def _strongest(policy: IdentityPolicy, identifiers: Iterable[str]) -> str:
    return min(identifiers, key=lambda identifier: _strength(policy, identifier))


def _ends(policy: IdentityPolicy, pair: Pair) -> tuple[str, str]:
    """Return a pair as (weaker end, stronger end)."""
    stronger, weaker = sorted(pair, key=lambda identifier: _strength(policy, identifier))
    return weaker, stronger


def _carried(events: Iterable[_Event]) -> frozenset[str]:
    return frozenset(identifier for event in events for identifier in event.identifiers)


def _persons(policy: IdentityPolicy, identifiers: Iterable[str]) -> frozenset[str]:
    return frozenset(
        identifier for identifier in identifiers if policy.namespaces[_namespace(identifier)].kind == "person"
    )


def _devices(policy: IdentityPolicy, identifiers: Iterable[str]) -> frozenset[str]:
    return frozenset(identifiers) - _persons(policy, identifiers)
