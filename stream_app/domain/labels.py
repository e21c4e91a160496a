"""Labels: what an identifier is called where only co-location matters (design: IDENTITY, "Where it lives").

A label stands for an identifier as a keyed hash, so that neither the resolver nor the key of any row holds a
personal value, and an erased person leaves none behind. It begins with the priority of the identifier's
namespace, written so that labels sort as texts by (priority, hash): the smaller one wins a union, a known
person absorbs an anonymous visitor, and no person's label is systematically the smallest.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_app.domain.policy import IdentityPolicy

_REMEMBERED = 1 << 17
_FIRST_LENGTH = ord("a")


class Labels:
    """Labels under one policy and one deployment's key."""

    def __init__(self, policy: IdentityPolicy, key: bytes) -> None:
        """Prepare; `key` is the deployment's secret."""
        self._policy = policy
        self._key = sha256(b"raccord label" + key).digest()
        self._known: dict[str, str] = {}

    def of(self, identifier: str) -> str:
        """Return the label of "namespace:value": 128 bits of BLAKE2b (RFC 7693), keyed, after the priority."""
        label = self._known.get(identifier)
        if label is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            digest = blake2b(identifier.encode(), digest_size=16, key=self._key).digest()
            place = str(self._policy.priority(identifier))
            length = chr(_FIRST_LENGTH + len(place) - 1)
            label = f"{length}{place}.{urlsafe_b64encode(digest)[:22].decode()}"
            self._known[identifier] = label
        return label


def ordered(one: str, other: str) -> tuple[str, str]:
    """Return two labels as (winner, loser)."""
    return (one, other) if one <= other else (other, one)
