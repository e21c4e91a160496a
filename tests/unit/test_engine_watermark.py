from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.engine.watermark import UNSET, BrokerClock, MergedWatermark, SourceWatermark, TimeMode

TIMES = st.integers(min_value=0, max_value=10_000)


def test_in_a_replay_the_watermark_is_the_highest_event_time_seen():
    mark = SourceWatermark(TimeMode.EVENTS, tolerance=100, max_ahead=1_000)
    mark.observe(500, record_time=10_000)
    mark.observe(300, record_time=10_000)
    assert mark.value == 500


def test_an_event_far_in_the_future_moves_the_clock_no_further_than_its_records_timestamp_allows():
    mark = SourceWatermark(TimeMode.EVENTS, tolerance=100, max_ahead=1_000)
    mark.observe(10**12, record_time=10_000)
    assert mark.value == 11_000


@given(st.lists(st.tuples(TIMES, TIMES)))
def test_events_alone_take_a_replays_clock_as_far_as_they_took_that_of_life_but_for_the_tolerance(records):
    live = SourceWatermark(TimeMode.WALL, tolerance=100, max_ahead=0)
    replay = SourceWatermark(TimeMode.EVENTS, tolerance=100, max_ahead=0)
    for time, record_time in records:
        live.observe(time, record_time)
        replay.observe(time, record_time)
        assert replay.value == live.value + 100


def test_a_live_event_never_moves_the_clock_past_its_own_arrival_less_the_tolerance():
    mark = SourceWatermark(TimeMode.WALL, tolerance=100, max_ahead=60_000)
    mark.observe(20_000, record_time=10_000)
    assert mark.value == 9_900


def test_a_live_partition_that_lags_goes_by_the_highest_event_time_seen_and_not_by_the_brokers_clock():
    mark = SourceWatermark(TimeMode.WALL, tolerance=100, max_ahead=60_000)
    mark.observe(5_000, record_time=5_050)
    mark.observe(3_000, record_time=5_060)
    assert mark.value == 4_900


def test_in_a_replay_the_brokers_clock_moves_nothing():
    mark = SourceWatermark(TimeMode.EVENTS, tolerance=0, max_ahead=0)
    mark.caught_up(5_000)
    assert mark.value == UNSET


@pytest.mark.parametrize("mode", TimeMode)
@given(
    happened=st.lists(
        st.tuples(st.sampled_from(["observe", "mark", "caught_up"]), TIMES, TIMES, st.integers(0, 10**15))
    )
)
def test_no_event_takes_a_clock_further_ahead_than_its_arrival_allows_and_no_clock_goes_back(mode, happened):
    mark = SourceWatermark(mode, tolerance=100, max_ahead=1_000)
    for what, time, record_time, wrong in happened:
        before = mark.value
        if what == "observe":
            mark.observe(time + wrong, record_time)
            assert mark.value <= max(before, record_time + 1_000)
        else:
            getattr(mark, what)(time)
        assert mark.value >= before


def test_markers_move_a_replays_clock_and_no_live_one():
    replay = SourceWatermark(TimeMode.EVENTS, 0, 0)
    live = SourceWatermark(TimeMode.WALL, 0, 0)
    replay.mark(700)
    live.mark(700)
    assert (replay.value, live.value) == (700, UNSET)


def test_a_live_partition_that_has_caught_up_follows_the_brokers_clock():
    mark = SourceWatermark(TimeMode.WALL, tolerance=200, max_ahead=0)
    mark.caught_up(5_000)
    assert mark.value == 4_800


def test_an_upstream_that_was_never_heard_of_holds_time_back():
    mark = MergedWatermark({"a": 1, "b": 2})
    assert not mark.advance({"a": (100, [0]), "b": (100, [1])})
    assert mark.value == UNSET
    assert mark.advance({"b": (50, [0])})
    assert mark.value == 50


def test_whoever_no_partition_is_named_of_is_meant_with_all_of_them():
    mark = MergedWatermark({"a": 3})
    mark.advance({"a": (70, [1])})
    assert mark.advance({"a": (60, [])})
    assert (mark.value, mark.known) == (60, {"a": 60})


def test_tasks_that_nobody_waits_for_change_nothing():
    mark = MergedWatermark({"a": 1}, {"a": 5})
    assert not mark.advance({"b": (90, []), "a": (90, [1, -1])})
    assert (mark.value, mark.known) == (5, {"a": 5})


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.tuples(TIMES, st.lists(st.integers(0, 2))))))
def test_a_merged_watermark_is_the_minimum_of_what_was_said_last_and_never_goes_down(said):
    upstreams = {"a": 1, "b": 2, "c": 3}
    mark = MergedWatermark(upstreams)
    latest = {(topic, p): UNSET for topic, count in upstreams.items() for p in range(count)}
    before = UNSET
    for told in said:
        mark.advance(told)
        for topic, (time, listed) in told.items():
            named = {(topic, p) for p in listed or range(upstreams[topic])}
            latest |= dict.fromkeys(named & latest.keys(), time)
        assert mark.value == max(before, min(latest.values()))
        before = mark.value
        again = MergedWatermark(upstreams, mark.known, mark.value)
        assert (again.known, again.value) == (mark.known, mark.value)


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1))
def test_the_brokers_clock_is_never_estimated_ahead_of_it(observations):
    # The broker's true clock is `local + 5`; a timestamp is seen some time after it was given.
    clock = BrokerClock()
    for local, delay in observations:
        clock.observe(local + 5, local + delay)
        now = clock.now(local + delay)
        assert now is not None
        assert now <= local + delay + 5
