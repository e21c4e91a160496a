"""The customers of components: events in; timelines, profiles, rules and ids out, the same for any order.

One way for everything that changes who is who (a link, a merge, an operator's command, what is found shared,
an event that comes late): the evidence changes; `identities` says whose identifiers are whose now; ids are
announced; `repair` moves rows to whose they are; and `folding` folds again. What happens to one event is decided
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream_app.domain.announcing import Announcer
from stream_app.domain.copies import Copies
from stream_app.domain.customer_id import CustomerIds
from stream_app.domain.effects import Cause
from stream_app.domain.erasures import Erasures
from stream_app.domain.evidence import Evidence
from stream_app.domain.folding import Folds
from stream_app.domain.identities import FIRST, NOBODY
from stream_app.domain.keys import names_key, slot_key
from stream_app.domain.messages import decode_event, encode
from stream_app.domain.newcomers import Newcomers
from stream_app.domain.partition import LinkRules
from stream_app.domain.profile import BEGINNING, apply
from stream_app.domain.reference import References
from stream_app.domain.rows import CustomerRow, RepairRow, TimelineRow
from stream_app.domain.timeline import ERASED, Timelines, bare
from stream_app.domain.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from stream_app.domain.announcing import Arrived
    from stream_app.domain.effects import Effects
    from stream_app.domain.event import Event
    from stream_app.domain.evidence import Home, Lone
    from stream_app.domain.folding import FoldLimits
    from stream_app.domain.identities import Outcome
    from stream_app.domain.labels import Labels
    from stream_app.domain.partition import Group, Names
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.ports import Clock, ComponentTables
    from stream_app.domain.profile import Place, Profile
    from stream_app.domain.rows import EventPlace, Header
    from stream_app.domain.rule_fold import RuleFold


class At(NamedTuple):
    """A component, while a message to it is handled: its label, its rows' prefix, its header."""

    label: str
    prefix: bytes
    header: Header


class Customer:
    """One customer's rows, while a message or a timer is handled."""

    __slots__ = ("_folds", "_known", "_tables", "_timelines", "at", "prefix", "row", "slot")

    def __init__(
        self,
        at: At,
        slot: int,
        row: CustomerRow[Any],
        timelines: Timelines,
        tables: ComponentTables,
        folds: Folds,
        known: Callable[[str], Home | Lone | None],
    ) -> None:
        """Hold a row that has been read.

        Args:
            at: the component.
            slot: the customer's.
            row: her row.
            timelines: of the partition.
            tables: of the partition.
            folds: say whom this epoch's end will fold again, or decide about.
            known: gives a component that is in memory, by its label.
        """
        self.at = at
        self.slot = slot
        self.prefix = slot_key(at.prefix, slot)
        self.row = row
        self._timelines = timelines
        self._tables = tables
        self._folds = folds
        self._known = known

    @property
    def id(self) -> str:
        """The customer id as of now."""
        return self.row.id

    @property
    def label(self) -> str:
        """The component's label."""
        return self.at.label

    @property
    def key(self) -> tuple[str, int]:
        """What tells this customer from others as long as its component is where it is: label and slot."""
        return (self.at.label, self.slot)

    @property
    def profile(self) -> Profile:
        """The profile as of now; don't change it."""
        return self.row.profile

    @property
    def rules(self) -> Any:
        """The rules' state; None at first."""
        return self.row.rules

    @rules.setter
    def rules(self, state: Any) -> None:
        self.row.rules = state

    @property
    def settled(self) -> bool:
        """Whether the timeline is whole, and profile and rules say what it says."""
        return self.row.fold is None and self.prefix not in self._folds.queue and self.whole

    @property
    def undecided(self) -> bool:
        """Whether events were taken in about which nothing is decided before the epoch's end."""
        return self.prefix in self._folds.undecided

    @property
    def whole(self) -> bool:
        """Whether the timeline is whole, as far as is known: no merge is under way, and no repair here."""
        header = self.at.header
        return not header.incoming and not (header.repairing and self._tables.repairs.get(self.prefix))

    @property
    def references(self) -> References:
        """The reference data of the customer's partition."""
        return self._folds.references

    def identifiers(self) -> Iterator[str]:
        """Yield the customer's identifiers."""
        for key, _ in self._tables.members.scan(self.prefix):
            yield key[len(self.prefix) :].decode()

    def members(self) -> tuple[str, ...]:
        """Return the customer's identifiers, sorted; for between two messages, when all is settled.

        While the component is in memory, and small as nearly all are, it tells: 1 us instead of a scan's 6.
        """
        home = self._known(self.at.label)
        members = None if home is None else home.members(self.slot)
        return tuple(sorted(members or self.identifiers()))

    @property
    def is_anybody(self) -> bool:
        """Whether the customer has any identifier; for between two messages, as `members`."""
        home = self._known(self.at.label)
        members = None if home is None else home.members(self.slot)
        return bool(members) if members is not None else next(self.identifiers(), None) is not None

    def history(self, since: int | None = None) -> Iterator[Event]:
        """Yield the events from `since` (ms) on, or all, by (time, event id)."""
        return self._timelines.history(self.prefix, since)

    def timeline(self) -> Iterator[tuple[Event, TimelineRow]]:
        """Yield the events in order, each with its row."""
        for _, row in self._timelines.rows(self.prefix):
            yield decode_event(row.event), row


class Customers:
    """The customers of one partition's components."""

    def __init__(
        self,
        policy: IdentityPolicy,
        key: bytes,
        tables: ComponentTables,
        effects: Effects,
        rules: RuleFold,
        labels: Labels,
        limits: FoldLimits,
        clock: Clock | None = None,
        references: References | None = None,
    ) -> None:
        """Serve `tables`; `key` is the secret of the customer ids; without a clock, stamps alone say how late it is."""
        self.policy = policy
        self.digest = policy.digest
        self.erasures = Erasures(tables, labels)
        self.evidence = Evidence(LinkRules(policy), tables, self.erasures, policy.digest)
        self.timelines = Timelines(tables.events, tables.timeline, rules.removed)
        self.tables = tables
        self.references = References(tables) if references is None else references
        self.effects = effects
        self.rules = rules
        self.labels = labels
        self.copies = Copies(self)
        self.verdicts = Verdicts(self)
        id_of = CustomerIds(key).of
        self._announcer = Announcer(self, id_of)
        self._newcomers = Newcomers(self, id_of)
        self.clock = clock
        self.folds = Folds(self, limits)
        self.repair: Callable[[At, Home, Mapping[int, int | None], int], None]
        """repair(at, home, slots, stamp): look through the rows of slots, each from a time (ms) on or all."""
        self.look: Callable[[At, EventPlace, str, int], EventPlace]
        """look(at, place, event id, stamp): see at once to a row that a repair may have to; return its place."""

    def stood(self, stamp: int) -> int:
        """Return where the clock stands at most (ms), for a change that begins now and may take several epochs.

        What the clock of this partition hasn't passed yet is undecided: falling due on the way, it isn't late.
        """
        return stamp if self.clock is None else min(stamp, self.clock.now)

    def open(self, at: At, slot: int) -> Customer:
        """Return a customer of a component that isn't redirected."""
        row = self.tables.customers.get(slot_key(at.prefix, slot))
        row = CustomerRow() if row is None else row
        return Customer(at, slot, row, self.timelines, self.tables, self.folds, self.evidence.known)

    def ids(self, at: At, home: Home, names: Iterable[str]) -> tuple[str, ...]:
        """Return the ids of the customers that hold identifiers."""
        groups = home.identities.all.groups
        return tuple(sorted({self.open(at, groups[name].slot).id for name in names if name in groups}))

    def end(self, at: At, slot: int) -> None:
        """Let go of a customer that has no identifiers any more."""
        customer = self.open(at, slot)
        self.rules.leave(customer)
        self.folds.leave(customer.prefix, customer.row)
        self.tables.customers.delete(customer.prefix)

    def save(self, customer: Customer) -> None:
        """Write the customer's row, and have the profile published unless it is about to change.

        Who has identifiers and no events (a shared tablet, somebody only asserted) has no profile.
        """
        self.tables.customers.put(customer.prefix, customer.row)
        if not customer.settled:
            return
        if customer.profile.events:
            self.effects.profile(customer)
        else:
            self.effects.gone(customer.id)

    def home(self, at: At) -> Home:
        """Return what is known of a component, computed under today's policy."""
        home = self.evidence.home(at.label, at.prefix, at.header)
        if at.header.policy not in ("", self.digest):
            self.changed(at, home, Cause(0), at.header.size, thorough=True)
        return home

    # -- one event --------------------------------------------------------------------------------------

    def take_in(self, at: At, event: Event, raw: bytes, payload: bytes, stamp: int) -> None:
        """Take in one event as it came from its channel. `raw` is its MessagePack."""
        place = self.standing(at, event.event_id, stamp)
        if place is not None:
            self.copies.take(at, place, event, raw, stamp)
            return
        if at.header.erased:
            cut = self.cut(at, event)
            if cut is not event:
                if not cut.identifiers:
                    self.bury(at, event, "", 0)
                    return
                event, raw = cut, encode(cut)
                payload = b""  # it names what was erased: published as what is left
        slot = self.learn(at, event, stamp)
        self._append(at, slot, event, raw, payload, stamp)

    def learn(self, at: At, event: Event, stamp: int) -> int:
        """Take in an event's evidence; return the slot whose the event is. Repairs come before the event."""
        names, time = event.identifiers, event.time
        home = self.evidence.known(at.label)
        if at.header.policy == self.digest:
            # In memory are all sightings, or none: of 54,338 looks at the rows, 7,957 were for one that there isn't.
            key = names_key(at.prefix, names)
            row = self.tables.sightings.get(key) if home is None else home.sighting(names)
            if row is not None and row.slot >= 0 and time >= row.first:
                row.note(time, event.event_id)
                self.tables.sightings.put(key, row)
                if home is not None:
                    home.note(names, time)
                return row.slot
        elif self._newcomers.take(at, event):
            return FIRST
        home = self.home(at)
        home.identities.see(names, time, event.event_id)
        home.owners.note(names, time)
        self.changed(at, home, Cause(time, names, event.event_id), stamp)
        self.logged_in(at, home, names, time, stamp)
        return home.owners.slot(names, time)

    def logged_in(self, at: At, home: Home, names: Names, time: int, stamp: int) -> None:
        """Have looked at what an event decides about, if it is a login; its row is put after that."""
        groups, owners = home.identities.all.groups, home.owners
        star = home.identities.effective(names)
        owners.note(names, time)
        if any(groups[name].contested for name in star):
            slots = owners.decides(names, time)
            if slots:
                owners.coming = (names, time)
                try:
                    self.repair(at, home, slots, stamp)
                finally:
                    owners.coming = None

    def _append(self, at: At, slot: int, event: Event, raw: bytes, payload: bytes, stamp: int) -> None:
        if slot == NOBODY:
            self.timelines.put(at.prefix, slot, event.time, event.event_id, TimelineRow(raw, "", 0))
            self.effects.removed("", bare(event), 0)
            return
        customer = self.open(at, slot)
        row = customer.row
        # Put before it changes: should anything below fail, the abort of the epoch has to forget this row.
        self.tables.customers.put(customer.prefix, row)
        self.timelines.put(at.prefix, slot, event.time, event.event_id, TimelineRow(raw, row.id, 0))
        late = row.profile.last is not None and event.order < row.profile.last
        if payload:
            self.effects.applied(row.id, event, payload, late=late)
        else:
            self.effects.moved(row.id, "", event, 0)
        folds = self.folds
        folds.came_in += 1
        if late or not customer.settled:
            if customer.whole:
                folds.again(customer, event.order, stamp)
            else:
                self.touch(at, slot, stamp, event.order)
            return
        self.rules.before(customer, event)
        apply(row.profile, event)
        if not self.rules.on_event(customer, event):
            folds.again(customer, self.rules.void(customer, event), stamp)
        else:
            # Time has passed it: what it opens may be due already, and what closes that may be the next message.
            passed = self.clock is not None and event.time < self.clock.now
            if passed or customer.undecided:
                folds.decide_later(customer, stamp)
            else:
                self.rules.decide(customer, stamp)
            if row.profile.events % folds.every == 0:
                folds.keep(customer)
        self.save(customer)

    def fold_again(self, customer: Customer, since: Place, stamp: int) -> None:
        """Have a customer folded again from a place on, and so its rules decide; when its rows are at rest."""
        if customer.whole:
            self.folds.again(customer, since, stamp)
        else:
            self.touch(customer.at, customer.slot, stamp, since)

    def receive(self, at: At, slot: int, event: Event, row: TimelineRow, *, another: bool = False) -> None:
        """Put a row that was somewhere else where it belongs; its customer is touched by the caller.

        `another`: it holds another content than the one that was published last.
        """
        owner = "" if slot == NOBODY else self.open(at, slot).id
        if another or row.customer != owner:
            previous, row.customer, row.revision = row.customer, owner, row.revision + 1
            self.publish(owner, previous, event, row.revision)
        self.timelines.put(at.prefix, slot, event.time, event.event_id, row)

    def publish(self, owner: str, previous: str, event: Event, revision: int) -> None:
        """Publish an event again: as another's, or with another content; `owner` "": nobody's."""
        if owner:
            self.effects.moved(owner, previous, event, revision)
        else:
            self.effects.removed(previous, bare(event), revision)

    def bury(self, at: At, event: Event, customer: str, revision: int) -> None:
        """Keep nothing of an event, which was `customer`'s if anybody's, but that its id is taken."""
        self.keep_bare(at, bare(event), revision)
        self.effects.removed(customer, bare(event), revision)

    def keep_bare(self, at: At, left: Event, revision: int) -> None:
        """Keep what is left of an event that is gone, and published as gone."""
        self.erasures.taken(at.prefix, left.event_id)
        row = TimelineRow(encode(left), "", revision)
        self.timelines.put(at.prefix, ERASED, left.time, left.event_id, row)

    def cut(self, at: At, event: Event) -> Event:
        """Return an event without the identifiers that were erased up to its time."""
        if not at.header.erased:
            return event
        left = self.erasures.left(at.prefix, event.identifiers, event.time)
        return event if left is event.identifiers else msgspec.structs.replace(event, identifiers=left)

    def standing(self, at: At, event_id: str, stamp: int) -> EventPlace | None:
        """Return where an event is, or None; what an erasure has still to do to it is done first."""
        place = self.timelines.place(at.prefix, event_id)
        if place is None or not (at.header.erased and at.header.repairing) or place.slot == ERASED:
            return place
        return self.look(at, place, event_id, stamp)

    # -- evidence that goes -----------------------------------------------------------------------------

    def unsee(self, at: At, home: Home, names: Names) -> None:
        """Take back one event's evidence, by counting what is left; `changed` must follow."""
        if names and names not in at.header.recount:
            at.header.recount.append(names)
        self.recount(at, home)

    def recount(self, at: At, home: Home) -> None:
        """Count sightings again from the rows, unless some of these are still on their way.

        Read are the customers whose these events may be, and those whose rows are still to be looked at.
        """
        header = at.header
        if not header.recount or header.incoming:
            self.put_header(at)
            return
        found: dict[Names, list[tuple[int, str]]] = {tuple(names): [] for names in header.recount}
        header.recount = []
        self.put_header(at)
        slots = self.evidence.moving(at.prefix) if header.repairing else set()
        slots.update(*map(home.owners.places, found))
        for names, time, event_id in self.evidence.events(at.prefix, slots):
            if names in found:
                found[names].append((time, event_id))
        for names, orders in found.items():
            home.identities.count_again(names, sorted(orders))
        home.identities.compute()
        home.owners.forget()
        home.recounted = True

    def evidence_again(self, at: At, stamp: int) -> None:
        """Count again what had to wait for rows on their way, and end whoever came without evidence.

        Where somebody was erased, what names the erased is counted again too: it may have come by another way than
        what cut its events.
        """
        if at.header.erased:
            for names, row in self.home(at).identities.sightings.items():
                if self.erasures.left(at.prefix, names, row.first) is not names:
                    at.header.recount.append(names)
        if at.header.recount or at.header.strangers:
            home = self.home(at)
            self.recount(at, home)
            self.changed(at, home, Cause(stamp), stamp, thorough=True)

    def touch(
        self, at: At, slot: int, stamp: int, since: Place = BEGINNING, *, erased: int | None = None
    ) -> None:
        """Have a customer's profile and rules folded again from a place on, once `repair` has come to its end.

        `erased`: see `RepairRow`.
        """
        key, stamp = slot_key(at.prefix, slot), self.stood(stamp)
        row = self.tables.repairs.get(key)
        if row is None:
            at.header.repairing += 1
            self.put_header(at)
            row = RepairRow(None, False, stamp)
        row.touch(since)
        row.stamp = min(row.stamp, stamp)
        row.erased = row.erased if erased is None else erased
        self.tables.repairs.put(key, row)

    def put_header(self, at: At) -> None:
        """Write a component's header."""
        self.tables.components.put(at.prefix, at.header)

    # -- who is who has changed -------------------------------------------------------------------------

    def changed(
        self,
        at: At,
        home: Home,
        cause: Cause,
        stamp: int,
        *,
        arrived: Collection[Arrived] | None = None,
        also: Collection[int] = (),
        thorough: bool = False,
    ) -> None:
        """Bring rows and ids into agreement with the evidence.

        Args:
            at: the component.
            home: the same, in memory.
            cause: for `identity.changes`.
            stamp: where the clock stood at the source, ms.
            arrived: who has come with another component.
            also: slots whose rows must be looked through whatever has changed.
            thorough: look through the rows of everybody whom a dispute is about, and was.
        """
        identities = home.identities
        outcome = identities.settle()
        thorough, home.recounted = thorough or home.recounted, False
        header = at.header
        self.evidence.write(at.prefix, identities, outcome)
        known = header.slots
        header.size, header.slots, header.policy = len(identities.all.groups), identities.slots, self.digest
        self.put_header(at)
        for refusal in outcome.refused:
            self.effects.link_refused(refusal.reason, refusal.namespace)
        home.owners.moved((), (now for _, now in outcome.members.values() if now is not None))
        for name in outcome.toggled:
            home.owners.forget()
            self.effects.shared(name.partition(":")[0], released=name not in identities.shared)
        if not (outcome.members or outcome.groups or thorough or arrived or also):
            return
        fresh = None if arrived is not None else cause.evidence
        slots = self._slots_to_look_at(home, outcome, fresh, thorough=thorough).union(also)
        everybody = self._announcer.with_strangers(at, home, arrived or ())
        slots |= self._announcer.announce(at, home, outcome, cause, everybody, known)
        self._tell(at, {group.slot for group in outcome.groups} - slots, stamp)
        if slots:
            self.repair(at, home, dict.fromkeys(slots), stamp)

    def _tell(self, at: At, slots: Iterable[int], stamp: int) -> None:
        """Have profiles published again whose identifiers are others now, though no row moves."""
        for slot in sorted(slots):
            row = self.tables.customers.get(slot_key(at.prefix, slot))
            if row is None or not row.profile.events:
                continue
            customer = self.open(at, slot)
            if customer.settled:
                self.effects.profile(customer)
            elif not customer.whole and self.tables.repairs.get(customer.prefix) is None:
                at.header.repairing += 1
                self.put_header(at)
                self.tables.repairs.put(customer.prefix, RepairRow(None, False, stamp))

    def _slots_to_look_at(
        self, home: Home, outcome: Outcome, fresh: Names | None, *, thorough: bool
    ) -> set[int]:
        """Return the slots that may hold rows which are no longer, or not yet, their customer's.

        An event is where its owner is: its strongest identifier, or who logged in. So it may have to move only if
        its owner did, and then from where that was; whom a new login concerns is `logged_in`'s to say.
        """
        identities, owners = home.identities, home.owners
        groups = identities.all.groups
        alive = {group.slot for group in outcome.groups}
        slots: set[int] = set()
        concerned: set[Group] = set()
        for name, (before, _) in outcome.members.items():
            if before is not None and (
                before not in alive or name in outcome.toggled or owners.follows(name, fresh)
            ):
                slots.add(before)
        for toggled in outcome.toggled:
            for names in identities.naming.get(toggled, ()):
                concerned |= {groups[name] for name in names if name in groups}
        if thorough:
            concerned |= set(groups.values())
            home.owners.forget()
            slots.add(NOBODY)
        for group in concerned:
            if group.slot not in slots:
                slots |= owners.disputed(group)
        return slots
