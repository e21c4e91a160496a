# cython: language_level=3
"""Passes on an event whose identifiers are known to live together, as `domain.resolver` does, natively.

That is what nearly all messages to the resolver are: the anchor has a row, all others are in it, and nothing changes.
The event's message to its component holds the same event, payload and stamp, byte by byte. All else, and whatever
isn't written as our own encoder does, is for the resolver, which has not been asked for anything by then.

The bytes are touched in `_byte` and `_take` of `native_cursor` alone.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8String, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from stream_app.domain.rows import IdentifierRow
from stream_app.wire.native_cursor cimport Cursor, _byte, _take

cdef enum:  # MessagePack
    NIL = 0xC0
    FALSE_ = 0xC2
    TRUE_ = 0xC3
    BIN8 = 0xC4
    BIN32 = 0xC6
    FLOAT64 = 0xCB
    UINT8 = 0xCC
    UINT64 = 0xCF
    INT8 = 0xD0
    INT64 = 0xD3
    STR8 = 0xD9
    STR32 = 0xDB
    ARRAY16 = 0xDC
    ARRAY32 = 0xDD
    MAP16 = 0xDE
    FIXARRAY = 0x90
    FIXSTR = 0xA0
    EVENT_AT = 0x95  # an array of five
    EVENT_AT_TAG = 0x01
    EVENT_TO = 0x96  # an array of six
    EVENT_TO_TAG = 0x0B

cdef enum:
    DEEPEST = 16  # lists and maps in each other within an event; it has five


def forward(value, row_of):
    """Return key and message for the component of a message's event; None: it is for the resolver.

    Args:
        value: the message's bytes.
        row_of: returns the row of a label's bytes, or None.
    """
    if type(value) is not bytes:
        return None
    try:
        return _forward(<bytes> value, row_of)
    except (ValueError, TypeError):
        return None


cdef tuple _forward(bytes value, object row_of):
    cdef Cursor c
    cdef const unsigned char* event
    cdef const unsigned char* behind_event
    cdef const unsigned char* rest
    cdef const unsigned char* p = NULL
    cdef int64_t count, n
    cdef uint64_t size
    c.at = <const unsigned char*> PyBytes_AS_STRING(value)
    c.end = c.at + PyBytes_GET_SIZE(value)
    if _byte(&c) != EVENT_AT or _byte(&c) != EVENT_AT_TAG:
        return None
    event = c.at
    _skip(&c, DEEPEST)
    behind_event = c.at
    count = _byte(&c) - FIXARRAY
    if not 0 < count < 16:
        return None
    size = _text(&c, &p)
    row = row_of(PyBytes_FromStringAndSize(<const char*> p, size))
    if type(row) is not IdentifierRow:
        return None
    label, known = row.label, row.known
    if type(label) is not str or type(known) is not set:
        return None
    for n in range(count - 1):
        size = _text(&c, &p)
        if PyUnicode_DecodeUTF8(<const char*> p, size, NULL) not in <set> known:
            return None
    rest = c.at
    _skip_payload(&c)
    _skip_stamp(&c)
    if c.at != c.end:
        return None
    cdef bytes key = PyUnicode_AsUTF8String(label)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(key)
    if length > 31:
        return None
    cdef Py_ssize_t whole = 3 + length + (behind_event - event) + (c.end - rest) + 1
    cdef bytes message = PyBytes_FromStringAndSize(NULL, whole)
    cdef unsigned char* out = <unsigned char*> PyBytes_AS_STRING(message)
    out[0], out[1], out[2] = EVENT_TO, EVENT_TO_TAG, <unsigned char> (FIXSTR | length)
    out += 3
    memcpy(out, PyBytes_AS_STRING(key), length)
    out += length
    memcpy(out, event, behind_event - event)
    out += behind_event - event
    memcpy(out, rest, c.end - rest)
    out[c.end - rest] = FIXSTR  # no origin
    return key, message


cdef inline uint64_t _number(Cursor* c, int size) except? 0:
    """Read so many bytes, big-endian."""
    cdef const unsigned char* p = _take(c, size)
    cdef uint64_t value = 0
    cdef int n
    for n in range(size):
        value = value << 8 | p[n]
    return value


cdef inline uint64_t _text(Cursor* c, const unsigned char** p) except? 0:
    """Step over a short text; return its length, and where it begins."""
    cdef int kind = _byte(c)
    if not FIXSTR <= kind < FIXSTR + 32:
        raise ValueError
    p[0] = _take(c, kind - FIXSTR)
    return kind - FIXSTR


cdef inline int _skip_payload(Cursor* c) except -1:
    """Step over bytes, whose length is written in its shortest form."""
    cdef int kind = _byte(c)
    cdef uint64_t size
    if not BIN8 <= kind <= BIN32:
        raise ValueError
    size = _number(c, 1 << (kind - BIN8))
    if kind > BIN8 and not size >> (8 << (kind - BIN8 - 1)):
        raise ValueError
    _take(c, <int64_t> size)
    return 0


cdef inline int _skip_stamp(Cursor* c) except -1:
    """Step over an integer, in its shortest form."""
    cdef int kind = _byte(c)
    cdef uint64_t value
    cdef int64_t signed
    if kind <= 0x7F or kind >= 0xE0:
        return 0
    if UINT8 <= kind <= UINT64:
        value = _number(c, 1 << (kind - UINT8))
        if not value >> (7 if kind == UINT8 else 8 << (kind - UINT8 - 1)):
            raise ValueError
        return 0
    if kind == INT64:
        signed = <int64_t> _number(c, 8)
        if signed < -<int64_t> 0x80000000:
            return 0
    raise ValueError


cdef int _skip(Cursor* c, int levels) except -1:
    """Step over one value of those that an event has, down to so many levels."""
    cdef int kind = _byte(c)
    cdef uint64_t count, n
    if kind <= 0x7F or kind >= 0xE0:
        return 0
    if FIXSTR <= kind < FIXSTR + 32:
        _take(c, kind - FIXSTR)
        return 0
    if STR8 <= kind <= STR32:
        _take(c, <int64_t> _number(c, 1 << (kind - STR8)))
        return 0
    if kind == NIL or kind == FALSE_ or kind == TRUE_:
        return 0
    if kind == FLOAT64:
        _take(c, 8)
        return 0
    if UINT8 <= kind <= UINT64:
        _take(c, 1 << (kind - UINT8))
        return 0
    if INT8 <= kind <= INT64:
        _take(c, 1 << (kind - INT8))
        return 0
    if levels == 0:
        raise ValueError
    if kind < FIXARRAY:
        count = 2 * (kind & 0xF)
    elif kind < FIXSTR:
        count = kind & 0xF
    elif kind == ARRAY16 or kind == ARRAY32:
        count = _number(c, 2 << (kind - ARRAY16))
    elif kind == MAP16 or kind == MAP16 + 1:
        count = 2 * _number(c, 2 << (kind - MAP16))
    else:
        raise ValueError
    for n in range(count):
        _skip(c, levels - 1)
    return 0
