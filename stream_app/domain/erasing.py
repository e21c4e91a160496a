"""An erasure, from the command to the last row (design: IDENTITY, "Operators").

It takes a customer as the evidence up to the command's time forms it: its events up to then go, its identifiers
are cut out of others' events up to then, verdicts up to then that name them go too.

1. It waits until the clock has passed the command's time, as a row with a timer: then no event of that time or
   before is outstanding, in whatever order a replay reads its topics. And it waits until the component is at
   rest: all that is known is here, and where it belongs. A component that joins another sends it on. Where there
   is no clock, it acts on arrival.
2. It begins in one message. From then on the evidence is without the erased, so nobody is, or becomes, one
   customer by it; `erasures` keep away what comes later; who was erased is announced, and the profile ended.
3. Its rows follow on the repair road, a bounded number with each message. Until a row's turn has come,
   everybody who reads it asks `erasures` what counts of it, so that nothing of it is published any more.

Where all evidence is of the command's time or before it, who was who is who is who: the customer's events are
those in its slot, which nobody gets again, and others' are cut where combinations with erased identifiers may be.
Otherwise who was who is computed from the component's events: they are all read, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.effects import Change, IdentityChange, cause_of
from stream_app.domain.identities import load
from stream_app.domain.keys import names_of, slot_of, waiting_key
from stream_app.domain.messages import CommandTo, Topic, decode_brief
from stream_app.domain.ownership import Owners
from stream_app.domain.partition import LinkRules
from stream_app.domain.rows import SightingRow, WaitingRow

if TYPE_CHECKING:
    from stream_app.domain.commands import Command, Verdict
    from stream_app.domain.customer import At, Customers
    from stream_app.domain.evidence import Home
    from stream_app.domain.identities import Identities
    from stream_app.domain.partition import Names, Pair
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.ports import Clock


class _Seen(NamedTuple):
    """An event, as far as it says whose it is, and the slot it lies in."""

    slot: int
    names: Names
    time: int
    event_id: str


class _Past(NamedTuple):
    """Who was who at a time (ms), and the component's events as they are now."""

    time: int
    identities: Identities
    owners: Owners
    seen: list[_Seen]


class Erasing:
    """The erasures at the components of one partition."""

    def __init__(self, policy: IdentityPolicy, customers: Customers, clock: Clock | None) -> None:
        """Work on the rows of `customers`; without a clock nothing waits for a time."""
        self._rules = LinkRules(policy)
        self._customers = customers
        self._tables = customers.tables
        self._clock = clock

    # -- waiting ----------------------------------------------------------------------------------------

    def take(self, at: At, command: Command, labels: tuple[str, ...], stamp: int) -> None:
        """Take in a command to erase: act, or have it wait."""
        home = self._customers.home(at)  # first: a policy that has changed sets rows moving
        if at.header.at_rest and self._is_due(command.time):
            self._begin(at, home, command, stamp)
            return
        key = waiting_key(at.prefix, command.time, command.command_id)
        if self._tables.waiting.get(key) is None:
            at.header.waiting += 1
            self._customers.put_header(at)
            self._tables.waiting.put(key, WaitingRow(command, labels, stamp))
        if self._clock is not None and not self._is_due(command.time):
            self._clock.wake(at.label, command.time)

    def wake(self, at: At) -> None:
        """Act, if there is an erasure that need not wait any longer; whatever else waits follows by messages."""
        home = self._customers.home(at)
        if at.header.at_rest and (row := self._next(at)) is not None:
            self._begin(at, home, row.command, row.stamp)

    def rested(self, at: At, _stamp: int) -> None:
        """Have the component told again of an erasure that has waited for it to come to rest."""
        row = self._next(at)
        if row is not None:
            again = CommandTo(at.label, row.command, row.labels, row.stamp)
            self._customers.effects.send(Topic.COMPONENTS, at.label, again)

    def _is_due(self, time: int) -> bool:
        return self._clock is None or self._clock.now > time

    def _next(self, at: At) -> WaitingRow | None:
        """Take out the earliest erasure, if its time has come."""
        for key, row in self._tables.waiting.scan(at.prefix) if at.header.waiting else ():
            if not self._is_due(row.command.time):
                break
            self._tables.waiting.delete(key)
            at.header.waiting -= 1
            self._customers.put_header(at)
            return row
        return None

    # -- acting -----------------------------------------------------------------------------------------

    def _begin(self, at: At, home: Home, command: Command, stamp: int) -> None:
        """Take the evidence away, announce it, and have the rows follow."""
        customers, name, time = self._customers, command.identifiers[0], command.time
        groups, cause = home.identities.all.groups, cause_of(command, ())
        past = None if _is_all_until(home.identities, time) else self._past(at, time)
        group = (groups if past is None else past.identities.all.groups).get(name)
        erased = frozenset((name,) if group is None else group.members)
        ids = customers.ids(at, home, erased)
        holders = {groups[one].slot for one in erased if one in groups}
        at.header.erased = True
        customers.put_header(at)
        for one in erased:
            customers.erasures.add(at.prefix, customers.labels.of(one), time)
        customers.verdicts.forget(at, home)
        customers.effects.identity(IdentityChange(Change.ERASED, ids, (), cause))
        for (
            customer_id
        ) in ids:  # who holds an identifier still has another profile, once all rows have been seen
            customers.effects.gone(customer_id)
        slot = None if group is None else group.slot
        slots = (
            _take_slot(at, home, erased, slot)
            if past is None
            else self._take_events(at, home, erased, past, slot)
        )
        customers.put_header(at)
        home.identities.compute()
        home.owners.forget()
        for holder in holders:
            customers.touch(at, holder, stamp, erased=time if past is None else None)
        customers.changed(at, home, cause, stamp, also=slots | holders, thorough=past is not None)
        if past is None and slot is not None:
            customers.end(at, slot)
        if at.header.waiting and at.header.at_rest:  # no row had to follow
            self.rested(at, stamp)

    def _past(self, at: At, time: int) -> _Past:
        """Return who was who by the evidence up to a time (ms), and all events as they are now."""
        seen = []
        sightings: dict[Names, SightingRow] = {}
        for key, row in self._tables.timeline.scan(at.prefix):
            event = decode_brief(row.event)
            if not event.identifiers:
                continue
            seen.append(_Seen(slot_of(at.prefix, key), event.identifiers, event.time, event.event_id))
            if event.time <= time:
                sighting = sightings.get(event.identifiers)
                if sighting is None:
                    sightings[event.identifiers] = sighting = SightingRow(event.time, event.time, 0, [])
                sighting.note(event.time, event.event_id)
        pairs, marks = self._stood(at, time)
        identities = load(self._rules, sightings, pairs, marks)
        identities.settle()
        owners = Owners(identities, lambda *_: ())
        owners.read_all((one.names, one.time) for one in seen if one.time <= time)
        return _Past(time, identities, owners, seen)

    def _stood(self, at: At, time: int) -> tuple[dict[Pair, Verdict], dict[str, Verdict]]:
        """Return the verdicts that stood at a time (ms), about pairs and about identifiers."""
        pairs: dict[Pair, Verdict] = {}
        marks: dict[str, Verdict] = {}
        for key, verdicts in self._tables.verdicts.scan(at.prefix) if at.header.judged else ():
            names = names_of(at.prefix, key)
            for verdict in verdicts:
                if verdict.time > time:
                    break
                if len(names) == 1:
                    marks[names[0]] = verdict
                else:
                    pairs[names[0], names[1]] = verdict
        return pairs, marks

    def _take_events(
        self, at: At, home: Home, erased: frozenset[str], past: _Past, slot: int | None
    ) -> set[int]:
        """Take away the evidence of the events that were in a slot in the past; return where rows are to go."""
        slots: set[int] = set()
        orders: dict[Names, list[tuple[int, str]]] = {}
        changed: set[Names] = set()
        for where, names, time, event_id in past.seen:
            left = names
            if time <= past.time:
                left = _without(names, erased)
                goes = slot is not None and past.owners.slot(names, time) == slot
                if goes and left:
                    self._tables.going.put(at.prefix + event_id.encode(), True)
                if goes:
                    left = ()
            if left != names:
                slots.add(where)
                changed |= {names, left}
            if left:
                orders.setdefault(left, []).append((time, event_id))
        for names in changed - {()}:
            home.identities.count_again(names, sorted(orders.get(names, ())))
        return slots


def _is_all_until(identities: Identities, time: int) -> bool:
    """Tell whether all evidence is of a time (ms) or before: of verdicts, the one that stands is the latest."""
    said = (*identities.verdicts.values(), *identities.marks.values())
    return all(row.last <= time for row in identities.sightings.values()) and all(
        one.time <= time for one in said
    )


def _take_slot(at: At, home: Home, erased: frozenset[str], slot: int | None) -> set[int]:
    """Take away the evidence of all events in a slot; return where rows are to go, or to lose identifiers."""
    identities, owners = home.identities, home.owners
    naming = {names for name in erased for names in identities.naming.get(name, ())}
    concerned = naming.union(*map(owners.by_login_beside, naming))
    places = {names: owners.places(names) for names in concerned}
    for names, where in places.items():
        if where == {slot} or not _without(names, erased):
            identities.remove(names)
    for names, where in places.items():
        left = _without(names, erased)
        if where == {slot} or not left:
            continue
        if left != names:
            identities.cut(names, left)
        if slot in where and left not in at.header.recount:
            at.header.recount.append(left)  # some are the customer's: counted again when these have gone
    return set().union(*places.values())


def cut_evidence(customers: Customers, at: At, home: Home, labels: set[str]) -> None:
    """Take identifiers that another component has erased out of the evidence; `compute` and `changed` must follow.

    `labels` are theirs. Rows lose them when they are looked at; what only some of a combination's events lose, or
    isn't certain, is counted again then.
    """
    identities, erasures, prefix = home.identities, customers.erasures, at.prefix
    erased = [name for name in identities.naming if customers.labels.of(name) in labels]
    for names in {names for name in erased for names in identities.naming[name]}:
        row = identities.sightings[names]
        times = {row.first, row.last, *(erasures.until(prefix, name) for name in names)}
        lefts = {erasures.left(prefix, names, time) for time in times if row.first <= time <= row.last}
        if len(lefts) > 1 or names in at.header.recount:
            at.header.recount += sorted((lefts | {names}) - {(), *at.header.recount})
        elif names not in lefts:
            identities.cut(names, *lefts)


def _without(names: Names, erased: frozenset[str]) -> Names:
    return tuple(name for name in names if name not in erased)
