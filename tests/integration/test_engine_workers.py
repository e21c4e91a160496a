"""What the engine promises of its workers: what they read, keep of their partitions, and leave out of Faust."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from rocksdict import Options, Rdict

from stream_app.engine.worker import EXIT_FATAL
from tests.engine_job import KEYS, every_tenth, tens
from tests.engine_probes import LONG_BATCH_S
from tests.engine_worker import PARTITIONS
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine_job import Probed

pytestmark = pytest.mark.broker

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
SESSION_MS = 1_500


# What they read


def test_records_of_every_codec_that_producers_use_are_read(probed):
    job = probed("sound")
    for codec in CODECS:
        producer = Producer(
            {
                "bootstrap.servers": job.bootstrap,
                "partitioner": "murmur2_random",
                "compression.type": codec,
                "linger.ms": 100,  # a batch of one short record is not worth compressing
            }
        )
        for key in KEYS:
            for _ in range(10):
                producer.produce(job.topics["input"], b"x" * 1_000, key)
        assert producer.flush(30) == 0
    job.start("w1")
    counts = Counter(dict.fromkeys(KEYS, 10 * len(CODECS)))
    assert sorted(job.outputs(len(every_tenth(counts)), 30)) == every_tenth(counts), job.log("w1")[-2_000:]


def test_records_of_a_producers_aborted_transaction_are_not_read(probed):
    job = probed("sound")
    producer = Producer(
        {
            "bootstrap.servers": job.bootstrap,
            "partitioner": "murmur2_random",
            "transactional.id": f"{job.group}-foreign",
        }
    )
    producer.init_transactions()
    for end in (producer.abort_transaction, producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for key, value in tens():
            producer.produce(job.topics["input"], value, key)
        assert producer.flush(30) == 0
        end()
    job.start("w1")
    assert sorted(job.outputs(len(KEYS))) == every_tenth(Counter(dict.fromkeys(KEYS, 10)))


def test_a_batch_is_of_one_partition_and_never_larger_than_its_cap(probed):
    job = probed("batches")
    counts = job.feed(tens(30))
    job.start("w1", BATCH="50")
    assert sorted(job.outputs(len(every_tenth(counts)))) == every_tenth(counts)
    found = job.said("w1", "batch")
    sizes = [int(size) for _, size, _ in found]
    assert max(sizes) == 50
    assert len({partition for partition, *_ in found}) == 2 * PARTITIONS
    assert {sound for *_, sound in found} == {"True"}


def test_the_state_decides_where_reading_goes_on_whatever_the_groups_offsets_say(probed):
    job = probed("sound")
    counts = job.feed(tens(15))
    worker = job.start("w1")
    assert sorted(job.outputs(len(every_tenth(counts)))) == every_tenth(counts)
    worker.terminate()
    assert worker.wait(20) == 0
    counts += job.feed(tens(15))
    consumer = Consumer({"bootstrap.servers": job.bootstrap, "group.id": job.group})
    with contextlib.closing(consumer):
        wrong = []
        for partition in range(PARTITIONS):
            _, end = consumer.get_watermark_offsets(TopicPartition(job.topics["input"], partition))
            wrong.append(TopicPartition(job.topics["input"], partition, 0 if partition % 2 else end))
            wrong.append(TopicPartition(job.topics["middle"], partition, 0))
        consumer.commit(offsets=wrong, asynchronous=False)
    job.start("w1")
    assert sorted(job.outputs(len(every_tenth(counts)))) == every_tenth(counts)


# What they keep


def owned(job: Probed, worker: str) -> set[str]:
    """Return the partitions that a worker has ready."""
    told = job.said(worker, "ready")
    return set(told[-1]) if told else set()


def settled(job: Probed, *workers: str) -> dict[str, set[str]]:
    """Wait until these workers have all partitions ready between them; return whose they are."""
    everything = {f"{job.topics[role]}/{p}" for role in ("input", "middle") for p in range(PARTITIONS)}

    def divided() -> bool:
        found = [owned(job, worker) for worker in workers]
        return all(found) and set().union(*found) == everything and sum(map(len, found)) == len(everything)

    assert wait_for(divided, 40), {worker: owned(job, worker) for worker in workers}
    return {worker: owned(job, worker) for worker in workers}


def shares(job: Probed, role: str, division: dict[str, set[str]]) -> list[int]:
    """Return how many partitions of a topic the workers have, the fewest first."""
    topic = f"{job.topics[role]}/"
    return sorted(sum(name.startswith(topic) for name in partitions) for partitions in division.values())


def counting(job: Probed, partitions: set[str]) -> set[str]:
    """Return those of the partitions that have a store."""
    return {partition for partition in partitions if partition.startswith(job.topics["middle"])}


def heard(job: Probed, worker: str) -> tuple[int, int]:
    """Return how much a worker has said of opening and of restoring."""
    return len(job.said(worker, "opened")), len(job.said(worker, "restored"))


def assert_kept_open(
    job: Probed, worker: str, before: set[str], after: set[str], since: tuple[int, int]
) -> None:
    """What a worker keeps it neither opens nor restores again; what it gets it opens, and what it loses it closes."""
    told = job.said(worker, "opened")[since[0] :]
    assert {task for (task,) in told} == counting(job, after - before)
    lost = counting(job, before - after)
    closed = {name for (name,) in job.said(worker, "closed")}
    assert closed >= {f"count-{partition.rpartition('/')[2]}" for partition in lost}
    restored = job.said(worker, "restored")[since[1] :]
    assert {count for task, count in restored if task in before & after} <= {"0"}


def test_when_workers_come_and_go_the_others_keep_their_partitions_and_their_open_stores(probed):
    job = probed("stores", time_mode="events")
    stayed = ("w1", "w2")
    for worker in stayed:
        job.start(worker)
        job.waits_for(worker, lambda worker=worker: bool(owned(job, worker)), 30)
    two = settled(job, *stayed)
    assert shares(job, "input", two) == shares(job, "middle", two) == [2, 2]
    counts = job.feed(tens())
    assert sorted(job.outputs(len(KEYS))) == every_tenth(counts)

    since = {worker: heard(job, worker) for worker in stayed}
    job.start("w3")
    job.waits_for("w3", lambda: bool(owned(job, "w3")), 30)
    three = settled(job, *stayed, "w3")
    assert shares(job, "input", three) == shares(job, "middle", three) == [1, 1, 2]
    assert sorted(map(len, three.values())) == [2, 3, 3]
    assert counting(job, set().union(*(two[worker] & three[worker] for worker in stayed)))
    for worker in stayed:
        assert_kept_open(job, worker, two[worker], three[worker], since[worker])

    since = {worker: heard(job, worker) for worker in stayed}
    job.workers["w3"].terminate()
    again = settled(job, *stayed)
    for worker in stayed:
        assert again[worker] > three[worker]  # nothing but what the third had moves
    assert shares(job, "input", again) == shares(job, "middle", again) == [2, 2]
    for worker in stayed:
        assert_kept_open(job, worker, three[worker], again[worker], since[worker])
    counts += job.feed(tens())
    assert sorted(job.outputs(len(every_tenth(counts)))) == every_tenth(counts)


def test_a_batch_that_takes_longer_than_the_session_costs_no_partitions(probed):
    job = probed("long_batch")
    counts = job.feed(tens())
    job.start("w1", SESSION_MS=str(SESSION_MS))
    assert SESSION_MS / 1_000 < LONG_BATCH_S / 3
    assert sorted(job.outputs(len(KEYS), 30)) == every_tenth(counts)
    assert len(job.said("w1", "assigned")) == 1


# What ends them


def test_a_worker_whose_commits_keep_failing_gives_up_after_a_few_with_an_exit_code_and_nothing_is_acknowledged(
    probed,
):
    job = probed("failing_commits")
    job.feed(tens())
    assert job.start("w1").wait(30) == EXIT_FATAL
    assert len(job.said("w1", "commit")) == 3
    assert "planted: no commit" in job.log("w1")
    assert job.read("output") == job.read("middle") == []
    consumer = Consumer({"bootstrap.servers": job.bootstrap, "group.id": job.group})
    with contextlib.closing(consumer):
        inputs = [TopicPartition(job.topics["input"], partition) for partition in range(PARTITIONS)]
        assert all(where.offset < 0 for where in consumer.committed(inputs, timeout=10))


def test_a_worker_does_not_start_on_rows_of_an_unknown_format_and_says_what_to_do(probed, tmp_path):
    job = probed("sound")
    job.feed(tens())
    worker = job.start("w1")
    job.outputs(len(KEYS))
    worker.terminate()
    assert worker.wait(20) == 0
    rewrite_format(tmp_path / "w1" / "count-2", b"99")
    assert job.start("w1").wait(20) == EXIT_FATAL
    log = job.log("w1")
    assert "row format b'99'" in log
    assert "delete the folder and let the changelog rebuild it" in log


def rewrite_format(folder: Path, version: bytes) -> None:
    db = Rdict(str(folder), Options(raw_mode=True))
    db[b"\x00format"] = version
    db.close()


# What they leave out


def test_faust_serves_nothing_logs_nothing_more_than_it_was_told_and_measures_no_event_for_prometheus(probed):
    job = probed("shell")
    counts = job.feed(tens())
    job.start("w1")
    assert sorted(job.outputs(len(KEYS))) == every_tenth(counts)
    assert job.said("w1", "listens") == []
    assert job.said("w1", "logs") == [["WARNING", "1"]]
    ((*sensors,),) = job.said("w1", "measures")
    assert sensors
    assert "PrometheusMonitor" not in sensors
