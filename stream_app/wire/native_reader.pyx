# cython: language_level=3
"""Reads a `ChannelEvent` from Avro binary as `avro_reader` does, natively.

It takes what is usual and right, and nothing else: whatever is odd - cut short, beyond a limit, no UTF-8, a name
twice, an integer spelled at length - it leaves to `avro_reader`, which reads the same bytes from their beginning
and says what is wrong. So no refusal is worded twice, and the two can't disagree about one.

The bytes may be hostile: see `native_cursor`. Nothing here calls itself.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport isfinite
from libc.stdint cimport int64_t

from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.wire import avro_reader
from stream_app.wire.native_cursor cimport (
    ARRAY,
    BOOLEAN,
    DOUBLE,
    ID_ARRAY,
    ID_LONG,
    ID_NULL,
    ID_STRING,
    LONG,
    MAP,
    NULL_,
    STRING,
    Bounds,
    Cursor,
    _block,
    _byte,
    _float,
    _int64,
    _length,
    _present,
    _take,
    bounds_of,
)

cdef enum:
    CONTEXTS_KEPT = 4096
    CONTEXT_BYTES = 63


class Unusual(ValueError):
    """Not for this reader. A `ValueError`, as what the cursor raises, and UTF-8 that is none."""


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
    if limits is not _limits:
        _bounds, _limits = bounds_of(limits), limits
    return _bounds


cdef inline object _long(Cursor* c):
    return _int64(c)


cdef inline double _finite(Cursor* c) except? -1.0:
    cdef double value = _float(c)
    if not isfinite(value):
        raise Unusual
    return value


cdef inline str _text(Cursor* c, int64_t limit):
    """Read a string of at most `limit` bytes; one of a single byte's length is within any limit."""
    cdef int64_t size = _length(c, limit)
    return PyUnicode_DecodeUTF8(<const char*> _take(c, size), size, NULL)


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
