# cython: language_level=3
"""Writes events and profiles as `avro_writer` and `profile_writer` do, natively: into one buffer that grows.

It writes what is usual, and nothing else: a value of any other type than the exact one that is expected, an integer
beyond 64 bits, half of a surrogate pair, a number that isn't finite are left to the Python writers, which write the
whole record anew or say what is wrong with it.

The buffer is written to in `_put_byte`, `_put_long`, `_put_float` and `_put_bytes` alone; each asks `_room` first.

Profiles are read by slots, each after a look at the type of what holds it. What is concluded from a profile is
concluded here where it was counted (an hour, a shop, a sum), and asked of the domain where the customer said it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsDouble
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.math cimport isfinite
from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.string cimport memcpy, memset

from stream_app.slots cimport is_a, is_text, is_whole, place_of, slot

from math import fsum

from stream_app.domain.local_time import UTC_NAME, ahead_all_day, hour_of_day
from stream_app.domain.profile import MICROS, Profile, conclude, customer_zone
from stream_app.domain.profile.carts import VALUE_DECIMALS, Cart, Line
from stream_app.domain.profile.consent import Answer, Said
from stream_app.domain.profile.orders import Money, Order, Orders, Return, refunded_of, state_of
from stream_app.domain.profile.preferences import Count
from stream_app.domain.profile.ratings import average
from stream_app.domain.profile.seen import QUARTER_MS, Device, Seen
from stream_app.domain.profile.values import Latest
from stream_app.domain.profile.viewed import Viewed
from stream_app.domain.profile.whereabouts import Fix, Whereabouts
from stream_app.wire import avro_writer, profile_writer

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    int PyUnicode_Compare(PyObject* one, PyObject* other)
    void* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:  # branches of a property's union, as their encoded byte; in a list an object is where its list would be
    NULL_ = 0
    BOOLEAN = 2
    LONG = 4
    DOUBLE = 6
    STRING = 8
    ARRAY = 10
    MAP = 12

cdef enum:  # branches of an identifier's union
    ID_NULL = 0
    ID_STRING = 2
    ID_LONG = 4
    ID_ARRAY = 6

cdef enum:
    END = 0
    ABSENT = 0
    PRESENT = 2
    LONGEST = 10  # bytes of a varint
    FIRST_ROOM = 1024
    HOURS = 24
    SEEN_HOURS = 64  # of more quarters than that, the domain says which hour it is

cdef int64_t EXACT = <int64_t> 1 << 53  # up to here a double is every integer
cdef int64_t _FAR = <int64_t> 1 << 40  # quarters of an hour: much further than there are local times
cdef int64_t HOUR_MS = 3_600_000
cdef int64_t DAY_MS = 24 * HOUR_MS
cdef int64_t _quarter_ms = QUARTER_MS
cdef int64_t _micros = MICROS

cdef Py_ssize_t PROFILE_EVENTS = place_of(Profile, "events")
cdef Py_ssize_t PROFILE_FIRST = place_of(Profile, "first")
cdef Py_ssize_t PROFILE_LAST = place_of(Profile, "last")
cdef Py_ssize_t PROFILE_SEEN = place_of(Profile, "seen")
cdef Py_ssize_t PROFILE_DEVICES = place_of(Profile, "devices")
cdef Py_ssize_t PROFILE_ACTIVE = place_of(Profile, "active")
cdef Py_ssize_t PROFILE_WHERE = place_of(Profile, "where")
cdef Py_ssize_t PROFILE_VIEWED = place_of(Profile, "viewed")
cdef Py_ssize_t PROFILE_CARTS = place_of(Profile, "carts")
cdef Py_ssize_t PROFILE_WISHES = place_of(Profile, "wishes")
cdef Py_ssize_t PROFILE_ORDERS = place_of(Profile, "orders")
cdef Py_ssize_t PROFILE_SERVICE = place_of(Profile, "service")
cdef Py_ssize_t PROFILE_SATISFACTION = place_of(Profile, "satisfaction")
cdef Py_ssize_t PROFILE_REVIEWS = place_of(Profile, "reviews")
cdef Py_ssize_t PROFILE_LOYALTY = place_of(Profile, "loyalty")
cdef Py_ssize_t PROFILE_TRAITS = place_of(Profile, "traits")
cdef Py_ssize_t PROFILE_CONSENT = place_of(Profile, "consent")
cdef Py_ssize_t PROFILE_HISTORY = place_of(Profile, "history")
cdef Py_ssize_t PROFILE_STORES = place_of(Profile, "stores")
cdef Py_ssize_t PROFILE_CATEGORIES = place_of(Profile, "categories")
cdef Py_ssize_t PROFILE_SIZES = place_of(Profile, "sizes")
cdef Py_ssize_t SEEN_FIRST = place_of(Seen, "first")
cdef Py_ssize_t SEEN_LAST = place_of(Seen, "last")
cdef Py_ssize_t SEEN_COUNT = place_of(Seen, "count")
cdef Py_ssize_t SEEN_ACTIVE = place_of(Seen, "active")
cdef Py_ssize_t DEVICE_FIRST = place_of(Device, "first")
cdef Py_ssize_t DEVICE_LAST = place_of(Device, "last")
cdef Py_ssize_t DEVICE_COUNT = place_of(Device, "count")
cdef Py_ssize_t WHEREABOUTS_LOCALE = place_of(Whereabouts, "locale")
cdef Py_ssize_t WHEREABOUTS_ZONE = place_of(Whereabouts, "zone")
cdef Py_ssize_t WHEREABOUTS_FIX = place_of(Whereabouts, "fix")
cdef Py_ssize_t LATEST_VALUE = place_of(Latest, "value")
cdef Py_ssize_t LATEST_TIME = place_of(Latest, "time")
cdef Py_ssize_t LATEST_EVENT_ID = place_of(Latest, "event_id")
cdef Py_ssize_t FIX_LATITUDE = place_of(Fix, "latitude")
cdef Py_ssize_t FIX_LONGITUDE = place_of(Fix, "longitude")
cdef Py_ssize_t FIX_ACCURACY_M = place_of(Fix, "accuracy_m")
cdef Py_ssize_t FIX_TIME = place_of(Fix, "time")
cdef Py_ssize_t FIX_EVENT_ID = place_of(Fix, "event_id")
cdef Py_ssize_t VIEWED_ITEM = place_of(Viewed, "item")
cdef Py_ssize_t VIEWED_TIME = place_of(Viewed, "time")
cdef Py_ssize_t CART_TOUCHED = place_of(Cart, "touched")
cdef Py_ssize_t CART_LINES = place_of(Cart, "lines")
cdef Py_ssize_t LINE_QUANTITY = place_of(Line, "quantity")
cdef Py_ssize_t LINE_PRICE = place_of(Line, "price")
cdef Py_ssize_t LINE_CURRENCY = place_of(Line, "currency")
cdef Py_ssize_t ORDERS_COUNT = place_of(Orders, "count")
cdef Py_ssize_t ORDERS_CANCELLED = place_of(Orders, "cancelled")
cdef Py_ssize_t ORDERS_RETURNS = place_of(Orders, "returns")
cdef Py_ssize_t ORDERS_MONEY = place_of(Orders, "money")
cdef Py_ssize_t ORDERS_RECENT = place_of(Orders, "recent")
cdef Py_ssize_t ORDERS_RETURNED = place_of(Orders, "returned")
cdef Py_ssize_t ORDERS_AGED = place_of(Orders, "aged")
cdef Py_ssize_t ORDER_ORDER_ID = place_of(Order, "order_id")
cdef Py_ssize_t ORDER_TIME = place_of(Order, "time")
cdef Py_ssize_t ORDER_CHANNEL = place_of(Order, "channel")
cdef Py_ssize_t ORDER_STORE = place_of(Order, "store")
cdef Py_ssize_t ORDER_PLACED = place_of(Order, "placed")
cdef Py_ssize_t ORDER_CANCELLED = place_of(Order, "cancelled")
cdef Py_ssize_t ORDER_AMOUNT = place_of(Order, "amount")
cdef Py_ssize_t ORDER_CURRENCY = place_of(Order, "currency")
cdef Py_ssize_t ORDER_REFUNDS = place_of(Order, "refunds")
cdef Py_ssize_t RETURN_ORDER_ID = place_of(Return, "order_id")
cdef Py_ssize_t RETURN_TIME = place_of(Return, "time")
cdef Py_ssize_t RETURN_CHANNEL = place_of(Return, "channel")
cdef Py_ssize_t RETURN_STORE = place_of(Return, "store")
cdef Py_ssize_t RETURN_AMOUNT = place_of(Return, "amount")
cdef Py_ssize_t RETURN_CURRENCY = place_of(Return, "currency")
cdef Py_ssize_t MONEY_ORDERS = place_of(Money, "orders")
cdef Py_ssize_t MONEY_REVENUE = place_of(Money, "revenue")
cdef Py_ssize_t MONEY_REFUNDED = place_of(Money, "refunded")
cdef Py_ssize_t COUNT_COUNT = place_of(Count, "count")
cdef Py_ssize_t COUNT_LAST = place_of(Count, "last")
cdef Py_ssize_t ANSWER_GRANTED = place_of(Answer, "granted")
cdef Py_ssize_t SAID_TIME = place_of(Said, "time")
cdef Py_ssize_t SAID_PURPOSE = place_of(Said, "purpose")
cdef Py_ssize_t SAID_CHANNEL = place_of(Said, "channel")
cdef Py_ssize_t SAID_GRANTED = place_of(Said, "granted")
cdef Py_ssize_t SAID_THROUGH = place_of(Said, "through")

cdef object _Profile = Profile
cdef object _Seen = Seen
cdef object _Device = Device
cdef object _Whereabouts = Whereabouts
cdef object _Latest = Latest
cdef object _Fix = Fix
cdef object _Viewed = Viewed
cdef object _Cart = Cart
cdef object _Line = Line
cdef object _Orders = Orders
cdef object _Order = Order
cdef object _Return = Return
cdef object _Money = Money
cdef object _Count = Count
cdef object _Answer = Answer
cdef object _Said = Said


class Unusual(Exception):
    """Not for this writer."""


cdef class Out:
    """What has been written."""

    cdef unsigned char* data
    cdef Py_ssize_t size
    cdef Py_ssize_t room

    def __cinit__(self):
        self.data = <unsigned char*> PyMem_Malloc(FIRST_ROOM)
        if self.data == NULL:
            raise MemoryError
        self.size, self.room = 0, FIRST_ROOM

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef bytes all(self):
        return PyBytes_FromStringAndSize(<char*> self.data, self.size)


def encode_payload(event):
    """Encode an event without any framing.

    Raises:
        ValueError: the event holds something that the schema can't.
    """
    cdef Out out = Out()
    try:
        _put_event(out, event)
    except Exception:
        return avro_writer.encode_payload(event)
    return out.all()


def encode_profile(customer_id, version, identifiers, profile, segments=()):
    """Encode a profile, without framing."""
    cdef Out out = Out()
    cdef list memberships = list(segments)  # once: it may be an iterator
    try:
        _put_profile(out, customer_id, version, identifiers, profile, memberships)
    except Exception:
        return profile_writer.encode_profile(customer_id, version, identifiers, profile, memberships)
    return out.all()


cdef int _grow(Out out, Py_ssize_t size) except -1:
    if size > PY_SSIZE_T_MAX // 4 - out.size:
        raise MemoryError
    cdef Py_ssize_t room = 2 * (out.size + size)
    cdef unsigned char* data = <unsigned char*> PyMem_Realloc(out.data, room)
    if data == NULL:
        raise MemoryError
    out.data, out.room = data, room
    return 0


cdef inline unsigned char* _room(Out out, Py_ssize_t size) except NULL:
    """Return where `size` more bytes (not negative) can be written."""
    if size > out.room - out.size:
        _grow(out, size)
    return out.data + out.size


cdef inline int _put_byte(Out out, int byte) except -1:
    _room(out, 1)[0] = <unsigned char> byte
    out.size += 1
    return 0


cdef inline int _put_bytes(Out out, const void* data, Py_ssize_t size) except -1:
    memcpy(_room(out, size), data, size)
    out.size += size
    return 0


cdef inline int _put_long(Out out, int64_t value) except -1:
    cdef unsigned char* p = _room(out, LONGEST)
    cdef uint64_t rest = (<uint64_t> value << 1) ^ <uint64_t> (value >> 63)
    cdef int n = 0
    while rest > 0x7F:
        p[n] = <unsigned char> (rest & 0x7F | 0x80)
        rest >>= 7
        n += 1
    p[n] = <unsigned char> rest
    out.size += n + 1
    return 0


cdef inline int _put_float(Out out, double value) except -1:
    """Write eight bytes, little-endian whatever the machine."""
    cdef unsigned char* p = _room(out, 8)
    cdef uint64_t bits
    cdef int n
    memcpy(&bits, &value, sizeof(bits))
    for n in range(8):
        p[n] = <unsigned char> (bits >> (8 * n) & 0xFF)
    out.size += 8
    return 0


cdef inline int _put_int(Out out, object value) except -1:
    """Write an integer; an OverflowError when it has more than 64 bits."""
    if type(value) is not int:
        raise Unusual
    cdef int64_t number = value
    return _put_long(out, number)


cdef inline int _put_number(Out out, object value) except -1:
    """Write a number as a double, infinite or not."""
    if type(value) is float:
        return _put_float(out, PyFloat_AS_DOUBLE(value))
    if type(value) is not int:
        raise Unusual
    return _put_float(out, PyLong_AsDouble(value))


cdef inline int _put_text(Out out, object text) except -1:
    cdef bytes encoded
    cdef Py_ssize_t size
    if type(text) is not str:
        raise Unusual
    if PyUnicode_IS_COMPACT_ASCII(text):
        size = PyUnicode_GET_LENGTH(text)
        _put_long(out, size)
        return _put_bytes(out, PyUnicode_1BYTE_DATA(text), size)
    encoded = PyUnicode_AsUTF8String(text)  # bytes of its own: the text would keep those that it is asked for
    size = PyBytes_GET_SIZE(encoded)
    _put_long(out, size)
    return _put_bytes(out, PyBytes_AS_STRING(encoded), size)


cdef inline int _put_boolean(Out out, object value) except -1:
    if value is not True and value is not False:
        raise Unusual
    return _put_byte(out, value is True)


cdef inline int _put_optional_text(Out out, object text) except -1:
    if text is None:
        return _put_byte(out, ABSENT)
    _put_byte(out, PRESENT)
    return _put_text(out, text)


cdef inline int _put_optional_int(Out out, object value) except -1:
    if value is None:
        return _put_byte(out, ABSENT)
    _put_byte(out, PRESENT)
    return _put_int(out, value)


cdef inline int _put_optional_number(Out out, object value) except -1:
    if value is None:
        return _put_byte(out, ABSENT)
    _put_byte(out, PRESENT)
    return _put_number(out, value)


cdef inline int _put_optional_micros(Out out, object value) except -1:
    return _put_optional_number(out, None if value is None else value / MICROS)


# Events


cdef int _put_event(Out out, object event) except -1:
    _put_text(out, event.event_id)
    _put_int(out, event.time)
    _put_text(out, event.channel)
    _put_text(out, event.type)
    _put_identifiers(out, event.identifiers)
    _put_map(out, event.properties, 2)
    _put_optional_int(out, event.sent_at)
    _put_optional_int(out, event.received_at)
    context = event.context
    if context is None:
        return _put_byte(out, ABSENT)
    return _put_context(out, context)


cdef int _put_identifiers(Out out, object identifiers) except -1:
    if type(identifiers) is not dict:
        raise Unusual
    if not identifiers:
        return _put_byte(out, END)
    _put_long(out, len(<dict> identifiers))
    for namespace, value in (<dict> identifiers).items():
        _put_text(out, namespace)
        if type(value) is str:
            _put_byte(out, ID_STRING)
            _put_text(out, value)
        elif value is None:
            _put_byte(out, ID_NULL)
        elif type(value) is list:
            _put_byte(out, ID_ARRAY)
            _put_texts(out, <list> value)
        else:
            _put_byte(out, ID_LONG)
            _put_int(out, value)
    return _put_byte(out, END)


cdef int _put_texts(Out out, list texts) except -1:
    if texts:
        _put_long(out, len(texts))
        for text in texts:
            _put_text(out, text)
    return _put_byte(out, END)


cdef int _put_map(Out out, object entries, int nesting) except -1:
    """Write a map of property values; `nesting` is how many levels of lists and objects may follow, so it is bounded."""
    if type(entries) is not dict:
        raise Unusual
    if entries:
        _put_long(out, len(<dict> entries))
        for name, value in (<dict> entries).items():
            _put_text(out, name)
            _put_value(out, value, nesting)
    return _put_byte(out, END)


cdef int _put_value(Out out, object value, int nesting) except -1:
    """Write a value and its branch; at nesting 2 it may be a list or an object, at 1 an object."""
    if type(value) is str:
        _put_byte(out, STRING)
        return _put_text(out, value)
    if type(value) is float:
        if not isfinite(PyFloat_AS_DOUBLE(value)):
            raise Unusual
        _put_byte(out, DOUBLE)
        return _put_float(out, PyFloat_AS_DOUBLE(value))
    if type(value) is int:
        _put_byte(out, LONG)
        return _put_int(out, value)
    if value is None:
        return _put_byte(out, NULL_)
    if value is True or value is False:
        _put_byte(out, BOOLEAN)
        return _put_byte(out, value is True)
    if type(value) is dict and nesting > 0:
        _put_byte(out, MAP if nesting == 2 else ARRAY)
        return _put_map(out, value, 0)
    if type(value) is not list or nesting != 2:
        raise Unusual
    _put_byte(out, ARRAY)
    if <list> value:
        _put_long(out, len(<list> value))
        for item in <list> value:
            _put_value(out, item, 1)
    return _put_byte(out, END)


cdef int _put_context(Out out, object context) except -1:
    _put_byte(out, PRESENT)
    _put_optional_text(out, context.locale)
    _put_optional_text(out, context.timezone)
    position = context.position
    if position is None:
        _put_byte(out, ABSENT)
    else:
        _put_byte(out, PRESENT)
        _put_number(out, position.latitude)
        _put_number(out, position.longitude)
        _put_optional_number(out, position.accuracy_m)
    consent = context.consent
    if consent is None:
        return _put_byte(out, ABSENT)
    if type(consent) is not dict:
        raise Unusual
    _put_byte(out, PRESENT)
    if consent:
        _put_long(out, len(<dict> consent))
        for purpose, yes in (<dict> consent).items():
            _put_text(out, purpose)
            _put_boolean(out, yes)
    return _put_byte(out, END)


# Profiles: in the order of schemas/avro/customer_profile.avsc, as `profile_writer` says


cdef inline PyObject* _a(PyObject* one, object struct) except NULL:
    """Return something that is of just this type."""
    if not is_a(one, struct):
        raise Unusual
    return one


cdef inline object _held(PyObject* one, Py_ssize_t place):
    """Return what an object holds there."""
    cdef PyObject* value = slot(one, place)
    if value == NULL:
        raise Unusual
    return <object> value


cdef inline int64_t _whole(PyObject* one, Py_ssize_t place) except? -1:
    """Return the integer that an object holds there."""
    cdef int64_t value
    if not is_whole(slot(one, place), &value):
        raise Unusual
    return value


cdef inline PyObject* _map(PyObject* one, Py_ssize_t place) except NULL:
    """Return the map that an object holds there."""
    return _a(slot(one, place), dict)


cdef inline PyObject* _list(PyObject* one, Py_ssize_t place) except NULL:
    """Return the list that an object holds there."""
    return _a(slot(one, place), list)


cdef int _put_profile(
    Out out, object customer_id, object version, object identifiers, object profile, list segments
) except -1:
    cdef PyObject* row = _a(<PyObject*> profile, _Profile)
    cdef PyObject* where = _a(slot(row, PROFILE_WHERE), _Whereabouts)
    cdef PyObject* orders = _a(slot(row, PROFILE_ORDERS), _Orders)
    first, last, locale = _held(row, PROFILE_FIRST), _held(row, PROFILE_LAST), _held(where, WHEREABOUTS_LOCALE)
    zone = _zone(profile, where)
    cdef dict money = _earned(orders)
    _put_text(out, customer_id)
    _put_int(out, version)
    _put_texts(out, list(identifiers))
    _put_int(out, first[0] if first else 0)
    _put_int(out, last[0] if last else 0)
    _put_int(out, _held(row, PROFILE_EVENTS))
    _put_activities(out, _map(row, PROFILE_SEEN), _Seen, SEEN_FIRST, SEEN_LAST, SEEN_COUNT)
    _put_int(out, _held(orders, ORDERS_COUNT))
    _put_money(out, money, MONEY_REVENUE, -1)
    if money:
        _put_ordered(out, orders, latest=True)
    else:
        _put_byte(out, ABSENT)
    _put_carts(out, _map(row, PROFILE_CARTS))
    _put_viewed(out, _list(row, PROFILE_VIEWED))
    _put_traits(out, _map(row, PROFILE_TRAITS))
    _put_consent(out, _map(row, PROFILE_CONSENT))
    if locale is None:
        _put_byte(out, ABSENT)
    else:
        value = _held(_a(<PyObject*> locale, _Latest), LATEST_VALUE)
        _put_optional_text(out, value if type(value) is str else str(value))
    _put_optional_text(out, zone)
    if not money and _are_none(orders):
        _put_bytes(out, PyBytes_AS_STRING(_no_orders), PyBytes_GET_SIZE(_no_orders))
    else:
        _put_orders(out, orders, money)
    _put_wishes(out, _held(row, PROFILE_WISHES))
    _put_activities(out, _map(row, PROFILE_DEVICES), _Device, DEVICE_FIRST, DEVICE_LAST, DEVICE_COUNT)
    _put_service(out, _held(row, PROFILE_SERVICE))
    _put_ratings(out, _held(row, PROFILE_SATISFACTION))
    _put_ratings(out, _held(row, PROFILE_REVIEWS))
    _put_conclusions(out, profile, zone)
    _put_position(out, _held(where, WHEREABOUTS_FIX))
    _put_history(out, _list(row, PROFILE_HISTORY))
    return _put_texts(out, sorted(segments))


cdef object _zone(object profile, PyObject* where):
    """Return the customer's zone, as `conclude.customer_zone` does."""
    cdef PyObject* zone = slot(where, WHEREABOUTS_ZONE)
    cdef PyObject* fix = slot(where, WHEREABOUTS_FIX)
    cdef int64_t time, fixed
    if fix == <PyObject*> None:
        if zone == <PyObject*> None:
            return None
    elif not (
        is_a(zone, _Latest)
        and is_a(fix, _Fix)
        and is_whole(slot(zone, LATEST_TIME), &time)
        and is_whole(slot(fix, FIX_TIME), &fixed)
        and is_text(slot(zone, LATEST_EVENT_ID))
        and is_text(slot(fix, FIX_EVENT_ID))
        and (
            fixed < time
            or (fixed == time and PyUnicode_Compare(slot(fix, FIX_EVENT_ID), slot(zone, LATEST_EVENT_ID)) <= 0)
        )
    ):
        return customer_zone(profile)
    value = _held(_a(zone, _Latest), LATEST_VALUE)
    return value if type(value) is str else str(value)


cdef dict _earned(PyObject* orders):
    """Return the money, without currencies in which there is none, as `Orders.earned` does."""
    cdef PyObject* money = _map(orders, ORDERS_MONEY)
    cdef dict found = {}
    cdef PyObject* one
    for code, amounts in (<dict> money).items():
        one = _a(<PyObject*> amounts, _Money)
        if _whole(one, MONEY_ORDERS) or _whole(one, MONEY_REVENUE) or _whole(one, MONEY_REFUNDED):
            found[code] = amounts
    return found


cdef bint _are_none(PyObject* orders) except -1:
    """Return whether nothing is said of any order."""
    return (
        _whole(orders, ORDERS_COUNT) == 0
        and _whole(orders, ORDERS_CANCELLED) == 0
        and _whole(orders, ORDERS_RETURNS) == 0
        and len(<dict> _map(orders, ORDERS_MONEY)) == 0
        and PyList_GET_SIZE(<object> _list(orders, ORDERS_RECENT)) == 0
        and PyList_GET_SIZE(<object> _list(orders, ORDERS_RETURNED)) == 0
        and slot(orders, ORDERS_AGED) == <PyObject*> None
    )


cdef int _put_ordered(Out out, PyObject* orders, bint latest) except -1:
    """Write when the first or the latest order was, as `Orders.first` and `Orders.last` say."""
    cdef PyObject* recent = _list(orders, ORDERS_RECENT)
    cdef PyObject* one
    cdef int64_t time, found = 0
    cdef bint any_ = False
    cdef Py_ssize_t n
    for n in range(PyList_GET_SIZE(<object> recent)):
        one = _a(PyList_GET_ITEM(<object> recent, n), _Order)
        if _is_true(one, ORDER_PLACED) and not _is_true(one, ORDER_CANCELLED):
            time = _whole(one, ORDER_TIME)
            if not any_ or (time > found if latest else time < found):
                found, any_ = time, True
    aged = _held(orders, ORDERS_AGED)
    if aged is not None:
        if type(aged) is not tuple or len(<tuple> aged) != 2 or type(aged[latest]) is not int:
            raise Unusual
        time = aged[latest]
        if not any_ or (time > found if latest else time < found):
            found, any_ = time, True
    if not any_:
        return _put_byte(out, ABSENT)
    _put_byte(out, PRESENT)
    return _put_long(out, found)


cdef inline bint _is_true(PyObject* one, Py_ssize_t place) except -1:
    value = _held(one, place)
    if value is not True and value is not False:
        raise Unusual
    return value is True


cdef inline list _names(object entries):
    """Return a map's names in order."""
    if type(entries) is not dict:
        raise Unusual
    return sorted(<dict> entries) if len(<dict> entries) > 1 else list(<dict> entries)


cdef int _put_activities(
    Out out, PyObject* visits, object struct, Py_ssize_t first, Py_ssize_t last, Py_ssize_t count
) except -1:
    cdef list names = _names(<object> visits)
    cdef PyObject* one
    if names:
        _put_long(out, len(names))
        for name in names:
            one = _a(PyDict_GetItemWithError(<object> visits, name), struct)
            _put_text(out, name)
            _put_int(out, _held(one, first))
            _put_int(out, _held(one, last))
            _put_int(out, _held(one, count))
    return _put_byte(out, END)


cdef inline int _put_amount(Out out, int64_t micros) except -1:
    """Write millionths as what they are worth: of what a double can't hold, the quotient of integers is rounded once."""
    if -EXACT < micros < EXACT:
        return _put_float(out, <double> micros / <double> _micros)
    return _put_number(out, (<object> micros) / MICROS)


cdef int _put_money(Out out, dict money, Py_ssize_t amount, Py_ssize_t less) except -1:
    """Write an amount by currency, less another one (-1: none)."""
    cdef list codes = _names(money)
    cdef PyObject* one
    if codes:
        _put_long(out, len(codes))
        for code in codes:
            one = PyDict_GetItemWithError(money, code)
            _put_text(out, code)
            _put_amount(out, _net(one, amount, less))
    return _put_byte(out, END)


cdef inline int64_t _net(PyObject* money, Py_ssize_t amount, Py_ssize_t less) except? -1:
    return _whole(money, amount) - (0 if less < 0 else _whole(money, less))  # each is within 63 bits


cdef int _put_carts(Out out, PyObject* carts) except -1:
    cdef list names = _names(<object> carts)
    if names:
        _put_long(out, len(names))
        for name in names:
            _put_text(out, name)
            _put_cart(out, _a(PyDict_GetItemWithError(<object> carts, name), _Cart))
    return _put_byte(out, END)


cdef int _put_cart(Out out, PyObject* cart) except -1:
    cdef PyObject* lines = _map(cart, CART_LINES)
    cdef list items = _names(<object> lines), known = []
    cdef PyObject* line
    currency, several = None, False
    touched = _held(cart, CART_TOUCHED)
    if items:
        _put_long(out, len(items))
        for item in items:
            line = _a(PyDict_GetItemWithError(<object> lines, item), _Line)
            quantity, price, code = _held(line, LINE_QUANTITY), _held(line, LINE_PRICE), _held(line, LINE_CURRENCY)
            _put_text(out, item)
            _put_number(out, quantity)
            _put_optional_number(out, price)
            if price is not None:
                known.append(quantity * price)
            if code is not None and type(code) is not str:
                raise Unusual
            if item is items[0]:
                currency = code
            elif code != currency:
                several = True
    _put_byte(out, END)
    _put_number(out, round(fsum(known), VALUE_DECIMALS))  # a sum that doesn't depend on the lines' order
    _put_optional_text(out, None if several else currency)
    return _put_int(out, touched[0])


cdef int _put_viewed(Out out, PyObject* viewed) except -1:
    cdef Py_ssize_t n = PyList_GET_SIZE(<object> viewed)
    cdef PyObject* view
    if n:
        _put_long(out, n)
        while n:
            n -= 1
            view = _a(PyList_GET_ITEM(<object> viewed, n), _Viewed)
            _put_text(out, _held(view, VIEWED_ITEM))
            _put_int(out, _held(view, VIEWED_TIME))
    return _put_byte(out, END)


cdef int _put_traits(Out out, PyObject* traits) except -1:
    cdef list names = _names(<object> traits), known = []
    for name in names:
        value = _held(_a(PyDict_GetItemWithError(<object> traits, name), _Latest), LATEST_VALUE)
        if value is not None:
            known.append((name, value))
    if known:
        _put_long(out, len(known))
        for name, value in known:
            _put_text(out, name)
            _put_value(out, value, 0)
    return _put_byte(out, END)


cdef int _put_consent(Out out, PyObject* consent) except -1:
    cdef list names = _names(<object> consent)
    if names:
        _put_long(out, len(names))
        for name in names:
            _put_text(out, name)
            _put_boolean(out, _held(_a(PyDict_GetItemWithError(<object> consent, name), _Answer), ANSWER_GRANTED))
    return _put_byte(out, END)


cdef int _put_orders(Out out, PyObject* orders, dict money) except -1:
    cdef PyObject* recent = _list(orders, ORDERS_RECENT)
    cdef PyObject* returned = _list(orders, ORDERS_RETURNED)
    cdef Py_ssize_t n
    cdef int64_t placed = 0
    currency = _main_currency(money)
    _put_ordered(out, orders, latest=False)
    _put_int(out, _held(orders, ORDERS_CANCELLED))
    _put_int(out, _held(orders, ORDERS_RETURNS))
    _put_money(out, money, MONEY_REFUNDED, -1)
    _put_money(out, money, MONEY_REVENUE, MONEY_REFUNDED)
    _put_optional_text(out, currency)
    if currency is None:
        _put_float(out, 0)
    else:
        _put_amount(out, _net(PyDict_GetItemWithError(money, currency), MONEY_REVENUE, MONEY_REFUNDED))
    for n in range(PyList_GET_SIZE(<object> recent)):
        placed += _is_true(_a(PyList_GET_ITEM(<object> recent, n), _Order), ORDER_PLACED)
    if placed:
        _put_long(out, placed)
        for order in reversed(<list> recent):
            if _is_true(_a(<PyObject*> order, _Order), ORDER_PLACED):
                _put_order(out, order)
    _put_byte(out, END)
    if PyList_GET_SIZE(<object> returned):
        _put_long(out, PyList_GET_SIZE(<object> returned))
        for one in reversed(<list> returned):
            _put_return(out, one)
    return _put_byte(out, END)


cdef object _main_currency(dict money):
    """Return the currency of most orders, of equals the first by name, as `orders.main_currency` does."""
    best = None
    cdef int64_t orders, most = 0
    for code, one in money.items():
        orders = _whole(<PyObject*> one, MONEY_ORDERS)
        if best is None or orders > most or (orders == most and code < best):
            best, most = code, orders
    return best


cdef int _put_order(Out out, object order) except -1:
    cdef PyObject* one = <PyObject*> order
    _put_optional_text(out, _held(one, ORDER_ORDER_ID) or None)
    _put_int(out, _held(one, ORDER_TIME))
    _put_text(out, _held(one, ORDER_CHANNEL))
    _put_optional_text(out, _held(one, ORDER_STORE))
    _put_optional_micros(out, _held(one, ORDER_AMOUNT))
    _put_optional_text(out, _held(one, ORDER_CURRENCY))
    if len(<dict> _map(one, ORDER_REFUNDS)) == 0 and not _is_true(one, ORDER_CANCELLED):
        _put_float(out, 0)
        return _put_bytes(out, PyBytes_AS_STRING(_completed), PyBytes_GET_SIZE(_completed))
    _put_number(out, refunded_of(order) / MICROS)
    return _put_text(out, state_of(order))


cdef int _put_return(Out out, object returned) except -1:
    cdef PyObject* one = _a(<PyObject*> returned, _Return)
    _put_optional_text(out, _held(one, RETURN_ORDER_ID) or None)
    _put_int(out, _held(one, RETURN_TIME))
    _put_text(out, _held(one, RETURN_CHANNEL))
    _put_optional_text(out, _held(one, RETURN_STORE))
    _put_optional_micros(out, _held(one, RETURN_AMOUNT))
    return _put_optional_text(out, _held(one, RETURN_CURRENCY))


cdef int _put_wishes(Out out, object wishes) except -1:
    if wishes:
        _put_long(out, len(wishes))
        for wish in reversed(wishes):
            _put_text(out, wish.item)
            _put_optional_text(out, wish.wishlist or None)
            _put_int(out, wish.time)
            _put_optional_micros(out, wish.price)
            _put_optional_text(out, wish.currency)
    return _put_byte(out, END)


cdef int _put_service(Out out, object service) except -1:
    if not service.requests:  # as there: whatever else it may say
        _put_byte(out, 0)
        _put_byte(out, 0)
        return _put_byte(out, END)
    _put_int(out, service.requests)
    _put_int(out, service.complaints)
    cases = service.cases
    if cases:
        _put_long(out, len(cases))
        for case in reversed(cases):
            _put_optional_text(out, case.case or None)
            _put_text(out, case.kind)
            _put_text(out, case.channel)
            _put_int(out, case.opened)
            _put_optional_int(out, case.closed)
    return _put_byte(out, END)


cdef int _put_ratings(Out out, object ratings) except -1:
    if ratings is None:
        return _put_byte(out, ABSENT)
    last = ratings.latest
    _put_byte(out, PRESENT)
    _put_int(out, ratings.count)
    _put_number(out, average(ratings))
    _put_number(out, last.value)
    return _put_int(out, last.time)


cdef int _put_conclusions(Out out, object profile, object zone) except -1:
    """Write what `conclude` says, asked where the customer or CRM said something of it."""
    cdef PyObject* row = <PyObject*> profile
    cdef PyObject* traits = _map(row, PROFILE_TRAITS)
    loyalty = _held(row, PROFILE_LOYALTY)
    if loyalty is None and not _said(traits, "loyalty_tier") and not _said(traits, "loyalty_points"):
        _put_byte(out, ABSENT)
        _put_byte(out, ABSENT)
        _put_byte(out, ABSENT)
    else:
        _put_optional_text(out, conclude.loyalty_tier(profile))
        _put_optional_number(out, conclude.loyalty_points(profile))
        _put_optional_int(out, None if loyalty is None else loyalty.joined)
    _put_optional_text(
        out,
        conclude.preferred_channel(profile)
        if _said(traits, "preferred_channel")
        else _most(_map(row, PROFILE_SEEN), _Seen, SEEN_ACTIVE, SEEN_LAST, 1),
    )
    _put_optional_text(
        out,
        conclude.preferred_store(profile)
        if _said(traits, "preferred_store")
        else _most(_map(row, PROFILE_STORES), _Count, COUNT_COUNT, COUNT_LAST, INT64_MIN),
    )
    _put_optional_text(
        out,
        conclude.preferred_category(profile)
        if _said(traits, "preferred_category")
        else _most(_map(row, PROFILE_CATEGORIES), _Count, COUNT_COUNT, COUNT_LAST, INT64_MIN),
    )
    _put_optional_text(
        out,
        conclude.preferred_size(profile)
        if _said(traits, "preferred_size") or _said(traits, "size")
        else _most(_map(row, PROFILE_SIZES), _Count, COUNT_COUNT, COUNT_LAST, INT64_MIN),
    )
    cdef PyObject* active = _list(row, PROFILE_ACTIVE)
    if _said(traits, "preferred_hour") or PyList_GET_SIZE(<object> active) > SEEN_HOURS:
        return _put_optional_int(out, conclude.preferred_hour(profile, zone))
    if PyList_GET_SIZE(<object> active) == 0:
        return _put_byte(out, ABSENT)
    _put_byte(out, PRESENT)
    return _put_long(out, _hour_of_most(active, zone or UTC_NAME))


cdef inline bint _said(PyObject* traits, str name) except -1:
    return PyDict_GetItemWithError(<object> traits, name) != NULL


cdef object _most(PyObject* tally, object struct, Py_ssize_t count, Py_ssize_t last, int64_t least):
    """Return the most frequent name (`least` times or more), of equals the one met last, then the last by name."""
    cdef PyObject* one
    cdef int64_t often, when, most_often = 0, latest = 0
    best = None
    for name, entry in (<dict> tally).items():
        if type(name) is not str:
            raise Unusual
        one = _a(<PyObject*> entry, struct)
        often, when = _whole(one, count), _whole(one, last)
        if often >= least and (
            best is None
            or often > most_often
            or (often == most_often and (when > latest or (when == latest and name > best)))
        ):
            best, most_often, latest = name, often, when
    return best


cdef int64_t _hour_of_most(PyObject* active, str zone) except -1:
    """Return the local hour of most quarters, of equals that of the latest, as `preferences.hour_of_most` does."""
    cdef Py_ssize_t n = PyList_GET_SIZE(<object> active)
    cdef int[HOURS] often
    cdef int[SEEN_HOURS] hours
    cdef int64_t quarter, ms, day, known = 0
    cdef int hour = -1, best
    cdef Py_ssize_t k, first = n - 1 if n <= 2 else 0  # of one or two, the latest is the one
    cdef bint changes = False
    ahead = None
    cdef int64_t milliseconds = 0
    memset(often, 0, sizeof(often))
    memset(hours, 0, sizeof(hours))
    for k in range(first, n):
        if not is_whole(PyList_GET_ITEM(<object> active, k), &quarter) or not -_FAR < quarter < _FAR:
            raise Unusual
        ms = quarter * _quarter_ms
        day = ms // DAY_MS
        if k == first or day != known:
            ahead = ahead_all_day(day, zone)
            known = day
            if ahead is not None:
                milliseconds = ahead
        hour = hour_of_day(ms, zone) if ahead is None else ((ms + milliseconds) // HOUR_MS) % HOURS
        hours[k] = hour
        often[hour] += 1
    best = hours[n - 1]
    for k in range(n - 1, first - 1, -1):
        if often[hours[k]] > often[best]:
            best = hours[k]
    return best


cdef int _put_position(Out out, object fix) except -1:
    if fix is None:
        return _put_byte(out, ABSENT)
    cdef PyObject* one = _a(<PyObject*> fix, _Fix)
    _put_byte(out, PRESENT)
    _put_number(out, _held(one, FIX_LATITUDE))
    _put_number(out, _held(one, FIX_LONGITUDE))
    _put_optional_number(out, _held(one, FIX_ACCURACY_M))
    return _put_int(out, _held(one, FIX_TIME))


cdef int _put_history(Out out, PyObject* history) except -1:
    cdef Py_ssize_t n = PyList_GET_SIZE(<object> history)
    cdef PyObject* said
    if n:
        _put_long(out, n)
        while n:
            n -= 1
            said = _a(PyList_GET_ITEM(<object> history, n), _Said)
            _put_optional_text(out, _held(said, SAID_PURPOSE))
            _put_optional_text(out, _held(said, SAID_CHANNEL))
            _put_boolean(out, _held(said, SAID_GRANTED))
            _put_int(out, _held(said, SAID_TIME))
            _put_text(out, _held(said, SAID_THROUGH))
    return _put_byte(out, END)


cdef bytes _no_orders_of():
    cdef Out out = Out()
    cdef object none = Orders()
    _put_orders(out, <PyObject*> none, {})
    return out.all()


cdef bytes _text_of(str text):
    cdef Out out = Out()
    _put_text(out, text)
    return out.all()


cdef bytes _no_orders = _no_orders_of()
cdef bytes _completed = _text_of(state_of(Order("", 0, "")))
