"""The name of a trigger: the same for the same evidence, whoever the customer turns out to be."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_encode = msgspec.json.Encoder().encode


def trigger_id(rule: str, version: int, evidence: Sequence[str], repeat: int = 0) -> str:
    """Hash rule, version, the number of a repeat and the ids of the opening events into 32 hex characters.

    The customer's id is no part of it, so that a merge or a split doesn't change it.
    """
    return blake2b(_encode([rule, version, repeat, evidence]), digest_size=16).hexdigest()
