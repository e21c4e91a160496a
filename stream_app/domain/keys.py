"""Keys of rows: safe as prefixes whatever a text contains, and sorted by time where time is in them.

A label (any text, at most 64 KiB) is written with its length before it, so that no label's rows begin with
another label's prefix. A slot is 4 bytes, a time (ms, may be before 1970) 8 bytes, big-endian, shifted to be
unsigned, so that bytes sort as times do. Event ids and identifiers end a key, so they need no length; UTF-8
sorts as code points do.
"""

from __future__ import annotations

from struct import Struct

import msgspec

_LENGTH = Struct(">H").pack
_SLOT = Struct(">I")
_NO_SLOT = b"\xff" * _SLOT.size
_TIME = Struct(">Q")
_SHIFT = 1 << 63
_names = msgspec.msgpack.Encoder().encode
_names_of = msgspec.msgpack.Decoder(tuple[str, ...]).decode


def label_key(label: str) -> bytes:
    """Return the prefix of all rows of a component, or of an identifier's neighbours."""
    text = label.encode()
    return _LENGTH(len(text)) + text


def label_of(key: bytes, at: int) -> str:
    """Return the label that a `label_key` at a place in a key holds."""
    end = at + 2 + int.from_bytes(key[at : at + 2], "big")
    return key[at + 2 : end].decode()


def slot_key(prefix: bytes, slot: int) -> bytes:
    """Return the key of a customer's row, and the prefix of its other rows."""
    return prefix + _SLOT.pack(slot)


def slot_of(prefix: bytes, key: bytes) -> int:
    """Return the slot in a key that begins with `slot_key(prefix, slot)`."""
    return int(_SLOT.unpack_from(key, len(prefix))[0])


def time_key(prefix: bytes, time: int) -> bytes:
    """Return the place of the first possible event at `time` (ms); `prefix` is a customer's."""
    return prefix + _TIME.pack(time + _SHIFT)


def timeline_key(prefix: bytes, time: int, event_id: str) -> bytes:
    """Return an event's place on the timeline; `prefix` is a customer's."""
    return prefix + _TIME.pack(time + _SHIFT) + event_id.encode()


def place_of(prefix: bytes, key: bytes) -> tuple[int, str]:
    """Return (event time in ms, event id) of a `timeline_key`."""
    at = len(prefix)
    return _TIME.unpack_from(key, at)[0] - _SHIFT, key[at + _TIME.size :].decode()


def event_id_of(prefix: bytes, key: bytes) -> bytes:
    """Return the event id, as UTF-8, in the `timeline_key` of any of its customers; `prefix` is the component's."""
    return key[len(prefix) + _SLOT.size + _TIME.size :]


def names_key(prefix: bytes, names: tuple[str, ...]) -> bytes:
    """Return the key of what is kept about a combination of identifiers."""
    return prefix + _names(names)


def names_of(prefix: bytes, key: bytes) -> tuple[str, ...]:
    """Return the identifiers in a `names_key`."""
    return _names_of(key[len(prefix) :])


def waiting_key(prefix: bytes, time: int, command_id: str) -> bytes:
    """Return the place of a command among those that wait, the earliest first; `prefix` is a component's."""
    return prefix + _TIME.pack(time + _SHIFT) + command_id.encode()


def timer_key(label: str, slot: int) -> bytes:
    """Return what a customer's timers are set with; with the slot of nobody, the component's own."""
    return _SLOT.pack(slot) + label.encode()


def timer_of(key: bytes) -> tuple[str, int]:
    """Return (label, slot) of a `timer_key`."""
    return key[_SLOT.size :].decode(), int(_SLOT.unpack_from(key)[0])


def membership_key(customer_id: str) -> bytes:
    """Return what a customer's timer for segments is set with."""
    return _NO_SLOT + customer_id.encode()


def membership_of(key: bytes) -> str:
    """Return the customer id of a `membership_key`; "" for a `timer_key`."""
    return key[_SLOT.size :].decode() if key.startswith(_NO_SLOT) else ""
