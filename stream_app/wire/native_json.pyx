# cython: language_level=3
"""Makes a `ChannelEvent` of a CloudEvent, and judges any event's limits, as `cloudevents` and `shape` do, natively.

It takes what is usual and right, and nothing else; all that is odd is left to the Python functions, which look at the
same value from its beginning and say what is wrong. Parsing the JSON itself is msgspec's, as there.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.unicode cimport PyUnicode_GET_LENGTH, PyUnicode_READ_CHAR
from libc.math cimport isfinite
from libc.stdint cimport int64_t

import msgspec

from stream_app.domain.event import ChannelEvent, Context
from stream_app.wire import cloudevents, json_text, shape, timestamps
from stream_app.wire.limits import YEAR_9000 as _YEAR_9000

cdef enum:
    MOST_BYTES = 2  # a character takes up to 1 << 2 bytes
    USUAL = 24  # characters of 2026-03-01T10:00:00.000Z
    ZERO = 48  # the character
    DEEPEST = 1000  # lists and objects in each other, before the Python way takes over

cdef int64_t YEAR_9000 = _YEAR_9000
cdef object _decode = msgspec.json.decode
cdef int[12] DAYS_BEFORE = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
cdef int[12] DAYS_OF = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


class Unusual(ValueError):
    """Not for this module."""


def structured_event(value, limits):
    """Make an event of a CloudEvent in the JSON format.

    Raises:
        Refused: it can't be taken.
    """
    try:
        document = _parsed(value, limits.json_depth)
        if type(document) is not dict or "data_base64" in <dict> document:
            raise Unusual
        return _event(<dict> document, (<dict> document).get("data"), limits)
    except (ValueError, OverflowError, RecursionError):
        return cloudevents.structured_event(value, limits)


def binary_event(attributes, value, limits):
    """Make an event of a CloudEvent in binary mode whose value is JSON.

    Raises:
        Refused: it can't be taken.
    """
    try:
        if type(attributes) is not dict:
            raise Unusual
        return _event(<dict> attributes, _parsed(value, limits.json_depth), limits)
    except (ValueError, OverflowError, RecursionError):
        return cloudevents.binary_event(attributes, value, limits)


def check_event(event, limits, timestamp):
    """Judge what every format shares: id, names, times, position.

    Raises:
        Refused: MISSING_FIELD, TOO_LARGE, TIME_OUT_OF_RANGE or INVALID_FIELD, naming the field.
    """
    try:
        if _is_usual(event, limits, timestamp):
            return
    except (OverflowError, TypeError):
        pass
    shape.check_event(event, limits, timestamp)


def parse_timestamp(text):
    """Return the milliseconds since the epoch of an RFC 3339 timestamp with any offset.

    Raises:
        ValueError: the text is no RFC 3339 timestamp.
    """
    if type(text) is str:
        try:
            return _milliseconds(text)
        except Unusual:
            pass
    return timestamps.parse_timestamp(text)


cdef object _parsed(object value, object depth):
    """Parse JSON that is right at a glance: few brackets, no backslash, and as many quotes as its texts have."""
    if type(value) is not bytes:
        raise Unusual
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(value)
    cdef Py_ssize_t brackets = 0, quotes = 0, backslashes = 0, n
    for n in range(PyBytes_GET_SIZE(value)):
        quotes += data[n] == c'"'
        brackets += data[n] == c"[" or data[n] == c"{"
        backslashes += data[n] == c"\\"
    if backslashes or (brackets > <Py_ssize_t> depth and json_text.deeper_than(value, depth)):
        raise Unusual
    document = _decode(value)
    if 2 * _texts_in(document, DEEPEST) != quotes:
        raise Unusual
    return document


cdef Py_ssize_t _texts_in(object value, int levels) except -1:
    """Count names and texts, down to so many levels."""
    cdef Py_ssize_t count = 0
    if type(value) is str:
        return 1
    if type(value) is dict:
        if levels == 0:
            raise Unusual
        count = len(<dict> value)
        for part in (<dict> value).values():
            count += _texts_in(part, levels - 1)
    elif type(value) is list:
        if levels == 0:
            raise Unusual
        for part in <list> value:
            count += _texts_in(part, levels - 1)
    return count


cdef object _event(dict attributes, object data, object limits):
    """Make an event of a CloudEvent's attributes and its data."""
    cdef Py_ssize_t short_text = limits.string_bytes >> MOST_BYTES
    if attributes.get("specversion") != "1.0":
        raise Unusual
    source = attributes.get("source")
    if type(source) is not str or not source or type(data) is not dict:
        raise Unusual
    event_id = _text(attributes.get("id"), short_text)
    type_ = _text(attributes.get("type"), short_text)
    if not event_id or not type_:
        raise Unusual
    time = attributes.get("time")
    sent_at, received_at = attributes.get("senttime"), attributes.get("receivedtime")
    channel = (<dict> data).get("channel")
    return ChannelEvent(
        event_id,
        _time(time),
        "" if channel is None else _text(channel, short_text),
        type_,
        _identifiers((<dict> data).get("identifiers"), short_text, limits),
        _properties((<dict> data).get("properties"), short_text, limits),
        None if sent_at is None else _time(sent_at),
        None if received_at is None else _time(received_at),
        _context((<dict> data).get("context"), short_text, limits),
    )


cdef inline object _text(object value, Py_ssize_t short_text):
    """Take a text that is within the limit whatever its characters are."""
    if type(value) is not str or PyUnicode_GET_LENGTH(value) > short_text:
        raise Unusual
    return value


cdef inline object _time(object value):
    if type(value) is not str:
        raise Unusual
    return _milliseconds(value)


cdef dict _identifiers(object raw, Py_ssize_t short_text, object limits):
    if type(raw) is not dict or len(<dict> raw) > limits.identifiers:
        raise Unusual
    cdef dict found = {}
    for namespace, value in (<dict> raw).items():
        _text(namespace, short_text)
        if type(value) is list:
            found[namespace] = _identifier_values(<list> value, short_text, limits)
        elif value is None or type(value) is str:
            found[namespace] = None if value is None else _text(value, short_text)
        elif _is_long(value):
            found[namespace] = value
        else:
            raise Unusual
    return found


cdef list _identifier_values(list values, Py_ssize_t short_text, object limits):
    if len(values) > limits.identifier_values:
        raise Unusual
    return [_text(value, short_text) for value in values]


cdef dict _properties(object raw, Py_ssize_t short_text, object limits):
    cdef dict found = {}
    cdef Py_ssize_t short_name = limits.name_chars >> MOST_BYTES
    cdef Py_ssize_t items = limits.items
    if raw is None:
        return found
    if type(raw) is not dict or len(<dict> raw) > limits.properties:
        raise Unusual
    for name, value in (<dict> raw).items():
        _text(name, short_name)
        if _is_plain(value, short_text):
            found[name] = value
        elif type(value) is dict:
            found[name] = _object(<dict> value, short_text, items)
        elif type(value) is list:
            if len(<list> value) > items:
                raise Unusual
            found[name] = [_item(item, short_text, items) for item in <list> value]
        else:
            raise Unusual
    return found


cdef object _item(object value, Py_ssize_t short_text, Py_ssize_t items):
    if type(value) is dict:
        return _object(<dict> value, short_text, items)
    if not _is_plain(value, short_text):
        raise Unusual
    return value


cdef dict _object(dict value, Py_ssize_t short_text, Py_ssize_t items):
    if len(value) > items:
        raise Unusual
    cdef dict found = {}
    for name, entry in value.items():
        _text(name, short_text)
        if not _is_plain(entry, short_text):
            raise Unusual
        found[name] = entry
    return found


cdef inline bint _is_plain(object value, Py_ssize_t short_text) except -1:
    """Say whether a value fits as it is: a short text, a finite number of 64 bits, true, false or null."""
    if type(value) is str:
        return PyUnicode_GET_LENGTH(value) <= short_text
    if type(value) is float:
        return isfinite(PyFloat_AS_DOUBLE(value))
    if value is None or value is True or value is False:
        return True
    return _is_long(value)


cdef inline bint _is_long(object value) except -1:
    """Say whether a value is an integer of 64 bits."""
    cdef int64_t number
    if type(value) is not int:
        return False
    try:
        number = value
    except OverflowError:
        return False
    return True


cdef object _context(object raw, Py_ssize_t short_text, object limits):
    """Make what surrounds an event, where it has no position and no consent."""
    if raw is None:
        return None
    if type(raw) is not dict:
        raise Unusual
    if (<dict> raw).get("position") is not None or (<dict> raw).get("consent") is not None:
        return shape._context(raw, limits)
    locale, timezone = (<dict> raw).get("locale"), (<dict> raw).get("timezone")
    return Context(
        None if locale is None else _text(locale, short_text),
        None if timezone is None else _text(timezone, short_text),
    )


cdef bint _is_usual(object event, object limits, object timestamp) except -1:
    """Say whether an event without a position is within all limits."""
    event_id, type_, channel = event.event_id, event.type, event.channel
    if not (type(event_id) is str and type(type_) is str and type(channel) is str):
        return False
    cdef Py_ssize_t most = limits.event_id_chars, most_of_name = limits.name_chars
    if not 0 < PyUnicode_GET_LENGTH(event_id) <= most or PyUnicode_READ_CHAR(event_id, 0) == 0:
        return False
    if not (0 < PyUnicode_GET_LENGTH(type_) <= most_of_name and 0 < PyUnicode_GET_LENGTH(channel) <= most_of_name):
        return False
    context = event.context
    if context is not None and context.position is not None:
        return False
    cdef int64_t earliest = limits.earliest, latest = YEAR_9000 - 1
    if timestamp is not None:
        latest = min(latest, <int64_t> (timestamp + limits.max_future))
    if not earliest <= <int64_t> event.time <= latest:
        return False
    sent_at, received_at = event.sent_at, event.received_at
    if sent_at is not None and not earliest <= <int64_t> sent_at <= latest:
        return False
    return received_at is None or earliest <= <int64_t> received_at <= latest


cdef inline int _digits(str text, Py_ssize_t start, Py_ssize_t stop) except -1:
    """Return the number that ASCII digits spell; the caller has seen that the text is that long."""
    cdef int number = 0
    cdef Py_ssize_t n
    cdef int digit
    for n in range(start, stop):
        digit = <int> PyUnicode_READ_CHAR(text, n) - ZERO
        if digit < 0 or digit > 9:
            raise Unusual
        number = number * 10 + digit
    return number


cdef object _milliseconds(str text):
    """Read a timestamp of the usual form, in UTC with milliseconds, that no leap second makes odd."""
    cdef int year, month, day, hour, minute, second, fraction
    cdef bint leap
    cdef int64_t days
    if PyUnicode_GET_LENGTH(text) != USUAL:
        raise Unusual
    if not (text[4] == "-" and text[7] == "-" and text[10] == "T" and text[13] == ":"):
        raise Unusual
    if not (text[16] == ":" and text[19] == "." and text[23] == "Z"):
        raise Unusual
    year, month, day = _digits(text, 0, 4), _digits(text, 5, 7), _digits(text, 8, 10)
    hour, minute, second = _digits(text, 11, 13), _digits(text, 14, 16), _digits(text, 17, 19)
    fraction = _digits(text, 20, 23)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if year < 1 or not 1 <= month <= 12 or hour > 23 or minute > 59 or second > 59:
        raise Unusual
    if not 1 <= day <= DAYS_OF[month - 1] + (leap and month == 2):
        raise Unusual
    days = (year - 1) * 365 + (year - 1) // 4 - (year - 1) // 100 + (year - 1) // 400 - 719162
    days += DAYS_BEFORE[month - 1] + (leap and month > 2) + day - 1
    return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + fraction
