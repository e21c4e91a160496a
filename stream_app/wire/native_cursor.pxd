# cython: language_level=3
"""How the native modules read Avro binary: what `native_reader` and `native_intake` share.

The bytes may be hostile. They are touched in `_byte` and `_take` alone, which check against the end first; lengths
and counts are compared with limits and with what is left, never added up before. What is odd is a `ValueError`.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.string cimport memcpy

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


cdef inline Bounds bounds_of(object limits) except *:
    cdef Bounds bounds
    bounds.string_bytes = limits.string_bytes
    bounds.name_chars = limits.name_chars
    bounds.identifiers = limits.identifiers
    bounds.identifier_values = limits.identifier_values
    bounds.properties = limits.properties
    bounds.items = limits.items
    return bounds


cdef inline int _byte(Cursor* c) except -1:
    """Return the next byte; one of the two places that read."""
    if c.at >= c.end:
        raise ValueError
    c.at += 1
    return c.at[-1]


cdef inline const unsigned char* _take(Cursor* c, int64_t size) except NULL:
    """Step over so many bytes and return where they begin; the other one."""
    if size < 0 or size > c.end - c.at:
        raise ValueError
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
            raise ValueError
        value |= (<uint64_t> (byte & 0x7F)) << shift
        shift += 7
    return <int64_t> (value >> 1) ^ -<int64_t> (value & 1)


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


cdef inline int64_t _length(Cursor* c, int64_t limit) except -1:
    """Read a string's length, of at most `limit` bytes; one of a single byte is within any limit."""
    cdef int64_t size = _byte(c)
    if size & LARGE_OR_NEGATIVE:
        c.at -= 1
        size = _int64(c)
        if size < 0 or size > limit:
            raise ValueError
    else:
        size >>= 1
    return size


cdef inline int64_t _block(Cursor* c, int64_t room) except -1:
    """Read how many entries a block has, of which there is room for so many; 0 behind the last one."""
    cdef int64_t count = _byte(c)
    if count & LARGE_OR_NEGATIVE:
        c.at -= 1
        count = _int64(c)
        if count == 0 or count == INT64_MIN:
            raise ValueError
        if count < 0:
            _int64(c)  # the block's size in bytes
            count = -count
    else:
        count >>= 1
    if count > room:
        raise ValueError
    return count


cdef inline bint _present(Cursor* c) except -1:
    """Read the branch of [null, something]."""
    cdef int branch = _byte(c)
    if branch == 0:
        return False
    if branch != ID_STRING:
        raise ValueError
    return True
