"""The order of a commit's steps, what is left of a commit that fails, and who speaks for which partition."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from faust.types import TP

from stream_app.engine import producer as engine_producer
from stream_app.engine.codec import (
    WATERMARK_HEADER,
    decode_arrivals,
    decode_meta,
    decode_watermarks,
)
from stream_app.engine.epoch import Epoch
from stream_app.engine.errors import (
    EpochAbortedError,
    FencedError,
    HandlerError,
    MessageTooLargeError,
    OutcomeUnknownError,
)
from stream_app.engine.flights import ARRIVALS_HEADER
from stream_app.engine.group_metadata import group_metadata
from stream_app.engine.producer import TransactionalProducer
from stream_app.engine.stage import Stage
from stream_app.engine.store import MemoryRows, TableSpec, identity
from stream_app.engine.task import Clockwork, Task
from stream_app.engine.watermark import UNSET, BrokerClock, TimeMode

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = TableSpec("words", b"w", identity, identity)
PARTITIONS = {"input": 2, "commands": 2, "middle": 2, "output": 2}
MEMBER = ("group", 3, "member")
ANNOUNCE_S = 1_000.0
"""Longer than a test."""


class Client:
    """librdkafka's producer, played: notes what it is asked to do, and fails when told to."""

    def __init__(self, steps: list[tuple[Any, ...]], _config: Any = None) -> None:
        self.steps = steps
        self.errors: dict[str, Exception] = {}
        self.left = 0
        self.waiting: list[tuple[Callable[..., None] | None, int]] = []

    def produce(self, topic, value, key, partition=-1, *, headers=None, on_delivery=None) -> None:
        self.steps.append(("produce", topic, partition, key, value, headers))
        self.waiting.append((on_delivery, len(self.steps)))

    def flush(self, _timeout: float) -> int:
        self._do("flush")
        for report, offset in self.waiting:
            if report is not None:
                report(None, SimpleNamespace(offset=lambda o=offset: o, timestamp=lambda: (2, 1_000)))
        self.waiting.clear()
        return self.left

    def send_offsets_to_transaction(self, positions: Any, group: bytes, _timeout: float) -> None:
        self._do("offsets", [(p.topic, p.partition, p.offset) for p in positions], group)

    def commit_transaction(self, _timeout: float) -> None:
        self._do("commit")

    def abort_transaction(self, _timeout: float) -> None:
        self._do("abort")

    def begin_transaction(self) -> None:
        self._do("begin")

    def init_transactions(self, _timeout: float) -> None: ...

    def purge(self) -> None: ...

    def poll(self, _timeout: float) -> None:
        if "poll" in self.errors:
            raise self.errors["poll"]

    def _do(self, step: str, *what: Any) -> None:
        self.steps.append((step, *what))
        if step in self.errors:
            raise self.errors[step]


class Fails(KafkaException):
    """An error of librdkafka's, of a kind that only it can make."""

    def __init__(self, code: int, *, abortable: bool) -> None:
        error = SimpleNamespace(
            code=lambda: code,
            str=lambda: "planted",
            fatal=lambda: False,
            retriable=lambda: False,
            txn_requires_abort=lambda: abortable,
        )
        super().__init__(error)


class Handler:
    """Writes a row when told to."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.error: Exception | None = None

    def flush(self) -> None:
        if self.error is not None:
            raise self.error


class Noted(MemoryRows):
    """Rows that note when they are written."""

    def __init__(self, steps: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.steps = steps

    def land(self, batch: Any, changelog_position: int) -> None:
        self.steps.append(("rows", [key for key, _ in batch], changelog_position))
        super().land(batch, changelog_position)


def hear(task: Task, *times: int) -> None:
    """Have a task hear how far each source has come."""
    for partition, time in enumerate(times):
        task.advance({"input": (time, [partition])})


class Bench:
    """An epoch over a played client, and the tasks of two stages."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[Any, ...]] = []
        self.member: tuple[str, int, str] | None = MEMBER
        monkeypatch.setattr(engine_producer, "Producer", lambda config: Client(self.steps, config))
        self.producer = TransactionalProducer({}, "slot", 1.0)
        self.epoch = Epoch(self.producer, lambda: self.member, PARTITIONS, BrokerClock(), ANNOUNCE_S)
        self.epoch._announced_at = -1e9
        self.steps.clear()

    def task(self, stage: Stage, partition: int, mode: TimeMode = TimeMode.EVENTS) -> Task:
        topic = stage.topics[0]
        upstreams = dict.fromkeys(stage.upstream, 2)
        task = Task(stage, TP(topic, partition), upstreams, 2, Clockwork(mode, 0, 0))
        task.open(Noted(self.steps), self.producer)
        return task

    def source(self, partition: int = 0, mode: TimeMode = TimeMode.WALL) -> Task:
        """Return a task whose clock follows the broker's."""
        return self.task(
            Stage("source", ("input",), "source-changelog", Handler, watermarks_to="middle"), partition, mode
        )

    def inner(self, partition: int = 0) -> Task:
        """Return a task with rows, whose clock comes from upstream, and whose peers write to it."""
        return self.task(
            Stage(
                "inner", ("middle",), "inner-changelog", Handler, (WORDS,), ("input",), "output", loops=True
            ),
            partition,
        )

    @property
    def client(self) -> Any:
        return self.producer._producer

    def produced(self, topic: str) -> list[tuple[Any, ...]]:
        """Return (partition, key, value, headers) of what was sent to a topic."""
        return [step[2:] for step in self.steps if step[:2] == ("produce", topic)]

    def acknowledged(self) -> dict[int, dict[int, int]]:
        """Return what senders were told by message: partition -> epoch -> how many have arrived."""
        return {
            partition: decode_arrivals(value)
            for partition, _, value, headers in self.produced("middle")
            if headers and headers[0][0] == ARRIVALS_HEADER
        }

    def names(self) -> list[str]:
        return [step[0] for step in self.steps]

    def offsets(self) -> list[tuple[str, int, int]]:
        """Return those of all commits, each commit's in order."""
        return [one for step in self.steps if step[0] == "offsets" for one in sorted(step[1])]


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


def worked(task: Task, position: int = 5) -> Task:
    """Return the task with something to commit."""
    task.take(0, position - 1)
    task.position = position
    return task


def busy(bench: Bench) -> Task:
    """Return a task with rows, a message that came from a peer, and a clock that moved."""
    task = worked(bench.inner())
    task.store.table("words").put(b"b", b"2")
    task.store.table("words").put(b"a", b"1")
    task.flights.arrive(b"1:7")
    hear(task, 50, 40)
    return task


def test_a_commit_produces_flushes_sends_offsets_commits_and_only_then_writes_the_rows(bench):
    bench.epoch.commit([busy(bench)])
    after = bench.names().index("flush")
    assert set(bench.names()[:after]) == {"produce"}
    assert bench.names()[after:] == ["flush", "offsets", "commit", "begin", "rows"]


def test_the_row_with_the_position_is_the_last_in_its_changelog_and_says_how_far_the_rows_are_complete(bench):
    task = busy(bench)
    bench.epoch.commit([task])
    rows = bench.produced("inner-changelog")
    assert [key for _, key, _, _ in rows[:-1]] == [b"wb", b"wa"]
    assert decode_meta(rows[-1][2]).position == 5
    last = max(n for n, step in enumerate(bench.steps, 1) if step[:2] == ("produce", "inner-changelog"))
    assert bench.steps[-1] == ("rows", [key for _, key, _, _ in rows], last + 1)
    assert task.store.rows.changelog_position == task.changelog_position == last + 1


def test_a_row_that_changed_many_times_in_an_epoch_is_one_message_of_its_changelog(bench):
    task = busy(bench)
    for value in (b"3", b"4", b"5"):
        task.store.table("words").put(b"a", value)
    bench.epoch.commit([task])
    assert [(key, value) for _, key, value, _ in bench.produced("inner-changelog")[:-1]] == [
        (b"wb", b"2"),
        (b"wa", b"5"),
    ]


def test_an_epoch_writes_what_changed_in_it_and_nothing_of_the_ones_before(bench):
    task = busy(bench)
    bench.epoch.commit([task])
    bench.steps.clear()
    worked(task, 9).store.table("words").put(b"c", b"3")
    bench.epoch.commit([task])
    assert [key for _, key, _, _ in bench.produced("inner-changelog")[:-1]] == [b"wc"]


def test_offsets_are_sent_in_the_name_of_this_member_and_generation(bench):
    bench.epoch.commit([busy(bench)])
    bench.member = ("group", 4, "member")
    bench.epoch.commit([worked(bench.inner(1))])
    sent = [step[2] for step in bench.steps if step[0] == "offsets"]
    assert sent == [group_metadata("group", 3, "member"), group_metadata("group", 4, "member")]


def test_what_a_worker_announces_lies_behind_all_other_messages_of_the_epoch(bench):
    task = busy(bench)
    task.send("output", b"value", b"key", 0)
    bench.epoch.commit([task])
    *others, first, second = [step for step in bench.steps if step[0] == "produce"]
    assert [(step[1], step[2], step[5]) for step in (first, second)] == [
        ("output", partition, [(WATERMARK_HEADER, b"1")]) for partition in (0, 1)
    ]
    assert decode_watermarks(first[4]) == {"middle": (40, [0])}
    assert all(step[5] is None or step[5][0][0] != WATERMARK_HEADER for step in others)


def test_arrivals_are_acknowledged_once_an_epoch_for_all_tasks_together(bench):
    one, other = worked(bench.inner(0)), worked(bench.inner(1))
    for task, header in ((one, b"3:7"), (one, b"3:7"), (other, b"3:7"), (other, b"2:2")):
        task.flights.arrive(header)
    bench.epoch.commit([one, other])
    assert bench.acknowledged() == {3: {7: 3}, 2: {2: 1}}


def test_a_sender_of_the_same_worker_is_told_of_arrivals_without_a_message_and_by_the_same_commit(bench):
    sender, receiver = worked(bench.inner(0)), worked(bench.inner(1))
    for stamp in (30, 35):
        sender.send_to_peer("middle", b"value", b"key", stamp)
    hear(sender, 50, 40)
    hear(receiver, 50, 40)
    bench.epoch.commit([sender, receiver])
    assert sender.announced == 30
    bench.steps.clear()
    for _ in range(2):
        receiver.flights.arrive(b"0:0")
    bench.epoch.commit([sender, worked(receiver, 9)])  # the sender has nothing else to commit
    assert bench.acknowledged() == {}
    assert sender.announced == 40
    rows = [(p, decode_meta(value)) for p, _, value, _ in bench.produced("inner-changelog")]
    assert [meta.outstanding for partition, meta in rows if partition == 0] == [{}]
    said = [decode_watermarks(value) for _, _, value, _ in bench.produced("output")]
    assert {one["middle"][0] for one in said} == {40}


def test_an_arrival_that_a_sender_of_the_same_worker_was_told_of_is_forgotten_with_the_epoch(bench):
    sender, receiver = worked(bench.inner(0)), worked(bench.inner(1))
    sender.send_to_peer("middle", b"value", b"key", 30)
    hear(sender, 50, 40)
    bench.epoch.commit([sender, receiver])
    receiver.flights.arrive(b"0:0")
    bench.client.errors["commit"] = Fails(KafkaError._TIMED_OUT, abortable=True)
    with pytest.raises(EpochAbortedError):
        bench.epoch.commit([sender, worked(receiver, 9)])
    assert sender.dirty, "it has to be rewound with the others"
    sender.rewind()
    assert sender.flights.outstanding == {0: (1, 30)}


def test_what_departed_is_in_the_state_that_is_committed_with_it(bench):
    task = worked(bench.inner())
    task.send_to_peer("middle", b"value", b"key", 30)
    hear(task, 50, 40)
    bench.epoch.commit([task])
    meta = decode_meta(bench.produced("inner-changelog")[-1][2])
    assert (meta.epoch, meta.outstanding) == (1, {0: (1, 30)})
    assert decode_watermarks(bench.produced("output")[0][2]) == {"middle": (30, [0])}


ABORTED = Fails(KafkaError._TIMED_OUT, abortable=True)
FENCED = Fails(KafkaError.ILLEGAL_GENERATION, abortable=True)
UNANSWERED = Fails(KafkaError._TIMED_OUT, abortable=False)


@pytest.mark.parametrize(
    ("step", "fails", "raised"),
    [
        ("flush", ABORTED, EpochAbortedError),
        ("offsets", ABORTED, EpochAbortedError),
        ("offsets", FENCED, FencedError),
        ("commit", ABORTED, EpochAbortedError),
        ("commit", UNANSWERED, OutcomeUnknownError),
    ],
)
def test_a_commit_that_fails_writes_no_rows_and_keeps_the_task_dirty(bench, step, fails, raised):
    task = busy(bench)
    before = task.store.rows.changelog_position
    bench.client.errors[step] = fails
    with pytest.raises(raised):
        bench.epoch.commit([task])
    assert "rows" not in bench.names()
    assert task.dirty
    assert task.taken == (0, 4)
    assert task.store.rows.changelog_position == before
    assert task.store.rows.get(b"wa") is None


def test_a_watermark_whose_commit_failed_is_announced_again(bench):
    task = busy(bench)
    bench.client.errors["commit"] = ABORTED
    with pytest.raises(EpochAbortedError):
        bench.epoch.commit([task])
    del bench.client.errors["commit"]
    bench.steps.clear()
    bench.epoch.commit([task])
    assert len(bench.produced("output")) == 2


ROWS = [(b"a", b"1"), (b"b", None), (b"c", b"3")]


def refuse(bench: Bench, place: int, error: Exception, times: int) -> None:
    """Have the client refuse the message at a place so many times."""
    produce, left = bench.client.produce, [times]

    def refusing(*arguments: Any, **named: Any) -> None:
        if left[0] and len(bench.produced("log")) == place:
            left[0] -= 1
            raise error
        produce(*arguments, **named)

    bench.client.produce = refusing


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("times", [1, 3])
def test_rows_that_find_the_queue_full_wait_and_are_sent_once_in_order(bench, place, times):
    refuse(bench, place, BufferError(), times)
    waits: list[float] = []
    bench.client.poll = waits.append
    bench.producer.send_rows("log", 1, ROWS)
    assert bench.produced("log") == [(1, key, value, None) for key, value in ROWS]
    assert len(waits) == times - 1  # refused once, it is tried again at once


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("code", "error"),
    [(KafkaError._STATE, EpochAbortedError), (KafkaError.MSG_SIZE_TOO_LARGE, MessageTooLargeError)],
)
def test_a_row_that_the_client_refuses_ends_the_epoch(bench, place, code, error):
    refuse(bench, place, KafkaException(KafkaError(code)), 2)
    with pytest.raises(error, match="a message to log was refused"):
        bench.producer.send_rows("log", 1, ROWS)
    assert len(bench.produced("log")) == place


def test_an_epoch_whose_rows_are_refused_is_not_committed(bench):
    task = busy(bench)
    refuse(bench, 0, KafkaException(KafkaError(KafkaError._STATE)), 99)
    bench.client.produce, produce = lambda *a, **k: produce("log", *a[1:], **k), bench.client.produce
    with pytest.raises(EpochAbortedError):
        bench.epoch.commit([task])
    assert not {"offsets", "commit", "rows"} & set(bench.names())


def test_a_message_that_is_not_delivered_in_time_aborts_the_epoch_before_offsets_are_sent(bench):
    task = busy(bench)
    bench.client.left = 1
    with pytest.raises(EpochAbortedError, match="1 messages not delivered"):
        bench.epoch.commit([task])
    assert bench.names()[-3:] == ["flush", "abort", "begin"]
    bench.client.left = 0
    bench.epoch.commit([task])


def test_offsets_that_are_refused_because_a_delivery_failed_abort_the_epoch(bench):
    task = busy(bench)
    bench.client.errors = {"offsets": Fails(KafkaError._INCONSISTENT, abortable=True)}
    with pytest.raises(EpochAbortedError):
        bench.epoch.commit([task])
    assert bench.names()[-3:] == ["offsets", "abort", "begin"]
    bench.client.errors = {}
    bench.epoch.commit([task])


def test_a_producer_that_failed_for_good_is_made_anew_although_it_says_so_at_each_call(bench):
    failed = bench.client
    failed.errors = dict.fromkeys(("abort", "poll"), Fails(KafkaError.INVALID_TXN_STATE, abortable=False))
    bench.producer.abort()
    assert bench.client is not failed
    bench.epoch.commit([busy(bench)])


def test_a_worker_without_a_group_is_fenced_and_aborts(bench):
    bench.member = None
    with pytest.raises(FencedError):
        bench.epoch.commit([busy(bench)])
    assert bench.names()[-2:] == ["abort", "begin"]
    assert not {"offsets", "commit", "rows"} & set(bench.names())


def test_a_worker_without_a_group_may_not_announce_either(bench):
    task = bench.source()
    task.watermark.caught_up(1_000)
    bench.member = None
    with pytest.raises(FencedError):
        bench.epoch.commit([task])


def test_a_handler_that_fails_at_the_end_of_an_epoch_is_told_apart_and_nothing_is_produced(bench):
    task = busy(bench)
    task.handler.error = ValueError("holds data")
    with pytest.raises(HandlerError) as caught:
        bench.epoch.commit([task])
    assert caught.value.task is task
    assert isinstance(caught.value.__cause__, ValueError)
    assert "holds data" not in str(caught.value)
    assert bench.names() == []


def test_a_row_that_can_not_be_encoded_is_its_handlers_fault(bench):
    task = busy(bench)
    words = task.store.table("words")
    words.spec = words.spec._replace(encode=lambda value: value.missing)
    with pytest.raises(HandlerError) as caught:
        bench.epoch.commit([task])
    assert caught.value.task is task
    assert bench.names() == []


def test_an_abort_that_a_flush_runs_into_is_no_fault_of_the_handler(bench):
    task = busy(bench)
    task.handler.error = EpochAbortedError("the transaction has failed already")
    with pytest.raises(EpochAbortedError):
        bench.epoch.commit([task])


def test_only_the_first_move_of_a_clock_that_follows_the_brokers_is_announced_within_an_interval(bench):
    task = bench.source()
    task.watermark.caught_up(1_000)
    bench.epoch.commit([task])
    task.watermark.caught_up(2_000)
    bench.epoch.commit([task])
    said = [decode_watermarks(value) for _, _, value, _ in bench.produced("middle")]
    assert said == [{"input": (1_000, [0])}] * 2


def test_another_stages_commit_does_not_carry_such_a_clock_along_within_the_interval(bench):
    source, inner = bench.source(), bench.inner()
    source.watermark.caught_up(1_000)
    bench.epoch.commit([source])
    bench.steps.clear()
    source.watermark.caught_up(2_000)
    hear(inner, 1_000, 1_000)
    bench.epoch.commit([source, worked(inner)])
    assert bench.produced("middle") == []
    assert decode_watermarks(bench.produced("output")[0][2]) == {"middle": (1_000, [0])}


def test_such_a_clock_is_announced_with_its_data_and_again_after_the_interval(bench):
    task = bench.source()
    for clock in (1_000, 2_000):
        task.watermark.caught_up(clock)
        bench.epoch.commit([worked(task)])
    bench.epoch._announced_at -= ANNOUNCE_S
    task.watermark.caught_up(3_000)
    bench.epoch.commit([task])
    said = [
        decode_watermarks(value)["input"][0]
        for partition, _, value, _ in bench.produced("middle")
        if not partition
    ]
    assert said == [1_000, 2_000, 3_000]


def test_a_task_that_comes_back_announces_itself_anew(bench):
    task = bench.source(mode=TimeMode.EVENTS)
    task.watermark.mark(1_000)
    bench.epoch.commit([worked(task)])
    bench.epoch.forget(task)
    assert bench.epoch.unsaid([task])
    bench.epoch.commit([worked(task)])
    assert len(bench.produced("middle")) == 4


def test_offsets_are_sent_of_tasks_that_worked_and_of_those_that_announce_for_the_first_time(bench):
    worker, announcing = worked(bench.inner(0), 9), bench.source(0)
    announcing.position = 4
    for clock in (1_000, 2_000):
        announcing.watermark.caught_up(clock)
        bench.epoch._announced_at -= ANNOUNCE_S
        bench.epoch.commit([worked(worker, 9), announcing])
    assert bench.offsets() == [("input", 0, 4), ("middle", 0, 9), ("middle", 0, 9)]


def test_whoever_only_announces_sends_an_offset_too_or_nobody_would_ask_for_its_generation(bench):
    sources = [bench.source(0), bench.source(1)]
    for clock in (1_000, 2_000):
        for source in sources:
            source.watermark.caught_up(clock)
        bench.epoch._announced_at -= ANNOUNCE_S
        bench.epoch.commit(sources)
    assert bench.offsets() == [("input", 0, 0), ("input", 1, 0), ("input", 0, 0)]


def test_a_topic_whose_clock_stands_still_holds_back_no_other_of_its_stage(bench):
    stage = Stage("source", ("commands", "input"), "source-changelog", Handler, watermarks_to="middle")
    source, silent = bench.source(0), bench.task(stage, 0, TimeMode.WALL)
    source.watermark.caught_up(1_000)
    bench.epoch.commit([source, silent])
    said = {
        topic: told
        for _, _, value, _ in bench.produced("middle")
        for topic, told in decode_watermarks(value).items()
    }
    assert said == {"input": (1_000, [0]), "commands": (UNSET, [0])}


def test_what_is_said_of_all_tasks_of_a_topic_is_how_far_the_last_of_them_has_come(bench):
    sources = [bench.source(0), bench.source(1)]
    for source, clock in zip(sources, (1_000, 3_000), strict=True):
        source.watermark.caught_up(clock)
    bench.epoch.commit([worked(source) for source in sources])
    sources[1].watermark.caught_up(4_000)
    bench.epoch.commit([worked(source) for source in sources])
    assert [decode_watermarks(value) for _, _, value, _ in bench.produced("middle")] == [
        {"input": (1_000, [])}
    ] * 2


def test_tasks_of_all_stages_share_one_transaction(bench):
    bench.epoch.commit([worked(bench.source()), busy(bench)])
    assert bench.names().count("commit") == bench.names().count("begin") == 1
    assert {step[1] for step in bench.steps if step[0] == "produce"} >= {
        "source-changelog",
        "inner-changelog",
    }


def test_a_watermark_is_carried_on_once_an_epoch_in_which_it_moved_and_not_in_others(bench):
    task = bench.inner()
    for said in ((50, 40), (60, 40), (60, 45)):
        hear(task, *said)
        bench.epoch.commit([worked(task)])
    told = [decode_watermarks(value) for partition, _, value, _ in bench.produced("output") if not partition]
    assert told == [{"middle": (40, [0])}, {"middle": (45, [0])}]
