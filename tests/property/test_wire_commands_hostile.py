"""Whatever bytes and headers arrive on the topic of commands: a command, or a refusal that repeats nothing."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

import schemas
from stream_app.domain.commands import PAIR_OPS, Op
from stream_app.domain.refusal import Refused
from stream_app.wire import CommandDecoder, IdentityCommand, encode_command, open_registry
from stream_app.wire.encoding import confluent_mark
from stream_app.wire.known import FINGERPRINT_END, current
from tests.property.examples import examples

NOW = 1_700_000_000_000
REGISTRY = open_registry("mock://hostile-commands")
NUMBER = REGISTRY.register("identity.commands-value", schemas.avro("identity_command"))
DECODER = CommandDecoder(REGISTRY)
PLANTED = "planted-value"
SOUND = IdentityCommand("c-1", Op.DENY, f"email:{PLANTED}", "cookie:c", NOW, PLANTED, PLANTED)
HAND = {
    "command_id": PLANTED,
    "op": "deny",
    "a": PLANTED,
    "b": PLANTED,
    "time": "2023-11-14T22:13:20Z",
    "operator": PLANTED,
    "reason": PLANTED,
}
BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"i"), ("ce_source", b"/"), ("ce_type", b"t")]
HEADERS = [
    [],
    BINARY,
    [*BINARY, ("ce_time", b"2023-11-14T22:13:20Z")],
    [("content-type", b"application/cloudevents+json")],
]

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=250).filter(str.strip)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def taken(value: bytes, headers: list[tuple[str, bytes]]) -> bool:
    """Tell whether a record is taken; a refusal repeats nothing of it."""
    try:
        command = DECODER.decode(value, headers, NOW)
    except Refused as refused:
        said = refused.detail
    else:
        assert isinstance(command, IdentityCommand)
        assert (command.b is None) == (command.op not in PAIR_OPS)
        return True
    assert PLANTED not in said
    return False


@examples(500)
@given(
    st.sampled_from([b"", b"{", b"\x00", confluent_mark(NUMBER), current("identity_command").mark]),
    st.binary(max_size=200),
    st.sampled_from(HEADERS),
)
def test_arbitrary_bytes_raise_nothing_but_a_refusal(mark, rest, headers):
    taken(mark + rest, headers)


@examples(500)
@given(st.sampled_from(sorted(HAND)), json_values, st.sampled_from(HEADERS))
def test_any_json_in_place_of_a_field_raises_nothing_but_a_refusal(field, value, headers):
    taken(json.dumps(HAND | {field: value}).encode(), headers)
    event = {"specversion": "1.0", "id": "i", "source": "/", "type": "t", "time": HAND["time"], "data": HAND}
    taken(json.dumps(event | {field: value, "data": HAND | {field: value}}).encode(), headers)


def test_no_beginning_of_a_command_is_one():
    for value in (encode_command(SOUND), confluent_mark(NUMBER) + encode_command(SOUND)[FINGERPRINT_END:]):
        assert taken(value, [])
        assert not any(taken(value[:size], []) for size in range(len(value)))


@given(
    st.builds(
        IdentityCommand,
        text,
        st.sampled_from(sorted(PAIR_OPS)),
        text,
        text,
        st.integers(NOW - 10**11, NOW),
        text,
        text,
    )
)
def test_what_is_encoded_is_read_as_it_was(command):
    assert DECODER.decode(encode_command(command), [], NOW) == command
