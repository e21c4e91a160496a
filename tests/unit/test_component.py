"""Components: what a message does to timelines, customers and their neighbours, case by case."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_app.domain.component import Components
from stream_app.domain.customer import ComponentTables, Customer, Limits, NoRules
from stream_app.domain.customer_id import customer_id
from stream_app.domain.effects import Change, IdentityChange
from stream_app.domain.event import Event
from stream_app.domain.messages import (
    ComponentMessage,
    Drain,
    EventTo,
    Merge,
    Offer,
    Repoint,
    Republish,
    Topic,
    Union,
    decode_component,
    encode,
)
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.rows import customer_tables
from tests.property.identity_world import KEY, POLICY, Recorder, tables

ANA, COOKIE = customer_id("user_id:ana", KEY), customer_id("cookie:1", KEY)
CAUSE = ("user_id:ana", "cookie:1")


def event(name: str, time: int, *identifiers: str, received: int = 0, **properties: Any) -> Event:
    kind = properties.pop("type", "Page Viewed")
    return Event(name, time, "web", kind, identifiers, properties, received, f"channel.web/0/{received}")


class Rules(NoRules):
    """Writes down how it is called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_event(self, customer: Customer, event: Event, *, late: bool, stamp: int) -> None:
        customer.rules = (customer.rules or 0) + 1
        self.calls.append(("event", customer.label, event.event_id, late, stamp))

    def on_history(self, customer: Customer, since: int | None, stamp: int) -> None:
        held = [event.event_id for event in customer.history(since)]
        self.calls.append(("history", customer.label, since, held, customer.settled))

    def leave(self, customer: Customer) -> bytes:
        self.calls.append(("leave", customer.label))
        return str(customer.rules).encode()

    def join(self, customer: Customer, state: bytes, stamp: int) -> None:
        self.calls.append(("join", customer.label, state))


class Place:
    """One partition of components; messages of components to one another are handled at once, if wanted."""

    def __init__(self, limits: Limits | None = None, policy: IdentityPolicy = POLICY) -> None:
        self.tables = tables(customer_tables())
        self.sent: list[Any] = []
        self.rules = Rules()
        self.effects = Recorder(self._send)
        self.components = Components(
            policy, KEY, ComponentTables(**self.tables), self.effects, self.rules, limits=limits
        )

    def _send(self, topic: Topic, key: str, message: Any) -> None:
        assert key
        assert (topic == Topic.LOOKUP) == isinstance(message, Repoint)
        self.sent.append(message)

    def __call__(self, message: ComponentMessage) -> list[Any]:
        self.sent = []
        self.components.handle(decode_component(encode(message)))
        return self.sent

    def run(self, message: ComponentMessage) -> None:
        """Handle a message, and all that components send because of it."""
        waiting: list[Any] = [message]
        while waiting:
            waiting += [sent for sent in self(waiting.pop(0)) if not isinstance(sent, Repoint)]

    def give(self, label: str, *events: Event) -> None:
        for one in events:
            self(to(label, one))

    def at(self, label: str) -> Customer:
        customer = self.components.customer(label)
        assert customer is not None
        return customer

    def timeline(self, label: str) -> list[str]:
        return [one.event_id for one in self.at(label).history()]


def to(label: str, one: Event) -> EventTo:
    return EventTo(label, msgspec.Raw(encode(one)), one.event_id.encode(), one.received)


def union(loser: str, winner: str) -> Union:
    return Union(loser, winner, CAUSE, 7)


def test_the_first_event_creates_the_customer() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    assert place.effects.changes == [IdentityChange(Change.CREATED, COOKIE, None, ("cookie:1",), "e1", 5)]
    assert place.at("cookie:1").id == COOKIE
    assert place.effects.profiles[COOKIE].events == 1


def test_a_stronger_identifier_renames_the_customer_and_publishes_its_rows_again() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"), event("e2", 6, "user_id:ana", "cookie:1"))
    renamed = IdentityChange(Change.RENAMED, ANA, COOKIE, ("user_id:ana", "cookie:1"), "e2", 6)
    assert place.effects.changes[1:] == [renamed]
    rows = {one.event_id: (row.customer, row.revision) for one, row in place.at("cookie:1").timeline()}
    assert rows == {"e1": (ANA, 1), "e2": (ANA, 0)}
    assert {*place.effects.profiles} == {ANA}


def test_the_customer_id_is_that_of_the_first_identifier_by_priority_time_and_value() -> None:
    place = Place()
    place.give("email:b", event("e1", 9, "email:b"), event("e2", 5, "email:z"), event("e3", 5, "email:y"))
    assert place.at("email:b").id == customer_id("email:y", KEY)
    assert place.at("email:b").id != customer_id("email:y", b"another key")


def test_a_late_event_takes_its_place_and_is_said_to_be_late() -> None:
    place = Place()
    place.give(
        "cookie:1", event("e2", 50, "cookie:1"), event("e1", -5, "cookie:1"), event("e3", 60, "cookie:1")
    )
    assert place.timeline("cookie:1") == ["e1", "e2", "e3"]
    assert [call[3] for call in place.rules.calls] == [False, True, False]


def test_a_late_basket_event_gives_the_basket_that_its_place_in_time_demands() -> None:
    place = Place()
    bought = event("e3", 30, "cookie:1", type="Order Completed")
    added = event("e2", 20, "cookie:1", type="Product Added", sku="s1")
    place.give("cookie:1", event("e1", 10, "cookie:1"), bought, added)
    assert place.at("cookie:1").profile.carts == {}


def test_a_copy_is_dropped_wherever_it_comes_from() -> None:
    place = Place()
    one = event("e1", 5, "cookie:1", received=3, price=float("nan"))
    copy = event("e1", 5, "cookie:1", received=9, price=float("nan"))
    place.give("cookie:1", one, one, copy)
    assert place.effects.counts["duplicate"] == 2
    assert place.effects.counts["conflict"] == 0
    assert place.at("cookie:1").profile.events == 1


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("other_time", [5, 99])
def test_of_two_contents_under_one_id_the_first_to_arrive_stands(turned: bool, other_time: int) -> None:
    first = event("e1", 5, "cookie:1", received=3, a=1)
    second = event("e1", other_time, "cookie:1", "cookie:2", received=4, a=2)
    place = Place()
    place.give("cookie:1", *((second, first) if turned else (first, second)))
    assert list(place.at("cookie:1").history()) == [first]
    assert dict(place.components.members("cookie:1")) == {"cookie:1": 5}
    assert list(place.components.links("cookie:1")) == []
    assert place.effects.counts["conflict"] == 1
    assert place.effects.published["e1", ""][2] == first
    assert place.at("cookie:1").profile.last == (5, "e1")


def test_a_union_asks_for_room_then_moves_everything_then_repoints() -> None:
    place = Place()
    place.give("user_id:ana", event("e3", 7, "user_id:ana"))
    place.give("cookie:1", event("e1", 5, "cookie:1"), event("e2", 6, "cookie:1", "cookie:2"))
    (offer,) = place(union("cookie:1", "user_id:ana"))
    assert isinstance(offer, Offer)
    (granted,) = place(offer)
    (merge,) = place(granted)
    assert isinstance(merge, Merge)
    assert place.components.redirect("cookie:1") == "user_id:ana"
    repoints = place(merge)
    assert {sent.identifier for sent in repoints} == {"cookie:1", "cookie:2"}
    assert {(sent.label, sent.origin) for sent in repoints} == {("user_id:ana", "cookie:1")}
    assert place.timeline("user_id:ana") == ["e1", "e2", "e3"]
    merged = IdentityChange(Change.MERGED, ANA, COOKIE, CAUSE, None, 6)
    assert place.effects.changes[-1] == merged


def test_nothing_but_the_redirect_is_left_of_a_component_that_has_moved() -> None:
    place = Place(limits=Limits(rows=2, size=300))
    place.give("cookie:1", *[event(f"e{n}", n, "cookie:1", f"cookie:{n + 2}") for n in range(9)])
    place.run(union("cookie:1", "user_id:ana"))
    prefix = b"\x00\x08cookie:1"
    left = [name for name, table in place.tables.items() if list(table.scan(prefix))]
    assert left == ["components"]
    assert place.components.customer("cookie:1") is None
    assert len(place.timeline("user_id:ana")) == 9


def test_a_redirect_is_never_overwritten_the_two_winners_are_united() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.run(union("cookie:1", "email:a"))
    assert place(union("cookie:1", "email:a")) == []
    assert place(union("cookie:1", "user_id:ana")) == [union("email:a", "user_id:ana")]
    assert place.components.redirect("cookie:1") == "email:a"


def test_a_redirected_component_passes_events_on_and_the_rows_hear_of_it() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.run(union("cookie:1", "user_id:ana"))
    (passed,) = place(to("cookie:1", event("e2", 6, "cookie:1")))
    assert (passed.label, passed.origin) == ("user_id:ana", "cookie:1")
    assert place(passed) == [Repoint("cookie:1", "user_id:ana", "cookie:1", 0)]
    assert place.timeline("user_id:ana") == ["e1", "e2"]


def test_a_component_that_nothing_lives_in_leaves_only_a_redirect() -> None:
    place = Place()
    place.run(union("cookie:1", "user_id:ana"))
    assert place.components.redirect("cookie:1") == "user_id:ana"
    assert place.components.customer("user_id:ana") is None


def test_a_customer_that_only_moves_keeps_its_id_and_nothing_is_published_again() -> None:
    place = Place()
    place.give("email:b", event("e1", 5, "user_id:ana", "email:b"))
    place.run(union("email:b", "user_id:ana"))
    assert [change.change for change in place.effects.changes] == [Change.CREATED]
    assert place.effects.counts["moved"] == 0


def test_a_merge_travels_in_bounded_chunks_and_every_step_is_consistent() -> None:
    place = Place(limits=Limits(rows=500, size=4000))
    events = [event(f"e{n:03}", n, "cookie:1", text="x" * 100) for n in range(100)]
    place.give("user_id:ana", event("e999", 50, "user_id:ana"))
    place.give("cookie:1", *events)
    waiting: list[Any] = [union("cookie:1", "user_id:ana")]
    merges, settled = 0, []
    while waiting:
        message = waiting.pop(0)
        waiting += [sent for sent in place(message) if not isinstance(sent, Repoint)]
        if isinstance(message, Merge):
            merges += 1
            assert len(encode(message)) < 6000  # an event more, and what goes with each
            held = list(place.at("user_id:ana").history())
            assert place.at("user_id:ana").profile.events == len(held)
            assert place.at("user_id:ana").id == ANA
            settled.append(place.at("user_id:ana").settled)
    assert merges > 3
    assert settled == [False] * (merges - 1) + [True]
    assert len(place.timeline("user_id:ana")) == 101


def test_publishing_a_long_timeline_again_goes_on_in_steps_that_are_made_once() -> None:
    place = Place(limits=Limits(rows=10, size=1 << 20))
    place.give("cookie:1", *[event(f"e{n:02}", n, "cookie:1") for n in range(45)])
    steps = [sent for sent in place(to("cookie:1", event("x", 99, "user_id:ana", "cookie:1"))) if sent]
    assert place.effects.counts["moved"] == 10
    while steps:
        (step,) = steps
        assert isinstance(step, Republish)
        steps = place(step)
        assert place(step) == []
    assert place.effects.counts["moved"] == 45
    assert {row.customer for _, row in place.at("cookie:1").timeline()} == {ANA}


def test_a_drain_that_is_asked_for_twice_is_made_once() -> None:
    place = Place(limits=Limits(rows=2, size=1 << 20))
    place.give("cookie:1", *[event(f"e{n}", n, "cookie:1") for n in range(6)])
    sent = place(Union("cookie:1", "user_id:ana", CAUSE, 7, granted=True))
    (drain,) = [message for message in sent if isinstance(message, Drain)]
    assert place(drain)
    assert place(drain) == []


def capped(cap: int) -> IdentityPolicy:
    spaces = [
        {"name": name, "priority": POLICY.namespaces[name].priority, "kind": "person"}
        for name in POLICY.namespaces
    ]
    return IdentityPolicy.from_mapping({"namespaces": spaces, "component_cap": cap})


@pytest.mark.parametrize(("cap", "refused"), [(4, False), (3, True)])
def test_a_union_past_the_cap_is_refused_as_a_whole_and_reported(cap: int, refused: bool) -> None:
    place = Place(policy=capped(cap))
    place.give("user_id:ana", event("e1", 5, "user_id:ana", "cookie:8"))
    place.give("cookie:1", event("e2", 5, "cookie:1", "cookie:2"))
    place.run(union("cookie:1", "user_id:ana"))
    assert place.effects.counts["refused"] == int(refused)
    assert (place.components.redirect("cookie:1") is None) == refused
    if refused:
        assert place.timeline("user_id:ana") == ["e1"]
        assert place.timeline("cookie:1") == ["e2"]


def test_an_offer_follows_the_winner_to_where_it_has_gone() -> None:
    place = Place()
    place.run(union("email:a", "user_id:ana"))
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.run(union("cookie:1", "email:a"))
    assert place.components.redirect("cookie:1") == "user_id:ana"


def test_a_chunk_that_is_taken_in_twice_changes_nothing() -> None:
    place = Place()
    place.give("user_id:ana", event("e1", 5, "user_id:ana"))
    place.give("cookie:1", event("e2", 5, "cookie:1", "cookie:2"))
    (merge,) = place(Union("cookie:1", "user_id:ana", CAUSE, 7, granted=True))
    place(merge)
    once = [(one, row.customer) for one, row in place.at("user_id:ana").timeline()]
    links = list(place.components.links("user_id:ana"))
    place(merge)
    assert [(one, row.customer) for one, row in place.at("user_id:ana").timeline()] == once
    assert list(place.components.links("user_id:ana")) == links
    assert place.at("user_id:ana").profile.events == 2


def test_the_rules_hear_of_events_merges_and_moves_in_the_order_in_which_they_need_to() -> None:
    place = Place()
    place.give("user_id:ana", event("e2", 50, "user_id:ana"))
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.rules.calls.clear()
    place.run(union("cookie:1", "user_id:ana"))
    assert place.rules.calls == [
        ("leave", "cookie:1"),
        ("join", "user_id:ana", b"1"),
        ("history", "user_id:ana", 5, ["e1", "e2"], True),
    ]


def test_the_state_of_the_rules_is_kept_when_it_was_changed_by_a_timer() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    customer = place.at("cookie:1")
    customer.rules = {"fired": ["t1"]}
    place.components.save(customer)
    assert place.at("cookie:1").rules == {"fired": ["t1"]}


def test_evidence_counts_events_and_names_the_earliest() -> None:
    place = Place()
    times = (50, 10, 40, 20, 30)
    place.give("user_id:ana", *[event(f"e{time}", time, "user_id:ana", "cookie:1") for time in times])
    ((strongest, other, link),) = place.components.links("user_id:ana")
    assert (strongest, other) == ("user_id:ana", "cookie:1")
    assert (link.first, link.last, link.count) == (10, 50, 5)
    assert link.sample == [(10, "e10"), (20, "e20"), (30, "e30")]
