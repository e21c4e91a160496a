"""The one repair road: rows move to whose they are now, a step at a time.

1. Whatever changes who is who queues slots: a row in `repairs` for each, with the key to go on from.
2. A step looks through the next rows of the queued slots, at most `Limits` of them, and moves those that are
   somebody else's; published again are those whose customer has another id. What was erased goes, or loses what
   it must not name (see `erasing`). It ends with a message to the component itself, for the next step, unless all
   is done: other events are handled in between.
3. What changes meanwhile queues again. A customer in the queue is not settled: its rules wait.
4. When all rows have been looked at, and no merge is under way, what the rules have sent goes to whose event it
   rests on, and whoever lost or received rows is queued to be folded again (`folding`).

Every step is one message, so it is part of one epoch: a crash resumes where the last epoch ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from stream_app.domain.evidence import NONE_WAITING
from stream_app.domain.identities import NOBODY
from stream_app.domain.keys import place_of, slot_key, slot_of, time_key, timeline_key
from stream_app.domain.messages import Repair, Topic, decode_brief, decode_event, encode
from stream_app.domain.rows import RepairRow
from stream_app.domain.timeline import ERASED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_app.domain.customer import At, Customer, Customers
    from stream_app.domain.evidence import Home
    from stream_app.domain.rows import EventPlace, TimelineRow


class Limits(NamedTuple):
    """How much one message may move, look through or publish again; the rest follows with the next one.

    Attributes:
        rows: timeline rows.
        size: bytes of events; a single larger event goes alone.
    """

    rows: int = 500
    size: int = 256 * 1024


class Repairs:
    """The repairs of one partition's components."""

    def __init__(self, customers: Customers, limits: Limits) -> None:
        """Work on the rows of `customers`."""
        self._customers = customers
        self._rows = customers.tables.repairs
        self._limits = limits
        customers.repair = self.queue
        customers.look = self.look
        self.rested: Callable[[At, int], None]
        """rested(at, stamp): the component has come to rest, and an erasure waits for that."""

    def queue(self, at: At, home: Home, slots: Mapping[int, int | None], stamp: int) -> None:
        """Have the rows of slots looked at, each from a time (ms) on or all; and make the first step."""
        stood = self._customers.stood(stamp)
        for slot in sorted(slots):
            since = slots[slot]
            key = slot_key(at.prefix, slot)
            cursor = key if since is None else time_key(key, since)
            row = self._rows.get(key)
            if row is None:
                at.header.repairing += 1
                self._customers.put_header(at)
                row = RepairRow(cursor, False, stood)
            elif row.cursor is None or cursor < row.cursor:
                row.cursor = cursor
            customer = self._customers.tables.customers.get(key)
            row.stamp = min([row.stamp, stood, *self._customers.folds.stamps(key, customer)])
            self._rows.put(key, row)
            home.waiting = min(home.waiting, slot)
        self.work(at, home, stamp)

    def step(self, at: At, message: Repair) -> None:
        """Go on, if this is the step that comes next: one that was asked for twice is made once."""
        home = self._customers.home(at)
        waiting = self._waiting(at, home)
        if waiting is not None and waiting[1].cursor == message.step:
            self.work(at, home, message.stamp)

    def work(self, at: At, home: Home, stamp: int) -> None:
        """Look through the next rows; fold again when all have been."""
        left, size = self._limits
        while left > 0 and size > 0 and (waiting := self._waiting(at, home)) is not None:
            slot, row = waiting
            prefix = slot_key(at.prefix, slot)
            part, following = self._customers.timelines.part(prefix, row.cursor, left, size)
            gone: list[bytes] = []
            for key, found in part:
                if self._look(at, home, slot, key, found, row.stamp):
                    gone.append(key)
                left -= 1
                size -= len(found.event)
            row.cursor = following
            if gone:
                row.touch(place_of(prefix, gone[0]))
            self._rows.put(prefix, row)
        waiting = self._waiting(at, home)
        if waiting is not None and waiting[1].cursor is not None:
            step = Repair(at.label, waiting[1].cursor, stamp)
            self._customers.effects.send(Topic.COMPONENTS, at.label, step)
        elif (at.header.repairing or at.header.recount or at.header.strangers) and not at.header.incoming:
            self._finish(at, home, stamp)
        if at.header.waiting and at.header.at_rest:
            self.rested(at, stamp)

    def look(self, at: At, place: EventPlace, event_id: str, stamp: int) -> EventPlace:
        """Look at one row before its turn; return where it is now."""
        customers = self._customers
        key = timeline_key(slot_key(at.prefix, place.slot), place.time, event_id)
        row = customers.timelines.get(at.prefix, place, event_id)
        if self._look(at, customers.home(at), place.slot, key, row, stamp):
            customers.touch(at, place.slot, stamp)
        now = customers.timelines.place(at.prefix, event_id)
        return place if now is None else now

    def _waiting(self, at: At, home: Home) -> tuple[int, RepairRow] | None:
        """Return the first slot with rows that are to be looked at; those before `home.waiting` have been."""
        if not at.header.repairing or home.waiting == NONE_WAITING:
            return None
        for key, row in self._rows.scan(at.prefix, slot_key(at.prefix, home.waiting)):
            if row.cursor is not None:
                home.waiting = slot_of(at.prefix, key)
                return home.waiting, row
        home.waiting = NONE_WAITING
        return None

    def _look(self, at: At, home: Home, slot: int, key: bytes, row: TimelineRow, stamp: int) -> bool:
        """Look at one row; return whether the customer has it no longer, or has less of it."""
        customers = self._customers
        event = decode_brief(row.event)
        names = event.identifiers
        if at.header.erased:
            names = customers.erasures.kept(at.prefix, slot, event)
        owner = home.owners.slot(names, event.time) if names else ERASED
        is_cut = names is not event.identifiers
        if owner != slot or is_cut:
            whole = decode_event(row.event)
            customers.timelines.remove(at.prefix, slot, event.time, event.event_id)
            if not names:
                customers.bury(at, whole, row.customer, row.revision + 1)
                return True
            if is_cut:
                whole = msgspec.structs.replace(whole, identifiers=names)
                row.event = encode(whole)
            customers.receive(at, owner, whole, row, another=is_cut)
            customers.touch(at, owner, stamp, whole.order)
            return True
        if slot != NOBODY:
            now = customers.open(at, slot).id
            if row.customer != now:
                previous, row.customer, row.revision = row.customer, now, row.revision + 1
                customers.timelines.rewrite(key, row)
                customers.effects.moved(now, previous, decode_event(row.event), row.revision)
        return False

    def _finish(self, at: At, home: Home, stamp: int) -> None:
        """Have whoever must be folded again, and let go of customers that there are no more."""
        customers = self._customers
        customers.evidence_again(at, stamp)
        if self._waiting(at, home) is not None:
            return
        rows = [(slot_of(at.prefix, key), row) for key, row in self._rows.scan(at.prefix)]
        for slot, _ in rows:
            self._rows.delete(slot_key(at.prefix, slot))
        at.header.repairing = 0
        customers.put_header(at)
        for slot, row in rows:
            if row.touched:
                self._share(at, customers.open(at, slot), stamp)
        for slot, row in rows:
            customer = customers.open(at, slot)
            if not customer.is_anybody:
                customers.end(at, slot)
                continue
            if row.touched:
                customers.folds.again(customer, row.since, row.stamp)
            customers.save(customer)

    def _share(self, at: At, customer: Customer, stamp: int) -> None:
        """Hand what the rules have sent to whose event it rests on."""
        customers = self._customers

        def slot_of_event(event_id: str) -> int | None:
            place = customers.timelines.place(at.prefix, event_id)
            return None if place is None or place.slot in (ERASED, NOBODY) else place.slot

        customers.tables.customers.put(customer.prefix, customer.row)
        for slot, state in customers.rules.share(customer, slot_of_event).items():
            other = customers.open(at, slot)
            customers.tables.customers.put(other.prefix, other.row)
            customers.folds.again(other, customers.rules.join(other, state), stamp)
            customers.save(other)
        customers.tables.customers.put(customer.prefix, customer.row)
