"""The native reader reads what `avro_reader` reads, and refuses the rest in the same words, whatever the bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.refusal import Refused
from stream_app.wire import avro_reader
from stream_app.wire.avro_writer import encode_payload
from stream_app.wire.decoding import _UNBOUNDED
from stream_app.wire.limits import Limits
from tests.property.examples import examples
from tests.property.native_twins import forbid, leaks, native, same
from tests.property.test_wire_hostile import EVENT
from tests.property.test_wire_round_trip import events, int64

native_reader = native("native_reader")
TWINS = (avro_reader.read_event, native_reader.read_event)
LIMITS = st.sampled_from(
    [
        Limits(),
        _UNBOUNDED,
        Limits(string_bytes=64, name_chars=64, identifiers=2, identifier_values=2, properties=3, items=2),
        Limits(string_bytes=70, name_chars=65, identifiers=1, identifier_values=0, properties=1, items=1),
    ]
)
USUAL = encode_payload(EVENT)
ODD = [0x00, 0x01, 0x02, 0x03, 0x04, 0x06, 0x08, 0x0A, 0x0C, 0x0E, 0x7F, 0x80, 0x81, 0xC0, 0xFE, 0xFF]
ENORMOUS = [
    1 << 31,
    1 << 32,
    (1 << 62) - 1,
    1 << 62,
    (1 << 63) - 1,
    -1,
    -(1 << 31),
    1 - (1 << 63),
    -(1 << 63),
]
HEAD = b"\x06e-1\x02\x06web\x02T"
"""An event's id, time, channel and type."""


def varint(number: int, padding: int = 0) -> bytes:
    """Encode a long, longer by some bytes than it need be."""
    rest, out = (number << 1) ^ (number >> 63), bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    if padding:
        out[-1] |= 0x80
        out += b"\x80" * (padding - 1) + b"\x00"
    return bytes(out)


def text(value: str, padding: int = 0) -> bytes:
    data = value.encode()
    return varint(len(data), padding) + data


class Loose:
    """Writes an event in every way that Avro has: several blocks, blocks with their size, long lengths."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.padding = st.sampled_from([0] * 20 + [1, 2, 8, 12])

    def long(self, value: int) -> bytes:
        return varint(value, self.draw(self.padding))

    def string(self, value: str) -> bytes:
        return text(value, self.draw(self.padding))

    def blocks(self, entries: list[bytes]) -> bytes:
        out = b""
        while entries:
            count = self.draw(st.integers(1, len(entries)))
            block = b"".join(entries[:count])
            sized = self.draw(st.booleans())
            out += self.long(-count) + self.long(len(block)) if sized else self.long(count)
            out += block
            entries = entries[count:]
        return out + b"\x00"

    def value(self, value: Any, nesting: int) -> bytes:  # noqa: PLR0911 - one for each branch of the union
        if value is None:
            return b"\x00"
        if isinstance(value, bool):
            return b"\x02" + bytes([value])
        if isinstance(value, int):
            return b"\x04" + self.long(value)
        if isinstance(value, float):
            return b"\x06" + struct.pack("<d", value)
        if isinstance(value, str):
            return b"\x08" + self.string(value)
        if isinstance(value, list):
            return b"\x0a" + self.blocks([self.value(item, nesting=1) for item in value])
        entries = [self.string(name) + self.value(entry, nesting=0) for name, entry in value.items()]
        return (b"\x0c" if nesting == 2 else b"\x0a") + self.blocks(entries)

    def identifier(self, value: Any) -> bytes:
        if value is None:
            return b"\x00"
        if isinstance(value, str):
            return b"\x02" + self.string(value)
        if isinstance(value, int):
            return b"\x04" + self.long(value)
        return b"\x06" + self.blocks([self.string(item) for item in value])

    def optional(self, value: Any, encoded: Any) -> bytes:
        return b"\x00" if value is None else b"\x02" + encoded(value)

    def context(self, context: Any) -> bytes:
        position, consent = context.position, context.consent
        return (
            self.optional(context.locale, self.string)
            + self.optional(context.timezone, self.string)
            + self.optional(position, self.position)
            + self.optional(
                consent,
                lambda answers: self.blocks(
                    [self.string(name) + bytes([yes]) for name, yes in answers.items()]
                ),
            )
        )

    def position(self, position: Any) -> bytes:
        return struct.pack("<dd", position.latitude, position.longitude) + self.optional(
            position.accuracy_m, lambda accuracy: struct.pack("<d", accuracy)
        )

    def event(self, event: Any) -> bytes:
        identifiers, properties = event.identifiers.items(), event.properties.items()
        return (
            self.string(event.event_id)
            + self.long(event.time)
            + self.string(event.channel)
            + self.string(event.type)
            + self.blocks([self.string(name) + self.identifier(value) for name, value in identifiers])
            + self.blocks([self.string(name) + self.value(value, nesting=2) for name, value in properties])
            + self.optional(event.sent_at, self.long)
            + self.optional(event.received_at, self.long)
            + self.optional(event.context, self.context)
        )


@st.composite
def loosely_written(draw: Any) -> bytes:
    return Loose(draw).event(draw(events))


@st.composite
def edited(draw: Any, sound: st.SearchStrategy[bytes]) -> bytes:
    """Change some bytes of what is sound: one byte, a few more or fewer, an enormous number, or a cut."""
    value = bytearray(draw(sound))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(value)))
        kind = draw(st.sampled_from(["set", "insert", "number", "delete", "cut", "repeat"]))
        if kind == "set":
            value[place : place + 1] = bytes([draw(st.sampled_from(ODD) | st.integers(0, 255))])
        elif kind == "insert":
            value[place:place] = bytes(draw(st.lists(st.sampled_from(ODD), min_size=1, max_size=12)))
        elif kind == "number":
            value[place : place + 1] = varint(draw(st.sampled_from(ENORMOUS) | int64))
        elif kind == "delete":
            del value[place : place + draw(st.integers(1, 3))]
        elif kind == "repeat":
            value[place:place] = value[place : place + draw(st.integers(1, 20))]
        else:
            del value[place:]
    return bytes(value)


@examples(300)
@given(events, LIMITS)
def test_what_is_written_is_read_the_same(event, limits):
    same(TWINS, encode_payload(event), 0, limits)


@examples(300)
@given(loosely_written(), LIMITS)
def test_what_others_write_is_read_the_same(data, limits):
    same(TWINS, data, 0, limits)


@examples(800)
@given(edited(events.map(encode_payload) | st.just(USUAL) | loosely_written()), LIMITS)
def test_changed_bytes_come_to_the_same(data, limits):
    same(TWINS, data, 0, limits)


@examples(500)
@given(st.lists(st.sampled_from(ODD) | st.integers(0, 255), max_size=80), st.integers(0, len(HEAD)), LIMITS)
def test_arbitrary_bytes_come_to_the_same(rest, begun, limits):
    same(TWINS, HEAD[:begun] + bytes(rest), 0, limits)


def test_what_was_cut_short_comes_to_the_same_at_every_length_and_wherever_reading_begins():
    for size in range(len(USUAL)):
        assert "Refused" in same(TWINS, USUAL[:size], 0, Limits())
    for start in (*range(len(USUAL) + 2), -1, -len(USUAL), 1 << 70):
        same(TWINS, USUAL, start, Limits())
    same(TWINS, b"\xc3\x01" + USUAL + b"more", 2, Limits())


@pytest.mark.parametrize("number", ENORMOUS)
def test_enormous_lengths_and_counts_come_to_the_same(number):
    tails = [
        (b"", b""),  # the id's length
        (HEAD, b""),  # how many identifiers
        (HEAD + b"\x02" + text("email") + b"\x02", b"x"),  # an identifier's length
        (HEAD + b"\x02" + text("email") + b"\x06", b"\x02x"),  # how many values
        (HEAD + b"\x00", b""),  # how many properties
        (HEAD + b"\x00\x02", b"x"),  # a name's length
        (HEAD + b"\x00\x02" + text("x") + b"\x08", b"x"),  # a text's length
        (HEAD + b"\x00\x02" + text("x") + b"\x0a", b"\x00" * 9),  # how many items
        (HEAD + b"\x00\x02" + text("x") + b"\x0c", b"\x00" * 9),  # how many entries
        (HEAD + b"\x00\x00\x00\x00\x02\x00\x00\x00\x02", b"\x00" * 9),  # how many purposes
    ]
    for limits in (
        Limits(),
        _UNBOUNDED,
        Limits(string_bytes=1 << 62, items=1 << 62, properties=(1 << 63) - 1),
    ):
        for before, behind in tails:
            for padding in (0, 1, 9):
                same(TWINS, before + varint(number, padding) + behind, 0, limits)
                same(TWINS, before + varint(number, padding) + b"\x7f" + behind * 70, 0, limits)


@pytest.mark.parametrize("last", [0, 1, 2, 3, 0x40, 0x7F])
@pytest.mark.parametrize("size", [8, 9, 10, 11, 12, 30])
def test_integers_of_64_bits_and_more_come_to_the_same(size, last):
    for byte in (0x80, 0x81, 0xFF):
        number = bytes([byte]) * (size - 1) + bytes([last])
        same(TWINS, b"\x06e-1" + number + HEAD[5:] + b"\x00" * 6, 0, Limits())
        same(TWINS, HEAD + b"\x00\x02" + text("x") + b"\x04" + number + b"\x00" * 4, 0, Limits())
        same(TWINS, HEAD + b"\x00\x02" + text("x") + b"\x08" + number + b"\x00" * 4, 0, Limits())


def test_a_long_list_a_long_text_and_many_properties_come_to_the_same():
    many = b"\x02" + text("x") + b"\x0a" + varint(5000) + b"\x00" * 5000 + b"\x00"
    long = b"\x02" + text("x") + b"\x08" + text("é" * 40_000)
    properties = varint(600) + b"".join(text(f"p{n}") + b"\x00" for n in range(600))
    twice = b"\x04" + (text("x") + b"\x00") * 2
    for part in (many, long, properties, twice):
        for limits in (Limits(), _UNBOUNDED):
            same(TWINS, HEAD + b"\x00" + part + b"\x00" * 4, 0, limits)


@pytest.mark.parametrize("bits", [0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000001, 1, 1 << 63])
def test_odd_doubles_come_to_the_same(bits):
    double = struct.pack("<Q", bits)
    same(TWINS, HEAD + b"\x00\x02" + text("x") + b"\x06" + double + b"\x00" * 4, 0, Limits())
    position = b"\x02" + double * 2 + b"\x02" + double
    same(TWINS, HEAD + b"\x00" * 4 + b"\x02\x00\x00" + position + b"\x00", 0, Limits())


@pytest.mark.parametrize("limits", [Limits(items=-1, properties=-5, identifiers=-1), Limits(items=1 << 80)])
def test_odd_limits_come_to_the_same(limits):
    same(TWINS, USUAL, 0, limits)


@pytest.mark.parametrize("data", [bytearray(USUAL), memoryview(USUAL), None])
def test_what_is_not_bytes_comes_to_the_same(data):
    same(TWINS, data, 0, Limits())


@examples(100)
@given(event=events)
def test_what_is_usual_is_not_left_to_the_python_reader(event):
    with pytest.MonkeyPatch.context() as patch:
        forbid(patch, avro_reader, "read_event")
        assert native_reader.read_event(encode_payload(event), 0, Limits())[0] == event


def test_nothing_is_lost_where_much_is_read_and_refused():
    def refused() -> None:
        with pytest.raises(Refused):
            native_reader.read_event(USUAL[:-2], 0, Limits())

    assert not leaks(lambda: native_reader.read_event(USUAL, 0, Limits()))
    assert not leaks(refused)
