"""The rows that stages keep, and how they are written: one place to configure the engine's stores from.

Rows are MessagePack arrays. A row that changes with every event is small or unavoidable; what grows with a
component (members, links, neighbours, events) has one row each, so that no row is ever rewritten whole for
one more entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec

from stream_app.domain.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")

KNOWN_INLINE = 16
"""Neighbours that an identifier's row remembers itself; more have a row each."""


class IdentifierRow(msgspec.Struct, array_like=True):
    """Resolver: where an identifier lives, and whom it is known to live with.

    Attributes:
        label: the component; only ever replaced by a smaller label.
        known: confirmed neighbours, the first `KNOWN_INLINE` of them.
        spilled: whether further neighbours have rows in the table `neighbours`.
    """

    label: str
    known: set[str] = msgspec.field(default_factory=set)
    spilled: bool = False


class Header(msgspec.Struct, array_like=True):
    """A component as a whole.

    Attributes:
        redirect: the component that it has joined; written once, never overwritten; "" while it is alive.
        size: how many members it has.
        first: its first member by (priority, first event time, value); "" while there is none.
        first_time: that member's first event time, ms.
        customer: its customer id, "" while there is none.
        chunk: of a redirected component that is still being sent: the chunk that comes next.
        cursor: of a component that is still being published under a new id: the key that comes next.
    """

    redirect: str = ""
    size: int = 0
    first: str = ""
    first_time: int = 0
    customer: str = ""
    chunk: int = 0
    cursor: bytes = b""


class LinkRow(msgspec.Struct, array_like=True):
    """Evidence: an event's strongest identifier and another one of it. Times are event times, ms.

    `sample` names the earliest events that show it, as (time, id), at most `evidence.SAMPLE` of them.
    """

    first: int
    last: int
    count: int
    sample: list[tuple[int, str]]


class TimelineRow(msgspec.Struct, array_like=True):
    """An event's bytes (MessagePack of `Event`), and how it was last published."""

    event: bytes
    customer: str
    revision: int


class CustomerRow(msgspec.Struct, Generic[R], array_like=True):
    """What is known of a customer; changes with every event.

    Attributes:
        profile: the fold of the timeline.
        rules: the rules' own state, opaque here; None at first.
        incoming: merges under way: loser -> chunks that have come, less all there are once that is known.
            An entry goes when it reaches 0; while there is one, the timeline is known to have gaps.
    """

    profile: Profile = msgspec.field(default_factory=Profile)
    rules: R | None = None
    incoming: dict[str, int] = msgspec.field(default_factory=dict)


class TableSpec(NamedTuple):
    """One table: its name, and how a row becomes bytes and back."""

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def table_spec(name: str, row: Any) -> TableSpec:
    """Return the spec of a table whose rows have the type `row`; equal rows are written as equal bytes."""
    encoder = msgspec.msgpack.Encoder(order="deterministic")
    return TableSpec(name, encoder.encode, msgspec.msgpack.Decoder(row).decode)


RESOLVER_TABLES = (
    table_spec("identifiers", IdentifierRow),  # identifier
    table_spec("neighbours", bool),  # identifier (with its length), neighbour
)
"""Tables of the resolve stage; beside each, what its key is made of."""


def customer_tables(rules: Any = Any) -> tuple[TableSpec, ...]:
    """Return the tables of the customer stage. `rules` is the type of the rules' state."""
    return (
        table_spec("components", Header),  # label
        table_spec("members", int),  # label, identifier -> first event time, ms
        table_spec("links", LinkRow),  # label, strongest identifier, other identifier
        table_spec("events", int),  # label, event id -> event time, ms
        table_spec("timeline", TimelineRow),  # label, event time, event id
        table_spec("customers", CustomerRow[rules]),  # label
    )


TABLES = RESOLVER_TABLES + customer_tables()
"""All tables, with the rules' state left as plain MessagePack types."""
