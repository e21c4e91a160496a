"""Operators' commands from the command line to the workers' input, on a real broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stream_app.wire import CommandDecoder
from tests.pipeline_job import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.broker

SMALL = {"RACCORD_CHANNELS": "web", "RACCORD_PARTITIONS": "3"}
DENY = ("identity", "deny", "email:ana@example.org", "phone:+33639981234", "--reason", "two people")


@pytest.fixture
def empty(bootstrap_servers, topic_prefix, tmp_path) -> Iterator[Pipeline]:
    """A deployment without topics."""
    with Pipeline(bootstrap_servers, topic_prefix, tmp_path, SMALL, create=False) as pipeline:
        yield pipeline


def test_a_command_is_in_its_topic_once_it_has_been_given(empty):
    before = empty.raccord(*DENY, "--operator", "zoe")
    assert before.returncode == 2
    assert f"topic {empty.topics.commands} is missing" in before.stderr.decode()
    assert empty.raccord("topics", "create").returncode == 0
    given = empty.raccord(*DENY, "--operator", "zoe", "--json")
    assert given.returncode == 0, given.stderr
    said = json.loads(given.stdout)
    (record,) = empty.read(empty.topics.commands)
    assert (said["partition"], said["offset"]) == (record.partition, record.offset)
    command = CommandDecoder().decode(record.value, record.headers, record.timestamp)
    assert (command.command_id, command.op, command.operator) == (said["command_id"], "deny", "zoe")
    assert b"ana" not in record.key
    settings = empty.raccord("topics", "check")
    assert settings.stdout == b"0 problems\n", settings.stdout


@pytest.mark.slow
def test_a_broker_that_does_not_answer_is_one_sentence(empty):
    done = empty.raccord(*DENY, "--operator", "zoe", RACCORD_BOOTSTRAP_SERVERS="127.0.0.1:9")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1, done.stderr
