"""What a start leaves behind, and when it is believed."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_app.embedded import config, leash, locking, logs, ports, state
from stream_app.embedded.broker import EmbeddedKafka
from stream_app.errors import EnvironmentMissing

ROLLING = """
import os, sys, time
path = sys.argv[1]
time.sleep(0.5)
open(path, "a").write("one\\n")
time.sleep(1)
os.rename(path, path + ".1")
open(path, "w").write("two\\n")
"""
SLEEP = "import time; time.sleep(60)"


def a_state(pid: int) -> state.State:
    return state.State(pid, 9092, 9093, "4.3.1", "Java 17 (PATH)")


@pytest.fixture
def impostor():
    """A process that has nothing to do with Kafka."""
    process = subprocess.Popen([sys.executable, "-c", SLEEP])
    yield process
    process.kill()
    process.wait()


def test_a_state_comes_back_as_it_was_written(tmp_path: Path):
    a_state(42).write(tmp_path)
    assert state.State.read(tmp_path) == a_state(42)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_a_state_file_that_cannot_be_read_counts_as_none(tmp_path: Path, text: str):
    (tmp_path / "state.json").write_text(text)
    assert state.State.read(tmp_path) is None


def test_a_pid_that_was_given_to_another_program_is_not_the_broker(tmp_path: Path, impostor):
    a_state(impostor.pid).write(tmp_path)
    assert EmbeddedKafka(tmp_path).state is None
    assert EmbeddedKafka(tmp_path).stop() is False
    assert impostor.poll() is None


def test_a_pid_that_is_gone_is_not_the_broker(tmp_path: Path, impostor):
    impostor.kill()
    impostor.wait()
    a_state(impostor.pid).write(tmp_path)
    assert EmbeddedKafka(tmp_path).state is None


def test_a_taken_port_that_was_asked_for_is_an_error_that_names_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentMissing, match=f"Port {port} is taken"):
            ports.choose(port, None)


def test_the_last_ports_are_taken_again_when_they_are_free():
    broker, controller = ports.free_ports(2)
    assert ports.choose(None, (broker, controller)) == (broker, controller)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", broker))
        taken.listen()
        other, same = ports.choose(None, (broker, controller))
    assert other != broker
    assert same == controller


def hold(path: str, ready: object) -> None:
    with locking.locked(Path(path), 1, "tests"):
        ready.set()
        time.sleep(60)


def test_a_lock_is_waited_for_and_let_go_by_a_killed_holder(tmp_path: Path):
    spawn = multiprocessing.get_context("fork")
    ready = spawn.Event()
    holder = spawn.Process(target=hold, args=(str(tmp_path / "lock"), ready), daemon=True)
    holder.start()
    assert ready.wait(10)
    with (
        pytest.raises(EnvironmentMissing, match="Another process starts Kafka"),
        locking.locked(tmp_path / "lock", 0.2, "starts Kafka"),
    ):
        pass
    holder.kill()
    holder.join()
    with locking.locked(tmp_path / "lock", 1, "starts Kafka"):
        pass


def test_the_leash_ends_the_broker_when_its_owner_was_killed():
    owner = subprocess.Popen([sys.executable, "-c", SLEEP])
    broker = subprocess.Popen([sys.executable, "-c", SLEEP])
    held = subprocess.Popen([sys.executable, leash.__file__, str(owner.pid), str(broker.pid)])
    time.sleep(0.3)
    assert broker.poll() is None
    owner.kill()
    owner.wait()
    assert broker.wait(10) != 0
    assert held.wait(10) == 0


def test_the_leash_leaves_when_the_broker_has_ended_by_itself():
    broker = subprocess.Popen([sys.executable, "-c", ""])
    held = subprocess.Popen([sys.executable, leash.__file__, str(os.getpid()), str(broker.pid)])
    broker.wait()
    assert held.wait(15) == 0


def test_an_override_takes_the_place_of_a_broker_setting(tmp_path: Path):
    text = config.server_properties(tmp_path, 9092, 9093, {"num.io.threads": "2"})
    assert "num.io.threads=2\n" in text
    assert text.count("num.io.threads=") == 1
    assert "auto.create.topics.enable=false\n" in text


def test_both_listeners_are_on_loopback_only(tmp_path: Path):
    lines = config.server_properties(tmp_path, 9092, 9093).splitlines()
    listeners = [line for line in lines if "listeners=" in line]
    assert len(listeners) == 2
    assert all(line.count("://127.0.0.1:") == 2 for line in listeners)


def test_the_tail_of_the_logs_shows_trouble_first_of_all(tmp_path: Path):
    noise = "".join(f"INFO line {number}\n" for number in range(150))
    (tmp_path / "kafka.log").write_text("x ERROR the disk is on fire (a.b)\n" + noise)
    assert logs.tail(tmp_path).strip() == "x ERROR the disk is on fire (a.b)"
    assert logs.tail(tmp_path / "nowhere").strip() == "(nothing was logged)"


def test_a_log_is_followed_beyond_its_being_rolled(tmp_path: Path):
    log = tmp_path / "kafka.log"
    log.write_text("old\n")
    following = logs.follow(log)
    new = subprocess.Popen(
        [
            sys.executable,
            "-c",
            ROLLING,
            str(log),
        ]
    )
    assert [next(following), next(following)] == ["one", "two"]
    new.wait()
