"""The rows that stages keep, and how they are written: one place to configure the engine's stores from.

Rows are MessagePack arrays. A row that changes with every event is small or unavoidable; what grows with a
component (members, links, neighbours, events) has one row each, so that no row is ever rewritten whole for
one more entry.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec

from stream_app.domain.commands import Command, Verdict
from stream_app.domain.numbers.sends import Sent, TakenBack  # noqa: TC001 - msgspec reads them at run time
from stream_app.domain.numbers.state import Journey, Ongoing
from stream_app.domain.profile import BEGINNING, Place, Profile
from stream_app.domain.segments import Membership

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")

ROWS_VERSION = 6
"""What the rows mean: rows of another version have to be rebuilt from the channels."""

_sorted = msgspec.msgpack.Encoder(order="deterministic").encode
_as_is = msgspec.msgpack.Encoder().encode

SAMPLE = 3
"""Events that a sighting names."""

KNOWN_INLINE = 16
"""Neighbours that an identifier's row remembers itself; more have a row each."""


class IdentifierRow(msgspec.Struct, array_like=True, gc=False):
    """Resolver: where an identifier lives, and whom it is known to live with. Identifiers by their own labels.

    Attributes:
        label: the component; only ever replaced by a smaller label.
        known: confirmed neighbours, the first `KNOWN_INLINE` of them.
        spilled: whether further neighbours have rows in the table `neighbours`.
    """

    label: str
    known: set[str] = msgspec.field(default_factory=set)
    spilled: bool = False


class Header(msgspec.Struct, array_like=True, gc=False):
    """A component as a whole.

    Attributes:
        redirect: the component that it has joined; written once, never overwritten; "" while it is alive.
        size: how many identifiers it has.
        slots: the next slot that no customer has had.
        policy: digest of the policy that its customers were computed by; "" while there is no evidence.
        repairing: how many rows there are in `repairs`.
        erased: whether there are rows in `erasures`.
        chunk: of a redirected component that is still being sent: the chunk that comes next.
        incoming: merges under way: loser -> chunks that have come, less all there are once that is known.
            An entry goes when it reaches 0; while there is one, timelines are known to have gaps.
        recount: combinations of identifiers whose sighting must be counted again when all rows have come.
        strangers: identifiers that have come without their evidence, which goes another way: each with the id
            of the customer that it was with.
        judged: whether there may be rows in `verdicts`.
        waiting: how many rows there are in `waiting`.
    """

    redirect: str = ""
    size: int = 0
    slots: int = 1
    policy: str = ""
    repairing: int = 0
    erased: bool = False
    chunk: int = 0
    incoming: dict[str, int] = msgspec.field(default_factory=dict)
    recount: list[tuple[str, ...]] = msgspec.field(default_factory=list)
    strangers: list[tuple[str, str]] = msgspec.field(default_factory=list)
    judged: bool = False
    waiting: int = 0

    @property
    def at_rest(self) -> bool:
        """Whether all rows are where they belong, as far as is known, and all evidence is counted."""
        return not (self.repairing or self.incoming or self.recount or self.strangers)


class SightingRow(msgspec.Struct, array_like=True, gc=False):
    """Evidence: a combination of identifiers that events carried together. Times are event times, ms.

    Attributes:
        first: of the first such event.
        last: of the last one.
        count: how many there are.
        sample: the earliest of them, as (time, id), at most `SAMPLE`.
        slot: whose they are: a customer's slot, or see `identities.ASK`. Derived.
    """

    first: int
    last: int
    count: int
    sample: list[tuple[int, str]]
    slot: int = -1

    def note(self, time: int, event_id: str) -> None:
        """Count one more event."""
        self.count += 1
        self.last = max(self.last, time)
        self.first = min(self.first, time)
        order = (time, event_id)
        if (len(self.sample) < SAMPLE or order < self.sample[-1]) and order not in self.sample:
            insort(self.sample, order)
            del self.sample[SAMPLE:]

    def join(self, other: SightingRow) -> None:
        """Take in what was counted elsewhere."""
        self.count += other.count
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        self.sample = sorted({(time, name) for time, name in (*self.sample, *other.sample)})[:SAMPLE]


class EventPlace(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Where an event is: its time (ms), and the slot of the customer whose it is."""

    time: int
    slot: int


class TimelineRow(msgspec.Struct, array_like=True, gc=False):
    """An event's bytes (MessagePack of `Event`), and how it was last published."""

    event: bytes
    customer: str
    revision: int


class FoldRow(msgspec.Struct, array_like=True, gc=False):
    """What is left to do where a customer is being folded again.

    Attributes:
        since: the fold is void from this place on; it goes on from the last checkpoint before.
        stamp: where the clock stood at the source when what asked for it was read, ms; the earliest.
        step: how many turns were asked for.
        waited: epochs in which others had their turn.
    """

    since: Place
    stamp: int
    step: int = 0
    waited: int = 0


class CustomerRow(msgspec.Struct, Generic[R], array_like=True, gc=False):
    """What is known of a customer; changes with every event.

    Attributes:
        id: the customer id; "" before there is one.
        profile: the fold of the timeline.
        rules: the rules' own state, opaque here; None at first.
        contested: whether a refused link ends at one of its identifiers.
        version: changes when its identifiers do.
        checkpoints: how many there are of its folds.
        fold: while it is being folded again over several epochs; profile, rules and numbers are what they were before.
        ongoing: what goes on, for numbers; None at first.
    """

    id: str = ""
    profile: Profile = msgspec.field(default_factory=Profile)
    rules: R | None = None
    contested: bool = False
    version: int = 0
    checkpoints: int = 0
    fold: FoldRow | None = None
    ongoing: Ongoing | None = None


class SendRow(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A trigger that was sent, or taken back, as an entry of the numbers' fold; and the event that had opened it."""

    entry: Sent | TakenBack
    opened_by: str


class RepairRow(msgspec.Struct, array_like=True, gc=False):
    """Work that is left to do at one customer's rows, since who is who has changed.

    Attributes:
        cursor: the timeline key to look at next; None: all have been looked at.
        touched: rows came or went: profile and rules must be folded again.
        stamp: where the clock stood at the source when what asked for it was read, ms; the earliest.
        since: if touched, from this place on.
        erased: the customer was erased: events up to this time (ms) go. Nobody is given its slot again.
    """

    cursor: bytes | None
    touched: bool
    stamp: int
    since: Place = BEGINNING
    erased: int | None = None

    def touch(self, since: Place) -> None:
        """Note that a row came, went or changed at a place."""
        self.since = min(self.since, since) if self.touched else since
        self.touched = True


class CheckpointRow(msgspec.Struct, array_like=True, gc=False):
    """The fold of a customer's timeline up to and including one event.

    Attributes:
        events: how many events are in it.
        profile: MessagePack of the `Profile`; read when the fold goes on from here.
        rules: what the rules keep of their fold.
    """

    events: int
    profile: msgspec.Raw
    rules: bytes


class WaitingRow(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """An erasure that has come, and can't act yet: what its message said (see `messages.CommandTo`)."""

    command: Command
    labels: tuple[str, ...]
    stamp: int


class TableSpec(NamedTuple):
    """One table: its name, how a row becomes bytes and back, and whether a row is `get` again when it is an old one."""

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    read_again: bool = True


def table_spec(name: str, row: Any, *, read_again: bool = True) -> TableSpec:
    """Return the spec of a table whose rows have the type `row`; equal rows are written as equal bytes."""
    return TableSpec(name, _sorted, msgspec.msgpack.Decoder(row).decode, read_again)


def _customer(row: CustomerRow[Any]) -> bytes:
    """Write a customer: the profile sorted, but the rules' mappings in their order, which may say something.

    A basket that was touched longest ago is the first of its mapping, after a restart too.
    """
    return _as_is(msgspec.structs.replace(row, profile=msgspec.Raw(_sorted(row.profile))))


RESOLVER_TABLES = (
    table_spec("identifiers", IdentifierRow),  # own label
    table_spec("neighbours", bool),  # own label (with its length), neighbour's own label
)
"""Tables of the resolve stage; beside each, what its key is made of."""


SEGMENT_TABLES = (
    table_spec("segments", Membership),  # customer id
)
"""Tables that the customer stage keeps beside those of components."""


def number_tables(bill: Any = Any) -> tuple[TableSpec, ...]:
    """Return the tables of the numbers stage. `bill` is the type of what is known of spend."""
    return (
        table_spec("sums", str),  # `numbers.cell_key`; a sum may be more than 64 bits hold
        table_spec("bills", bill),  # its id
    )


def customer_tables(rules: Any = Any) -> tuple[TableSpec, ...]:
    """Return the tables of the customer stage. `rules` is the type of the rules' state."""
    return (
        table_spec("components", Header),  # label
        table_spec("sightings", SightingRow),  # label, identifiers
        table_spec(
            "verdicts", list[Verdict]
        ),  # label, identifier or pair -> all there were, the one that stands last
        table_spec("erasures", int),  # label, identifier's own label -> events up to this time are gone, ms
        table_spec("members", int, read_again=False),  # label, slot, identifier -> since when, ms
        # Nearly every look at an event's id finds nothing: of 67,584 there were 59 that found an earlier epoch's row.
        table_spec("events", EventPlace, read_again=False),  # label, event id
        table_spec("timeline", TimelineRow, read_again=False),  # label, slot, event time, event id
        TableSpec("customers", _customer, msgspec.msgpack.Decoder(CustomerRow[rules]).decode),  # label, slot
        table_spec("repairs", RepairRow),  # label, slot
        table_spec(
            "checkpoints", CheckpointRow, read_again=False
        ),  # label, slot, event time, event id: of the last event in it
        table_spec("waiting", WaitingRow),  # label, the command's time, its id
        table_spec("going", bool),  # label, event id: it goes with who was erased, though others share it
        table_spec(
            "references", dict[str, Any], read_again=False
        ),  # kind, item, time -> what was said of it then; behind all times: see `reference`
        table_spec("concerned", bool, read_again=False),  # kind, item, slot, label: see `reference`
        table_spec(
            "told", bytes, read_again=False
        ),  # as `timeline`, or a send's place -> see `numbers.telling`
        table_spec("sends", SendRow, read_again=False),  # label, slot, a send's place
        table_spec("journeys", Journey),  # label, slot
        table_spec("bookings", dict[str, bytes]),  # label, slot
    )


TABLES = RESOLVER_TABLES + customer_tables() + SEGMENT_TABLES
"""All tables, with the rules' state left as plain MessagePack types."""
