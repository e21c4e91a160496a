"""Components: identifiers that live together because evidence connects them (design: IDENTITY).

The component's side of the protocol, as a pure state machine. A component only grows, or joins another:

1. A redirect is written once, and never overwritten; it points to a smaller label, so there are no circles.
   (Shortening a way of several redirects by writing one anew loses unions that are under way.)
2. A redirected component passes on whatever comes for it.
3. A union is complete for its readers from the moment the redirect is written: everything that was held is
   on its way, in chunks; the winner is consistent after each.
4. Every transition may happen twice, and in any order.

message    at         redirected to r             otherwise
-------    --         ---------------             ---------
EVENT      component  forward to r                take it in.  If it was forwarded: REPOINT its identifiers
UNION      loser      r is the winner: nothing.   not granted: OFFER to the winner.
                      Else UNION of r and winner  granted: redirect; send MERGE, and DRAIN to itself if more
OFFER      winner     forward to r                room for the loser: UNION, granted.  None: refuse, report
MERGE      winner     forward to r                take it in.  REPOINT every identifier in it
DRAIN      loser      send the next MERGE         -
REPUBLISH  component  -                           publish the next rows under the customer id of now

OFFER is what the cap on identifiers costs: only the winner knows its own size, and a loser that has been
redirected can't come back. Components may pass the cap by events that name new identifiers, never by unions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.customer import Customer, Customers, Limits, NoRules
from stream_app.domain.keys import label_key
from stream_app.domain.messages import (
    Drain,
    EventTo,
    Merge,
    Moved,
    Offer,
    Opening,
    Repoint,
    Republish,
    Topic,
    Union,
    decode_event,
)
from stream_app.domain.rows import Header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stream_app.domain.customer import ComponentTables, RuleFold
    from stream_app.domain.effects import Effects
    from stream_app.domain.messages import Cause, ComponentMessage, Message
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.rows import LinkRow, TimelineRow


class Components:
    """The components of one partition of `identity.components`."""

    def __init__(
        self,
        policy: IdentityPolicy,
        key: bytes,
        tables: ComponentTables,
        effects: Effects,
        rules: RuleFold | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        """Serve `tables`. `key` is the secret of the customer ids."""
        self._limits = Limits() if limits is None else limits
        self._policy = policy
        self._tables = tables
        self._headers = tables.components
        self._effects = effects
        self._rules: RuleFold = NoRules() if rules is None else rules
        self._customers = Customers(policy, key, tables, effects, self._rules, limits=self._limits)
        self._transitions: dict[type, Callable[[Any], None]] = {
            EventTo: self._event,
            Union: self._union,
            Offer: self._offer,
            Merge: self._merge,
            Drain: self._drain,
            Republish: self._republish,
        }

    def handle(self, message: ComponentMessage) -> None:
        """Make the transition that a message asks for."""
        self._transitions[type(message)](message)

    # -- what others may ask ----------------------------------------------------------------------------

    def redirect(self, label: str) -> str | None:
        """Return the component that `label` has joined, or None."""
        return self._header(label_key(label)).redirect or None

    def customer(self, label: str) -> Customer | None:
        """Return the customer of a component; None where there is none, or it has joined another."""
        header = self._header(label_key(label))
        return self._open(label, header) if header.customer else None

    def save(self, customer: Customer) -> None:
        """Write a customer whose rules' state was changed outside of `handle`."""
        self._customers.save(customer)

    def members(self, label: str) -> Iterator[tuple[str, int]]:
        """Yield the identifiers of a component, each with its first event time (ms)."""
        return self._customers.evidence.members(label_key(label))

    def links(self, label: str) -> Iterator[tuple[str, str, LinkRow]]:
        """Yield the evidence of a component: strongest identifier of an event, another one, the link."""
        return self._customers.evidence.links(label_key(label))

    # -- transitions ------------------------------------------------------------------------------------

    def _event(self, message: EventTo) -> None:
        label = message.label
        prefix = label_key(label)
        header = self._header(prefix)
        if header.redirect:
            moved = msgspec.structs.replace(message, label=header.redirect, origin=message.origin or label)
            self._forward(header.redirect, moved)
            return
        event = decode_event(message.event)
        if message.origin:
            self._repoint(event.identifiers, label, message.origin, message.stamp)
        customer = self._customers.open(label, prefix, header)
        self._customers.take_in(customer, event, bytes(message.event), message.payload, message.stamp)

    def _union(self, message: Union) -> None:
        loser, winner = message.loser, message.winner
        header = self._header(label_key(loser))
        if header.redirect == winner:
            return
        if header.redirect:
            winner, loser = self._policy.ordered(header.redirect, winner)
            self._send(loser, Union(loser, winner, message.cause, message.stamp))
        elif message.granted:
            self._move(loser, header, winner, message.cause, message.stamp)
        else:
            self._send(winner, Offer(winner, loser, header.size, message.cause, message.stamp))

    def _offer(self, message: Offer) -> None:
        header = self._header(label_key(message.winner))
        if header.redirect:
            self._send(header.redirect, msgspec.structs.replace(message, winner=header.redirect))
            return
        size = header.size + message.size
        if size > self._policy.component_cap:
            self._effects.union_refused(message.loser, message.winner, size)
            return
        granted = Union(message.loser, message.winner, message.cause, message.stamp, granted=True)
        self._send(message.loser, granted)

    def _merge(self, message: Merge) -> None:
        label = message.winner
        header = self._header(label_key(label))
        if header.redirect:
            self._forward(header.redirect, msgspec.structs.replace(message, winner=header.redirect))
            return
        customer = self._open(label, header)
        moved = sorted(self._customers.take_over(customer, message))
        self._repoint(moved, label, message.loser, message.stamp)

    def _move(self, label: str, header: Header, winner: str, cause: Cause, stamp: int) -> None:
        """Join another component: the redirect, and the first part of what is held."""
        gone = Header(redirect=winner)
        self._headers.put(label_key(label), gone)
        if not header.customer:
            return
        customer = self._open(label, header)
        opening = Opening(header.customer, cause, self._rules.leave(customer), customer.row.incoming)
        self._tables.customers.delete(customer.prefix)
        # The event that the customer id rests on goes first: the winner's id is right from then on.
        proof = self._customers.timelines.proof(customer.prefix, header.first, header.first_time)
        moved = [] if proof is None else [self._taken(customer.prefix, proof)]
        self._send_part(label, gone, stamp, opening, moved)

    def _drain(self, message: Drain) -> None:
        header = self._header(label_key(message.label))
        if header.redirect and header.chunk == message.chunk:
            self._send_part(message.label, header, message.stamp, None, [])

    def _send_part(
        self, label: str, header: Header, stamp: int, opening: Opening | None, moved: list[Moved]
    ) -> None:
        """Send the next rows and delete them; then the evidence, which the winner derives from the events."""
        prefix = label_key(label)
        rows, following = self._customers.timelines.part(prefix, None, *self._limits)
        moved += [self._taken(prefix, row) for _, row in rows]
        if moved:
            last = following is None
            merge = Merge(header.redirect, label, header.chunk, last, tuple(moved), stamp, opening)
            self._send(header.redirect, merge)
        limit = self._limits.rows
        if following is not None or self._customers.evidence.forget(prefix, limit) == limit:
            header.chunk += 1
            self._headers.put(prefix, header)
            self._send(label, Drain(label, header.chunk, stamp))

    def _taken(self, prefix: bytes, row: TimelineRow) -> Moved:
        self._customers.timelines.remove(prefix, decode_event(row.event))
        return Moved(msgspec.Raw(row.event), row.customer, row.revision)

    def _republish(self, message: Republish) -> None:
        header = self._header(label_key(message.label))
        if header.cursor == message.cursor and not header.redirect:
            self._customers.republish(self._open(message.label, header), message.cursor)

    # -- sending ----------------------------------------------------------------------------------------

    def _open(self, label: str, header: Header) -> Customer:
        return self._customers.open(label, label_key(label), header)

    def _header(self, prefix: bytes) -> Header:
        header = self._headers.get(prefix)
        return Header() if header is None else header

    def _send(self, label: str, message: Message) -> None:
        self._effects.send(Topic.COMPONENTS, label, message)

    def _forward(self, label: str, message: Message) -> None:
        self._effects.forwarded()
        self._send(label, message)

    def _repoint(self, identifiers: Iterable[str], label: str, origin: str, stamp: int) -> None:
        for identifier in identifiers:
            self._effects.send(Topic.LOOKUP, identifier, Repoint(identifier, label, origin, stamp))
