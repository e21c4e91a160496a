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

from stream_app.domain.event import Event

Cause = tuple[str, str]
"""The two identifiers whose link made two components one."""


class Topic(StrEnum):
    """Where a message goes."""

    LOOKUP = "identity.lookup"
    COMPONENTS = "identity.components"


# -- to the row of an identifier ---------------------------------------------------------------------------


class EventAt(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """EVENT: an event, at the row of its strongest identifier (its anchor).

    `identifiers` are those of the event, strongest first; `payload` is what `customer.timeline` will carry,
    opaque here.
    """

    event: msgspec.Raw
    identifiers: tuple[str, ...]
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
    """REPOINT: `identifier` lives in component `label` now; `origin` is a component that has joined it."""

    identifier: str
    label: str
    origin: str
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
    cause: Cause
    stamp: int
    granted: bool = False


class Offer(msgspec.Struct, frozen=True, array_like=True, tag=13, gc=False):
    """At the winner: is there room for the loser's `size` identifiers? If so: a granted `Union`."""

    winner: str
    loser: str
    size: int
    cause: Cause
    stamp: int


class Moved(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event on the move: last published as `revision` under `customer`."""

    event: msgspec.Raw
    customer: str
    revision: int


class Opening(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the first chunk of a merge says about the loser as a whole.

    Attributes:
        customer: the loser's customer id.
        cause: the link that made the two one.
        rules: the state of the rules, as `RuleFold.leave` gave it.
        incoming: the loser's own unfinished merges (see `CustomerRow.incoming`).
    """

    customer: str
    cause: Cause
    rules: bytes
    incoming: dict[str, int]


class Merge(msgspec.Struct, frozen=True, array_like=True, tag=14, gc=False):
    """MERGE, at the winner: a part of what the loser held.

    `chunk` counts from 0; the last one has `last`, the first one has `opening`.
    """

    winner: str
    loser: str
    chunk: int
    last: bool
    rows: tuple[Moved, ...]
    stamp: int
    opening: Opening | None = None


class Drain(msgspec.Struct, frozen=True, array_like=True, tag=15, gc=False):
    """At a redirected component, from itself: go on sending what is left, with this chunk number."""

    label: str
    chunk: int
    stamp: int


class Republish(msgspec.Struct, frozen=True, array_like=True, tag=16, gc=False):
    """At a component, from itself: go on publishing rows under a new customer id, from this key on."""

    label: str
    cursor: bytes


LookupMessage = EventAt | Link | Linked | Repoint
ComponentMessage = EventTo | Union | Offer | Merge | Drain | Republish
Message = LookupMessage | ComponentMessage

encode = msgspec.msgpack.Encoder().encode
"""Any message, or an `Event`, -> bytes."""
decode_lookup = msgspec.msgpack.Decoder(LookupMessage).decode
"""Bytes from `identity.lookup` -> message. Raises `msgspec.DecodeError`."""
decode_component = msgspec.msgpack.Decoder(ComponentMessage).decode
"""Bytes from `identity.components` -> message. Raises `msgspec.DecodeError`."""
decode_event = msgspec.msgpack.Decoder(Event).decode
"""The event inside a message, or a timeline row -> `Event`. Raises `msgspec.DecodeError`."""
