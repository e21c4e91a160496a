"""What follows from several parts of a profile: the time zone, the loyalty tier, and what a customer prefers.

What the customer said (a trait) goes before what was counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.local_time import UTC_NAME
from stream_app.domain.profile import whereabouts
from stream_app.domain.profile.preferences import hour_of_most, most
from stream_app.domain.profile.traits import trait
from stream_app.domain.profile.values import number, text

if TYPE_CHECKING:
    from stream_app.domain.profile.state import Profile

HOURS = 24


def zone_of(profile: Profile) -> str:
    """Return the IANA name of the customer's time zone; UTC where nothing tells it."""
    return customer_zone(profile) or UTC_NAME


def customer_zone(profile: Profile) -> str | None:
    """Return the IANA name of the customer's time zone, if anything tells it."""
    return whereabouts.zone_of(profile.where)


def preferred_channel(profile: Profile) -> str | None:
    """Return what the customer said, else the channel of most of what she did; of equals the one used last."""
    said = _said(profile, "preferred_channel")
    if said is not None:
        return said
    best, rank = None, (0, 0, "")
    for name, one in profile.seen.items():
        if one.active and (one.active, one.last, name) > rank:
            best, rank = name, (one.active, one.last, name)
    return best


def preferred_store(profile: Profile) -> str | None:
    """Return what the customer said, else the shop met most often."""
    return _said(profile, "preferred_store") or most(profile.stores)


def preferred_category(profile: Profile) -> str | None:
    """Return what the customer said, else the category met most often."""
    return _said(profile, "preferred_category") or most(profile.categories)


def preferred_size(profile: Profile) -> str | None:
    """Return what the customer said, else the size ordered most often."""
    return _said(profile, "preferred_size") or _said(profile, "size") or most(profile.sizes)


def preferred_hour(profile: Profile, zone: str | None = None) -> int | None:
    """Return what the customer said, else the local hour (of `zone`, if known) in which she is active most often."""
    said = number(trait(profile.traits, "preferred_hour")) if profile.traits else None
    if said is not None and 0 <= said < HOURS:
        return int(said)
    return hour_of_most(profile.active, zone or zone_of(profile))


def loyalty_tier(profile: Profile) -> str | None:
    """Return the tier that the programme says, else CRM."""
    loyalty = profile.loyalty
    if loyalty is not None and loyalty.tier is not None:
        return str(loyalty.tier.value)
    return _said(profile, "loyalty_tier")


def loyalty_points(profile: Profile) -> int | float | None:
    """Return the points that the programme says, else CRM."""
    loyalty = profile.loyalty
    known = trait(profile.traits, "loyalty_points")
    return number(known if loyalty is None or loyalty.points is None else loyalty.points.value)


def _said(profile: Profile, name: str) -> str | None:
    return text(trait(profile.traits, name)) if profile.traits else None
