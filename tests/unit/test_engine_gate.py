"""What the engine and the fetch loop tell each other: seeks, incarnations, and what has been read up to when."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from stream_app.engine import transport
from stream_app.engine.transport import Batch, BatchConsumer, Gate, _message

A, B = TP("topic", 0), TP("topic", 1)


def sought(gate: Gate) -> dict[TP, int]:
    """Apply the waiting seeks, as the fetch loop does between two fetches."""
    seeks = gate.take_seeks()
    gate.applied(seeks)
    return seeks


def test_only_open_partitions_are_fetched_and_not_before_their_seek():
    gate = Gate()
    assert gate.fetchable({A, B}) == set()
    gate.reopen(A, 7)
    assert gate.fetchable({A, B}) == set()
    assert sought(gate) == {A: 7}
    assert gate.fetchable({A, B}) == {A}
    gate.close([A])
    assert gate.fetchable({A, B}) == set()


def test_a_batch_fetched_before_a_seek_has_an_incarnation_that_is_stale_after_it():
    gate = Gate()
    gate.reopen(A, 0)
    sought(gate)
    before = gate.snapshot()
    since = gate.reopen(A, 0)
    still_waiting = gate.snapshot()
    sought(gate)
    assert before[A] <= since
    assert still_waiting[A] <= since
    assert gate.snapshot()[A] > since


def test_seeks_of_other_partitions_do_not_make_a_batch_fresh():
    gate = Gate()
    gate.reopen(A, 0)
    sought(gate)
    since = gate.reopen(A, 5)
    gate.take_seeks()
    gate.reopen(B, 0)
    sought(gate)
    assert gate.snapshot()[A] <= since


def test_the_last_of_several_seeks_counts_and_is_applied_once():
    gate = Gate()
    gate.reopen(A, 3)
    gate.reopen(A, 9)
    assert sought(gate) == {A: 9}
    assert sought(gate) == {}


def test_a_seek_that_failed_is_tried_again_and_nothing_is_fetched_before_it_is_done():
    gate = Gate()
    gate.reopen(A, 3)
    failed = gate.take_seeks()
    gate.put_back(failed)
    assert gate.fetchable({A}) == set()
    assert sought(gate) == {A: 3}


def test_a_seek_that_failed_does_not_replace_a_newer_one():
    gate = Gate()
    gate.reopen(A, 3)
    failed = gate.take_seeks()
    gate.reopen(A, 8)
    gate.put_back(failed)
    assert sought(gate) == {A: 8}


def test_a_seek_that_failed_is_forgotten_when_its_partition_was_closed_meanwhile():
    gate = Gate()
    gate.reopen(A, 3)
    failed = gate.take_seeks()
    gate.close([A])
    gate.put_back(failed)
    assert gate.take_seeks() == {}


def test_a_partition_that_was_closed_is_not_sought():
    gate = Gate()
    gate.reopen(A, 3)
    gate.close([A])
    assert gate.take_seeks() == {}


def test_a_partition_has_been_read_up_to_the_time_at_which_it_was_seen_empty():
    gate = Gate()
    gate.reopen(A, 0)
    assert gate.read_up_to(A, 0) is None
    gate.observe(A, 0, at=1_000)
    assert gate.read_up_to(A, 0) == 1_000
    gate.observe(A, 0, at=1_500)
    assert gate.read_up_to(A, 0) == 1_500


def test_a_partition_with_records_left_has_not_been_read_up_to_any_time():
    gate = Gate()
    gate.reopen(A, 0)
    gate.observe(A, 0, at=1_000)
    gate.observe(A, 3, at=1_500)
    assert gate.read_up_to(A, 0) is None
    assert gate.lag(A) == 3
    assert (gate.waiting(A, 0), gate.waiting(B, 0)) == (3, None)
    gate.deliver(A, 7)
    assert (gate.waiting(A, 5), gate.waiting(A, 7)) == (5, 3)


def test_a_partition_is_not_read_up_to_now_while_delivered_records_wait_to_be_processed():
    gate = Gate()
    gate.reopen(A, 0)
    gate.deliver(A, 10)
    gate.observe(A, 0, at=1_000)
    assert gate.read_up_to(A, 0) is None
    assert gate.read_up_to(A, 9) is None
    assert gate.read_up_to(A, 10) == 1_000


@pytest.mark.parametrize(
    "event",
    [lambda gate: gate.deliver(A, 10), lambda gate: gate.reopen(A, 10), lambda gate: gate.close([A])],
    ids=["deliver", "reopen", "close"],
)
def test_what_was_seen_empty_before_a_delivery_a_seek_or_a_revocation_says_nothing_after_it(event):
    gate = Gate()
    gate.reopen(A, 0)
    gate.observe(A, 0, at=1_000)
    event(gate)
    assert gate.read_up_to(A, 10) is None


def test_after_going_back_what_had_been_delivered_before_holds_nothing_up():
    gate = Gate()
    gate.reopen(A, 0)
    gate.deliver(A, 10)
    gate.reopen(A, 5)  # what lay behind was aborted: nothing comes any more
    gate.observe(A, 0, at=1_000)
    assert gate.read_up_to(A, 5) == 1_000


class State(SimpleNamespace):
    """What aiokafka knows of one partition: `timestamp` and `lso` are of the broker's last answer."""

    has_valid_position = True
    given = 2**62  # no bound: the answer was looked at as soon as it came


def consumer(**states: Any) -> BatchConsumer:
    """Return a consumer whose partitions are in these states ("a" and "b")."""
    found = {A: states.get("a"), B: states.get("b")}
    assignment = SimpleNamespace(state_value=lambda tp: found[TP(tp.topic, tp.partition)])
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    one = BatchConsumer.__new__(BatchConsumer)
    one.gate = Gate()
    one.gate.reopen(A, 0)
    one.gate.reopen(B, 0)
    one._thread = SimpleNamespace(_consumer=SimpleNamespace(_subscription=subscription))
    return one


def wall() -> int:
    return int(time.time() * 1000)


def local() -> int:
    return time.monotonic_ns() // 1_000_000


def test_an_answer_without_records_left_holds_for_the_time_when_it_came_and_not_for_now():
    one = consumer(a=State(timestamp=wall() - 3_000, lso=10, position=10))
    one._observe([A])
    assert one.gate.read_up_to(A, 10) == pytest.approx(local() - 3_000, abs=500)


def test_an_answer_with_records_left_says_how_many():
    one = consumer(
        a=State(timestamp=wall(), lso=25, position=10), b=State(timestamp=wall(), lso=4, position=4)
    )
    one._observe([A, B])
    assert (one.gate.lag(A), one.gate.lag(B)) == (15, 0)
    assert one.gate.read_up_to(A, 10) is None
    assert one.gate.read_up_to(B, 4) is not None


@pytest.mark.parametrize(
    "state",
    [
        None,
        State(timestamp=None, lso=None, position=10),
        State(timestamp=1, lso=None, position=10),
        State(timestamp=1, lso=10, position=None, has_valid_position=False),
    ],
    ids=["not ours", "no answer yet", "no stable offset", "no position yet"],
)
def test_without_an_answer_nothing_is_known(state):
    one = consumer(a=state)
    one._observe([A])
    assert one.gate.lag(A) is None
    assert one.gate.read_up_to(A, 10) is None


def test_without_a_consumer_nothing_is_known():
    one = consumer()
    one._thread = SimpleNamespace(_consumer=None)
    one._observe([A])
    assert one.gate.lag(A) is None


def test_a_wall_clock_that_was_set_back_does_not_put_an_answer_into_the_future():
    one = consumer(a=State(timestamp=wall() + 3_600_000, lso=10, position=10))
    one._observe([A])
    assert one.gate.read_up_to(A, 10) <= local()


def test_an_answer_that_comes_while_it_is_looked_at_is_dated_by_the_one_before():
    class Answered(State):
        """Written to by the consumer's thread: offset first, time second."""

        @property
        def lso(self) -> int:
            self.timestamp = wall()
            return 10

    one = consumer(a=Answered(timestamp=wall() - 3_000, position=10))
    one._observe([A])
    assert one.gate.read_up_to(A, 10) < local() - 2_000


def test_fausts_own_bookkeeping_of_offsets_stays_empty():
    one = consumer()
    one._gap, one._acked, one._acked_index = {}, {}, {}
    record = SimpleNamespace(offset=99, timestamp=1, timestamp_type=0)
    message = _message([(A, Batch(1, [record]))], generation=1)
    one._unacked_messages = {message}
    asyncio.run(one._add_gap(A, 1, 99))
    assert one.ack(message)
    assert not one.ack(message)
    assert (one._gap, one._acked, one._acked_index, one._unacked_messages) == ({}, {}, {}, set())


@pytest.mark.parametrize(("brought", "given"), [(True, 0), (False, transport._FETCH_WAIT_MS)])
def test_an_empty_answer_is_of_the_end_of_the_wait_and_any_other_of_its_beginning(brought, given):
    state = SimpleNamespace(timestamp=None)

    async def fetch(*_: Any) -> bool:
        state.timestamp = wall()
        return brought

    assignment = SimpleNamespace(state_value=lambda _tp: state)
    request = SimpleNamespace(topics=[("in", [(0, 0, 0)])])
    before = wall()
    fetcher = SimpleNamespace(_proc_fetch_request=fetch, _records={})
    transport._refine(fetcher)
    assert asyncio.run(fetcher._proc_fetch_request(assignment, 0, request)) is brought
    assert before + given <= state.given <= wall() + given


def test_records_are_handed_out_as_they_were_parsed_without_those_of_aborted_transactions():
    def written(producer: int, first: int, values: list[bytes]) -> bytes:
        builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, 0, 1_000_000)
        for place, value in enumerate(values):
            builder.append(place, 5_000 + place, b"key", value, [("ce_id", b"1")])
        batch = bytes(builder.build())
        return first.to_bytes(8, "big") + batch[8:]

    log = written(1, 0, [b"a", b"b"]) + written(2, 2, [b"c"]) + written(1, 3, [b"d"])
    unpacked = PartitionRecords(A, MemoryRecords(log), [(2, 2)], 1, None, None, True, 1)
    result = SimpleNamespace(_partition_records=unpacked)

    async def fetch(*_: Any) -> bool:
        fetcher._records[aiokafka.TopicPartition("in", 0)] = result
        return True

    fetcher = SimpleNamespace(_proc_fetch_request=fetch, _records={})
    transport._refine(fetcher)
    request = SimpleNamespace(topics=[("in", [(0, 0, 0), (1, 0, 0)])])
    asyncio.run(fetcher._proc_fetch_request(SimpleNamespace(state_value=lambda _tp: None), 0, request))
    records = list(unpacked)
    assert [(one.offset, one.timestamp, one.key, one.value) for one in records] == [
        (1, 5_001, b"key", b"b"),
        (3, 5_000, b"key", b"d"),
    ]
    assert [*records[0].headers] == [("ce_id", b"1")]
    assert not isinstance(records[0], aiokafka.ConsumerRecord)


def test_an_answer_that_lay_unread_holds_for_the_time_when_it_was_given():
    one = consumer(a=State(timestamp=wall(), lso=10, position=10, given=wall() - 3_000))
    one._observe([A])
    assert one.gate.read_up_to(A, 10) == pytest.approx(local() - 3_000, abs=500)
