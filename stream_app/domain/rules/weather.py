"""What `weather` and `season` mean to a customer: where she is, as far as a rule may know it.

1. In a rule with `near`: at the store that she came to.
2. Else, if she lets it be known (the purpose `location`) on every channel that the message may take: at her
   last position.
3. Else at the shop that she prefers, by her own word or by where she was most often.
4. Else nowhere: there is no weather, and the seasons are the north's.

Of several stations the nearest that has spoken lately; nearer ones that are silent are passed over. Judged is as of a
time, by what was said up to then: so a fold from nothing, a merge or a replay finds the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.local_time import to_local
from stream_app.domain.profile.conclude import preferred_store
from stream_app.domain.rules.person import zone_of

if TYPE_CHECKING:
    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.sending import SendingPolicy
    from stream_app.domain.rules.state import Spot
    from stream_app.domain.rules.surroundings import Surroundings

OUTDOORS = frozenset({"weather", "season"})
"""The variables."""
SEASONS = ("winter", "spring", "summer", "autumn")
"""Of the north, as meteorologists have them: three whole months each, winter from December on."""

Position = tuple[float, float]
"""Latitude and longitude."""


def position_of(
    spot: Spot | None, profile: Profile | None, surroundings: Surroundings, time: int, *, located: bool
) -> Position | None:
    """Return where a customer is at a time (ms); `located`: whether she may be told by where she is."""
    if spot is not None:
        return _store(spot.store, surroundings, time)
    if profile is None:
        return None
    fix = profile.where.fix
    if located and fix is not None:
        return fix.latitude, fix.longitude
    store = preferred_store(profile)
    return None if store is None else _store(store, surroundings, time)


def _store(store_id: str, surroundings: Surroundings, time: int) -> Position | None:
    store = surroundings.store(store_id, time)
    return None if store is None else (store.latitude, store.longitude)


def season_of(
    position: Position | None, profile: Profile | None, policy: SendingPolicy, time: int
) -> str | None:
    """Return the season by the customer's calendar at a time (ms); None beyond the calendar."""
    try:
        month = to_local(time, zone_of(profile, policy)).month
    except OverflowError:
        return None
    half_a_year = 2 if position is not None and position[0] < 0 else 0
    return SEASONS[(month % 12 // 3 + half_a_year) % 4]
