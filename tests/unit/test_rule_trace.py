"""What a rule makes of a timeline, step by step; and the words for it."""

from __future__ import annotations

from typing import Any

from stream_app.cli.rules_text import HELD_BACK, RETRACTED, decision_line, trace_lines, trace_object
from stream_app.domain.event import Event
from stream_app.domain.rules import HeldBack, Retracted, RuleBook, load_rule
from stream_app.domain.rules.trace import Effect, Trace, trace

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
    assert trace_lines(found) == ["nothing ever opened it: of 2 events 1 are of a type that can"]


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
