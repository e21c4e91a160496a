"""What the engine does between two commits: its pace, what it takes in, what it rolls back, what it gives up on."""

from __future__ import annotations

import ast
import asyncio
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from faust.types import TP

import stream_app
from stream_app.engine import engine as engine_module
from stream_app.engine.codec import WATERMARK_HEADER, encode_marker
from stream_app.engine.engine import Engine
from stream_app.engine.epoch import Written
from stream_app.engine.errors import EpochAbortedError, FatalError, FencedError, OutcomeUnknownError
from stream_app.engine.observer import Observer
from stream_app.engine.pace import Pace
from stream_app.engine.stage import Handler, Stage
from stream_app.engine.store import MemoryRows, TableSpec, identity
from stream_app.engine.task import Clockwork, Task
from stream_app.engine.timers import Timers
from stream_app.engine.transport import Batch, Gate
from stream_app.engine.watermark import BrokerClock, MergedWatermark, SourceWatermark, TimeMode

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

WORDS = TableSpec("words", b"w", identity, identity)
SLOW = Written(1, 0.05)
POISON = b"poison"


class Words:
    """Keeps a row for each record, and sends it on; fails on poison."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.calls: list[int] = []

    def process(self, records: Sequence[Any]) -> None:
        self.calls.append(len(records))
        for record in records:
            if record.value == POISON:
                msg = "planted"
                raise ValueError(msg)
            self.task.table("words").put(b"%d" % record.offset, record.value)
            self.task.send("output", record.value, None)

    def fire(self, due: int, key: bytes) -> None: ...

    def flush(self) -> None: ...

    def reset(self) -> None: ...


class Transactions:
    """A producer that notes what became visible together."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes | None]] = []
        self.committed: list[list[tuple[str, bytes | None]]] = []
        self.aborted = 0

    def send(self, topic, value, key, partition=-1, headers=None, on_delivery=None) -> None:
        self.sent.append((topic, value))

    def abort(self) -> None:
        self.sent.clear()
        self.aborted += 1


class Epochs:
    """Commits tasks without Kafka, or fails as it was told to."""

    def __init__(self, producer: Transactions) -> None:
        self.producer = producer
        self.failures: list[Exception] = []
        self.takes = 0.0
        self.positions: list[dict[str, int]] = []

    def commit(self, tasks: Collection[Task]) -> Written:
        if self.failures:
            raise self.failures.pop(0)
        for task in tasks:
            if task.dirty:
                changes = [*task.store.changes(), task.meta()]
                task.store.commit(changes, task.changelog_position + len(changes))
                task.committed()
        self.positions.append({task.id: task.position for task in tasks})
        self.producer.committed.append(list(self.producer.sent))
        self.producer.sent.clear()
        return Written(0, self.takes)

    def unsaid(self, _tasks: Collection[Task]) -> bool:
        return False


class Desk:
    """An engine with two tasks, over a played Kafka."""

    def __init__(self, **pace: Any) -> None:
        self.producer = Transactions()
        self.epochs = Epochs(self.producer)
        self.gate = Gate()
        self.did: list[str] = []
        self.tasks = {TP("in", partition): self._task(partition) for partition in (0, 1)}
        self.one, self.other = self.tasks.values()
        assignment: Any = SimpleNamespace(
            tasks=self.tasks,
            gate=self.gate,
            ready=lambda: [task for task in self.tasks.values() if task.ready],
            suspend=self._suspend,
            reopen_all=lambda: self.did.append("reopen"),
            check=lambda: None,
        )
        dispatcher: Any = SimpleNamespace(
            poison=lambda task, record, _error: task.send("dead", record.value, None)
        )
        self.engine = Engine(
            assignment,
            self.epochs,
            dispatcher=dispatcher,
            observer=Observer(),
            broker_clock=BrokerClock(),
            pace=Pace(
                **{"interval_s": 1e9, "longest_s": 1e9, "least_s": 1e9, **pace}
            ),  # ... when a test says so
            mode=TimeMode.EVENTS,
        )
        for tp, task in self.tasks.items():
            task.since = self.gate.reopen(tp, 0)
        self.apply_seeks()

    def _task(self, partition: int) -> Task:
        stage = Stage("words", ("in",), "changelog", Words, (WORDS,), upstream=("up",))
        task = Task(stage, TP("in", partition), {"up": 1}, 2, Clockwork(TimeMode.EVENTS, 0, 0))
        task.open(MemoryRows(), self.producer)
        task.ready = True
        return task

    def _suspend(self) -> None:
        self.did.append("suspend")
        for task in self.tasks.values():
            task.ready = False

    def apply_seeks(self) -> dict[TP, int]:
        """Do what the fetch loop does between two fetches."""
        seeks = self.gate.take_seeks()
        self.gate.applied(seeks)
        return seeks

    def batch(self, task: Task, *offsets: int, poison: Collection[int] = ()) -> Batch:
        """Return what a fetch that begins now brings."""
        return Batch(
            self.gate.snapshot()[task.tp],
            [
                SimpleNamespace(
                    offset=offset,
                    key=b"k",
                    value=POISON if offset in poison else b"%d" % offset,
                    headers=(),
                    timestamp=0,
                )
                for offset in offsets
            ],
        )

    def take(self, task: Task, *offsets: int) -> None:
        self.engine.process(task.tp, self.batch(task, *offsets))

    def words(self, task: Task) -> list[bytes]:
        return [value for _, value in task.table("words").scan(b"")]


@pytest.fixture(autouse=True)
def naps(monkeypatch):
    """Keep the engine from sleeping; return how long it would have."""
    taken: list[float] = []
    monkeypatch.setattr(engine_module.time, "sleep", taken.append)
    return taken


@pytest.fixture
def desk():
    return Desk()


# What is taken in


def test_a_batch_fetched_before_a_tasks_seek_is_not_taken(desk):
    stale = desk.batch(desk.one, 0, 1)
    desk.one.since = desk.gate.reopen(desk.one.tp, 0)
    desk.engine.process(desk.one.tp, stale)  # the seek has not been applied yet
    desk.apply_seeks()
    desk.engine.process(desk.one.tp, stale)
    assert desk.words(desk.one) == []
    assert desk.one.position == 0
    desk.take(desk.one, 0, 1)
    assert desk.words(desk.one) == [b"0", b"1"]


def test_records_before_a_tasks_position_are_skipped(desk):
    desk.one.position = 5
    desk.take(desk.one, 3, 4, 5, 6)
    assert desk.words(desk.one) == [b"5", b"6"]
    desk.take(desk.one, 3, 4)
    assert desk.one.position == 7


def test_a_batch_of_a_partition_that_is_not_ready_is_not_taken(desk):
    desk.one.ready = False
    desk.take(desk.one, 0)
    assert desk.words(desk.one) == []


def test_nothing_between_a_batchs_first_record_and_the_end_of_its_commit_awaits():
    for call in (Engine.process, Engine.tick, Engine.commit, Handler.process, Handler.fire, Handler.flush):
        assert not inspect.iscoroutinefunction(call)


def test_the_code_of_stages_is_synchronous():
    root = Path(stream_app.__file__).parent
    files = [*root.glob("agents/*.py"), *root.glob("domain/**/*.py")]
    assert len(files) > 10
    waiting = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    found = [
        file for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, waiting)
    ]
    assert found == []


# What is rolled back


def test_a_handler_that_raises_takes_back_the_whole_epoch_and_every_input_goes_back_to_its_stored_position(
    desk,
):
    desk.take(desk.one, 0, 1)
    desk.take(desk.other, 0)
    assert desk.engine.commit()
    desk.take(desk.other, 1, 2)
    desk.engine.process(desk.one.tp, desk.batch(desk.one, 2, 3, poison=[3]))
    assert desk.producer.aborted == 1
    assert desk.producer.sent == []
    assert (desk.words(desk.one), desk.words(desk.other)) == ([b"0", b"1"], [b"0"])
    assert desk.apply_seeks() == {desk.one.tp: 2, desk.other.tp: 1}
    assert (desk.one.position, desk.other.position) == (2, 1)


def test_an_input_of_which_nothing_was_read_in_the_epoch_is_not_sought(desk):
    desk.engine.process(desk.one.tp, desk.batch(desk.one, 0, poison=[0]))
    assert desk.apply_seeks() == {desk.one.tp: 0}


def attempts_until_through(desk: Desk, count: int, poison: int) -> int:
    """Offer these records, each time from where the input was sought to; return how often that took."""
    for attempt in range(1, count):
        offsets = range(desk.one.position, count)
        desk.engine.process(desk.one.tp, desk.batch(desk.one, *offsets, poison=[poison]))
        desk.apply_seeks()
        if desk.one.position == count:
            return attempt
    msg = "it goes round in circles"
    raise AssertionError(msg)


@pytest.mark.parametrize("poison", [0, 1, 411, 1_023])
def test_one_poison_record_among_a_thousand_is_found_by_halving_and_nothing_else_is_set_aside(desk, poison):
    assert attempts_until_through(desk, 1_024, poison) <= 13  # 2 ** 10, and the record alone is tried twice
    assert len(desk.producer.committed) <= 25  # a half that went through is an epoch of its own
    desk.engine.commit()
    everything = [message for epoch in desk.producer.committed for message in epoch]
    assert [message for message in everything if message[0] == "dead"] == [("dead", POISON)]
    expected = sorted(b"%d" % offset for offset in range(1_024) if offset != poison)
    assert sorted(value for topic, value in everything if topic == "output") == expected


def test_a_dead_letter_is_committed_in_the_transaction_that_moves_the_input_past_its_record(desk):
    attempts_until_through(desk, 8, 5)
    epochs = zip(desk.producer.committed, desk.epochs.positions, strict=True)
    moved = [(positions["in/0"], ("dead", POISON) in sent) for sent, positions in epochs]
    assert next(dead for position, dead in moved if position > 5)
    assert [dead for _, dead in moved].count(True) == 1


# What is given up


def test_an_epoch_that_fails_is_tried_again_a_few_times_and_then_the_worker_gives_up(naps):
    desk = Desk(failures=3)
    desk.epochs.failures = [EpochAbortedError("planted") for _ in range(3)]
    for _ in range(2):
        desk.take(desk.one, 0, 1)
        assert not desk.engine.commit()
        assert desk.words(desk.one) == []
        assert desk.apply_seeks() == {desk.one.tp: 0}
    desk.take(desk.one, 0, 1)
    with pytest.raises(FatalError, match="3 epochs failed in a row, the last one because planted"):
        desk.engine.commit()
    assert naps == sorted(naps)
    assert len(naps) == 2


def test_failures_are_counted_anew_after_an_epoch_that_went_through():
    desk = Desk(failures=2)
    for _ in range(3):
        desk.epochs.failures = [EpochAbortedError("planted")]
        desk.take(desk.one, desk.one.position)
        assert not desk.engine.commit()
        desk.apply_seeks()
        desk.take(desk.one, desk.one.position)
        assert desk.engine.commit()


def test_a_fenced_worker_lets_go_and_reads_nothing_before_its_next_assignment(desk):
    desk.take(desk.one, 0)
    desk.epochs.failures = [FencedError("planted")]
    assert not desk.engine.commit()
    assert desk.did == ["suspend"]
    desk.take(desk.one, 0)
    desk.engine.tick()
    assert desk.producer.committed == []


def test_a_worker_that_gets_no_partitions_back_gives_up():
    desk = Desk(fenced_s=-1.0)
    desk.epochs.failures = [FencedError("planted")]
    desk.take(desk.one, 0)
    desk.engine.commit()
    with pytest.raises(FatalError, match="without partitions"):
        desk.engine.tick()


def test_when_a_commit_is_left_unanswered_the_stores_are_opened_again_from_their_changelogs(desk):
    desk.take(desk.one, 0)
    desk.epochs.failures = [OutcomeUnknownError("planted")]
    assert not desk.engine.commit()
    assert desk.did == ["reopen"]


def test_partitions_that_are_revoked_are_committed_first_and_then_let_go(desk):
    desk.take(desk.one, 0, 1)
    desk.engine.revoked()
    assert desk.epochs.positions == [{"in/0": 2, "in/1": 0}]
    assert desk.did == ["suspend"]


def test_when_the_last_commit_before_a_revocation_fails_the_partitions_are_let_go_all_the_same(desk):
    desk.take(desk.one, 0, 1)
    desk.epochs.failures = [EpochAbortedError("planted")]
    desk.engine.revoked()
    assert desk.words(desk.one) == []
    assert desk.did == ["suspend"]


# Its pace


def pauses(desk: Desk, monkeypatch: pytest.MonkeyPatch, *loaded: bool) -> list[float]:
    """Run the engine's loop; after each pause it finds that it was busy for all of it, or idle. Return the pauses."""
    taken: list[float] = []
    rounds = [*loaded]
    clock = SimpleNamespace(now=0.0)

    async def sleep(seconds: float) -> None:
        taken.append(seconds)
        clock.now += seconds
        if not rounds:
            desk.engine.stopping = True
        elif rounds.pop(0):
            desk.engine._busy = seconds

    monkeypatch.setattr(engine_module.asyncio, "sleep", sleep)
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock.now)
    asyncio.run(desk.engine.run())
    return taken[1:]


def test_an_epoch_ends_soon_when_there_is_little_to_do_and_later_under_load(monkeypatch):
    desk = Desk(interval_s=0.1, longest_s=0.4, least_s=0.02)
    assert pauses(desk, monkeypatch, False, True, True, False) == [0.02, 0.1, 0.1, 0.02]


def test_what_was_fetched_together_is_committed_together_and_at_once(desk, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock.now)
    desk = Desk(interval_s=0.1, longest_s=0.4, least_s=0.02)
    desk.gate.deliver(desk.one.tp, 2)
    desk.gate.deliver(desk.other.tp, 1)
    clock.now = 0.05
    desk.take(desk.one, 0, 1)
    desk.engine.tick()
    assert desk.epochs.positions == []
    desk.take(desk.other, 0)
    assert desk.epochs.positions == [{"in/0": 2, "in/1": 1}]


def test_what_was_fetched_together_and_takes_long_is_committed_at_the_interval_all_the_same(
    desk, monkeypatch
):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock.now)
    desk = Desk(interval_s=0.1, longest_s=0.4, least_s=0.02)
    desk.gate.deliver(desk.one.tp, 2)
    desk.gate.deliver(desk.other.tp, 1)
    desk.take(desk.one, 0)
    clock.now = 0.15
    desk.take(desk.one, 1)
    assert desk.epochs.positions == [{"in/0": 2, "in/1": 0}]


def test_what_was_fetched_together_is_committed_together_after_a_quiet_time_too(desk, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock.now)
    desk = Desk(interval_s=0.1, longest_s=0.4, least_s=0.02)
    for task in (desk.one, desk.other):
        desk.gate.deliver(task.tp, 1)
    clock.now = 10.0
    desk.take(desk.one, 0)
    clock.now = 10.001
    desk.take(desk.other, 0)
    assert desk.epochs.positions == [{"in/0": 1, "in/1": 1}]


def test_an_epoch_that_is_old_is_committed_though_what_is_at_hand_does_not_come(desk, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock.now)
    desk = Desk(interval_s=0.1, longest_s=0.4, least_s=0.02)
    desk.gate.deliver(desk.other.tp, 1)  # and was dropped on its way
    clock.now = 0.05
    desk.take(desk.one, 0)
    clock.now = 0.1
    desk.engine.tick()
    assert desk.epochs.positions == []
    clock.now = 0.16
    desk.engine.tick()
    assert len(desk.epochs.positions) == 1


def test_an_idle_live_clock_moves(desk):
    desk.engine._mode = TimeMode.WALL
    desk.engine._broker_clock.observe(1_000_000, 0)
    source = desk.one.watermark = SourceWatermark(TimeMode.WALL, 200, 0)
    desk.gate.observe(desk.one.tp, 0, 40)
    desk.engine.tick()
    assert source.value == 1_000_000 + 40 - 200


def test_what_was_done_in_an_epoch_that_is_dropped_is_not_counted_to_the_next(desk):
    desk.take(desk.one, 0, 1)
    desk.engine._rewind()
    assert desk.engine._pacer.records == 0
    desk.apply_seeks()
    desk.take(desk.one, 0, 1)
    desk.engine._suspend()
    assert desk.engine._pacer.records == 0


def test_what_tasks_go_by_may_be_replaced_after_every_commit_however_busy_the_worker_is(desk, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock.now)
    desk = Desk(interval_s=0.1, longest_s=0.4, least_s=0.02)
    desk.engine._between_epochs = lambda: desk.did.append("replaced")
    desk.gate.deliver(desk.one.tp, 1_000)
    for offset in range(40):
        clock.now += 0.01
        desk.take(desk.one, offset)
    assert len(desk.epochs.positions) == desk.did.count("replaced") > 1


def test_what_is_at_hand_of_a_partition_that_was_taken_away_holds_no_commit_back(desk, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock.now)
    desk = Desk(interval_s=0.1, longest_s=0.4, least_s=0.02)
    desk.gate.deliver(desk.other.tp, 1)
    desk.gate.close([desk.other.tp])
    clock.now = 0.05
    desk.take(desk.one, 0)
    assert len(desk.epochs.positions) == 1


def test_a_busy_stream_is_committed_at_the_interval_and_not_once_a_batch(desk, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock.now)
    desk = Desk(interval_s=0.1, longest_s=0.4, least_s=0.02)
    desk.gate.deliver(desk.one.tp, 1_000)
    for offset in range(100):
        clock.now += 0.01
        desk.take(desk.one, offset)
    assert len(desk.epochs.positions) == 9


def test_a_live_clock_moves_with_the_epoch_that_holds_what_it_waited_for(desk, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock.now)
    desk = Desk(interval_s=0.1, longest_s=0.4, least_s=0.02)
    desk.engine._mode = TimeMode.WALL
    desk.engine._broker_clock.observe(1_000_000, 0)
    source = desk.one.watermark = SourceWatermark(TimeMode.WALL, 200, 0)
    desk.gate.deliver(desk.one.tp, 2)
    desk.gate.observe(desk.one.tp, 0, 40)  # the answer that brought these records says that there are no more
    clock.now = 0.05
    desk.take(desk.one, 0, 1)
    assert desk.epochs.positions == [{"in/0": 2, "in/1": 0}]
    assert source.value == 1_000_000 + 40 - 200


# Timers


def test_an_epoch_without_due_timers_looks_at_no_timer_row(desk, monkeypatch):
    scans = 0
    scan = Timers._scan

    def counted(self: Timers, *since: int) -> Any:
        nonlocal scans
        scans += 1
        return scan(self, *since)

    monkeypatch.setattr(Timers, "_scan", counted)
    for due in range(1_000, 2_000):
        desk.one.timers.set(due, b"k")
    desk.one.dirty = True
    desk.engine.commit()
    desk.engine.tick()
    first = scans
    for clock in range(100):
        for task in desk.tasks.values():
            assert isinstance(task.watermark, MergedWatermark)
            task.advance({"up": (clock, [0])})
        desk.take(desk.one, desk.one.position)
        desk.engine.tick()
    assert scans == first
    desk.one.advance({"up": (1_001, [0])})
    desk.engine.tick()
    assert scans > first


def test_what_only_says_that_it_is_a_marker_is_data_in_a_topic_that_producers_write_to():
    taken: list[Any] = []
    stage = Stage("source", ("in",), "changelog", Words)
    task = Task(stage, TP("in", 0), {}, 1, Clockwork(TimeMode.EVENTS, 0, 0))
    task.open(MemoryRows(), Transactions())
    task.handler = SimpleNamespace(process=taken.extend)
    records = [
        SimpleNamespace(offset=offset, key=None, value=value, headers=[(WATERMARK_HEADER, b"1")])
        for offset, value in enumerate([encode_marker(700), b"no time", None])
    ]
    Engine._run(Desk().engine, task, records)
    assert [record.offset for record in taken] == [1, 2]
    assert task.clock == 700


class Source:
    """One task of a stage that reads producers' records and keeps tables: each record's value is its time."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.did: list[str] = []
        stage = Stage("source", ("in",), "changelog", lambda _task: self, (WORDS,))
        task = self.task = Task(stage, TP("in", 0), {}, 1, Clockwork(TimeMode.EVENTS, 0, 10_000))
        task.open(MemoryRows(), desk.producer)
        task.ready = True
        desk.tasks.clear()
        desk.tasks[task.tp] = task
        task.since = desk.gate.reopen(task.tp, 0)
        desk.apply_seeks()

    def process(self, records: Sequence[Any]) -> None:
        for record in records:
            self.did.append(f"at {int(record.value)}")
            self.task.observe(int(record.value), int(record.value))

    def fire(self, due: int, _key: bytes) -> None:
        self.did.append(f"due {due}")

    def flush(self) -> None: ...

    def reset(self) -> None:
        self.did.append("reset")

    def take(self, *times: int) -> None:
        self.desk.take(self.task, *times)


def test_timers_of_a_stage_that_reads_producers_records_fire_after_the_batch_that_passed_them(desk):
    source = Source(desk)
    for due in (20, 30, 40):
        source.task.timers.set(due, b"k")
    source.take(10, 20)
    source.take(31, 35)
    assert source.did == ["at 10", "at 20", "at 31", "at 35", "due 20", "due 30"]
    assert source.task.position == 36


def test_a_clock_marker_fires_the_timers_of_a_stage_that_reads_producers_records(desk):
    source = Source(desk)
    source.task.timers.set(20, b"k")
    marker = SimpleNamespace(
        offset=0, key=None, value=encode_marker(21), headers=[(WATERMARK_HEADER, b"1")], timestamp=0
    )
    desk.engine.process(source.task.tp, Batch(desk.gate.snapshot()[source.task.tp], [marker]))
    assert source.did == ["due 20"]
    assert source.task.position == 1


def test_a_live_clock_fires_the_timers_of_a_stage_that_reads_producers_records(desk):
    source = Source(desk)
    source.task.timers.set(20, b"k")
    source.task.watermark.value = 21
    desk.engine.tick()
    assert source.did == ["due 20"]


def test_a_timer_that_fails_after_its_batch_takes_the_batch_back_and_goes_to_the_dead_letters(desk):
    source = Source(desk)
    set_aside: list[int] = []
    desk.engine.dispatcher.poison_timer = lambda _task, due, _key: set_aside.append(due)
    source.task.timers.set(20, b"k")
    source.task.dirty = True
    desk.engine.commit()

    def fails(_due: int, _key: bytes) -> None:
        raise ValueError

    source.fire = fails
    source.take(30)
    assert (source.task.position, source.did) == (0, ["at 30", "reset"])
    desk.apply_seeks()
    source.take(30)
    assert set_aside == [20]
    assert desk.epochs.positions[-1] == {"in/0": 31}


def test_a_clock_that_is_years_ahead_fires_nobodys_timers(desk):
    arrival, minute = 1_700_000_000_000, 60_000
    source = Stage("source", ("up",), "changelog", Words, watermarks_to="in")
    task = Task(source, TP("up", 0), {}, 1, Clockwork(TimeMode.EVENTS, 0, minute))
    task.open(MemoryRows(), desk.producer)
    fired: list[tuple[int, bytes]] = []
    desk.one.handler.fire = lambda due, key: fired.append((due, key))
    for due in (arrival, arrival + 2 * minute):
        desk.one.timers.set(due, b"k")
    task.observe(arrival + 6 * 365 * 24 * 60 * minute, arrival)
    desk.one.advance({task.tp.topic: (task.announced, [task.tp.partition])})
    desk.engine.tick()
    assert fired == [(arrival, b"k")]
    assert desk.one.clock == arrival + minute


# Between two epochs


def test_what_all_tasks_go_by_is_replaced_only_when_nothing_is_uncommitted(desk):
    calls: list[int] = []
    desk.engine._between_epochs = lambda: calls.append(1)
    desk.take(desk.one, 0)
    desk.engine.pause()
    assert calls == []
    assert desk.engine.commit()
    desk.engine.pause()
    assert calls == [1]
