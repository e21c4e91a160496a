"""The rules that ship, all at once: step by step gives what folding a whole timeline gives, and so do the triggers."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import schemas
from stream_app.domain.event import Event
from stream_app.domain.profile import Profile, apply
from stream_app.domain.rules import Action, Decision, RuleBook, RulesState, SendingPolicy, load_rule
from stream_app.domain.rules.sending import QuietHours
from tests.property.examples import examples

HOUR = 3_600_000
START = 20_000 * 24 * HOUR
RULES = [load_rule(schemas.read_text(name), name) for name in schemas.files("rules", ".yaml")]
NIGHT = SendingPolicy(quiet_hours=QuietHours(21 * HOUR, 8 * HOUR), timezone="Europe/Paris")
BOOKS = [RuleBook(RULES), RuleBook(RULES, NIGHT)]
TYPES = sorted({kind for rule in RULES for pattern in rule.patterns() for kind in pattern.event})
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
    "timezone": st.sampled_from(["Europe/Paris", "America/New_York", "Nowhere/At_All"]),
}


@st.composite
def timelines(draw: st.DrawFn) -> list[Event]:
    """Draw events in order, hours and sometimes months apart."""
    events, time = [], START
    for number in range(draw(st.integers(1, 25))):
        time += draw(st.sampled_from([0, 1, HOUR // 2, HOUR, 24 * HOUR, 40 * 24 * HOUR]))
        names = draw(st.lists(st.sampled_from(sorted(PROPERTIES)), max_size=6, unique=True))
        properties = {name: draw(PROPERTIES[name]) for name in names}
        kind = draw(st.sampled_from([*TYPES, "Consent Changed", "Identify"]))
        channel = draw(st.sampled_from(["web", "store", "app", "email"]))
        event = Event(f"e{number:02}", time, channel, kind, ("user_id:1",), properties, time, "test")
        events.append(event)
    return events


def stepped(book: RuleBook, events: list[Event], *, settle: bool) -> tuple[RulesState, list[Decision]]:
    state, profile, decisions = book.new_state(), Profile(), []
    for event in events:
        if settle:
            decisions += book.settle(state, event.time, event.time - 1, profile)
        book.elapse(state, event.time, profile)
        apply(profile, event)
        book.step(state, event, profile)
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
    place = data.draw(st.integers(0, len(events)))
    before, _ = stepped(book, events[:place], settle=False)
    resumed = book.resume(book.keep(before))
    assert resumed is not None
    profile = Profile()
    for number, event in enumerate(events):
        if number >= place:
            book.elapse(resumed, event.time, profile)
        apply(profile, event)
        if number >= place:
            book.step(resumed, event, profile)
    assert folded(resumed) == folded(state)


@examples(150)
@given(timelines(), st.sampled_from(BOOKS))
def test_on_time_nothing_is_retracted_and_nothing_is_sent_in_quiet_hours(
    events: list[Event], book: RuleBook
) -> None:
    _, decisions = stepped(book, events, settle=True)
    for one in decisions:
        assert one.action != Action.RETRACT
        if one.action == Action.FIRE:
            zone = one.because.sending["time_zone"]
            assert book.policy.quiet_until(one.sent, zone) == one.sent
