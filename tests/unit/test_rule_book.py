"""What a book of rules is known by, and what its rules see beside a customer's events."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stream_app.domain.event import Event
from stream_app.domain.profile import Profile, apply
from stream_app.domain.rules import RuleBook, load_rule
from stream_app.domain.segments import SegmentBook, load_segment

RULE = """
name: offer
version: 1
opens: {event: [Checkout Started, Till Opened], if: '"regular" in customer.segments'}
after: 0s
payload: [customer.segments]
"""
PLAIN = "name: plain\nversion: 1\ndescription: %s\nopens: {event: Checkout Started}\nafter: %s\n"
SEGMENT = "name: regular\nif: customer.orders >= %d\n"


def book(*rules: str, segments: str = SEGMENT % 1) -> RuleBook:
    return RuleBook([load_rule(rule) for rule in rules], segments=SegmentBook([load_segment(segments)]))


def event(name: str, time: int, kind: str, **properties: object) -> Event:
    return Event(name, time, "web", kind, ("cookie:1",), properties, time, "test")


def fired(rules: RuleBook, *events: Event) -> list[tuple[str, object]]:
    state, profile = rules.new_state(), Profile()
    for one in events:
        rules.elapse(state, one.time, profile)
        apply(profile, one)
        rules.step(state, one, profile)
    return [
        (one.opened_by, one.payload.get("customer.segments")) for one in rules.settle(state, 100, 0, profile)
    ]


def test_a_rule_sees_the_segments_that_the_customer_is_in_as_of_the_event():
    events = [
        event("e1", 1, "Checkout Started"),
        event("e2", 2, "Order Completed", order_id="o1", revenue=10.0, currency="EUR"),
        event("e3", 3, "Checkout Started"),
    ]
    assert fired(book(RULE), *events) == [("e3", ["regular"])]
    assert fired(book(RULE, segments=SEGMENT % 2), *events) == []
    assert fired(RuleBook([load_rule(RULE)]), *events) == []


def test_a_state_does_not_fit_a_rule_that_says_something_else_though_its_version_is_the_same():
    before, after = book(PLAIN % ("a", "1m")), book(PLAIN % ("a", "2m"))
    assert before.fits(before.new_state())
    assert not after.fits(before.new_state())
    assert book(PLAIN % ("told otherwise", "1m")).fits(before.new_state())


def test_segments_matter_to_a_book_only_where_a_rule_names_them():
    assert book(PLAIN % ("a", "1m"), segments=SEGMENT % 2).fits(book(PLAIN % ("a", "1m")).new_state())
    assert not book(RULE, segments=SEGMENT % 2).fits(book(RULE).new_state())


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_book_is_known_by_the_same_in_every_process(seed: str):
    code = "from tests.unit.test_rule_book import *; print(book(RULE, PLAIN % ('a', '1m')).fingerprint)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == book(RULE, PLAIN % ("a", "1m")).fingerprint
