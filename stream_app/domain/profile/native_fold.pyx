# cython: language_level=3
"""Takes events into a profile as `folding` does, natively.

It does what is usual: an event that comes in its turn, of a profile that holds what profiles hold. One that is late,
or isn't made as events are, is left to `folding.apply` before anything is changed. After that, each part of the
profile is changed here, or left to the Python function that keeps it: where a name has to go for another, where a
property isn't the text or number that it should be, and all that few events have. A part looks at everything that
it reads before it changes anything, so that the Python function finds it as it would have without this module.

What is held by slots is told apart by its exact type before it is used; borrowed references are not kept across
calls that run Python.
"""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.math cimport fabs, isfinite, rint
from libc.stdint cimport int64_t

from stream_app.slots cimport is_a, is_text, is_whole, place_of, put, slot

from stream_app.domain.event import Context, Event, Position
from stream_app.domain.local_time import known_zone
from stream_app.domain.profile import carts, folding, orders, preferences, seen, values, viewed, whereabouts
from stream_app.domain.profile.carts import Cart, Line
from stream_app.domain.profile.orders import Money, Order, Orders
from stream_app.domain.profile.preferences import Count
from stream_app.domain.profile.seen import Device, Seen
from stream_app.domain.profile.state import Profile
from stream_app.domain.profile.values import Latest
from stream_app.domain.profile.viewed import Viewed
from stream_app.domain.profile.whereabouts import Fix, Whereabouts

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* text)
    Py_ssize_t PyUnicode_Tailmatch(object text, object part, Py_ssize_t start, Py_ssize_t end, int direction) except -1
    Py_UCS4 PyUnicode_READ_CHAR(PyObject* text, Py_ssize_t index)
    int PyUnicode_Compare(PyObject* one, PyObject* other)
    bint PyFloat_CheckExact(PyObject* one)
    double PyFloat_AS_DOUBLE(PyObject* one)
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:  # how a place on the timeline stands to the event's
    BEFORE = -1
    AT = 0
    BEHIND = 1
    NEW = 2  # there is none yet
    ODD = 3

cdef enum:  # which part takes in an event besides those that take in all
    NONE = 0
    VIEWED = 1
    OTHER = 2

cdef enum:
    ASCII = 128

cdef double LARGEST = 1e15  # as `values.number` has it
cdef int64_t MICROS = values.MICROS
cdef double MOST = values.MAX_AMOUNT

cdef Py_ssize_t EVENT_ID = place_of(Event, "event_id")
cdef Py_ssize_t EVENT_TIME = place_of(Event, "time")
cdef Py_ssize_t EVENT_CHANNEL = place_of(Event, "channel")
cdef Py_ssize_t EVENT_TYPE = place_of(Event, "type")
cdef Py_ssize_t EVENT_IDENTIFIERS = place_of(Event, "identifiers")
cdef Py_ssize_t EVENT_PROPERTIES = place_of(Event, "properties")
cdef Py_ssize_t EVENT_CONTEXT = place_of(Event, "context")
cdef Py_ssize_t CONTEXT_LOCALE = place_of(Context, "locale")
cdef Py_ssize_t CONTEXT_TIMEZONE = place_of(Context, "timezone")
cdef Py_ssize_t CONTEXT_POSITION = place_of(Context, "position")
cdef Py_ssize_t POSITION_LATITUDE = place_of(Position, "latitude")
cdef Py_ssize_t POSITION_LONGITUDE = place_of(Position, "longitude")
cdef Py_ssize_t POSITION_ACCURACY_M = place_of(Position, "accuracy_m")
cdef Py_ssize_t PROFILE_EVENTS = place_of(Profile, "events")
cdef Py_ssize_t PROFILE_FIRST = place_of(Profile, "first")
cdef Py_ssize_t PROFILE_LAST = place_of(Profile, "last")
cdef Py_ssize_t PROFILE_TURN = place_of(Profile, "turn")
cdef Py_ssize_t PROFILE_SEEN = place_of(Profile, "seen")
cdef Py_ssize_t PROFILE_DEVICES = place_of(Profile, "devices")
cdef Py_ssize_t PROFILE_ACTIVE = place_of(Profile, "active")
cdef Py_ssize_t PROFILE_WHERE = place_of(Profile, "where")
cdef Py_ssize_t PROFILE_VIEWED = place_of(Profile, "viewed")
cdef Py_ssize_t PROFILE_CARTS = place_of(Profile, "carts")
cdef Py_ssize_t PROFILE_WISHES = place_of(Profile, "wishes")
cdef Py_ssize_t PROFILE_ORDERS = place_of(Profile, "orders")
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
cdef Py_ssize_t WHERE_LOCALE = place_of(Whereabouts, "locale")
cdef Py_ssize_t WHERE_ZONE = place_of(Whereabouts, "zone")
cdef Py_ssize_t WHERE_FIX = place_of(Whereabouts, "fix")
cdef Py_ssize_t FIX_TIME = place_of(Fix, "time")
cdef Py_ssize_t FIX_EVENT_ID = place_of(Fix, "event_id")
cdef Py_ssize_t LATEST_VALUE = place_of(Latest, "value")
cdef Py_ssize_t LATEST_TIME = place_of(Latest, "time")
cdef Py_ssize_t LATEST_EVENT_ID = place_of(Latest, "event_id")
cdef Py_ssize_t VIEWED_ITEM = place_of(Viewed, "item")
cdef Py_ssize_t VIEWED_TIME = place_of(Viewed, "time")
cdef Py_ssize_t VIEWED_EVENT_ID = place_of(Viewed, "event_id")
cdef Py_ssize_t COUNT_COUNT = place_of(Count, "count")
cdef Py_ssize_t COUNT_LAST = place_of(Count, "last")
cdef Py_ssize_t CART_TOUCHED = place_of(Cart, "touched")
cdef Py_ssize_t CART_LINES = place_of(Cart, "lines")
cdef Py_ssize_t LINE_QUANTITY = place_of(Line, "quantity")
cdef Py_ssize_t LINE_PRICE = place_of(Line, "price")
cdef Py_ssize_t LINE_CURRENCY = place_of(Line, "currency")
cdef Py_ssize_t ORDERS_COUNT = place_of(Orders, "count")
cdef Py_ssize_t ORDERS_CANCELLED = place_of(Orders, "cancelled")
cdef Py_ssize_t ORDERS_MONEY = place_of(Orders, "money")
cdef Py_ssize_t ORDERS_RECENT = place_of(Orders, "recent")
cdef Py_ssize_t ORDERS_RETURNED = place_of(Orders, "returned")
cdef Py_ssize_t ORDER_ORDER_ID = place_of(Order, "order_id")
cdef Py_ssize_t MONEY_ORDERS = place_of(Money, "orders")
cdef Py_ssize_t MONEY_REVENUE = place_of(Money, "revenue")
cdef Py_ssize_t MONEY_REFUNDED = place_of(Money, "refunded")

cdef str _NO_NAME = ""

cdef object _Event = Event
cdef object _Context = Context
cdef object _Profile = Profile
cdef object _Seen = Seen
cdef object _Device = Device
cdef object _Whereabouts = Whereabouts
cdef object _Latest = Latest
cdef object _Viewed = Viewed
cdef object _Count = Count
cdef object _Cart = Cart
cdef object _Line = Line
cdef object _Position = Position
cdef object _Fix = Fix
cdef object _Orders = Orders
cdef object _Order = Order
cdef object _Money = Money


cdef struct Given:
    # What is read of an event, borrowed from it: strings, the event's time twice, and a map.
    PyObject* event
    PyObject* event_id
    PyObject* at
    PyObject* channel
    PyObject* type
    PyObject* properties
    int64_t time


cdef struct Bounds:
    Py_ssize_t text
    Py_ssize_t locale
    Py_ssize_t devices
    Py_ssize_t active
    Py_ssize_t viewed
    Py_ssize_t tally
    Py_ssize_t carts
    Py_ssize_t lines
    Py_ssize_t orders
    Py_ssize_t returns
    Py_ssize_t currencies
    int64_t quarter_ms


cdef class Reading:
    """What is read from events of one type, as `folding` says."""

    cdef bint active
    cdef bint category
    cdef bint in_turn
    cdef bint added
    cdef bint ordered
    cdef int part
    cdef object other

    def __cinit__(self, str kind, object reading):
        self.active, self.category, self.in_turn = reading.active, reading.category, reading.in_turn
        self.added, self.ordered = kind == "Product Added", kind == "Order Completed"
        self.part = NONE if reading.part is None else VIEWED if kind == "Product Viewed" else OTHER
        self.other = reading.part


cdef dict _readings = {kind: Reading(kind, reading) for kind, reading in folding.READINGS.items()}
cdef Reading _plain = Reading("", folding.PLAIN)
cdef tuple _devices = seen.DEVICES
cdef bint[ASCII] _begins_device  # whether a device begins with this character
cdef Bounds _bounds

for _first in range(ASCII):
    _begins_device[_first] = any(name[0] == chr(_first) for name in _devices)


def take_bounds() -> None:
    """Take over the bounds that the parts state: at import, and where a test has changed them."""
    _bounds.text = values.MAX_TEXT
    _bounds.locale = whereabouts.MAX_LOCALE
    _bounds.devices = seen.MAX_DEVICES
    _bounds.active = seen.MAX_ACTIVE
    _bounds.viewed = viewed.MAX_VIEWED
    _bounds.tally = preferences.MAX_TALLY
    _bounds.carts = carts.MAX_CARTS
    _bounds.lines = carts.MAX_LINES
    _bounds.orders = orders.MAX_ORDERS
    _bounds.returns = orders.MAX_RETURNS
    _bounds.currencies = orders.MAX_CURRENCIES
    _bounds.quarter_ms = seen.QUARTER_MS


take_bounds()


def fold(events):
    """Return the profile of a timeline, given in order (event time, event id)."""
    profile = Profile()
    for event in events:
        apply(profile, event)
    return profile


def apply(profile, event) -> bool:
    """Take in an event, in whatever order events come; each event once.

    Returns:
        False where it had to be folded before others that have been: the profile must be folded again.
    """
    cdef Given e
    cdef int64_t events
    cdef PyObject* last
    cdef PyObject* row = <PyObject*> profile
    if not is_a(row, _Profile) or not _read(&e, <PyObject*> event):
        return folding.apply(profile, event)
    last = slot(row, PROFILE_LAST)
    if not is_whole(slot(row, PROFILE_EVENTS), &events) or (
        last != <PyObject*> None and _stands(last, &e) not in (BEFORE, AT)
    ):
        return folding.apply(profile, event)
    order = (<object> e.at, <object> e.event_id)
    put(row, PROFILE_EVENTS, events + 1)
    if last == <PyObject*> None:
        put(row, PROFILE_FIRST, order)
    put(row, PROFILE_LAST, order)
    found = PyDict_GetItemWithError(_readings, <object> e.type)
    cdef Reading reading = _plain if found == NULL else <Reading> found
    _see_channel(row, &e, reading.active)
    _see_device(row, &e)
    if reading.active:
        _be_active(row, &e)
        found = PyDict_GetItemWithError(<object> e.properties, "store_id")
        if found != NULL and found != <PyObject*> None:
            _count(row, PROFILE_STORES, found, &e)
    _locate(row, &e)
    if reading.part == VIEWED:
        _view_item(row, &e)
    elif reading.part == OTHER:
        reading.other(profile, event)
    if reading.category:
        found = PyDict_GetItemWithError(<object> e.properties, "category")
        if found != NULL and found != <PyObject*> None:
            _count(row, PROFILE_CATEGORIES, found, &e)
    if reading.in_turn and not (
        (reading.added and _add(row, &e, order)) or (reading.ordered and _order(row, &e, order))
    ):
        return folding.take_in_turn(profile, event, late=False)
    return True


cdef inline bint _read(Given* e, PyObject* event) noexcept:
    """Read an event; return whether it is made as events are."""
    if not is_a(event, _Event):
        return False
    e.event = event
    e.event_id = slot(event, EVENT_ID)
    e.at = slot(event, EVENT_TIME)
    e.channel = slot(event, EVENT_CHANNEL)
    e.type = slot(event, EVENT_TYPE)
    e.properties = slot(event, EVENT_PROPERTIES)
    return (
        is_text(e.event_id)
        and is_text(e.channel)
        and is_text(e.type)
        and is_a(e.properties, dict)
        and is_whole(e.at, &e.time)
    )


cdef inline int _compare(PyObject* at, PyObject* event_id, Given* e) noexcept:
    """Return how a place on the timeline stands to the event's."""
    cdef int64_t time
    if not is_whole(at, &time) or not is_text(event_id):
        return ODD
    if time != e.time:
        return BEFORE if time < e.time else BEHIND
    cdef int order = PyUnicode_Compare(event_id, e.event_id)  # strings can always be compared
    return BEFORE if order < 0 else BEHIND if order else AT


cdef inline int _stands(PyObject* place, Given* e) noexcept:
    """Return how a place on the timeline, as a pair, stands to the event's."""
    if not is_a(place, tuple) or PyTuple_GET_SIZE(<object> place) != 2:
        return ODD
    return _compare(PyTuple_GET_ITEM(<object> place, 0), PyTuple_GET_ITEM(<object> place, 1), e)


cdef inline bint _is_short(PyObject* text) noexcept:
    """Return whether something is a text as `values.text` takes it."""
    return is_text(text) and 0 < PyUnicode_GET_LENGTH(text) <= _bounds.text


cdef inline bint _same(PyObject* one, PyObject* other) noexcept:
    """Return whether two strings are the same."""
    return one == other or (
        PyUnicode_GET_LENGTH(one) == PyUnicode_GET_LENGTH(other) and PyUnicode_Compare(one, other) == 0
    )


cdef int _see_channel(PyObject* row, Given* e, bint active) except -1:
    cdef int64_t first, last, count, own
    cdef PyObject* visits = slot(row, PROFILE_SEEN)
    cdef PyObject* known
    if is_a(visits, dict):
        known = PyDict_GetItemWithError(<object> visits, <object> e.channel)
        if known == NULL:
            (<dict> visits)[<object> e.channel] = Seen(<object> e.at, <object> e.at, 1, 1 if active else 0)
            return 0
        if (
            is_a(known, _Seen)
            and is_whole(slot(known, SEEN_FIRST), &first)
            and is_whole(slot(known, SEEN_LAST), &last)
            and is_whole(slot(known, SEEN_COUNT), &count)
            and is_whole(slot(known, SEEN_ACTIVE), &own)
        ):
            put(known, SEEN_COUNT, count + 1)
            if active:
                put(known, SEEN_ACTIVE, own + 1)
            if e.time > last:
                put(known, SEEN_LAST, <object> e.at)
            elif e.time < first:
                put(known, SEEN_FIRST, <object> e.at)
            return 0
    seen.see_channel((<object> row).seen, <object> e.channel, <object> e.at, active=active)
    return 0


cdef int _see_device(PyObject* row, Given* e) except -1:
    cdef int64_t first, last, count
    cdef PyObject* name
    cdef PyObject* known
    device = None
    cdef PyObject* visits = slot(row, PROFILE_DEVICES)
    if not _device_of(e, &name):
        device = seen.device_of(<object> e.event)
        if device is None:
            return 0
    elif name == NULL:
        return 0
    else:
        device = <object> name
        if is_a(visits, dict):
            known = PyDict_GetItemWithError(<object> visits, device)
            if known == NULL:
                if len(<dict> visits) < _bounds.devices:
                    (<dict> visits)[device] = Device(<object> e.at, <object> e.at, 1)
                    return 0
            elif (
                is_a(known, _Device)
                and is_whole(slot(known, DEVICE_FIRST), &first)
                and is_whole(slot(known, DEVICE_LAST), &last)
                and is_whole(slot(known, DEVICE_COUNT), &count)
            ):
                put(known, DEVICE_COUNT, count + 1)
                if e.time > last:
                    put(known, DEVICE_LAST, <object> e.at)
                elif e.time < first:
                    put(known, DEVICE_FIRST, <object> e.at)
                return 0
    seen.see_device((<object> row).devices, device, <object> e.at, late=False)
    return 0


cdef inline bint _device_of(Given* e, PyObject** device) except? False:
    """Find the device that an event came from (NULL: none); False where its identifiers aren't strings in a tuple."""
    cdef PyObject* identifiers = slot(e.event, EVENT_IDENTIFIERS)
    cdef PyObject* name
    cdef Py_ssize_t n
    cdef Py_UCS4 begin
    device[0] = NULL
    if not is_a(identifiers, tuple):
        return False
    for n in range(PyTuple_GET_SIZE(<object> identifiers)):
        name = PyTuple_GET_ITEM(<object> identifiers, n)
        if not is_text(name):
            return False
        if PyUnicode_GET_LENGTH(name) == 0:
            continue
        begin = PyUnicode_READ_CHAR(name, 0)
        if begin < ASCII and _begins_device[begin]:
            for prefix in _devices:
                if PyUnicode_Tailmatch(<object> name, prefix, 0, PY_SSIZE_T_MAX, -1):
                    device[0] = name
                    return True
    return True


cdef int _be_active(PyObject* row, Given* e) except -1:
    cdef int64_t latest, quarter = e.time // _bounds.quarter_ms  # towards less, as in Python
    cdef PyObject* active = slot(row, PROFILE_ACTIVE)
    cdef Py_ssize_t size
    if is_a(active, list):
        size = PyList_GET_SIZE(<object> active)
        if size == 0 or is_whole(PyList_GET_ITEM(<object> active, size - 1), &latest):
            if size and quarter == latest:
                return 0
            if size == 0 or quarter > latest:
                (<list> active).append(quarter)
                if size >= _bounds.active:
                    del (<list> active)[0]
                return 0
    seen.be_active((<object> row).active, <object> e.at)
    return 0


cdef int _count(PyObject* row, Py_ssize_t where, PyObject* name, Given* e) except -1:
    """Count one name that an event brings, in the tally at a place of the profile."""
    cdef int64_t count, last
    cdef PyObject* tally = slot(row, where)
    cdef PyObject* known
    if is_a(tally, dict) and _is_short(name):
        known = PyDict_GetItemWithError(<object> tally, <object> name)
        if known == NULL:
            if len(<dict> tally) < _bounds.tally or _let_go(<dict> tally):
                (<dict> tally)[<object> name] = Count(1, <object> e.at)
                return 0
        elif (
            is_a(known, _Count)
            and is_whole(slot(known, COUNT_COUNT), &count)
            and is_whole(slot(known, COUNT_LAST), &last)
        ):
            put(known, COUNT_COUNT, count + 1)
            if e.time > last:
                put(known, COUNT_LAST, <object> e.at)
            return 0
    text = values.text(<object> name)
    if text is not None:
        if where == PROFILE_STORES:
            names = (<object> row).stores
        else:
            names = (<object> row).categories if where == PROFILE_CATEGORIES else (<object> row).sizes
        preferences.count(names, text, <object> e.at, late=False)
    return 0


cdef bint _let_go(dict tally) except? False:
    """Let go of the name that was not met for longest; return False where the tally isn't one as it should be."""
    cdef int64_t last, oldest = 0
    cdef PyObject* known
    first = None
    for name, entry in tally.items():
        known = <PyObject*> entry
        if type(name) is not str or not is_a(known, _Count) or not is_whole(slot(known, COUNT_LAST), &last):
            return False
        if first is None or last < oldest or (last == oldest and name < first):
            first, oldest = name, last
    if first is None:
        return False
    del tally[first]
    return True


cdef inline int _when(PyObject* latest, Given* e) noexcept:
    """Return how the event of a latest value stands to this one."""
    if latest == <PyObject*> None:
        return NEW
    if not is_a(latest, _Latest):
        return ODD
    return _compare(slot(latest, LATEST_TIME), slot(latest, LATEST_EVENT_ID), e)


cdef int _say(PyObject* where, Py_ssize_t place, PyObject* value, Given* e) except -1:
    """Have an event's value be the latest: of what is there, or of nothing."""
    cdef PyObject* latest = slot(where, place)
    if latest == <PyObject*> None:
        found = Latest(<object> value, <object> e.at, <object> e.event_id)
        put(where, place, found)
    else:
        put(latest, LATEST_VALUE, <object> value)
        put(latest, LATEST_TIME, <object> e.at)
        put(latest, LATEST_EVENT_ID, <object> e.event_id)
    return 0


cdef int _locate(PyObject* row, Given* e) except -1:
    """Take in where an event was, unless a property says it."""
    cdef PyObject* where = slot(row, PROFILE_WHERE)
    cdef PyObject* context = slot(e.event, EVENT_CONTEXT)
    cdef PyObject* locale = <PyObject*> None
    cdef PyObject* name = <PyObject*> None
    cdef PyObject* position = <PyObject*> None
    cdef int locale_stands = BEHIND, zone_stands, fix_stands = BEHIND
    if is_a(where, _Whereabouts) and (context == <PyObject*> None or is_a(context, _Context)):
        if context != <PyObject*> None:
            locale, name = slot(context, CONTEXT_LOCALE), slot(context, CONTEXT_TIMEZONE)
            position = slot(context, CONTEXT_POSITION)
        if locale != <PyObject*> None:
            if not is_text(locale):
                locale_stands = ODD
            elif 0 < PyUnicode_GET_LENGTH(locale) <= _bounds.locale:
                locale_stands = _when(slot(where, WHERE_LOCALE), e)
        if position != <PyObject*> None:
            fix_stands = _fix_stands(slot(where, WHERE_FIX), position, e)
        elif PyDict_GetItemWithError(<object> e.properties, "latitude") != NULL:
            fix_stands = ODD
        zone_stands = _zone_stands(slot(where, WHERE_ZONE), name, e)
        if locale_stands != ODD and fix_stands != ODD and zone_stands != ODD:
            if locale_stands == NEW or locale_stands == BEFORE:
                _say(where, WHERE_LOCALE, locale, e)
            if fix_stands == NEW or fix_stands == BEFORE:
                found = Fix(
                    <object> slot(position, POSITION_LATITUDE),
                    <object> slot(position, POSITION_LONGITUDE),
                    <object> slot(position, POSITION_ACCURACY_M),
                    <object> e.at,
                    <object> e.event_id,
                )
                put(where, WHERE_FIX, found)
            if zone_stands == NEW or zone_stands == BEFORE:
                _say(where, WHERE_ZONE, name, e)
            return 0
    whereabouts.locate((<object> row).where, <object> e.event)
    return 0


cdef inline int _fix_stands(PyObject* fix, PyObject* position, Given* e) noexcept:
    """Return how the last position stands to the one of an event."""
    if (
        not is_a(position, _Position)
        or slot(position, POSITION_LATITUDE) == NULL
        or slot(position, POSITION_LONGITUDE) == NULL
        or slot(position, POSITION_ACCURACY_M) == NULL
    ):
        return ODD
    if fix == <PyObject*> None:
        return NEW
    return _compare(slot(fix, FIX_TIME), slot(fix, FIX_EVENT_ID), e) if is_a(fix, _Fix) else ODD


cdef int _zone_stands(PyObject* zone, PyObject* name, Given* e) except? ODD:
    """Return how the known time zone stands to the one that the context of an event names, or doesn't."""
    cdef PyObject* value = NULL
    cdef int stands = _when(zone, e)
    if stands == ODD:
        return ODD
    if stands != NEW:
        value = slot(zone, LATEST_VALUE)
        if not is_text(value):
            return ODD
    if name == <PyObject*> None:
        return BEHIND if PyDict_GetItemWithError(<object> e.properties, "timezone") == NULL else ODD
    if not is_text(name) or not ((value != NULL and _same(name, value)) or known_zone(<object> name)):
        return ODD
    return stands


cdef inline PyObject* _item(PyObject* properties) except? NULL:
    """Return the item that an event is about if its `sku` says it."""
    cdef PyObject* item = PyDict_GetItemWithError(<object> properties, "sku")
    return item if _is_short(item) else NULL


cdef int _view_item(PyObject* row, Given* e) except -1:
    cdef PyObject* views = slot(row, PROFILE_VIEWED)
    cdef PyObject* item = _item(e.properties)
    cdef PyObject* view
    cdef PyObject* other
    cdef Py_ssize_t n, size, latest, place = -1
    if item != NULL and is_a(views, list):
        size = PyList_GET_SIZE(<object> views)
        for n in range(size):
            view = PyList_GET_ITEM(<object> views, n)
            if not is_a(view, _Viewed):
                break
            other = slot(view, VIEWED_ITEM)
            if not is_text(other):
                break
            if place < 0 and _same(other, item):
                place = n
        else:
            latest = size - 2 if place >= 0 and place == size - 1 else size - 1
            if (place < 0 or _viewed_before(<list> views, place, e)) and (
                latest < 0 or _viewed_before(<list> views, latest, e)
            ):
                if place >= 0:
                    del (<list> views)[place]
                (<list> views).append(Viewed(<object> item, <object> e.at, <object> e.event_id))
                if PyList_GET_SIZE(<object> views) > _bounds.viewed:
                    del (<list> views)[0]
                return 0
    viewed.view_item((<object> row).viewed, <object> e.event)
    return 0


cdef inline bint _viewed_before(list views, Py_ssize_t n, Given* e) noexcept:
    """Return whether a view isn't later than the event."""
    cdef PyObject* view = PyList_GET_ITEM(views, n)
    return _compare(slot(view, VIEWED_TIME), slot(view, VIEWED_EVENT_ID), e) in (BEFORE, AT)


cdef inline bint _is_number(PyObject* value, double* number) noexcept:
    """Return whether something is a number as `values.number` takes it, not as a text; `number` becomes about it."""
    cdef int64_t whole
    if is_whole(value, &whole):
        number[0] = <double> whole
    elif value != NULL and PyFloat_CheckExact(value):
        number[0] = PyFloat_AS_DOUBLE(value)
    else:
        return False
    return isfinite(number[0]) and fabs(number[0]) < LARGEST


cdef bint _add(PyObject* row, Given* e, tuple order) except? False:
    """Take in a Product Added; return False, and change nothing, where it isn't a usual one."""
    cdef PyObject* baskets = slot(row, PROFILE_CARTS)
    cdef PyObject* turn = slot(row, PROFILE_TURN)
    cdef PyObject* item = _item(e.properties)
    cdef PyObject* cart_id = PyDict_GetItemWithError(<object> e.properties, "cart_id")
    cdef PyObject* quantity = PyDict_GetItemWithError(<object> e.properties, "quantity")
    cdef PyObject* price = PyDict_GetItemWithError(<object> e.properties, "price")
    cdef PyObject* currency = PyDict_GetItemWithError(<object> e.properties, "currency")
    cdef PyObject* cart
    cdef PyObject* lines
    cdef PyObject* line = NULL
    cdef double number
    if turn == NULL or (turn != <PyObject*> None and _stands(turn, e) not in (BEFORE, AT)):
        return False
    if item == NULL or not is_a(baskets, dict) or not _is_number(quantity, &number) or number <= 0:
        return False
    if price != NULL and price != <PyObject*> None and not _is_number(price, &number):
        return False
    if currency != NULL and currency != <PyObject*> None and not _is_short(currency):
        return False
    if cart_id == NULL or cart_id == <PyObject*> None:
        cart_id = <PyObject*> _NO_NAME
    elif not _is_short(cart_id):
        return False
    cart = PyDict_GetItemWithError(<object> baskets, <object> cart_id)
    if cart == NULL:
        if len(<dict> baskets) >= _bounds.carts:
            return False
    else:
        if not is_a(cart, _Cart) or not is_a(slot(cart, CART_LINES), dict):
            return False
        line = PyDict_GetItemWithError(<object> slot(cart, CART_LINES), <object> item)
        if line != NULL and not (is_a(line, _Line) and _is_number(slot(line, LINE_QUANTITY), &number)):
            return False
    put(row, PROFILE_TURN, order)
    if cart == NULL:
        touched = Cart(order)
        (<dict> baskets)[<object> cart_id] = touched
        cart = <PyObject*> touched
    else:
        put(cart, CART_TOUCHED, order)
    lines = slot(cart, CART_LINES)
    if line == NULL:
        if len(<dict> lines) < _bounds.lines:
            (<dict> lines)[<object> item] = Line(
                <object> quantity,
                None if price == NULL else <object> price,
                None if currency == NULL else <object> currency,
            )
        return True
    put(line, LINE_QUANTITY, <object> slot(line, LINE_QUANTITY) + <object> quantity)
    if price != NULL and price != <PyObject*> None:
        put(line, LINE_PRICE, <object> price)
    if currency != NULL and currency != <PyObject*> None:
        put(line, LINE_CURRENCY, <object> currency)
    return True


cdef bint _order(PyObject* row, Given* e, tuple order) except? False:
    """Take in an Order Completed; return False, and change nothing, where it isn't a usual one, of a new order.

    Nor is that of who has wishes, which it may take off the list.
    """
    cdef PyObject* turn = slot(row, PROFILE_TURN)
    cdef PyObject* baskets = slot(row, PROFILE_CARTS)
    cdef PyObject* wishes = slot(row, PROFILE_WISHES)
    cdef PyObject* all_ = slot(row, PROFILE_ORDERS)
    cdef PyObject* name = PyDict_GetItemWithError(<object> e.properties, "order_id")
    cdef PyObject* cart_id = PyDict_GetItemWithError(<object> e.properties, "cart_id")
    cdef PyObject* store = PyDict_GetItemWithError(<object> e.properties, "store_id")
    cdef PyObject* currency = PyDict_GetItemWithError(<object> e.properties, "currency")
    cdef PyObject* recent
    cdef PyObject* money
    cdef PyObject* one
    cdef PyObject* known
    cdef int64_t count, cancelled, amount, orders = 0, revenue = 0, refunded = 0
    cdef Py_ssize_t n
    cdef list categories, sizes
    if turn == NULL or (turn != <PyObject*> None and _stands(turn, e) not in (BEFORE, AT)):
        return False
    if wishes == NULL or not is_a(wishes, list) or PyList_GET_SIZE(<object> wishes) > 0:
        return False
    if not _is_short(name) or not is_a(baskets, dict) or not is_a(all_, _Orders):
        return False
    if not _is_absent(cart_id) and not _is_short(cart_id):
        return False
    if not _is_absent(store) and not _is_short(store):
        return False
    if not _is_code(currency) or not _amount_of(e.properties, &amount):
        return False
    recent, money = slot(all_, ORDERS_RECENT), slot(all_, ORDERS_MONEY)
    if (
        not is_whole(slot(all_, ORDERS_COUNT), &count)
        or not is_whole(slot(all_, ORDERS_CANCELLED), &cancelled)
        or not is_a(slot(all_, ORDERS_RETURNED), list)
        or PyList_GET_SIZE(<object> slot(all_, ORDERS_RETURNED)) > _bounds.returns
        or not is_a(recent, list)
        or PyList_GET_SIZE(<object> recent) >= _bounds.orders
        or not is_a(money, dict)
        or len(<dict> money) > _bounds.currencies
    ):
        return False
    for n in range(PyList_GET_SIZE(<object> recent)):
        one = PyList_GET_ITEM(<object> recent, n)
        if not is_a(one, _Order) or not is_text(slot(one, ORDER_ORDER_ID)) or _same(slot(one, ORDER_ORDER_ID), name):
            return False
    known = PyDict_GetItemWithError(<object> money, <object> currency)
    if known == NULL:
        if len(<dict> money) >= _bounds.currencies:
            return False
    elif not (
        is_a(known, _Money)
        and is_whole(slot(known, MONEY_ORDERS), &orders)
        and is_whole(slot(known, MONEY_REVENUE), &revenue)
        and is_whole(slot(known, MONEY_REFUNDED), &refunded)
    ):
        return False
    categories, sizes = _said_of_lines(e.properties, "category"), _said_of_lines(e.properties, "size")
    if categories is None or sizes is None:
        return False
    put(row, PROFILE_TURN, order)
    if _is_absent(cart_id):
        (<dict> baskets).clear()
    else:
        (<dict> baskets).pop(<object> cart_id, None)
    (<list> recent).append(
        Order(
            <object> name,
            <object> e.at,
            <object> e.channel,
            None if store == NULL else <object> store,
            True,
            False,
            amount,
            <object> currency,
        )
    )
    put(all_, ORDERS_COUNT, count + 1)
    if known == NULL:
        (<dict> money)[<object> currency] = Money(1, amount, 0)
    else:
        put(known, MONEY_ORDERS, orders + 1)
        put(known, MONEY_REVENUE, revenue + amount)
    for text in categories:
        _count(row, PROFILE_CATEGORIES, <PyObject*> text, e)
    for text in sizes:
        _count(row, PROFILE_SIZES, <PyObject*> text, e)
    return True


cdef inline bint _is_absent(PyObject* value) noexcept:
    return value == NULL or value == <PyObject*> None


cdef inline bint _is_code(PyObject* currency) noexcept:
    """Return whether something is three letters from A to Z."""
    cdef Py_ssize_t n
    if not is_text(currency) or PyUnicode_GET_LENGTH(currency) != 3:
        return False
    for n in range(3):
        if not u"A" <= PyUnicode_READ_CHAR(currency, n) <= u"Z":
            return False
    return True


cdef bint _amount_of(PyObject* properties, int64_t* amount) except? False:
    """Find what an order amounts to, in millionths; False where no property says it as a usual number."""
    cdef PyObject* value
    cdef double number
    cdef int64_t whole
    for name in ("revenue", "total", "value"):
        value = PyDict_GetItemWithError(<object> properties, name)
        if not _is_absent(value):
            if not _is_number(value, &number) or fabs(number) >= MOST:
                return False
            if is_whole(value, &whole):
                amount[0] = whole * MICROS
            else:
                amount[0] = <int64_t> rint(number * <double> MICROS)  # of halves to the even one, as Python rounds
            return True
    return False


cdef list _said_of_lines(PyObject* properties, str name):
    """Return the texts of a property of the products ordered, in order, each once; None where one isn't a usual text."""
    cdef PyObject* products = PyDict_GetItemWithError(<object> properties, "products")
    cdef PyObject* line
    cdef PyObject* value
    cdef Py_ssize_t n
    cdef set found = None
    if not is_a(products, list):
        return []
    for n in range(PyList_GET_SIZE(<object> products)):
        line = PyList_GET_ITEM(<object> products, n)
        if is_a(line, dict):
            value = PyDict_GetItemWithError(<object> line, name)
            if not _is_absent(value):
                if not _is_short(value):
                    return None
                if found is None:
                    found = set()
                found.add(<object> value)
    return [] if found is None else sorted(found)
