"""The first hop of operators' commands, without Kafka: a real task and its clock, the policy that ships."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

import schemas
from stream_app.agents.commands import Commands
from stream_app.agents.dead_letters import DeadLetters
from stream_app.domain.commands import Command, Op
from stream_app.domain.identifiers import Identifier
from stream_app.domain.labels import Labels
from stream_app.domain.messages import CommandAt, decode_lookup
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.refusal import Reason
from stream_app.engine.errors import EpochAbortedError
from stream_app.engine.stage import Stage
from stream_app.engine.store import MemoryRows
from stream_app.engine.task import Clockwork, Task
from stream_app.engine.watermark import UNSET, TimeMode
from stream_app.wire import (
    CommandDecoder,
    IdentityCommand,
    RegistryUnavailable,
    encode_command,
    parse_dead_letter,
)

NOW = 1_790_000_000_000
DAY = 86_400_000
TOLERANCE = 200
POLICY = IdentityPolicy.from_yaml(schemas.read_text("policies/identity.yaml"))
SECRET = "ana@example.org"
KEY = b"a key of this test"
EMAIL = {"name": "email", "priority": 1, "kind": "person", "hashed": True}
COOKIE = {"name": "cookie", "priority": 2, "kind": "device"}
HASHED = IdentityPolicy.from_mapping({"namespaces": [EMAIL, COOKIE]})
LABELS = Labels(POLICY, KEY)


class Sent:
    """Stands for the producer: keeps what is sent, in order."""

    def __init__(self) -> None:
        self.messages: list[SimpleNamespace] = []

    def send(self, topic, value, key, partition=-1, headers=None, on_delivery=None) -> None:
        self.messages.append(SimpleNamespace(topic=topic, value=value, key=key, headers=headers))


class Desk:
    """One partition of the topic of commands."""

    def __init__(
        self, mode: TimeMode = TimeMode.WALL, decoder: Any = None, policy: IdentityPolicy = POLICY
    ) -> None:
        def handler(task: Task) -> Commands:
            return Commands(
                task,
                lookup="lookup",
                decoder=decoder or CommandDecoder(),
                identifier=Identifier(policy, KEY),
                labels=LABELS,
                dead_letters=DeadLetters("dead", "1"),
            )

        stage = Stage("ingest", ("commands",), "changelog", handler)
        self.task = Task(stage, TP("commands", 0), {}, 1, Clockwork(mode, TOLERANCE, 60_000))
        self.sent = Sent()
        self.task.open(MemoryRows(), self.sent)
        self._offset = 0

    def give(self, op: str, a: str, b: str | None = None, *, time: int = NOW, at: int = NOW) -> CommandAt:
        """Give a command that came at `at` (ms); return what went on to the resolver."""
        self.raw(encode_command(IdentityCommand("c-1", Op(op), a, b, time, "zoe", "because")), at)
        message = self.sent.messages[-1]
        assert message.topic == "lookup"
        passed = decode_lookup(message.value)
        assert isinstance(passed, CommandAt)
        assert message.key == passed.labels[0].encode()
        return passed

    def refused(self, value: bytes | None) -> tuple[Reason, str]:
        """Give a record that can't be taken; return why."""
        self.raw(value, NOW)
        message = self.sent.messages[-1]
        assert (message.topic, message.value) == ("dead", value)
        letter = parse_dead_letter(message.headers)
        assert SECRET not in letter.detail
        assert (letter.topic, letter.stage, letter.offset) == ("commands", "ingest", self._offset)
        return letter.reason, letter.detail

    def raw(self, value: bytes | None, at: int) -> None:
        """Give one record."""
        self._offset += 1
        before = len(self.sent.messages)
        record = SimpleNamespace(
            value=value,
            key=b"k",
            headers=(),
            timestamp=at,
            topic="commands",
            partition=0,
            offset=self._offset,
        )
        self.task.handler.process([record])
        assert len(self.sent.messages) == before + 1


def written(a: str, b: str | None = None, op: str = "deny") -> bytes:
    return encode_command(IdentityCommand("c-1", Op(op), a, b, NOW, "zoe", "because"))


def test_a_pair_goes_to_the_row_of_its_stronger_identifier_both_normalised():
    passed = Desk().give("assert", "phone: 06 39 98 12 34", " email:Ana@Example.org ")
    pair = ("email:ana@example.org", "phone:+33639981234")
    assert passed.command == Command("c-1", Op.ASSERT, pair, NOW, "zoe", "because", "commands/0/1")
    assert passed.labels == (LABELS.of(pair[0]), LABELS.of(pair[1]))


@pytest.mark.parametrize("op", ["block", "release", "erase"])
def test_a_command_about_one_identifier_goes_to_its_row(op):
    passed = Desk().give(op, "cookie:c-17")
    assert (passed.command.op, passed.command.identifiers) == (op, ("cookie:c-17",))
    assert passed.labels == (LABELS.of("cookie:c-17"),)


@pytest.mark.parametrize(
    ("a", "b", "reason", "detail"),
    [
        (f"email:{SECRET}", "phone:null", Reason.NO_IDENTIFIER, "b is a value that the policy blocks"),
        ("email:ana", "cookie:c", Reason.NO_IDENTIFIER, "a is no valid value of namespace email"),
        (f"cookie:{'x' * 600}", "cookie:c", Reason.NO_IDENTIFIER, "a is too long"),
        (f"mail:{SECRET}", "cookie:c", Reason.NO_IDENTIFIER, "a is not namespace:value"),
        (SECRET, "cookie:c", Reason.NO_IDENTIFIER, "a is not namespace:value"),
        ("cookie", "cookie:c", Reason.NO_IDENTIFIER, "a is not namespace:value"),
        (f"email:{SECRET}", f"email: {SECRET.upper()}", Reason.INVALID_FIELD, "a and b are the same"),
    ],
)
def test_what_cannot_be_an_identifier_goes_to_the_dead_letters_with_the_reason(a, b, reason, detail):
    desk = Desk()
    found = desk.refused(written(a, b))
    assert found[0] is reason
    assert detail in found[1]
    assert desk.task.tally == {("dead_letters", reason.value): 1}


def test_of_a_hashed_namespace_the_value_and_its_hash_say_the_same():
    raw = Desk(policy=HASHED).give("deny", f"email: {SECRET.upper()} ", "cookie:c").command
    (email, cookie) = raw.identifiers
    assert (email.startswith("email:hmac-"), cookie) == (True, "cookie:c")
    assert Desk(policy=HASHED).give("deny", "cookie:c", email).command == raw


def test_a_hash_that_was_made_with_another_key_is_refused():
    other = Identifier(HASHED, b"another key of this test").one(f"email:{SECRET}")
    reason, detail = Desk(policy=HASHED).refused(written(str(other), "cookie:c"))
    assert reason is Reason.NO_IDENTIFIER
    assert "a is a hash that was made with another key" in detail


def test_what_is_no_command_goes_to_the_dead_letters_and_the_next_one_is_taken():
    desk = Desk()
    assert desk.refused(b"rubbish")[0] is Reason.UNDECODABLE
    assert desk.refused(None)[0] is Reason.EMPTY
    assert desk.refused(json.dumps({"op": "erase"}).encode())[0] is Reason.MISSING_FIELD
    assert desk.give("erase", "user_id:7").command.op is Op.ERASE


def test_a_registry_that_does_not_answer_rolls_the_epoch_back_and_refuses_nothing():
    def decode(*_: object) -> None:
        raise RegistryUnavailable("no answer")

    desk = Desk(decoder=SimpleNamespace(decode=decode))
    with pytest.raises(EpochAbortedError):
        desk.raw(b"\x00\x00\x00\x00\x01", NOW)
    assert desk.sent.messages == []


@pytest.mark.parametrize("time", [NOW - 365 * DAY, NOW, NOW + 1_000])
def test_live_a_command_finds_the_clock_of_its_arrival_however_it_is_dated(time):
    desk = Desk()
    assert desk.task.clock == UNSET
    assert desk.give("block", "cookie:c", time=time).stamp == NOW - TOLERANCE


def test_in_a_replay_a_command_finds_the_clock_of_its_own_time():
    desk = Desk(TimeMode.EVENTS)
    assert desk.give("block", "cookie:c", time=NOW - 7 * DAY).stamp == NOW - 7 * DAY


def test_no_command_moves_the_clock_past_its_records_timestamp():
    assert Desk(TimeMode.EVENTS).give("block", "cookie:c", time=NOW + 30_000).stamp == NOW
