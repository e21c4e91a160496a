"""The engine's own small rows and messages: a task's position, and watermarks in the stream."""

from __future__ import annotations

import struct

import msgspec

from stream_app.engine.watermark import UNSET, Said, Told

WATERMARK_HEADER = "raccord-watermark"
"""Header of a record that carries a watermark and no event.

In a topic between two stages the value is a `Told` (msgpack). In a topic that producers write to it is a clock marker
of a replay: eight bytes, big-endian, ms since the epoch.
"""


class Meta(msgspec.Struct, array_like=True):
    """What a task must know besides its rows: written with every epoch, under one key.

    `position` is the next offset to read; `watermarks` what each upstream said last (a source partition has its
    own); `form` names what the rows mean (see `Stage.form`); `epoch` and `outstanding` are those of
    its `Flights`; `clock` is where its timers' clock stood, which may be ahead of what was said.
    """

    position: int
    watermarks: Said
    form: str = ""
    epoch: int = 0
    outstanding: dict[int, tuple[int, int]] = {}
    clock: int = UNSET


encode_meta = msgspec.msgpack.Encoder().encode
decode_meta = msgspec.msgpack.Decoder(Meta).decode
encode_watermarks = msgspec.msgpack.Encoder().encode
decode_watermarks = msgspec.msgpack.Decoder(Told).decode

encode_arrivals = msgspec.msgpack.Encoder().encode
decode_arrivals = msgspec.msgpack.Decoder(dict[int, int]).decode

_MARKER = struct.Struct(">q")


def encode_marker(time: int) -> bytes:
    """Return the value of a clock marker for `time` (ms)."""
    return _MARKER.pack(time)


def decode_marker(value: bytes | None) -> int | None:
    """Return a clock marker's time in ms, or None when the value is not one."""
    return None if value is None or len(value) != _MARKER.size else int(_MARKER.unpack(value)[0])
