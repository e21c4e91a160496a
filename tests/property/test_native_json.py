"""The native part makes the same events of CloudEvents, and the same refusals; so with timestamps and limits."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.domain.event import Context, Position
from stream_app.domain.refusal import Refused
from stream_app.wire import cloudevents, shape, timestamps
from stream_app.wire.encoding import encode_cloudevent_binary, encode_cloudevent_structured
from stream_app.wire.limits import Limits
from tests.property.examples import examples
from tests.property.native_twins import forbid, leaks, native, same
from tests.property.test_wire_hostile import EVENT, header_values, json_values
from tests.property.test_wire_round_trip import events

native_json = native("native_json")
STRUCTURED = (cloudevents.structured_event, native_json.structured_event)
BINARY = (cloudevents.binary_event, native_json.binary_event)
CHECK = (shape.check_event, native_json.check_event)
TIMESTAMP = (timestamps.parse_timestamp, native_json.parse_timestamp)

SOUND = encode_cloudevent_structured(EVENT)[0]
DOCUMENT: dict[str, Any] = json.loads(SOUND)
HEADERS = {
    name[3:]: value.decode() for name, value in encode_cloudevent_binary(EVENT)[1] if name[:3] == "ce_"
}
LIMITS = st.sampled_from(
    [
        Limits(),
        Limits(string_bytes=64, name_chars=64, identifiers=2, identifier_values=2, properties=3, items=2),
        Limits(json_depth=3, items=1),
        Limits(string_bytes=280, name_chars=100, properties=7, json_depth=10_000),
    ]
)
numbers = st.sampled_from(
    [sign * (1 << bits) + more for bits in (53, 62, 63, 64, 100) for sign in (1, -1) for more in (-1, 0, 1)]
)
texts = st.sampled_from(
    ["", "x" * 16, "x" * 17, "é" * 16, "é" * 33, "x" * 64, "x" * 65, "[{", '"', "\\", "\x00"]
)
odd = json_values | numbers | texts | st.lists(numbers | texts, max_size=3)
odd |= st.dictionaries(texts, odd, max_size=3) | st.lists(st.dictionaries(texts, odd, max_size=2), max_size=3)
attributes = st.sampled_from(
    [
        "id",
        "type",
        "time",
        "source",
        "specversion",
        "data",
        "senttime",
        "receivedtime",
        "data_base64",
        "other",
    ]
)
members = st.sampled_from(["identifiers", "properties", "context", "channel", "other"])
usual_times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)).map(  # noqa: DTZ001 - UTC is added
    lambda moment: moment.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
)


def dumped(document: object, *, ascii_only: bool = False) -> bytes:
    return json.dumps(document, ensure_ascii=ascii_only).encode(errors="surrogatepass")


@examples(200)
@given(events, LIMITS)
def test_an_event_comes_to_the_same(event, limits):
    same(STRUCTURED, encode_cloudevent_structured(event)[0], limits)


@examples(500)
@given(attributes, odd, LIMITS, st.booleans())
def test_any_json_in_place_of_an_attribute_comes_to_the_same(name, value, limits, ascii_only):
    same(STRUCTURED, dumped(DOCUMENT | {name: value}, ascii_only=ascii_only), limits)


@examples(700)
@given(members, odd, LIMITS, st.sampled_from(["instead", "inside", "deep"]))
def test_any_json_within_the_data_comes_to_the_same(name, value, limits, where):
    document = copy.deepcopy(DOCUMENT)
    inside = {"x": value, "locale": value, "timezone": value}
    document["data"][name] = {"instead": value, "inside": inside, "deep": {"x": [value, {"y": value}]}}[where]
    same(STRUCTURED, dumped(document), limits)


@examples(500)
@given(st.sampled_from([*Context.__struct_fields__, *Position.__struct_fields__]), odd)
def test_any_json_in_a_context_comes_to_the_same(name, value):
    document = copy.deepcopy(DOCUMENT)
    context = document["data"]["context"]
    (context if name in context else context["position"])[name] = value
    same(STRUCTURED, dumped(document), Limits())


@examples(500)
@given(st.data())
def test_a_document_with_changed_bytes_comes_to_the_same(data):
    value = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value) - 1))
        value[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from(
                [
                    b"",
                    b'"',
                    b"\\",
                    b"{",
                    b"[",
                    b"}",
                    b"1e999",
                    b"\xff",
                    b"\xed\xa0\x80",
                    b'"a":1,',
                    b"\xef\xbb\xbf",
                ]
            )
        )
    same(STRUCTURED, bytes(value), Limits())


@pytest.mark.parametrize("depth", [1, 2, 30, 31, 32, 33, 999, 1_000, 1_001, 5_000])
@pytest.mark.parametrize("allowed", [32, 100_000])
def test_what_is_deep_comes_to_the_same(depth, allowed):
    for value in (
        b"[" * depth + b"]" * depth,
        b'{"a":' * depth + b"1" + b"}" * depth,
        b'"' + b"[" * depth + b'"',
    ):
        data = SOUND.replace(b'"quantity":2', b'"quantity":' + value)
        assert len(data) != len(SOUND)
        same(STRUCTURED, data, Limits(json_depth=allowed))
        same(STRUCTURED, value, Limits(json_depth=allowed))


@pytest.mark.parametrize(
    ("sound", "instead"),
    [
        (b'"quantity":2', b'"quantity":2,"quantity":2'),
        (b'"channel":"web"', b'"channel":"web","channel":"app"'),
        (b'"specversion":"1.0"', b'"specversion":"1.0","id":"other"'),
        (b'"quantity":2', b'"quantity":NaN'),
        (b'"quantity":2', b'"quantity":1e999'),
        (b'"quantity":2', b'"quantity":' + b"1" * 5_000),
        (b'"quantity":2', b'"quantity":"\\u0041"'),
        (b'"quantity":2', b'"quantity":"\\ud800"'),
    ],
)
def test_what_i_json_forbids_comes_to_the_same(sound, instead):
    assert sound in SOUND
    same(STRUCTURED, SOUND.replace(sound, instead), Limits())


@examples(300)
@given(attributes, header_values, LIMITS, json_values | st.just(DOCUMENT["data"]))
def test_a_binary_event_comes_to_the_same(name, value, limits, data):
    headers = HEADERS | {name: (value or b"").decode(errors="replace")}
    same(BINARY, headers, dumped(data), limits)
    headers.pop(name)
    same(BINARY, headers, dumped(DOCUMENT["data"]), limits)


@examples(300)
@given(usual_times, st.data())
def test_a_usual_timestamp_comes_to_the_same(text, data):
    same(TIMESTAMP, text)
    place = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.sampled_from("0123456789:-.TZ z+\u0661\u00b2\U0001f600"))
    same(TIMESTAMP, text[:place] + character + text[place + 1 :])


@examples(300)
@given(
    st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9](:[0-6][0-9]){2}(\.[0-9]{1,4})?(Z|[+-][0-2][0-9]:[0-6][0-9])",
        fullmatch=True,
    )
)
@example("0000-01-01T00:00:00.000Z")
@example("2026-12-31T23:59:60.999Z")
@example("9999-12-31T23:59:60.999Z")
def test_any_timestamp_comes_to_the_same(text):
    same(TIMESTAMP, text)


def test_every_day_of_centuries_comes_to_the_same():
    for year in (1, 4, 1600, 1700, 1900, 1999, 2000, 2024, 2026, 2100, 9999):
        for month in range(14):
            for day in (0, 1, 28, 29, 30, 31, 32):
                same(TIMESTAMP, f"{year:04}-{month:02}-{day:02}T12:34:56.789Z")


@pytest.mark.parametrize(
    "text", [None, 1, b"2026-03-01T10:00:00.000Z", "", "x" * 24, "2026-03-01T10:00:00.000"]
)
def test_what_is_no_timestamp_comes_to_the_same(text):
    same(TIMESTAMP, text)


edges = st.sampled_from([Limits().earliest, 1_700_000_000_000, 1_700_000_000_000 + Limits().max_future])
edges = st.builds(int.__add__, edges, st.integers(-1, 1)) | st.sampled_from(
    [Limits().latest(None), Limits().latest(None) + 1, 1 << 63, -(1 << 70), 0]
)


@examples(500)
@given(
    st.sampled_from(["", "x" * 256, "x" * 257, "é" * 256, "e-1"]),
    st.sampled_from(["", "x" * 256, "x" * 257, "Product Added"]),
    st.sampled_from(["", "x" * 256, "x" * 257, "web"]),
    st.tuples(edges, st.none() | edges, st.none() | edges),
    st.none() | st.sampled_from([1_700_000_000_000, 1 << 63, Limits().latest(None)]),
    st.sampled_from([None, Context(), EVENT.context, Context(None, None, Position(91.0, 0.0))]),
)
def test_limits_are_kept_the_same(event_id, type_, channel, times, timestamp, context):
    event = msgspec.structs.replace(EVENT, event_id=event_id, type=type_, channel=channel, context=context)
    event.time, event.sent_at, event.received_at = times
    same(CHECK, event, Limits(), timestamp)


@examples(100)
@given(event=events)
def test_what_is_usual_is_not_left_to_python(event):
    event = msgspec.structs.replace(EVENT, event_id=event.event_id[:60], context=event.context)
    with pytest.MonkeyPatch.context() as patch:
        forbid(patch, cloudevents, "structured_event", "binary_event")
        forbid(patch, timestamps, "parse_timestamp")
        if b"\\" not in (value := encode_cloudevent_structured(event)[0]):
            assert native_json.structured_event(value, Limits()) == event
            headers = HEADERS | {"id": event.event_id}
            data = dumped(json.loads(value)["data"])
            assert native_json.binary_event(headers, data, Limits()) == event
        if event.context is None or event.context.position is None:
            forbid(patch, shape, "check_event")
        native_json.check_event(event, Limits(), 1_700_000_000_000)


def test_nothing_is_lost_where_much_is_read_and_refused():
    def refused() -> None:
        with pytest.raises(Refused):
            native_json.structured_event(SOUND.replace(b'"1.0"', b'"2.0"'), Limits())

    assert not leaks(lambda: native_json.structured_event(SOUND, Limits()))
    assert not leaks(refused)
