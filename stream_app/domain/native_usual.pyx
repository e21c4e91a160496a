# cython: language_level=3
"""Takes in a component's usual events as `Customers.take_in` does, natively: most events are.

Usual is an event that is new, in order, of identifiers that came together before and are nobody's dispute, at a
component where nothing is on its way, being moved or erased, of a customer whose fold is whole. Whatever else is left to
the Python code, before anything has changed. Rows are read and written through their tables, and the rules, the
profile's fold and the effects are called as there, in the same order.

It gathers a batch's events for that too, as `component.gather_events` does; all other messages are left to the Python
code, which knows what their turn means for the events before them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

import msgspec

from stream_app.slots cimport place_of, slot

from stream_app.domain.customer import At, Customer
from stream_app.domain.event import Event
from stream_app.domain.messages import EventTo, decode_event
from stream_app.domain.profile import apply
from stream_app.domain.rows import SAMPLE, EventPlace, TimelineRow

cdef object _names = msgspec.msgpack.Encoder().encode
cdef object _decode_event = decode_event
cdef object _event_to = EventTo
cdef object _new_at = At
cdef object _customer = Customer
cdef object _place = EventPlace
cdef object _row = TimelineRow
cdef object _apply = apply
cdef Py_ssize_t _sample = SAMPLE

cdef Py_ssize_t EVENT_ID = place_of(Event, "event_id")
cdef Py_ssize_t EVENT_TIME = place_of(Event, "time")
cdef Py_ssize_t TO_LABEL = place_of(EventTo, "label")
cdef Py_ssize_t TO_EVENT = place_of(EventTo, "event")

cdef enum:
    REMEMBERED = 4096  # customers
    LENGTH = 2  # bytes of a label's length in a key
    SLOT = 4
    TIME = 8


cdef inline void _put_big(char* to, uint64_t value, int size) noexcept:
    """Write an unsigned integer, big-endian."""
    cdef int place
    for place in range(size - 1, -1, -1):
        to[place] = <char> (value & 0xFF)
        value >>= 8


cdef bytes _label_key(str label):
    """As `keys.label_key`."""
    cdef Py_ssize_t size
    cdef const char* text = PyUnicode_AsUTF8AndSize(label, &size)
    if size > 0xFFFF:
        raise ValueError("a label of more than 64 KiB")
    cdef bytes key = PyBytes_FromStringAndSize(NULL, LENGTH + size)
    cdef char* to = PyBytes_AS_STRING(key)
    _put_big(to, <uint64_t> size, LENGTH)
    memcpy(to + LENGTH, text, size)
    return key


cdef bytes _slot_key(bytes prefix, int64_t slot):
    """As `keys.slot_key`; the slot is one of a row, and so fits."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(prefix)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, size + SLOT)
    cdef char* to = PyBytes_AS_STRING(key)
    memcpy(to, PyBytes_AS_STRING(prefix), size)
    _put_big(to + size, <uint64_t> slot, SLOT)
    return key


cdef bytes _timeline_key(bytes prefix, int64_t time, bytes event_id):
    """As `keys.timeline_key`: a time is shifted to be unsigned."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(prefix), more = PyBytes_GET_SIZE(event_id)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, size + TIME + more)
    cdef char* to = PyBytes_AS_STRING(key)
    memcpy(to, PyBytes_AS_STRING(prefix), size)
    _put_big(to + size, (<uint64_t> time) ^ (<uint64_t> 1 << 63), TIME)
    memcpy(to + size + TIME, PyBytes_AS_STRING(event_id), more)
    return key


cdef object _held(object one, Py_ssize_t place):
    """Return what a struct holds there."""
    cdef PyObject* found = slot(<PyObject*> one, place)
    if found == NULL:
        raise AttributeError("a message or event lacks a field")
    return <object> found


cdef class UsualEvents:
    """The usual events of one partition's components."""

    cdef object _customers, _digest, _clock, _evidence, _effects, _rules, _folds, _queue
    cdef object _get_header, _get_event, _put_event, _get_sighting, _put_sighting, _get_customer, _put_customer
    cdef object _put_row, _homes, _applied, _moved, _profile, _before, _on_event, _void, _decide
    cdef object _timelines, _tables
    cdef dict _undecided, _opened
    cdef int64_t _every

    def __init__(self, customers: object) -> None:
        """Work on the rows of a `Customers`."""
        tables = customers.tables
        self._customers = customers
        self._tables = tables
        self._timelines = customers.timelines
        self._digest = customers.digest
        self._clock = customers.clock
        self._folds = customers.folds
        self._queue = customers.folds.queue
        self._undecided = customers.folds.undecided
        self._opened = {}
        self._every = customers.folds.every
        self._get_header = tables.components.get
        self._get_event, self._put_event = tables.events.get, tables.events.put
        self._get_sighting, self._put_sighting = tables.sightings.get, tables.sightings.put
        self._get_customer, self._put_customer = tables.customers.get, tables.customers.put
        self._put_row = tables.timeline.put
        self._homes = customers.evidence.known
        effects, rules = customers.effects, customers.rules
        self._applied, self._moved, self._profile = effects.applied, effects.moved, effects.profile
        self._before, self._on_event, self._decide = rules.before, rules.on_event, rules.decide
        self._void = rules.void

    def gather(self, list messages, Py_ssize_t start, dict waiting) -> int:
        """Add events to those that wait, by component; return the place of the first message that is none."""
        cdef Py_ssize_t place = start, count = len(messages)
        cdef PyObject* others
        cdef tuple found
        while place < count:
            message = messages[place]
            if type(message) is not _event_to:
                break
            event = _decode_event(_held(message, TO_EVENT))
            found = ((_held(event, EVENT_TIME), _held(event, EVENT_ID)), place, event, message)
            label = _held(message, TO_LABEL)
            others = PyDict_GetItemWithError(waiting, label)
            if others == NULL:
                waiting[label] = [found]
            else:
                (<list> others).append(found)
            place += 1
        return place

    def take(self, list events, Py_ssize_t start) -> int:
        """Take in a component's events (order, number, event, message), from `start` on; return where it stopped."""
        cdef Py_ssize_t place = start, count = len(events)
        cdef str label = events[start][3].label
        cdef bytes prefix = _label_key(label)
        header = self._get_header(prefix)
        if header is None or header.redirect or header.erased or header.repairing or header.incoming:
            return place
        if header.policy != self._digest:
            return place
        at = _new_at(label, prefix, header)
        now = None if self._clock is None else self._clock.now
        # Asked for again each time: explaining a decision may have read the component into memory.
        while place < count and self._take_one(at, prefix, self._homes(label), now, <tuple> events[place]):
            place += 1
        return place

    cdef object _open(self, object at, object slot, bytes key, object row):
        """Return the customer of a row: the same as for its last event, where that still has the row and header.

        A customer has four events in an epoch, as simulated shoppers do; making one anew costs 0.6 us.
        """
        customer = self._opened.get(key)
        if customer is not None and customer.row is row and customer.at.header is at.header:
            return customer
        if len(self._opened) >= REMEMBERED:
            self._opened.clear()
        customer = _customer(at, slot, row, self._timelines, self._tables, self._folds, self._homes)
        self._opened[key] = customer
        return customer

    cdef bint _take_one(self, object at, bytes prefix, object home, object now, tuple found) except -1:
        event, message = found[2], found[3]
        if message.origin:
            return False
        cdef str event_id = event.event_id
        cdef bytes encoded_id = event_id.encode()
        if self._get_event(prefix + encoded_id) is not None:
            return False
        names = event.identifiers
        cdef bytes sighting_key = prefix + <bytes> _names(names)
        if home is None:
            sighting = self._get_sighting(sighting_key)
        else:  # in memory are all sightings, or none
            sighting = home.sighting(names)
        if sighting is None:
            return False
        slot = sighting.slot
        time = event.time
        if slot <= 0 or time < sighting.first:
            return False
        cdef bytes key = _slot_key(prefix, slot)
        row = self._get_customer(key)
        if row is None or row.fold is not None or key in self._queue:
            return False
        profile = row.profile
        last = profile.last
        if last is not None and found[0] < last:
            return False
        # From here on it is taken in.
        if len(sighting.sample) < _sample or found[0] < sighting.sample[_sample - 1]:
            sighting.note(time, event_id)
        else:
            sighting.count = sighting.count + 1
            if time > sighting.last:
                sighting.last = time
        self._put_sighting(sighting_key, sighting)
        if home is not None:
            home.note(names, time)
        self._put_customer(key, row)
        self._put_event(prefix + encoded_id, _place(time, slot))
        self._put_row(_timeline_key(key, time, encoded_id), _row(bytes(message.event), row.id, 0))
        payload = message.payload
        if payload:
            self._applied(row.id, event, payload, late=False)
        else:
            self._moved(row.id, "", event, 0)
        folds = self._folds
        folds.came_in += 1
        customer = self._open(at, slot, key, row)
        self._before(customer, event)
        _apply(profile, event)
        if not self._on_event(customer, event):
            folds.again(customer, self._void(customer, event), message.stamp)
            self._customers.save(customer)
            return True
        if (now is not None and time < now) or key in self._undecided:
            folds.decide_later(customer, message.stamp)
        else:
            self._decide(customer, message.stamp)
        if profile.events % self._every == 0:
            folds.keep(customer)
        self._put_customer(key, row)
        self._profile(customer)
        return True
