"""The decoder tells the formats apart, keeps the limits, and says what is wrong with what it refuses."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import schemas
from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.domain.refusal import Reason, Refused
from stream_app.wire import (
    Decoder,
    Limits,
    encode_cloudevent_binary,
    encode_cloudevent_structured,
    encode_confluent,
    encode_payload,
    encode_single_object,
    frame_single_object,
    open_registry,
    read_payload,
)

NOW = 1_700_000_000_000
DAY = 86_400_000
EVENT = ChannelEvent(
    "e-1",
    NOW,
    "web",
    "Product Added",
    {"cookie": "c-1", "user_id": 7, "email": ["ana@example.org"], "phone": None},
    {"sku": "S-1", "price": 12.5, "products": [{"sku": "S-1"}, 3], "size": {"eu": 42}},
    NOW + 100,
    NOW + 200,
    Context("fr-FR", "Europe/Paris", Position(48.8, 2.3, 10.0), {"marketing": True}),
)
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=utf-8")]
DECODER = Decoder()


def with_(**changes: Any) -> ChannelEvent:
    return msgspec.structs.replace(EVENT, **changes)


def document(**changes: Any) -> dict[str, Any]:
    return json.loads(encode_cloudevent_structured(EVENT)[0]) | changes


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def in_data(**changes: Any) -> bytes:
    return as_json(document(data=document()["data"] | changes))


def refusal(value: bytes | None, headers: Any = (), decoder: Decoder = DECODER, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        decoder.decode(value, headers, **{"channel": "web", "timestamp": NOW, **more})
    return caught.value


def test_all_formats_may_be_mixed_and_give_the_same():
    registry = open_registry("mock://mixed")
    number = registry.register("channel.web-value", schemas.avro("channel_event"))
    decoder = Decoder(registry)
    binary_avro = [(k, v) for k, v in encode_cloudevent_binary(EVENT)[1] if k != "content-type"]
    records = [
        (encode_single_object(EVENT), []),
        (encode_confluent(EVENT, number), [("traceparent", b"00-1")]),
        encode_cloudevent_structured(EVENT),
        (b" \n" + encode_cloudevent_structured(EVENT)[0], [("content-type", b"text/plain")]),
        encode_cloudevent_binary(EVENT),
        (encode_single_object(EVENT), [*binary_avro, ("content-type", b"application/avro")]),
    ]
    for value, headers in records:
        decoded = decoder.decode(value, headers, "web", NOW)
        assert decoded.event == EVENT
        assert decoded.payload == encode_payload(EVENT)


def test_a_current_record_keeps_its_own_bytes_as_payload():
    two_blocks = b"\x01\x12\x06sku\x08\x06S-1" + b"\x02\x02q\x04\x04" + b"\x00"
    plain = encode_payload(with_(properties={"sku": "S-1", "q": 2}))
    one_block = b"\x04\x06sku\x08\x06S-1\x02q\x04\x04\x00"
    assert plain.count(one_block) == 1
    payload = plain.replace(one_block, two_blocks)
    decoded = DECODER.decode(frame_single_object(payload), [], "web", NOW)
    assert decoded.event.properties == {"sku": "S-1", "q": 2}
    assert decoded.payload == payload


def test_an_event_without_channel_is_of_its_topics_channel():
    decoded = DECODER.decode(encode_single_object(with_(channel="")), [], "store", NOW)
    assert decoded.event.channel == "store"
    assert read_payload(decoded.payload) == decoded.event
    value = as_json(document(data={"identifiers": {"cookie": "c"}}))
    assert DECODER.decode(value, [], "store", NOW).event.channel == "store"
    assert DECODER.decode(value, [], "store", NOW).event.properties == {}


def test_attributes_of_a_cloudevent_stand_above_the_avro_event_in_it():
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"other"), ("ce_source", b"/x"), ("ce_type", b"T")]
    headers.append(("ce_time", b"2023-11-14T22:13:20Z"))
    decoded = DECODER.decode(encode_single_object(EVENT), headers, "web", NOW)
    assert decoded.event == with_(event_id="other", type="T")
    assert read_payload(decoded.payload) == decoded.event


def test_times_of_cloudevents_have_any_offset():
    value = as_json(document(time="2023-11-15T03:58:20.25+05:45", senttime=None))
    event = DECODER.decode(value, [], "web", NOW).event
    assert (event.time, event.sent_at) == (NOW + 250, None)


def test_values_are_made_to_fit_where_nothing_is_lost():
    value = in_data(
        properties={"big": 2**63, "deep": {"a": {"b": [1, {"c": "é"}]}}, "list": [[1, 2], {"x": {"y": 1}}]},
        identifiers={"user_id": 2**64, "card": [1, 2]},
    )
    event = DECODER.decode(value, [], "web", NOW).event
    assert event.properties == {
        "big": "9223372036854775808",
        "deep": {"a": '{"b":[1,{"c":"é"}]}'},
        "list": ["[1,2]", {"x": '{"y":1}'}],
    }
    assert event.identifiers == {"user_id": "18446744073709551616", "card": ["1", "2"]}


def test_a_type_with_a_reverse_dns_prefix_is_left_alone():
    value = as_json(document(type="com.shop.product_added"))
    assert DECODER.decode(value, [], "web", NOW).event.type == "com.shop.product_added"


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_value_is_empty(value):
    assert refusal(value).reason is Reason.EMPTY


@pytest.mark.parametrize(
    ("value", "headers", "detail"),
    [
        (b"hello", [], "neither Avro"),
        (b"\x00\x01", [], "neither Avro"),
        (encode_single_object(EVENT) + b"\x00", [], "bytes behind"),
        (encode_single_object(EVENT)[:-3], [], "ends in the middle"),
        (b"{", [], "no JSON"),
        (b"[]", STRUCTURED, "no object"),
        (b"\xef\xbb\xbf{}", [], "byte order mark"),
        (b'{"specversion": ' + b"1" * 5000 + b"}", [], "thousands of digits"),
        (b"{}", [("content-type", b"application/cloudevents-batch+json")], "only application"),
        (b"{}", [("content-type", b"application/cloudevents+avro")], "only application"),
        (frame_single_object(b"\x03"), [], "negative length"),
        (frame_single_object(b"\x02a" + b"\xff" * 10 + b"\x01"), [], "more than 64 bits"),
        (frame_single_object(encode_payload(EVENT)[:-1] + b"\x02"), [], "ends in the middle"),
        (frame_single_object(encode_payload(with_(context=None))[:-1] + b"\x04"), [], "no type"),
    ],
)
def test_bytes_in_no_format_are_undecodable(value, headers, detail):
    refused = refusal(value, headers)
    assert refused.reason is Reason.UNDECODABLE
    assert detail in refused.detail


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b'{"specversion": "\xff"}', []),
        (as_json(document()).replace(b"c-1", b"\\ud800"), []),
        (as_json(document()).replace(b"cookie", b"\\uDC00"), []),
        (encode_single_object(EVENT).replace(b"c-1", b"\xff\xfe\xfd"), []),
        (b"{}", [("ce_id", b"\xff")]),
    ],
)
def test_broken_utf_8_is_refused(value, headers):
    assert refusal(value, headers).reason is Reason.INVALID_UTF8


def test_a_surrogate_pair_is_a_character():
    value = as_json(document()).replace(b"c-1", b"\\ud83d\\uDE00")
    assert DECODER.decode(value, [], "web", NOW).event.identifiers["cookie"] == "\U0001f600"


def test_an_unknown_fingerprint_and_an_unknown_number_are_unknown_schemas():
    assert "fingerprint" in refusal(b"\xc3\x01" + b"\x00" * 8 + encode_payload(EVENT)).detail
    assert "configure its URL" in refusal(encode_confluent(EVENT, 1)).detail
    decoder = Decoder(open_registry("mock://nothing"))
    assert refusal(encode_confluent(EVENT, 9), decoder=decoder).reason is Reason.UNKNOWN_SCHEMA


@pytest.mark.parametrize(
    ("value", "field"),
    [
        *((as_json({k: v for k, v in document().items() if k != name}), name) for name in
          ("specversion", "id", "source", "type", "time", "data")),
        (as_json(document(id="")), "id"),
        (as_json(document(data={})), "identifiers"),
        (in_data(context={"position": {"latitude": 1}}), "context.position.longitude"),
        (encode_single_object(with_(event_id="")), "event_id"),
        (encode_single_object(with_(type="")), "type"),
        (b"{}", "specversion"),
    ],
)  # fmt: skip
def test_a_missing_field_is_named(value, field):
    refused = refusal(value)
    assert refused.reason is Reason.MISSING_FIELD
    assert field in refused.detail


def test_an_event_needs_a_channel_from_itself_or_from_its_topic():
    refused = refusal(encode_single_object(with_(channel="")), channel="")
    assert (refused.reason, refused.detail) == (Reason.MISSING_FIELD, "channel is empty")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (as_json(document(specversion="0.3")), "specversion"),
        (as_json(document(id=5)), "id"),
        (as_json(document(source=5)), "source"),
        (as_json(document(time=NOW)), "time"),
        (as_json(document(time="yesterday")), "time"),
        (as_json(document(senttime="2023-11-14T22:13:20")), "senttime"),
        (as_json(document(data="x")), "data"),
        (as_json(document(data_base64="eA==")), "data_base64"),
        (in_data(identifiers=[]), "identifiers"),
        (in_data(identifiers={"cookie": True}), "identifiers.cookie"),
        (in_data(identifiers={"cookie": 1.5}), "identifiers.cookie"),
        (in_data(identifiers={"cookie": [None]}), "identifiers.cookie"),
        (in_data(identifiers={"ana@example.org": {}}), "identifiers.*"),
        (in_data(properties=[]), "properties"),
        (in_data(properties={"price": 0}).replace(b'"price": 0', b'"price": 1e999'), "properties.price"),
        (in_data(properties={"a": [[0]]}).replace(b"[[0]]", b"[[1e999]]"), "properties.a"),
        (in_data(properties={"price": float("nan")}), "NaN"),
        (in_data(context="x"), "context"),
        (in_data(context={"locale": 5}), "context.locale"),
        (in_data(context={"position": {"latitude": 91, "longitude": 0}}), "latitude"),
        (in_data(context={"position": {"latitude": 0, "longitude": 10**400}}), "longitude"),
        (in_data(context={"position": {"latitude": 0, "longitude": "0"}}), "longitude"),
        (in_data(context={"consent": {"marketing": "yes"}}), "context.consent.marketing"),
        (in_data(channel=5), "channel"),
        (as_json(document()).replace(b'"id":', b'"id": "x", "id":'), "twice"),
        (encode_single_object(with_(properties={"p": 1.5})).replace(
            b"\x02p\x06\x00\x00\x00\x00\x00\x00\xf8\x3f", b"\x02p\x06\x00\x00\x00\x00\x00\x00\xf8\x7f"),
         "properties.p"),
        (encode_single_object(with_(properties={"p": 1, "q": 2})).replace(b"\x02q", b"\x02p"), "twice"),
        (encode_single_object(with_(context=Context(position=Position(0.0, float("nan"))))), "longitude"),
        (encode_single_object(with_(context=Context(position=Position(0.0, 0.0, -1.0)))), "accuracy_m"),
    ],
)  # fmt: skip
def test_an_invalid_field_is_named(value, field):
    refused = refusal(value)
    assert refused.reason is Reason.INVALID_FIELD
    assert field in refused.detail


def test_a_cloudevents_header_that_is_there_twice_is_refused():
    value, headers = encode_cloudevent_binary(EVENT)
    assert refusal(value, [*headers, ("ce_id", b"e-2")]).reason is Reason.INVALID_FIELD


@pytest.mark.parametrize("change", ["time", "sent_at", "received_at"])
def test_times_are_judged_against_the_records_own_timestamp(change):
    encode = (encode_single_object, lambda event: encode_cloudevent_structured(event)[0])
    for encoded in encode:
        for moment in (Limits().earliest, NOW + DAY):
            DECODER.decode(encoded(with_(**{change: moment})), [], "web", NOW)
        for moment in (Limits().earliest - 1, NOW + DAY + 1):
            refused = refusal(encoded(with_(**{change: moment})))
            assert refused.reason is Reason.TIME_OUT_OF_RANGE
            assert refused.detail.startswith(change)
    assert refusal(encode_single_object(with_(**{change: 2**62})), timestamp=None).reason is (
        Reason.TIME_OUT_OF_RANGE
    )


def test_no_timestamp_makes_room_for_times_after_which_nothing_could_be_due():
    last = datetime(9000, 1, 1, tzinfo=UTC) - timedelta(milliseconds=1)
    moment = int(last.timestamp() * 1000)
    far = 253_402_300_799_000
    DECODER.decode(encode_single_object(with_(time=moment)), [], "web", far)
    for timestamp in (far, None):
        refused = refusal(encode_single_object(with_(time=moment + 1)), timestamp=timestamp)
        assert refused.reason is Reason.TIME_OUT_OF_RANGE


SMALL = Decoder(
    limits=Limits(
        value_bytes=2000,
        string_bytes=100,
        name_chars=64,
        identifiers=2,
        identifier_values=2,
        properties=3,
        items=2,
    )
)


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": "e" * 257},
        {"event_id": "e" * 2000},
        {"type": "t" * 65},
        {"channel": "c" * 65},
        {"properties": {"p": "é" * 51}},
        {"properties": {"p" * 65: 1}},
        {"properties": {"p": ["é" * 51]}},
        {"properties": dict.fromkeys("abcd", 1)},
        {"properties": {"p": [1, 2, 3]}},
        {"properties": {"p": {"a": 1, "b": 2, "c": 3}}},
        {"properties": {"p": [{"a": 1, "b": 2, "c": 3}]}},
        {"identifiers": dict.fromkeys("abc", "x")},
        {"identifiers": {"a": ["x", "y", "z"]}},
        {"identifiers": {"a": "x" * 101}},
        {"context": Context(locale="x" * 101)},
        {"context": Context(consent={"a": True, "b": True, "c": True})},
    ],
)
def test_what_is_too_large_is_refused_in_every_format(change):
    small = with_(identifiers={"a": "x"}, properties={}, context=None)
    event = msgspec.structs.replace(small, **change)
    for value in (encode_single_object(event), encode_cloudevent_structured(event)[0]):
        assert refusal(value, decoder=SMALL).reason is Reason.TOO_LARGE
    assert SMALL.decode(encode_single_object(small), [], "web", NOW).event == small


def test_an_id_that_begins_with_nul_is_refused_in_every_format():
    event = with_(event_id="\0trigger")
    for value in (encode_single_object(event), encode_cloudevent_structured(event)[0]):
        refused = refusal(value)
        assert refused.reason is Reason.INVALID_FIELD
        assert "event_id" in refused.detail
    assert DECODER.decode(encode_single_object(with_(event_id="a\0")), [], "web", NOW).event.event_id == "a\0"


def test_ten_megabytes_are_refused_at_once():
    value = encode_single_object(with_(properties={"x": "y" * 10_000_000}))
    begin = time.perf_counter()
    assert refusal(value).reason is Reason.TOO_LARGE
    assert time.perf_counter() - begin < 0.5


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 1_000_000,
        b'{"a":' * 170_000 + b"1" + b"}" * 170_000,
        b'{"a":"' + b'\\"' * 100_000 + b'","b":' + b"[" * 33 + b"]" * 33 + b"}",
    ],
)
def test_deep_json_is_refused_in_linear_time(value):
    begin = time.perf_counter()
    assert refusal(value, STRUCTURED).reason is Reason.TOO_DEEP
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize(
    "value", [b'{"' + b'\\"' * 500_000, b'{"a":' + b"[]," * 300_000, b'{"' + b"[" * 500_000 + b"\\"]
)
def test_json_that_only_looks_deep_is_refused_in_linear_time(value):
    begin = time.perf_counter()
    assert refusal(value, STRUCTURED).reason is Reason.UNDECODABLE
    assert time.perf_counter() - begin < 1


def test_brackets_within_strings_are_not_nesting():
    value = in_data(properties={"text": '[{"' * 1000 + "\\"})
    assert DECODER.decode(value, [], "web", NOW).event.properties["text"].startswith('[{"[')


def test_a_refusal_never_repeats_what_the_event_holds():
    secret = "ana.secret@example.org"
    values = [
        in_data(identifiers={secret: True}),
        in_data(identifiers={"email": {secret: secret}}),
        in_data(properties={secret: float("inf")}).replace(b"Infinity", b"1e999"),
        in_data(context={"consent": {secret: 1}}),
        as_json(document(time=secret)),
        as_json(document())[:-1] + secret.encode(),
        encode_single_object(with_(identifiers={secret: "x" * 70_000})),
        encode_single_object(with_(properties={secret: 1, secret[::-1]: 2})).replace(
            secret[::-1].encode(), secret.encode()
        ),
    ]
    for value in values:
        assert "secret" not in str(refusal(value))
