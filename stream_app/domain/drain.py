"""A component moves into another: its rows go in chunks, evidence before events.

The winner knows all evidence before the first event comes, so every event is put where it belongs at once, and
customers change once, not with every chunk. Until all chunks have come the component is not settled: its
customers' rules wait, and are folded again then. Until the first has come the winner can't know: messages under way
hold the clock back till then. Checkpoints of folds don't travel.

Counts of sightings are added up; an event that both held is noticed when its row comes, and counted once less.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.announcing import UNDER_WAY
from stream_app.domain.commands import Op
from stream_app.domain.effects import Cause
from stream_app.domain.erasing import cut_evidence
from stream_app.domain.identities import NOBODY
from stream_app.domain.keys import names_key, names_of, slot_key, slot_of
from stream_app.domain.messages import (
    CommandTo,
    Drain,
    Merge,
    Moved,
    MovedCustomer,
    MovedSighting,
    MovedVerdict,
    Topic,
    decode_event,
    encode,
)
from stream_app.domain.profile import END
from stream_app.domain.rows import Header, TimelineRow
from stream_app.domain.timeline import arrived_before, bare, same_content

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.domain.customer import At, Customers
    from stream_app.domain.event import Event
    from stream_app.domain.evidence import Home, Small
    from stream_app.domain.identities import Identities
    from stream_app.domain.partition import Names
    from stream_app.domain.repair import Limits
    from stream_app.domain.rows import EventPlace

FEW_SLOTS = 8
"""Slots that are asked for one by one, a microsecond each, where a scan takes a dozen."""

MEMBERS = 200
"""Most identifiers of one customer in one piece."""


class Drains:
    """The merges of one partition's components: sent, and taken in."""

    def __init__(self, customers: Customers, limits: Limits) -> None:
        """Work on the rows of `customers`."""
        self._customers = customers
        self._tables = customers.tables
        self._limits = limits

    # -- at the loser -----------------------------------------------------------------------------------

    def begin(self, at: At, winner: str, stamp: int) -> None:
        """Join another component: the redirect, and the first part of what is held."""
        held = at.header
        gone = Header(redirect=winner, erased=held.erased)
        at = at._replace(header=gone)
        known = self._known(at.label, held)
        self._customers.evidence.forget(at.label)
        self._customers.put_header(at)
        if not held.slots and not held.policy:
            return
        stood = self._customers.stood(stamp)
        if held.repairing:
            stood = min([stood, *(row.stamp for _, row in self._tables.repairs.scan(at.prefix))])
        for slot in range(1, held.slots):
            stood = min([stood, *self._customers.folds.stamps(slot_key(at.prefix, slot), None)])
        self._send_part(at, stamp, stood, held, known)

    def go_on(self, at: At, step: Drain) -> None:
        """Send the next part."""
        self._send_part(at, step.stamp, step.stood, None, None)

    def _known(self, label: str, held: Header) -> Small | None:
        """Return a component's evidence if it is in memory, and so small that it goes with one message.

        Most merges are of a visitor with a few events: the scans of sightings and members are spared.
        """
        home = self._customers.evidence.known(label)
        if home is None or held.policy != self._customers.digest:
            return None
        return home.small(min(MEMBERS, self._limits.rows // 3))

    def _send_part(self, at: At, stamp: int, stood: int, held: Header | None, known: Small | None) -> None:
        """Send what comes next and delete it; ask for more if something is left."""
        left, unsent = self._limits.rows, False
        waits = [stood]
        merge: dict[str, Any] = {"customers": (), "verdicts": (), "erasures": (), "sightings": (), "rows": ()}
        for name, take in (
            ("verdicts", self._verdicts),
            ("erasures", self._erasures),
            ("sightings", self._sightings),
            ("customers", partial(self._leaving, waits=waits, slots=0 if held is None else held.slots)),
            ("rows", self._events),
        ):
            if left <= 0:
                break
            if held is not None and not {"verdicts": held.judged, "erasures": held.erased}.get(name, True):
                continue  # a scan of nothing costs 5 us, and most merges are of a visitor with two events
            found, more = take(at, left, known)
            merge[name] = tuple(found)
            left -= len(found)
            unsent |= more
        plain = held is not None and not (held.repairing or held.erased or held.waiting)
        commands = self._waiting(at, left) if left > 0 and not plain else []
        left -= len(commands)
        if not plain and left > 0:
            left -= self._sweep(at.prefix, left)
        last = left > 0 and not (plain and unsent)
        stood = min(waits)
        header = at.header
        waited = Header() if held is None else held
        merge["customers"] += tuple(MovedCustomer(old, (name,), b"") for name, old in waited.strangers)
        incoming, recount = waited.incoming, tuple(waited.recount)
        winner = header.redirect
        if any(merge.values()) or incoming or not last or header.chunk:
            message = Merge(
                winner, at.label, header.chunk, last, stamp, incoming, recount, stood=stood, **merge
            )
            self._customers.effects.send(Topic.COMPONENTS, winner, message)
        for command in commands:
            self._customers.effects.send(Topic.COMPONENTS, winner, command)
        header.chunk += 1  # a step that was asked for twice is made once
        self._customers.put_header(at)
        if not last:
            drain = Drain(at.label, header.chunk, stamp, stood)
            self._customers.effects.send(Topic.COMPONENTS, at.label, drain)

    # Each of these takes at most so many rows out of their table, and says whether there may be more.

    def _verdicts(self, at: At, limit: int, _known: Small | None) -> tuple[list[MovedVerdict], bool]:
        found = list(islice(self._tables.verdicts.scan(at.prefix), limit))
        for key, _ in found:
            self._tables.verdicts.delete(key)
        moved = [MovedVerdict(names_of(at.prefix, key), one) for key, verdicts in found for one in verdicts]
        return moved, len(found) == limit

    def _erasures(self, at: At, limit: int, _known: Small | None) -> tuple[list[tuple[str, int]], bool]:
        found = list(islice(self._tables.erasures.scan(at.prefix), limit))
        for key, _ in found:
            self._tables.erasures.delete(key)
        return [(key[len(at.prefix) :].decode(), time) for key, time in found], len(found) == limit

    def _sightings(self, at: At, limit: int, known: Small | None) -> tuple[list[MovedSighting], bool]:
        prefix = at.prefix
        if known is None:
            found = list(islice(self._tables.sightings.scan(prefix), limit))
        else:
            found = sorted(
                ((names_key(prefix, names), row) for names, row in known.sightings.items()), key=_key
            )
        for key, _ in found:
            self._tables.sightings.delete(key)
        return [MovedSighting(names_of(prefix, key), row) for key, row in found], len(found) == limit

    def _leaving(
        self, at: At, limit: int, known: Small | None, *, waits: list[int], slots: int
    ) -> tuple[list[MovedCustomer], bool]:
        """Take customers with their identifiers; the rules' state goes with the first piece of each.

        `waits`: gets where the clock stood for what is yet to be folded of them, ms. `slots`: how many there have been
        of a component that is `known`.
        """
        tables, customers, prefix = self._tables, self._customers, at.prefix
        found: list[MovedCustomer] = []
        if known is not None and slots <= min(limit, FEW_SLOTS):
            keys = [slot_key(prefix, slot) for slot in range(slots)]
            rows = [(key, row) for key in keys if (row := tables.customers.get(key)) is not None]
        else:
            rows = list(islice(tables.customers.scan(prefix), limit))
        for key, row in rows:
            waits.extend(customers.folds.stamps(key, row))
            whole = False
            while limit > 0 and not whole:
                most = min(limit, MEMBERS)
                names = self._members(key, slot_of(prefix, key), most, known)
                whole = known is not None or len(names) < most
                for name in names:
                    tables.members.delete(key + name.encode())
                rules = b""
                if row.rules is not None:
                    rules = customers.rules.leave(customers.open(at, slot_of(prefix, key)))
                    row.rules = None
                    tables.customers.put(key, row)
                found.append(MovedCustomer(row.id, names, rules))
                limit -= 1 + len(names)
            if whole:
                customers.folds.leave(key, row)
                tables.customers.delete(key)
        return found, limit <= 0

    def _members(self, key: bytes, slot: int, most: int, known: Small | None) -> tuple[str, ...]:
        """Return the first identifiers of a customer that haven't left, sorted; what is `known` leaves at once."""
        if known is not None:
            return tuple(sorted(name for name, at_slot in known.slot_of.items() if at_slot == slot))
        return tuple(
            member[len(key) :].decode() for member, _ in islice(self._tables.members.scan(key), most)
        )

    def _events(self, at: At, limit: int, _known: Small | None) -> tuple[list[Moved], bool]:
        timelines, prefix = self._customers.timelines, at.prefix
        rows, following = timelines.part(prefix, None, limit, self._limits.size)
        found = []
        for key, row in rows:
            raw = row.event
            if at.header.erased:
                event = decode_event(raw)
                if self._customers.erasures.takes(prefix, slot_of(prefix, key), event):
                    raw = encode(bare(event))  # it goes with who was erased: the winner publishes that
            timelines.remove_at(prefix, key)
            found.append(Moved(msgspec.Raw(raw), row.customer, row.revision))
        return found, following is not None

    def _waiting(self, at: At, limit: int) -> list[CommandTo]:
        """Take the erasures that wait: they are sent on as the commands that they are."""
        found = list(islice(self._tables.waiting.scan(at.prefix), limit))
        for key, _ in found:
            self._tables.waiting.delete(key)
        winner = at.header.redirect
        return [CommandTo(winner, row.command, row.labels, row.stamp, at.label) for _, row in found]

    def _sweep(self, prefix: bytes, limit: int) -> int:
        """Delete what doesn't travel; return how much there was, all of `limit` if rows are left that do."""
        tables = self._tables
        travel: tuple[Any, ...] = (tables.customers, tables.timeline, tables.waiting)
        if any(next(table.scan(prefix), None) is not None for table in travel):
            return limit
        gone = 0
        others: tuple[Any, ...] = (tables.repairs, tables.events, tables.members, tables.going)
        for table in others:
            keys = [key for key, _ in islice(table.scan(prefix), limit - gone)]
            for key in keys:
                table.delete(key)
            gone += len(keys)
        return gone

    # -- at the winner ----------------------------------------------------------------------------------

    def take_over(self, at: At, message: Merge) -> set[str]:
        """Take in a part of another component; return the own labels of what lives here now."""
        customers = self._customers
        self._count_chunk(at, message)
        at.header.incoming[UNDER_WAY] = 1
        at.header.recount += [names for names in message.recount if names not in at.header.recount]
        home = customers.home(at)
        arrived = [(name, one.id) for one in message.customers for name in one.members]
        joint, known_until = _joint(home.identities, (name for name, _ in arrived))
        thorough = self._evidence(at, home, message)
        if message.sightings or message.verdicts or message.erasures or arrived:
            time = max((moved.row.last for moved in message.sightings), default=known_until)
            cause = Cause(time, joint)
            customers.changed(at, home, cause, message.stamp, arrived=arrived, thorough=thorough)
        stood = min(message.stamp, message.stood)
        for one in message.customers:
            self._join(at, home, one, stood)
            self._keep(at, home, one, stood)
        for moved in message.rows:
            self._take_row(at, home, moved, stood)
        del at.header.incoming[UNDER_WAY]
        customers.put_header(at)
        customers.repair(at, home, {}, message.stamp)
        labels = {customers.labels.of(name) for name, _ in arrived}
        labels |= {customers.labels.of(name) for moved in message.sightings for name in moved.names}
        for said in message.verdicts:  # only an assertion brings both ends together
            lives_here = said.names if said.verdict.op is Op.ASSERT else said.names[:1]
            labels.update(map(customers.labels.of, lives_here))
        return labels

    def _count_chunk(self, at: At, message: Merge) -> None:
        """Note a chunk of a merge; it is over when all have come, in whatever order (see `Header.incoming`)."""
        incoming = at.header.incoming
        arrived = dict(message.incoming)
        arrived[message.loser] = (
            arrived.get(message.loser, 0) + 1 - (message.chunk + 1 if message.last else 0)
        )
        for loser, count in arrived.items():
            total = incoming.pop(loser, 0) + count
            if total:
                incoming[loser] = total
        self._customers.put_header(at)

    def _evidence(self, at: At, home: Home, message: Merge) -> bool:
        """Take in evidence; return whether all rows must be looked at again."""
        identities, tables = home.identities, self._tables
        for moved in message.sightings:
            identities.take(moved.names, moved.row)
            # Put at once: should anything below fail, the abort of the epoch has to forget this row.
            tables.sightings.put(names_key(at.prefix, moved.names), identities.sightings[moved.names])
            home.owners.moved(moved.names, ())
        for label, time in message.erasures:
            self._customers.erasures.add(at.prefix, label, time)
            at.header.erased = True
        changed = False
        for one in message.verdicts:
            changed |= self._customers.verdicts.note(at, home, one.names, one.verdict)
        if message.erasures:
            self._customers.verdicts.forget(at, home)
            cut_evidence(self._customers, at, home, {label for label, _ in message.erasures})
        if changed or message.erasures:
            identities.compute()
        return changed or bool(message.erasures)

    def _join(self, at: At, home: Home, one: MovedCustomer, stamp: int) -> None:
        """Let whoever has a customer's identifiers now have what its rules had sent.

        Where their evidence goes another way, nobody has it until all rows have come; then it is shared out.
        """
        if not one.rules:
            return
        groups = home.identities.all.groups
        slot = next((groups[name].slot for name in one.members if name in groups), NOBODY)
        customers = self._customers
        customer = customers.open(at, slot)
        self._tables.customers.put(customer.prefix, customer.row)
        since = customers.rules.join(customer, one.rules)
        self._tables.customers.put(customer.prefix, customer.row)
        customers.touch(at, slot, stamp, since)

    def _keep(self, at: At, home: Home, one: MovedCustomer, stamp: int) -> None:
        """See to the profile of an id that lives on here, though no row may come for it."""
        groups = home.identities.all.groups
        for slot in {groups[name].slot for name in one.members if name in groups}:
            if self._customers.open(at, slot).id == one.id:
                self._customers.touch(at, slot, stamp, END)

    def _take_row(self, at: At, home: Home, moved: Moved, stamp: int) -> None:
        customers = self._customers
        event = decode_event(moved.event)
        row = TimelineRow(bytes(moved.event), moved.customer, moved.revision)
        cut = customers.cut(at, event)
        is_cut = cut is not event
        if is_cut:
            customers.unsee(at, home, event.identifiers)
            customers.unsee(at, home, cut.identifiers)
            event, row.event = cut, encode(cut)
        place = customers.standing(at, event.event_id, stamp)
        if place is not None:
            self._meet(at, home, place, event, row, stamp)
            return
        if not event.identifiers and not row.customer and not is_cut:
            customers.keep_bare(at, event, row.revision)
            return
        if not event.identifiers:
            customers.bury(at, event, row.customer, row.revision + 1)
            return
        self._put(at, home, event, row, stamp, another=is_cut)

    def _put(self, at: At, home: Home, event: Event, row: TimelineRow, stamp: int, *, another: bool) -> None:
        """Put an event where it belongs. `another`: with another content than was published last."""
        customers = self._customers
        if event.identifiers not in home.identities.sightings:
            # Its evidence goes another way, through a component that has moved on in between: count again later.
            home.identities.see(event.identifiers, event.time, event.event_id)
            at.header.recount.append(event.identifiers)
            customers.changed(at, home, Cause(event.time, event.identifiers, event.event_id), stamp)
        customers.logged_in(at, home, event.identifiers, event.time, stamp)
        slot = home.owners.slot(event.identifiers, event.time)
        customers.receive(at, slot, event, row, another=another)
        customers.touch(at, slot, stamp, event.order)

    def _meet(
        self, at: At, home: Home, place: EventPlace, event: Event, row: TimelineRow, stamp: int
    ) -> None:
        """An event that is here already has come with another component as well."""
        customers = self._customers
        here = customers.timelines.get(at.prefix, place, event.event_id)
        standing = decode_event(here.event)
        revision = max(here.revision, row.revision)
        if not event.identifiers or not standing.identifiers:  # erased there or here
            customers.unsee(at, home, event.identifiers)
            customers.unsee(at, home, standing.identifiers)
            customers.timelines.remove(at.prefix, place.slot, place.time, event.event_id)
            customers.touch(at, place.slot, stamp)
            first = event if arrived_before(event, standing) else standing
            if first.identifiers:
                again = TimelineRow(encode(first), here.customer or row.customer, revision)
                self._put(at, home, first, again, stamp, another=True)
            else:
                customers.bury(at, first, here.customer or row.customer, revision + 1)
            return
        if same_content(event, standing):
            customers.effects.duplicate(event)
            sighting = home.identities.sightings.get(event.identifiers)
            if sighting is not None:
                sighting.count -= 1
                self._tables.sightings.put(names_key(at.prefix, event.identifiers), sighting)
            wins = arrived_before(event, standing)
            again = TimelineRow(row.event if wins else here.event, here.customer, revision)
            if row.customer != here.customer:
                again.revision += 1
                customers.publish(here.customer, row.customer, standing, again.revision)
            customers.timelines.put(at.prefix, place.slot, event.time, event.event_id, again)
            return
        if arrived_before(event, standing):
            customers.effects.conflict(standing, event)
            customers.unsee(at, home, event.identifiers)  # it is seen again when it takes the other's place
            here.revision = revision
            customers.copies.replace(at, place, standing, event, here, stamp)
            return
        customers.effects.conflict(event, standing)
        customers.unsee(at, home, event.identifiers)
        again = TimelineRow(here.event, here.customer, revision + 1)
        customers.timelines.put(at.prefix, place.slot, standing.time, standing.event_id, again)
        customers.publish(here.customer, row.customer, standing, again.revision)


def _key(row: tuple[bytes, Any]) -> bytes:
    return row[0]


def _joint(identities: Identities, arrived: Iterable[str]) -> tuple[Names, int]:
    """Return the identifiers of an event here that named some of what has arrived, and when it was last seen."""
    joint = [names for name in arrived for names in identities.naming.get(name, ()) if len(names) > 1]
    if not joint:
        return (), 0
    names = min(joint, key=lambda names: (identities.sightings[names].first, names))
    return names, identities.sightings[names].last
