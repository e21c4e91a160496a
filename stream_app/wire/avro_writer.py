"""Writes a `ChannelEvent` as Avro binary in the current schema: the payload that travels the road.

Avro 1.12, "Binary Encoding"; the order of fields and branches is that of schemas/avro/channel_event.avsc.
Every map and list is one block, every length as short as it can be, so equal events (with their entries in
the same order) have equal bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_app.domain.event import ChannelEvent, Context

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1

_double = struct.Struct("<d").pack
_SMALL = [bytes((n << 1,)) for n in range(64)]  # zig-zag varints of 0 to 63
_LAST = [bytes((n & 0x7F | 0x80, n >> 7)) for n in range(1 << 14)]  # the last two bytes of a varint
_MORE = [bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(1 << 14)]  # two bytes with more behind
_shared: dict[str, bytes] = {}
_SHARED_KEPT, _SHARED_LENGTH = 1 << 14, 64
"""How many shared texts are remembered, and the length of the longest one; when full, the memory is emptied."""

_six = struct.Struct("<HHH").pack
_TWO_MORE = [n & 0x7F | 0x80 | (n >> 7 | 0x80) << 8 for n in range(1 << 14)]  # as `_MORE`, as a number
_TWO_LAST = [n & 0x7F | 0x80 | n >> 7 << 8 for n in range(1 << 14)]  # as `_LAST`, as a number

_SCALARS_NULL, _SCALARS_BOOLEAN, _SCALARS_LONG, _SCALARS_DOUBLE, _SCALARS_STRING = (
    b"\x00", b"\x02", b"\x04", b"\x06", b"\x08",
)  # fmt: skip
_FALSE, _TRUE = b"\x00", b"\x01"
_END = b"\x00"
_ABSENT, _PRESENT = b"\x00", b"\x02"


def encode_payload(event: ChannelEvent) -> bytes:
    """Encode an event without any framing.

    Raises:
        ValueError: the event holds something that the schema can't: an integer beyond 64 bits, a number that
            isn't finite, a lone surrogate, a value nested more than two levels deep or of no JSON type.
    """
    parts = [
        write_string(event.event_id),
        write_time(event.time),
        write_shared(event.channel),
        write_shared(event.type),
        _identifiers(event.identifiers),
        _map(event.properties, nesting=2),
        _optional_time(event.sent_at),
        _optional_time(event.received_at),
        _ABSENT if event.context is None else _context(event.context),
    ]
    return b"".join(parts)


def write_long(value: int) -> bytes:
    """Encode an integer as a zig-zag varint; ValueError when it has more than 64 bits."""
    if 0 <= value < 64:  # noqa: PLR2004
        return _SMALL[value]
    rest = (value << 1) ^ (value >> 63)
    if 1 << 35 <= rest < 1 << 42:  # six bytes: any time between 1970 and 2039
        return _MORE[rest & 0x3FFF] + _MORE[rest >> 14 & 0x3FFF] + _LAST[rest >> 28]
    if 1 << 7 <= rest < 1 << 14:
        return _LAST[rest]
    if not INT64_MIN <= value <= INT64_MAX:
        raise ValueError("an integer has more than 64 bits")
    out = bytearray()
    while rest > 0x7F:  # noqa: PLR2004
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def write_time(value: int) -> bytes:
    """Encode what is most likely a time: any between 1987 and 2039 takes six bytes, two by two of a table."""
    if 1 << 39 <= value < 1 << 41:
        return _six(_TWO_MORE[value << 1 & 0x3FFF], _TWO_MORE[value >> 13 & 0x3FFF], _TWO_LAST[value >> 27])
    return write_long(value)


def write_string(value: str) -> bytes:
    """Encode a string: its length in bytes, then UTF-8."""
    data = value.encode()
    size = len(data)
    return (_SMALL[size] if size < 64 else write_long(size)) + data  # noqa: PLR2004


def write_shared(text: str) -> bytes:
    """Encode a text that many records share, a name or a code: its bytes are remembered."""
    known = _shared.get(text)
    if known is not None:
        return known
    encoded = write_string(text)
    if len(text) <= _SHARED_LENGTH:
        if len(_shared) >= _SHARED_KEPT:
            _shared.clear()
        _shared[text] = encoded
    return encoded


def write_scalar(value: Any) -> bytes:
    """Encode a scalar with its branch of [null, boolean, long, double, string]; ValueError for all else."""
    return _value(value, nesting=0)


def _map(entries: dict[str, Any], nesting: int) -> bytes:
    """Encode a map of property values; `nesting` is how many levels of lists and objects may follow."""
    if not entries:
        return _END
    parts = [write_long(len(entries))]
    known = _shared.get
    for name, value in entries.items():
        parts.append(known(name) or write_shared(name))
        if type(value) is str:
            data = value.encode()
            size = len(data)
            parts += (_SCALARS_STRING, _SMALL[size] if size < 64 else write_long(size), data)  # noqa: PLR2004
        else:
            parts.append(_value(value, nesting))
    parts.append(_END)
    return b"".join(parts)


def _value(value: Any, nesting: int) -> bytes:  # noqa: PLR0911 - one for each branch of the union
    """Encode a value and its branch; at nesting 2 it may be a list or an object, at 1 an object."""
    if value is None:
        return _SCALARS_NULL
    if value is True or value is False:
        return _SCALARS_BOOLEAN + (_TRUE if value else _FALSE)
    if isinstance(value, str):
        return _SCALARS_STRING + write_string(value)
    if isinstance(value, int):
        return _SCALARS_LONG + write_long(value)
    if isinstance(value, float):
        if value - value != 0:
            raise ValueError("a number is not finite")
        return _SCALARS_DOUBLE + _double(value)
    if isinstance(value, list) and nesting == 2:  # noqa: PLR2004
        return b"\x0a" + _list([_value(item, nesting=1) for item in value])
    if isinstance(value, dict) and nesting:
        return (b"\x0c" if nesting == 2 else b"\x0a") + _map(value, nesting=0)  # noqa: PLR2004
    raise ValueError(f"a property holds a {type(value).__name__} where the schema has no room for one")


def _list(items: list[bytes]) -> bytes:
    if not items:
        return _END
    return write_long(len(items)) + b"".join(items) + _END


def _identifiers(identifiers: dict[str, Any]) -> bytes:
    if not identifiers:
        return _END
    parts = [write_long(len(identifiers))]
    for namespace, value in identifiers.items():
        parts.append(write_shared(namespace))
        if isinstance(value, str):
            parts.append(b"\x02" + write_string(value))
        elif value is None:
            parts.append(b"\x00")
        elif isinstance(value, list):
            parts.append(b"\x06" + _list([write_string(item) for item in value]))
        elif isinstance(value, int) and not isinstance(value, bool):
            parts.append(b"\x04" + write_long(value))
        else:
            raise ValueError(f"an identifier is a {type(value).__name__}, not a string, integer or list")
    parts.append(_END)
    return b"".join(parts)


def _context(context: Context) -> bytes:
    parts = [_PRESENT, _optional_shared(context.locale), _optional_shared(context.timezone)]
    position = context.position
    if position is None:
        parts.append(_ABSENT)
    else:
        parts += (_PRESENT, _double(position.latitude), _double(position.longitude))
        accuracy = position.accuracy_m
        parts.append(_ABSENT if accuracy is None else _PRESENT + _double(accuracy))
    consent = context.consent
    if consent is None:
        parts.append(_ABSENT)
    else:
        entries = [write_shared(purpose) + (_TRUE if yes else _FALSE) for purpose, yes in consent.items()]
        parts += (_PRESENT, _list(entries))
    return b"".join(parts)


def _optional_shared(text: str | None) -> bytes:
    return _ABSENT if text is None else _PRESENT + write_shared(text)


def _optional_time(value: int | None) -> bytes:
    return _ABSENT if value is None else _PRESENT + write_time(value)
