"""What is left of Faust, aiokafka and librdkafka: how they are set up, and what of them does nothing."""

from __future__ import annotations

import asyncio
import os
import re
import time
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiokafka
import pytest
from faust.types import TP
from packaging.requirements import Requirement

import connectors
import stream_app
from stream_app.engine import changelog
from stream_app.engine import producer as engine_producer
from stream_app.engine import worker as worker_module
from stream_app.engine.alignment import Aligner
from stream_app.engine.assignor import PerTopicAssignor
from stream_app.engine.producer import TransactionalProducer
from stream_app.engine.transport import BatchConsumer, BatchConsumerThread, Gate
from stream_app.engine.worker import WorkerConfig
from stream_app.settings import Settings
from tests import engine_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stream_app.engine.worker import Worker

ROOT = Path(stream_app.__file__).parents[1]
SOURCES = [file for package in (stream_app, connectors) for file in Path(package.__path__[0]).rglob("*.py")]
A = TP("topic", 0)
TEN_SECONDS_MS = 10_000


class Clients:
    """Stands for librdkafka's client classes: keeps the settings that they are made with."""

    def __init__(self) -> None:
        self.settings: list[dict[str, Any]] = []

    def __call__(self, settings: dict[str, Any]) -> Any:
        self.settings.append(settings)
        return SimpleNamespace(
            init_transactions=lambda _timeout: None, begin_transaction=lambda: None, close=lambda: None
        )


@pytest.fixture
def producers(monkeypatch) -> Clients:
    clients = Clients()
    monkeypatch.setattr(engine_producer, "Producer", clients)
    return clients


@pytest.fixture
def composed(producers, tmp_path):
    """Return what composes a worker without a broker."""
    assert producers.settings == []

    def compose(slot: str = "w1", **options: Any) -> Worker:
        worker = engine_worker.build("group", slot, tmp_path, "127.0.0.1:1", **options)
        os.close(worker._lock)  # its process has ended, so to speak
        return worker

    return compose


def test_the_collector_is_told_between_two_epochs_and_so_is_whoever_replaces_what_tasks_go_by(composed):
    told: list[str] = []
    worker = composed()
    worker._replaced = lambda: told.append("replaced")
    worker.engine.pause()
    worker._collector = SimpleNamespace(between_epochs=lambda: told.append("collected"))
    worker.engine.pause()
    assert told == ["replaced", "replaced", "collected"]


# Faust


def test_fausts_web_server_is_not_among_what_a_worker_starts(composed):
    app = composed().app
    assert not app.conf.web_enabled
    assert list(app.boot_strategy.web_server()) == []


def test_fausts_tables_and_transactions_are_not_used(composed):
    app = composed().app
    assert len(app.tables) == 0
    assert not app.in_transaction
    assert app.conf.processing_guarantee.value == "at_least_once"


def test_no_sensor_of_fausts_measures_for_prometheus(composed):
    app = composed().app
    sensors = [type(sensor).__module__ for sensor in (*app.sensors, app.monitor)]
    assert sensors
    assert not [module for module in sensors if "prometheus" in module]


def idle_consumer() -> BatchConsumer:
    """Return a consumer with a thread that must not be asked for anything."""
    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer._thread = None  # asking it would fail
    consumer.gate = Gate()
    consumer.gate.reopen(A, 5)
    return consumer


def test_fausts_own_commits_do_nothing():
    assert asyncio.run(idle_consumer().commit({A}, start_new_transaction=True))


def test_fausts_own_seek_to_the_groups_offsets_does_nothing_to_the_positions_that_the_state_gave():
    consumer = idle_consumer()
    asyncio.run(consumer.perform_seek())
    assert consumer.gate.take_seeks() == {A: 5}


# Fetching


class Thread:
    """Stands for the consumer's thread: notes what it is asked to do, in order."""

    _consumer = None

    def __init__(self, records: Any, meanwhile: Any = lambda: None) -> None:
        self.did: list[Any] = []
        self.records = records
        self.meanwhile = meanwhile

    async def seek_wait(self, seeks: dict[TP, int]) -> None:
        self.did.append(("seek", seeks))

    async def getmany(self, wanted: set[TP], _timeout: float) -> Any:
        self.did.append(("fetch", wanted))
        self.meanwhile()
        return dict.fromkeys(wanted, self.records)


def fetched(
    gate: Gate, thread: Thread, tps: Collection[TP] = (A,), at: Callable[[TP], None] = lambda _: None
) -> list[tuple[TP, Any]]:
    """Let a consumer fetch once; call `at` when a message of a partition is handed out, and return all of them."""
    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer.gate = gate
    consumer._thread = thread
    consumer._aligner = Aligner(time.monotonic())
    consumer.flow_active = True
    consumer.app = SimpleNamespace(consumer_generation_id=1, conf=SimpleNamespace(broker_max_poll_records=50))
    consumer.assignment = lambda: {*tps}
    consumer._get_active_partitions = lambda: {*tps}
    vars(consumer)["should_stop"] = False

    async def once() -> list[tuple[TP, Any]]:
        found = []
        async for tp, message in consumer.getmany(0.0):
            at(tp)
            found.append((tp, message))
        return found

    return asyncio.run(once())


def records(*offsets: int, timestamp: int = 0) -> list[Any]:
    return [SimpleNamespace(offset=offset, timestamp=timestamp, timestamp_type=0) for offset in offsets]


@pytest.fixture
def _running(monkeypatch):
    monkeypatch.setattr(BatchConsumer, "should_stop", False)


@pytest.mark.usefixtures("_running")
def test_seeks_are_applied_by_the_fetch_loop_before_it_fetches():
    gate = Gate()
    gate.reopen(A, 5)
    thread = Thread(records(5, 6))
    assert len(fetched(gate, thread)) == 1
    assert thread.did == [("seek", {A: 5}), ("fetch", {A})]


@pytest.mark.usefixtures("_running")
def test_what_a_fetch_says_of_the_time_is_known_before_the_first_of_it_is_handed_out():
    now = int(time.time() * 1000)
    state = SimpleNamespace(has_valid_position=True, given=now, timestamp=now, lso=7, position=7)
    assignment = SimpleNamespace(state_value=lambda _tp: state)
    thread = Thread(records(5, 6))
    thread._consumer = SimpleNamespace(
        _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    )
    gate = Gate()
    gate.reopen(A, 5)
    seen: list[Any] = []
    fetched(gate, thread, at=lambda tp: seen.extend([gate.read_up_to(tp, 6), gate.read_up_to(tp, 7)]))
    assert seen[0] is None  # the last record has still to be processed
    assert seen[1] is not None


@pytest.mark.usefixtures("_running")
def test_what_a_fetch_brings_for_an_agent_is_one_message():
    gate = Gate()
    others = (TP("other", 0), TP("third", 0))
    for tp in (A, *others):
        gate.reopen(tp, 5)
    for tp in others:
        gate.declare(tp, "agent", source=False)
    messages = fetched(gate, Thread(records(5, 6, 9)), (A, *others))
    assert sorted(sorted(tp for tp, _ in message.value) for _, message in messages) == [[*others], [A]]
    for tp, message in messages:
        assert (tp, message.offset) == (message.value[0][0], 9)
        assert all([one.offset for one in batch.records] == [5, 6, 9] for _, batch in message.value)


@pytest.mark.usefixtures("_running")
def test_of_a_source_only_what_no_other_may_have_anything_before_is_handed_out_and_the_rest_is_at_hand():
    gate = Gate()
    both = (A, TP("topic", 1))
    for tp in both:
        gate.declare(tp, "agent", source=True)
        gate.reopen(tp, 5)
    assert fetched(gate, Thread(records(5, 6)), both[:1]) == [], (
        "the broker hasn't said yet that there is no more"
    )
    assert gate.at_hand(A, 5)
    for tp in both:
        gate.observe(tp, 0, 0)
    ((_, message),) = fetched(gate, Thread(records(5, 6)), both)
    assert {tp for tp, _ in message.value} == {*both}


@pytest.mark.usefixtures("_running")
def test_a_source_that_is_left_out_of_a_fetch_while_its_agent_is_busy_is_waited_for_all_the_same():
    gate = Gate()
    busy = TP("topic", 1)
    for tp in (A, busy):
        gate.declare(tp, "agent", source=True)
        gate.reopen(tp, 5)
    gate.applied(gate.take_seeks())
    gate.observe(A, 0, 0)
    gate.observe(busy, 3, 0)
    assert fetched(gate, Thread(records(5, 6)), [A]) == []
    gate.observe(busy, 0, 0)
    assert len(fetched(gate, Thread(records(5, 6)), [A])) == 1


@pytest.mark.usefixtures("_running")
@pytest.mark.parametrize("live", [True, False])
def test_what_was_written_a_moment_ago_is_handed_out_at_once_where_it_comes_live_and_not_in_a_replay(live):
    gate = Gate(live=live)
    for tp in (A, TP("topic", 1)):
        gate.declare(tp, "agent", source=True)
        gate.reopen(tp, 5)
    just_now = records(5, 6, timestamp=int(time.time() * 1000))
    assert len(fetched(gate, Thread(just_now), [A])) == (1 if live else 0)


@pytest.mark.usefixtures("_running")
def test_all_that_a_fetch_brought_is_at_hand_before_the_first_of_it_is_handed_out_and_until_it_is_processed():
    gate, seen = Gate(), []
    both = (A, TP("topic", 1))
    for tp in both:
        gate.reopen(tp, 5)
    fetched(gate, Thread(records(5, 6)), both, lambda _: seen.append([gate.at_hand(tp, 5) for tp in both]))
    assert seen == [[True, True]]
    assert [gate.at_hand(A, position) for position in (6, 7)] == [True, False]


@pytest.mark.usefixtures("_running")
def test_a_batch_that_was_being_fetched_while_its_partition_was_sought_is_stale():
    gate = Gate()
    gate.reopen(A, 0)
    since: list[int] = []
    ((_, message),) = fetched(gate, Thread(records(0, 1), lambda: since.append(gate.reopen(A, 0))))
    assert message.value[0][1].incarnation <= since[0]
    ((_, message),) = fetched(gate, Thread(records(0, 1)))
    assert message.value[0][1].incarnation > since[0]


@pytest.mark.usefixtures("_running")
def test_a_batch_has_the_number_that_its_partition_had_before_the_fetch_began():
    gate = Gate()
    gate.reopen(A, 0)

    def sought_by_somebody_else() -> None:
        gate.applied({A})

    ((_, message),) = fetched(gate, Thread(records(0, 1), sought_by_somebody_else))
    assert message.value[0][1].incarnation == 1
    assert gate.snapshot() == {A: 2}


@pytest.fixture
def fetching(composed, monkeypatch):
    """Return what gives the settings of the consumer that a worker makes."""

    def settings(**options: Any) -> dict[str, Any]:
        worker, made = composed(**options), {}
        monkeypatch.setattr(aiokafka, "AIOKafkaConsumer", lambda **settings: made.update(settings))
        thread = BatchConsumerThread.__new__(BatchConsumerThread)
        thread.app = worker.app
        thread._create_worker_consumer(worker.app.transport)
        return made

    return settings


def test_the_consumer_reads_what_is_committed_and_commits_nothing(fetching):
    made = fetching()
    assert made["isolation_level"] == "read_committed"
    assert made["enable_auto_commit"] is False
    assert made["auto_offset_reset"] == "earliest"  # a state without a position has read nothing


def test_partitions_are_assigned_by_an_assignor_that_knows_what_has_state_and_the_generation(
    composed, monkeypatch
):
    made: dict[str, Any] = {}
    coordinator = SimpleNamespace(generation=3)

    def consumer(**settings: Any) -> Any:
        made.update(settings)
        return SimpleNamespace(_coordinator=coordinator)

    monkeypatch.setattr(aiokafka, "AIOKafkaConsumer", consumer)
    app = composed().app
    thread = BatchConsumerThread.__new__(BatchConsumerThread)
    thread.app = app
    thread._consumer = thread._create_worker_consumer(app.transport)
    (assignor,) = made["partition_assignment_strategy"]  # one: aiokafka asks to join once for each
    assert isinstance(assignor, PerTopicAssignor)
    assert assignor._stateful == {"group.middle"}
    coordinator.generation = 5
    assert assignor._generation() == 5


def test_a_fetch_is_bounded_in_records_and_in_bytes(fetching, monkeypatch):
    monkeypatch.setenv("BATCH", "17")
    made = fetching(fetch_bytes=123_456)
    assert made["max_poll_records"] == 17
    assert made["max_partition_fetch_bytes"] == 123_456
    for defaults in (WorkerConfig("g", "w", "b", {}, Path()), Settings()):
        assert defaults.batch <= 2_000


# Producing


def test_a_producer_is_transactional_and_no_setting_of_a_deployment_undoes_what_the_engine_relies_on(
    producers,
):
    wrong = {
        "partitioner": "consistent",
        "transactional.id": "another",
        "transaction.timeout.ms": 900_000,
        "enable.idempotence": False,
        "security.protocol": "SASL_SSL",
    }
    TransactionalProducer(wrong, "slot", 8.0)
    (made,) = producers.settings
    assert made["partitioner"] == "murmur2_random"
    assert made["transactional.id"] == "slot"
    assert made["transaction.timeout.ms"] == 8_000
    assert made["enable.idempotence"] is True
    assert made["security.protocol"] == "SASL_SSL"


def test_the_transactional_id_is_the_same_after_a_restart_and_another_in_every_other_slot(
    composed, producers
):
    for slot in ("w1", "w2", "w1"):
        composed(slot)
    first, second, again = (made["transactional.id"] for made in producers.settings)
    assert first == again
    assert first != second


def test_the_transactional_id_is_another_in_every_other_deployment(producers, tmp_path):
    for group in ("one", "two"):
        engine_worker.build(group, "w1", tmp_path / group, "127.0.0.1:1")
    one, two = (made["transactional.id"] for made in producers.settings)
    assert one != two


def test_open_transactions_end_after_ten_seconds_at_most_unless_a_deployment_says_otherwise(
    composed, producers, monkeypatch
):
    monkeypatch.setenv("TRANSACTION_MS", str(TEN_SECONDS_MS))
    composed()
    assert producers.settings[0]["transaction.timeout.ms"] == TEN_SECONDS_MS
    assert WorkerConfig("g", "w", "b", {}, Path()).transaction_timeout_ms <= TEN_SECONDS_MS
    assert Settings().transaction_timeout_ms <= TEN_SECONDS_MS


def test_agents_of_a_worker_share_one_producer(composed, producers):
    worker = composed()
    assert len(worker.engine.assignment._stages) == 2
    assert len(producers.settings) == 1


def test_the_wait_for_a_stable_changelog_is_bounded_by_the_transaction_timeout(composed, monkeypatch):
    bounds = []
    for timeout_ms in (1_000, 10_000):
        monkeypatch.setenv("TRANSACTION_MS", str(timeout_ms))
        bounds.append(composed().engine.assignment._stable_timeout)
    assert bounds[0] > 1.0  # the broker looks for transactions that are too old every now and then only
    assert bounds[1] - bounds[0] == pytest.approx(2 * 9.0)


# librdkafka's other clients


def test_the_clients_that_restore_read_on_at_once_and_one_of_them_sees_committed_rows_only(monkeypatch):
    clients = Clients()
    monkeypatch.setattr(changelog, "Consumer", clients)
    changelog.Restorer({"bootstrap.servers": "127.0.0.1:1"}, 1.0)
    committed, everything = clients.settings
    assert committed["fetch.queue.backoff.ms"] == everything["fetch.queue.backoff.ms"] == 5
    assert committed["isolation.level"] == "read_committed"
    assert everything["isolation.level"] == "read_uncommitted"


@pytest.mark.parametrize(
    ("client", "setting"),
    [("Producer", '"partitioner": "murmur2_random"'), ("Consumer", '"fetch.queue.backoff.ms": 5')],
)
def test_every_client_of_librdkafka_has_the_setting_without_which_it_is_wrong_or_slow(client, setting):
    imports = re.compile(rf"^from confluent_kafka import .*\b{client}\b", re.MULTILINE)
    users = [file for file in SOURCES if imports.search(file.read_text())]
    assert users
    assert [str(file) for file in users if setting not in file.read_text()] == []


def test_the_range_of_confluent_kafka_ends_before_its_next_minor_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pinned,) = [one for one in map(Requirement, project["dependencies"]) if one.name == "confluent-kafka"]
    major, minor, *_ = map(int, version("confluent-kafka").split("."))
    assert version("confluent-kafka") in pinned.specifier
    assert f"{major}.{minor + 1}.0" not in pinned.specifier
    assert f"{major + 1}.0.0" not in pinned.specifier


def test_a_second_process_in_a_workers_slot_is_refused_before_it_fences_the_first(producers, tmp_path):
    engine_worker.build("group", "w1", tmp_path, "127.0.0.1:1")
    with pytest.raises(worker_module.FatalError, match="another process is worker w1"):
        engine_worker.build("group", "w1", tmp_path, "127.0.0.1:1")
    assert len(producers.settings) == 1
