"""Segments as data: what a file may say, where a mistake in it is, and who is in what, when."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

import schemas
from stream_app.app import load_segments
from stream_app.domain.event import Event
from stream_app.domain.profile import DAY_MS, NAMES, fold
from stream_app.domain.rules import RuleError
from stream_app.domain.segments import Membership, SegmentBook, judge, leave, load_segment
from stream_app.domain.segments.membership import Member
from stream_app.errors import UserError
from stream_app.settings import Settings


def segment(condition: str, name: str = "some", version: int = 1):
    return load_segment(f"name: {name}\nversion: {version}\nif: {condition}\n")


def event(kind: str, day: float, **properties: Any) -> Event:
    time = int(day * DAY_MS)
    return Event(f"e{time}{kind}", time, "web", kind, ("cookie:1",), properties, 0, "t/0/0")


def crossings(book: SegmentBook, membership: Membership, *events: Event) -> list[tuple[str, str, float]]:
    """Judge, take the verdict over, and return what changed, with the day."""
    members, changes, _ = judge(book, membership, fold(events))
    membership.members = members
    return [(one.segment, one.action.value, one.time / DAY_MS) for one in changes]


@pytest.mark.parametrize("path", schemas.files("segments", ".yaml"))
def test_the_segments_that_ship_are_called_as_their_files_and_say_what_they_are(path):
    loaded = load_segment(schemas.read_text(path), path)
    assert path == f"segments/{loaded.name}.yaml"
    assert loaded.description
    assert loaded.names <= NAMES


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("name: a\n", (1, 1), "`if` is missing"),
        ("if: customer.orders > 1\n", (1, 1), "`name` is missing"),
        ("name: a b\nif: customer.orders > 1\n", (1, 7), "letters, digits"),
        ("name: a\nversion: 0\nif: customer.orders > 1\n", (2, 10), "whole number"),
        ("name: a\nwhen: now\nif: customer.orders > 1\n", (2, 1), "unknown field `when`"),
        ("name: a\nif: customer.orders >\n", (2, 22), "not expected"),
        ("name: a\nif: event.sku == 'x'\n", (2, 5), "no variable `event`"),
        ("name: a\nif: size(customer) > 3\n", (2, 5), "say what of the customer"),
        ("name: a\nif: \"'vip' in customer.segments\"\n", (2, 5), "don't rest on each other"),
        ("name: a\nif: customer.days_since_last_order * 2 > 60\n", (2, 5), "with a whole number"),
        ("name: a\nif: customer['days_since_last_order'] > 1.5\n", (2, 5), "with a whole number"),
        ("name: a\nif: customer.days_since_last_order > customer.patience\n", (2, 5), "with a whole number"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_line_and_column(text, where, what):
    with pytest.raises(RuleError, match=what) as caught:
        load_segment(text, "a.yaml")
    assert (caught.value.line, caught.value.column) == where


def test_a_deployment_may_have_segments_of_its_own_or_none(tmp_path):
    assert len(load_segments(Settings()).segments) == len(schemas.files("segments", ".yaml"))
    assert load_segments(Settings(segments=tmp_path)).segments == ()
    (tmp_path / "mine.yaml").write_text("name: mine\nif: customer.orders > 1\n")
    assert [one.name for one in load_segments(Settings(segments=tmp_path)).segments] == ["mine"]
    (tmp_path / "wrong.yaml").write_text("name: mine\n")
    with pytest.raises(UserError, match=r"wrong\.yaml"):
        load_segments(Settings(segments=tmp_path))


def test_of_the_versions_of_a_name_the_highest_counts():
    book = SegmentBook([segment("customer.orders > 1", version=2), segment("customer.orders > 0", version=1)])
    assert [one.version for one in book.segments] == [2]


def test_a_customer_enters_and_leaves_by_turns_with_the_values_that_were_seen():
    book, membership = SegmentBook([segment("customer.cart_items > 0")]), Membership()
    added, emptied = event("Product Added", 1, sku="a"), event("Cart Emptied", 2)
    (entered,) = judge(book, membership, fold([added])).crossings
    assert entered.values == {"customer.cart_items": 1}
    assert crossings(book, membership, added) == [("some", "entered", 1)]
    assert crossings(book, membership, added) == []
    assert crossings(book, membership, added, emptied) == [("some", "left", 2)]


def test_judging_changes_nothing_by_itself():
    book, membership = SegmentBook([segment("customer.events > 0")]), Membership()
    judge(book, membership, fold([event("Page Viewed", 1)]))
    assert membership == Membership()


def test_days_pass_without_an_event():
    book, membership = SegmentBook([segment("customer.days_since_last_order >= 90")]), Membership()
    order = event("Order Completed", 10)
    assert judge(book, membership, fold([order])).due == 100 * DAY_MS
    membership.time = 100 * DAY_MS - 1
    assert crossings(book, membership, order) == []
    membership.time = 100 * DAY_MS
    assert crossings(book, membership, order) == [("some", "entered", 100)]
    assert judge(book, membership, fold([order])).due == 101 * DAY_MS


@pytest.mark.parametrize("comparison", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("turned", [False, True])
def test_between_two_days_that_are_waited_for_nothing_changes(comparison, turned):
    name = "customer.days_since_last_order"
    condition = f"7 {comparison} {name}" if turned else f"{name} {comparison} 7"
    book, profile = SegmentBook([segment(condition)]), fold([event("Order Completed", 0.3)])
    membership, waited, held = Membership(), {0}, []
    for hour in range(24 * 12):
        membership.time = max(int(0.3 * DAY_MS), hour * DAY_MS // 24)
        members, _, due = judge(book, membership, profile)
        waited.add(due or 0)
        held.append((membership.time, bool(members)))
    changes = [now for (_, before), (now, after) in pairwise(held) if before != after]
    assert all(any(now - DAY_MS // 24 < due <= now for due in waited) for now in changes)


@pytest.mark.parametrize("day", [1.0, 1.5, 2.0, 9.0, 400.0])
@pytest.mark.parametrize("ordered", [False, True])
def test_who_is_judged_is_in_what_the_whole_view_of_her_profile_says(day, ordered):
    conditions = (
        "customer.days_since_last_order < 7 && customer.orders > 0",
        "has(customer.days_since_first_order)",
        "(!has(customer.days_since_last_order)) && customer.days_since_last_seen >= 1",
        "customer.days_since_joined == 0 || customer.days_since_first_seen > 300",
        "customer.events > 1",
    )
    book = SegmentBook([segment(text, f"s{number}") for number, text in enumerate(conditions)])
    events = [event("Page Viewed", 0), *([event("Order Completed", 1)] if ordered else [])]
    profile, membership = fold(events), Membership(time=int(day * DAY_MS))
    members, changes, _ = judge(book, membership, profile)
    assert members.keys() == book.of(profile, int(day * DAY_MS)) == {one.segment for one in changes}


def test_who_was_in_another_version_stays_without_a_word_if_she_fits():
    membership = Membership({"some": Member(1, 5)})
    book = SegmentBook([segment("customer.events > 0", version=2)])
    assert crossings(book, membership, event("Page Viewed", 1)) == []
    assert membership.members == {"some": Member(2, 5)}


def test_a_segment_that_there_is_no_more_is_left():
    membership = Membership({"old": Member(3, 5)})
    (left,) = judge(SegmentBook([]), membership, fold([event("Page Viewed", 1)])).crossings
    assert (left.segment, left.version, left.action, left.values) == ("old", 3, "left", {})


def test_whoever_is_gone_leaves_everything():
    membership = Membership({"b": Member(1, 5), "a": Member(2, 5)})
    assert [(one.segment, one.action) for one in leave(membership, 9)] == [("a", "left"), ("b", "left")]


def test_a_late_event_takes_time_back_for_nobody():
    book = SegmentBook([segment("customer.days_since_last_order >= 90")])
    membership = Membership(time=200 * DAY_MS)
    order, late = event("Order Completed", 10), event("Order Completed", 150)
    assert crossings(book, membership, order) == [("some", "entered", 200)]
    assert crossings(book, membership, order, late) == [("some", "left", 200)]
