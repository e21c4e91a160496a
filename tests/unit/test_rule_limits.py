"""Caps and `at_most`, asked of a ledger: what counts, from when on, and who has taken the room."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.domain.rules import load_rule
from stream_app.domain.rules.decision import HeldBack
from stream_app.domain.rules.limits import at_most, with_room
from stream_app.domain.rules.sending import Cap, SendingPolicy
from stream_app.domain.rules.state import FIRED, HELD, RETRACTED, EventRef, Ledger, Row

HOUR = 3_600_000
DAY = 24 * HOUR
NOON = 20_000 * DAY + 12 * HOUR
UTC = "UTC"


def rule(**fields: Any) -> Any:
    text = f"{{name: r, opens: {{event: A}}, purpose: marketing, {', '.join(f'{k}: {v}' for k, v in fields.items())}}}"
    return load_rule(text)


def ledger(*rows: dict[str, Any]) -> Ledger:
    usual: dict[str, Any] = {
        "rule": "r",
        "rule_id": "r@1",
        "version": 1,
        "key": [],
        "group": "g",
        "number": 0,
        "due": NOON,
        "opened": EventRef("e", NOON, "A", "opened"),
        "purpose": "marketing",
        "status": FIRED,
        "channel": "email",
        "sent": NOON,
    }
    return Ledger({str(number): Row(**(usual | row)) for number, row in enumerate(rows)})


def left(cap: Cap, *rows: dict[str, Any], at: int = NOON, zone: str = UTC, **fields: Any) -> Any:
    """Return the channels that a cap leaves of two, and why there is none."""
    policy = SendingPolicy(caps=(cap,))
    return with_room(policy, ledger(*rows), rule(**fields), ["email", "sms"], at, zone)


BOTH = (["email", "sms"], None)
CAPPED = ([], HeldBack.CAP)
EARLIER = {"sent": NOON - HOUR}


def test_a_cap_has_room_until_so_many_have_been_sent():
    assert left(Cap(2), EARLIER) == BOTH
    assert left(Cap(2), EARLIER, EARLIER) == CAPPED
    assert with_room(SendingPolicy(), ledger(EARLIER), rule(), ["email"], NOON, UTC) == (["email"], None)


@pytest.mark.parametrize("row", [{"status": HELD}, {"status": RETRACTED}, {"counted": False}])
def test_what_was_not_sent_and_what_ignores_caps_takes_no_room(row):
    assert left(Cap(1), EARLIER | row) == BOTH


def test_a_rule_that_ignores_caps_has_room():
    assert left(Cap(1), EARLIER, ignore_caps="true") == BOTH


def test_a_cap_of_a_channel_counts_and_holds_what_goes_there():
    assert left(Cap(1, channel="email"), EARLIER) == (["sms"], None)
    assert left(Cap(1, channel="email"), EARLIER | {"channel": "sms"}) == BOTH
    assert left(Cap(1, channel="push"), EARLIER | {"channel": "push"}) == BOTH


def test_a_cap_of_a_purpose_counts_and_holds_what_has_it():
    assert left(Cap(1, purpose="marketing"), EARLIER) == CAPPED
    assert left(Cap(1, purpose="marketing"), EARLIER | {"purpose": "service"}) == BOTH
    assert left(Cap(1, purpose="service"), EARLIER | {"purpose": "service"}) == BOTH


def test_the_strictest_cap_holds():
    policy = SendingPolicy(caps=(Cap(9), Cap(1, channel="sms"), Cap(2)))
    sent = ledger({"channel": "sms"} | EARLIER)
    assert with_room(policy, sent, rule(), ["sms", "email"], NOON, UTC) == (["email"], None)


def test_a_rolling_window_ends_a_millisecond_before_it_comes_round():
    cap = Cap(1, per=HOUR, window="rolling")
    assert left(cap, {"sent": NOON - HOUR}) == BOTH
    assert left(cap, {"sent": NOON - HOUR + 1}) == CAPPED


def test_a_calendar_window_begins_with_the_customers_own_day():
    cap = Cap(1, per=DAY)
    midnight = NOON - 12 * HOUR
    assert left(cap, {"sent": midnight - 1}) == BOTH
    assert left(cap, {"sent": midnight}) == CAPPED
    tokyo = midnight + 15 * HOUR  # UTC + 9, all year
    assert left(cap, {"sent": tokyo - 1}, at=tokyo, zone="Asia/Tokyo") == BOTH
    assert left(cap, {"sent": tokyo - 1}, at=tokyo) == CAPPED


def test_what_goes_at_the_same_moment_has_taken_the_room_by_priority():
    assert left(Cap(1), {"sent": NOON}) == ([], HeldBack.PRIORITY)
    assert left(Cap(1), {"sent": NOON - 1}) == CAPPED
    assert left(Cap(2), {"sent": NOON}, {"sent": NOON - 1}) == ([], HeldBack.PRIORITY)
    assert left(Cap(1), {"sent": NOON}, {"sent": NOON - 1}) == CAPPED
    assert left(Cap(1), {"sent": NOON + 1}) == BOTH, "what is sent later doesn't count yet"


def test_on_one_channel_priority_and_on_the_other_none_is_priority():
    policy = SendingPolicy(caps=(Cap(1, channel="email"), Cap(1, channel="sms")))
    sent = ledger({"sent": NOON - 1}, {"sent": NOON, "channel": "sms"})
    assert with_room(policy, sent, rule(), ["email", "sms"], NOON, UTC) == ([], HeldBack.PRIORITY)
    assert with_room(policy, sent, rule(), ["email"], NOON, UTC) == CAPPED


@pytest.mark.parametrize(
    ("limit", "rows", "held"),
    [
        ("{times: 1}", [], False),
        ("{times: 1}", [{"sent": 1}], True),
        ("{times: 2}", [{"sent": 1}], False),
        ("{times: 1}", [{"status": RETRACTED}], False),
        ("{times: 1}", [{"rule": "other"}], False),
        ("{times: 1}", [{"version": 2, "rule_id": "r@2"}], True),
        ("{times: 1}", [{"group": "other"}], True),
        ("{times: 1, per_key: true}", [{"group": "other"}], False),
        ("{times: 1, per_key: true}", [{"group": "g"}], True),
        ("{times: 1, per: 1h}", [{"sent": NOON - HOUR}], False),
        ("{times: 1, per: 1h}", [{"sent": NOON - HOUR + 1}], True),
    ],
)
def test_a_rule_sends_as_often_as_it_says_and_no_more(limit, rows, held):
    expected = HeldBack.AT_MOST if held else None
    assert at_most(ledger(*rows), rule(at_most=limit), "g", NOON) == expected
    assert at_most(ledger(*rows), rule(), "g", NOON) is None
