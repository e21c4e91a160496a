"""What the engine does when something around it, or in it, is not as it should be: on a real broker.

Workers run as processes, with something planted (`tests/engine_probes.py`).
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from stream_app.engine import topics as kafka_topics
from stream_app.engine.producer import TransactionalProducer
from stream_app.engine.worker import EXIT_FATAL
from tests.engine_job import KEYS, every_tenth, tens
from tests.engine_probes import (
    BAD,
    IMPATIENCE_S,
    JOINING,
    RESTORING,
    SLOW_RESTORE_S,
    TOO_LARGE,
    UNREAD_S,
)

if TYPE_CHECKING:
    from tests.engine_job import Probed

pytestmark = pytest.mark.broker

MODEST_COMMITS_PER_S = 15
FROZEN_S = 3.0


def test_an_idle_worker_commits_at_a_modest_rate_and_nothing_is_kept_of_the_batches_that_it_had(probed):
    job = probed("books")
    counts = job.feed(tens(100))
    job.start("w1", BATCH="5")  # 800 batches a stage, about
    assert sorted(job.outputs(len(every_tenth(counts)))) == every_tenth(counts)
    time.sleep(1.0)
    before = len(job.said("w1", "books"))
    time.sleep(4.0)
    first, *_, last = job.said("w1", "books")[before:]
    rate = (int(last[1]) - int(first[1])) / (float(last[0]) - float(first[0]))
    assert 0 < rate < MODEST_COMMITS_PER_S
    assert last[2:] == ["0", "0"]


def test_each_timer_that_fails_is_set_aside_and_later_ones_still_fire(probed):
    job = probed("failing_timers", time_mode="events")
    timers = [(b"one", b"timer:%d" % due) for due in (1_001, 1_101, 1_200, 7_000)]
    job.feed([*timers, *tens()])
    job.mark(5_000)
    job.start("w1")
    found = job.outputs(len(KEYS) + 1)
    job.mark(8_000)
    found = job.outputs(len(KEYS) + 2)
    fired = sorted(value for value in found if value.startswith(b"fired"))
    assert fired == [b"fired:one:1200", b"fired:one:7000"]
    assert sorted(job.read("dead")) == [(b"one", b"1001"), (b"one", b"1101")]
    assert job.workers["w1"].poll() is None


def test_a_record_with_which_an_epoch_can_not_end_is_found_and_set_aside(probed):
    job = probed("failing_flush")
    events = tens()
    counts = job.feed([*events[:200], (BAD, b"x"), *events[200:], (BAD, b"y")]) - Counter({BAD: 2})
    job.start("w1")
    assert sorted(job.outputs(len(KEYS))) == every_tenth(counts)
    assert sorted(job.read("dead")) == [(BAD, b"x"), (BAD, b"y")]
    assert job.workers["w1"].poll() is None


def test_a_stage_whose_handler_can_not_be_made_ends_the_worker_and_says_why(probed):
    job = probed("failing_start")
    worker = job.start("w1")
    assert worker.wait(20) == EXIT_FATAL
    log = job.log("w1")
    assert "worker_failed" in log
    assert "planted: no handler" in log


def test_an_output_that_no_topic_takes_is_found_and_what_it_came_from_set_aside(probed):
    job = probed("large_output")
    events = tens()
    counts = job.feed([*events[:200], (KEYS[0], TOO_LARGE), *events[200:]]) - Counter({KEYS[0]: 1})
    job.start("w1")
    assert sorted(job.outputs(len(KEYS))) == every_tenth(counts)
    assert job.read("dead") == [(KEYS[0], TOO_LARGE)]
    assert job.workers["w1"].poll() is None


def ran_and_stopped(job: Probed) -> Counter[bytes]:
    """Let a worker count, and stop it; return the counts."""
    counts = job.feed(tens())
    worker = job.start("w1")
    assert sorted(job.outputs(len(KEYS))) == every_tenth(counts)
    worker.terminate()
    assert worker.wait(20) == 0
    return counts


def test_rows_ahead_of_a_changelog_that_was_made_anew_are_built_again_from_the_input(probed):
    job = probed("sound")
    counts = ran_and_stopped(job)
    job.make_anew("count-changelog")
    counts += job.feed(tens())
    job.start("w1")
    expected = set(every_tenth(counts))
    job.waits_for("w1", lambda: {value for _, value in job.read("output")} == expected)
    assert "rows_ahead_of_changelog" in job.log("w1")
    assert job.workers["w1"].poll() is None


def test_an_input_that_ends_before_the_states_position_ends_the_worker_and_says_what_to_do(probed):
    job = probed("sound")
    ran_and_stopped(job)
    job.make_anew("input")
    assert job.start("w1").wait(20) == EXIT_FATAL
    assert "the topic was made anew" in job.log("w1")
    assert "restore the topic" in job.log("w1")


def test_a_restore_that_takes_longer_than_any_interval_between_two_fetches_keeps_the_group(probed):
    job = probed("slow_restore")
    counts = job.feed(tens())
    started = time.monotonic()
    job.start("w1", SESSION_MS="1500")
    assert sorted(job.outputs(len(KEYS), 25)) == every_tenth(counts)
    assert time.monotonic() - started > SLOW_RESTORE_S > 2 * IMPATIENCE_S
    assert len(job.said("w1", "assigned")) == 1


def test_a_worker_told_to_stop_while_it_restores_stops(probed):
    job = probed("slow_restore")
    worker = job.start("w1")
    job.waits_for("w1", lambda: bool(job.said("w1", RESTORING)))
    worker.terminate()
    assert worker.wait(10) == 0, job.log("w1")[-2_000:]


def test_workers_told_to_stop_while_partitions_move_stop(probed):
    job = probed("sound")
    counts = job.feed(tens())
    first = job.start("w1")
    assert sorted(job.outputs(len(KEYS))) == every_tenth(counts)
    second = job.start("w2")
    job.waits_for("w2", lambda: bool(job.said("w2", JOINING)))
    second.terminate()
    first.terminate()
    assert (first.wait(20), second.wait(20)) == (0, 0), job.log("w1")[-1_000:] + job.log("w2")[-1_000:]


def all_taken(job: Probed, count: int) -> None:
    """Wait until the first stage has had so many records."""
    job.waits_for("w1", lambda: sum(int(n) for (n,) in job.said("w1", "took")) >= count)


def test_a_live_clock_passes_no_record_that_came_while_the_worker_was_frozen(probed):
    job = probed("late_records")
    fed = job.feed(tens()).total()
    worker = job.start("w1")
    all_taken(job, fed)
    time.sleep(1.0)  # its clock follows the broker's by now
    for pause in (FROZEN_S, *(FROZEN_S / 6,) * 2):
        worker.send_signal(signal.SIGSTOP)
        time.sleep(pause / 2)  # an answer that was on its way says that nothing is left
        fed += job.feed(tens()).total()
        time.sleep(pause / 2)
        worker.send_signal(signal.SIGCONT)
        time.sleep(0.3)
    all_taken(job, fed)
    assert job.said("w1", "late") == []


def test_a_live_clock_passes_no_record_that_came_while_the_brokers_last_answer_lay_unread(probed):
    job = probed("late_answers")
    fed = job.feed(tens(1)).total()
    job.start("w1")
    all_taken(job, fed)
    for _ in range(6):
        time.sleep(UNREAD_S / 2)  # idle for a while, and then not
        fed += job.feed(tens(1)[:4]).total()
    all_taken(job, fed)
    assert job.said("w1", "late") == []


def test_a_transaction_that_is_aborted_before_the_broker_knows_of_it_costs_no_more_than_a_new_producer(
    bootstrap_servers, topic_prefix
):
    kafka_topics.create(bootstrap_servers, [kafka_topics.TopicSpec(f"{topic_prefix}aborted", 4)])
    producer = TransactionalProducer({"bootstrap.servers": bootstrap_servers}, topic_prefix, 8.0)
    for number in range(300):
        producer.send(f"{topic_prefix}aborted", b"value", b"%d" % number)
        time.sleep(number % 30 / 1_000)  # at each moment of the client's first request
        if number % 3:
            producer.abort()
        else:
            producer.commit([], None)
    producer.close()
