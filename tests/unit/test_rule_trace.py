"""What a rule makes of a timeline, step by step; and the words for it."""

from __future__ import annotations

from typing import Any

from stream_app.cli.rules_text import HELD_BACK, RETRACTED, decision_line, trace_lines, trace_object
from stream_app.domain.event import Event
from stream_app.domain.ports import ComponentTables
from stream_app.domain.reference import References, Said
from stream_app.domain.rows import customer_tables
from stream_app.domain.rules import HeldBack, Retracted, RuleBook, load_rule
from stream_app.domain.rules.trace import Effect, Trace, trace
from stream_app.runs.in_memory import MemoryTable

MINUTE = 60_000
RULE = """
name: cart
key: cart_id
opens: {event: Add, if: event.price > 5}
keeps_open: {event: Look}
closes: {event: Buy}
after: 30m
if: opened.price > 10
"""


def event(event_id: str, minute: int, kind: str, **properties: Any) -> Event:
    return Event(event_id, minute * MINUTE, "web", kind, ("cookie:c",), properties, 0, "test/0/0")


def seen(*events: Event, rule: str = RULE) -> Trace:
    return trace(load_rule(rule), RuleBook([]), events)


def test_an_open_instance_says_since_when_and_until_when() -> None:
    found = seen(event("a", 0, "Add", price=12), event("b", 10, "Look"))
    assert [(turn.event.event_id, turn.effect) for turn in found.turns] == [
        ("a", Effect.OPENED),
        ("b", Effect.KEPT_OPEN),
    ]
    assert [(one.opened.event_id, one.due) for one in found.open] == [("a", 40 * MINUTE)]
    assert trace_lines(found) == [
        "open since Add a at 1970-01-01T00:00:00.000Z, kept open by 1 events, due 1970-01-01T00:40:00.000Z"
    ]
    (shown,) = trace_object(found)["open"]
    assert (shown["opened_by"], shown["due"]) == ("a", "1970-01-01T00:40:00.000Z")


def test_what_was_closed_says_by_which_event() -> None:
    found = seen(event("a", 0, "Add", price=12), event("b", 10, "Buy"), event("c", 11, "Buy"))
    assert found.open == found.due == []
    assert [(turn.event.event_id, turn.effect) for turn in found.turns][1:] == [("b", Effect.CLOSED)]
    assert trace_lines(found) == ["closed last by Buy b at 1970-01-01T00:10:00.000Z: it was open since Add a"]


def test_an_event_may_close_one_instance_and_open_another() -> None:
    rule = "{name: x, opens: {event: A}, closes: {event: A}, after: 30m}"
    found = seen(event("a", 0, "A"), event("b", 10, "A"), rule=rule)
    assert [(turn.event.event_id, turn.effect, turn.instance.opened.event_id) for turn in found.turns] == [
        ("a", Effect.OPENED, "a"),
        ("b", Effect.CLOSED, "a"),
        ("b", Effect.OPENED, "b"),
    ]


def test_what_came_due_says_how_it_was_judged() -> None:
    found = seen(event("a", 0, "Add", price=7), event("b", 31, "Buy"))
    assert found.open == []
    assert [(one.due, one.passed) for one in found.due] == [(30 * MINUTE, False)]
    assert [turn.effect for turn in found.turns] == [Effect.OPENED], "the purchase closed nothing any more"
    (line,) = trace_lines(found)
    assert line.startswith("came due 1970-01-01T00:30:00.000Z, opened by Add a: its `if` did not hold (saw ")
    assert trace_object(found)["due"][0]["if"] is False


def test_what_never_opened_says_how_many_events_could_have() -> None:
    found = seen(event("a", 0, "Add", price=1), event("b", 1, "Look"))
    assert (found.events, found.openers, found.turns) == (2, 1, [])
    assert trace_lines(found) == ["nothing ever opened it: of 2 events, and what changed around them, 1 can"]


def test_who_waits_for_an_event_after_the_silence_says_so() -> None:
    rule = "{name: x, opens: {event: A}, after: 30m, then: {event: B}}"
    found = seen(event("a", 0, "A"), event("b", 31, "C"), rule=rule)
    (line,) = trace_lines(found)
    assert line.endswith("waits for its `then`")
    assert trace_object(found)["open"][0]["due"] is None


def test_every_reason_has_words() -> None:
    assert HELD_BACK.keys() == set(HeldBack)
    assert RETRACTED.keys() == set(Retracted)
    record = {"decided_at": 0, "outcome": "held_back", "opened_by": "a", "key": "k", "due": 0}
    assert "cap: a cap of the policy" in decision_line({**record, "reason": "cap"})
    assert "does not know" in decision_line({**record, "reason": "of a later version"})
    assert decision_line({**record, "reason": None}).endswith("key k  due 1970-01-01T00:00:00.000Z")


def test_a_change_of_reference_data_that_opens_is_seen_where_it_belongs():
    drop = """
name: drop
key: sku
opens: {reference: product.price, event_before: Wished, match: sku, if: new.price < old.price}
closes: {event: Bought}
after: 1h
"""
    references = References(ComponentTables(**{spec.name: MemoryTable(spec) for spec in customer_tables()}))
    for time, price in ((-MINUTE, 50.0), (10 * MINUTE, 60.0), (20 * MINUTE, 40.0)):
        references.take(Said("product", "A", time, {"price": price}))
    events = [
        Event("w", 0, "web", "Wished", ("user_id:ana",), {"sku": "A"}, 0, ""),
        Event("b", 30 * MINUTE, "web", "Bought", ("user_id:ana",), {}, 0, ""),
    ]
    found = trace(load_rule(drop), RuleBook([]), events, references)
    assert (found.events, found.openers) == (2, 2)
    assert [(turn.effect, turn.event.type, turn.event.time) for turn in found.turns] == [
        (Effect.OPENED, "product.price", 20 * MINUTE),
        (Effect.CLOSED, "Bought", 30 * MINUTE),
    ]


def test_a_fix_can_open_what_is_about_a_place():
    near = load_rule("name: near\nnear: {radius_m: 100}\n")
    fix = Event("f", 0, "app", "Seen", ("user_id:ana",), {"latitude": 48.85, "longitude": 2.35}, 0, "")
    assert trace(near, RuleBook([]), [fix]).openers == 1
