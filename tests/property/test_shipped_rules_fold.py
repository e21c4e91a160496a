"""The rules that ship, all at once: step by step gives what folding a whole timeline gives, and so do the triggers.

Reference data change among the events, in order, each change behind the events of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from stream_app.domain.event import Event
from stream_app.domain.ports import ComponentTables
from stream_app.domain.profile import Profile, apply
from stream_app.domain.reference import References, Said
from stream_app.domain.rows import customer_tables
from stream_app.domain.rules import Action, Decision, RuleBook, RulesState, SendingPolicy, load_rule
from stream_app.domain.rules.changes import Change
from stream_app.domain.rules.sending import QuietHours
from stream_app.runs.in_memory import MemoryTable
from tests.property.examples import examples, search

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOUR = 3_600_000
START = 20_000 * 24 * HOUR
RULES = [load_rule(schemas.read_text(name), name) for name in schemas.files("rules", ".yaml")]
NIGHT = SendingPolicy(quiet_hours=QuietHours(21 * HOUR, 8 * HOUR), timezone="Europe/Paris")


def shops() -> References:
    """Return reference data in which there is a shop that has something of all products."""
    tables = ComponentTables(**{spec.name: MemoryTable(spec) for spec in customer_tables()})
    references = References(tables)
    where = {"latitude": 45.764, "longitude": 4.8357, "country": "FR"}
    references.take(Said("store", "s1", START - HOUR, where))
    for sku in ("A", "B"):
        references.take(Said("stock", sku, START - HOUR, {"stores": {"s1": 3}}))
    return references


SHOPS = shops()
BOOKS = [RuleBook(RULES).among(SHOPS), RuleBook(RULES, NIGHT).among(SHOPS)]
TYPES = sorted({kind for rule in RULES for pattern in rule.patterns() for kind in pattern.event})
NAMING = sorted({kind for rule in RULES if (one := rule.opens.reference) for kind in one.before.event})
"""The types of the events by which items concern a customer."""
PROPERTIES: dict[str, Any] = {
    "cart_id": st.sampled_from(["k1", "k2"]),
    "order_id": st.sampled_from(["o1", "o2"]),
    "sku": st.sampled_from(["A", "B"]),
    "price": st.sampled_from([9.5, 30, 120]),
    "revenue": st.sampled_from([25, 400.0]),
    "rating": st.integers(1, 5),
    "tier": st.sampled_from(["silver", "gold"]),
    "change": st.sampled_from(["up", "down"]),
    "birthday": st.sampled_from(["1990-02-29", "2001-10-05", "unknown"]),
    "consent": st.booleans(),
    "store_id": st.just("s1"),
    "region": st.sampled_from(["DE", "FR"]),
    "timezone": st.sampled_from(["Europe/Paris", "America/New_York", "Nowhere/At_All"]),
}


ROWS: dict[tuple[str, str], dict[str, Any]] = {
    ("product", "A"): {"price": 120.0, "stock": 3},
    ("product", "B"): {"price": 30.0, "stock": 0},
    ("order", "o1"): {"state": "paid"},
    ("order", "o2"): {"state": "paid"},
}
"""What there is before the first event."""
FIELDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "product": st.fixed_dictionaries(
        {},
        optional={
            "price": st.sampled_from([9.5, 30.0, 120.0]),
            "prices": st.sampled_from([{"DE": 9.5}, {"DE": 30.0, "FR": 120.0}, {}]),
            "stock": st.sampled_from([0, 3]),
        },
    ),
    "order": st.fixed_dictionaries({"state": st.sampled_from(["picked", "ready_for_pickup"])}),
}


@st.composite
def timelines(draw: st.DrawFn, *, changing: bool = False, often: Sequence[str] = ()) -> list[Event | Change]:
    """Draw events in order, hours and sometimes months apart; `changing`: and changes of reference data.

    Every other event is one of those that come `often`, if there are any.
    """
    events: list[Event | Change] = []
    rows, time = dict(ROWS), START
    for number in range(draw(st.integers(1, 25))):
        time += draw(st.sampled_from([0, 1, HOUR // 2, HOUR, 24 * HOUR, 40 * 24 * HOUR]))
        if changing and draw(st.booleans()):
            kind, item = draw(st.sampled_from(sorted(ROWS)))
            old = rows[kind, item]
            rows[kind, item] = old | draw(FIELDS[kind])
            events.append(Change(time, kind, item, old, rows[kind, item]))
            time += 1  # events of this time were before it
            continue
        names = draw(st.lists(st.sampled_from(sorted(PROPERTIES)), max_size=6, unique=True))
        properties = {name: draw(PROPERTIES[name]) for name in names}
        naming = 4 * NAMING if changing else []
        kinds = [*TYPES, *naming, "Consent Changed", "Identify"]
        kind = draw(st.sampled_from(often if often and draw(st.booleans()) else kinds))
        channel = draw(st.sampled_from(["web", "store", "app", "email"]))
        event = Event(f"e{number:02}", time, channel, kind, ("user_id:1",), properties, time, "test")
        events.append(event)
    return events


class Changing:
    """Reference data that change as a timeline says; of shops and what they have as `shops` has it."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._changes = list(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(SHOPS, name)

    def row(self, kind: str, item: str, time: int) -> dict[str, Any]:
        rows = [one.new for one in self._changes if (one.kind, one.item) == (kind, item) and one.time <= time]
        return rows[-1] if rows else ROWS.get((kind, item), {})


def among(book: RuleBook, events: Sequence[Event | Change]) -> RuleBook:
    """Return a book that sees what changes among events."""
    return book.among(Changing(one for one in events if isinstance(one, Change)))


def take(book: RuleBook, state: RulesState, step: Event | Change, profile: Profile) -> None:
    """Fold what comes next."""
    book.elapse(state, step.time, profile)
    if isinstance(step, Change):
        book.revise(state, step, profile)
    else:
        apply(profile, step)
        book.step(state, step, profile)


def stepped(
    book: RuleBook, events: Sequence[Event | Change], *, settle: bool
) -> tuple[RulesState, list[Decision]]:
    state, profile, decisions = book.new_state(), Profile(), []
    for step in events:
        if settle:
            decisions += book.settle(state, step.time, step.time - 1, profile)
        take(book, state, step, profile)
    book.watched.clear()
    if settle:
        decisions += book.settle(state, START + 10_000 * 24 * HOUR, events[-1].time, profile)
    return state, decisions


def folded(state: RulesState) -> bytes:
    """Return what the events alone determine."""
    return msgspec.msgpack.encode(
        msgspec.structs.replace(state, stale=False, next_at=0, judged=0), order="deterministic"
    )


@examples(150)
@given(timelines(), st.sampled_from(BOOKS), st.data())
def test_step_by_step_from_any_place_is_what_folding_all_again_gives(
    events: list[Event], book: RuleBook, data: st.DataObject
) -> None:
    state, _ = stepped(book, events, settle=False)
    assert folded(state) == folded(book.refold(events))
    goes_on_from_any_place(events, book, data)


@examples(150)
@given(timelines(changing=True), st.sampled_from(BOOKS), st.data())
def test_reference_data_too_are_folded_on_from_any_place(
    events: list[Event | Change], book: RuleBook, data: st.DataObject
) -> None:
    goes_on_from_any_place(events, among(book, events), data)


def goes_on_from_any_place(events: Sequence[Event | Change], book: RuleBook, data: st.DataObject) -> None:
    state, _ = stepped(book, events, settle=False)
    place = data.draw(st.integers(0, len(events)))
    before, _ = stepped(book, events[:place], settle=False)
    resumed = book.resume(book.keep(before))
    assert resumed is not None
    profile = Profile()
    for step in events[:place]:
        if not isinstance(step, Change):
            apply(profile, step)
    for step in events[place:]:
        take(book, resumed, step, profile)
    assert folded(resumed) == folded(state)


@examples(300)
@given(st.one_of(timelines(), timelines(changing=True)), st.sampled_from(BOOKS))
def test_on_time_nothing_is_retracted_and_nothing_is_sent_in_quiet_hours(
    events: list[Event | Change], book: RuleBook
) -> None:
    _, decisions = stepped(among(book, events), events, settle=True)
    for one in decisions:
        assert one.action != Action.RETRACT
        if one.action == Action.FIRE:
            zone = one.because.sending["time_zone"]
            assert book.policy.quiet_until(one.sent, zone) == one.sent


@pytest.mark.parametrize("name", [rule.name for rule in RULES if rule.opens.reference is not None])
def test_each_rule_that_reference_data_open_fires(name: str) -> None:
    """Else the tests above show nothing about it."""
    (wanted,) = [rule.opens.reference for rule in RULES if rule.name == name]
    assert wanted is not None

    @search(3_000)
    @given(timelines(changing=True, often=sorted(wanted.before.event)), st.sampled_from(BOOKS))
    def none_fires(events: list[Event | Change], book: RuleBook) -> None:
        _, decisions = stepped(among(book, events), events, settle=True)
        assert name not in [one.rule for one in decisions if one.action == Action.FIRE]

    with pytest.raises(AssertionError):
        none_fires()
