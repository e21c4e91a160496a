"""Messages between the tasks of one stage hold the clock back until they have come, and no longer.

The property runs real tasks, engines and epochs over partitions that are lists; only Kafka is played. Partitions move
between workers; live, a worker that has all of the last stage's tasks sees for itself how far they have come.
"""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from faust.types import TP
from hypothesis import Phase, example, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from stream_app.engine import epoch as engine_epoch
from stream_app.engine.codec import WATERMARK_HEADER, decode_watermarks, encode_watermarks
from stream_app.engine.engine import Engine
from stream_app.engine.epoch import Epoch, gathered
from stream_app.engine.flights import FLIGHT_HEADER, NOTHING, Flights
from stream_app.engine.observer import Observer
from stream_app.engine.pace import Pace
from stream_app.engine.stage import Stage
from stream_app.engine.store import MemoryRows
from stream_app.engine.task import Clockwork, Task
from stream_app.engine.transport import Batch, Gate
from stream_app.engine.watermark import UNSET, BrokerClock, TimeMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PARTITIONS = 3
WORKERS = (((0, 1), (2,)), ((0, 1, 2),), ((0,), (1,), (2,)), ((1,), (0, 2)))
"""Which partitions each worker may own: tasks of one worker share their transactions."""


def header(flights: Flights, stamp: int) -> bytes:
    ((name, value),) = flights.depart(stamp)
    assert name == FLIGHT_HEADER
    return value


def test_nothing_under_way_holds_nothing_back():
    flights = Flights(0)
    assert flights.floor == NOTHING
    assert flights.close() == {}
    assert (flights.epoch, flights.floor) == (0, NOTHING)


def test_the_smallest_stamp_of_what_is_under_way_is_the_floor():
    flights = Flights(0)
    for stamp in (50, 20, 90):
        flights.depart(stamp)
    flights.close()
    assert flights.floor == 20


def test_all_of_an_epoch_have_to_arrive_before_it_holds_nothing_back():
    flights = Flights(0)
    flights.depart(20)
    flights.depart(90)
    flights.close()
    flights.acknowledged({0: 1})  # which of the two it was is not told
    assert flights.floor == 20
    flights.acknowledged({0: 1})
    assert flights.floor == NOTHING


def test_epochs_are_told_apart():
    flights = Flights(0)
    flights.depart(20)
    flights.close()
    flights.depart(30)
    flights.close()
    flights.acknowledged({0: 1})
    assert flights.floor == 30


def test_a_message_names_its_sender_and_epoch_and_whoever_takes_it_in_owes_them_a_count():
    sender, receiver = Flights(7), Flights(2)
    first, second = header(sender, 10), header(sender, 10)
    sender.close()
    third = header(sender, 10)
    for value in (first, second, third):
        receiver.arrive(value)
    assert receiver.close() == {7: {0: 2, 1: 1}}
    assert receiver.close() == {}


def test_an_epoch_in_which_nothing_departed_takes_no_number():
    flights = Flights(0)
    flights.arrive(b"1:5")
    flights.close()
    assert flights.epoch == 0
    flights.depart(10)
    flights.close()
    assert flights.epoch == 1


def test_flights_go_on_after_a_restart_where_the_state_says():
    before = Flights(0)
    before.depart(10)
    before.depart(15)
    before.close()
    after = Flights(0, before.epoch, before.outstanding)
    assert header(after, 30) == b"0:1"
    after.close()
    after.acknowledged({0: 2})
    assert after.floor == 30


def test_arrivals_of_epochs_that_nobody_remembers_change_nothing():
    flights = Flights(0)
    flights.depart(10)
    flights.close()
    flights.acknowledged({99: 4})
    assert flights.outstanding == {0: (1, 10)}


class Relay:
    """Passes a message on: its value is its stamp, and the partitions of each hop that is still to come."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def process(self, records: Sequence[Any]) -> None:
        for record in records:
            stamp, hops = msgspec.msgpack.decode(record.value)
            if hops:
                value = msgspec.msgpack.encode([stamp, hops[1:]])
                for partition in hops[0]:
                    self.task.send_to_peer("loop", value, b"%d" % partition, stamp)

    def fire(self, due: int, key: bytes) -> None: ...

    def flush(self) -> None: ...

    def reset(self) -> None: ...


class Transaction:
    """A producer whose messages reach the logs together, or not at all."""

    def __init__(self, logs: dict[str, list[list[Any]]]) -> None:
        self.logs = logs
        self.sent: list[tuple[str, int, Any, Any, Any]] = []

    def send(self, topic, value, key, partition=-1, headers=None, on_delivery=None):
        self.sent.append(
            (topic, int(key) if partition < 0 else partition, key, value, (headers, on_delivery))
        )

    def send_rows(self, topic, partition, rows):
        for key, value in rows:
            self.send(topic, value, key, partition)

    def commit(self, _offsets: Any, _group: bytes | None) -> None:
        for topic, partition, key, value, (headers, on_delivery) in self.sent:
            record = write(self.logs[topic][partition], value, headers, key)
            if on_delivery is not None:
                on_delivery(None, SimpleNamespace(offset=lambda r=record: r.offset, timestamp=lambda: (0, 0)))
        self.sent.clear()

    def abort(self) -> None:
        self.sent.clear()


def write(log: list[Any], value: bytes | None, headers: Any, key: bytes | None = None) -> Any:
    record = SimpleNamespace(offset=len(log), key=key, value=value, headers=tuple(headers or ()), timestamp=0)
    log.append(record)
    return record


class World:
    """One stage's workers, and all that they ever wrote."""

    def __init__(self, told: str, mode: TimeMode) -> None:
        self.told = told
        self.mode = mode
        self.logs = {name: [[] for _ in range(PARTITIONS)] for name in ("loop", "next", "changelog")}
        self.clock = 0
        self.tasks: dict[int, Task] = {}
        self.rows = [MemoryRows() for _ in range(PARTITIONS)]
        self.regroup(0)

    def regroup(self, grouping: int) -> None:
        """Give the partitions to workers that know what was committed, and nothing else."""
        workers = WORKERS[grouping]
        self.engines = [self._engine(partitions) for partitions in workers]
        self.engine_of = {
            p: engine for engine, owned in zip(self.engines, workers, strict=True) for p in owned
        }
        self.check()

    def _engine(self, partitions: tuple[int, ...]) -> Engine:
        producer: Any = Transaction(self.logs)
        clock = BrokerClock()
        epoch = Epoch(
            producer, lambda: ("group", 1, "m"), {"loop": PARTITIONS, "next": PARTITIONS}, clock, 0.0
        )
        to = None if self.told == "loop" else self.told
        stage = Stage("loop", ("loop",), "changelog", Relay, upstream=("up",), watermarks_to=to, loops=True)
        tasks = {}
        for partition in partitions:
            tp = TP("loop", partition)
            task = tasks[tp] = self.tasks[partition] = Task(
                stage, tp, {"up": 1}, PARTITIONS, Clockwork(self.mode, 0, 0)
            )
            task.open(self.rows[partition], producer)
            task.ready = True
        gate = Gate()
        assignment: Any = SimpleNamespace(tasks=tasks, gate=gate, ready=lambda: list(tasks.values()))
        engine = Engine(
            assignment,
            epoch,
            dispatcher=SimpleNamespace(),
            observer=Observer(),
            broker_clock=clock,
            pace=Pace(interval_s=1e9, longest_s=1e9, least_s=1e9),  # epochs end when the test says so
            mode=self.mode,
        )
        for tp, task in tasks.items():
            task.since = gate.reopen(tp, task.position)
        return engine

    def happen(self, partition: int, ahead: int, hops: list[list[int]]) -> None:
        """Have the source write an event, which it read when its clock stood at least where it stands now."""
        value = msgspec.msgpack.encode([self.clock + ahead, hops])
        write(self.logs["loop"][partition], value, None)

    def advance(self, by: int) -> None:
        """Have the source say that everything before its clock has been written."""
        self.clock += by
        for log in self.logs["loop"]:
            write(log, encode_watermarks({"up": (self.clock, [])}), [(WATERMARK_HEADER, b"1")])

    def take(self, partition: int, count: int) -> None:
        """Let a task process some of its records."""
        engine, task = self.engine_of[partition], self.tasks[partition]
        gate = engine.assignment.gate
        gate.applied(gate.take_seeks())
        records = self.logs["loop"][partition][task.position : task.position + count]
        if records:
            engine.process(task.tp, Batch(gate.snapshot()[task.tp], records))
            assert task.position == records[-1].offset + 1

    def take_and_commit(self, partition: int, count: int) -> None:
        self.take(partition, count)
        self.commit(self.engines.index(self.engine_of[partition]))

    def commit(self, worker: int) -> None:
        assert self.engines[worker % len(self.engines)].commit()
        self.check()

    def tick(self, worker: int) -> None:
        """Have a worker look how far its tasks have come, in the middle of an epoch."""
        self.engines[worker % len(self.engines)].tick()
        self.check()

    def abort(self, worker: int) -> None:
        self.engines[worker % len(self.engines)].epoch.producer.abort()
        self.engines[worker % len(self.engines)]._rewind()
        self.check()

    def announced(self, partition: int) -> int:
        """Return the smallest of what the tasks said last in a partition."""
        said = dict.fromkeys(range(PARTITIONS), UNSET)
        for record in self.logs[self.told][partition]:
            if record.headers and record.headers[0][0] == WATERMARK_HEADER:
                told = decode_watermarks(record.value)
                if "loop" in told:
                    time, partitions = told["loop"]
                    said |= dict.fromkeys(partitions or said, time)
        return min(said.values())

    def check(self) -> None:
        """No partition may have been told of a time that a message not yet taken in may still concern.

        Nor may timers have gone by one: those of an epoch that has taken the message in are undone with it.
        """
        told = max(self.announced(partition) for partition in range(PARTITIONS))
        clock = max(task.clock for task in self.tasks.values()) if self.told == "loop" else UNSET
        for partition, task in self.tasks.items():
            committed = task.position_in(task.store.rows)
            for record in self.logs["loop"][partition][committed:]:
                if not record.headers or record.headers[0][0] == FLIGHT_HEADER:
                    stamp = msgspec.msgpack.decode(record.value)[0]
                    assert told <= stamp, f"told of {told} with {stamp} under way to {partition}"
                    if record.offset >= task.position:
                        assert clock <= stamp, f"timers at {clock} with {stamp} under way to {partition}"
        for engine in self.engines:
            for _, partition, _, value, (headers, _) in engine.epoch.producer.sent:
                if headers and headers[0][0] == FLIGHT_HEADER:
                    stamp = msgspec.msgpack.decode(value)[0]
                    assert clock <= stamp, f"timers at {clock} with {stamp} departing to {partition}"

    def settle(self) -> None:
        """Let everybody read and commit until nobody has anything to say."""
        for _ in range(50):
            before = self.known()
            for partition in range(PARTITIONS):
                self.take(partition, 1_000)
            for worker in range(len(self.engines)):
                self.tick(worker)
                self.commit(worker)
            if self.known() == before and all(
                task.position == len(self.logs["loop"][p]) for p, task in self.tasks.items()
            ):
                return
        msg = "the tasks go on telling each other without end"
        raise AssertionError(msg)

    def known(self) -> list[Any]:
        """Return what was ever said, and what each task knows."""
        said = [len(log) for name in ("loop", "next") for log in self.logs[name]]
        return [said, [(task.clock, task.announced) for task in self.tasks.values()]]


PARTITION = st.integers(0, PARTITIONS - 1)
WORKER = st.integers(0, 2)
HOPS = st.lists(st.lists(PARTITION, min_size=1, max_size=2), max_size=3)
STEP = st.one_of(
    st.tuples(st.just(World.happen), PARTITION, st.integers(0, 3), HOPS),
    st.tuples(st.just(World.advance), st.integers(1, 5)),
    st.tuples(st.just(World.take), PARTITION, st.integers(1, 3)),
    st.tuples(st.just(World.take_and_commit), PARTITION, st.integers(1, 3)),
    st.tuples(st.just(World.commit), WORKER),
    st.tuples(st.just(World.abort), WORKER),
    st.tuples(st.just(World.tick), WORKER),
    st.tuples(st.just(World.regroup), st.integers(0, len(WORKERS) - 1)),
)
STEPS = st.lists(STEP, min_size=20, max_size=60)
ONE_OF_TWO_COMES = [
    (World.happen, 0, 0, [[1, 2]]),
    (World.advance, 5),
    (World.take_and_commit, 0, 100),  # two messages depart, behind the watermark in their partitions
    (World.take_and_commit, 2, 1),
    (World.take_and_commit, 1, 100),  # the first has come, the second is in 2's log
    (World.take_and_commit, 0, 100),
]
TAKEN_BACK = [
    (World.regroup, 2),
    (World.happen, 1, 0, [[0], [2]]),
    (World.advance, 5),
    (World.take_and_commit, 0, 1),
    (World.take_and_commit, 2, 1),
    (World.take_and_commit, 1, 1),  # a message departs to 0, where the watermark has been
    (World.take_and_commit, 1, 1),
    (World.regroup, 1),
    (World.commit, 0),
    (World.take_and_commit, 0, 100),  # it goes on to 2: what 0 had said was too much
    (World.regroup, 2),
    (World.commit, 1),  # all that 1 has sent has arrived
]
TOLD = ["loop", "next"]
"""A stage tells the next one of its clock; the last stage of all tells its own tasks."""


def play(steps: list[tuple[Any, ...]], told: str, mode: TimeMode) -> None:
    """Do these steps, then come to rest."""
    world = World(told, mode)
    for step, *arguments in steps:
        step(world, *arguments)
    world.advance(1)
    world.settle()
    if not gathered(world.tasks.values()) or len(world.engines) > 1:
        assert [world.announced(p) for p in range(PARTITIONS)] == [world.clock] * PARTITIONS, "a stuck clock"
    assert all(task.flights.outstanding == {} for task in world.tasks.values())
    if told == "loop":
        assert {task.clock for task in world.tasks.values()} == {world.clock}


@pytest.mark.parametrize("mode", TimeMode)
@pytest.mark.parametrize("told", TOLD)
@example(steps=ONE_OF_TWO_COMES)
@example(steps=TAKEN_BACK)
@settings(max_examples=300)
@given(steps=STEPS)
def test_no_clock_passes_a_message_under_way_and_none_stays_behind_once_all_have_come(told, mode, steps):
    play(steps, told, mode)


def test_a_worker_with_all_tasks_sees_for_itself_how_far_they_have_come_and_only_what_is_committed_lasts():
    world = World("loop", TimeMode.WALL)
    world.regroup(1)
    world.advance(7)
    for partition in range(PARTITIONS):
        world.take(partition, 1)
    world.engines[0]._meet()
    assert [task.clock for task in world.tasks.values()] == [7, 7, 7]
    world.abort(0)
    assert [task.clock for task in world.tasks.values()] == [UNSET] * 3
    for partition in range(PARTITIONS):
        world.take(partition, 1)
    world.tick(0)
    world.regroup(2)
    assert [task.clock for task in world.tasks.values()] == [7, 7, 7]


def test_in_a_replay_tasks_are_told_of_each_other_by_messages_alone():
    world = World("loop", TimeMode.EVENTS)
    world.regroup(1)
    world.advance(7)
    for partition in range(PARTITIONS):
        world.take(partition, 1)
    world.tick(0)
    assert [task.clock for task in world.tasks.values()] == [UNSET] * 3


def ignore_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flights, "floor", NOTHING)


def acknowledge_before_departures_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold back for what departed only from the next transaction on."""
    close = Flights.close
    late: dict[Flights, dict[int, tuple[int, int]]] = defaultdict(dict)

    def closed(self: Flights) -> dict[int, dict[int, int]]:
        before, counted = set(self.outstanding), late.pop(self, {})
        owed = close(self)
        late[self] = {epoch: self.outstanding.pop(epoch) for epoch in set(self.outstanding) - before}
        self.outstanding.update(counted)
        return owed

    monkeypatch.setattr(Flights, "close", closed)


def forget_an_epoch_at_its_first_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    def acknowledged(self: Flights, arrived: dict[int, int]) -> None:
        for epoch in arrived:
            self.outstanding.pop(epoch, None)

    monkeypatch.setattr(Flights, "acknowledged", acknowledged)


def count_no_arrivals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flights, "arrive", lambda *_: None)


def go_by_departures_of_earlier_epochs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def floor(self: Flights) -> int:
        return min((stamp for _, stamp in self.outstanding.values()), default=NOTHING)

    monkeypatch.setattr(Flights, "floor", property(floor))


def tell_of_nothing_where_all_tasks_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even of what is taken back: whoever gets a task later goes by what was said before."""
    moves = Epoch._moves

    def silent(self: Epoch, tasks: list[Task]) -> Any:
        here = gathered(tasks)
        return moves(self, [task for task in tasks if task.tp.topic not in here])

    monkeypatch.setattr(Epoch, "_moves", silent)


def say_of_all_how_far_the_first_of_them_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_epoch, "min", max, raising=False)


EVERYWHERE = [(told, mode) for told in TOLD for mode in TimeMode]
ALL_HERE = [("loop", TimeMode.WALL)]
PLANTS = {
    ignore_the_floor: EVERYWHERE,
    acknowledge_before_departures_count: EVERYWHERE,
    forget_an_epoch_at_its_first_arrival: EVERYWHERE,
    count_no_arrivals: EVERYWHERE,
    go_by_departures_of_earlier_epochs_alone: ALL_HERE,
    tell_of_nothing_where_all_tasks_are_here: ALL_HERE,
    say_of_all_how_far_the_first_of_them_has_come: EVERYWHERE,
}


@pytest.mark.parametrize(
    ("plant", "told", "mode"),
    [
        pytest.param(plant, told, mode, id=f"{plant.__name__}-{told}-{mode}")
        for plant, where in PLANTS.items()
        for told, mode in where
    ],
)
def test_the_property_notices(
    plant: Callable[[pytest.MonkeyPatch], None], told: str, mode: TimeMode, monkeypatch
):
    plant(monkeypatch)

    def fails(steps: list[tuple[Any, ...]]) -> bool:
        try:
            play(steps, told, mode)
        except AssertionError:
            return True
        return False

    if fails(ONE_OF_TWO_COMES) or fails(TAKEN_BACK):
        return
    quick = settings(max_examples=300, phases=[Phase.generate], database=None, derandomize=True)
    try:
        find(STEPS, fails, settings=quick)
    except NoSuchExample:
        pytest.fail("the planted bug went unnoticed")
