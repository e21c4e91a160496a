"""When an epoch ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.engine.pace import Pace, Pacer

SECONDS = st.floats(0, 0.2) | st.floats(0, 20)


def a_pacer(*, took: float = 0.0, behind: bool = False, **pace: float) -> Pacer:
    """Return a pacer whose last commit was at 0."""
    pacer = Pacer(Pace(**pace), 0.0)
    pacer.worked(100, 1.0 - took)
    pacer.committed(0.0, took, 101 if behind else 100)
    assert pacer.behind == behind
    return pacer


def test_the_usual_time_between_two_commits_is_a_tenth_of_a_second_and_never_more_than_a_whole_one():
    pace = Pace()
    assert (pace.interval_s, pace.longest_s) == (0.1, 1.0)
    assert pace.least_s < pace.interval_s


@pytest.mark.parametrize(
    ("behind", "commit_s", "expected"),
    [
        (True, 0.001, 0.1),
        (True, 0.05, 0.3),
        (True, 0.5, 0.9),
        (False, 0.05, 0.1),
        (False, 0.2, 0.2),
        (False, 0.95, 0.9),
    ],
)
def test_an_epoch_under_load_lasts_longer_where_commits_are_slow_and_much_longer_while_input_waits(
    behind, commit_s, expected
):
    pacer = a_pacer(took=commit_s, behind=behind, interval_s=0.1, stretch=6.0, longest_s=0.9)
    assert pacer.interval == pytest.approx(expected)
    assert not pacer.overdue(expected - 0.001)
    assert pacer.overdue(expected + 0.001)


@pytest.mark.parametrize(("waiting", "behind"), [(0, False), (2_000, False), (2_001, True)])
def test_who_has_more_than_a_seconds_work_waiting_is_behind(waiting, behind):
    pacer = Pacer(Pace(), 0.0)
    pacer.worked(500, 0.1)
    pacer.worked(500, 0.2)
    pacer.committed(1.0, 0.2, waiting)  # 1,000 records in half a second
    assert pacer.behind == behind


def test_who_has_done_nothing_and_finds_input_is_behind_and_catches_up():
    pacer = Pacer(Pace(), 0.0)
    pacer.committed(0.0, 0.01, 5)
    assert pacer.behind
    pacer.worked(5, 0.001)
    pacer.committed(0.1, 0.01, 0)
    assert not pacer.behind


def test_who_was_slow_once_is_not_behind_ever_after():
    pacer = Pacer(Pace(), 0.0)
    pacer.worked(1_000, 10.0)
    pacer.committed(10.0, 0.1, 0)
    pacer.worked(1_000, 0.1)
    pacer.committed(10.2, 0.1, 1_000)
    assert not pacer.behind
    pacer.worked(1_000, 10.0)
    pacer.dropped()
    pacer.worked(1_000, 0.1)
    pacer.committed(10.5, 0.1, 1_000)
    assert not pacer.behind


def test_an_epochs_time_begins_with_its_first_batch_and_again_after_a_commit_or_a_rollback():
    pacer = Pacer(Pace(interval_s=0.1), 0.0)
    pacer.begin(5.0)
    pacer.begin(5.08)
    assert not pacer.overdue(5.09)
    assert pacer.overdue(5.11)
    for end in (lambda: pacer.committed(6.0, 0.0, 0), pacer.dropped):
        end()
        pacer.begin(7.0)
        assert not pacer.overdue(7.09)
        assert pacer.overdue(7.11)


def test_what_an_epoch_that_was_rolled_back_had_done_does_not_count():
    pacer = Pacer(Pace(), 0.0)
    pacer.worked(1_000_000, 0.1)
    pacer.dropped()
    pacer.worked(10, 0.1)
    assert pacer.records == 10
    pacer.committed(1.0, 0.1, 51)
    assert pacer.behind


@given(now=SECONDS, took=SECONDS, behind=st.booleans(), at_hand=st.booleans())
def test_a_commit_is_due_when_the_epoch_is_old_or_nothing_is_left_to_do(now, took, behind, at_hand):
    pacer = Pacer(Pace(), 0.0)
    pacer.behind, pacer._took = behind, took
    due = pacer.due(now, at_hand=lambda: at_hand)
    if now > Pace.longest_s:
        assert due
    if now < Pace.least_s or (now < Pace.interval_s and (at_hand or behind)):
        assert not due
    if not at_hand and not behind and now >= max(Pace.least_s, took / 2):
        assert due


def test_what_comes_soon_after_a_dear_commit_waits_for_more():
    pacer = Pacer(Pace(), 0.0)
    pacer.committed(10.0, 0.4, 0)
    assert not pacer.due(10.19, at_hand=lambda: False)
    assert pacer.due(10.25, at_hand=lambda: False)


@given(took=SECONDS)
def test_an_epoch_of_a_worker_that_keeps_up_may_last_as_long_as_a_commit_but_for_the_longest(
    took,
):
    pacer = Pacer(Pace(), 0.0)
    pacer.committed(0.0, took, 0)
    assert pacer.interval >= min(took, Pace.longest_s)
    assert Pace.least_s <= pacer.pause <= 1.0
