"""A component's evidence: its rows, and the same in memory while there is work (see `identities`).

Whatever is in memory is derived from the rows, so it may be dropped at any time; it has to be when an epoch is
rolled back. An event whose combination of identifiers is known, uncontested and not earlier than all before
never comes here: its sighting's row says whose it is.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.identities import FIRST, NOBODY, Identities, Outcome, load
from stream_app.domain.keys import names_key, names_of, slot_key, slot_of
from stream_app.domain.messages import decode_brief
from stream_app.domain.ownership import Owners
from stream_app.domain.timeline import ERASED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from stream_app.domain.erasures import Erasures
    from stream_app.domain.partition import LinkRules, Names
    from stream_app.domain.ports import ComponentTables
    from stream_app.domain.rows import Header, SightingRow

MAX_KEPT = 50_000
"""Components and their sightings in memory, in one partition; the component used least recently goes first."""

FEW = 64
"""Identifiers of a component among which a customer's are looked for one by one."""

NONE_WAITING = 1 << 32
"""Instead of a slot: there is no slot with rows that are to be looked at."""


class Small(NamedTuple):
    """A component's sightings, and the slots of its identifiers; to be read only."""

    sightings: Mapping[Names, SightingRow]
    slot_of: Mapping[str, int]


class Home:
    """One component in memory: who is who, and whose events are."""

    __slots__ = ("identities", "owners", "recounted", "waiting", "weight")

    def __init__(self, identities: Identities, owners: Owners, waiting: int) -> None:
        """Hold what was read; no slot before `waiting` has rows that are to be looked at."""
        self.identities = identities
        self.owners = owners
        self.waiting = waiting
        self.weight = 0
        self.recounted = False  # evidence went, logins perhaps: whom that concerns is not known

    @property
    def size(self) -> int:
        """How much it takes up."""
        return 1 + len(self.identities.sightings)

    def sighting(self, names: Names) -> SightingRow | None:
        """Return the sighting of a combination."""
        return self.identities.sightings.get(names)

    def note(self, names: Names, time: int) -> None:
        """Take in an event of a known combination: its devices' logins may be in memory."""
        self.owners.note(names, time)

    def members(self, slot: int) -> Collection[str] | None:
        """Return the identifiers of a customer, none if nobody has the slot; None: there are many to look among."""
        groups = self.identities.all.groups
        if len(groups) > FEW:
            return None
        return next((group.members for group in groups.values() if group.slot == slot), ())

    def small(self, most: int) -> Small | None:
        """Return what is known, unless that is more sightings or identifiers than `most`."""
        sightings, slot_of = self.identities.sightings, self.identities.slot_of
        return Small(sightings, slot_of) if max(len(sightings), len(slot_of)) <= most else None


class Lone:
    """A component in memory whose only sighting is all one customer's, the first one's (see `newcomers`).

    It tells what `Home` does; who is who takes two dozen containers more, and many components never need them.
    """

    __slots__ = ("names", "row")

    weight = 2

    def __init__(self, names: Names, row: SightingRow) -> None:
        self.names = names
        self.row = row

    def sighting(self, names: Names) -> SightingRow | None:
        """Return the sighting of a combination."""
        return self.row if names == self.names else None

    def note(self, names: Names, time: int) -> None:
        """Do nothing: no logins are in memory."""

    def members(self, slot: int) -> Collection[str] | None:
        """Return the identifiers of a customer, none if nobody has the slot."""
        return self.names if slot == FIRST else ()

    def small(self, most: int) -> Small | None:
        """Return what is known, unless that is more identifiers than `most`."""
        return (
            Small({self.names: self.row}, dict.fromkeys(self.names, FIRST))
            if len(self.names) <= most
            else None
        )


class Evidence:
    """The evidence of one partition's components."""

    def __init__(self, rules: LinkRules, tables: ComponentTables, erasures: Erasures, digest: str) -> None:
        """Serve `tables`; `digest` is the policy's."""
        self._erasures = erasures
        self._digest = digest
        self._rules = rules
        self._tables = tables
        self._homes: OrderedDict[str, Home | Lone] = OrderedDict()
        self._size = 0

    def known(self, label: str) -> Home | Lone | None:
        """Return a component that is in memory."""
        return self._homes.get(label)

    def home(self, label: str, prefix: bytes, header: Header) -> Home:
        """Return a component; read from its rows if it isn't in memory."""
        home = self._homes.get(label)
        if home is None:
            identities = self.read(prefix, header) if header.policy else Identities(self._rules)
            identities.slots = max(identities.slots, header.slots)
            if header.policy == self._digest:
                identities.settle()  # changes nothing: the rows say the same
            home = self._keep(label, prefix, identities, NOBODY if header.repairing else NONE_WAITING)
        elif isinstance(home, Lone):
            identities = Identities(self._rules)
            identities.take(home.names, home.row)
            identities.settle()  # changes nothing here either
            self.forget(label)
            home = self._keep(label, prefix, identities, NONE_WAITING)
        else:
            self._homes.move_to_end(label)
            self._weigh(home)
        return home

    def keep_lone(self, label: str, names: Names, row: SightingRow) -> None:
        """Have a component in memory whose only sighting is all one customer's; its rows are written."""
        self.forget(label)
        self._homes[label] = Lone(names, row)
        self._size += Lone.weight
        self._bound()

    def _keep(self, label: str, prefix: bytes, identities: Identities, waiting: int) -> Home:
        owners = Owners(identities, partial(self._seen, prefix))
        home = self._homes[label] = Home(identities, owners, waiting)
        self._weigh(home)
        return home

    def _weigh(self, home: Home) -> None:
        """Count a component anew: it grows while it is there."""
        self._size += home.size - home.weight
        home.weight = home.size
        self._bound()

    def _bound(self) -> None:
        """Keep what is in memory within its bound."""
        while self._size > MAX_KEPT and len(self._homes) > 1:
            _, old = self._homes.popitem(last=False)
            self._size -= old.weight

    def read(self, prefix: bytes, header: Header) -> Identities:
        """Return what the rows of a component say, computed from scratch but for the slots."""
        tables = self._tables
        sightings = {names_of(prefix, key): row for key, row in tables.sightings.scan(prefix)}
        pairs, marks = {}, {}
        for key, verdicts in tables.verdicts.scan(prefix) if header.judged else ():
            names = names_of(prefix, key)
            if len(names) == 1:
                marks[names[0]] = verdicts[-1]
            else:
                pairs[names[0], names[1]] = verdicts[-1]
        identities = load(self._rules, sightings, pairs, marks)
        start = len(prefix) + 4
        for key, _ in tables.members.scan(prefix):
            identities.slot_of[key[start:].decode()] = slot_of(prefix, key)
        return identities

    def forget(self, label: str) -> None:
        """Drop a component from memory."""
        home = self._homes.pop(label, None)
        if home is not None:
            self._size -= home.weight

    def reset(self) -> None:
        """Drop everything: the rows were rolled back."""
        self._homes.clear()
        self._size = 0

    def write(self, prefix: bytes, identities: Identities, outcome: Outcome) -> None:
        """Write the rows that an outcome has changed."""
        tables = self._tables
        for names in outcome.sightings:
            row = identities.sightings.get(names)
            if row is None:
                tables.sightings.delete(names_key(prefix, names))
            else:
                tables.sightings.put(names_key(prefix, names), row)
        for name, (before, now) in outcome.members.items():
            if before is not None:
                tables.members.delete(slot_key(prefix, before) + name.encode())
            if now is not None:
                tables.members.put(slot_key(prefix, now) + name.encode(), identities.since[name])

    def events(self, prefix: bytes, slots: Iterable[int]) -> Iterator[tuple[Names, int, str]]:
        """Yield the events of slots, as (identifiers, time, id), without what an erasure has still to take."""
        header = self._tables.components.get(prefix)
        erased = header is not None and header.erased
        for slot in slots:
            for _, row in self._tables.timeline.scan(slot_key(prefix, slot)):
                event = decode_brief(row.event)
                names = self._erasures.kept(prefix, slot, event) if erased else event.identifiers
                if names:
                    yield names, event.time, event.event_id

    def moving(self, prefix: bytes) -> set[int]:
        """Return the slots that may hold events of others, since these are still to be looked at."""
        return {slot_of(prefix, key) for key, _ in self._tables.repairs.scan(prefix)} - {ERASED}

    def _seen(self, prefix: bytes, slots: set[int], known: set[int]) -> Iterator[tuple[Names, int]]:
        """Yield what is on the timelines of customers, and of those whose events are being moved."""
        moving = self.moving(prefix) - known
        known |= moving
        for names, time, _ in self.events(prefix, slots | moving):
            yield names, time
