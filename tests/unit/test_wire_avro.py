"""The hand-written Avro: integers of every size, and what can't be written."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.domain.event import ChannelEvent
from stream_app.domain.refusal import Refused
from stream_app.wire import Limits, encode_payload
from stream_app.wire.avro_reader import read_long
from stream_app.wire.avro_writer import write_long


def event(
    identifiers: dict[str, Any] | None = None, properties: dict[str, Any] | None = None
) -> ChannelEvent:
    return ChannelEvent("e-1", 1, "web", "Page Viewed", identifiers or {}, properties or {})


@pytest.mark.parametrize(
    "number",
    sorted({sign * (1 << bits) + more for bits in range(63) for sign in (1, -1) for more in (-1, 0, 1)} | {
        -(2**63), 2**63 - 1
    }),
)  # fmt: skip
def test_integers_of_every_size_are_written_as_short_as_can_be_and_read_back(number):
    data = write_long(number)
    assert read_long(data, 0) == (number, len(data))
    zigzag = number * 2 if number >= 0 else -number * 2 - 1
    assert len(data) == max(1, -(-zigzag.bit_length() // 7))


class Endless:
    """Bytes that go on for ever, and how far somebody read on."""

    def __init__(self, byte: int) -> None:
        self.byte = byte
        self.read = 0

    def __getitem__(self, place: int) -> int:
        self.read = max(self.read, place + 1)
        assert self.read < 100, "it is read as far as there are bytes"
        return self.byte


@pytest.mark.parametrize("byte", [0x80, 0xFF])
def test_an_integer_without_an_end_is_refused_at_its_tenth_byte(byte):
    data: Any = Endless(byte)
    with pytest.raises(Refused, match="more than 64 bits"):
        read_long(data, 0)
    assert data.read == 10


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 2**70, -(2**70)])
def test_an_integer_beyond_64_bits_is_not_written(number):
    with pytest.raises(ValueError, match="64 bits"):
        write_long(number)


@pytest.mark.parametrize(
    "unfit",
    [
        event(properties={"x": float("nan")}),
        event(properties={"x": [[1]]}),
        event(properties={"x": {"y": {}}}),
        event(properties={"x": b"bytes"}),
        event(properties={"x": "\ud800"}),
        event(identifiers={"x": 1.5}),
        event(identifiers={"x": True}),
    ],
)
def test_what_no_format_can_hold_is_not_encoded(unfit):
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError among them
        encode_payload(unfit)


def test_limits_that_could_not_be_kept_are_refused():
    with pytest.raises(ValueError, match="at least 64"):
        Limits(string_bytes=10)
