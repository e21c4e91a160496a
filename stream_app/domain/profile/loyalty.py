"""The loyalty programme: tier, points, since when; in any order of events.

Tier: `tier` of the latest Loyalty Joined, Loyalty Points Changed or Loyalty Tier Changed that has one. Points: their
latest `balance`. Without such an event, the traits `loyalty_tier` and `loyalty_points` (see `conclude`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.profile.values import Latest, later, number, text

if TYPE_CHECKING:
    from stream_app.domain.event import Event


class Loyalty(msgspec.Struct, array_like=True, gc=False):
    """What is known: `joined` is the first Loyalty Joined's time, ms."""

    tier: Latest | None = None
    points: Latest | None = None
    joined: int | None = None


def be_loyal(loyalty: Loyalty, event: Event) -> None:
    """Take in an event of `LOYALTY_EVENTS`."""
    tier = text(event.properties.get("tier"))
    if tier is not None:
        loyalty.tier = later(loyalty.tier, tier, event)
    points = number(event.properties.get("balance"))
    if points is not None:
        loyalty.points = later(loyalty.points, points, event)
    if event.type == "Loyalty Joined" and (loyalty.joined is None or event.time < loyalty.joined):
        loyalty.joined = event.time


LOYALTY_EVENTS = frozenset({"Loyalty Joined", "Loyalty Points Changed", "Loyalty Tier Changed"})
