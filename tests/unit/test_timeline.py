"""Keys of rows, and timelines kept by them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.event import Event
from stream_app.domain.keys import (
    label_key,
    names_key,
    names_of,
    slot_key,
    slot_of,
    time_key,
    timeline_key,
    timer_key,
    timer_of,
)
from stream_app.domain.messages import decode_event, encode
from stream_app.domain.rows import EventPlace, TimelineRow, customer_tables
from stream_app.domain.rule_fold import NoRules
from stream_app.domain.timeline import Timelines, same_content
from tests.property.identity_world import tables

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
TIMES = st.integers(-(2**62), 2**62)


@given(TEXT, TEXT)
def test_no_label_is_a_prefix_of_another_labels_rows(one: str, other: str) -> None:
    assert (one == other) == label_key(one).startswith(label_key(other))


@given(st.tuples(TIMES, TEXT), st.tuples(TIMES, TEXT))
def test_keys_sort_as_time_then_event_id(one: tuple[int, str], other: tuple[int, str]) -> None:
    assert (timeline_key(b"", *one) < timeline_key(b"", *other)) == (one < other)


@given(TIMES, TIMES, TEXT)
def test_the_key_of_a_time_lies_before_all_its_events_and_after_all_earlier_ones(
    since: int, time: int, name: str
) -> None:
    assert (time_key(b"p", since) <= timeline_key(b"p", time, name)) == (since <= time)


@given(TEXT, st.lists(TEXT, min_size=1, max_size=4))
def test_identifiers_can_be_read_from_the_key_of_their_combination(label: str, names: list[str]) -> None:
    prefix = label_key(label)
    assert names_of(prefix, names_key(prefix, tuple(names))) == tuple(names)


@given(TEXT, st.integers(0, 2**32 - 1))
def test_label_and_slot_can_be_read_from_a_timers_key_and_the_slot_from_a_rows(label: str, slot: int) -> None:
    assert timer_of(timer_key(label, slot)) == (label, slot)
    prefix = label_key(label)
    assert slot_of(prefix, timeline_key(slot_key(prefix, slot), 5, "e")) == slot


def event(name: str, time: int) -> Event:
    return Event(name, time, "web", "Page Viewed", ("cookie:1",), {}, 0, "channel.web/0/0")


def timelines(*events: Event) -> Timelines:
    rows = tables(customer_tables())
    found = Timelines(rows["events"], rows["timeline"], NoRules().removed)
    for one in events:
        found.put(b"p", 1, one.time, one.event_id, TimelineRow(encode(one), "c", 0))
    return found


def test_history_begins_at_a_time_and_leaves_other_customers_and_components_out() -> None:
    found = timelines(event("b", -7), event("a", -7), event("c", 0), event("d", 12))
    for prefix, slot in ((b"q", 1), (b"p", 2)):
        found.put(prefix, slot, 5, f"x{slot}", TimelineRow(encode(event("x", 5)), "c", 0))
    one = slot_key(b"p", 1)
    assert [one.event_id for one in found.history(one)] == ["a", "b", "c", "d"]
    assert [one.event_id for one in found.history(one, 0)] == ["c", "d"]
    assert [one.event_id for one in found.history(one, 13)] == []


def test_parts_are_bounded_by_rows_and_bytes_and_together_are_everything() -> None:
    found = timelines(*[event(f"e{n}", n) for n in range(10)])
    size = len(encode(event("e0", 0)))
    for limits in ((3, 1 << 20), (99, 2 * size), (99, 1)):
        names, start = [], None
        while True:
            rows, start = found.part(b"p", start, *limits)
            assert 1 <= len(rows) <= limits[0]
            assert len(rows) == 1 or len(rows) * size <= limits[1]
            names += [key[-2:] for key, _ in rows]
            if start is None:
                break
        assert names == [f"e{n}".encode() for n in range(10)]


def test_what_was_removed_is_gone_from_the_index_too() -> None:
    found = timelines(event("a", 1))
    place = found.place(b"p", "a")
    assert place == EventPlace(1, 1)
    assert decode_event(found.get(b"p", place, "a").event) == event("a", 1)
    found.remove(b"p", 1, 1, "a")
    assert found.place(b"p", "a") is None
    assert list(found.rows(b"p")) == []
    with pytest.raises(LookupError, match="isn't on the timeline"):
        found.get(b"p", place, "a")


def test_content_is_all_but_arrival() -> None:
    one = Event("a", 1, "web", "T", ("cookie:1",), {"x": 1, "y": 2}, 5, "s/0/1")
    other = Event("a", 1, "web", "T", ("cookie:1",), {"y": 2, "x": 1}, 6, "s/1/9")
    assert same_content(one, other)
    assert not same_content(one, Event("a", 1, "web", "T", ("cookie:1",), {"x": 1}, 5, "s/0/1"))
    assert not same_content(one, Event("a", 1, "app", "T", ("cookie:1",), {"x": 1, "y": 2}, 5, "s/0/1"))
