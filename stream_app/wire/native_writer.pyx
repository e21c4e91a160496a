# cython: language_level=3
"""Writes events and profiles as `avro_writer` and `profile_writer` do, natively: into one buffer that grows.

It writes what is usual, and nothing else: a value of any other type than the exact one that is expected, an integer
beyond 64 bits, half of a surrogate pair, a number that isn't finite are left to the Python writers, which write the
whole record anew or say what is wrong with it.

The buffer is written to in `_put_byte`, `_put_long`, `_put_float` and `_put_bytes` alone; each asks `_room` first. What is
concluded from a profile (zone, preferences, a basket's value) is asked of the domain, as there.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.long cimport PyLong_AsDouble
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from stream_app.domain.profile import MICROS, conclude, customer_zone
from stream_app.domain.profile.carts import currency_of, value_of
from stream_app.domain.profile.orders import Orders, main_currency, refunded_of, state_of
from stream_app.domain.profile.ratings import average
from stream_app.wire import avro_writer, profile_writer

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
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


cdef int _put_profile(
    Out out, object customer_id, object version, object identifiers, object profile, list segments
) except -1:
    first, last, where, orders = profile.first, profile.last, profile.where, profile.orders
    zone = customer_zone(profile)
    cdef dict money = orders.earned
    _put_text(out, customer_id)
    _put_int(out, version)
    _put_texts(out, list(identifiers))
    _put_int(out, first[0] if first else 0)
    _put_int(out, last[0] if last else 0)
    _put_int(out, profile.events)
    _put_activities(out, profile.seen)
    _put_int(out, orders.count)
    _put_money(out, {code: one.revenue for code, one in money.items()})
    _put_optional_int(out, orders.last if money else None)
    _put_carts(out, profile.carts)
    _put_viewed(out, profile.viewed)
    _put_traits(out, profile.traits)
    _put_consent(out, profile.consent)
    locale = where.locale
    _put_optional_text(out, None if locale is None else str(locale.value))
    _put_optional_text(out, zone)
    if orders == _NO_ORDERS:
        _put_bytes(out, PyBytes_AS_STRING(_no_orders), PyBytes_GET_SIZE(_no_orders))
    else:
        _put_orders(out, orders, money)
    _put_wishes(out, profile.wishes)
    _put_activities(out, profile.devices)
    _put_service(out, profile.service)
    _put_ratings(out, profile.satisfaction)
    _put_ratings(out, profile.reviews)
    _put_conclusions(out, profile, zone)
    _put_position(out, where.fix)
    _put_history(out, profile.history)
    return _put_texts(out, sorted(segments))


cdef inline list _names(object entries):
    """Return a map's names in order."""
    if type(entries) is not dict:
        raise Unusual
    return sorted(<dict> entries) if len(<dict> entries) > 1 else list(<dict> entries)


cdef int _put_activities(Out out, object visits) except -1:
    cdef list names = _names(visits)
    if names:
        _put_long(out, len(names))
        for name in names:
            one = (<dict> visits)[name]
            _put_text(out, name)
            _put_int(out, one.first)
            _put_int(out, one.last)
            _put_int(out, one.count)
    return _put_byte(out, END)


cdef int _put_money(Out out, object amounts) except -1:
    cdef list codes = _names(amounts)
    if codes:
        _put_long(out, len(codes))
        for code in codes:
            _put_text(out, code)
            _put_number(out, (<dict> amounts)[code] / MICROS)
    return _put_byte(out, END)


cdef int _put_carts(Out out, object carts) except -1:
    cdef list names = _names(carts)
    if names:
        _put_long(out, len(names))
        for name in names:
            _put_text(out, name)
            _put_cart(out, (<dict> carts)[name])
    return _put_byte(out, END)


cdef int _put_cart(Out out, object cart) except -1:
    lines = cart.lines
    cdef list items = _names(lines)
    if items:
        _put_long(out, len(items))
        for item in items:
            line = (<dict> lines)[item]
            _put_text(out, item)
            _put_number(out, line.quantity)
            _put_optional_number(out, line.price)
    _put_byte(out, END)
    _put_number(out, value_of(cart))
    _put_optional_text(out, currency_of(cart))
    return _put_int(out, cart.touched[0])


cdef int _put_viewed(Out out, object viewed) except -1:
    if viewed:
        _put_long(out, len(viewed))
        for view in reversed(viewed):
            _put_text(out, view.item)
            _put_int(out, view.time)
    return _put_byte(out, END)


cdef int _put_traits(Out out, object traits) except -1:
    cdef list known = [name for name in _names(traits) if traits[name].value is not None]
    if known:
        _put_long(out, len(known))
        for name in known:
            _put_text(out, name)
            _put_value(out, traits[name].value, 0)
    return _put_byte(out, END)


cdef int _put_consent(Out out, object consent) except -1:
    cdef list names = _names(consent)
    if names:
        _put_long(out, len(names))
        for name in names:
            _put_text(out, name)
            _put_boolean(out, (<dict> consent)[name].granted)
    return _put_byte(out, END)


cdef int _put_orders(Out out, object orders, dict money) except -1:
    cdef dict net = {code: one.revenue - one.refunded for code, one in money.items()}
    currency = main_currency(money)
    _put_optional_int(out, orders.first)
    _put_int(out, orders.cancelled)
    _put_int(out, orders.returns)
    _put_money(out, {code: one.refunded for code, one in money.items()})
    _put_money(out, net)
    _put_optional_text(out, currency)
    _put_number(out, 0 if currency is None else net[currency] / MICROS)
    cdef list placed = [order for order in reversed(orders.recent) if order.placed]
    if placed:
        _put_long(out, len(placed))
        for order in placed:
            _put_order(out, order)
    _put_byte(out, END)
    if orders.returned:
        _put_long(out, len(orders.returned))
        for one in reversed(orders.returned):
            _put_return(out, one)
    return _put_byte(out, END)


cdef int _put_order(Out out, object order) except -1:
    _put_return(out, order)
    _put_number(out, refunded_of(order) / MICROS)
    return _put_text(out, state_of(order))


cdef int _put_return(Out out, object one) except -1:
    """Write what an order begins with, and a return is."""
    _put_optional_text(out, one.order_id or None)
    _put_int(out, one.time)
    _put_text(out, one.channel)
    _put_optional_text(out, one.store)
    _put_optional_micros(out, one.amount)
    return _put_optional_text(out, one.currency)


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
    loyalty = profile.loyalty
    if loyalty is None and not profile.traits:
        _put_byte(out, ABSENT)
        _put_byte(out, ABSENT)
        _put_byte(out, ABSENT)
    else:
        _put_optional_text(out, conclude.loyalty_tier(profile))
        _put_optional_number(out, conclude.loyalty_points(profile))
        _put_optional_int(out, None if loyalty is None else loyalty.joined)
    _put_optional_text(out, conclude.preferred_channel(profile))
    _put_optional_text(out, conclude.preferred_store(profile))
    _put_optional_text(out, conclude.preferred_category(profile))
    _put_optional_text(out, conclude.preferred_size(profile))
    return _put_optional_int(out, conclude.preferred_hour(profile, zone))


cdef int _put_position(Out out, object fix) except -1:
    if fix is None:
        return _put_byte(out, ABSENT)
    _put_byte(out, PRESENT)
    _put_number(out, fix.latitude)
    _put_number(out, fix.longitude)
    _put_optional_number(out, fix.accuracy_m)
    return _put_int(out, fix.time)


cdef int _put_history(Out out, object history) except -1:
    if history:
        _put_long(out, len(history))
        for said in reversed(history):
            _put_optional_text(out, said.purpose)
            _put_optional_text(out, said.channel)
            _put_boolean(out, said.granted)
            _put_int(out, said.time)
            _put_text(out, said.through)
    return _put_byte(out, END)


cdef bytes _no_orders_of():
    cdef Out out = Out()
    _put_orders(out, _NO_ORDERS, {})
    return out.all()


_NO_ORDERS = Orders()
cdef bytes _no_orders = _no_orders_of()
