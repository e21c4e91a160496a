"""Keys of rows: safe as prefixes whatever a label contains, and sorted by time where time is in them.

A label (any text, at most 64 KiB) is written with its length before it, so that no label's rows begin with
another label's prefix. A time (ms, may be before 1970) is 8 bytes, big-endian, shifted to be unsigned, so
that bytes sort as times do. Event ids end a key, so they need no length; UTF-8 sorts as code points do.
"""

from __future__ import annotations

from struct import Struct

_LENGTH = Struct(">H").pack
_TIME = Struct(">Q")
_SHIFT = 1 << 63


def label_key(label: str) -> bytes:
    """Return the prefix of all rows of a component, or of an identifier's neighbours."""
    text = label.encode()
    return _LENGTH(len(text)) + text


def time_key(prefix: bytes, time: int) -> bytes:
    """Return the place of the first possible event at `time` (ms)."""
    return prefix + _TIME.pack(time + _SHIFT)


def timeline_key(prefix: bytes, time: int, event_id: str) -> bytes:
    """Return an event's place on the timeline."""
    return prefix + _TIME.pack(time + _SHIFT) + event_id.encode()


def link_key(prefix: bytes, strongest: str, other: str) -> bytes:
    """Return the key of the evidence that links an event's strongest identifier to another."""
    return prefix + label_key(strongest) + other.encode()


def link_of(prefix: bytes, key: bytes) -> tuple[str, str]:
    """Return (strongest, other) of a `link_key`."""
    start = len(prefix) + 2
    end = start + int.from_bytes(key[start - 2 : start], "big")
    return key[start:end].decode(), key[end:].decode()
