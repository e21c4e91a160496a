"""Records that producers and operators write: channels in every format, commands, dead letters, what goes out.

Promises: an event, or a refusal that names no value; the native part and the Python that it stands for come to the
same; what is made of a record is bounded by the record's own length.
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import msgspec

import schemas
from stream_app.domain.commands import PAIR_OPS, Op
from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.domain.identifiers import Identifier
from stream_app.domain.labels import Labels
from stream_app.domain.messages import EventAt, decode_event, decode_lookup, encode
from stream_app.domain.numbers import SPEND, read_spend, spent
from stream_app.domain.places import is_open, read_store
from stream_app.domain.places.weather import WEATHER, read_weather
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.reference import STORE, Said
from stream_app.domain.refusal import Refused
from stream_app.engine.codec import decode_marker, encode_marker
from stream_app.wire import (
    CommandDecoder,
    DeadLetter,
    Decoder,
    IdentityCommand,
    OutputReader,
    ReferenceDecoder,
    RegistryUnavailable,
    avro_reader,
    cloudevents,
    dead_letter_headers,
    encode_cloudevent_binary,
    encode_cloudevent_structured,
    encode_command,
    encode_payload,
    encode_reference,
    encode_single_object,
    intake,
    open_registry,
    parse_dead_letter,
    read_payload,
    timestamps,
)
from stream_app.wire.json_text import parse_json, strictly
from stream_app.wire.known import UnfitSchema, current, writer_of
from stream_app.wire.limits import Limits
from stream_app.wire.registry import HttpRegistry
from tests.fuzzing.target import Target, headers_of, joined, outcome, parts, written_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1_790_000_000_000
KEY = b"the key of this deployment"
LIMITS = Limits()
POLICY = IdentityPolicy.from_mapping(
    {
        "namespaces": [
            {"name": name, "priority": place, "kind": "person", "hashed": name == "card"}
            for place, name in enumerate(("user_id", "email", "cookie", "phone", "card"), 1)
        ],
        "default_region": "FR",
        "blocked": ["guest"],
    }
)
EVENT = ChannelEvent(
    "e-1",
    1_700_000_000_000,
    "web",
    "Product Added",
    {"cookie": "c-1", "user_id": 7, "email": ["a@example.org", "b@example.org"], "phone": None, "card": "4"},
    {
        "sku": "A" * 70,
        "price": 12.5,
        "quantity": 2,
        "gift": True,
        "note": None,
        "products": [{"sku": "A", "price": 1.5}, 3, "é"],
        "size": {"eu": 42},
    },
    1_700_000_000_100,
    None,
    Context("fr-FR", "Europe/Paris", Position(48.8, 2.3, 10.0), {"marketing": True}),
)
SMALL = ChannelEvent("e", 1_700_000_000_000, "web", "T", {"cookie": "c"}, {})
FEEDS = schemas.references()
READERS = {name: ReferenceDecoder(feed, None, LIMITS) for name, feed in FEEDS.items()}
COMMAND = IdentityCommand("c-1", Op.DENY, "email:a@example.org", "cookie:c", NOW, "op", "why")
WIDER = json.loads(schemas.avro("channel_event"))
WIDER["fields"].append({"name": "extra", "type": ["null", {"type": "array", "items": "string"}]})
REGISTRY = open_registry("mock://fuzzing")
NUMBER = REGISTRY.register("channel.web-value", schemas.avro("channel_event"))
WIDER_NUMBER = REGISTRY.register("channel.web-value", json.dumps(WIDER))
COMMAND_NUMBER = REGISTRY.register("identity.commands-value", schemas.avro("identity_command"))
TIMELINE_NUMBER = REGISTRY.register("customer.timeline-value", schemas.avro("customer_timeline"))
MOST_TIMES, MOST_MORE = 16, 16_384
"""What a record is made into may be so many times as long, and so much longer: a character may become an item."""


def native(name: str) -> Any:
    """Return a native module, or None where it isn't built."""
    try:
        return importlib.import_module(f"stream_app.wire.{name}")
    except ImportError:
        return None


NATIVE_INTAKE, NATIVE_JSON, NATIVE_READER = map(native, ("native_intake", "native_json", "native_reader"))


def framed(number: int, payload: bytes) -> bytes:
    """Return a payload in Confluent's wire format."""
    return b"\x00" + number.to_bytes(4, "big") + payload


def bounded(data: bytes, made: bytes) -> None:
    """Hold what was made of a record to a multiple of its length."""
    assert len(made) <= MOST_TIMES * len(data) + MOST_MORE, f"{len(made)} bytes are made of {len(data)}"


def new_intake(kind: Callable[..., Any]) -> Any:
    """Return an intake of all formats."""
    return kind(Decoder(REGISTRY), Identifier(POLICY, KEY), Labels(POLICY, KEY))


INTAKES = [
    new_intake(kind)
    for kind in (intake.Intake, None if NATIVE_INTAKE is None else NATIVE_INTAKE.Intake)
    if kind is not None
]


def take(data: bytes) -> None:
    """Take a channel's record, headers before its value, as workers do."""
    written, value = parts(data, 2)
    headers, found = headers_of(written), []
    for one in INTAKES:
        told: list[Any] = []
        try:
            time, message, key = one.take(value, headers, "web", NOW, "channel.web/3/", 12, NOW, told.append)
        except Refused as refused:
            assert len(refused.detail) < 500
            found.append((told, str(refused)))
            continue
        found.append((told, time, message, key))
        bounded(data, message)
        read = decode_lookup(message)
        assert isinstance(read, EventAt)
        event = decode_event(read.event)
        assert (event.time, key) == (time, read.labels[0].encode())
        assert len(event.identifiers) == len(read.labels) <= 32
        assert read_payload(read.payload).properties == event.properties
    assert all(one == found[0] for one in found), "native and Python differ"


def records(event: ChannelEvent) -> Iterator[bytes]:
    """Yield a channel's records of an event in all formats, as inputs."""
    payload = encode_payload(event)
    for value in (
        encode_single_object(event),
        framed(NUMBER, payload),
        framed(WIDER_NUMBER, payload + b"\x02\x02\x02x\x00"),
    ):
        yield joined(b"", value)
    for value, headers in (encode_cloudevent_structured(event), encode_cloudevent_binary(event)):
        yield joined(written_headers(headers), value)


def long_record(data: bytes) -> None:
    """Take a channel's record in which a piece comes again until it is as long as a record may be.

    What costs more than the length says shows only in what is long, and a fuzzer rarely gets there by itself.
    """
    written, begun, piece, end = parts(data, 4)
    if piece:
        room = LIMITS.value_bytes - len(begun) - len(end)
        take(joined(written, begun + piece * (room // len(piece)) + end))


def long_records() -> Iterator[bytes]:
    """Yield what nests, or goes on, or repeats a name, in each format."""
    binary, text = encode_single_object(SMALL), encode_cloudevent_structured(SMALL)[0]
    structured = b"content-type=application/cloudevents+json"
    for piece in (b"\xff", b"\x80", b"\x02", b"\x01", b"\x00"):
        yield joined(b"", binary[:10], piece, b"")
        yield joined(b"", binary[:12], piece, b"\x01")
        yield joined(b"", binary[:-4], piece, b"\x00")
    data = text.replace(b'"properties":{}', b'"properties":{"x":@}')
    assert b"@" in data
    before, after = data.split(b"@")
    for piece in (b"[", b'{"a":', b'"', b"\\", b"9", b"1,", b" ", b'"a":1,'):
        yield joined(structured, before, piece, after)
        yield joined(structured, before + b"[", piece, b"1]" + after)
        yield joined(structured, before + b"{", piece, b'"b":1}' + after)
    yield joined(structured, before + b'"', b"\\ud83d\\ude00", b'"' + after)


def payload(data: bytes) -> None:
    """Read an event's Avro, by hand and natively."""
    expected = outcome(avro_reader.read_event, data, 0, LIMITS)
    assert expected.startswith(("(ChannelEvent", "<class 'stream_app.domain.refusal.Refused'>")), expected
    if NATIVE_READER is not None:
        assert outcome(NATIVE_READER.read_event, data, 0, LIMITS) == expected
    if expected.startswith("("):
        event, end = avro_reader.read_event(data, 0, LIMITS)
        bounded(data, encode_payload(event))
        assert repr(read_payload(encode_payload(event))) == repr(event)
        assert 0 < end <= len(data)


def json_text(data: bytes) -> None:
    """Read JSON: the quick way, the strict way, and natively as a CloudEvent."""
    quick = outcome(parse_json, data, 32)
    assert not quick.startswith("<class") or "Refused" in quick, quick
    if "undecodable" not in quick and "too_deep" not in quick:
        assert outcome(strictly, data) == quick
    expected = outcome(cloudevents.structured_event, data, LIMITS)
    assert expected.startswith(("ChannelEvent", "<class 'stream_app.domain.refusal.Refused'>")), expected
    if NATIVE_JSON is not None:
        assert outcome(NATIVE_JSON.structured_event, data, LIMITS) == expected


def json_texts() -> Iterator[bytes]:
    """Yield CloudEvents, and what JSON leaves open."""
    for event in (EVENT, SMALL):
        yield encode_cloudevent_structured(event)[0]
    yield b'{"a": 1, "a": 2}'
    yield b'{"a": 1, "\\u0061": "a"}'
    yield b'[1e999, -0.0, 1E2, 123456789012345678901234567890, "\\ud83d\\ude00", "\\ud83d", NaN]'
    yield "\ufeff{}".encode()
    yield b"[" * 33 + b"]" * 33


def timestamp(data: bytes) -> None:
    """Read a time as CloudEvents have it."""
    text = data.decode("utf-8", "surrogateescape")
    expected = outcome(timestamps.parse_timestamp, text)
    assert expected.lstrip("-").isdecimal() or expected.startswith("<class 'ValueError'>"), expected
    if NATIVE_JSON is not None:
        assert outcome(NATIVE_JSON.parse_timestamp, text) == expected


def command(data: bytes) -> None:
    """Take an operator's command, as far as whom it names."""
    written, value = parts(data, 2)
    try:
        read = COMMANDS.decode(value, headers_of(written), NOW)
        assert (read.b is None) == (read.op not in PAIR_OPS)
        assert COMMANDS.decode(encode_command(read), [], NOW) == read
        names = IDENTIFIER.named(read.named)
    except Refused as refused:
        assert len(refused.detail) < 500
        return
    assert names == tuple(sorted(names, key=POLICY.place))
    assert len(names) == len(read.named)


COMMANDS = CommandDecoder(REGISTRY)
IDENTIFIER = Identifier(POLICY, KEY)


def commands() -> Iterator[bytes]:
    """Yield commands in all formats."""
    value = encode_command(COMMAND)
    yield joined(b"", value)
    yield joined(b"", framed(COMMAND_NUMBER, value[10:]))
    hand = msgspec.structs.asdict(COMMAND) | {"time": "2026-09-21T14:13:20Z"}
    yield joined(b"", json.dumps(hand).encode())
    around = {"specversion": "1.0", "id": "i", "source": "/", "type": "t", "time": hand["time"], "data": hand}
    yield joined(b"content-type=application/cloudevents+json", json.dumps(around).encode())
    binary = b"ce_specversion=1.0\nce_id=i\nce_source=/\nce_type=t\nce_time=2026-09-21T14:13:20Z"
    yield joined(binary, json.dumps(hand).encode())
    yield joined(binary, value)


def dead_letter(data: bytes) -> None:
    """Read the headers of a dead letter, and write them again."""
    headers = headers_of(data)
    try:
        letter = parse_dead_letter(headers)
    except ValueError:
        return
    assert parse_dead_letter(dead_letter_headers(letter)) == msgspec.structs.replace(
        letter, detail=letter.detail[:1024]
    )


def dead_letters() -> Iterator[bytes]:
    """Yield a dead letter's headers."""
    for reason in ("poison", "empty"):
        letter = DeadLetter(
            reason, "why", "channel.web", 3, 12, -1, "ingest", "0.1.0", [("x", b"y"), ("z", None)]
        )
        yield written_headers(dead_letter_headers(msgspec.convert(msgspec.to_builtins(letter), DeadLetter)))


def output(data: bytes) -> None:
    """Read a record of what goes out, as the auditor and the command line do."""
    try:
        OUTPUTS.read(data)
    except Refused as refused:
        assert len(refused.detail) < 500


OUTPUTS = OutputReader(REGISTRY)


def outputs() -> Iterator[bytes]:
    """Yield beginnings of every kind of record."""
    for name in schemas.SUBJECTS:
        yield current(name).mark + b"\x00" * 40
    yield framed(TIMELINE_NUMBER, b"\x02a" * 20)


def writer(data: bytes) -> None:
    """Take a foreign writer's schema, and a record that was written with it."""
    text, value = parts(data, 2)
    try:
        known = writer_of("channel_event", text.decode("utf-8", "replace"))
        known.read(value, 0, current("channel_event"))
    except (UnfitSchema, Refused):
        return


def writers() -> Iterator[bytes]:
    """Yield schemas of other versions."""
    for document in (json.loads(schemas.avro("channel_event")), WIDER):
        lean = {"type": "record", "name": document["name"], "namespace": document.get("namespace", "x")}
        lean["fields"] = [{part: field[part] for part in ("name", "type")} for field in document["fields"]]
        yield joined(json.dumps(lean).encode(), encode_payload(SMALL))


def registry_answer(data: bytes) -> None:
    """Read what a schema registry answers, and the schema in it."""
    registry = HttpRegistry("http://registry")
    try:
        answer = registry._read(data)
        text = answer.get("schema")
        if isinstance(text, str):
            writer_of("channel_event", text)
    except (RegistryUnavailable, UnfitSchema):
        return


def answers() -> Iterator[bytes]:
    """Yield answers of a registry."""
    yield json.dumps({"schema": schemas.avro("channel_event")}).encode()
    yield b'{"error_code": 40403, "message": "Schema not found"}'
    yield b'{"schemaType": "PROTOBUF", "schema": "x"}'


def marker(data: bytes) -> None:
    """Read a replay's clock marker from a producers' topic."""
    found = decode_marker(data)
    assert (found is None) == (len(data) != 8)
    assert found is None or encode_marker(found) == data


def reference(data: bytes) -> None:
    """Take a row of reference data, of any feed: its key, headers and value."""
    which, key, headers, value = parts(data, 4)
    name = sorted(READERS)[len(which) % len(READERS)]
    try:
        said = READERS[name].decode(value, headers_of(headers), key or None, NOW)
    except Refused as refusal:
        assert len(refusal.detail) < 500
        return
    except RegistryUnavailable:
        return
    assert said.kind
    assert said.item.strip()
    assert LIMITS.earliest <= said.time <= LIMITS.latest(NOW)
    bounded(data, encode(said))
    assert msgspec.msgpack.decode(encode(said), type=Said) == said
    if said.kind == STORE and said.fields is not None:
        store = read_store({**said.fields, "id": said.item})
        assert is_open(store, said.time) in {True, False, None}
    if said.kind == WEATHER and said.fields is not None:
        assert read_weather(said.fields) == said.fields
    if said.kind == SPEND and said.fields is not None:
        cost = read_spend(said.fields)
        assert {cell.dimensions[-1] for cell in spent(None, cost)} <= {cost.currency}


def references() -> Iterator[bytes]:
    """Yield sound rows of each feed, in each format, and a tombstone."""
    rows: dict[str, dict[str, Any]] = {
        "products": {
            "sku": "A",
            "price": 12.5,
            "currency": "EUR",
            "stock": 3,
            "properties": {"colour": "red"},
        },
        "stores": {
            "store_id": "s1",
            "latitude": 48.8,
            "longitude": 2.3,
            "hours": "Mo-Sa 09:00-19:00; PH off",
        },
        "stock": {"sku": "S-1", "stores": {"s1": 3, "s2": 0}},
        "weather": {
            "station_id": "w1",
            "time": NOW,
            "latitude": 48.8,
            "longitude": 2.3,
            "condition": "rain",
            "temperature_c": -3.5,
            "properties": {"humidity": 93},
        },
        "orders": {"order_id": "o1", "state": "paid", "time": NOW},
        "campaigns": {"campaign_id": "spring", "channel": "email", "starts": "2026-03-01", "budget": 500.0},
        "spend": {
            "spend_id": "2026-03-01/email/spring/EUR",
            "day": "2026-03-01",
            "channel": "email",
            "campaign_id": "spring",
            "currency": "EUR",
            "amount": 120.5,
        },
    }
    for place, name in enumerate(sorted(READERS)):
        which, row = b"." * place, rows[name]
        yield joined(which, b"k", b"", encode_reference(FEEDS[name], row))
        plain = {key: value for key, value in row.items() if key not in {"time", "properties"}}
        yield joined(which, b"k", b"", json.dumps(plain).encode())
        event = {"specversion": "1.0", "id": "1", "source": "/", "type": "t", "time": "2026-03-01T10:00:00Z"}
        yield joined(
            which,
            b"k",
            b"content-type=application/cloudevents+json",
            json.dumps(event | {"data": plain}).encode(),
        )
        yield joined(which, b"k", b"", b"")


TARGETS = (
    Target("intake", take, lambda: [one for event in (EVENT, SMALL) for one in records(event)]),
    Target("long", long_record, long_records, 1_024),
    Target("payload", payload, lambda: map(encode_payload, (EVENT, SMALL))),
    Target("json", json_text, json_texts),
    Target(
        "timestamp",
        timestamp,
        lambda: [b"2026-03-01T10:00:00.000Z", b"2016-12-31T23:59:60Z", b"2026-03-01t10:00:00.123456+01:00"],
        64,
    ),
    Target("command", command, commands),
    Target("reference", reference, references),
    Target("dead_letter", dead_letter, dead_letters),
    Target("output", output, outputs),
    Target("writer", writer, writers, 8_192),
    Target("registry", registry_answer, answers, 8_192),
    Target("marker", marker, lambda: [encode_marker(NOW), encode_marker(-1)], 32),
)
