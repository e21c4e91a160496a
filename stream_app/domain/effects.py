"""What handling a message at a component leads to, beside changed rows: the caller publishes it.

The calls come in the order in which things happened, within the handling of one message.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.messages import Message, Topic


class Change(StrEnum):
    """How a customer came to have its id."""

    CREATED = "created"
    RENAMED = "renamed"
    MERGED = "merged"


class IdentityChange(msgspec.Struct, frozen=True):
    """A line of `identity.changes`.

    Attributes:
        change: what happened.
        customer: the id from now on.
        previous: the id that ends with this; None where the customer is new.
        evidence: the identifiers that caused it: the event's, strongest first, or the two ends of the link
            that made two components one.
        event_id: the event that caused it; None for a link (see the evidence rows for its events).
        time: event time of what caused it, ms; of a merge, that of the latest event that came with it.
    """

    change: Change
    customer: str
    previous: str | None
    evidence: tuple[str, ...]
    event_id: str | None
    time: int


class Effects(Protocol):
    """Called by `Components`; the engine's side implements it."""

    def send(self, topic: Topic, key: str, message: Message) -> None:
        """Send a message of the protocol."""

    def applied(self, customer: str, event: Event, payload: bytes, *, late: bool) -> None:
        """Publish a new timeline row, revision 0. `late`: it wasn't the customer's latest event.

        `payload` came with the event, for `customer.timeline`.
        """

    def moved(self, customer: str, previous: str, event: Event, revision: int) -> None:
        """Publish a timeline row again, under another customer id or with the content that now stands."""

    def duplicate(self, event: Event) -> None:
        """Count a copy of an event that is there already."""

    def conflict(self, event: Event, standing: Event) -> None:
        """Dead-letter an event: another content stands under its id (it may have been applied before)."""

    def identity(self, change: IdentityChange) -> None:
        """Publish a change of customer ids. The profile of `change.previous` is gone."""

    def profile(self, customer: Customer) -> None:
        """Publish a customer's changed profile; an epoch's last is enough. It changes in place."""

    def forwarded(self) -> None:
        """Count an event or chunk that was passed on to where its component has gone."""

    def union_refused(self, loser: str, winner: str, size: int) -> None:
        """Count and report a union that would have made a component of `size` identifiers."""
