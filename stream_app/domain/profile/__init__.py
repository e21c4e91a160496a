"""The profile of a customer: a pure fold of her timeline. Read folding.py first, then the part that you look for."""

from stream_app.domain.profile.chosen import apply, fold
from stream_app.domain.profile.conclude import customer_zone, zone_of
from stream_app.domain.profile.customer_view import DAY_MS, DAY_NAMES, NAMES, day_changes, view
from stream_app.domain.profile.folding import consent_for
from stream_app.domain.profile.state import Profile
from stream_app.domain.profile.values import BEGINNING, END, MICROS, Place

__all__ = [
    "BEGINNING",
    "DAY_MS",
    "DAY_NAMES",
    "END",
    "MICROS",
    "NAMES",
    "Place",
    "Profile",
    "apply",
    "consent_for",
    "customer_zone",
    "day_changes",
    "fold",
    "view",
    "zone_of",
]
