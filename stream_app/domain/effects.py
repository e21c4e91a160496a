"""What handling a message at a component leads to, beside changed rows: the caller publishes it.

The calls come in the order in which things happened, within the handling of one message.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from stream_app.domain.commands import Command
    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.messages import Message, Topic


class Change(StrEnum):
    """What happened to customers, or what an operator had happen."""

    CREATED = "created"
    RENAMED = "renamed"
    MERGED = "merged"
    SPLIT = "split"
    ENDED = "ended"
    ASSERTED = "asserted"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    BLOCKED = "blocked"
    RELEASED = "released"
    ERASED = "erased"


class Cause(msgspec.Struct, frozen=True):
    """What brought a change about.

    Attributes:
        time: event time, or the command's time, ms.
        evidence: identifiers: the event's, strongest first, or the command's.
        event_id: of an event.
        command_id: of a command; also who gave it, and why.
        operator: see `command_id`.
        reason: see `command_id`.
    """

    time: int
    evidence: tuple[str, ...] = ()
    event_id: str | None = None
    command_id: str | None = None
    operator: str | None = None
    reason: str | None = None


def cause_of(command: Command, evidence: tuple[str, ...]) -> Cause:
    """Return a command as a cause."""
    return Cause(
        command.time,
        evidence,
        command_id=command.command_id,
        operator=command.operator,
        reason=command.reason,
    )


class IdentityChange(msgspec.Struct, frozen=True):
    """A line of `identity.changes`.

    Attributes:
        change: what happened.
        previous: customer ids before; empty for created.
        into: customer ids after; empty for erased and ended.
        cause: why.
    """

    change: Change
    previous: tuple[str, ...]
    into: tuple[str, ...]
    cause: Cause


class Effects(Protocol):
    """Called by `Components`; the engine's side implements it."""

    def send(self, topic: Topic, key: str, message: Message) -> None:
        """Send a message of the protocol."""

    def applied(self, customer: str, event: Event, payload: bytes, *, late: bool) -> None:
        """Publish a new timeline row, revision 0. `late`: it wasn't the customer's latest event.

        `payload` came with the event, for `customer.timeline`.
        """

    def moved(self, customer: str, previous: str, event: Event, revision: int) -> None:
        """Publish a timeline row again: another customer's ("" before: nobody's), or another content."""

    def removed(self, customer: str, event: Event, revision: int) -> None:
        """Publish that a timeline row is gone; what is personal has been taken out of the event.

        `customer` "": it never was on a timeline (revision 0), a policy or an operator forbids it.
        """

    def duplicate(self, event: Event) -> None:
        """Count a copy of an event that is there already."""

    def conflict(self, event: Event, standing: Event) -> None:
        """Dead-letter an event: another content stands under its id (it may have been applied before)."""

    def identity(self, change: IdentityChange) -> None:
        """Publish a change of customers."""

    def gone(self, customer: str) -> None:
        """End the profile of a customer id that nobody has any more."""

    def profile(self, customer: Customer) -> None:
        """Publish a customer's changed profile; an epoch's last is enough. It changes in place."""

    def forwarded(self) -> None:
        """Count an event or chunk that was passed on to where its component has gone."""

    def union_refused(self, size: int) -> None:
        """Count and report a union that would have made a component of `size` identifiers."""

    def link_refused(self, reason: str, namespace: str) -> None:
        """Count a link that joins nothing; `namespace` is that of the limit, or ""."""

    def shared(self, namespace: str, *, released: bool) -> None:
        """Count an identifier that was found shared, or is no longer."""
