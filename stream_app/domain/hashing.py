"""Values as keyed hashes: what stands for a value whose namespace keeps none (design: IDENTITY, "Keeping it sane").

`hmac-<key id>-<hash>`. The key is derived from the deployment's secret, so that no other use of the secret gives the
same hashes. The key id is the beginning of a hash of the derived key: it tells nothing of the key, and two keys apart.
The hash is HMAC-SHA-256 (RFC 2104) over "namespace:value", so that one value in two namespaces has two hashes,
shortened to 128 bits, as customer ids are: that any two of a thousand million values share one has a probability of
2^-69, and an identifier, which is in every row and message, takes 46 characters for its value instead of 78.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

_CONTEXT = b"raccord identifier hash"
"""What the key is derived for. Customer ids are hashes under the secret itself, of texts that all have a colon."""

_KEY_ID_LENGTH = 8
_HASH_LENGTH = 32
_FORM = re.compile(rf"hmac-[0-9a-f]{{{_KEY_ID_LENGTH}}}-[0-9a-f]{{{_HASH_LENGTH}}}")


class Hashes:
    """Hashes of values under one deployment's secret."""

    def __init__(self, secret: bytes) -> None:
        """Derive the key."""
        self._key = hmac.digest(secret, _CONTEXT, "sha256")
        self.key_id = sha256(self._key).hexdigest()[:_KEY_ID_LENGTH]
        self._prefix = f"hmac-{self.key_id}-"

    def of(self, namespace: str, value: str) -> str:
        """Return what stands for a normalised value."""
        digest = hmac.digest(self._key, f"{namespace}:{value}".encode(), "sha256")
        return self._prefix + digest.hex()[:_HASH_LENGTH]

    def made(self, text: str) -> bool:
        """Tell whether a text that has the form of a hash was made under this key."""
        return text.startswith(self._prefix)


def is_hash(text: str) -> bool:
    """Tell whether a text has the form of a hash, under whatever key."""
    return _FORM.fullmatch(text) is not None
