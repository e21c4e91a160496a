"""Ratings that a customer gave, 1 to 5: of how she was served, and of products; in any order of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.profile.values import MICROS, Latest, later, number

if TYPE_CHECKING:
    from stream_app.domain.event import Event

LOWEST, HIGHEST = 1, 5


class Ratings(msgspec.Struct, array_like=True, gc=False):
    """How many, their sum in millionths, and the latest."""

    count: int
    total: int
    latest: Latest


def rated(known: Ratings | None, event: Event) -> Ratings | None:
    """Take in an event that may have a `rating`; what isn't between `LOWEST` and `HIGHEST` is none."""
    rating = number(event.properties.get("rating"))
    if rating is None or not LOWEST <= rating <= HIGHEST:
        return known
    if known is None:
        return Ratings(1, round(rating * MICROS), later(None, rating, event))
    known.count += 1
    known.total += round(rating * MICROS)
    later(known.latest, rating, event)
    return known


def average(ratings: Ratings) -> float:
    """Return the mean: sum / count."""
    return ratings.total / MICROS / ratings.count


SATISFACTION_EVENTS = frozenset({"Satisfaction Rated", "Call Ended", "Conversation Ended"})
REVIEW_EVENTS = frozenset({"Product Reviewed"})
