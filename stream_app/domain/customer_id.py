"""The customer id: a keyed hash of the customer's first identifier, so the same evidence gives the same id.

"First" is by (priority, first event time, value): design/IDENTITY, "Who is who".
"""

from __future__ import annotations

import hmac

ID_LENGTH = 32
"""Hexadecimal digits of a customer id: 128 bits of the HMAC."""


def customer_id(first: str, key: bytes) -> str:
    """Return the id of the customer whose first identifier is `first` ("namespace:value").

    HMAC-SHA-256 (RFC 2104) under the deployment's key, shortened to 128 bits.
    """
    return hmac.digest(key, first.encode(), "sha256").hex()[:ID_LENGTH]
