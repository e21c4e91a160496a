"""Customers are counted: numbers are folded beside profile and rules, and what they add to sums is told.

`Counting` stands before the rules wherever a customer's fold is asked for, so numbers are folded, kept at checkpoints
and folded again exactly when rules are. Its own rules:

1. Three parts of a fold are kept apart (see `numbers.state`): `Ongoing` with the customer's row; the others in rows
   that are read and written when an entry needs them.
2. A trigger that is sent, or taken back, becomes an entry of the fold, behind all that was known then: what was known
   before a message went out is no answer to it. That place is published with the decision (`counted_at`), so that
   whoever reads the topics can fold the same.
3. Such entries have rows of their own, beside the timeline: a fold that is made again takes them in their places. They
   go where the rules' ledger goes: with a customer who joins another's, and to whom the opening event belongs.
4. Who ends takes back all that was told of her, here; where her events come to, it is told anew. `numbers.telling` says
   why sums stay right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.keys import timeline_key
from stream_app.domain.numbers import (
    EDITION,
    Journey,
    Numbers,
    Ongoing,
    Sent,
    TakenBack,
    Told,
    keep,
    resume,
    send_step,
    step,
)
from stream_app.domain.profile import BEGINNING
from stream_app.domain.profile.values import Place  # noqa: TC001 - msgspec resolves the fields' types at run time
from stream_app.domain.rows import SendRow
from stream_app.domain.rules.decision import Action
from stream_app.domain.timeline import ERASED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.numbers import Entry, Increments, Retelling
    from stream_app.domain.ports import ComponentTables
    from stream_app.domain.profile import Profile
    from stream_app.domain.rule_fold import RuleFold
    from stream_app.domain.rules import Decision

_encode = msgspec.msgpack.Encoder().encode


class Kept(msgspec.Struct, array_like=True):
    """What is kept of a fold at a checkpoint: the rules' part, the numbers' part, and the place of the last entry."""

    rules: bytes
    numbers: bytes
    place: Place


class Travelling(msgspec.Struct, array_like=True):
    """What goes with a customer, or a part of one: the rules' state and sends."""

    rules: bytes
    sends: list[SendRow]


_kept = msgspec.msgpack.Decoder(Kept).decode
_travelling = msgspec.msgpack.Decoder(Travelling).decode


class _Parts:
    """A settled customer's parts, to be changed; journey and bookings are read when they are asked for.

    They are put at once: should anything fail, the abort of the epoch has to forget them. Implements
    `numbers.state.State`.
    """

    __slots__ = ("_bookings", "_journey", "_prefix", "_tables", "ongoing")

    def __init__(self, tables: ComponentTables, prefix: bytes, ongoing: Ongoing) -> None:
        self._tables = tables
        self._prefix = prefix
        self.ongoing = ongoing
        self._journey: Journey | None = None
        self._bookings: dict[str, bytes] | None = None

    @property
    def journey(self) -> Journey:
        if self._journey is None:
            self._journey = _journey(self._tables, self._prefix)
            self._tables.journeys.put(self._prefix, self._journey)
        return self._journey

    @property
    def bookings(self) -> dict[str, bytes]:
        if self._bookings is None:
            self._bookings = _bookings(self._tables, self._prefix)
            self._tables.bookings.put(self._prefix, self._bookings)
        return self._bookings

    def write(self) -> None:
        """Write what was asked for, as it is now."""
        if self._journey is not None:
            self._tables.journeys.put(self._prefix, self._journey)
        if self._bookings is not None:
            self._tables.bookings.put(self._prefix, self._bookings)


class Folded:
    """A fold: the rules' part, the numbers', and the place of the last entry."""

    __slots__ = ("numbers", "place", "rules")

    def __init__(self, rules: Any, numbers: Numbers, place: Place) -> None:
        """Hold the parts."""
        self.rules = rules
        self.numbers = numbers
        self.place = place


class Folding(Folded):
    """A fold that is being made again, and what it has still to come to."""

    __slots__ = ("_ahead", "_next", "prefix", "retelling")

    def __init__(
        self,
        prefix: bytes,
        rules: Any,
        numbers: Numbers,
        place: Place,
        retelling: Retelling,
        sends: Iterator[tuple[bytes, SendRow]],
    ) -> None:
        """Go on behind a place."""
        super().__init__(rules, numbers, place)
        self.prefix = prefix
        self.retelling = retelling
        self._ahead = sends
        self._next = next(sends, None)

    def sends_before(self, key: bytes | None) -> None:
        """Fold the sends before a timeline key, or all that are left."""
        while self._next is not None and (key is None or self._next[0] < key):
            at, row = self._next
            entry = row.entry
            self.retelling.tell(at, send_step(self.numbers, entry))
            self.place = entry.order
            self._next = next(self._ahead, None)

    def step(self, event: Event, profile: Profile) -> None:
        """Fold an event; the profile has it."""
        key = timeline_key(self.prefix, *event.order)
        self.retelling.tell(key, step(self.numbers, event, profile))
        self.place = event.order


class Counting:
    """Implements `RuleFold`: the numbers, and the rules that it is given."""

    def __init__(self, rules: RuleFold, tables: ComponentTables, send: Callable[[Increments], None]) -> None:
        """Count the customers of `tables`, and have `send` take every difference."""
        self._rules = rules
        self._tables = tables
        self._told = Told(tables.told, send)
        self.before = rules.before
        self.decide = rules.decide
        self.matters = rules.matters
        self.concerns = rules.concerns
        self.on_change = rules.on_change
        self.removed = self._told.take_back

    # -- one event --------------------------------------------------------------------------------------

    def on_event(self, customer: Customer, event: Event) -> bool:
        """Take in the timeline's new last event; False where a send is behind it, or other definitions folded."""
        row = customer.row
        ongoing = row.ongoing
        if ongoing is None:
            if row.profile.events > 1:
                return False  # it was folded before there were numbers
            ongoing = row.ongoing = Ongoing()
        elif ongoing.edition != EDITION or event.order <= ongoing.sent:
            return False
        if not self._rules.on_event(customer, event):
            return False
        parts = _Parts(self._tables, customer.prefix, ongoing)
        increments = step(parts, event, row.profile)
        parts.write()
        if increments:
            self._told.tell(timeline_key(customer.prefix, *event.order), increments)
        return True

    def void(self, customer: Customer, event: Event) -> Place:
        """Return from where on the fold must be made anew."""
        ongoing = customer.row.ongoing
        if ongoing is None or ongoing.edition != EDITION:
            return BEGINNING
        return self._rules.void(customer, event)

    def sent(self, customer: Customer, decision: Decision) -> int | None:
        """Take in that a trigger was sent, or taken back; return where it counts (ms), None for what counts nowhere.

        The customer is settled, and its row is put afterwards.
        """
        time = self._behind_all(customer, decision.sent)
        entry: Entry
        if decision.action is Action.FIRE:
            entry = Sent(decision.trigger_id, decision.rule, decision.first_channel, time)
        elif (
            decision.action is Action.RETRACT
            and (known := self._sent(customer, decision.trigger_id)) is not None
        ):
            entry = TakenBack(decision.trigger_id, known.rule, known.channel, known.time, time)
        else:
            return None
        key = timeline_key(customer.prefix, *entry.order)
        self._tables.sends.put(key, SendRow(entry, decision.opened_by))
        ongoing = customer.row.ongoing
        if ongoing is not None and ongoing.edition == EDITION:
            parts = _Parts(self._tables, customer.prefix, ongoing)
            self._told.tell(key, send_step(parts, entry))
            parts.write()
        return time

    def _behind_all(self, customer: Customer, time: int) -> int:
        """Return a time that is behind all entries of the fold, and not before `time`."""
        last, ongoing = customer.profile.last, customer.row.ongoing
        if last is not None:
            time = max(time, last[0] + 1)
        return time if ongoing is None else max(time, ongoing.sent[0] + 1)

    def _sent(self, customer: Customer, trigger_id: str) -> Sent | None:
        """Return the latest send of a trigger."""
        found = None
        for _, row in self._tables.sends.scan(customer.prefix):
            if isinstance(row.entry, Sent) and row.entry.trigger_id == trigger_id:
                found = row.entry
        return found

    # -- folding again ----------------------------------------------------------------------------------

    def begin(self, customer: Customer, kept: bytes | None, since: Place) -> Folding | None:
        """Return a fold to go on with; None if other definitions or rules gave it, or it has a send from `since` on."""
        prefix, start = customer.prefix, None
        numbers: Numbers | None = Numbers()
        place, inner = BEGINNING, None
        if kept is not None:
            known = _kept(kept)
            numbers, place, inner = resume(known.numbers), known.place, known.rules
            if numbers is None or numbers.ongoing.sent >= since:
                return None
            start = timeline_key(prefix, *place) + b"\0"
        rules = self._rules.begin(customer, inner, since)
        if rules is None or numbers is None:
            return None
        retelling, sends = self._told.again(prefix, start), self._tables.sends.scan(prefix, start)
        return Folding(prefix, rules, numbers, place, retelling, sends)

    def before_step(self, fold: Folding, event: Event, profile: Profile) -> None:
        """Fold the sends before the next event."""
        fold.sends_before(timeline_key(fold.prefix, *event.order))
        self._rules.before_step(fold.rules, event, profile)

    def step(self, fold: Folding, event: Event, profile: Profile) -> None:
        """Fold the next event."""
        self._rules.step(fold.rules, event, profile)
        fold.step(event, profile)

    def keep(self, fold: Folded) -> bytes:
        """Return a fold as bytes."""
        return _encode(Kept(self._rules.keep(fold.rules), keep(fold.numbers), fold.place))

    def current(self, customer: Customer) -> Folded:
        """Return the fold of a settled customer, to be kept."""
        numbers, place = Numbers(), customer.profile.last or BEGINNING
        ongoing = customer.row.ongoing
        if ongoing is not None:
            tables, prefix = self._tables, customer.prefix
            numbers = Numbers(ongoing, _journey(tables, prefix), _bookings(tables, prefix))
            place = max(place, ongoing.sent)
        return Folded(self._rules.current(customer), numbers, place)

    def finish(self, customer: Customer, fold: Folding, stamp: int) -> None:
        """Take a whole fold; what the rules decide about it is told behind it."""
        fold.sends_before(None)
        fold.retelling.end()
        customer.row.ongoing = fold.numbers.ongoing
        self._tables.journeys.put(customer.prefix, fold.numbers.journey)
        self._tables.bookings.put(customer.prefix, fold.numbers.bookings)
        self._rules.finish(customer, fold.rules, stamp)

    # -- customers that move ----------------------------------------------------------------------------

    def leave(self, customer: Customer) -> bytes:
        """The customer ends here: her sends go along. What was told of her events goes with these."""
        prefix, row = customer.prefix, customer.row
        sends = list(self._tables.sends.scan(prefix))
        for key, _ in sends:
            self._remove_send(key)
        self._tables.journeys.delete(prefix)
        self._tables.bookings.delete(prefix)
        row.ongoing = None
        return _packed(self._rules.leave(customer), [send for _, send in sends])

    def join(self, customer: Customer, state: bytes) -> Place:
        """Another's state has come; return from where on to fold again. Idempotent."""
        if not state:
            return self._rules.join(customer, state)
        came = _travelling(state)
        since = self._rules.join(customer, came.rules)
        for send in came.sends:
            place = send.entry.order
            self._tables.sends.put(timeline_key(customer.prefix, *place), send)
            since = min(since, place)
        return since

    def share(self, customer: Customer, slot_of: Callable[[str], int | None]) -> Mapping[int, bytes]:
        """Give away what belongs to those who own the opening events; what rests on an erased one is gone with it."""
        inner = self._rules.share(customer, slot_of)
        going: dict[int, list[SendRow]] = {}
        for key, send in list(self._tables.sends.scan(customer.prefix)):
            slot = slot_of(send.opened_by)
            if slot is None:
                place = self._tables.events.get(customer.at.prefix + send.opened_by.encode())
                if place is not None and place.slot == ERASED:
                    self._remove_send(key)
            elif slot != customer.slot:
                self._remove_send(key)
                going.setdefault(slot, []).append(send)
        slots = sorted({*inner, *going})
        return {slot: _packed(inner.get(slot, b""), going.get(slot, [])) for slot in slots}

    def _remove_send(self, key: bytes) -> None:
        self._tables.sends.delete(key)
        self._told.take_back(key)


def _journey(tables: ComponentTables, prefix: bytes) -> Journey:
    return tables.journeys.get(prefix) or Journey()


def _bookings(tables: ComponentTables, prefix: bytes) -> dict[str, bytes]:
    return tables.bookings.get(prefix) or {}


def _packed(rules: bytes, sends: list[SendRow]) -> bytes:
    return _encode(Travelling(rules, sends)) if rules or sends else b""
