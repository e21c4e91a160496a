"""Items recently viewed, across devices: the latest `MAX_VIEWED`, each with its latest view; in any order of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.profile.values import item_of

if TYPE_CHECKING:
    from stream_app.domain.event import Event

MAX_VIEWED = 20


class Viewed(msgspec.Struct, array_like=True, gc=False):
    """An item, and the latest view of it."""

    item: str
    time: int
    event_id: str


def view_item(viewed: list[Viewed], event: Event) -> None:
    """Take in a Product Viewed."""
    item = item_of(event.properties)
    if item is None:
        return
    order = event.order
    items = [view.item for view in viewed]
    if item in items:
        place = items.index(item)
        known = viewed[place]
        if (known.time, known.event_id) > order:
            return
        del viewed[place]
    place = len(viewed)
    while place and (viewed[place - 1].time, viewed[place - 1].event_id) > order:
        place -= 1
    viewed.insert(place, Viewed(item, event.time, event.event_id))
    if len(viewed) > MAX_VIEWED:
        del viewed[0]
