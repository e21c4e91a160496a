"""Satisfaction: answers on a scale of 1 to 5 (CSAT), and would you recommend us, 0 to 10 (NPS).

CSAT takes the `rating` of the events that the profile takes its satisfaction from; 4 and 5 are satisfied customers.
NPS takes `recommend` of a Satisfaction Rated: 9 and 10 are promoters, 0 to 6 detractors. It is a property of its own,
so that one survey may ask both, and so that a 5 is never a 5 on the other scale. What is on neither scale is no answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.numbers.cells import Cell, add, day_of
from stream_app.domain.profile.ratings import HIGHEST, LOWEST
from stream_app.domain.profile.values import number

if TYPE_CHECKING:
    from stream_app.domain.event import Event
    from stream_app.domain.numbers.cells import Tally

SATISFIED = 4
PROMOTER, DETRACTOR, MOST = 9, 6, 10


def answered(event: Event, tally: Tally) -> None:
    """Take in an event that may have a `rating`, and an answer to `recommend`."""
    day, where = day_of(event.time), (event.channel,)
    rating = number(event.properties.get("rating"))
    if rating is not None and LOWEST <= rating <= HIGHEST:
        add(tally, Cell("csat_answers", day, where), 1)
        if rating >= SATISFIED:
            add(tally, Cell("csat_satisfied", day, where), 1)
    if event.type != "Satisfaction Rated":
        return
    recommend = _recommend(event.properties.get("recommend"))
    if recommend is not None:
        add(tally, Cell("nps_answers", day, where), 1)
        if recommend >= PROMOTER:
            add(tally, Cell("nps_promoters", day, where), 1)
        elif recommend <= DETRACTOR:
            add(tally, Cell("nps_detractors", day, where), 1)


def _recommend(value: Any) -> int | None:
    """Return a whole number from 0 to 10; None for anything else."""
    said = number(value)
    return int(said) if said is not None and said == int(said) and 0 <= said <= MOST else None
