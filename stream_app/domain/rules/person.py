"""The customer as rules see one: what conditions call `customer`, and what sending depends on.

All of it is read from the profile, so it is as of the last event that was folded into that.
"""

from __future__ import annotations

import datetime as dt
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stream_app.domain.profile import consent_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.sending import SendingPolicy

_NOTHING: Mapping[str, Any] = MappingProxyType({})
TRAIT_EVENTS = frozenset({"Identify", "Signed Up"})
"""The types of event that may change a trait."""
PREFERENCE = "preferred_channel"
"""The trait by which customers say on which channel they want to hear from us."""


def view_of(profile: Profile | None, now: int) -> Mapping[str, Any]:  # noqa: ARG001
    """Return what `customer` means in a condition at a time (ms)."""
    if profile is None:
        return _NOTHING
    return {name: trait.value for name, trait in profile.traits.items()}


def zone_of(profile: Profile | None, policy: SendingPolicy) -> str:
    """Return the customer's time zone: the latest event's that has one, else the policy's."""
    if profile is None or profile.timezone is None:
        return policy.timezone
    return str(profile.timezone.value)


def allowed(
    profile: Profile | None, policy: SendingPolicy, purpose: str, channels: tuple[str, ...]
) -> list[str]:
    """Return the channels on which there is consent for a purpose, the customer's own preference first.

    Of a rule without channels: one without a name, or none.
    """
    answers = None if profile is None else profile
    wanted = channels or ("",)
    found = [
        channel
        for channel in wanted
        if policy.consents(purpose, None if answers is None else consent_for(answers, purpose, channel))
    ]
    preferred = _trait(profile, PREFERENCE)
    if preferred in found:
        found.remove(preferred)
        found.insert(0, preferred)
    return found


def date_of(profile: Profile | None, name: str) -> tuple[int, int] | None:
    """Return month and day of a trait that is a date: 1990-02-28, 1990-02-28T.., --02-28 or 02-28."""
    value = _trait(profile, name)
    if not isinstance(value, str):
        return None
    text = value.strip().partition("T")[0].removeprefix("--")
    text = text[-5:] if len(text) in {5, 10} else ""
    try:
        date = dt.date.fromisoformat(f"2000-{text}")
    except ValueError:
        return None
    return date.month, date.day


def _trait(profile: Profile | None, name: str) -> Any:
    trait = None if profile is None else profile.traits.get(name)
    return None if trait is None else trait.value
