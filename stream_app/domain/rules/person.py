"""The customer as rules see one: what conditions call `customer`, and what sending depends on.

All of it is read from the profile, so it is as of the last event that was folded into that.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Protocol

from stream_app.domain.profile import NAMES, consent_for, customer_zone, view
from stream_app.domain.profile.traits import trait

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.sending import SendingPolicy

TRAIT_EVENTS = frozenset({"Identify", "Signed Up"})
"""The types of event that may change a trait."""
SEGMENTS = "segments"
"""What of the customer is read from the segments."""
LOCATION = "location"
"""The purpose that whoever is told by where she is must have consented to, too."""
PREFERENCE = "preferred_channel"
"""The trait by which customers say on which channel they want to hear from us."""


def names_only_traits(names: frozenset[str] | None) -> bool:
    """Tell whether only traits are named of `customer`, so that it changes with `TRAIT_EVENTS` alone."""
    return names is not None and names.isdisjoint(NAMES)


class Segments(Protocol):
    """The segments in force, as rules see them."""

    @property
    def digest(self) -> str:
        """A fingerprint of their definitions."""

    def of(self, profile: Profile, now: int) -> Collection[str]:
        """Return the names of those that a customer is in at a time (ms)."""


class NoSegments:
    """A deployment without segments."""

    digest = ""

    def of(self, profile: Profile, now: int) -> Collection[str]:  # noqa: ARG002 - as in `Segments`
        """Return none."""
        return ()


def view_of(
    profile: Profile | None, now: int, names: frozenset[str] | None, segments: Segments
) -> Mapping[str, Any]:
    """Return what `customer` means at a time (ms): these names of it, or all."""
    if profile is None:
        return {}
    asked = names is None or SEGMENTS in names
    return view(profile, now, segments.of(profile, now) if asked else (), names)


def zone_of(profile: Profile | None, policy: SendingPolicy) -> str:
    """Return the customer's time zone: the latest event's that has one, else the policy's."""
    zone = None if profile is None else customer_zone(profile)
    return policy.timezone if zone is None else zone


def allowed(
    profile: Profile | None, policy: SendingPolicy, purposes: tuple[str, ...], channels: tuple[str, ...]
) -> list[str]:
    """Return the channels on which there is consent for all of some purposes, the customer's own preference first.

    Of a rule without channels: one without a name, or none.
    """

    def consents(channel: str) -> bool:
        answers = ((one, None if profile is None else consent_for(profile, one, channel)) for one in purposes)
        return all(policy.consents(one, answer) for one, answer in answers)

    found = [channel for channel in channels or ("",) if consents(channel)]
    preferred = None if profile is None else trait(profile.traits, PREFERENCE)
    if preferred in found:
        found.remove(preferred)
        found.insert(0, preferred)
    return found


def date_of(profile: Profile | None, name: str) -> tuple[int, int] | None:
    """Return month and day of a trait that is a date: 1990-02-28, 1990-02-28T.., --02-28 or 02-28."""
    value = None if profile is None else trait(profile.traits, name)
    if not isinstance(value, str):
        return None
    text = value.strip().partition("T")[0].removeprefix("--")
    text = text[-5:] if len(text) in {5, 10} else ""
    try:
        date = dt.date.fromisoformat(f"2000-{text}")
    except ValueError:
        return None
    return date.month, date.day
