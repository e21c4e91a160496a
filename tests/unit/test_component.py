"""Components: what a message does to timelines, customers and their neighbours, case by case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from stream_app.domain import evidence
from stream_app.domain.commands import Command, Op
from stream_app.domain.component import Components
from stream_app.domain.customer_id import customer_id
from stream_app.domain.effects import Cause, Change, IdentityChange
from stream_app.domain.event import Event
from stream_app.domain.evidence import FEW
from stream_app.domain.identities import NOBODY
from stream_app.domain.keys import label_key, names_of
from stream_app.domain.labels import Labels
from stream_app.domain.messages import (
    CommandTo,
    ComponentMessage,
    Drain,
    EventTo,
    Merge,
    Offer,
    Repair,
    Repoint,
    Topic,
    Union,
    decode_component,
    decode_event,
    encode,
)
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.ports import ComponentTables
from stream_app.domain.profile import END
from stream_app.domain.repair import Limits
from stream_app.domain.rows import SightingRow, customer_tables
from stream_app.domain.rule_fold import NoRules
from tests.property.identity_world import KEY, POLICY, Recorder, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_app.domain.customer import Customer
    from stream_app.domain.profile import Profile

ANA, COOKIE = customer_id("user_id:ana", KEY), customer_id("cookie:1", KEY)
LINK = ("user_id:ana", "cookie:1")

of = Labels(POLICY, KEY).of


def event(name: str, time: int, *identifiers: str, received: int = 0, **properties: Any) -> Event:
    kind = properties.pop("type", "Page Viewed")
    return Event(name, time, "web", kind, identifiers, properties, received, f"channel.web/0/{received}")


class Rules(NoRules):
    """Writes down how it is called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def before(self, customer: Customer, event: Event) -> None: ...

    def on_event(self, customer: Customer, event: Event) -> bool:
        customer.rules = (customer.rules or 0) + 1
        self.calls.append(("event", customer.key, event.event_id))
        return True

    def begin(self, customer: Customer, kept: bytes | None, since: tuple[int, str]) -> list[str]:
        assert kept is None, "these timelines are too short for a checkpoint"
        return []

    def before_step(self, fold: list[str], event: Event, profile: Profile) -> None: ...

    def step(self, fold: list[str], event: Event, profile: Profile) -> None:
        fold.append(event.event_id)

    def finish(self, customer: Customer, fold: list[str], stamp: int) -> None:
        customer.rules = len(fold)
        self.calls.append(("folded", customer.key, fold, customer.settled, stamp))

    def leave(self, customer: Customer) -> bytes:
        self.calls.append(("leave", customer.key))
        return str(customer.rules).encode()

    def join(self, customer: Customer, state: bytes) -> tuple[int, str]:
        self.calls.append(("join", customer.key, state))
        return END

    def share(self, customer: Customer, slot_of: Callable[[str], int | None]) -> Mapping[int, bytes]:
        self.calls.append(("share", customer.key))
        return super().share(customer, slot_of)


class Place:
    """One partition of components; messages of components to one another are handled at once, if wanted.

    Components are named by the identifier whose label they have.
    """

    def __init__(self, limits: Limits | None = None, policy: IdentityPolicy = POLICY) -> None:
        self.tables = tables(customer_tables())
        self.sent: list[Any] = []
        self.rules = Rules()
        self.effects = Recorder(self._send)
        rows: Any = ComponentTables(**self.tables)
        labels = Labels(policy, KEY)
        self.components = Components(policy, KEY, rows, self.effects, labels, self.rules, limits=limits)

    def _send(self, topic: Topic, key: str, message: Any) -> None:
        assert key
        assert (topic == Topic.LOOKUP) == isinstance(message, Repoint)
        self.sent.append(message)

    def __call__(self, message: ComponentMessage) -> list[Any]:
        self.sent = []
        self.components.handle(decode_component(encode(message)))
        self.components.flush()
        return self.sent

    def run(self, message: ComponentMessage) -> None:
        """Handle a message, and all that components send because of it."""
        waiting: list[Any] = [message]
        while waiting:
            waiting += [sent for sent in self(waiting.pop(0)) if not isinstance(sent, Repoint)]

    def give(self, name: str, *events: Event) -> None:
        for one in events:
            self(to(name, one))

    def redirect(self, name: str) -> str | None:
        return self.components.redirect(of(name))

    def at(self, name: str, slot: int = 1) -> Customer:
        customer = self.components.customer(of(name), slot)
        assert customer is not None
        return customer

    def open(self, name: str, slot: int) -> Customer:
        """Return what there is of a slot, whether anybody has it or not."""
        return self.components._customers.open(self.components._at(of(name)), slot)

    def timeline(self, name: str, slot: int = 1) -> list[str]:
        return [one.event_id for one in self.at(name, slot).history()]

    def sightings(self, name: str) -> dict[tuple[str, ...], SightingRow]:
        prefix = label_key(of(name))
        return {names_of(prefix, key): row for key, row in self.tables["sightings"].scan(prefix)}

    def rows(self, name: str) -> dict[str, dict[bytes, bytes]]:
        """Return all rows of a component, by table, as they are written."""
        prefix = label_key(of(name))
        return {
            table: {key: rows._rows[key] for key, _ in rows.scan(prefix)}
            for table, rows in self.tables.items()
        }


def to(name: str, one: Event) -> EventTo:
    return EventTo(of(name), msgspec.Raw(encode(one)), one.event_id.encode(), one.received)


def union(loser: str, winner: str, *, granted: bool = False) -> Union:
    return Union(of(loser), of(winner), 7, granted)


def test_the_first_event_creates_the_customer() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    cause = Cause(5, ("cookie:1",), "e1")
    assert place.effects.changes == [IdentityChange(Change.CREATED, (), (COOKIE,), cause)]
    assert place.at("cookie:1").id == COOKIE
    assert place.effects.profiles[COOKIE].events == 1


def test_a_stronger_identifier_renames_the_customer_and_publishes_its_rows_again() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"), event("e2", 6, *LINK))
    renamed = IdentityChange(Change.RENAMED, (COOKIE,), (ANA,), Cause(6, LINK, "e2"))
    assert place.effects.changes[1:] == [renamed]
    rows = {one.event_id: (row.customer, row.revision) for one, row in place.at("cookie:1").timeline()}
    assert rows == {"e1": (ANA, 1), "e2": (ANA, 0)}
    assert {*place.effects.profiles} == {ANA}
    published = {name: (who, revision) for name, (revision, who, _) in place.effects.published.items()}
    assert published == rows


def test_the_customer_id_is_that_of_the_first_identifier_by_priority_time_and_value() -> None:
    place = Place()
    place.give(
        "email:b",
        event("e1", 9, "email:b", "email:y", "email:z", "cookie:1"),
        event("e2", 5, "email:z"),
        event("e3", 5, "email:y"),
        event("e4", 1, "cookie:1"),
    )
    assert place.at("email:b").id == customer_id("email:y", KEY)
    assert place.at("email:b").id != customer_id("email:y", b"another key")


def test_a_late_event_takes_its_place_and_is_said_to_be_late() -> None:
    place = Place()
    place.give(
        "cookie:1", event("e2", 50, "cookie:1"), event("e1", -5, "cookie:1"), event("e3", 60, "cookie:1")
    )
    assert place.timeline("cookie:1") == ["e1", "e2", "e3"]
    assert (place.effects.counts["in order"], place.effects.counts["late"]) == (2, 1)
    assert [call[:3:2] for call in place.rules.calls] == [
        ("event", "e2"),
        ("folded", ["e1", "e2"]),
        ("event", "e3"),
    ]


def test_events_that_come_in_one_batch_are_taken_in_by_their_times() -> None:
    place = Place()
    events = [event(f"e{time}", time, "cookie:1") for time in (30, 10, 20)]
    other = event("e15", 15, "cookie:2")
    place.components.handle_all(
        [to("cookie:1", events[0]), to("cookie:2", other), *(to("cookie:1", one) for one in events[1:])]
    )
    place.components.flush()
    assert place.timeline("cookie:1") == ["e10", "e20", "e30"]
    assert [call[0] for call in place.rules.calls] == ["event"] * 4, "none had to be folded again"
    assert (place.effects.counts["in order"], place.effects.counts["late"]) == (4, 0)


def test_in_a_batch_events_do_not_pass_another_message_to_their_component() -> None:
    place = Place()
    before, behind = event("e2", 20, "cookie:1"), event("e1", 10, "cookie:1")
    place.components.handle_all(
        [to("cookie:1", before), union("cookie:1", "email:a", granted=True), to("cookie:1", behind)]
    )
    merge, forwarded = place.sent
    assert [decode_event(moved.event).event_id for moved in merge.rows] == ["e2"]
    assert (forwarded.label, decode_event(forwarded.event).event_id) == (of("email:a"), "e1")


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
    assert place.sightings("cookie:1")["cookie:1",].count == 1


@pytest.mark.parametrize("many", [1, 2 * FEW])
def test_a_customers_members_are_those_of_the_rows_whether_memory_tells_them_or_not(many: int) -> None:
    place = Place()
    place.give("user_id:a", *(event(f"e{n}", n, "user_id:a", f"cookie:{n}") for n in range(many)))
    place.give("user_id:a", event("last", many, "user_id:a", "email:a@b.example"))
    expected = tuple(sorted({"user_id:a", "email:a@b.example", *(f"cookie:{n}" for n in range(many))}))
    assert place.at("user_id:a").members() == expected
    place.components.reset()
    assert place.at("user_id:a").members() == expected


def test_memory_tells_each_of_a_components_customers_her_own_members() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 1, "user_id:a", "cookie:1"), event("e2", 2, "cookie:2"))
    both = {slot: place.at("cookie:1", slot) for slot in (1, 2)}
    assert {customer.members() for customer in both.values()} == {("cookie:1", "user_id:a"), ("cookie:2",)}
    for customer in both.values():
        assert customer.members() == tuple(sorted(customer.identifiers()))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("other_time", [5, 99])
def test_of_two_contents_under_one_id_the_first_to_arrive_stands(turned: bool, other_time: int) -> None:
    first = event("e1", 5, "cookie:1", received=3, a=1)
    second = event("e1", other_time, "cookie:1", "cookie:2", received=4, a=2)
    place = Place()
    place.give("cookie:1", *((second, first) if turned else (first, second)))
    assert list(place.at("cookie:1").history()) == [first]
    assert [*place.at("cookie:1").identifiers()] == ["cookie:1"]
    assert place.components.identities(of("cookie:1")).since == {"cookie:1": 5}
    sightings = place.sightings("cookie:1")
    assert {names: (row.first, row.last, row.count) for names, row in sightings.items()} == {
        ("cookie:1",): (5, 5, 1)
    }
    assert place.effects.counts["conflict"] == 1
    assert place.effects.published["e1"][1:] == (COOKIE, first)
    assert place.at("cookie:1").profile.last == (5, "e1")


def test_a_union_asks_for_room_then_moves_everything_then_repoints() -> None:
    place = Place()
    place.give("user_id:ana", event("e3", 7, *LINK))
    place.give("cookie:1", event("e1", 5, "cookie:1"), event("e2", 6, "cookie:1", "cookie:2"))
    (offer,) = place(union("cookie:1", "user_id:ana"))
    assert isinstance(offer, Offer)
    (granted,) = place(offer)
    (merge,) = place(granted)
    assert isinstance(merge, Merge)
    assert place.redirect("cookie:1") == of("user_id:ana")
    repoints = place(merge)
    assert {sent.identifier for sent in repoints} == {of("cookie:1"), of("cookie:2")}
    assert {(sent.label, sent.origin) for sent in repoints} == {(of("user_id:ana"), of("cookie:1"))}
    assert place.timeline("user_id:ana") == ["e1", "e2", "e3"]
    merged = IdentityChange(Change.MERGED, (COOKIE,), (ANA,), Cause(6, LINK))
    assert place.effects.changes[-1] == merged
    assert {*place.effects.profiles} == {ANA}


def test_components_that_no_event_joins_stay_two_customers_under_one_label() -> None:
    place = Place()
    place.give("user_id:ana", event("e2", 7, "user_id:ana"))
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.run(union("cookie:1", "user_id:ana"))
    assert [place.at("user_id:ana", slot).id for slot in (1, 2)] == [ANA, COOKIE]
    assert [place.timeline("user_id:ana", slot) for slot in (1, 2)] == [["e2"], ["e1"]]
    assert [change.change for change in place.effects.changes] == [Change.CREATED] * 2
    assert place.effects.counts["moved"] == 0


def test_nothing_but_the_redirect_is_left_of_a_component_that_has_moved() -> None:
    place = Place(limits=Limits(rows=2, size=300))
    place.give("cookie:1", *[event(f"e{n}", n, "cookie:1", f"cookie:{n + 2}") for n in range(9)])
    place.run(union("cookie:1", "user_id:ana"))
    assert [name for name, rows in place.rows("cookie:1").items() if rows] == ["components"]
    assert place.components.customer(of("cookie:1"), 1) is None
    assert len(place.timeline("user_id:ana")) == 9


@pytest.mark.parametrize("rows", range(2, 34))
@pytest.mark.parametrize("remembered", [True, False])
def test_everybody_has_left_a_component_that_has_moved_however_little_goes_with_one_message(
    rows: int, remembered: bool
) -> None:
    place = Place(limits=Limits(rows=rows))
    names = [f"cookie:{n}" for n in range(1, 11)]
    place.give("cookie:1", event("e1", 1, *names), event("e2", 2, "user_id:ben", *names[:3]))
    members = {*place.at("cookie:1").identifiers()}
    if not remembered:
        place.components.reset()
    sent: list[Any] = [union("cookie:1", "user_id:ana", granted=True)]
    moved: list[str] = []
    while sent:
        message = sent.pop(0)
        if isinstance(message, Merge):
            moved += [name for one in message.customers for name in one.members]
        sent += [one for one in place(message) if not isinstance(one, Repoint)]
    assert sorted(moved) == sorted(members)
    assert [name for name, left in place.rows("cookie:1").items() if left] == ["components"]


def test_what_waits_for_nobody_yet_leaves_with_its_component() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.components.save(place.open("cookie:1", NOBODY))
    place.run(union("cookie:1", "user_id:ana"))
    assert [name for name, left in place.rows("cookie:1").items() if left] == ["components"]


def test_somebody_by_herself_has_the_first_slot_and_nobody_any_other() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "user_id:ana", "cookie:1"))
    assert place.at("cookie:1", 1).members() == ("cookie:1", "user_id:ana")
    assert place.at("cookie:1", 1).is_anybody
    assert place.open("cookie:1", 2).members() == ()
    assert not place.open("cookie:1", 2).is_anybody


@pytest.mark.parametrize("combinations", [1, 3])
def test_however_many_components_come_few_are_in_memory(
    monkeypatch: pytest.MonkeyPatch, combinations: int
) -> None:
    monkeypatch.setattr(evidence, "MAX_KEPT", 20)
    place = Place()
    for number in range(50):
        for other in range(combinations):
            names = (f"cookie:{number}", *(f"email:{number}.{more}" for more in range(other)))
            place.give(f"cookie:{number}", event(f"e{number}.{other}", 5, *names))
    found = place.components._customers.evidence
    assert 1 < len(found._homes) <= 20 // (1 + combinations) + combinations
    assert found._size == sum(one.weight for one in found._homes.values()) <= 20


def test_a_redirect_is_never_overwritten_the_two_winners_are_united() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.run(union("cookie:1", "email:a"))
    assert place(union("cookie:1", "email:a")) == []
    assert place(union("cookie:1", "user_id:ana")) == [union("email:a", "user_id:ana")]
    assert place.redirect("cookie:1") == of("email:a")


def test_a_redirected_component_passes_events_on_and_the_rows_hear_of_it() -> None:
    place = Place()
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.run(union("cookie:1", "user_id:ana"))
    (passed,) = place(to("cookie:1", event("e2", 6, "cookie:1")))
    assert (passed.label, passed.origin) == (of("user_id:ana"), of("cookie:1"))
    assert place.effects.counts["forwarded"] == 1
    assert place(passed) == [Repoint(of("cookie:1"), of("user_id:ana"), of("cookie:1"), 0)]
    assert place.timeline("user_id:ana") == ["e1", "e2"]


def test_a_component_that_nothing_lives_in_leaves_only_a_redirect() -> None:
    place = Place()
    place.run(union("cookie:1", "user_id:ana"))
    assert place.redirect("cookie:1") == of("user_id:ana")
    assert place.components.customer(of("user_id:ana"), 1) is None


def test_a_customer_that_only_moves_keeps_its_id_and_nothing_is_published_again() -> None:
    place = Place()
    place.give("email:b", event("e1", 5, "user_id:ana", "email:b"))
    place.run(union("email:b", "user_id:ana"))
    assert [change.change for change in place.effects.changes] == [Change.CREATED]
    assert place.effects.counts["moved"] == 0
    assert place.timeline("user_id:ana") == ["e1"]


def test_a_merge_travels_in_bounded_chunks_and_every_step_is_consistent() -> None:
    place = Place(limits=Limits(rows=500, size=4000))
    events = [event(f"e{n:03}", n, "cookie:1", text="x" * 100) for n in range(100)]
    place.give("user_id:ana", event("e999", 50, *LINK))
    place.give("cookie:1", *events)
    waiting: list[Any] = [union("cookie:1", "user_id:ana")]
    merges, settled, known = 0, [], {"e999"}
    while waiting:
        message = waiting.pop(0)
        waiting += [sent for sent in place(message) if not isinstance(sent, Repoint)]
        if isinstance(message, Merge):
            merges += 1
            known |= {msgspec.msgpack.decode(moved.event)[0] for moved in message.rows}
            assert len(encode(message)) < 6000  # an event more, and what goes with each
            customer = place.at("user_id:ana")
            held = list(customer.timeline())
            assert {one.event_id for one, _ in held} == known
            assert customer.id == ANA
            for one, row in held:
                assert place.effects.published[one.event_id] == (row.revision, ANA, one)
            settled.append(customer.settled)
            # The profile waits for the whole timeline, as the rules do.
            assert customer.profile.events == (len(held) if customer.settled else 1)
            assert place.effects.profiles[ANA].events == customer.profile.events
    assert merges > 3
    assert settled == [False] * (merges - 1) + [True]
    assert len(place.timeline("user_id:ana")) == 101


def test_publishing_a_long_timeline_again_goes_on_in_steps_that_are_made_once() -> None:
    place = Place(limits=Limits(rows=10, size=1 << 20))
    place.give("cookie:1", *[event(f"e{n:02}", n, "cookie:1") for n in range(45)])
    steps = place(to("cookie:1", event("x", 99, *LINK)))
    assert place.effects.counts["moved"] == 10
    assert not place.at("cookie:1").settled
    while steps:
        (step,) = steps
        assert isinstance(step, Repair)
        before = place.effects.counts["moved"]
        steps = place(step)
        moved = place.effects.counts["moved"]
        assert moved - before <= 10
        assert place(step) == []
        assert place.effects.counts["moved"] == moved
    assert place.effects.counts["moved"] == 45
    assert {row.customer for _, row in place.at("cookie:1").timeline()} == {ANA}
    assert place.effects.profiles[ANA].events == 46


def test_a_drain_that_is_asked_for_twice_is_made_once() -> None:
    place = Place(limits=Limits(rows=2, size=1 << 20))
    place.give("cookie:1", *[event(f"e{n}", n, "cookie:1") for n in range(6)])
    sent = place(union("cookie:1", "user_id:ana", granted=True))
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
    assert (place.redirect("cookie:1") is None) == refused
    if refused:
        assert place.timeline("user_id:ana") == ["e1"]
        assert place.timeline("cookie:1") == ["e2"]


def test_an_offer_follows_the_winner_to_where_it_has_gone() -> None:
    place = Place()
    place.run(union("email:a", "user_id:ana"))
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.run(union("cookie:1", "email:a"))
    assert place.redirect("cookie:1") == of("user_id:ana")


def test_a_chunk_that_is_taken_in_twice_changes_nothing() -> None:
    place = Place()
    place.give("user_id:ana", event("e1", 5, *LINK))
    place.give("cookie:1", event("e2", 5, "cookie:1", "cookie:2"))
    (merge,) = place(union("cookie:1", "user_id:ana", granted=True))
    place(merge)
    once = place.rows("user_id:ana")
    timeline = [(one, row.customer) for one, row in place.at("user_id:ana").timeline()]
    place(merge)
    again = place.rows("user_id:ana")
    assert [(one, row.customer) for one, row in place.at("user_id:ana").timeline()] == timeline
    assert again.pop("timeline").keys() == once.pop("timeline").keys()  # but for revisions
    assert again == once
    assert place.timeline("user_id:ana") == ["e1", "e2"]
    assert place.at("user_id:ana").profile.events == 2
    assert {*place.effects.profiles} == {ANA}


def test_the_rules_hear_of_events_merges_and_moves_in_the_order_in_which_they_need_to() -> None:
    place = Place()
    place.give("user_id:ana", event("e2", 50, *LINK))
    place.give("cookie:1", event("e1", 5, "cookie:1"))
    place.rules.calls.clear()
    place.run(union("cookie:1", "user_id:ana"))
    here = (of("user_id:ana"), 1)
    assert place.rules.calls == [
        ("leave", (of("cookie:1"), 1)),
        ("join", here, b"1"),
        ("share", here),
        ("folded", here, ["e1", "e2"], True, 7),
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
    place.give("user_id:ana", *[event(f"e{time}", time, *LINK) for time in times])
    ((names, seen),) = place.sightings("user_id:ana").items()
    assert names == LINK
    assert (seen.first, seen.last, seen.count) == (10, 50, 5)
    assert seen.sample == [(10, "e10"), (20, "e20"), (30, "e30")]


def say(op: Op, one: str, other: str, time: int) -> CommandTo:
    command = Command(f"c{time}", op, (one, other), time, "operator", "because", f"c/0/{time}")
    return CommandTo(of("user_id:ana"), command, (), time)


def test_a_profile_ends_whose_id_passes_to_identifiers_that_no_event_names() -> None:
    place = Place()
    place.give("user_id:ana", event("e1", 1, "email:a", "device:1", "cookie:1"))
    place.run(say(Op.ASSERT, "user_id:ana", "loyalty:1", 2))
    place.run(say(Op.ASSERT, "loyalty:1", "email:a", 3))
    assert place.effects.profiles.keys() == {ANA}
    place.run(say(Op.DENY, "user_id:ana", "email:a", 4))
    assert place.effects.profiles.keys() == {customer_id("email:a", KEY)}
