"""What is kept per customer for all numbers: a fold of her timeline and of what was sent to her.

What was told of it is not in here: see telling.py. All times in ms since the epoch.
"""

from __future__ import annotations

import msgspec

from stream_app.domain.numbers.attribution import Touch  # noqa: TC001 - msgspec resolves the fields' types at run time
from stream_app.domain.numbers.sends import Send  # noqa: TC001
from stream_app.domain.numbers.visits import Visit  # noqa: TC001
from stream_app.domain.profile.values import BEGINNING, Place

EDITION = 1
"""Changes whenever the same entries would give other increments or another state: what others folded is void."""


class Numbers(msgspec.Struct, array_like=True, gc=False):
    """One customer.

    Attributes:
        edition: by whose definitions it was folded.
        visits: the latest, by channel.
        touches: those that may have a share in an order, ascending.
        clicked: time of a click in a message that hasn't led anywhere yet.
        cohort: month of the first visit.
        month: month of the latest one.
        messages: hashes of the messages clicked last.
        bookings: MessagePack of the orders' bookings by id, as the profile knows the orders.
        sends: triggers whose outcome is open, ascending.
        sent: place of the last send that was folded, or taking back.
    """

    edition: int = EDITION
    visits: dict[str, Visit] = msgspec.field(default_factory=dict)
    touches: list[Touch] = msgspec.field(default_factory=list)
    clicked: int | None = None
    cohort: int | None = None
    month: int | None = None
    messages: list[int] = msgspec.field(default_factory=list)
    bookings: dict[str, bytes] = msgspec.field(default_factory=dict)
    sends: list[Send] = msgspec.field(default_factory=list)
    sent: Place = BEGINNING
