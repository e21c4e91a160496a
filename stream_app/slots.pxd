# cython: language_level=3
"""The fields of msgspec's structs, read and written where their objects hold them.

An attribute costs native code some ten times what it costs Python, which remembers by place of code where a class has
it; and structs are all that rows and profiles are made of. `place_of` asks the class where a field is, once, so that
nothing is assumed of how msgspec or Python lay structs out: where they would do it otherwise, it is an ImportError,
and the Python code runs.

What is held may be of any type, or nothing (a field that was deleted): who reads it looks first.
"""

from cpython.object cimport PyObject, Py_TYPE
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <structmember.h>
    #define raccord_is_member(one) (Py_TYPE(one) == &PyMemberDescr_Type)
    #define raccord_member_type(one) (((PyMemberDescrObject *)(one))->d_member->type)
    #define raccord_member_offset(one) (((PyMemberDescrObject *)(one))->d_member->offset)
    """
    bint raccord_is_member(object one)
    int raccord_member_type(object one)
    Py_ssize_t raccord_member_offset(object one)
    int T_OBJECT_EX
    void Py_XDECREF(PyObject* one)
    bint PyLong_CheckExact(PyObject* one)
    bint PyUnicode_CheckExact(PyObject* one)
    long long PyLong_AsLongLongAndOverflow(PyObject* one, int* overflow)

cdef enum:
    IS_TRACKED = 1 << 14  # Py_TPFLAGS_HAVE_GC: such an object would have to be told of what it comes to hold


cdef inline Py_ssize_t place_of(object struct, str name) except -1:
    """Return where the objects of a struct hold a field, in bytes from their beginning."""
    descriptor = struct.__dict__.get(name)
    if not raccord_is_member(descriptor) or raccord_member_type(descriptor) != T_OBJECT_EX:
        raise ImportError(f"{struct.__name__}.{name} isn't held as is expected")
    cdef Py_ssize_t offset = raccord_member_offset(descriptor)
    cdef Py_ssize_t room = struct.__basicsize__
    if offset < <Py_ssize_t> sizeof(PyObject) or offset > room - <Py_ssize_t> sizeof(PyObject*):
        raise ImportError(f"{struct.__name__}.{name} isn't held as is expected")
    if struct.__flags__ & IS_TRACKED:
        raise ImportError(f"the garbage collector looks after {struct.__name__}")
    return offset


cdef inline PyObject* slot(PyObject* one, Py_ssize_t place) noexcept:
    """Return what an object holds there, borrowed from it; NULL: nothing."""
    return (<PyObject**> (<char*> one + place))[0]


cdef inline void put(PyObject* one, Py_ssize_t place, object value) noexcept:
    """Have an object hold a value there."""
    cdef PyObject** held = <PyObject**> (<char*> one + place)
    cdef PyObject* before = held[0]
    Py_INCREF(value)
    held[0] = <PyObject*> value
    Py_XDECREF(before)


cdef inline bint is_a(PyObject* one, object exactly) noexcept:
    """Return whether something is there, and of just this type."""
    return one != NULL and <PyObject*> Py_TYPE(<object> one) == <PyObject*> exactly


cdef inline bint is_text(PyObject* one) noexcept:
    """Return whether something is there, and a string."""
    return one != NULL and PyUnicode_CheckExact(one)


cdef inline bint is_whole(PyObject* one, int64_t* value) noexcept:
    """Return whether something is there, and an integer that can be counted up in 64 bits; `value` becomes it."""
    cdef int overflow = 0
    if one == NULL or not PyLong_CheckExact(one):
        return False
    value[0] = PyLong_AsLongLongAndOverflow(one, &overflow)
    return overflow == 0 and -(<int64_t> 1 << 62) < value[0] < (<int64_t> 1 << 62)
