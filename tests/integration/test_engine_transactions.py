"""What one transaction makes visible, who may commit it, and what a restore makes of it: on a real broker."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from connectors.planned import Planned
from stream_app.engine import topics as kafka_topics
from stream_app.engine.changelog import Progress, Restorer
from stream_app.engine.codec import decode_marker
from stream_app.engine.errors import (
    EngineError,
    EpochAbortedError,
    FencedError,
    OutcomeUnknownError,
    StaleRowsError,
)
from stream_app.engine.group_metadata import group_metadata
from stream_app.engine.orphans import end_if_open
from stream_app.engine.producer import TransactionalProducer
from stream_app.engine.store import Rows
from stream_app.runs import feed as feed_module
from stream_app.runs.feed import Feed, Speed

pytestmark = pytest.mark.broker

TIMEOUT_S = 8.0
PARTITIONS = 7
KEYS = [b"", b"\x00", b"\xff\xfe", "Zoë".encode(), *(b"customer-%d" % number for number in range(300))]


class Kafka:
    """Topics of one test, and clients that see what is committed, and what is not."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.client = {"bootstrap.servers": bootstrap}
        self.prefix = prefix
        self.producers: list[TransactionalProducer] = []

    def topic(self, name: str, partitions: int = 1) -> str:
        spec = kafka_topics.TopicSpec(self.prefix + name, partitions)
        kafka_topics.create(self.client["bootstrap.servers"], [spec])
        return spec.name

    def producer(self, slot: str = "slot", **settings: Any) -> TransactionalProducer:
        client = {**self.client, **settings}
        self.producers.append(TransactionalProducer(client, self.prefix + slot, TIMEOUT_S))
        return self.producers[-1]

    def consumer(self, isolation: str = "read_committed", **settings: Any) -> Consumer:
        group = {"group.id": f"{self.prefix}group", "enable.auto.commit": False}
        return Consumer({**self.client, **group, "isolation.level": isolation, **settings})

    def read(self, topic: str, partitions: int = 1) -> list[tuple[bytes | None, bytes | None, int]]:
        """Return (key, value, partition) of all that is committed."""
        found, ends = [], 0
        with contextlib.closing(self.consumer(**{"enable.partition.eof": True})) as consumer:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
            while ends < partitions:
                for message in consumer.consume(1_000, 0.1):
                    if message.error() is None:
                        found.append((message.key(), message.value(), message.partition()))
                    else:
                        assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                        ends += 1
        return found

    def ends(self, topic: str) -> tuple[int, int]:
        """Return where the committed part of a topic's first partition ends, and where all of it does."""
        where = TopicPartition(topic, 0)
        found = []
        for isolation in ("read_committed", "read_uncommitted"):
            with contextlib.closing(self.consumer(isolation)) as consumer:
                found.append(consumer.get_watermark_offsets(where, timeout=10)[1])
        return found[0], found[1]

    def group_offset(self, topic: str) -> int:
        with contextlib.closing(self.consumer()) as consumer:
            (where,) = consumer.committed([TopicPartition(topic, 0)], timeout=10)
            return int(where.offset)


@pytest.fixture
def kafka(bootstrap_servers, topic_prefix):
    one = Kafka(bootstrap_servers, topic_prefix)
    yield one
    for producer in one.producers:
        producer.close()


def unfinished(producer: TransactionalProducer, topic: str, key: bytes, value: bytes) -> None:
    """Have a message on the broker whose transaction is still open."""
    producer.send(topic, value, key, 0)
    assert producer._producer.flush(TIMEOUT_S) == 0


# Where a key belongs


def belongs(key: bytes) -> int:
    return int(DefaultPartitioner()(key, list(range(PARTITIONS)), list(range(PARTITIONS))))


def test_a_key_goes_to_the_partition_where_javas_and_aiokafkas_producers_put_it(kafka):
    topic = kafka.topic("keyed", PARTITIONS)
    producer = kafka.producer()
    for key in KEYS:
        producer.send(topic, b"value", key)
    producer.commit([], None)
    found = {key: partition for key, _, partition in kafka.read(topic, PARTITIONS)}
    assert found == {key: belongs(key) for key in KEYS}
    assert len(set(found.values())) == PARTITIONS


def test_what_is_fed_into_channels_goes_where_javas_and_aiokafkas_producers_put_it(kafka):
    topic = kafka.topic("channel", PARTITIONS)
    feed = Feed(kafka.client["bootstrap.servers"], {"web": topic}, PARTITIONS)
    planned = [Planned(channel="web", at=number, raw=b"value", key=key) for number, key in enumerate(KEYS)]
    feed.play(planned, Speed(None), markers=False)
    found = {key: partition for key, _, partition in kafka.read(topic, PARTITIONS)}
    assert found == {key: belongs(key) for key in KEYS}


def test_clock_markers_of_a_replay_reach_every_partition_at_intervals_behind_what_they_speak_of(
    kafka, monkeypatch
):
    monkeypatch.setattr(feed_module, "MARKER_EVERY", 10)
    topic = kafka.topic("channel", 2)
    feed = Feed(kafka.client["bootstrap.servers"], {"web": topic}, 2, tolerance_ms=3)
    planned = [
        Planned(channel="web", at=100 + number, raw=b"%d" % (100 + number), key=b"%d" % number)
        for number in range(25)
    ]
    feed.play(planned, Speed(None))
    found = kafka.read(topic, 2)
    for partition in (0, 1):
        marked = [0]
        for key, value, where in found:
            if where == partition and key == feed_module.MARKER_KEY:
                marked.append(decode_marker(value) or 0)
            elif where == partition:
                assert int(value or b"") > marked[-1]
        assert marked == [0, 106, 116]


# What becomes visible


class Member:
    """A member of the test's group, as the coordinator knows it."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self.consumer = kafka.consumer()
        self.consumer.subscribe([topic])
        deadline = time.monotonic() + 30
        while not self.consumer.assignment():
            assert time.monotonic() < deadline, "it never joined"
            self.consumer.poll(0.1)
        self.group = f"{kafka.prefix}group"
        written = self.consumer.consumer_group_metadata()
        (self.generation,) = struct.unpack_from("<i", written, len(b"CGMDv2:"))
        self.id = self.consumer.memberid()

    def metadata(self, *, generation: int = 0, member: str | None = None) -> bytes:
        """Return its metadata, of so many generations later and of another member if told so."""
        return group_metadata(self.group, self.generation + generation, member or self.id)


def test_outputs_changelog_and_offsets_become_visible_together(kafka):
    source, output, changelog = (kafka.topic(name) for name in ("input", "output", "changelog"))
    member = Member(kafka, source)
    producer = kafka.producer()

    def visible() -> tuple[int, int, int]:
        return len(kafka.read(output)), len(kafka.read(changelog)), kafka.group_offset(source)

    nothing = visible()
    assert nothing[:2] == (0, 0)
    assert nothing[2] < 0
    with contextlib.closing(member.consumer):
        for end in ("abort", "commit"):
            for topic in (output, changelog):
                unfinished(producer, topic, b"key", b"value")
            assert visible() == nothing
            if end == "abort":
                producer.abort()
                assert visible() == nothing
            else:
                producer.commit([(source, 0, 5)], member.metadata())
                assert visible() == (1, 1, 5)


@pytest.mark.parametrize(
    "who", [{"generation": -1}, {"member": "somebody-else"}], ids=["an old generation", "no member"]
)
def test_who_has_lost_its_partitions_is_fenced_and_nothing_of_its_epoch_is_visible(kafka, who):
    source, output = kafka.topic("input"), kafka.topic("output")
    member = Member(kafka, source)
    producer = kafka.producer()
    with contextlib.closing(member.consumer):
        producer.send(output, b"value", b"key", 0)
        with pytest.raises(FencedError):
            producer.commit([(source, 0, 5)], member.metadata(**who))
        assert kafka.read(output) == []
        assert kafka.group_offset(source) < 0
        producer.send(output, b"another", b"key", 0)
        producer.commit([(source, 0, 6)], member.metadata())
        assert kafka.read(output) == [(b"key", b"another", 0)]


def test_a_restarted_slot_ends_its_predecessors_open_transaction_before_it_does_anything(kafka):
    topic = kafka.topic("output")
    unfinished(kafka.producer("slot"), topic, b"key", b"dead")
    assert kafka.ends(topic) == (0, 1)
    kafka.producer("another-slot")
    assert kafka.ends(topic)[0] == 0
    kafka.producer("slot")
    stable, end = kafka.ends(topic)
    assert stable == end
    assert kafka.read(topic) == []


def test_a_producer_that_was_fenced_by_the_next_one_of_its_slot_leaves_without_a_word(kafka):
    topic = kafka.topic("output")
    predecessor = kafka.producers.pop(kafka.producers.index(kafka.producer("slot")))
    unfinished(predecessor, topic, b"key", b"dead")
    producer = kafka.producer("slot")
    predecessor.close()
    producer.send(topic, b"value", b"key", 0)
    producer.commit([], None)
    assert kafka.read(topic) == [(b"key", b"value", 0)]


# What a restore makes of it


@pytest.fixture
def restorer(kafka):
    """Make a restorer that waits for so long."""
    with contextlib.ExitStack() as stack:

        def make(stable_timeout_s: float = 20.0) -> Restorer:
            return stack.enter_context(contextlib.closing(Restorer(kafka.client, stable_timeout_s)))

        yield make


@pytest.fixture
def rows(tmp_path):
    one = Rows(tmp_path / "rows")
    yield one
    one.close()


def changelog_of(kafka: Kafka, *epochs: dict[bytes, bytes | None]) -> tuple[str, TransactionalProducer]:
    """Return a changelog with these epochs, and its producer."""
    topic, producer = kafka.topic("changelog"), kafka.producer()
    for epoch in epochs:
        for key, value in epoch.items():
            producer.send(topic, value, key, 0)
        producer.commit([], None)
    return topic, producer


def test_a_restore_waits_for_a_transaction_that_is_still_open_and_has_what_it_commits(kafka, restorer, rows):
    topic, producer = changelog_of(kafka, {b"wa": b"1"})
    unfinished(producer, topic, b"wa", b"2")
    with ThreadPoolExecutor(1) as pool:
        restored = pool.submit(restorer().restore, topic, 0, rows, cancelled=threading.Event())
        time.sleep(1.0)  # one that does not wait has come to its end by now
        producer.commit([], None)
        restored.result(20)
    assert rows.get(b"wa") == b"2"


def test_the_wait_for_an_open_transaction_is_bounded_and_nothing_is_restored_in_part(kafka, restorer, rows):
    topic, producer = changelog_of(kafka, {b"wa": b"1"})
    unfinished(producer, topic, b"wa", b"2")
    with pytest.raises(EngineError, match="has an open transaction that the broker did not end"):
        restorer(0.3).restore(topic, 0, rows, cancelled=threading.Event())
    assert rows.get(b"wa") is None
    assert rows.changelog_position == 0
    producer.abort()
    restorer().restore(topic, 0, rows, cancelled=threading.Event())
    assert rows.get(b"wa") == b"1"


def test_a_restore_reads_on_from_the_local_position_and_applies_deletions(kafka, restorer, rows):
    topic, producer = changelog_of(kafka, {b"wa": b"1", b"wb": b"1"})
    restorer().restore(topic, 0, rows, cancelled=threading.Event())
    position = rows.changelog_position
    rows.write([(b"wa", b"local")], position)  # shows whether what lies before is applied again
    for key, value in ((b"wb", None), (b"wc", b"2")):
        producer.send(topic, value, key, 0)
    producer.commit([], None)
    restorer().restore(topic, 0, rows, cancelled=threading.Event())
    assert [rows.get(key) for key in (b"wa", b"wb", b"wc")] == [b"local", None, b"2"]
    assert rows.changelog_position > position


def test_rows_of_an_aborted_epoch_are_not_restored(kafka, restorer, rows):
    topic, producer = changelog_of(kafka, {b"wa": b"1"})
    unfinished(producer, topic, b"wa", b"2")
    producer.abort()
    restorer().restore(topic, 0, rows, cancelled=threading.Event())
    assert rows.get(b"wa") == b"1"


def test_rows_that_are_ahead_of_their_changelog_are_refused(kafka, restorer, rows):
    topic, _ = changelog_of(kafka, {b"wa": b"1"})
    rows.write([(b"wa", b"2")], 100)
    with pytest.raises(StaleRowsError, match="the rows go up to 100"):
        restorer().restore(topic, 0, rows, cancelled=threading.Event())


def test_a_restore_tells_of_its_progress_from_its_first_rows_to_the_end(kafka, restorer, rows):
    topic, _ = changelog_of(kafka, {b"w%d" % number: b"x" * 100 for number in range(25_000)})
    told: list[Progress] = []
    restorer().restore(topic, 0, rows, cancelled=threading.Event(), progress=told.append)
    assert len(told) >= 3
    assert told == sorted(told, key=lambda progress: (progress.done, progress.rows, progress.seconds))
    assert 0 < told[0].done < told[0].total
    assert told[-1].done >= told[-1].total
    assert told[-1].rows == 25_000


def test_a_message_that_fails_takes_its_transaction_with_it_and_not_the_next(kafka):
    here, group = kafka.topic("here"), kafka.prefix + "nobody"
    producer = kafka.producer(**{"topic.metadata.propagation.max.ms": 100})
    producer.send(here, b"lost", b"key")
    producer.send(kafka.prefix + "nowhere", b"lost", b"key")
    with pytest.raises(EpochAbortedError):
        producer.commit([(here, 0, 1)], group_metadata(group, -1, ""))
    producer.send(here, b"kept", b"key")
    producer.commit([], None)
    assert [value for _, value, _ in kafka.read(here)] == [b"kept"]


def test_only_a_transaction_that_is_open_is_ended(kafka):
    name, topic = f"{kafka.prefix}orphan", kafka.topic("topic")
    assert not end_if_open(kafka.client, name)  # nobody has ever had it
    producer = Producer({**kafka.client, "transactional.id": name})
    producer.init_transactions(20)
    assert not end_if_open(kafka.client, name)
    producer.begin_transaction()
    producer.produce(topic, b"v", b"k", 0)
    producer.commit_transaction(20)  # it has not been fenced
    producer.begin_transaction()
    producer.produce(topic, b"w", b"k", 0)
    assert producer.flush(20) == 0
    assert end_if_open(kafka.client, name)
    with pytest.raises(KafkaException) as caught:
        producer.commit_transaction(20)
    assert caught.value.args[0].code() == KafkaError._FENCED
    assert kafka.read(topic) == [(b"k", b"v", 0)]


def test_a_producer_that_is_fenced_while_reports_wait_is_made_anew(kafka):
    topic = kafka.topic("topic")
    producer, told = kafka.producer("slot"), []
    producer.send(topic, b"one", b"k", 0)
    producer.commit([], None)
    for number in range(200):
        producer.send(topic, b"%d" % number, b"k", 0, on_delivery=lambda *said: told.append(said))
    assert end_if_open(kafka.client, f"{kafka.prefix}slot") or not told
    kafka.producer("slot")  # whoever opens the id last has it
    for number in range(200):
        producer.send(topic, b"%d" % number, b"k", 0, on_delivery=lambda *said: told.append(said))
    with pytest.raises(OutcomeUnknownError):
        producer.commit([], None)
    producer.send(topic, b"two", b"k", 0)
    producer.commit([], None)
    assert [value for _, value, _ in kafka.read(topic)] == [b"one", b"two"]
