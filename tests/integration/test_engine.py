"""What the engine promises, on a real broker, with workers as processes."""

from __future__ import annotations

import random
import shutil

import pytest

from stream_app.engine import topics as kafka_topics
from stream_app.engine.errors import TopicsError
from tests.engine_job import Job, every_tenth, specs
from tests.engine_worker import topics

pytestmark = pytest.mark.broker


def some(count: int, keys: int = 50, seed: int = 1) -> list[tuple[bytes, bytes]]:
    rnd = random.Random(seed)
    return [(b"k%03d" % rnd.randrange(keys), b"x") for _ in range(count)]


def test_every_event_counts_once_through_two_stages(bootstrap_servers, topic_prefix, tmp_path):
    with Job(bootstrap_servers, topic_prefix, tmp_path) as job:
        counts = job.feed(some(5_000))
        job.start("w1")
        assert sorted(job.outputs(len(every_tenth(counts)))) == every_tenth(counts)


def test_a_worker_told_to_stop_finishes_its_epoch_and_the_next_one_goes_on(
    bootstrap_servers, topic_prefix, tmp_path
):
    with Job(bootstrap_servers, topic_prefix, tmp_path) as job:
        counts = job.feed(some(3_000))
        first = job.start("w1")
        job.outputs(len(every_tenth(counts)))
        first.terminate()
        assert first.wait(30) == 0
        counts += job.feed(some(3_000, seed=2))
        job.start("w1")
        assert sorted(job.outputs(len(every_tenth(counts)))) == every_tenth(counts)


def test_a_wiped_state_folder_is_rebuilt_from_the_changelog(bootstrap_servers, topic_prefix, tmp_path):
    with Job(bootstrap_servers, topic_prefix, tmp_path) as job:
        counts = job.feed(some(3_000))
        job.start("w1")
        job.outputs(len(every_tenth(counts)))
        job.kill("w1")
        shutil.rmtree(tmp_path / "w1")
        counts += job.feed(some(3_000, seed=3))
        job.start("w1")
        assert sorted(job.outputs(len(every_tenth(counts)))) == every_tenth(counts)


def test_a_handler_that_raises_acknowledges_nothing_and_only_the_poison_record_is_set_aside(
    bootstrap_servers, topic_prefix, tmp_path
):
    events = some(2_000)
    counts = None
    with Job(bootstrap_servers, topic_prefix, tmp_path) as job:
        counts = job.feed(
            [*events[:1_000], (b"k001", b"poison"), *events[1_000:], (b"k002", b"fail-forward")]
        )
        counts[b"k001"] -= 1
        counts[b"k002"] -= 1
        job.start("w1")
        assert sorted(job.outputs(len(every_tenth(counts)))) == every_tenth(counts)
        assert sorted(job.read("dead")) == [(b"k001", b"poison"), (b"k002", b"fail-forward")]


def test_timers_fire_once_when_the_replays_clock_has_passed_them_even_after_a_kill(
    bootstrap_servers, topic_prefix, tmp_path
):
    with Job(bootstrap_servers, topic_prefix, tmp_path, time_mode="events") as job:
        job.feed([(b"early", b"timer:1000"), (b"exact", b"timer:2000"), (b"late", b"timer:3000")])
        job.mark(2_000)
        job.start("w1")
        assert job.outputs(1) == [b"fired:early:1000"]  # an event at 2000 itself could still come
        job.kill("w1")
        job.mark(2_001)
        job.start("w1")
        assert sorted(job.outputs(2)) == [b"fired:early:1000", b"fired:exact:2000"]


def test_a_missing_or_wrong_topic_is_a_clear_error(bootstrap_servers, topic_prefix):
    wanted = specs(topics(topic_prefix))
    with pytest.raises(TopicsError, match="input is missing"):
        kafka_topics.check(bootstrap_servers, wanted)
    wrong = [
        kafka_topics.TopicSpec(spec.name, 2 if "middle" in spec.name else 4, {"cleanup.policy": "delete"})
        for spec in wanted
    ]
    kafka_topics.create(bootstrap_servers, wrong)
    with pytest.raises(TopicsError) as caught:
        kafka_topics.check(bootstrap_servers, wanted)
    assert any("middle has 2 partitions instead of 4" in problem for problem in caught.value.problems)
    assert any("changelog has cleanup.policy=delete instead of compact" in p for p in caught.value.problems)


def test_creating_topics_twice_changes_nothing(bootstrap_servers, topic_prefix):
    wanted = specs(topics(topic_prefix))
    assert len(kafka_topics.create(bootstrap_servers, wanted)) == len(wanted)
    assert kafka_topics.create(bootstrap_servers, wanted) == []
    kafka_topics.check(bootstrap_servers, wanted)
