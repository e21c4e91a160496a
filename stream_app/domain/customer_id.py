"""The customer id: a keyed hash of the customer's first identifier, so the same evidence gives the same id.

"First" is by (priority, first event time, value): design/IDENTITY, "Who is who".
"""

from __future__ import annotations

import hmac
from hashlib import sha256

ID_LENGTH = 32
"""Hexadecimal digits of a customer id: 128 bits of the HMAC."""


def customer_id(first: str, key: bytes) -> str:
    """Return the id of the customer whose first identifier is `first` ("namespace:value").

    HMAC-SHA-256 (RFC 2104) under the deployment's key, shortened to 128 bits.
    """
    return hmac.digest(key, first.encode(), "sha256").hex()[:ID_LENGTH]


_BLOCK = 64
"""Bytes that SHA-256 takes in at a time: what a key of an HMAC is filled up to."""
_INNER, _OUTER = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))
REMEMBERED = 20_000
"""Ids that one key remembers; then its memory is emptied and fills anew."""


class CustomerIds:
    """The ids under one key: `customer_id`, for whoever asks often.

    Both of the HMAC's hashes begin with the key, so that is hashed once, and every id goes on from copies: 0.7 us
    instead of 1.7. A third of all ids is asked for again, when their customer gets another identifier or moves.
    """

    def __init__(self, key: bytes) -> None:
        """Take the key in."""
        if len(key) > _BLOCK:
            key = sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner, self._outer = sha256(key.translate(_INNER)), sha256(key.translate(_OUTER))
        self._known: dict[str, str] = {}

    def of(self, first: str) -> str:
        """Return the id of the customer whose first identifier is `first`."""
        found = self._known.get(first)
        if found is None:
            inner, outer = self._inner.copy(), self._outer.copy()
            inner.update(first.encode())
            outer.update(inner.digest())
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[first] = outer.hexdigest()[:ID_LENGTH]
        return found
