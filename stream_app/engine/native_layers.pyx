# cython: language_level=3, binding=False
"""Reads and writes a table's layers as `layers` does, natively.

It takes all that `layers.Layers` does, and refuses a key that isn't `bytes`, which nobody has. Scans, and what an epoch
ends with, are left to `store.Table`, which is a subclass of either. Its methods aren't `binding`: bound once, as the
native part of the domain has them, they are called without a tuple of arguments, and without a frame.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.string cimport memcpy

from types import GenericAlias


cdef bytes _whole(bytes prefix, bytes key):
    """Return the whole key of a row."""
    cdef Py_ssize_t ahead = PyBytes_GET_SIZE(prefix), size = PyBytes_GET_SIZE(key)
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, ahead + size)
    memcpy(PyBytes_AS_STRING(whole), PyBytes_AS_STRING(prefix), ahead)
    memcpy(PyBytes_AS_STRING(whole) + ahead, PyBytes_AS_STRING(key), size)
    return whole


cdef class Layers:
    """The layers of one table."""

    cdef public object spec
    cdef readonly bytes prefix
    cdef readonly Py_ssize_t room
    cdef readonly dict overlay, cache
    cdef object _read, _decode

    __class_getitem__ = classmethod(GenericAlias)

    def __init__(self, spec: object, rows: object, Py_ssize_t room) -> None:
        """Begin with nothing written; as `layers.Layers`."""
        self.spec = spec
        self.prefix = spec.prefix
        self.room = room if spec.cached else 0
        self.overlay = {}
        self.cache = {}
        self._read = rows.get
        self._decode = spec.decode

    def get(self, bytes key not None) -> object:
        """Return the row of `key`, or None. Sees this epoch's own writes."""
        cdef PyObject* found = PyDict_GetItemWithError(self.overlay, key)
        if found != NULL:
            return <object> found
        if self.room:  # else nothing is cached
            found = PyDict_GetItemWithError(self.cache, key)
            if found != NULL:
                return <object> found
        value = self._read(_whole(self.prefix, key))
        if value is not None:
            value = self._decode(value)
        if self.room:
            self.cache[key] = value
        return value

    def put(self, bytes key not None, value: object) -> None:
        """Write a row."""
        self.overlay[key] = value

    def delete(self, bytes key not None) -> None:
        """Remove a row; nothing happens when there is none."""
        self.overlay[key] = None

    def changes(self) -> list:
        """Return this epoch's writes, encoded, under whole keys."""
        cdef list changes = []
        cdef bytes prefix = self.prefix, key
        encode = self.spec.encode
        for key, value in self.overlay.items():
            changes.append((_whole(prefix, key), None if value is None else encode(value)))
        return changes
