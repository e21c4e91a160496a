"""What is passed on natively is what the resolver sends, alone and with no row changed; all else is left to it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.messages import EventAt, Link, Linked, Repoint, Topic, decode_lookup, encode
from stream_app.domain.resolver import Resolver
from stream_app.domain.rows import RESOLVER_TABLES, IdentifierRow
from tests.property.examples import examples
from tests.property.identity_world import tables
from tests.property.native_twins import leaks, native
from tests.property.test_native_intake import EDGES
from tests.property.test_native_reader import ENORMOUS, ODD
from tests.property.test_wire_round_trip import objects, values

native_forward = native("native_forward")
LABELS = ["a1.xyz", "a2.uvw", "b10.rst", "x" * 31, "x" * 32, "é", ""]
labels = st.sampled_from(LABELS)
rows = st.dictionaries(
    labels, st.builds(IdentifierRow, labels, st.sets(labels, max_size=7), st.booleans()), max_size=4
)
stamps = st.sampled_from([*EDGES, 0, 1 << 63, (1 << 64) - 1, -(2**62)]) | st.integers(-(2**63), 2**64 - 1)
payloads = st.binary(max_size=40) | st.sampled_from([b"x" * size for size in (255, 256, 65_535, 65_536)])
inner = st.dictionaries(st.text(max_size=40), values | st.lists(objects | values), max_size=5) | values
messages = st.builds(
    EventAt,
    inner.map(encode).map(msgspec.Raw),
    st.lists(labels, min_size=1, max_size=5).map(tuple),
    payloads,
    stamps,
)


class Desk:
    """The resolver with some rows, and what it does."""

    def __init__(self, known: dict[str, IdentifierRow]) -> None:
        self.tables = tables(RESOLVER_TABLES)
        for label, row in known.items():
            self.tables["identifiers"].put(label.encode(), msgspec.structs.replace(row, known=set(row.known)))
        self.sent: list[Any] = []
        self.resolver = Resolver(
            self.tables["identifiers"],
            self.tables["neighbours"],
            lambda topic, key, message: self.sent.append((topic, key.encode(), encode(message))),
        )

    def rows(self) -> Any:
        return repr([sorted(table.scan(b"")) for table in self.tables.values()])


def check(value: Any, known: dict[str, IdentifierRow]) -> bool:
    """Give a message to both; return whether it was passed on."""
    passed_on = native_forward.forward(value, Desk(known).tables["identifiers"].get)
    if passed_on is None:
        return False
    desk = Desk(known)
    before = desk.rows()
    desk.resolver.handle(decode_lookup(value))
    assert desk.sent == [(Topic.COMPONENTS, *passed_on)]
    assert desk.rows() == before
    return True


@examples(500)
@given(messages, rows)
def test_what_is_passed_on_is_what_the_resolver_sends(message, known):
    row = known.get(message.labels[0])
    others = message.labels[1:]
    usual = row is not None and row.known.issuperset(others)
    usual = usual and not -(2**31) <= message.stamp < -32  # no time, and not "before any"
    usual = usual and all(len(label.encode()) < 32 for label in (row.label, *message.labels))
    assert check(encode(message), known) == usual


@examples(500)
@given(
    messages,
    rows,
    st.lists(st.tuples(st.integers(0, 1 << 16), st.sampled_from(ODD) | st.integers(0, 255)), max_size=3),
)
def test_changed_bytes_are_passed_on_only_as_the_resolver_would(message, known, changes):
    known[message.labels[0]] = IdentifierRow("a1.xyz", set(LABELS))
    value = bytearray(encode(message))
    for place, byte in changes:
        value[place % len(value)] = byte
    try:
        decode_lookup(bytes(value))
    except (msgspec.DecodeError, UnicodeDecodeError):
        assert native_forward.forward(bytes(value), Desk(known).tables["identifiers"].get) is None
    else:
        check(bytes(value), known)


USUAL = EventAt(
    msgspec.Raw(encode({"a": [1, 2.5, {"b": None}]})), ("a1.xyz", "b10.rst"), b"payload", 1_790_000_000_000
)
KNOWN = {"a1.xyz": IdentifierRow("a0.abc", {"b10.rst"}), "b10.rst": IdentifierRow("b10.rst", {"a1.xyz"})}


def test_what_was_cut_short_or_is_longer_is_not_passed_on():
    value = encode(USUAL)
    assert check(value, KNOWN)
    for size in range(len(value)):
        assert native_forward.forward(value[:size], lambda _: KNOWN["a1.xyz"]) is None
    assert native_forward.forward(value + b"\xc0", lambda _: KNOWN["a1.xyz"]) is None


@pytest.mark.parametrize(
    "value", [None, b"", "text", bytearray(encode(USUAL)), encode([1]), encode({}), encode(1)]
)
def test_what_is_no_message_is_not_passed_on(value):
    assert native_forward.forward(value, lambda _: KNOWN["a1.xyz"]) is None


def test_other_messages_are_not_passed_on():
    for message in (
        Link("a1.xyz", "b10.rst", "a0.abc", 1),
        Linked("a1.xyz", "b10.rst"),
        Repoint("a1.xyz", "a0.abc", "b", 1),
    ):
        assert native_forward.forward(encode(message), lambda _: KNOWN["a1.xyz"]) is None


@pytest.mark.parametrize(
    "row", [None, True, "row", IdentifierRow(7, {"b10.rst"}), IdentifierRow("a", ["b10.rst"])]
)  # type: ignore[arg-type]  # wrong types are what is tested
def test_without_a_right_row_it_is_not_passed_on(row):
    assert native_forward.forward(encode(USUAL), lambda _: row) is None


@pytest.mark.parametrize("depth", [1, 15, 16, 17, 5_000, 100_000])
def test_deep_values_are_passed_on_as_the_resolver_would(depth):
    deep = b"\x91" * depth + b"\xc0"
    value = b"\x95\x01" + deep + encode(("a1.xyz", "b10.rst")) + encode(b"payload") + encode(7)
    assert check(value, KNOWN) == (depth <= 16)


@pytest.mark.parametrize("kind", range(0xC0, 0xE0))
def test_enormous_lengths_are_not_passed_on(kind):
    for number in ENORMOUS:
        for size in (1, 2, 4, 8):
            length = (number & ((1 << 8 * size) - 1)).to_bytes(size, "big")
            for value in (
                b"\x95\x01" + bytes([kind]) + length + encode(USUAL)[2:],
                b"\x95\x01\xc0" + encode(USUAL.labels) + bytes([kind]) + length + b"\x07",
                b"\x95\x01\xc0" + encode(USUAL.labels) + b"\xc4\x00" + bytes([kind]) + length,
            ):
                try:
                    decode_lookup(value)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    assert native_forward.forward(value, lambda _: KNOWN["a1.xyz"]) is None
                else:
                    check(value, KNOWN)


def test_what_asking_for_a_row_raises_is_heard():
    def failing(_key: bytes) -> IdentifierRow:
        raise RuntimeError("no rows")

    with pytest.raises(RuntimeError, match="no rows"):
        native_forward.forward(encode(USUAL), failing)


def test_nothing_is_lost_where_much_is_passed_on_or_not():
    value = encode(USUAL)
    assert not leaks(lambda: native_forward.forward(value, lambda _: KNOWN["a1.xyz"]))
    assert not leaks(lambda: native_forward.forward(value[:-1], lambda _: KNOWN["a1.xyz"]))
    assert not leaks(lambda: native_forward.forward(value, lambda _: None))


def test_a_message_without_labels_is_not_passed_on():
    for behind in (b"", b"\xa6a1.xyz"):
        value = b"\x95\x01\xc0\x90" + behind + encode(b"payload") + encode(7)
        assert native_forward.forward(value, lambda _: KNOWN["a1.xyz"]) is None


@pytest.mark.parametrize("kind", [0xC0, 0xC2, 0x9F, 0xD9, 0xC4])
def test_a_label_that_is_no_short_text_is_not_passed_on(kind):
    for size in (0, 31, 32):
        value = b"\x95\x01\xc0\x91" + bytes([kind]) + b"x" * size + encode(b"payload") + encode(7)
        assert native_forward.forward(value, lambda _: KNOWN["a1.xyz"]) is None
        two = encode(("a1.xyz", "b10.rst"))[1:8] + bytes([kind]) + b"x" * size
        value = b"\x95\x01\xc0\x92" + two + encode(b"payload") + encode(7)
        assert native_forward.forward(value, lambda _: IdentifierRow("a", {"x" * 32, "x" * 31})) is None
