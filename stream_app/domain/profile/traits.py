"""Traits: what the customer told or CRM knows, from Identify and Signed Up; in any order of events.

Every property that is a scalar is a trait; the latest counts, and null says that it is no longer known. Bound: the
latest `MAX_TRAITS`; a text longer than `MAX_TRAIT_TEXT` is not kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stream_app.domain.profile.values import Latest

if TYPE_CHECKING:
    from stream_app.domain.event import Event, Scalar

MAX_TRAITS = 64
MAX_TRAIT_TEXT = 512


def tell(traits: dict[str, Latest], event: Event) -> None:
    """Take in an event of `TRAIT_EVENTS`."""
    for name, value in event.properties.items():
        if not 0 < len(name) <= MAX_TRAIT_TEXT or not _is_trait(value):
            continue
        old = traits.get(name)
        if old is None or event.order > (old.time, old.event_id):
            traits[name] = Latest(value, event.time, event.event_id)
    while len(traits) > MAX_TRAITS:
        del traits[min(traits, key=lambda name: (traits[name].time, traits[name].event_id, name))]


def trait(traits: dict[str, Latest], name: str) -> Scalar:
    """Return a trait's value; None where it is not known."""
    known = traits.get(name)
    return None if known is None else known.value


def _is_trait(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TRAIT_TEXT
    return value is None or (isinstance(value, bool | int | float) and math.isfinite(value))


TRAIT_EVENTS = frozenset({"Identify", "Signed Up"})
