# cython: language_level=3
"""Reads a `ChannelEvent` from Avro binary as `avro_reader` does, natively.

It takes what is usual and right, and nothing else: whatever is odd - cut short, beyond a limit, no UTF-8, a name
twice, an integer spelled at length - it leaves to `avro_reader`, which reads the same bytes from their beginning
and says what is wrong. So no refusal is worded twice, and the two can't disagree about one.

The bytes may be hostile. They are touched in `_byte` and `_take` alone, which check against the end first; lengths
and counts are compared with limits and with what is left, never added up before; nothing here calls itself.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport isfinite
from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.string cimport memcpy

from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.wire import avro_reader

cdef enum:  # branches of a property's union, as their encoded byte
    NULL_ = 0
    BOOLEAN = 2
    LONG = 4
    DOUBLE = 6
    STRING = 8
    ARRAY = 10
    MAP = 12

cdef enum:  # branches of an identifier's union, as their encoded byte; the second is also that of what is optional
    ID_NULL = 0
    ID_STRING = 2
    ID_LONG = 4
    ID_ARRAY = 6

cdef enum:
    LARGE_OR_NEGATIVE = 0x81  # bits that a one-byte length or count of 0 to 63 never has
    LAST_SHIFT = 63  # of the tenth byte of a varint: one bit of it is left
    CONTEXTS_KEPT = 4096
    CONTEXT_BYTES = 63


cdef struct Bounds:
    int64_t string_bytes
    int64_t name_chars
    int64_t identifiers
    int64_t identifier_values
    int64_t properties
    int64_t items


cdef struct Cursor:
    const unsigned char* at
    const unsigned char* end
    Bounds bounds


class Unusual(ValueError):
    """Not for this reader. A `ValueError`, as what UTF-8 that is none raises."""


cdef dict _contexts = {}
cdef object _limits = None  # whose bounds these are; limits are frozen, so the same object has the same bounds
cdef Bounds _bounds


def read_event(data, start, limits):
    """Read one event that starts at `start`; return it and the position behind it.

    Raises:
        Refused: the bytes are no event, or one of its parts is beyond the limits.
    """
    if type(data) is bytes and type(start) is int and 0 <= start <= PyBytes_GET_SIZE(data):
        try:
            return _event(<bytes> data, start, limits)
        except (ValueError, OverflowError):
            pass
    return avro_reader.read_event(data, start, limits)


cdef tuple _event(bytes data, Py_ssize_t start, object limits):
    cdef Cursor c
    cdef const unsigned char* first = <const unsigned char*> PyBytes_AS_STRING(data)
    c.at = first + start  # the caller has seen that it is within the bytes
    c.end = first + PyBytes_GET_SIZE(data)
    c.bounds = _bounds_of(limits)
    event_id = _text(&c, c.bounds.string_bytes)
    time = _long(&c)
    channel = _text(&c, c.bounds.string_bytes)
    type_ = _text(&c, c.bounds.string_bytes)
    identifiers = _identifiers(&c)
    properties = _properties(&c)
    sent_at = _long(&c) if _present(&c) else None
    received_at = _long(&c) if _present(&c) else None
    context = _remembered_context(&c) if _present(&c) else None
    event = ChannelEvent(
        event_id, time, channel, type_, identifiers, properties, sent_at, received_at, context
    )
    return event, c.at - first


cdef Bounds _bounds_of(object limits) except *:
    global _limits, _bounds
    cdef Bounds bounds
    if limits is not _limits:
        bounds.string_bytes = limits.string_bytes
        bounds.name_chars = limits.name_chars
        bounds.identifiers = limits.identifiers
        bounds.identifier_values = limits.identifier_values
        bounds.properties = limits.properties
        bounds.items = limits.items
        _bounds, _limits = bounds, limits
    return _bounds


cdef inline int _byte(Cursor* c) except -1:
    """Return the next byte; one of the two places that read."""
    if c.at >= c.end:
        raise Unusual
    c.at += 1
    return c.at[-1]


cdef inline const unsigned char* _take(Cursor* c, int64_t size) except NULL:
    """Step over so many bytes and return where they begin; the other one."""
    if size < 0 or size > c.end - c.at:
        raise Unusual
    c.at += size
    return c.at - size


cdef inline int64_t _int64(Cursor* c) except? -1:
    """Read a zig-zag varint of at most ten bytes and 64 bits."""
    cdef int byte = _byte(c)
    cdef uint64_t value = byte & 0x7F
    cdef int shift = 7
    while byte & 0x80:
        byte = _byte(c)
        if shift >= LAST_SHIFT and (shift > LAST_SHIFT or byte > 1):
            raise Unusual
        value |= (<uint64_t> (byte & 0x7F)) << shift
        shift += 7
    return <int64_t> (value >> 1) ^ -<int64_t> (value & 1)


cdef inline object _long(Cursor* c):
    return _int64(c)


cdef inline double _float(Cursor* c) except? -1.0:
    """Read eight bytes, little-endian whatever the machine."""
    cdef const unsigned char* p = _take(c, 8)
    cdef uint64_t bits = 0
    cdef double value
    cdef int n
    for n in range(8):
        bits |= (<uint64_t> p[n]) << (8 * n)
    memcpy(&value, &bits, sizeof(value))
    return value


cdef inline double _finite(Cursor* c) except? -1.0:
    cdef double value = _float(c)
    if not isfinite(value):
        raise Unusual
    return value


cdef inline str _text(Cursor* c, int64_t limit):
    """Read a string of at most `limit` bytes; one of a single byte's length is within any limit."""
    cdef int64_t size = _byte(c)
    if size & LARGE_OR_NEGATIVE:
        c.at -= 1
        size = _int64(c)
        if size > limit:
            raise Unusual
    else:
        size >>= 1
    return PyUnicode_DecodeUTF8(<const char*> _take(c, size), size, NULL)


cdef inline int64_t _block(Cursor* c, int64_t room) except -1:
    """Read how many entries a block has, of which there is room for so many; 0 behind the last one."""
    cdef int64_t count = _byte(c)
    if count & LARGE_OR_NEGATIVE:
        c.at -= 1
        count = _int64(c)
        if count == 0 or count == INT64_MIN:
            raise Unusual
        if count < 0:
            _int64(c)  # the block's size in bytes
            count = -count
    else:
        count >>= 1
    if count > room:
        raise Unusual
    return count


cdef inline bint _present(Cursor* c) except -1:
    """Read the branch of [null, something]."""
    cdef int branch = _byte(c)
    if branch == 0:
        return False
    if branch != ID_STRING:
        raise Unusual
    return True


cdef inline object _boolean(Cursor* c):
    cdef int byte = _byte(c)
    if byte > 1:
        raise Unusual
    return byte == 1


cdef inline object _scalar(Cursor* c, int branch):
    if branch == STRING:
        return _text(c, c.bounds.string_bytes)
    if branch == DOUBLE:
        return _finite(c)
    if branch == LONG:
        return _long(c)
    if branch == NULL_:
        return None
    if branch != BOOLEAN:
        raise Unusual
    return _boolean(c)


cdef dict _properties(Cursor* c):
    cdef dict found = {}
    cdef int64_t total = 0, count, n
    cdef int branch
    while True:
        count = _block(c, c.bounds.properties - total)
        if count == 0:
            break
        total += count  # within the limit: there was room
        for n in range(count):
            name = _text(c, c.bounds.name_chars)
            branch = _byte(c)
            if branch < ARRAY:
                found[name] = _scalar(c, branch)
            elif branch == MAP:
                found[name] = _object(c)
            elif branch == ARRAY:
                found[name] = _array(c)
            else:
                raise Unusual
    if len(found) != total:
        raise Unusual
    return found


cdef list _array(Cursor* c):
    cdef list items = []
    cdef int64_t count, n
    cdef int branch
    while True:
        count = _block(c, c.bounds.items - len(items))
        if count == 0:
            return items
        for n in range(count):
            branch = _byte(c)
            # An item's union has its map where a property's has its array.
            items.append(_object(c) if branch == ARRAY else _scalar(c, branch))


cdef dict _object(Cursor* c):
    cdef dict found = {}
    cdef int64_t total = 0, count, n
    while True:
        count = _block(c, c.bounds.items - total)
        if count == 0:
            break
        total += count
        for n in range(count):
            name = _text(c, c.bounds.string_bytes)
            found[name] = _scalar(c, _byte(c))
    if len(found) != total:
        raise Unusual
    return found


cdef dict _identifiers(Cursor* c):
    cdef dict found = {}
    cdef int64_t total = 0, count, n
    cdef int branch
    while True:
        count = _block(c, c.bounds.identifiers - total)
        if count == 0:
            break
        total += count
        for n in range(count):
            namespace = _text(c, c.bounds.string_bytes)
            branch = _byte(c)
            if branch == ID_STRING:
                found[namespace] = _text(c, c.bounds.string_bytes)
            elif branch == ID_LONG:
                found[namespace] = _long(c)
            elif branch == ID_ARRAY:
                found[namespace] = _texts(c)
            elif branch == ID_NULL:
                found[namespace] = None
            else:
                raise Unusual
    if len(found) != total:
        raise Unusual
    return found


cdef list _texts(Cursor* c):
    cdef list items = []
    cdef int64_t count, n
    while True:
        count = _block(c, c.bounds.identifier_values - len(items))
        if count == 0:
            return items
        for n in range(count):
            items.append(_text(c, c.bounds.string_bytes))


cdef object _remembered_context(Cursor* c):
    """Read a context; a short one that comes last and can't change is remembered, as customers share a few."""
    cdef Py_ssize_t left = c.end - c.at
    if left > CONTEXT_BYTES:
        return _context(c)
    cdef bytes key = PyBytes_FromStringAndSize(<const char*> c.at, left)
    known = _contexts.get(key)
    if known is not None:
        c.at = c.end
        return known
    context = _context(c)
    if c.at == c.end and context.position is None and context.consent is None:
        if len(_contexts) >= CONTEXTS_KEPT:
            _contexts.clear()
        _contexts[key] = context
    return context


cdef object _context(Cursor* c):
    locale = _text(c, c.bounds.string_bytes) if _present(c) else None
    timezone = _text(c, c.bounds.string_bytes) if _present(c) else None
    position = _position(c) if _present(c) else None
    consent = _consent(c) if _present(c) else None
    return Context(locale, timezone, position, consent)


cdef object _position(Cursor* c):
    cdef double latitude = _float(c)
    cdef double longitude = _float(c)
    if _present(c):
        return Position(latitude, longitude, _float(c))
    return Position(latitude, longitude)


cdef dict _consent(Cursor* c):
    cdef dict found = {}
    cdef int64_t total = 0, count, n
    while True:
        count = _block(c, c.bounds.items - total)
        if count == 0:
            break
        total += count
        for n in range(count):
            purpose = _text(c, c.bounds.string_bytes)
            found[purpose] = _boolean(c)
    if len(found) != total:
        raise Unusual
    return found
