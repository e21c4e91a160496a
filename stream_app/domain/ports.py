"""What the domain asks of whoever stores its rows: sorted tables of bytes -> value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.domain.commands import Verdict
    from stream_app.domain.numbers.state import Journey
    from stream_app.domain.rows import (
        CheckpointRow,
        CustomerRow,
        EventPlace,
        Header,
        RepairRow,
        SendRow,
        SightingRow,
        TimelineRow,
        WaitingRow,
    )

V = TypeVar("V")


class Table(Protocol[V]):
    """Rows of one partition, sorted by key.

    A value that was got may be changed in place only if `put` is called with it in the same handler call:
    when an epoch is aborted, every value that was put since the last commit is forgotten and read anew.
    """

    def get(self, key: bytes) -> V | None:
        """Return the row of `key`, or None. Sees this epoch's own writes."""

    def put(self, key: bytes, value: V) -> None:
        """Write a row."""

    def delete(self, key: bytes) -> None:
        """Remove a row; nothing happens when there is none."""

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, V]]:
        """Yield the rows whose key begins with `prefix`, ascending, from `start` (a whole key) on if given."""


class Clock(Protocol):
    """Event time at one partition of components, for what must not happen too early."""

    @property
    def now(self) -> int:
        """No event with a time below this one is outstanding (ms)."""

    def wake(self, label: str, due: int) -> None:
        """Have `Components.wake(label)` called when `now` has passed `due` (ms), after a restart too."""


class ComponentTables(NamedTuple):
    """The tables of one partition of the customer stage (see `rows.customer_tables`)."""

    components: Table[Header]
    sightings: Table[SightingRow]
    verdicts: Table[list[Verdict]]
    erasures: Table[int]
    members: Table[int]
    events: Table[EventPlace]
    timeline: Table[TimelineRow]
    customers: Table[CustomerRow[Any]]
    repairs: Table[RepairRow]
    checkpoints: Table[CheckpointRow]
    waiting: Table[WaitingRow]
    going: Table[bool]
    references: Table[dict[str, Any]]
    concerned: Table[bool]
    told: Table[bytes]
    sends: Table[SendRow]
    journeys: Table[Journey]
    bookings: Table[dict[str, bytes]]
