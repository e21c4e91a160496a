# cython: language_level=3
"""Takes a channel's records as `intake` does, natively: from Avro to the message without an event in between.

It takes what is usual and right - single-object encoding under the current schema, no headers - and nothing else:
whatever is odd, and whatever would be refused, it leaves to the Python `Intake`, which looks at the same record from
its beginning. An event's identifiers are looked up by their bytes; it is asked there too whom new ones name.

The bytes may be hostile: see `native_cursor`. The message is written in `_put_byte`, `_put_bytes` and `_put_big` alone,
which ask `_room` first. MessagePack is written as msgspec does, in its shortest form.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_AsUTF8String, PyUnicode_DecodeUTF8, PyUnicode_GET_LENGTH
from libc.math cimport INFINITY, isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from stream_app.domain.messages import encode
from stream_app.wire import intake
from stream_app.wire.intake import REMEMBERED, REMEMBERED_CHARS
from stream_app.wire.known import FINGERPRINT_END
from stream_app.wire.limits import YEAR_9000
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
from stream_app.wire.native_reader import read_event

cdef enum:  # MessagePack
    NIL = 0xC0
    FALSE_ = 0xC2
    TRUE_ = 0xC3
    BIN8 = 0xC4
    FLOAT64 = 0xCB
    UINT8 = 0xCC
    UINT16 = 0xCD
    UINT32 = 0xCE
    UINT64 = 0xCF
    INT8 = 0xD0
    INT16 = 0xD1
    INT32 = 0xD2
    INT64 = 0xD3
    STR8 = 0xD9
    ARRAY16 = 0xDC
    MAP16 = 0xDE
    FIXMAP = 0x80
    FIXARRAY = 0x90
    FIXSTR = 0xA0
    MESSAGE = 0x95  # an array of five: tag, event, labels, payload, stamp
    TAG = 0x01
    EVENT = 0x99  # an array of nine
    CONTEXT = 0x94
    POSITION = 0x93

cdef enum:
    FIRST_ROOM = 4096
    MOST_NAMES = 32  # of one map: each is compared with all before it


class Unusual(ValueError):
    """Not for this module. A `ValueError`, as what the cursor raises, and UTF-8 that is none."""


cdef struct Names:
    int count
    const unsigned char* at[MOST_NAMES]
    int64_t size[MOST_NAMES]


cdef inline int64_t _characters(const unsigned char* p, int64_t size) except -1:
    """Return how many characters UTF-8 spells."""
    cdef uint64_t high = 0, eight
    cdef int64_t n = 0
    while n + 8 <= size:
        memcpy(&eight, p + n, 8)
        high |= eight
        n += 8
    while n < size:
        high |= p[n]
        n += 1
    if high & <uint64_t> 0x8080808080808080:
        return PyUnicode_GET_LENGTH(PyUnicode_DecodeUTF8(<const char*> p, size, NULL))
    return size


cdef inline int _name(Names* names, const unsigned char* p, int64_t size) except -1:
    """Note a map's next name, which none before it may be."""
    cdef int n
    if names.count == MOST_NAMES:
        raise Unusual
    for n in range(names.count):
        if names.size[n] == size and memcmp(names.at[n], p, size) == 0:
            raise Unusual
    names.at[names.count], names.size[names.count] = p, size
    names.count += 1
    return 0


cdef inline int _ended(Cursor* c, int64_t count) except -1:
    """Read the end of a map or a list of so many entries: they must have been in one block."""
    if count and _byte(c) != 0:
        raise Unusual
    return 0


cdef inline int64_t _int(object value) except? -1:
    if type(value) is not int:
        raise Unusual
    return value


cdef inline int _skip_identifiers(Cursor* c) except -1:
    """Step over a map of identifiers, however wrong it may be within."""
    cdef int64_t count, values, n, m
    cdef int branch
    while True:
        count = _block(c, c.bounds.identifiers)
        if count == 0:
            return 0
        for n in range(count):
            _take(c, _length(c, c.bounds.string_bytes))
            branch = _byte(c)
            if branch == ID_STRING:
                _take(c, _length(c, c.bounds.string_bytes))
            elif branch == ID_LONG:
                _int64(c)
            elif branch == ID_ARRAY:
                values = _block(c, c.bounds.identifier_values)
                while values:
                    for m in range(values):
                        _take(c, _length(c, c.bounds.string_bytes))
                    values = _block(c, c.bounds.identifier_values)
            elif branch != ID_NULL:
                raise Unusual


cdef class Who:
    """Whom certain identifiers name: parts of the message as they are written, the key, and what is reported."""

    cdef bytes identifiers
    cdef bytes labels
    cdef bytes key
    cdef tuple rejected


cdef class Intake:
    """Takes the records of all channels, under one policy and one deployment's key; in one thread."""

    cdef object _python
    cdef object _limits
    cdef bytes _mark
    cdef Bounds _bounds
    cdef int64_t _value_bytes
    cdef int64_t _event_id_chars
    cdef int64_t _earliest
    cdef int64_t _max_future
    cdef int64_t _latest
    cdef int64_t _time
    cdef Py_ssize_t _start
    cdef Py_ssize_t _most_remembered
    cdef Py_ssize_t _longest_remembered
    cdef dict _known
    cdef unsigned char* _data
    cdef Py_ssize_t _size
    cdef Py_ssize_t _space

    def __cinit__(self):
        self._data = <unsigned char*> PyMem_Malloc(FIRST_ROOM)
        if self._data == NULL:
            raise MemoryError
        self._size, self._space = 0, FIRST_ROOM

    def __dealloc__(self):
        PyMem_Free(self._data)

    def __init__(self, decoder, identifier, labels):
        """Begin with an empty memory."""
        self._python = intake.Intake(decoder, identifier, labels)
        self._limits = limits = decoder.limits
        self._mark = decoder.mark
        self._bounds = bounds_of(limits)
        self._value_bytes = limits.value_bytes
        self._event_id_chars = limits.event_id_chars
        self._earliest = limits.earliest
        self._latest = YEAR_9000 - 1
        self._max_future = min(limits.max_future, YEAR_9000)
        self._start = FINGERPRINT_END
        self._most_remembered = REMEMBERED
        self._longest_remembered = REMEMBERED_CHARS
        self._known = {}

    def take(self, value, headers, channel, timestamp, source, offset, clock, report):
        """Take one record; see the Python `Intake`."""
        cdef Who who = None
        if type(value) is bytes and not headers and type(channel) is str and type(source) is str:
            try:
                who = self._write(<bytes> value, <str> channel, timestamp, <str> source, offset, clock)
            except (ValueError, OverflowError, TypeError):
                pass
            if who is not None:
                message = PyBytes_FromStringAndSize(<char*> self._data, self._size)
                time = self._time
                if who.rejected:
                    report(who.rejected)
                return time, message, who.key
        return self._python.take(value, headers, channel, timestamp, source, offset, clock, report)

    cdef Who _write(self, bytes value, str channel, object timestamp, str source, object offset, object clock):
        """Write a record's message, and note its time; return whom it names."""
        cdef Cursor c
        cdef int64_t received = _int(timestamp), stamp = _int(clock), number = _int(offset)
        cdef int64_t latest
        cdef const unsigned char* first = <const unsigned char*> PyBytes_AS_STRING(value)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
        cdef Py_ssize_t start = self._start
        cdef Who who
        if not (start < size <= self._value_bytes and 0 <= received <= self._latest and number >= 0):
            raise Unusual
        latest = min(received + self._max_future, self._latest)
        if memcmp(first, PyBytes_AS_STRING(self._mark), start) != 0:
            raise Unusual
        c.at, c.end, c.bounds = first + start, first + size, self._bounds
        self._size = 0
        self._put_byte(MESSAGE)
        self._put_byte(TAG)
        self._put_byte(EVENT)
        self._copy_id(&c)
        self._time = _int64(&c)
        if not self._earliest <= self._time <= latest:
            raise Unusual
        self._put_long(self._time)
        self._copy_channel(&c, channel)
        if not 0 < self._copy_text(&c, c.bounds.string_bytes) <= c.bounds.name_chars:
            raise Unusual
        who = self._who(&c, value)
        self._put_bytes(who.identifiers)
        self._copy_properties(&c)
        if _present(&c) and not self._earliest <= _int64(&c) <= latest:  # when it was sent, ...
            raise Unusual
        if _present(&c) and not self._earliest <= _int64(&c) <= latest:  # ... and received, by its channel
            raise Unusual
        self._put_long(received)
        self._put_source(source, number)
        if _present(&c):
            self._copy_context(&c)
        else:
            self._put_byte(NIL)
        if c.at != c.end:
            raise Unusual
        self._put_bytes(who.labels)
        self._put_size(size - start, BIN8, 0, -1)
        self._put(first + start, size - start)
        self._put_long(stamp)
        return who

    cdef Who _who(self, Cursor* c, bytes value):
        """Return whom a map of identifiers names; those whose values are concealed, or nobody, are not for us."""
        cdef const unsigned char* first = c.at
        cdef Who who
        _skip_identifiers(c)
        if c.at - first > self._longest_remembered:
            raise Unusual
        cdef bytes combination = PyBytes_FromStringAndSize(<const char*> first, c.at - first)
        cdef object known = self._known.get(combination, self)
        if known is self:
            event, end = read_event(value, self._start, self._limits)  # refused, as a whole, it is not remembered
            found = self._python.find(event)
            if end != PyBytes_GET_SIZE(value):
                raise Unusual
            known = None
            if found.identifiers and not found.concealed:
                who = Who()
                who.identifiers, who.labels = encode(found.identifiers), encode(found.labels)
                who.key, who.rejected = found.key, found.rejected
                known = who
            if len(self._known) >= self._most_remembered:
                self._known.clear()
            self._known[combination] = known
        if known is None:
            raise Unusual
        return <Who> known

    cdef int _copy_channel(self, Cursor* c, str channel) except -1:
        """Copy the channel's name, which must be the one that the topic is for."""
        cdef bytes expected = PyUnicode_AsUTF8String(channel)
        cdef int64_t size = _length(c, c.bounds.string_bytes)
        cdef const unsigned char* p = _take(c, size)
        if size != PyBytes_GET_SIZE(expected) or memcmp(p, PyBytes_AS_STRING(expected), size) != 0:
            raise Unusual
        if not 0 < PyUnicode_GET_LENGTH(channel) <= c.bounds.name_chars:
            raise Unusual
        return self._put_text(p, size)

    cdef int _copy_id(self, Cursor* c) except -1:
        """Copy an event's id."""
        cdef int64_t size = _length(c, c.bounds.string_bytes)
        cdef const unsigned char* p = _take(c, size)
        if not 0 < _characters(p, size) <= self._event_id_chars or p[0] == 0:
            raise Unusual
        return self._put_text(p, size)

    cdef int64_t _copy_text(self, Cursor* c, int64_t limit) except -1:
        """Copy a text; return how many characters it has."""
        cdef int64_t size = _length(c, limit)
        cdef const unsigned char* p = _take(c, size)
        cdef int64_t characters = _characters(p, size)
        self._put_text(p, size)
        return characters

    cdef int _copy_name(self, Cursor* c, int64_t limit, Names* names) except -1:
        cdef int64_t size = _length(c, limit)
        cdef const unsigned char* p = _take(c, size)
        _characters(p, size)
        _name(names, p, size)
        return self._put_text(p, size)

    cdef int _copy_scalar(self, Cursor* c, int branch) except -1:
        cdef double number
        if branch == STRING:
            self._copy_text(c, c.bounds.string_bytes)
        elif branch == DOUBLE:
            number = _float(c)
            if not isfinite(number):
                raise Unusual
            self._put_float(number)
        elif branch == LONG:
            self._put_long(_int64(c))
        elif branch == NULL_:
            self._put_byte(NIL)
        elif branch == BOOLEAN:
            self._copy_boolean(c)
        else:
            raise Unusual
        return 0

    cdef int _copy_boolean(self, Cursor* c) except -1:
        cdef int byte = _byte(c)
        if byte > 1:
            raise Unusual
        return self._put_byte(TRUE_ if byte else FALSE_)

    cdef int64_t _entries(self, Cursor* c, int64_t limit, bint named) except -1:
        """Read how many entries a map or a list has, and write that."""
        cdef int64_t count = _block(c, limit)
        if named:
            self._put_size(count, MAP16 - 1, FIXMAP, 15)
        else:
            self._put_size(count, ARRAY16 - 1, FIXARRAY, 15)
        return count

    cdef int _copy_properties(self, Cursor* c) except -1:
        cdef Names names
        cdef int64_t count = self._entries(c, c.bounds.properties, True), n
        cdef int branch
        names.count = 0
        for n in range(count):
            self._copy_name(c, c.bounds.name_chars, &names)
            branch = _byte(c)
            if branch == MAP:
                self._copy_object(c)
            elif branch == ARRAY:
                self._copy_array(c)
            else:
                self._copy_scalar(c, branch)
        return _ended(c, count)

    cdef int _copy_array(self, Cursor* c) except -1:
        cdef int64_t count = self._entries(c, c.bounds.items, False), n
        cdef int branch
        for n in range(count):
            branch = _byte(c)
            # An item's union has its map where a property's has its array.
            if branch == ARRAY:
                self._copy_object(c)
            else:
                self._copy_scalar(c, branch)
        return _ended(c, count)

    cdef int _copy_object(self, Cursor* c) except -1:
        cdef Names names
        cdef int64_t count = self._entries(c, c.bounds.items, True), n
        names.count = 0
        for n in range(count):
            self._copy_name(c, c.bounds.string_bytes, &names)
            self._copy_scalar(c, _byte(c))
        return _ended(c, count)

    cdef int _copy_context(self, Cursor* c) except -1:
        cdef Names names
        cdef int64_t count, n
        self._put_byte(CONTEXT)
        for n in range(2):  # locale and time zone
            if _present(c):
                self._copy_text(c, c.bounds.string_bytes)
            else:
                self._put_byte(NIL)
        if _present(c):
            self._copy_position(c)
        else:
            self._put_byte(NIL)
        if not _present(c):
            return self._put_byte(NIL)
        count = self._entries(c, c.bounds.items, True)
        names.count = 0
        for n in range(count):
            self._copy_name(c, c.bounds.string_bytes, &names)
            self._copy_boolean(c)
        return _ended(c, count)

    cdef int _copy_position(self, Cursor* c) except -1:
        cdef double latitude = _float(c), longitude = _float(c), accuracy
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise Unusual
        self._put_byte(POSITION)
        self._put_float(latitude)
        self._put_float(longitude)
        if not _present(c):
            return self._put_byte(NIL)
        accuracy = _float(c)
        if not 0 <= accuracy < INFINITY:
            raise Unusual
        return self._put_float(accuracy)

    cdef inline unsigned char* _room(self, Py_ssize_t size) except NULL:
        """Return where `size` more bytes can be written: as many as a record has, at most."""
        cdef unsigned char* data
        if size > self._space - self._size:
            data = <unsigned char*> PyMem_Realloc(self._data, 2 * (self._size + size))
            if data == NULL:
                raise MemoryError
            self._data, self._space = data, 2 * (self._size + size)
        return self._data + self._size

    cdef inline int _put_byte(self, int byte) except -1:
        self._room(1)[0] = <unsigned char> byte
        self._size += 1
        return 0

    cdef inline int _put(self, const void* p, Py_ssize_t size) except -1:
        memcpy(self._room(size), p, size)
        self._size += size
        return 0

    cdef inline int _put_big(self, int kind, uint64_t value, int size) except -1:
        """Write a byte, and a number in so many more, big-endian whatever the machine."""
        cdef unsigned char* p = self._room(9)
        cdef int n
        p[0] = <unsigned char> kind
        for n in range(size):
            p[size - n] = <unsigned char> (value >> (8 * n) & 0xFF)
        self._size += size + 1
        return 0

    cdef inline int _put_bytes(self, bytes written) except -1:
        return self._put(PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written))

    cdef inline int _put_size(self, uint64_t size, int kind, int short_kind, int shortest) except -1:
        """Write how long something is; `kind` is that of one byte, and those of two and four follow."""
        if <int64_t> size <= shortest:
            return self._put_byte(short_kind | <int> size)
        if size <= 0xFF and kind != MAP16 - 1 and kind != ARRAY16 - 1:  # maps and lists have none of one byte
            return self._put_big(kind, size, 1)
        if size <= 0xFFFF:
            return self._put_big(kind + 1, size, 2)
        return self._put_big(kind + 2, size, 4)

    cdef inline int _put_text(self, const unsigned char* p, Py_ssize_t size) except -1:
        self._put_size(size, STR8, FIXSTR, 31)
        return self._put(p, size)

    cdef inline int _put_long(self, int64_t value) except -1:
        cdef uint64_t bits = <uint64_t> value
        if value >= 0:
            if bits <= 0x7F:
                return self._put_byte(<int> bits)
            if bits <= 0xFF:
                return self._put_big(UINT8, bits, 1)
            if bits <= 0xFFFF:
                return self._put_big(UINT16, bits, 2)
            if bits <= 0xFFFFFFFF:
                return self._put_big(UINT32, bits, 4)
            return self._put_big(UINT64, bits, 8)
        if value >= -32:
            return self._put_byte(<int> (bits & 0xFF))
        if value >= -0x80:
            return self._put_big(INT8, bits, 1)
        if value >= -0x8000:
            return self._put_big(INT16, bits, 2)
        if value >= -<int64_t> 0x80000000:
            return self._put_big(INT32, bits, 4)
        return self._put_big(INT64, bits, 8)

    cdef inline int _put_float(self, double value) except -1:
        cdef uint64_t bits
        memcpy(&bits, &value, sizeof(bits))
        return self._put_big(FLOAT64, bits, 8)

    cdef int _put_source(self, str source, int64_t number) except -1:
        """Write a text, and a number in decimals behind it, as one text."""
        cdef bytes begun = PyUnicode_AsUTF8String(source)
        cdef unsigned char digits[20]
        cdef int n = 20
        while True:
            n -= 1
            digits[n] = <unsigned char> (48 + number % 10)
            number //= 10
            if number == 0:
                break
        self._put_size(PyBytes_GET_SIZE(begun) + 20 - n, STR8, FIXSTR, 31)
        self._put_bytes(begun)
        return self._put(digits + n, 20 - n)
