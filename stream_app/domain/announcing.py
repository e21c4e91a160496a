"""The ids of a component's customers: who gets which, and what became of those that there were.

What has come with another component has its customer's id there with it: these end, or live on here. Somebody whose
evidence goes another way is a stranger until it has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.effects import Change, IdentityChange
from stream_app.domain.keys import slot_key
from stream_app.domain.rows import CustomerRow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from stream_app.domain.customer import At, Customers
    from stream_app.domain.effects import Cause
    from stream_app.domain.evidence import Home
    from stream_app.domain.identities import Outcome
    from stream_app.domain.partition import Group

UNDER_WAY = ""
"""No label: stands in `Header.incoming` while a part of another component is being taken in."""


Arrived = tuple[str, str]
"""An identifier that has come with another component, and the id of the customer that it was with there."""


class Announcer:
    """Gives the customers of one partition's components their ids."""

    def __init__(self, customers: Customers, id_of: Callable[[str], str]) -> None:
        """Work on the rows of `customers`; `id_of(first identifier)` is the customer id."""
        self._customers = customers
        self._id_of = id_of

    def with_strangers(self, at: At, home: Home, arrived: Collection[Arrived]) -> Collection[Arrived]:
        """Return who has arrived, those included who had to wait for their evidence; others begin to wait."""
        header, groups = at.header, home.identities.all.groups
        if not arrived and not header.strangers:
            return arrived
        everybody: set[Arrived] = {*header.strangers, *arrived}
        waiting = {one for one in everybody if one[0] not in groups} if header.incoming else set()
        header.strangers = sorted(waiting)
        self._customers.put_header(at)
        return everybody - waiting

    def announce(
        self, at: At, home: Home, outcome: Outcome, cause: Cause, arrived: Collection[Arrived], slots: int
    ) -> set[int]:
        """Give customers their ids and publish what became of the old ones.

        Args:
            at: the component.
            home: the same, in memory.
            outcome: what has changed.
            cause: of the change.
            arrived: who has come with another component, and is to be told of now.
            slots: the first slot that nobody had before the change; there are no rows from that one on.

        Returns:
            The slots that got another id, or one that another slot had: its profile is this one's now.
        """
        groups, customers = home.identities.all.groups, self._customers.tables.customers
        became: dict[str, set[str]] = {}
        before: dict[int, str] = {}
        renamed: set[int] = set()
        fresh: dict[str, int] = {}
        ids: dict[Group, str] = {}
        for group in sorted(outcome.groups, key=_slot) if len(outcome.groups) > 1 else outcome.groups:
            prefix = slot_key(at.prefix, group.slot)
            row = (customers.get(prefix) if group.slot < slots else None) or CustomerRow()
            before[group.slot] = row.id
            now = self._id_of(group.first[2]) if group.first is not None else ""
            ids[group] = now
            if row.id:
                became.setdefault(row.id, set()).add(now)
                if row.id != now:
                    renamed.add(group.slot)
            else:
                fresh[now] = group.slot
            row.id, row.contested, row.version = now, group.contested, row.version + 1
            customers.put(prefix, row)
        self._have_gone(at, groups, outcome, before, ids, became)
        for old, targets in self._what_became(at, groups, ids, arrived).items() if arrived else ():
            became.setdefault(old, set()).update(targets)
        self._publish(became, () if UNDER_WAY in at.header.incoming else fresh, cause)
        return renamed.union(slot for new, slot in fresh.items() if new in became) if became else renamed

    def _have_gone(
        self,
        at: At,
        groups: Mapping[str, Group],
        outcome: Outcome,
        before: dict[int, str],
        ids: Mapping[Group, str],
        became: dict[str, set[str]],
    ) -> None:
        """Note in `became` where identifiers are now that had a slot; `before` has the ids that slots had."""
        for name, (slot, _) in outcome.members.items():
            if slot is None:
                continue
            if slot not in before:
                gone = self._customers.tables.customers.get(slot_key(at.prefix, slot))
                before[slot] = "" if gone is None else gone.id
            if before[slot]:
                targets = became.setdefault(before[slot], set())
                if (holder := groups.get(name)) is not None:
                    targets.add(ids[holder])

    def _what_became(
        self, at: At, groups: Mapping[str, Group], ids: Mapping[Group, str], arrived: Collection[Arrived]
    ) -> Mapping[str, set[str]]:
        """Return the ids that there are now instead of those that have come with identifiers."""
        became: dict[str, set[str]] = {old: {old} for _, old in arrived}
        first = {self._id_of(name): name for name, _ in arrived}
        for old, targets in became.items():
            # Whether the id is still somebody's shows at the identifier that it rests on: one of these, one that
            # came before, or one that is still to come.
            name = first.get(old) or next((n for n in groups if self._id_of(n) == old), None)
            if name is not None or not at.header.incoming:
                targets.discard(old)
            if name is not None and (holder := groups.get(name)) is not None:
                targets.add(ids.get(holder) or self._customers.open(at, holder.slot).id)
        for name, old in arrived:
            if (holder := groups.get(name)) is not None:
                became[old].add(ids.get(holder) or self._customers.open(at, holder.slot).id)
        return became

    def _publish(self, became: Mapping[str, set[str]], fresh: Iterable[str], cause: Cause) -> None:
        sources: dict[str, int] = {}
        for targets in became.values():
            for target in targets:
                sources[target] = sources.get(target, 0) + 1
        for new in fresh:
            if new and new not in sources:
                self._customers.effects.identity(IdentityChange(Change.CREATED, (), (new,), cause))
        for old, targets in became.items():
            into = tuple(sorted(targets))
            if into == (old,):
                continue
            if not into:
                change = Change.ENDED
            elif len(into) > 1:
                change = Change.SPLIT
            else:
                change = Change.MERGED if sources[into[0]] > 1 else Change.RENAMED
            self._customers.effects.identity(IdentityChange(change, (old,), into, cause))
            if old not in sources:
                self._customers.effects.gone(old)


def _slot(group: Group) -> int:
    return group.slot
