"""The profile of a customer: a pure fold of her timeline. Read fold.py first, then the part that you look for."""

from stream_app.domain.profile.fold import apply, consent_for, fold
from stream_app.domain.profile.state import Profile
from stream_app.domain.profile.values import MICROS
from stream_app.domain.profile.view import DAY_MS, DAY_NAMES, NAMES, customer_zone, day_changes, view, zone_of

__all__ = [
    "DAY_MS",
    "DAY_NAMES",
    "MICROS",
    "NAMES",
    "Profile",
    "apply",
    "consent_for",
    "customer_zone",
    "day_changes",
    "fold",
    "view",
    "zone_of",
]
