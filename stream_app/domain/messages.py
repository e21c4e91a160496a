"""What resolver rows and components say to each other (design: IDENTITY, "Where it lives").

Two topics. `identity.lookup` is keyed by identifier, `identity.components` by label. Messages are MessagePack
arrays, each with its tag first. An event inside is carried as it was encoded (`msgspec.Raw`): the resolve hop
never decodes it. `stamp` (ms) is where the clock stood at the source when the event was read.

Sizes: an event's message is its event and payload plus its identifiers; a `Merge` holds at most
`customer.Limits.size` bytes of events and one event more; all others are a few labels.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from stream_app.domain.commands import Command, Verdict  # noqa: TC001 - msgspec reads it at run time
from stream_app.domain.event import Brief, Event
from stream_app.domain.reference import Said  # noqa: TC001 - msgspec reads it at run time
from stream_app.domain.rows import SightingRow  # noqa: TC001 - msgspec reads it at run time

FAR = 2**62
"""A time (ms) that no clock reaches."""


class Topic(StrEnum):
    """Where a message goes."""

    LOOKUP = "identity.lookup"
    COMPONENTS = "identity.components"


# -- to the row of an identifier ---------------------------------------------------------------------------


class EventAt(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """EVENT: an event, at the row of its strongest identifier (its anchor).

    `labels` are its identifiers' own labels, strongest first; `payload` is what `customer.timeline` will
    carry, opaque here.
    """

    event: msgspec.Raw
    labels: tuple[str, ...]
    payload: bytes
    stamp: int


class EventRead(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """`EventAt` as the first hop writes it, with the event itself: the same bytes, encoded in one go."""

    event: Event
    labels: tuple[str, ...]
    payload: bytes
    stamp: int


class Link(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """LINK: `target` is named beside `origin`, whose label is `label`."""

    target: str
    origin: str
    label: str
    stamp: int


class Linked(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """LINKED: the answer to a `Link`; `origin` may remember `neighbour`."""

    origin: str
    neighbour: str


class Repoint(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """REPOINT: an identifier lives in component `label` now; `origin` is a component that has joined it."""

    identifier: str
    label: str
    origin: str
    stamp: int


class CommandAt(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """COMMAND: an operator's command, at the row of its first identifier.

    `labels` are the own labels of its identifiers; all of them are linked if it is an assertion.
    """

    command: Command
    labels: tuple[str, ...]
    stamp: int


# -- to a component ----------------------------------------------------------------------------------------


class EventTo(msgspec.Struct, frozen=True, array_like=True, tag=11, gc=False):
    """EVENT: an event, at the component it belongs to.

    `origin` is the label that it was first sent to, where that has joined another since; else "".
    """

    label: str
    event: msgspec.Raw
    payload: bytes
    stamp: int
    origin: str = ""


class Union(msgspec.Struct, frozen=True, array_like=True, tag=12, gc=False):
    """UNION, at the loser: it is to join the winner. `granted`: the winner has room (answer to `Offer`)."""

    loser: str
    winner: str
    stamp: int
    granted: bool = False


class Offer(msgspec.Struct, frozen=True, array_like=True, tag=13, gc=False):
    """At the winner: is there room for the loser's `size` identifiers? If so: a granted `Union`."""

    winner: str
    loser: str
    size: int
    stamp: int


class Moved(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event on the move: last published as `revision` under `customer`."""

    event: msgspec.Raw
    customer: str
    revision: int


class MovedSighting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One combination of identifiers on the move."""

    names: tuple[str, ...]
    row: SightingRow


class MovedCustomer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One customer on the move: its id, some of its identifiers, and with the first of them the rules' state."""

    id: str
    members: tuple[str, ...]
    rules: bytes


class MovedVerdict(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What stands about a pair (two names) or an identifier (one)."""

    names: tuple[str, ...]
    verdict: Verdict


class Merge(msgspec.Struct, frozen=True, array_like=True, tag=14, gc=False):
    """MERGE, at the winner: a part of what the loser held. First all its evidence, then all its events.

    `chunk` counts from 0; the last one has `last`. Chunk 0 has what the loser waited for itself: `incoming`,
    `recount` (see `Header`). `erasures` are (identifier's own label, time in ms). `stood` (ms) is where the loser's own
    clock stood at most when it began to go: what was due later is not late for having been on the way.
    """

    winner: str
    loser: str
    chunk: int
    last: bool
    stamp: int
    incoming: dict[str, int]
    recount: tuple[tuple[str, ...], ...]
    customers: tuple[MovedCustomer, ...]
    verdicts: tuple[MovedVerdict, ...]
    erasures: tuple[tuple[str, int], ...]
    sightings: tuple[MovedSighting, ...]
    rows: tuple[Moved, ...]
    stood: int = FAR


class Drain(msgspec.Struct, frozen=True, array_like=True, tag=15, gc=False):
    """At a redirected component, from itself: go on with what is left, from this chunk on; `stood` as in `Merge`."""

    label: str
    chunk: int
    stamp: int
    stood: int = FAR


class Repair(msgspec.Struct, frozen=True, array_like=True, tag=16, gc=False):
    """At a component, from itself: go on moving rows to whose they are; `step` is the slot and key to go on from."""

    label: str
    step: bytes
    stamp: int


class CommandTo(msgspec.Struct, frozen=True, array_like=True, tag=17, gc=False):
    """COMMAND, at the component that holds what it speaks of. `origin` as in `EventTo`."""

    label: str
    command: Command
    labels: tuple[str, ...]
    stamp: int
    origin: str = ""


class Fold(msgspec.Struct, frozen=True, array_like=True, tag=18, gc=False):
    """At a component, from itself: go on folding a customer again; `step` is which turn this is.

    It has no stamp: time need not wait for it, what is due meanwhile is decided when the fold is done.
    """

    label: str
    slot: int
    step: int


class ReferenceRows(msgspec.Struct, frozen=True, array_like=True, tag=19, gc=False):
    """REFERENCE, at every partition: what was said of items of reference data, in the order in which it was said."""

    said: tuple[Said, ...]
    stamp: int


class Spread(msgspec.Struct, frozen=True, array_like=True, tag=20, gc=False):
    """At a partition, from itself: go on taking to whom they concern the changes of an item from a time (ms) on.

    `after` is the place in the index to go on behind; `label` is the next customer's, and leads here.
    """

    label: str
    kind: str
    item: str
    since: int
    after: bytes
    stamp: int


LookupMessage = EventAt | Link | Linked | Repoint | CommandAt
ComponentMessage = (
    EventTo | Union | Offer | Merge | Drain | Repair | Fold | CommandTo | ReferenceRows | Spread
)
Message = LookupMessage | ComponentMessage


def addressee(message: ComponentMessage) -> str:
    """Return the label of the component that a message is for; "": it is for the whole partition."""
    if isinstance(message, (ReferenceRows, Spread)):
        return ""
    if isinstance(message, Union):
        return message.loser
    return message.winner if isinstance(message, (Offer, Merge)) else message.label


def is_awaited(message: Message) -> bool:
    """Tell whether rules wait for a message already where it comes to: nothing else has to be held back for it.

    A component that repairs or drains waits for itself, and a winner for all chunks once the first has come.
    """
    return isinstance(message, (Drain, Repair)) or (isinstance(message, Merge) and message.chunk > 0)


# For bytes that are none, these decoders raise `msgspec.DecodeError`, or UnicodeDecodeError for a text that is none.
encode = msgspec.msgpack.Encoder().encode
"""Any message, or an `Event`, -> bytes."""
decode_lookup = msgspec.msgpack.Decoder(LookupMessage).decode
"""Bytes from `identity.lookup` -> message."""
decode_component = msgspec.msgpack.Decoder(ComponentMessage).decode
"""Bytes from `identity.components` -> message."""
decode_event = msgspec.msgpack.Decoder(Event).decode
"""The event inside a message, or a timeline row -> `Event`."""
decode_brief = msgspec.msgpack.Decoder(Brief).decode
"""The same -> what ownership needs of it, without the rest."""
