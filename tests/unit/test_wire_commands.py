"""Operators' commands in every format, and what is said about those that can't be taken."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

import schemas
from stream_app.domain.commands import Op
from stream_app.domain.refusal import Reason, Refused
from stream_app.wire import CommandDecoder, IdentityCommand, Limits, encode_command, open_registry
from stream_app.wire.encoding import confluent_mark
from stream_app.wire.known import FINGERPRINT_END, current, known_of

NOW = 1_700_000_000_000
DAY = 86_400_000
NOON = "2023-11-14T23:13:20+01:00"
"""The same time as people write it."""
SECRET = "ana@example.org"
DENY = IdentityCommand("c-1", Op.DENY, f"email:{SECRET}", "phone:+33639981234", NOW, "zoe", "two people")
BLOCK = IdentityCommand("c-2", Op.BLOCK, "device:kiosk", None, NOW, "zoe", "a tablet in the shop")
HAND = {
    "command_id": "c-1",
    "op": "deny",
    "a": f"email:{SECRET}",
    "b": "phone:+33639981234",
    "time": NOON,
    "operator": "zoe",
    "reason": "two people",
}
EVENT = {
    "specversion": "1.0",
    "id": "c-1",
    "source": "/desk",
    "type": "identity.command",
    "time": NOON,
    "data": {name: value for name, value in HAND.items() if name not in {"command_id", "time"}},
}
STRUCTURED = [("content-type", b"application/cloudevents+json")]
BINARY = [(f"ce_{name}", EVENT[name].encode()) for name in ("specversion", "id", "source", "type", "time")]
DECODER = CommandDecoder()


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def refusal(value: bytes | None, headers: Any = (), timestamp: int | None = NOW) -> Refused:
    with pytest.raises(Refused) as caught:
        DECODER.decode(value, headers, timestamp)
    return caught.value


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (encode_command(DENY), []),
        (as_json(HAND), []),
        (b" \n" + as_json(HAND), [("content-type", b"application/json")]),
        (as_json(EVENT), []),
        (as_json(EVENT), STRUCTURED),
        (as_json(EVENT["data"]), BINARY),
        (encode_command(msgspec.structs.replace(DENY, command_id="other", time=NOW - DAY)), BINARY),
    ],
)
def test_a_command_is_the_same_in_every_format(value, headers):
    assert DECODER.decode(value, headers, NOW) == DENY


def test_a_command_in_confluents_wire_format_is_read_with_the_registrys_schema():
    registry = open_registry("mock://commands")
    value = encode_command(BLOCK)[FINGERPRINT_END:]
    number = registry.register("identity.commands-value", schemas.avro("identity_command"))
    assert CommandDecoder(registry).decode(confluent_mark(number) + value) == BLOCK
    event = registry.register("channel.web-value", schemas.avro("channel_event"))
    with pytest.raises(Refused, match="not compatible with identity_command"):
        CommandDecoder(registry).decode(confluent_mark(event) + value)
    assert "configure its URL" in refusal(confluent_mark(number) + value).detail


def test_an_event_is_no_command():
    assert refusal(current("channel_event").mark + b"\x00").reason is Reason.UNKNOWN_SCHEMA


@pytest.mark.parametrize("command", [DENY, BLOCK])
def test_a_command_that_was_encoded_is_read_as_it_was(command):
    assert DECODER.decode(encode_command(command), None, NOW) == command


def test_the_schema_has_an_operation_for_each_of_the_domains():
    document = json.loads(schemas.avro("identity_command"))
    assert document["fields"][1]["type"]["symbols"] == [*(op.value for op in Op), "other"]


def test_an_operation_of_a_later_version_is_refused_and_not_guessed_at():
    document = json.loads(schemas.avro("identity_command"))
    document["fields"][1]["type"]["symbols"].insert(0, "split")
    registry = open_registry("mock://later")
    number = registry.register("identity.commands-value", json.dumps(document))
    later = known_of("identity_command", json.dumps(document))
    assert later.mark != current("identity_command").mark
    value = encode_command(BLOCK)[FINGERPRINT_END:].replace(b"\x06c-2\x06", b"\x06c-2\x00")  # symbol 0: split
    with pytest.raises(Refused, match="op is not one of assert, deny") as caught:
        CommandDecoder(registry).decode(confluent_mark(number) + value)
    assert caught.value.reason is Reason.INVALID_FIELD


@pytest.mark.parametrize("field", ["command_id", "op", "a", "b", "time", "operator", "reason"])
def test_every_field_is_needed(field):
    found = refusal(as_json({name: value for name, value in HAND.items() if name != field}))
    assert (found.reason, found.detail) == (Reason.MISSING_FIELD, f"{field} is missing")


@pytest.mark.parametrize("field", ["command_id", "a", "b", "operator", "reason"])
def test_a_text_of_blanks_alone_is_none(field):
    found = refusal(as_json(HAND | {field: " "}))
    assert (found.reason, found.detail) == (Reason.MISSING_FIELD, f"{field} is empty")


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"op": "other"}, Reason.INVALID_FIELD, "op is not one of assert, deny, withdraw"),
        ({"op": "merge"}, Reason.INVALID_FIELD, "op is not one of"),
        ({"op": ["deny"]}, Reason.INVALID_FIELD, "op is not one of"),
        ({"op": "block"}, Reason.INVALID_FIELD, "b is there, and block takes one identifier"),
        ({"a": 7}, Reason.INVALID_FIELD, "a is not a string"),
        ({"a": "x" * 70_000}, Reason.TOO_LARGE, "a is longer than"),
        ({"reason": "x" * 1_001}, Reason.TOO_LARGE, "reason is longer than 1000 characters"),
        ({"operator": "x" * 257}, Reason.TOO_LARGE, "operator is longer than 256 characters"),
        ({"command_id": "x" * 257}, Reason.TOO_LARGE, "command_id is longer than 256 characters"),
        ({"time": "yesterday"}, Reason.INVALID_FIELD, "time is not an RFC 3339 timestamp"),
        ({"time": NOW}, Reason.INVALID_FIELD, "time is not an RFC 3339 timestamp"),
        ({"time": "1999-12-31T23:59:59Z"}, Reason.TIME_OUT_OF_RANGE, "too far in the past"),
        ({"time": "2023-11-16T23:13:20+01:00"}, Reason.TIME_OUT_OF_RANGE, "too far in the past"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_and_no_value_is_repeated(changes, reason, detail):
    found = refusal(as_json(HAND | changes))
    assert found.reason is reason
    assert detail in found.detail
    assert SECRET not in found.detail


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (None, (), Reason.EMPTY),
        (b"", (), Reason.EMPTY),
        (b"deny a b", (), Reason.UNDECODABLE),
        (b"[1]", STRUCTURED, Reason.UNDECODABLE),
        (encode_command(DENY), STRUCTURED, Reason.INVALID_UTF8),  # it says that it is JSON
        (b"{", (), Reason.UNDECODABLE),
        (b"\xef\xbb\xbf" + as_json(HAND), (), Reason.UNDECODABLE),
        (encode_command(DENY)[:-1], (), Reason.UNDECODABLE),
        (encode_command(DENY) + b"\x00", (), Reason.UNDECODABLE),
        (b"\xc3\x01" + b"\x00" * 20, (), Reason.UNKNOWN_SCHEMA),
        (as_json(EVENT | {"specversion": "0.3"}), (), Reason.INVALID_FIELD),
        (as_json(EVENT | {"data": "deny"}), (), Reason.INVALID_FIELD),
        (as_json(EVENT | {"data": None}), (), Reason.MISSING_FIELD),
        (as_json(HAND).replace(b"zoe", b"z\xff"), (), Reason.INVALID_UTF8),
        (as_json(HAND).replace(b"zoe", rb"\ud800"), (), Reason.INVALID_UTF8),
        (as_json(HAND | {"x": [[[[]]]]}).replace(b"[[[[]]]]", b"[" * 40 + b"]" * 40), (), Reason.TOO_DEEP),
        (as_json(HAND | {"x": "x" * Limits().value_bytes}), (), Reason.TOO_LARGE),
    ],
)
def test_bytes_that_are_no_command_are_refused_with_a_reason(value, headers, reason):
    found = refusal(value, headers)
    assert found.reason is reason
    assert SECRET not in found.detail


def test_without_a_timestamp_the_future_is_open():
    assert DECODER.decode(as_json(HAND | {"time": "2999-01-01T00:00:00Z"})).time > NOW


def test_a_lone_surrogate_is_not_encoded():
    with pytest.raises(ValueError, match="surrogate"):
        encode_command(msgspec.structs.replace(BLOCK, reason="\ud800"))
