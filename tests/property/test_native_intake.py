"""The native intake makes the messages that the Python one makes, and leaves it what it refuses, whatever comes."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.wire import encode_payload, encode_single_object
from stream_app.wire import intake as python
from stream_app.wire.encoding import encode_cloudevent_structured
from stream_app.wire.known import current
from stream_app.wire.limits import Limits
from tests.property.examples import examples
from tests.property.intakes import KEY, events, intake, policy, taken
from tests.property.native_twins import forbid, leaks, native
from tests.property.test_native_reader import ENORMOUS, HEAD, LIMITS, Loose, edited, text, varint
from tests.property.test_wire_hostile import EVENT
from tests.property.test_wire_round_trip import events as any_events

native_intake = native("native_intake")
MARK = current("channel_event").mark
USUAL = encode_payload(msgspec.structs.replace(EVENT, identifiers={"cookie": "c-1", "user_id": "7"}))
PLACES = [("web", 1_790_000_000_000), ("web", 1_700_000_000_000), ("app", 0), ("", 1 << 62), ("é", -1)]
intakes: dict[Limits, tuple[object, object]] = {}


def same(value: object, limits: Limits | None = None, **other: object) -> str:
    """Give a record to both, twice; the native one has seen others before."""
    limits = limits or Limits()
    if limits not in intakes:
        intakes[limits] = (intake(native_intake.Intake, None, limits), intake(python.Intake, None, limits))
    one, two = intakes[limits]
    expected = taken(two, value, **other)
    assert taken(one, value, **other) == expected
    assert taken(one, value, **other) == expected
    return expected


@st.composite
def loosely_written(draw):
    return Loose(draw).event(draw(events))


@examples(400)
@given(events | any_events, LIMITS, st.sampled_from(PLACES))
def test_an_event_comes_to_the_same(event, limits, place):
    same(MARK + encode_payload(event), limits, channel=place[0], timestamp=place[1])


@examples(400)
@given(loosely_written(), LIMITS)
def test_what_others_write_comes_to_the_same(data, limits):
    same(MARK + data, limits)


@examples(1_000)
@given(edited(events.map(encode_payload) | st.just(USUAL) | loosely_written()), LIMITS)
def test_changed_bytes_come_to_the_same(data, limits):
    same(MARK + data, limits)


@examples(300)
@given(edited(st.just(MARK + USUAL)))
def test_a_changed_mark_comes_to_the_same(data):
    same(data)


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"\xc3\x01", MARK, MARK[:-1] + b"x" + USUAL, bytearray(MARK + USUAL)]
)
def test_what_is_no_value_comes_to_the_same(value):
    same(value)


def test_what_was_cut_short_comes_to_the_same_at_every_length():
    for size in range(len(USUAL)):
        assert "Refused" in same(MARK + USUAL[:size])
    assert "Refused" in same(MARK + USUAL + b"\x00")
    assert "Refused" not in same(MARK + USUAL)


@pytest.mark.parametrize("number", ENORMOUS)
def test_enormous_lengths_and_counts_come_to_the_same(number):
    head, who = HEAD.replace(b"\x02\x06web", varint(1_700_000_000_000) + b"\x06web"), b"\x02" + text("cookie")
    named = head + who + b"\x02" + text("c") + b"\x00"
    tails = [
        (b"", b""),
        (b"\x06e-1", b""),
        (head, b""),
        (head + who + b"\x02", b"x"),
        (head + who + b"\x06", b"\x02x"),
        (head + who + b"\x06\x02\x02x", b"\x00"),
        (named, b""),
        (named + b"\x02", b"x"),
        (named + b"\x02" + text("x") + b"\x08", b"x"),
        (named + b"\x02" + text("x") + b"\x0a", b"\x00" * 9),
        (named + b"\x02" + text("x") + b"\x0c", b"\x00" * 9),
        (named + b"\x00\x00\x00\x02\x00\x00\x00\x02", b"\x00" * 9),
    ]
    for limits in (Limits(), Limits(string_bytes=1 << 62, items=1 << 62, properties=(1 << 63) - 1)):
        for before, behind in tails:
            for padding in (0, 1, 9):
                same(MARK + before + varint(number, padding) + behind, limits)
                same(MARK + before + varint(number, padding) + b"\x7f" + behind * 70, limits)


def with_property(value: object, name: str = "x") -> bytes:
    return encode_single_object(
        ChannelEvent("e", 1_700_000_000_000, "web", "x", {"cookie": "c"}, {name: value})
    )


EDGES = [
    sign * (1 << bits) + more
    for bits in (5, 7, 8, 15, 16, 31, 32, 62)
    for sign in (1, -1)
    for more in (-1, 0, 1)
]


@pytest.mark.parametrize("number", [*EDGES, (1 << 63) - 1, -(1 << 63), 0.0, -0.0, 5e-324, 1e308])
def test_every_size_of_number_has_the_same_bytes(number):
    assert "Refused" not in same(with_property(number))
    assert "Refused" not in same(with_property([number, {"a": number}]))


@pytest.mark.parametrize(
    "size", [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 63, 64, 255, 256, 257, 4_000, 65_535, 65_536]
)
@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", "\ufeff"])
def test_every_size_of_text_has_the_same_bytes(size, character):
    same(with_property(character * size))
    same(with_property(1, character * size))
    same(with_property("x" * size + character))
    same(encode_single_object(msgspec.structs.replace(EVENT, event_id=character * size, type="y")))
    same(encode_single_object(msgspec.structs.replace(EVENT, type=character * size)))
    same(encode_single_object(msgspec.structs.replace(EVENT, context=Context(character * size))))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 512, 513, 4_096])
def test_every_count_has_the_same_bytes(count):
    same(with_property([1] * count))
    same(with_property({f"n{n}": n for n in range(count)}))
    many = {f"p{n}": None for n in range(count)}
    same(encode_single_object(msgspec.structs.replace(EVENT, properties=many)))
    answers = {f"p{n}": n % 2 == 0 for n in range(count)}
    same(encode_single_object(msgspec.structs.replace(EVENT, context=Context(consent=answers))))
    same(
        encode_single_object(
            msgspec.structs.replace(EVENT, identifiers={"cookie": [f"c{n}" for n in range(count)]})
        )
    )


def test_a_name_twice_comes_to_the_same_wherever_it_is_hidden():
    for before in range(33):
        for name in ("a", "twice" * 3):
            entries = [text(f"n{n}") + b"\x00" for n in range(before)] + [text(name) + b"\x00"] * 2
            head = b"\x06e-1" + varint(1_700_000_000_000) + b"\x06web\x02T"
            who = b"\x02" + text("cookie") + b"\x02" + text("c") + b"\x00"
            whole = varint(before + 2) + b"".join(entries) + b"\x00"
            assert "Refused" in same(MARK + head + who + whole + b"\x00" * 3)
            inside = b"\x02" + text("x") + b"\x0c" + whole + b"\x00"
            assert "Refused" in same(MARK + head + who + inside + b"\x00" * 3)


@pytest.mark.parametrize("bits", [0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000001, 1, 1 << 63])
def test_odd_doubles_come_to_the_same(bits):
    double = struct.pack("<Q", bits)
    whole = with_property(0.25).replace(struct.pack("<d", 0.25), double)
    same(whole)
    for position in (Position(0.25, 1.0), Position(1.0, 0.25), Position(1.0, 1.0, 0.25)):
        value = encode_single_object(msgspec.structs.replace(EVENT, context=Context(position=position)))
        same(value.replace(struct.pack("<d", 0.25), double))


@pytest.mark.parametrize("latitude", [-90.0, 90.0, 90.1, -90.1])
@pytest.mark.parametrize("longitude", [-180.0, 180.0, 180.1, -180.1])
@pytest.mark.parametrize("accuracy", [None, 0.0, -0.0, -0.1, 1e300])
def test_positions_come_to_the_same(latitude, longitude, accuracy):
    context = Context(position=Position(latitude, longitude, accuracy))
    same(encode_single_object(msgspec.structs.replace(EVENT, context=context)))


EARLIEST, LATEST = Limits().earliest, Limits().latest(None)
DAY = Limits().max_future


@pytest.mark.parametrize("field", ["time", "sent_at", "received_at"])
@pytest.mark.parametrize(
    "timestamp", [0, 1_790_000_000_000, LATEST, 1 << 62, (1 << 63) - 1, 1 << 63, -1, True, 1.5]
)
def test_times_come_to_the_same(field, timestamp):
    for time in (EARLIEST, EARLIEST - 1, LATEST, LATEST + 1, 0, (1 << 63) - 1, -(1 << 63)):
        same(encode_single_object(msgspec.structs.replace(EVENT, **{field: time})), timestamp=timestamp)
    for more in (-1, 0, 1):
        time = min(int(timestamp) + DAY + more, (1 << 63) - 1)
        same(encode_single_object(msgspec.structs.replace(EVENT, **{field: time})), timestamp=timestamp)


@pytest.mark.parametrize("number", [0, 9, 10, 99, 100, (1 << 63) - 1, 1 << 63, -1, True, None, 1.0])
def test_where_a_record_is_from_and_where_the_clock_stands_come_to_the_same(number):
    for source in ("channel.web/0/", "", "x" * 19, "x" * 300, "é/0/", "\ud800"):
        same(MARK + USUAL, offset=number, source=source)
    same(MARK + USUAL, clock=number)
    same(MARK + USUAL, headers=[("ce_id", b"x")])
    same(MARK + USUAL, headers=[("other", b"x")])
    same(encode_cloudevent_structured(EVENT)[0])


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_longest_value_comes_to_the_same(more):
    said = same(MARK + USUAL, Limits(value_bytes=len(MARK + USUAL) + more))
    assert ("Refused" in said) == (more < 0)


@pytest.mark.parametrize("future", [0, 1, 1 << 62, 1 << 70])
def test_any_future_may_be_allowed(future):
    same(MARK + USUAL, Limits(max_future=future), timestamp=EVENT.time - 1)


@examples(200)
@given(events)
def test_what_is_usual_is_not_left_to_the_python_intake(event):
    event.channel = "web"
    event.identifiers = {"cookie": "c", "session": "s", "email": "null", "phone": ["1", "2"]}
    taking = intake(native_intake.Intake)
    first = taken(taking, encode_single_object(event), timestamp=LATEST)
    with pytest.MonkeyPatch.context() as patch:
        forbid(patch, python.Intake, "take", "find")
        assert taken(taking, encode_single_object(event), timestamp=LATEST) == first
        assert "Refused" not in first


def test_concealed_values_are_left_to_the_python_intake_each_time():
    one, two = (intake(kind, policy("cookie")) for kind in (native_intake.Intake, python.Intake))
    for _ in range(3):
        message = taken(one, MARK + USUAL)
        assert message == taken(two, MARK + USUAL)
        assert "hmac-" in message
        assert "c-1" not in message


def test_nothing_is_lost_where_much_is_taken_and_refused():
    taking = intake(native_intake.Intake)
    assert KEY
    assert not leaks(lambda: taken(taking, MARK + USUAL))
    assert not leaks(lambda: taken(taking, MARK + USUAL[:-2]))
    assert not leaks(lambda: taken(taking, MARK + USUAL, offset=1 << 70))


@pytest.mark.parametrize("byte", [0, 1, 2, 3, 127, 128, 255])
def test_odd_booleans_come_to_the_same(byte):
    value = with_property([True])
    place = value.index(b"\x0a\x02\x02\x01\x00") + 3
    said = same(value[:place] + bytes([byte]) + value[place + 1 :])
    assert ("Refused" in said) == (byte > 1)
    answers = msgspec.structs.replace(EVENT, context=Context(consent={"marketing": True}))
    value = encode_single_object(answers)
    assert value.endswith(b"\x01\x00")
    assert ("Refused" in same(value[:-2] + bytes([byte]) + b"\x00")) == (byte > 1)


@pytest.mark.parametrize("place", range(20))
@pytest.mark.parametrize("byte", [0x7F, 0x80, 0xC3, 0xFF])
def test_one_byte_that_is_no_utf_8_comes_to_the_same_wherever_it_is(place, byte):
    value = with_property("abcdefghijklmnopqrst")
    start = value.index(b"abcdefghij") + place
    said = same(value[:start] + bytes([byte]) + value[start + 1 :])
    assert ("Refused" in said) == (byte > 0x7F)


@pytest.mark.parametrize("event_id", ["\0", "\0a", "a\0", "0"])
def test_an_id_with_a_nul_comes_to_the_same(event_id):
    said = same(encode_single_object(msgspec.structs.replace(EVENT, event_id=event_id)))
    assert ("Refused" in said) == (event_id[0] == "\0")


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_as_many_as_are_allowed_come_to_the_same(more):
    limits = Limits(properties=5, items=6, string_bytes=70, name_chars=66, event_id_chars=9)
    objects = {f"n{n}": n for n in range(6 + more)}
    base = msgspec.structs.replace(EVENT, properties={}, context=None)
    replaced = msgspec.structs.replace
    for event in (
        replaced(base, properties=dict.fromkeys("abcdefgh"[: 5 + more], 1)),
        replaced(base, properties={"x": [1] * (6 + more)}),
        replaced(base, properties={"x": objects}),
        replaced(base, properties={"x": [objects]}),
        replaced(base, properties={"x": "é" * 34 + "x" * (2 + more)}),
        replaced(base, properties={"n" * (66 + more): 1}),
        replaced(base, context=Context(consent=dict.fromkeys(objects, True))),
        replaced(base, context=Context("x" * (70 + more))),
        replaced(base, event_id="é" * (9 + more)),
        replaced(base, type="x" * (66 + more)),
    ):
        assert ("Refused" in same(encode_single_object(event), limits)) == (more > 0)
