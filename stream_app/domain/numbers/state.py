"""What is kept per customer for all numbers: a fold of her timeline and of what was sent to her, in three parts.

They are three because they change at different paces, and what changes seldom need be neither read nor written with
every event: `Ongoing` with every event of a visit, `Journey` with one in four, `bookings` with an order. `changed` says
which an entry may have changed. What was told of the fold is not in here: see telling.py. All times in ms since the
epoch.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from stream_app.domain.numbers.attribution import Touch  # noqa: TC001 - msgspec resolves the fields' types at run time
from stream_app.domain.numbers.sends import Send  # noqa: TC001
from stream_app.domain.numbers.visits import Visit  # noqa: TC001
from stream_app.domain.profile.values import BEGINNING, Place

EDITION = 1
"""Changes whenever the same entries would give other increments or another state: what others folded is void."""


class Ongoing(msgspec.Struct, array_like=True, gc=False):
    """What goes on.

    Attributes:
        edition: by whose definitions all three parts were folded.
        visits: the latest visit on each channel.
        clicked: the time of a click that hasn't led anywhere yet.
        sent: place of the last send that was folded, or taking back.
    """

    edition: int = EDITION
    visits: dict[str, Visit] = msgspec.field(default_factory=dict)
    clicked: int | None = None
    sent: Place = BEGINNING


class Journey(msgspec.Struct, array_like=True, gc=False):
    """What has happened.

    Attributes:
        cohort: month of the first visit.
        month: month of the latest one.
        touches: those that may have a share in an order, ascending.
        messages: hashes of the messages clicked last.
        sends: triggers whose outcome is open, ascending.
    """

    cohort: int | None = None
    month: int | None = None
    touches: list[Touch] = msgspec.field(default_factory=list)
    messages: list[int] = msgspec.field(default_factory=list)
    sends: list[Send] = msgspec.field(default_factory=list)


class State(Protocol):
    """One customer's parts, wherever they are."""

    @property
    def ongoing(self) -> Ongoing:
        """See there."""

    @property
    def journey(self) -> Journey:
        """See there."""

    @property
    def bookings(self) -> dict[str, bytes]:
        """MessagePack of the orders' bookings, by id, of those that the profile knows."""


class Numbers(msgspec.Struct, array_like=True, gc=False):
    """The parts in one piece: as they are folded again, and kept beside a checkpoint."""

    ongoing: Ongoing = msgspec.field(default_factory=Ongoing)
    journey: Journey = msgspec.field(default_factory=Journey)
    bookings: dict[str, bytes] = msgspec.field(default_factory=dict)
