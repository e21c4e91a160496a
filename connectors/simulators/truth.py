"""What a pipeline must make of a simulation: the ground truth, and its book-keeper."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_app.domain.refusal import Reason


class TrueShopper(msgspec.Struct, frozen=True):
    """A person, and all identifiers that are hers alone, used or not ("namespace:value", sorted).

    `mistyped` are the wrong addresses that were typed for hers, other people's among them.
    """

    name: str
    household: str
    identifiers: list[str]
    mistyped: list[str] = []


class Recycled(msgspec.Struct, frozen=True):
    """A telephone number ("phone:value") that passes from one shopper to another at a time (ms)."""

    identifier: str
    previous: str
    next: str
    time: int


class Truth(msgspec.Struct, kw_only=True):
    """The truth about a whole simulation; `records` = `events` + duplicates + all dead letters.

    Attributes:
        seed: what it was made from.
        shoppers: everybody, active or not.
        shopper_of: who truly did it, by event id: the distinct good events, and only they.
        events_by_channel: how many distinct good events each channel has.
        records: how many records were planned.
        duplicates: further copies of good events.
        dead_letters: records that must be refused, by reason (`stream_app.domain.refusal.Reason`).
        blocked_values: good events that carry a meaningless identifier beside a good one.
        late: good events that arrive hours late.
        components: identifiers connected by good events (blocked values aside), all sorted.
            A tablet that a family shares makes one component of several shoppers, and so do kiosks,
            addresses mistyped as another shopper's, and telephone numbers that pass on.
        recycled_phones: the telephone numbers that pass on.
    """

    seed: int
    shoppers: list[TrueShopper]
    shopper_of: dict[str, str]
    events_by_channel: dict[str, int]
    records: int
    duplicates: int
    dead_letters: dict[str, int]
    blocked_values: int
    late: int
    components: list[list[str]]
    recycled_phones: list[Recycled] = []

    @property
    def events(self) -> int:
        """How many distinct good events there are."""
        return len(self.shopper_of)

    @property
    def active_shoppers(self) -> int:
        """How many shoppers did anything."""
        return len(set(self.shopper_of.values()))


class Components:
    """Union-find over hashable things, with path halving (Tarjan and van Leeuwen 1984)."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._parent: dict[str, str] = {}

    def find(self, one: str) -> str:
        """Return the representative of the component of `one`; a new one is its own."""
        parent = self._parent
        above = parent.setdefault(one, one)
        while above != one:
            parent[one] = one = parent[above]
            above = parent[one]
        return one

    def join(self, members: Sequence[str]) -> None:
        """Put all members into one component."""
        first = self.find(members[0])
        for other in members[1:]:
            self._parent[self.find(other)] = first

    def sorted(self) -> list[list[str]]:
        """Return all components: each one sorted, and the list of them."""
        groups: dict[str, list[str]] = {}
        for one in self._parent:
            groups.setdefault(self.find(one), []).append(one)
        return sorted(sorted(group) for group in groups.values())


class Ledger:
    """Counts records as they are planned, and turns into the truth at the end."""

    def __init__(self) -> None:
        """Start an empty ledger."""
        self._shopper_of: dict[str, str] = {}
        self._channels: Counter[str] = Counter()
        self._dead: Counter[str] = Counter()
        self._components = Components()
        self._joined: set[tuple[str, ...]] = set()
        self._duplicates = 0
        self._blocked = 0
        self._late = 0

    def good(
        self,
        event_id: str,
        shopper: str,
        channel: str,
        identifiers: tuple[str, ...],
        *,
        blocked: bool,
        late: bool,
    ) -> None:
        """Book a good event, seen for the first time."""
        self._shopper_of[event_id] = shopper
        self._channels[channel] += 1
        self._blocked += blocked
        self._late += late
        if identifiers not in self._joined:
            self._joined.add(identifiers)
            self._components.join(identifiers)

    def duplicate(self) -> None:
        """Book a further copy of a good event."""
        self._duplicates += 1

    def dead(self, reason: Reason) -> None:
        """Book a record that must be refused."""
        self._dead[reason.value] += 1

    def truth(self, seed: int, shoppers: Iterable[TrueShopper], recycled: Sequence[Recycled]) -> Truth:
        """Close the ledger."""
        return Truth(
            seed=seed,
            shoppers=list(shoppers),
            shopper_of=self._shopper_of,
            events_by_channel=dict(sorted(self._channels.items())),
            records=len(self._shopper_of) + self._duplicates + self._dead.total(),
            duplicates=self._duplicates,
            dead_letters=dict(sorted(self._dead.items())),
            blocked_values=self._blocked,
            late=self._late,
            components=self._components.sorted(),
            recycled_phones=list(recycled),
        )
