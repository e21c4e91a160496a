"""The command line against a real broker: what it says, and with which exit code, when all is well and when not."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

import schemas
from connectors.simulators import read_truth
from stream_app.runs.workers import WorkerProcess
from tests.pipeline_job import MINUTE, START, Pipeline, happened, raccord
from tests.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.broker

SMALL = {"RACCORD_CHANNELS": "web,store", "RACCORD_PARTITIONS": "1"}


def one_sentence(done: subprocess.CompletedProcess[bytes], code: int) -> str:
    """Check that a command ended with one sentence for a person, and return it."""
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said
    lines = said.splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("raccord: ")
    return lines[0]


@pytest.fixture
def empty(bootstrap_servers, topic_prefix, tmp_path) -> Iterator[Pipeline]:
    """A deployment without topics."""
    with Pipeline(bootstrap_servers, topic_prefix, tmp_path, SMALL, create=False) as pipeline:
        yield pipeline


def test_topics_are_created_checked_and_listed(empty):
    before = empty.raccord("topics", "check")
    assert before.returncode == 1
    assert b"channel.web is missing" in before.stdout
    made = empty.raccord("topics", "create")
    assert made.returncode == 0, made.stderr
    names = [
        json.loads(line)["name"] for line in empty.raccord("topics", "list", "--json").stdout.splitlines()
    ]
    assert f"{len(names)} topics created" in made.stdout.decode()
    assert empty.topics.channels["web"] in names
    assert empty.topics.triggers["abandoned_cart"] in names
    after = empty.raccord("topics", "check")
    assert after.returncode == 0
    assert after.stdout == b"0 problems\n"
    again = empty.raccord("topics", "create")
    assert again.stdout == b"0 topics created\n"
    other = empty.raccord("topics", "check", RACCORD_PARTITIONS="3")
    assert other.returncode == 1
    assert b"has 1 partitions instead of 3" in other.stdout


def test_a_worker_without_its_topics_says_which_are_missing_and_what_to_do(empty):
    said = one_sentence(empty.raccord("worker"), 3)
    assert f"topic {empty.topics.channels['web']} is missing" in said
    assert "raccord topics create" in said


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("RACCORD_PARTITIONS", "many"),
        ("RACCORD_TIME", "tea"),
        ("RACCORD_CUSTOMER_KEY", "short"),
        ("RACCORD_METRICS_PORT", "70000"),
        ("RACCORD_PREFIX", "with space"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not(empty, setting, value):
    said = one_sentence(empty.raccord("worker", **{setting: value}), 2)
    assert setting in said
    if setting == "RACCORD_CUSTOMER_KEY":
        assert value not in said.replace("should", "")


@pytest.mark.slow
def test_a_broker_that_does_not_answer_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = raccord("topics", "check", environment={"KAFKA_BOOTSTRAP_SERVERS": address}, timeout=60)
    assert address in one_sentence(done, 3)


def test_a_metrics_port_that_is_taken_is_one_sentence(empty):
    empty.raccord("topics", "create")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = one_sentence(empty.raccord("worker", RACCORD_METRICS_PORT=port), 3)
    assert port in said


def test_simulated_shoppers_go_to_a_file_with_the_truth_beside_it(tmp_path):
    path = tmp_path / "shoppers.jsonl"
    done = raccord("simulate", "--to", str(path), "--shoppers", "20", "--days", "1", environment={})
    assert done.returncode == 0, done.stderr
    records = path.read_text().splitlines()
    assert len(records) == read_truth(path).records > 50
    assert f"{len(records)} records".encode() in done.stdout
    again = tmp_path / "again.jsonl"
    raccord("simulate", "--to", str(again), "--shoppers", "20", "--days", "1", environment={})
    assert again.read_text() == path.read_text()


def policy_with_another_order() -> str:
    shipped = schemas.read_text("policies/identity.yaml")
    swapped = {"1, ": "2, ", "2, ": "1, "}
    changed = re.sub(r"(priority: )([12], )", lambda found: found[1] + swapped[found[2]], shipped)
    assert changed != shipped
    return changed


def test_a_worker_shows_its_metrics_on_loopback_and_refuses_state_of_another_policy(
    bootstrap_servers, topic_prefix, tmp_path
):
    """One life of a small deployment: simulated and watched from the command line, measured, then misconfigured."""
    with Pipeline(bootstrap_servers, topic_prefix, tmp_path, SMALL) as pipeline:
        pipeline.start("w1")
        basket = {"cart_id": "c", "product_id": "s", "price": 40.0, "quantity": 1, "currency": "EUR"}
        pipeline.play([happened("add", 0, "Product Added", {"cookie": "c", "user_id": "u"}, **basket)])
        pipeline.mark(START + 31 * MINUTE)
        pipeline.drain()

        found = re.search(r"metrics at http://127\.0\.0\.1:(\d+)/metrics", pipeline.log("w1"))
        assert found, pipeline.log("w1")
        port = int(found[1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            text = page.read().decode()
        assert 'raccord_events_total{channel="web",outcome="applied"} 1.0' in text
        assert 'raccord_triggers_total{outcome="fire",reason="",rule="abandoned_cart"} 1.0' in text
        for name in (
            "raccord_lag_records",
            "raccord_epoch_commit_seconds_count",
            "raccord_state_bytes",
            "raccord_info",
        ):
            assert f"\n{name}" in text
        assert not answers_elsewhere(port)

        watched = pipeline.raccord("watch", "triggers", "--from-beginning", "--seconds", "3")
        assert watched.returncode == 0, watched.stderr
        (line,) = watched.stdout.decode().splitlines()
        assert "fire" in line
        assert "abandoned_cart" in line
        assert pipeline.workers["w1"].stop() == 0

        other = tmp_path / "identity.yaml"
        other.write_text(policy_with_another_order())
        misled = WorkerProcess(
            "w1", {**pipeline.environment, "RACCORD_IDENTITY_POLICY": str(other)}, tmp_path / "misled.log"
        )
        pipeline.workers["misled"] = misled
        misled.start()
        assert wait_for(lambda: misled._process.poll() is not None, 40)
        assert misled._process.returncode not in {0, None}
        said = misled.log.read_text()
        assert "go back to that configuration" in said
        assert "Traceback" not in said


def answers_elsewhere(port: int) -> bool:
    """Tell whether a port answers on an address of this machine that other machines can reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        try:
            route.connect(("192.0.2.1", 9))  # sends nothing: only asks which address would be used
        except OSError:
            return False  # there is no such address
        address = route.getsockname()[0]
    with socket.socket() as probe:
        probe.settimeout(2)
        return not address.startswith("127.") and probe.connect_ex((address, port)) == 0
