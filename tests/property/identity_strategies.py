"""Small worlds for identity: policies, and arrivals in the format of a case, dense with conflicts and ties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from stream_app.domain.policy import IdentityPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

Arrival = dict[str, Any]

PERSONS = ("user_id", "loyalty", "email", "phone")
DEVICES = ("device", "cookie", "push_token", "app_id")
START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTES = st.integers(0, 9)
"""Few, so that many times are equal."""


def timestamp(minute: int) -> str:
    """Return a time of these worlds as text."""
    return (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")


def value(namespace: str, index: int) -> str:
    """Return a value of a namespace, as normalising leaves it; none is a part of another one, or of a hash."""
    if namespace == "email":
        return f"v{index:02}@example.org"
    if namespace == "phone":
        return f"+336123456{index:02}"
    return f"{namespace}.{index:02}"


def spelling(namespace: str, text: str) -> str:
    """Return another spelling of a value that normalising makes the same."""
    if namespace == "email":
        return f" {text.upper()}"
    if namespace == "phone":
        return f"{text[:3]} {text[3:]} "
    return f" {text}"


@st.composite
def raw_policies(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a policy as a case writes it: 2 to 4 namespaces of each kind, persons stronger as a rule."""
    persons = draw(st.lists(st.sampled_from(PERSONS), min_size=2, max_size=4, unique=True))
    devices = draw(st.lists(st.sampled_from(DEVICES), min_size=2, max_size=4, unique=True))
    names = draw(st.permutations(persons + devices)) if draw(_seldom(5)) else persons + devices
    policy: dict[str, Any] = {
        "namespaces": [
            _present(
                name=name,
                priority=priority,
                kind="person" if name in PERSONS else "device",
                limit=draw(st.sampled_from((1, 1, 2, 3, None))),
                on_conflict=draw(st.sampled_from(("newest", "oldest", None))),
            )
            for priority, name in enumerate(names, 1)
        ],
    }
    return policy | _present(
        shared_after=draw(st.sampled_from((None, 1, 2, 3))),
        max_devices=draw(st.sampled_from((None, 1, 2, 3, 4))),
        anonymous_events=draw(st.sampled_from((None, "last_login", "device_owner"))),
    )


def policies() -> st.SearchStrategy[IdentityPolicy]:
    """Draw a checked policy."""
    return raw_policies().map(IdentityPolicy.from_mapping)


@st.composite
def arrivals(
    draw: st.DrawFn,
    policy: IdentityPolicy,
    *,
    conflicts: bool = False,
    commands: bool = True,
    erasures: bool = False,
    most: int = 25,
) -> list[Arrival]:
    """Draw what arrives in a small world, in an order that has nothing to do with its times.

    Args:
        draw: Hypothesis's.
        policy: its namespaces are used.
        conflicts: other contents under the same event id, too.
        commands: of operators, too: assert, deny, withdraw, block, release.
        erasures: of operators, too; they need no other commands.
        most: so many events, copies and other contents not counted.
    """
    people = draw(st.integers(3, 6))
    count = draw(st.integers(1, most))
    events = [draw(_events(policy, f"e{index}", people)) for index in range(count)]
    extra: list[Arrival] = draw(st.lists(st.sampled_from(events), max_size=3))
    if conflicts:
        extra += [
            draw(_events(policy, event_id, people))
            for event_id in draw(
                st.lists(st.sampled_from([event["event_id"] for event in events]), max_size=3)
            )
        ]
    known = _identifiers(policy, events)
    if commands and known:
        extra += draw(st.lists(st.one_of(_verdicts(known), _verdicts(known), _controls(known)), max_size=6))
    if erasures and known:
        extra += draw(st.lists(_erasures(known), min_size=1, max_size=3))
    arrived = list(events)
    for arrival in extra:
        arrived.insert(draw(st.integers(0, len(arrived))), arrival)
    return arrived


def _present(**fields: Any) -> dict[str, Any]:
    return {name: field for name, field in fields.items() if field is not None}


def _seldom(times: int) -> st.SearchStrategy[bool]:
    return st.integers(0, times - 1).map(lambda number: number == times - 1)


@st.composite
def _events(draw: st.DrawFn, policy: IdentityPolicy, event_id: str, people: int) -> Arrival:
    """Draw an event: of somebody on some devices, or of nobody known; somebody's values get mixed up."""
    persons = [name for name, space in policy.namespaces.items() if space.kind == "person"]
    devices = [name for name, space in policy.namespaces.items() if space.kind == "device"]
    who = draw(st.integers(0, people - 1))
    shape = draw(st.sampled_from(("login", "login", "login", "person", "device")))
    names: list[str] = []
    if shape != "device":
        names += draw(st.lists(st.sampled_from(persons), min_size=1, max_size=2, unique=True))
    if shape != "person":
        names += draw(st.lists(st.sampled_from(devices), min_size=1, max_size=2, unique=True))
    return {
        "event_id": event_id,
        "time": timestamp(draw(MINUTES)),
        "channel": "web",
        "type": "Page Viewed",
        "identifiers": {name: draw(_values(name, who, people)) for name in names},
    }


@st.composite
def _values(draw: st.DrawFn, name: str, who: int, people: int) -> Any:
    """Draw what an event carries in a namespace: mostly somebody's own value."""

    def one() -> str:
        index = draw(st.sampled_from((who, who, who, who + people, -1)))
        text = value(name, draw(st.integers(0, people - 1)) if index < 0 else index)
        return spelling(name, text) if draw(_seldom(8)) else text

    kind = draw(st.integers(0, 19))
    if kind == 19:
        return draw(st.sampled_from(("null", "", "0", None)))
    return [one(), one()] if kind == 18 else one()


def _identifiers(policy: IdentityPolicy, events: Sequence[Arrival]) -> list[str]:
    """Return the raw identifiers of events, as operators would write them, blocked ones included."""
    found = {
        f"{name}:{text}"
        for event in events
        for name, raw in event["identifiers"].items()
        for text in (raw if isinstance(raw, list) else [raw])
        if text is not None
    }
    return sorted(found, key=lambda identifier: (policy.priority(identifier), identifier))


@st.composite
def _verdicts(draw: st.DrawFn, known: Sequence[str]) -> Arrival:
    stranger = "".join((known[0].partition(":")[0], ":", value(known[0].partition(":")[0], 99)))
    either = st.sampled_from([*known, stranger])
    return {
        "op": draw(st.sampled_from(("assert", "assert", "deny", "deny", "withdraw"))),
        "time": timestamp(draw(MINUTES)),
        "a": draw(st.sampled_from(known)),
        "b": draw(either),
    }


@st.composite
def _controls(draw: st.DrawFn, known: Sequence[str]) -> Arrival:
    return {
        "op": draw(st.sampled_from(("block", "release"))),
        "time": timestamp(draw(MINUTES)),
        "id": draw(st.sampled_from(known)),
    }


@st.composite
def _erasures(draw: st.DrawFn, known: Sequence[str]) -> Arrival:
    """Draw an erasure, of some time or of the end: then there is nothing after it."""
    minute = draw(st.one_of(MINUTES, st.just(10)))
    return {"op": "erase", "time": timestamp(minute), "id": draw(st.sampled_from(known))}
