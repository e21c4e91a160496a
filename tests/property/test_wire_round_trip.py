"""Every event comes back the same through every format, and other people's Avro agrees with ours."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.wire import (
    Decoder,
    Encoder,
    Output,
    decode_output,
    encode_cloudevent_binary,
    encode_cloudevent_structured,
    encode_confluent,
    encode_payload,
    encode_single_object,
    open_registry,
    read_payload,
    subject_of,
)
from stream_app.wire.known import current, without_logical_types
from stream_app.wire.limits import Limits
from tests.property.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable

REGISTRY = open_registry("mock://round-trip")
SCHEMA_ID = REGISTRY.register(subject_of("channel.web"), schemas.avro("channel_event"))
DECODER = Decoder(REGISTRY)
OFFICIAL = avro.schema.parse(json.dumps(without_logical_types(json.loads(schemas.avro("channel_event")))))

int64 = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=80)
scalars = st.none() | st.booleans() | int64 | finite | st.text(max_size=200)
objects = st.dictionaries(names, scalars, max_size=4)
values = scalars | st.lists(scalars | objects, max_size=4) | objects
times = st.integers(Limits().earliest, Limits().latest(None))
positions = st.builds(
    Position,
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.none() | st.floats(0, 1e7),
)
contexts = st.builds(
    Context,
    st.none() | st.text(max_size=70),
    st.none() | st.sampled_from(["Europe/Paris", "Asia/Kathmandu"]),
    st.none() | positions,
    st.none() | st.dictionaries(names, st.booleans(), max_size=3),
)
events = st.builds(
    ChannelEvent,
    st.text(min_size=1, max_size=256).filter(lambda one: one[0] != "\0"),
    times,
    st.sampled_from(["web", "app", "call_center"]),
    st.text(min_size=1, max_size=100),
    st.dictionaries(
        names,
        st.none() | st.text(max_size=100) | int64 | st.lists(st.text(max_size=80), max_size=3),
        max_size=4,
    ),
    st.dictionaries(names, values, max_size=6),
    st.none() | times,
    st.none() | times,
    st.none() | contexts,
)

FORMATS: dict[str, Callable[[ChannelEvent], tuple[bytes, list[tuple[str, bytes]]]]] = {
    "single object": lambda event: (encode_single_object(event), []),
    "confluent": lambda event: (encode_confluent(event, SCHEMA_ID), []),
    "cloudevents structured": encode_cloudevent_structured,
    "cloudevents structured without headers": lambda event: (encode_cloudevent_structured(event)[0], []),
    "cloudevents binary": encode_cloudevent_binary,
}


def as_fields(event: ChannelEvent) -> dict[str, Any]:
    fields: dict[str, Any] = {name: getattr(event, name) for name in event.__struct_fields__}
    context = event.context
    if context is not None:
        fields["context"] = {name: getattr(context, name) for name in context.__struct_fields__}
        position = context.position
        if position is not None:
            fields["context"]["position"] = {
                name: getattr(position, name) for name in position.__struct_fields__
            }
    return fields


@pytest.mark.parametrize("name", FORMATS)
@examples(100)
@given(event=events)
def test_an_event_is_the_same_after_a_round_trip(name, event):
    value, headers = FORMATS[name](event)
    decoded = DECODER.decode(value, headers)
    assert decoded.event == event
    assert repr(decoded.event) == repr(event)  # and of the same types: 1 is not 1.0 is not True
    assert decoded.payload == encode_payload(event)


@examples(100)
@given(events)
def test_the_official_reader_reads_what_we_write(event):
    decoder = avro.io.BinaryDecoder(io.BytesIO(encode_payload(event)))
    assert avro.io.DatumReader(OFFICIAL).read(decoder) == as_fields(event)


@examples(100)
@given(events)
def test_we_read_what_the_official_writer_writes_as_the_official_reader_does(event):
    stream = io.BytesIO()  # the writer chooses a union's branch as it likes: False may become 0.0
    avro.io.DatumWriter(OFFICIAL).write(as_fields(event), avro.io.BinaryEncoder(stream))
    decoder = avro.io.BinaryDecoder(io.BytesIO(stream.getvalue()))
    expected = avro.io.DatumReader(OFFICIAL).read(decoder)
    assert repr(as_fields(read_payload(stream.getvalue()))) == repr(expected)


@examples(100)
@given(events)
def test_fastavro_reads_what_we_write_and_we_what_it_writes(event):
    parsed = current("channel_event").parsed
    payload = encode_payload(event)
    assert fastavro.schemaless_reader(io.BytesIO(payload), parsed, None) == as_fields(event)
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, parsed, as_fields(event))
    assert repr(read_payload(stream.getvalue())) == repr(event)


@examples(100)
@given(
    events,
    st.text(max_size=80),
    st.integers(0, 2**31 - 1),
    st.none() | st.text(max_size=80),
    st.sampled_from(["upsert", "remove"]),
)
def test_a_timeline_record_is_its_head_and_the_payload(event, customer, revision, previous, operation):
    payload = encode_payload(event)
    record = Encoder().timeline(customer, revision, previous, operation, payload)
    assert record.endswith(payload)
    assert decode_output(Output.TIMELINE, record) == {
        "customer_id": customer,
        "revision": revision,
        "previous_customer_id": previous,
        "operation": operation,
        "event": as_fields(event),
    }
