"""Campaigns: what was put before the customer, and what of it she clicked.

An impression is a message that was delivered, or a promotion that was shown. A message is clicked once, by its
`message_id`; without one, and for promotions, every click counts.

Bounds: `MAX_CLICKED` messages are remembered, by hashes, those last clicked for the first time; of another one a
further click counts anew.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from stream_app.domain.numbers.cells import Cell, add, day_of
from stream_app.domain.numbers.visits import LANDINGS, campaign_of
from stream_app.domain.profile.values import text

if TYPE_CHECKING:
    from stream_app.domain.event import Event
    from stream_app.domain.numbers.cells import Tally
    from stream_app.domain.numbers.state import State

MAX_CLICKED = 32
MESSAGE, PROMOTION = "message", "promotion"
IMPRESSIONS = {
    "Email Delivered": MESSAGE,
    "SMS Delivered": MESSAGE,
    "Push Notification Received": MESSAGE,
    "Promotion Viewed": PROMOTION,
}
CLICKS = {"Link Clicked": MESSAGE, "Push Notification Tapped": MESSAGE, "Promotion Clicked": PROMOTION}


def shown(event: Event, tally: Tally) -> None:
    """Take in an impression."""
    where = (IMPRESSIONS[event.type], event.channel, campaign_of(event))
    add(tally, Cell("impressions", day_of(event.time), where), 1)


def click(state: State, event: Event, tally: Tally) -> None:
    """Take in a click. What it leads to is a visit that begins behind it."""
    if event.channel not in LANDINGS:
        state.ongoing.clicked = event.time
    kind = CLICKS[event.type]
    if kind == MESSAGE and not _first_click(state.journey.messages, event):
        return
    add(tally, Cell("clicks", day_of(event.time), (kind, event.channel, campaign_of(event))), 1)


def _first_click(clicked: list[int], event: Event) -> bool:
    """Note that a message was clicked; return whether it hadn't been."""
    name = text(event.properties.get("message_id"))
    if name is None:
        return True
    digest = int.from_bytes(blake2b(f"{event.channel}:{name}".encode(), digest_size=8).digest(), "big")
    if digest in clicked:
        return False
    clicked.append(digest)
    del clicked[:-MAX_CLICKED]
    return True
