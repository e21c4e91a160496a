"""One component's evidence, and who is who by it (design: IDENTITY, "Who is who", "Keeping it sane").

Evidence is kept as *sightings*: combinations of identifiers that events carried together, each with its first
and last event time. All else follows from sightings and verdicts: which identifiers are blocked or shared,
the stars of links around the strongest identifier that remains, and the customers.

What is shared, `quarantine` tells from the raw evidence. A shared identifier is a customer of its own, and no star
sees it. What is blocked was never there.

`see` keeps everything up to date; commands and removals are rare and have it computed anew. Slots say where a
customer's rows are; they are handed on to whoever holds most of a customer's identifiers, and mean nothing
outside the component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.clusters import Clusters
from stream_app.domain.commands import Op, Verdict
from stream_app.domain.partition import NO_SLOT, Group, Link, LinkRules, Names, Pair, Refusal
from stream_app.domain.quarantine import Evidence, Quarantine, asserted
from stream_app.domain.rows import SAMPLE, SightingRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOBODY = 0
"""The slot of events that are nobody's: all their identifiers are blocked."""
FIRST = 1
"""The slot that a component's first customer gets."""
ASK = -1
"""Instead of a slot: whose the event is depends on its time, or the event may change who is who."""


class Outcome(NamedTuple):
    """What settling has changed.

    Attributes:
        members: identifier -> (slot before, slot now); None: there was, or is, no such member.
        groups: customers whose members, first member or contest changed, or that are new.
        sightings: combinations whose row must be written.
        toggled: identifiers that were found shared, or no longer.
        refused: why links are refused that were not before.
    """

    members: dict[str, tuple[int | None, int | None]]
    groups: set[Group]
    sightings: set[Names]
    toggled: set[str]
    refused: list[Refusal]


class Identities:
    """Evidence and customers of one component, in memory."""

    def __init__(self, rules: LinkRules) -> None:
        """Begin without evidence."""
        self._rules = rules
        self.policy = self._policy = rules.policy
        self.sightings: dict[Names, SightingRow] = {}
        self.naming: dict[str, dict[Names, None]] = {}
        self.since: dict[str, int] = {}
        self.verdicts: dict[Pair, Verdict] = {}
        self.marks: dict[str, Verdict] = {}
        self.slot_of: dict[str, int] = {}
        self.slots = FIRST
        self.version = 0
        """Changes when customers do."""
        self._written: set[Names] = set()
        self._touched: set[Group] = set()
        self._toggled: set[str] = set()
        self._clear()

    def _clear(self) -> None:
        """Forget what is derived."""
        self.blocked: set[str] = set()
        self.shared: set[str] = set()
        self._foes: dict[str, set[str]] = {}
        self.all = Clusters(self._rules, self._foes)
        evidence = Evidence(self.sightings, self.naming, self.verdicts, self.marks, self.blocked, self._foes)
        self.quarantine = Quarantine(self._rules, evidence)
        self._refix: set[str] = set()

    # -- evidence in ------------------------------------------------------------------------------------

    def see(self, names: Names, time: int, event_id: str) -> None:
        """Take in one event's identifiers."""
        row = self.sightings.get(names)
        self._written.add(names)
        if row is None:
            self.sightings[names] = SightingRow(time, time, 1, [(time, event_id)])
            self._name(names, time)
            self.quarantine.see(names)
            self._show(names)
            return
        earlier, later = time < row.first, time > row.last
        row.note(time, event_id)
        if earlier:
            self._name(names, time)
        if earlier or later:
            self.quarantine.see_again(names)
            self._show(names)

    def add(self, names: Names, row: SightingRow) -> None:
        """Take in a sighting as it was kept, before `compute`."""
        known = self.sightings.get(names)
        if known is None:
            self.sightings[names] = row
        else:
            known.join(row)
            row = known
        self._written.add(names)
        self._name(names, row.first)

    def remove(self, names: Names) -> None:
        """Forget a sighting, before `compute`."""
        del self.sightings[names]
        self._written.add(names)
        for name in names:
            del self.naming[name][names]
            if not self.naming[name]:
                del self.naming[name]

    def cut(self, names: Names, left: Names) -> None:
        """Have all events of a sighting have carried what is left of it, or nothing; `compute` must follow."""
        row = self.sightings[names]
        self.remove(names)
        if left:
            self.add(left, row)

    def take(self, names: Names, row: SightingRow) -> None:
        """Take in a sighting as another component counted it."""
        known = self.sightings.get(names)
        self._written.add(names)
        if known is None:
            self.sightings[names] = row
            row.slot = ASK
            self._name(names, row.first)
            self.quarantine.see(names)
        else:
            known.join(row)
            self._name(names, row.first)
            self.quarantine.see_again(names)
        self._show(names)

    def count_again(self, names: Names, orders: list[tuple[int, str]]) -> None:
        """Replace a sighting's count by these events' (time, id), ascending; `compute` must follow."""
        known = self.sightings.get(names)
        if orders:
            row = SightingRow(orders[0][0], orders[-1][0], len(orders), orders[:SAMPLE])
            if known is not None:
                row.slot = known.slot
            if row == known:
                return
            self.sightings[names] = row
            self._written.add(names)
            for name in names:
                self.naming.setdefault(name, {})[names] = None
        elif known is not None:
            self.remove(names)

    def _name(self, names: Names, time: int) -> None:
        """Note that identifiers are known since `time`, or longer."""
        for name in names:
            sightings = self.naming.get(name)
            if sightings is None:
                sightings = self.naming[name] = {}
                self.since.pop(name, None)  # an assertion's time stands in only until there is an event
            sightings[names] = None
            since = self.since.get(name)
            if since is None or time < since:
                self.since[name] = time
                group = self.all.groups.get(name)
                if group is not None:
                    group.first = min(map(self.place, group.members))
                    self._touched.add(group)

    def place(self, name: str) -> tuple[int, int, str]:
        """Return an identifier's place among a customer's."""
        return (self._policy.priority(name), self.since[name], name)

    # -- what follows -----------------------------------------------------------------------------------

    def compute(self) -> None:
        """Derive everything from the evidence; then `settle`."""
        gone = set(self.all.groups) | set(self.slot_of)
        shared = self.shared if self.all.groups else set()
        self._clear()
        self.since = {name: min(self.sightings[s].first for s in of) for name, of in self.naming.items()}
        self._hear_verdicts()
        for names in self.sightings:
            self.quarantine.see(names)
        self.shared = self.quarantine.all_shared()
        self._toggled ^= shared ^ self.shared
        for names in self.sightings:
            self._show(names)
        self._show_asserted()
        for name, group in self.all.groups.items():
            place = self.place(name)
            if group.first is None or place < group.first:
                group.first = place
        self.all.compute(self._link)
        self.all.moved |= gone

    def _hear_verdicts(self) -> None:
        """Work out who is blocked, and who must not be with whom."""
        self.blocked |= {name for name, verdict in self.marks.items() if verdict.op is Op.BLOCK}
        for pair, verdict in self.verdicts.items():
            if verdict.op is Op.DENY:
                for one, other in (pair, pair[::-1]):
                    self._foes.setdefault(one, set()).add(other)

    def _show_asserted(self) -> None:
        """Have asserted identifiers be there, with their links."""
        pairs = asserted(self.verdicts, self.blocked)
        for pair in pairs:
            for name in pair:
                if name not in self.naming:
                    time = self.verdicts[pair].time
                    self.since[name] = min(time, self.since.get(name, time))
                self.all.add(name)
        for pair in pairs:
            if not self.shared.intersection(pair):
                self.all.show(*pair)

    def judge(self, pair: Names, before: Verdict | None) -> bool:
        """Take in a verdict that has come to stand; return whether that could be done without `compute`."""
        now = self.verdicts.get((pair[0], pair[-1]))
        if now is None or Op.ASSERT in (now.op, before and before.op):
            return False  # a mark, or a link that comes or goes
        for one, other in (pair, pair[::-1]):
            foes = self._foes.setdefault(one, set())
            if now.op is Op.DENY:
                foes.add(other)
            else:
                foes.discard(other)
        self.all.judge(pair)
        self.quarantine.judge(pair)
        return True

    def forget_changes(self) -> None:
        """Take what was computed for what the rows say already."""
        self._written.clear()
        self._toggled.clear()

    def settle(self) -> Outcome:
        """Bring customers and slots into agreement with the evidence; return what changed."""
        for name in self.quarantine.toggled(self.shared):
            self._toggle(name)
        self.all.settle(self._link)
        moved, self.all.moved = self.all.moved, set()
        touched, self._touched = self._touched, set()
        members: dict[str, tuple[int | None, int | None]] = {}
        if moved or touched:
            groups = self.all.groups
            self.version += 1
            touched = {group for group in touched if self._alive(group)}
            touched |= {groups[name] for name in moved if name in groups}
            self._give_slots(moved, touched)
            for name in moved:
                group = groups.get(name)
                before, now = self.slot_of.get(name), None if group is None else group.slot
                if before != now:
                    members[name] = (before, now)
                    if now is None:
                        del self.slot_of[name]
                    else:
                        self.slot_of[name] = now
            self._refix |= moved
        self._refix |= self.quarantine.moved
        self.quarantine.moved.clear()
        written, self._written = self._written, set()
        again = {names for name in self._refix for names in self.naming.get(name, ())}
        again.update(names for names in written if names in self.sightings)
        self._refix.clear()
        for names in again:
            row = self.sightings[names]
            slot = self._fixed(names)
            if row.slot != slot:
                row.slot = slot
                written.add(names)
        toggled, self._toggled = self._toggled, set()
        refused, self.all.fresh = self.all.fresh, []
        return Outcome(members, touched, written, toggled, refused)

    def _alive(self, group: Group) -> bool:
        return self.all.groups.get(next(iter(group.members))) is group

    def _give_slots(self, moved: Iterable[str], groups: set[Group]) -> None:
        """Hand on slots to the groups that hold most of their members; number the rest."""
        for group in groups:
            if group.first is None:
                group.first = min(map(self.place, group.members))
        bare = [group for group in groups if group.slot == NO_SLOT]
        if not bare:
            return
        shares: dict[tuple[Group, int], int] = {}
        for name in moved:
            holder, slot = self.all.groups.get(name), self.slot_of.get(name)
            if slot is not None and holder is not None and holder.slot == NO_SLOT:
                shares[holder, slot] = shares.get((holder, slot), 0) + 1
        if shares:
            taken = {group.slot for group in groups}
            order = sorted(shares.items(), key=lambda item: (-item[1], item[0][1], item[0][0].first))
            for (group, slot), _ in order:
                if group.slot == NO_SLOT and slot not in taken:
                    group.slot = slot
                    taken.add(slot)
            bare = [group for group in bare if group.slot == NO_SLOT]
        for group in sorted(bare, key=lambda group: group.first or ()) if len(bare) > 1 else bare:
            group.slot = self.slots
            self.slots += 1

    # -- stars ------------------------------------------------------------------------------------------

    def effective(self, names: Names) -> list[str]:
        """Return the identifiers that a star may form around: neither blocked nor shared."""
        if not self.blocked and not self.shared:
            return list(names)
        return [name for name in names if name not in self.blocked and name not in self.shared]

    def _show(self, names: Names) -> None:
        """Have identifiers be there, with the links of their star."""
        every = self.all
        for name in names:
            if name not in every.groups and name not in self.blocked:
                every.add(name)
                every.groups[name].first = self.place(name)
        star = self.effective(names)
        for other in star[1:]:
            every.show(star[0], other)

    def _link(self, stronger: str, weaker: str) -> Link:
        """Return a link with its times, from all sightings that show it."""
        verdict = self.verdicts.get((stronger, weaker))
        if verdict is not None and verdict.op is Op.ASSERT:
            return Link(stronger, weaker, verdict.time, verdict.time, True)
        rows = [self.sightings[names] for names in self._showing(stronger, weaker)]
        return Link(stronger, weaker, min(row.first for row in rows), max(row.last for row in rows))

    def _showing(self, stronger: str, weaker: str) -> list[Names]:
        """Return the sightings whose star has a link."""
        one, other = self.naming.get(stronger, {}), self.naming.get(weaker, {})
        found = []
        for names in one if len(one) < len(other) else other:
            if stronger in names and weaker in names:
                star = self.effective(names)
                if star and star[0] == stronger and weaker in star:
                    found.append(names)
        return found

    def _toggle(self, name: str) -> None:
        """Have an identifier shared, or no longer: its sightings' stars form anew."""
        sightings = self.naming.get(name, ())
        before = {pair for names in sightings for pair in _star(self.effective(names))}
        self.shared ^= {name}
        self._toggled ^= {name}
        self.all.moved.add(name)
        after = {pair for names in sightings for pair in _star(self.effective(names))}
        for pair in before - after:
            verdict = self.verdicts.get(pair)
            kept = verdict is not None and verdict.op is Op.ASSERT and name not in pair
            if not kept and not self._showing(*pair):
                self.all.hide(*pair)
        for pair in after - before:
            self.all.show(*pair)
        for pair, verdict in self.verdicts.items():
            if name in pair and verdict.op is Op.ASSERT and not self.blocked.intersection(pair):
                if self.shared.intersection(pair):
                    if pair[1] in self.all.near[pair[0]]:
                        self.all.hide(*pair)
                else:
                    self.all.show(*pair)

    # -- whose is it ------------------------------------------------------------------------------------

    def _fixed(self, names: Names) -> int:
        """Return the slot of every event with these identifiers, or ASK."""
        star = self.effective(names)
        groups = self.all.groups
        if self.quarantine.disputed(names):
            return ASK
        if not star:
            left = next((name for name in names if name not in self.blocked), None)
            return NOBODY if left is None else groups[left].slot
        group = groups[star[0]]
        if not group.contested:
            return group.slot
        if any(not self._policy.is_person(name) for name in star):
            return ASK
        if any(groups[name] is not group for name in star):
            return ASK
        return group.slot


def _star(names: list[str]) -> list[Pair]:
    return [(names[0], other) for other in names[1:]]


def load(
    rules: LinkRules,
    sightings: Mapping[Names, SightingRow],
    verdicts: Mapping[Pair, Verdict],
    marks: Mapping[str, Verdict],
) -> Identities:
    """Return the identities that evidence gives, computed from scratch; `settle` is still to be called."""
    identities = Identities(rules)
    for names, row in sightings.items():
        identities.add(names, row)
    identities.verdicts.update(verdicts)
    identities.marks.update(marks)
    identities.compute()
    identities.forget_changes()
    return identities


def links_between(identities: Identities, seen: list[Names], most: int) -> list[Pair]:
    """Return links, at most so many, that join what events of one customer carried: the shortest ways.

    From the first event's identifiers on, breadth first over links that were not refused.
    """
    near, groups, place = identities.all.near, identities.all.groups, identities.policy.pair
    start = [name for name in seen[0] if name in groups][:1]
    came: dict[str, str | None] = dict.fromkeys(start)
    waiting = list(start)
    while waiting:
        name = waiting.pop(0)
        for other in sorted(near[name]):
            if other not in came and groups[other] is groups[name]:
                came[other] = name
                waiting.append(other)
    found: dict[Pair, None] = {}
    for names in seen:
        step: str | None = next((name for name in names if name in came), None)
        while step is not None and (before := came[step]) is not None and len(found) < most:
            found[place(step, before)] = None
            step = before
    return list(found)
