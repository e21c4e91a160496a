"""What looks wrong about who is who: components that grow too large, and what makes them.

The customer stage's changelog is read a partition at a time into a folder of its own, where its rows are sorted,
and then looked at a component at a time: memory holds one component, the folder one partition.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from stream_app.domain.explain import neighbours, seen_with
from stream_app.engine.store import Rows

if TYPE_CHECKING:
    from stream_app.domain.identities import Identities
    from stream_app.runs.state_reader import StateReader

T = TypeVar("T")

STRONGEST = 3
"""Identifiers that a component is shown by."""

_SPARE = 10
"""So many times what is wanted is kept before it is sorted out."""


class Large(msgspec.Struct, frozen=True):
    """A component: how many identifiers and customers, and its strongest identifiers."""

    identifiers: int
    customers: int
    strongest: tuple[str, ...]


class Joining(msgspec.Struct, frozen=True):
    """An identifier: how many others it has links to, in how many combinations and events it was seen."""

    identifier: str
    neighbours: int
    combinations: int
    events: int
    shared: bool


class Quarantined(msgspec.Struct, frozen=True):
    """A shared identifier: with how many persons (or devices) it was seen, and how many are allowed."""

    identifier: str
    seen_with: int
    of: str
    allowed: int


class Suspects(msgspec.Struct):
    """What was found; the lists hold the first ones, most suspect first.

    Attributes:
        components: how many there are.
        identifiers: how many there are in them.
        largest: components.
        joining: identifiers.
        quarantined: identifiers.
        quarantined_count: how many there are.
        refused: "denied", or "limit of <namespace>" -> links that are refused for it.
    """

    components: int
    identifiers: int
    largest: list[Large]
    joining: list[Joining]
    quarantined: list[Quarantined]
    quarantined_count: int
    refused: dict[str, int]


def find_suspects(reader: StateReader, topic: str, partitions: int, top: int) -> Suspects:
    """Look through the customer stage's changelog `topic`; keep the first `top` of everything.

    Raises:
        EnvironmentMissing: the broker does not answer.
    """
    search = Search(top)
    for partition in range(partitions):
        with tempfile.TemporaryDirectory(prefix="raccord-suspects-") as folder:
            rows = Rows(Path(folder) / "rows")
            try:
                reader.read(topic, partition, rows, reader.evidence_only)
                tables = reader.tables(rows)
                evidence = reader.evidence(tables)
                for prefix, header in tables.components.scan(b""):
                    if header.redirect or not header.size:
                        continue
                    identities = evidence.read(prefix, header)
                    identities.settle()
                    search.look(identities)
            finally:
                rows.close()
    return search.found()


class Search:
    """Looks at components one by one, and keeps the most suspect."""

    def __init__(self, top: int) -> None:
        """Begin with none."""
        self._components = 0
        self._identifiers = 0
        self._quarantined_count = 0
        self._refused: Counter[str] = Counter()
        self._largest: _Top[Large] = _Top(top)
        self._joining: _Top[Joining] = _Top(top)
        self._quarantined: _Top[Quarantined] = _Top(top)

    def look(self, identities: Identities) -> None:
        """Look at one component, settled."""
        groups, policy = identities.all.groups, identities.policy
        names = sorted(groups, key=policy.place)
        self._components += 1
        self._identifiers += len(names)
        customers = len({id(group) for group in groups.values()})
        strongest = tuple(names[:STRONGEST])
        self._largest.add(len(names), strongest, Large(len(names), customers, strongest))
        for name in names if len(names) > 1 else ():
            others, seen = len(neighbours(identities, name)), identities.naming.get(name, ())
            events = sum(identities.sightings[combination].count for combination in seen)
            joining = Joining(name, others, len(seen), events, name in identities.shared)
            self._joining.add(others, (name,), joining)
        self._quarantined_count += len(identities.shared)
        for name, number in seen_with(identities, identities.shared).items():
            is_person = policy.is_person(name)
            allowed = policy.max_devices if is_person else policy.shared_after
            of = "devices" if is_person else "persons"
            self._quarantined.add(number, (name,), Quarantined(name, number, of, allowed or 0))
        for refusal in identities.all.refused.values():
            limit = f"limit of {refusal.namespace}"
            self._refused[limit if refusal.namespace else refusal.reason] += 1

    def found(self) -> Suspects:
        """Return what has been found so far."""
        return Suspects(
            self._components,
            self._identifiers,
            self._largest.sorted(),
            self._joining.sorted(),
            self._quarantined.sorted(),
            self._quarantined_count,
            dict(self._refused.most_common()),
        )


class _Top(Generic[T]):
    """The items of the highest weight, of equals those of the smaller names."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: list[tuple[int, tuple[str, ...], T]] = []

    def add(self, weight: int, names: tuple[str, ...], item: T) -> None:
        self._items.append((-weight, names, item))
        if len(self._items) > _SPARE * self._size:
            self._trim()

    def sorted(self) -> list[T]:
        self._trim()
        return [item for _, _, item in self._items]

    def _trim(self) -> None:
        self._items.sort(key=lambda entry: entry[:2])
        del self._items[self._size :]
