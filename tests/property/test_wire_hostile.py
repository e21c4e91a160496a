"""Whatever bytes and headers arrive, the decoder has two answers: an event, or a refusal."""

from __future__ import annotations

import contextlib
import json
import math

from hypothesis import example, given
from hypothesis import strategies as st

import schemas
from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.domain.refusal import Refused
from stream_app.wire import (
    Decoder,
    OutputReader,
    encode_cloudevent_binary,
    encode_cloudevent_structured,
    encode_payload,
    encode_single_object,
    open_registry,
    read_payload,
)
from stream_app.wire.known import SINGLE_OBJECT, current
from tests.property.examples import examples

REGISTRY = open_registry("mock://hostile")
SCHEMA_ID = REGISTRY.register("channel.web-value", schemas.avro("channel_event"))
WIDER = json.loads(schemas.avro("channel_event"))
WIDER["fields"].append({"name": "extra", "type": "boolean"})
WIDER_ID = REGISTRY.register("channel.web-value", json.dumps(WIDER))
DECODER = Decoder(REGISTRY)
READER = OutputReader(REGISTRY)
EVENT = ChannelEvent(
    "e-1",
    1_700_000_000_000,
    "web",
    "Product Added",
    {"cookie": "c-1", "user_id": 7, "email": ["a@example.org", "b@example.org"], "phone": None},
    {
        "sku": "A" * 70,
        "price": 12.5,
        "quantity": 2,
        "gift": True,
        "note": None,
        "products": [{"sku": "A", "price": 1.5}, 3, "x"],
        "size": {"eu": 42},
    },
    1_700_000_000_100,
    None,
    Context("fr-FR", "Europe/Paris", Position(48.8, 2.3, 10.0), {"marketing": True}),
)
SOUND = [
    (encode_single_object(EVENT), []),
    (b"\x00" + SCHEMA_ID.to_bytes(4, "big") + encode_payload(EVENT), []),
    (b"\x00" + WIDER_ID.to_bytes(4, "big") + encode_payload(EVENT) + b"\x01", []),
    encode_cloudevent_structured(EVENT),
    encode_cloudevent_binary(EVENT),
]
MARKS = [b"", b"\x00", SINGLE_OBJECT, *(value[:10] for value, _ in SOUND), b"{", b"\x00\x00\x00\x00\x01"]

header_names = st.sampled_from(
    ["content-type", "Content-Type", "ce_id", "ce_specversion", "ce_time", "ce_type", "ce_source", "ce_", "x"]
) | st.text(max_size=10)
header_values = (
    st.none()
    | st.binary(max_size=20)
    | st.sampled_from(
        [
            b"1.0",
            b"application/json",
            b"application/cloudevents+json",
            b"application/avro",
            b"2024-01-01T00:00:00Z",
        ]
    )
)
headers = st.lists(st.tuples(header_names, header_values), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def accepts(value: bytes | None, with_headers: list[tuple[str, bytes | None]]) -> bool:
    try:
        decoded = DECODER.decode(value, with_headers, "web", 1_700_000_000_000)
    except Refused:
        return False
    assert read_payload(decoded.payload) == decoded.event
    return True


@examples(500)
@given(st.sampled_from(MARKS), st.binary(max_size=200), headers)
@example(b"", b"", [])
@example(b"", b"\x00" * 5, [])
def test_arbitrary_bytes_and_headers_raise_nothing_but_a_refusal(mark, rest, with_headers):
    accepts(mark + rest, with_headers)


@examples(1000)
@given(st.sampled_from(SOUND), st.data())
def test_a_sound_record_with_changed_bytes_raises_nothing_but_a_refusal(record, data):
    value = bytearray(record[0])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(value) - 1))
        edit = data.draw(st.sampled_from(["set", "insert", "delete"]))
        if edit == "set":
            value[place] = data.draw(st.integers(0, 255))
        elif edit == "insert":
            value.insert(place, data.draw(st.integers(0, 255)))
        elif len(value) > 1:
            del value[place]
    accepts(bytes(value), record[1])


def test_a_record_that_was_cut_short_is_refused_at_every_length():
    for value, with_headers in SOUND:
        assert accepts(value, with_headers)
        for size in range(len(value)):
            assert not accepts(value[:size], with_headers)
        assert not accepts(value + b"\x00", with_headers)


@examples(500)
@given(
    st.sampled_from(["id", "type", "time", "source", "specversion", "data", "senttime", "data_base64"]),
    json_values,
)
def test_any_json_in_place_of_an_attribute_raises_nothing_but_a_refusal(attribute, value):
    document = json.loads(SOUND[3][0]) | {attribute: value}
    accepts(json.dumps(document).encode(), [])


@examples(500)
@given(st.sampled_from(["identifiers", "properties", "context", "channel"]), json_values, st.booleans())
def test_any_json_within_the_data_raises_nothing_but_a_refusal(member, value, inside):
    document = json.loads(SOUND[3][0])
    document["data"][member] = {"x": value, "locale": value, "position": value} if inside else value
    accepts(json.dumps(document).encode(), [])


@examples(100)
@given(json_values)
def test_any_json_value_of_a_property_is_taken_when_its_numbers_are_finite(value):
    document = json.loads(SOUND[3][0])
    document["data"]["properties"] = {"x": value}
    assert accepts(json.dumps(document).encode(), []) == finite(value)


@examples(300)
@given(
    st.sampled_from([current(name).mark for name in schemas.SUBJECTS]) | st.binary(max_size=10), st.binary()
)
def test_arbitrary_bytes_raise_nothing_but_a_refusal_where_outputs_are_read(mark, rest):
    with contextlib.suppress(Refused):
        READER.read(mark + rest)


def finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(finite, value))
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return True
