"""The resolver: which component does an identifier live in (design: IDENTITY, "Where it lives")?

A pure state machine: a message and this partition's rows in; changed rows and further messages out. An
identifier is only known by its own label here (see `labels`): no row and no message of the protocol's own holds
a personal value. The rules it keeps:

1. A row's label begins as the identifier's own, and is only ever replaced by a smaller label.
2. A row exists from the first time that its identifier's label was given away (an EVENT or a LINK went out, a
   UNION named it), or that it took another label. So an identifier *without* a row has nothing under its own
   label anywhere, and may adopt the label of who links to it: no component, no union, no move.
3. Every link ends in two rows with labels that are equal or for which a UNION is under way; only then the
   origin hears of it (LINKED) and stops asking.
4. Every transition may happen twice, and in any order.
5. While a LINK is on its way, the same one (same ends, same label, no earlier stamp) isn't sent again. Shoppers come in
   bursts: most links were asked for several times before the first answer, each time with a UNION and an OFFER.

message  row of        transition
-------  ------        ----------
EVENT    the anchor    none: begin it under its own label.  Send EVENT to component <label>, and LINK to each
                       other identifier that isn't a known neighbour.
LINK     the target    none, and the origin's label is smaller: adopt it.  none, else: begin it under its own
                       label.  labels differ: send UNION to the larger.  Always: answer LINKED.
LINKED   the origin    remember the neighbour.
COMMAND  its first     as EVENT: to component <label>; only an assertion links.
REPOINT  identifier    take the label if it is smaller.  Send UNION for the label given up, unless that is the
                       one said to have joined: a REPOINT may overtake the LINK that it stems from.

The memo of links on their way is in memory alone, and may forget. The memo of neighbours is exact and unbounded, but
no row grows with it: the first `KNOWN_INLINE` are in the identifier's own row (one read on the hot path), further ones
have a row each in `neighbours`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.commands import Op
from stream_app.domain.keys import label_key
from stream_app.domain.labels import ordered
from stream_app.domain.messages import (
    CommandAt,
    CommandTo,
    EventAt,
    EventTo,
    Link,
    Linked,
    Repoint,
    Topic,
    Union,
)
from stream_app.domain.rows import KNOWN_INLINE, IdentifierRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.messages import LookupMessage, Message
    from stream_app.domain.ports import Table

    Send = Callable[[Topic, str, Message], None]

MAX_ASKED = 50_000
"""Links on their way that are remembered; then the memory is emptied and fills anew."""


class Resolver:
    """The rows of one partition of `identity.lookup`."""

    def __init__(self, rows: Table[IdentifierRow], neighbours: Table[bool], send: Send) -> None:
        """Serve `rows`; `send(topic, key, message)` is called for every message that goes out."""
        self._rows = rows
        self._neighbours = neighbours
        self._send = send
        self._asked: dict[tuple[str, str], tuple[str, int]] = {}
        """(Anchor, other) -> label and stamp of the LINK that is on its way."""
        self._transitions: dict[type, Callable[[Any], None]] = {
            EventAt: self._event,
            Link: self._link,
            Linked: self._linked,
            Repoint: self._repoint,
            CommandAt: self._command,
        }

    def handle(self, message: LookupMessage) -> None:
        """Make the transition that a message asks for."""
        self._transitions[type(message)](message)

    def reset(self) -> None:
        """Forget what is in memory: the rows, and all that was sent, were rolled back."""
        self._asked.clear()

    def _event(self, message: EventAt) -> None:
        labels = message.labels
        row = self._of(labels[0])
        label = row.label
        self._send(Topic.COMPONENTS, label, EventTo(label, message.event, message.payload, message.stamp))
        if len(labels) > 1:
            self._introduce(row, labels, message.stamp)

    def _command(self, message: CommandAt) -> None:
        labels = message.labels
        row = self._of(labels[0])
        self._send(Topic.COMPONENTS, row.label, CommandTo(row.label, message.command, labels, message.stamp))
        if message.command.op is Op.ASSERT:
            self._introduce(row, labels, message.stamp)

    def _introduce(self, row: IdentifierRow, labels: tuple[str, ...], stamp: int) -> None:
        """Link an anchor, whose row it is, to all others that it isn't known to live with."""
        anchor = labels[0]
        for other in labels[1:]:
            if other not in row.known and not (row.spilled and self._remembered(anchor, other)):
                self._ask(anchor, other, row.label, stamp)

    def _ask(self, anchor: str, other: str, label: str, stamp: int) -> None:
        """Send a LINK, unless one is on its way that does the same and holds time back as long."""
        asked = self._asked.get((anchor, other))
        if asked is not None and asked[0] == label and asked[1] <= stamp:
            return
        if len(self._asked) >= MAX_ASKED:
            self._asked.clear()
        self._asked[anchor, other] = (label, stamp)
        self._send(Topic.LOOKUP, other, Link(other, anchor, label, stamp))

    def _of(self, own: str) -> IdentifierRow:
        key = own.encode()
        row = self._rows.get(key)
        return self._begin(key, own) if row is None else row

    def _link(self, message: Link) -> None:
        target, label = message.target, message.label
        key = target.encode()
        row = self._rows.get(key)
        if row is None:
            if label < target:
                row = IdentifierRow(label)
                self._rows.put(key, row)
            else:
                row = self._begin(key, target)
        if row.label != label:
            winner, loser = ordered(row.label, label)
            self._send(Topic.COMPONENTS, loser, Union(loser, winner, message.stamp))
        self._send(Topic.LOOKUP, message.origin, Linked(message.origin, target))

    def _linked(self, message: Linked) -> None:
        self._asked.pop((message.origin, message.neighbour), None)
        key = message.origin.encode()
        row = self._rows.get(key)
        if row is None or message.neighbour in row.known:
            return
        if len(row.known) < KNOWN_INLINE:
            row.known.add(message.neighbour)
            self._rows.put(key, row)
            return
        self._neighbours.put(label_key(message.origin) + message.neighbour.encode(), True)
        if not row.spilled:
            row.spilled = True
            self._rows.put(key, row)

    def _repoint(self, message: Repoint) -> None:
        key = message.identifier.encode()
        row = self._rows.get(key)
        if row is None:
            if message.label < message.identifier:
                self._rows.put(key, IdentifierRow(message.label))
            return
        given_up = row.label
        if message.label < given_up:
            row.label = message.label
            self._rows.put(key, row)
            if given_up != message.origin:
                union = Union(given_up, message.label, message.stamp)
                self._send(Topic.COMPONENTS, given_up, union)

    def _begin(self, key: bytes, identifier: str) -> IdentifierRow:
        row = IdentifierRow(identifier)
        self._rows.put(key, row)
        return row

    def _remembered(self, anchor: str, other: str) -> bool:
        return self._neighbours.get(label_key(anchor) + other.encode()) is not None
