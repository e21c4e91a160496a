"""Reads a `ChannelEvent` from Avro binary in the current schema: straight-line, for the road's first hop.

Avro 1.12, "Binary Encoding": longs are zig-zag varints, a string is its length in bytes and UTF-8, a map is
blocks of (count, entries) up to an empty block, a union is the branch's number and its value. The order of
fields and branches is that of schemas/avro/channel_event.avsc; tests hold this reader against the official
`avro` package on random events.

Why by hand: half the time of fastavro, and strict where it is lax (branch numbers, booleans, overlong
varints, repeated keys). No read is checked against the end of the bytes: whatever comes last in an event is
one byte that is indexed, so a short value always ends in an `IndexError` or a `struct.error`.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.domain.refusal import Reason, Refused
from stream_app.wire.limits import Limits, field_name

NULL, BOOLEAN, LONG, DOUBLE, STRING, ARRAY, MAP = (0, 2, 4, 6, 8, 10, 12)
"""Branches of a property's union, as their encoded byte."""

ID_NULL, ID_STRING, ID_LONG, ID_ARRAY = (0, 2, 4, 6)
"""Branches of an identifier's union, as their encoded byte."""

_LARGE_OR_NEGATIVE = 0x81  # bits that a one-byte length or count of 0 to 63 never has
_LAST_SHIFT = 63
"""Of a varint's tenth byte. Without an end, a megabyte of FF costs half a minute: each byte shifts all before it."""
_double = struct.Struct("<d").unpack_from
_three_pairs = struct.Struct("<HHH").unpack_from
_MORE, _LAST = [-1] * (1 << 16), [-1] * (1 << 16)
"""What two bytes of a varint (as a little-endian number) add to it, with more behind them, or none; -1: not so."""
for _low in range(1 << 7):
    for _high in range(1 << 7):
        _MORE[_high << 8 | _low | 0x8080] = _LAST[_high << 8 | _low | 0x80] = _high << 7 | _low
_contexts: dict[bytes, Context] = {}
_CONTEXTS_KEPT, _CONTEXT_BYTES = 4096, 63
"""How many contexts are remembered, and the length of the longest one: customers share a few locales and zones."""


def read_event(data: bytes, start: int, limits: Limits) -> tuple[ChannelEvent, int]:
    """Read one event that starts at `start`; return it and the position behind it.

    Raises:
        Refused: the bytes are no event, or one of its parts is beyond the limits.
    """
    try:
        event_id, i = _string(data, start, limits)
        time, i = _time(data, i)
        channel, i = _string(data, i, limits)
        type_, i = _string(data, i, limits)
        identifiers, i = _identifiers(data, i, limits)
        properties, i = _properties(data, i, limits)
        sent_at = received_at = context = None
        branch = data[i]
        i += 1
        if branch:
            _expect(branch == ID_STRING)
            sent_at, i = _time(data, i)
        branch = data[i]
        i += 1
        if branch:
            _expect(branch == ID_STRING)
            received_at, i = _time(data, i)
        branch = data[i]
        i += 1
        if branch:
            _expect(branch == ID_STRING)
            known = _contexts.get(data[i:])
            if known is None:
                context, i = _remembered_context(data, i, limits)
            else:
                context, i = known, len(data)
    except (IndexError, struct.error):
        raise Refused(Reason.UNDECODABLE, "the Avro value ends in the middle of a field") from None
    except UnicodeDecodeError:
        raise Refused(Reason.INVALID_UTF8, "a string of the Avro value is not UTF-8") from None
    event = ChannelEvent(
        event_id, time, channel, type_, identifiers, properties, sent_at, received_at, context
    )
    return event, i


def read_long(data: bytes, i: int) -> tuple[int, int]:
    """Read a zig-zag varint of at most ten bytes and 64 bits; return it and the position behind it."""
    byte = data[i]
    i += 1
    if byte < 0x80:  # noqa: PLR2004
        return (byte >> 1) ^ -(byte & 1), i
    value = byte & 0x7F
    shift = 7
    while True:
        byte = data[i]
        i += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            break
        shift += 7
        if shift > _LAST_SHIFT:
            _too_wide()
    if value >> 64:
        _too_wide()
    return (value >> 1) ^ -(value & 1), i


def _time(data: bytes, i: int) -> tuple[int, int]:
    """Read what is most likely a time of our days, six bytes: two by two, by tables."""
    if i + 6 <= len(data):
        first, second, third = _three_pairs(data, i)
        value = _MORE[first] | _MORE[second] << 14 | _LAST[third] << 28
        if value >= 0:
            return (value >> 1) ^ -(value & 1), i + 6
    return read_long(data, i)


def _properties(  # noqa: C901, PLR0912 - what most properties are is read in place: calls are half of the time
    data: bytes, i: int, limits: Limits
) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    total = 0
    while count := data[i]:
        i += 1
        if count & _LARGE_OR_NEGATIVE:
            count, i = _block(data, i - 1)
        else:
            count >>= 1
        total += count
        if total > limits.properties:
            _too_many("properties", limits.properties)
        for _ in range(count):
            size = data[i]
            i += 1
            if size & _LARGE_OR_NEGATIVE:
                size, i = _length(data, i - 1, limits.name_chars)
            stop = i + (size >> 1)
            name = data[i:stop].decode()
            branch = data[stop]
            i = stop + 1
            if branch == STRING:
                size = data[i]
                i += 1
                if size & _LARGE_OR_NEGATIVE:
                    size, i = _length(data, i - 1, limits.string_bytes)
                stop = i + (size >> 1)
                found[name] = data[i:stop].decode()
                i = stop
            elif branch == DOUBLE:
                value = found[name] = _double(data, i)[0]
                if value - value != 0:  # infinite or not a number
                    _not_finite(name)
                i += 8
            elif branch < ARRAY:
                found[name], i = _scalar(data, i, branch, limits, name)
            else:
                found[name], i = _nested(data, i, branch, limits, name)
    if len(found) != total:
        raise Refused(Reason.INVALID_FIELD, "properties: a name is there twice")
    return found, i + 1


def _scalar(data: bytes, i: int, branch: int, limits: Limits, name: str) -> tuple[Any, int]:
    if branch == DOUBLE:
        value = _double(data, i)[0]
        if value - value != 0:
            _not_finite(name)
        return value, i + 8
    if branch == LONG:
        return read_long(data, i)
    if branch == STRING:
        return _string(data, i, limits)
    if branch == NULL:
        return None, i
    _expect(branch == BOOLEAN)
    return _boolean(data, i)


def _nested(data: bytes, i: int, branch: int, limits: Limits, name: str) -> tuple[Any, int]:
    if branch == MAP:
        return _object(data, i, limits, name)
    _expect(branch == ARRAY)
    items: list[Any] = []
    while data[i]:
        count, i = _block(data, i)
        if len(items) + count > limits.items:
            _too_many(field_name("properties", name), limits.items)
        for _ in range(count):
            branch = data[i]
            i += 1
            if branch == ARRAY:  # an item's union has its map where a property's has its array
                item, i = _object(data, i, limits, name)
            else:
                item, i = _scalar(data, i, branch, limits, name)
            items.append(item)
    return items, i + 1


def _object(data: bytes, i: int, limits: Limits, name: str) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    total = 0
    while count := data[i]:
        i += 1
        if count & _LARGE_OR_NEGATIVE:
            count, i = _block(data, i - 1)
        else:
            count >>= 1
        total += count
        if total > limits.items:
            _too_many(field_name("properties", name), limits.items)
        for _ in range(count):
            size = data[i]
            i += 1
            if size & _LARGE_OR_NEGATIVE:
                size, i = _length(data, i - 1, limits.string_bytes)
            stop = i + (size >> 1)
            key = data[i:stop].decode()
            branch = data[stop]
            i = stop + 1
            if branch == STRING:
                size = data[i]
                i += 1
                if size & _LARGE_OR_NEGATIVE:
                    size, i = _length(data, i - 1, limits.string_bytes)
                stop = i + (size >> 1)
                found[key] = data[i:stop].decode()
                i = stop
            else:
                found[key], i = _scalar(data, i, branch, limits, name)
    if len(found) != total:
        raise Refused(Reason.INVALID_FIELD, f"{field_name('properties', name)}: a name is there twice")
    return found, i + 1


def _identifiers(data: bytes, i: int, limits: Limits) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    total = 0
    while count := data[i]:
        i += 1
        if count & _LARGE_OR_NEGATIVE:
            count, i = _block(data, i - 1)
        else:
            count >>= 1
        total += count
        if total > limits.identifiers:
            _too_many("identifiers", limits.identifiers)
        for _ in range(count):
            namespace, i = _string(data, i, limits)
            branch = data[i]
            i += 1
            if branch == ID_STRING:
                found[namespace], i = _string(data, i, limits)
            elif branch == ID_LONG:
                found[namespace], i = read_long(data, i)
            elif branch == ID_ARRAY:
                found[namespace], i = _strings(data, i, limits)
            else:
                _expect(branch == ID_NULL)
                found[namespace] = None
    if len(found) != total:
        raise Refused(Reason.INVALID_FIELD, "identifiers: a namespace is there twice")
    return found, i + 1


def _strings(data: bytes, i: int, limits: Limits) -> tuple[list[str], int]:
    items: list[str] = []
    while data[i]:
        count, i = _block(data, i)
        if len(items) + count > limits.identifier_values:
            _too_many("the values of one identifier", limits.identifier_values)
        for _ in range(count):
            item, i = _string(data, i, limits)
            items.append(item)
    return items, i + 1


def _context(data: bytes, i: int, limits: Limits) -> tuple[Context, int]:
    locale = timezone = position = consent = None
    branch = data[i]
    i += 1
    if branch:
        _expect(branch == ID_STRING)
        locale, i = _string(data, i, limits)
    branch = data[i]
    i += 1
    if branch:
        _expect(branch == ID_STRING)
        timezone, i = _string(data, i, limits)
    branch = data[i]
    i += 1
    if branch:
        _expect(branch == ID_STRING)
        position, i = _position(data, i)
    branch = data[i]
    i += 1
    if branch:
        _expect(branch == ID_STRING)
        consent, i = _consent(data, i, limits)
    return Context(locale, timezone, position, consent), i


def _remembered_context(data: bytes, i: int, limits: Limits) -> tuple[Context, int]:
    """Read a context; remember it if it is short, nothing follows, and it can't change: it has no map of consent."""
    context, end = _context(data, i, limits)
    if end == len(data) <= i + _CONTEXT_BYTES and context.position is None and context.consent is None:
        if len(_contexts) >= _CONTEXTS_KEPT:
            _contexts.clear()
        _contexts[data[i:]] = context
    return context, end


def _position(data: bytes, i: int) -> tuple[Position, int]:
    latitude = _double(data, i)[0]
    longitude = _double(data, i + 8)[0]
    branch = data[i + 16]
    i += 17
    if not branch:
        return Position(latitude, longitude), i
    _expect(branch == ID_STRING)
    return Position(latitude, longitude, _double(data, i)[0]), i + 8


def _consent(data: bytes, i: int, limits: Limits) -> tuple[dict[str, bool], int]:
    found: dict[str, bool] = {}
    total = 0
    while data[i]:
        count, i = _block(data, i)
        total += count
        if total > limits.items:
            _too_many("context.consent", limits.items)
        for _ in range(count):
            purpose, i = _string(data, i, limits)
            found[purpose], i = _boolean(data, i)
    if len(found) != total:
        raise Refused(Reason.INVALID_FIELD, "context.consent: a purpose is there twice")
    return found, i + 1


def _string(data: bytes, i: int, limits: Limits) -> tuple[str, int]:
    size = data[i]
    i += 1
    if size & _LARGE_OR_NEGATIVE:
        size, i = _length(data, i - 1, limits.string_bytes)
    stop = i + (size >> 1)
    return data[i:stop].decode(), stop


def _length(data: bytes, i: int, limit: int) -> tuple[int, int]:
    """Read a string's length; return twice the length, as the one-byte form is, and the position behind."""
    size, i = read_long(data, i)
    if size < 0:
        raise Refused(Reason.UNDECODABLE, "a string of the Avro value has a negative length")
    if size > limit:
        raise Refused(Reason.TOO_LARGE, f"a string is longer than {limit} bytes")
    return size << 1, i


def _block(data: bytes, i: int) -> tuple[int, int]:
    """Read how many entries a block of a map or list has; behind a negative number is its size in bytes."""
    count, i = read_long(data, i)
    _expect(count != 0)  # a zero spelled in two bytes
    if count < 0:
        _, i = read_long(data, i)
        return -count, i
    return count, i


def _boolean(data: bytes, i: int) -> tuple[bool, int]:
    byte = data[i]
    _expect(byte < 2)  # noqa: PLR2004
    return byte == 1, i + 1


def _expect(condition: bool) -> None:
    if not condition:
        raise Refused(Reason.UNDECODABLE, "the Avro value has a byte that no type of the schema allows")


def _too_wide() -> NoReturn:
    raise Refused(Reason.UNDECODABLE, "an integer of the Avro value has more than 64 bits")


def _not_finite(name: str) -> NoReturn:
    raise Refused(Reason.INVALID_FIELD, f"{field_name('properties', name)} is not a finite number")


def _too_many(place: str, limit: int) -> NoReturn:
    raise Refused(Reason.TOO_LARGE, f"{place}: more than {limit} entries")
