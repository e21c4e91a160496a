"""Sources side by side: whatever comes when, nothing is lost, doubled or out of order, and nobody runs ahead."""

from __future__ import annotations

from math import inf
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_app.engine import alignment
from stream_app.engine.alignment import AT_ONCE, ENOUGH, LINGER_S, PATIENCE_S, Aligner
from tests.property.examples import examples

SOURCES = [TP("web", 0), TP("web", 1), TP("store", 0)]
logs = st.lists(st.lists(st.integers(0, 30), max_size=40), min_size=3, max_size=3)
"""What each source has on the broker: timestamps, in the order of offsets."""
steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 6), st.sampled_from((0.0, 0.0, LINGER_S, PATIENCE_S * 1.5))),
    max_size=60,
)
"""Which source is fetched, how many records that brings, and how much time has passed since."""


def record(offset: int, timestamp: int) -> Any:
    return SimpleNamespace(offset=offset, timestamp=timestamp)


def written(log: list[int]) -> list[Any]:
    return [record(offset, timestamp) for offset, timestamp in enumerate(log)]


@examples(400)
@given(logs, steps)
def test_everything_is_handed_out_once_in_order_and_nothing_before_what_a_source_may_still_bring(
    drawn: list[list[int]], taken: list[tuple[int, int, float]]
) -> None:
    left = [written(log) for log in drawn]
    reached = [-inf] * 3
    out: list[list[Any]] = [[], [], []]
    now = 0.0
    aligner = Aligner(now)
    quiet_since = now
    silent: set[int] = set()
    for source, count, passed in [*taken, *((source, 50, 1.0) for source in range(3)), (0, 1, 1.0)]:
        now += passed
        some, left[source] = left[source][:count], left[source][count:]
        if some:
            if aligner.empty:
                quiet_since = now
            aligner.add(SOURCES[source], 1, some, now)
            silent.discard(source)
            reached[source] = max(reached[source], *(one.timestamp for one in some))
        more = {tp: bool(left[place]) for place, tp in enumerate(SOURCES)}
        if now - quiet_since > PATIENCE_S:
            held = [len(log) - len(left[place]) - len(out[place]) for place, log in enumerate(drawn)]
            silent.update(place for place in range(3) if left[place] and not held[place])
        horizon = min(
            (reached[place] for place in range(3) if left[place] and place not in silent), default=inf
        )
        for tp, incarnation, records in aligner.release(more, now, inf):
            assert incarnation == 1
            assert all(one.timestamp <= horizon for one in records)
            out[SOURCES.index(tp)] += records
            quiet_since = now
    assert [[one.offset for one in records] for records in out] == [[*range(len(log))] for log in drawn]
    assert aligner.empty


def released(aligner: Aligner, more: dict[TP, bool], now: float, fresh: float = inf) -> dict[TP, list[int]]:
    found = aligner.release(more, now, fresh)
    return {tp: [one.offset for one in records] for tp, _, records in found}


def test_who_has_caught_up_holds_up_nobody() -> None:
    web, other, store = SOURCES
    aligner = Aligner(0.0)
    aligner.add(web, 1, written([10, 900]), 0.0)
    assert released(aligner, {web: False, other: False, store: False}, 0.0) == {web: [0, 1]}


def test_a_source_that_has_not_answered_yet_is_waited_for_but_not_for_ever() -> None:
    web, _, store = SOURCES
    aligner = Aligner(0.0)
    aligner.add(web, 1, written([10, 20]), 0.0)
    assert released(aligner, {web: False, store: True}, PATIENCE_S) == {}
    assert released(aligner, {web: False, store: True}, PATIENCE_S + 0.1) == {web: [0, 1]}


def test_who_was_waited_for_in_vain_is_waited_for_again_when_it_has_brought_something() -> None:
    web, _, store = SOURCES
    aligner = Aligner(0.0)
    more = {web: True, store: True}
    aligner.add(web, 1, written([10, 20]), 0.0)
    assert released(aligner, more, PATIENCE_S + 0.1) == {web: [0, 1]}
    aligner.add(web, 1, [record(2, 30)], 1.0)
    assert released(aligner, more, 1.0 + 2 * LINGER_S) == {web: [2]}, "not once more for as long"
    aligner.add(store, 1, written([25]), 2.0)
    aligner.add(web, 1, [record(3, 40)], 2.0)
    assert released(aligner, more, 2.0 + 2 * LINGER_S) == {store: [0]}


def test_what_has_just_arrived_does_not_wait_for_anothers_backlog_unless_it_is_behind_something_older() -> (
    None
):
    web, other, store = SOURCES
    fresh = 600_000
    aligner = Aligner(0.0)
    aligner.add(store, 1, written([100] * 3), 0.0)
    aligner.add(web, 1, written([fresh, fresh + 50]), 0.0)
    aligner.add(other, 1, written([fresh - 1, fresh + 50]), 0.0)
    assert released(aligner, {web: True, other: False, store: True}, 0.0, fresh) == {web: [0, 1]}
    assert released(aligner, {web: True, other: False, store: True}, LINGER_S, fresh) == {store: [0, 1, 2]}


def test_what_comes_live_does_not_make_a_small_backlog_wait_for_ever() -> None:
    web, _, store = SOURCES
    fresh = 600_000
    aligner = Aligner(0.0)
    aligner.add(store, 1, written([100] * 3), 0.0)
    for step in range(1, 4):
        seconds = step * LINGER_S / 3
        aligner.add(web, 1, written([fresh]), seconds)
        found = released(aligner, {web: False, store: True}, seconds, fresh)
        assert found == ({web: [0]} if step < 3 else {web: [0], store: [0, 1, 2]})


def test_few_records_wait_a_little_for_others() -> None:
    web, _, store = SOURCES
    aligner = Aligner(0.0)
    aligner.add(web, 1, written([10]), 0.0)
    aligner.add(store, 1, written([20, 30]), 0.0)
    assert released(aligner, {web: False, store: True}, LINGER_S / 2) == {}
    assert released(aligner, {web: False, store: True}, LINGER_S) == {web: [0], store: [0, 1]}


def test_what_is_behind_a_record_that_waits_waits_too() -> None:
    web, _, store = SOURCES
    aligner = Aligner(0.0)
    aligner.add(web, 1, written([10, 500, 11]), 0.0)
    aligner.add(store, 1, written([20]), 0.0)
    assert released(aligner, {web: False, store: True}, LINGER_S) == {web: [0], store: [0]}
    aligner.add(store, 1, [record(1, 600)], 1.0)
    assert released(aligner, {web: False, store: True}, 1.0 + LINGER_S) == {web: [1, 2], store: [1]}


def test_a_whole_backlog_is_handed_out_in_slices_of_time() -> None:
    web, _, store = SOURCES
    aligner = Aligner(0.0)
    aligner.add(web, 1, written([*range(3 * AT_ONCE)]), 0.0)
    aligner.add(store, 1, written([0, AT_ONCE, 2 * AT_ONCE]), 0.0)
    first = released(aligner, {web: False, store: False}, 0.0)
    assert AT_ONCE * 0.9 < len(first[web]) < AT_ONCE * 1.1
    assert len(first[store]) in (1, 2)


def test_no_more_is_fetched_of_a_source_of_which_enough_is_held() -> None:
    web, _, store = SOURCES
    aligner = Aligner(0.0)
    aligner.add(web, 1, written([5] * (ENOUGH - 1)), 0.0)
    assert not aligner.holds(web)
    aligner.add(web, 1, [record(ENOUGH - 1, 5)], 0.0)
    assert aligner.holds(web)
    assert not aligner.holds(store)


def test_what_was_fetched_before_a_seek_is_forgotten_and_so_is_how_far_its_source_had_come() -> None:
    web, _, store = SOURCES
    aligner = Aligner(0.0)
    aligner.add(web, 1, written([10, 20]), 0.0)
    aligner.add(store, 2, written([15]), 0.0)
    aligner.forget(lambda tp, incarnation: (tp, incarnation) == (web, 1))
    assert released(aligner, {web: True, store: False}, LINGER_S) == {}, "the other one may begin before"
    aligner.add(web, 3, written([10, 20]), 0.1)
    assert released(aligner, {web: False, store: False}, 0.1) == {web: [0, 1], store: [0]}
    assert alignment.LEAST < AT_ONCE
