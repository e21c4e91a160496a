"""The rules' side of a customer: keeps their state and timer, and hands decisions to whoever publishes them.

State travels with the customer's row. One timer per customer, at the earliest due time that was ever wanted:
when a clock is restarted the timer stays, fires for nothing, and is set anew. That costs one idle call where
moving it would cost two rows with every event.

Where there are shadow rules, a customer has a second state, and whatever is done to the first is done to it too, at the
same moments; then the two are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from stream_app.domain.keys import timer_key
from stream_app.domain.profile import BEGINNING, END
from stream_app.domain.reference import Ahead
from stream_app.domain.rules import RulesState, ShadowState  # noqa: TC001 - msgspec reads them at run time
from stream_app.domain.rules.model import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.profile import Place, Profile
    from stream_app.domain.rules import Decision, Difference, Ledger, RuleBook, Shadow
    from stream_app.domain.rules.changes import Change


class ShadowRow(msgspec.Struct, array_like=True, gc=False):
    """What is kept of the shadow rules for one customer; `timer` and `held` as in `RulesRow`, and the shadow's own.

    They are apart so that what is live is decided as if there were no shadow.
    """

    side: ShadowState
    timer: int | None = None
    held: int | None = None


class RulesRow(msgspec.Struct, array_like=True, gc=False):
    """What is kept of the rules for one customer.

    Attributes:
        state: the fold and the ledger of what was sent.
        timer: due time of the timer that is set, ms; None: none is.
        held: due time of a timer that fired, or was dropped, while the customer wasn't settled, ms: what it stands for
            isn't late.
        shadow: the shadow rules' side; None where there are none.
    """

    state: RulesState
    timer: int | None = None
    held: int | None = None
    shadow: ShadowRow | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RulesRow).decode
"""What travels is a row without its timers."""
_decode_kept = msgspec.msgpack.Decoder(tuple[bytes, bytes]).decode
BOTH = b"\xc1"
"""Begins what is kept of both folds; no MessagePack begins with it, and so not what is kept of the live one alone."""


class FoldPair(NamedTuple):
    """The fold of the live rules, that of the shadow rules, if there are any, and what they have yet to come to."""

    live: RulesState
    beside: ShadowState | None
    ahead: Ahead


class Timers(Protocol):
    """Timers in event time, as the engine's tasks have them."""

    def set(self, due: int, key: bytes) -> None:
        """Have `key` called when the clock has passed `due` (ms)."""

    def cancel(self, due: int, key: bytes) -> None:
        """Take a timer back; nothing happens when there is none."""


class Timed(Protocol):
    """What the rules need of their task."""

    @property
    def clock(self) -> int:
        """Now, in event time: no event before it is outstanding (ms)."""

    @property
    def timers(self) -> Timers:
        """Its timers."""


class Publish(Protocol):
    """Takes decisions, in the order in which they were made."""

    def __call__(self, customer: Customer, decision: Decision) -> None:
        """Publish one."""


class Compare(Protocol):
    """Takes differences between shadow and live rules, in the order in which they were found."""

    def __call__(self, customer: Customer, difference: Difference) -> None:
        """Publish one."""


class Rules:
    """Implements the domain's `RuleFold` for one task."""

    def __init__(
        self,
        task: Timed,
        book: RuleBook,
        publish: Publish,
        shadow: Shadow | None = None,
        compare: Compare | None = None,
    ) -> None:
        self.task = task
        self.book = book
        self.shadow = shadow
        self.publish = publish
        self.compare = compare

    def before(self, customer: Customer, event: Event) -> None:
        """The timeline's new last event is about to be taken in: judge what is due before it."""
        row = customer.rules
        if row is None or (row.shadow is None and row.state.elapse_at >= event.time):
            return  # as before most events: nothing is due
        if self._fits(row):
            self.book.elapse(row.state, event.time, customer.profile)
            if self.shadow is not None and row.shadow is not None:
                self.shadow.book.elapse(row.shadow.side.state, event.time, customer.profile)

    def on_event(self, customer: Customer, event: Event) -> bool:
        """Take in the timeline's new last event."""
        row = self._row(customer)
        if not self._fits(row):
            return False
        if event.time <= row.state.revised[0]:
            return False  # a change of reference data is behind it
        self.book.step(row.state, event, customer.profile)
        if self.shadow is not None and row.shadow is not None:
            self.shadow.book.step(row.shadow.side.state, event, customer.profile)
        if self.book.watched or (self.shadow is not None and self.shadow.book.watched):
            self._watch(customer, row, event.time)
        return True

    def void(self, customer: Customer, event: Event) -> Place:
        """Return from where on the fold must be made anew, where `on_event` returned False."""
        return event.order if self._fits(self._row(customer)) else BEGINNING

    def decide(self, customer: Customer, stamp: int) -> None:
        """Decide what follows from the events that were taken in: after most of them, nothing."""
        row: RulesRow | None = customer.rules
        if row is None:
            row = self._row(customer)
        state = row.state
        if row.shadow is None and not state.stale and row.held is None:
            timer, next_at = row.timer, state.next_at
            if timer is None:
                if next_at == FOREVER:
                    return  # there is nothing to decide, nor to wait for
            elif timer <= next_at and timer >= self.task.clock:
                return  # there is nothing to decide, and the timer is early enough
        self._settle(customer, row, stamp, stamp)

    # -- reference data ---------------------------------------------------------------------------------

    def matters(self, change: Change) -> bool:
        """Tell whether a change may open anything for anybody."""
        return self.book.matters(change) or (self.shadow is not None and self.shadow.book.matters(change))

    def concerns(self, customer: Customer, change: Change) -> bool:
        """Tell whether a change concerns a customer, as far as her fold says; True if other rules made that."""
        row = self._row(customer)
        if not self._fits(row):
            return True
        return any(book.concerns(state, change) for book, state in self._folded(row))

    def on_change(self, customer: Customer, change: Change) -> bool:
        """Take in a change that nothing of the customer's is behind; False: something is, or other rules folded."""
        row = self._row(customer)
        state = row.state
        if not self._fits(row) or change.time < state.time or change.place <= state.revised:
            return False
        self._revise(row.state, None if row.shadow is None else row.shadow.side, change, customer.profile)
        return True

    def _revise(self, live: RulesState, beside: ShadowState | None, change: Change, profile: Profile) -> None:
        """Fold a change on both sides."""
        self.book.revise(live, change, profile)
        if self.shadow is not None and beside is not None:
            self.shadow.book.revise(beside.state, change, profile)

    def _watch(self, customer: Customer, row: RulesRow, since: int) -> None:
        """Note what has begun to concern a customer with an event, and take in how it has changed since."""
        ahead = Ahead(customer.references)
        for kind, item in self._taken():
            customer.references.concern(kind, item, *customer.key)
            ahead.watch(kind, item, since)
        beside = None if row.shadow is None else row.shadow.side
        for change in ahead.before(FOREVER):
            self._revise(row.state, beside, change, customer.profile)

    def _folded(self, row: RulesRow) -> list[tuple[RuleBook, RulesState]]:
        """Return the book and the state of each side."""
        sides = [(self.book, row.state)]
        if self.shadow is not None and row.shadow is not None:
            sides.append((self.shadow.book, row.shadow.side.state))
        return sides

    def _taken(self) -> list[tuple[str, str]]:
        """Return (kind, item) of what has begun to concern the customer at hand, each once; once only."""
        found = sorted({*self.book.watched, *(() if self.shadow is None else self.shadow.book.watched)})
        self.book.watched.clear()
        if self.shadow is not None:
            self.shadow.book.watched.clear()
        return found

    # -- folding again ----------------------------------------------------------------------------------

    def begin(self, customer: Customer, kept: bytes | None, since: Place) -> FoldPair | None:
        """Return folds to go on with, and the ledgers with them; both, or None: they are folded side by side."""
        row = self._row(customer)
        ledgers, ahead = (row.state.ledger,), Ahead(customer.references)
        if kept is None:
            beside = None if self.shadow is None else self.shadow.refold((), _parts(row))
            return FoldPair(self.book.refold((), ledgers), beside, ahead)
        lives, shadows = _decode_kept(kept[len(BOTH) :]) if kept.startswith(BOTH) else (kept, None)
        live = self.book.resume(lives, ledgers)
        if live is None or live.revised[0] >= since[0]:
            return None
        beside = None
        if self.shadow is not None:
            beside = None if shadows is None else self.shadow.resume(shadows, _parts(row))
            if beside is None:
                return None
            ahead.resume(self.shadow.book.concerning(beside.state), beside.state.revised)
        ahead.resume(self.book.concerning(live), live.revised)
        return FoldPair(live, beside, ahead)

    def before_step(self, fold: FoldPair, event: Event, profile: Profile) -> None:
        """Fold what changed before the next event, and judge what is due before it."""
        live, beside, ahead = fold
        if ahead:
            for change in ahead.before(event.time):
                self._revise(live, beside, change, profile)
        if live.elapse_at < event.time:
            self.book.elapse(live, event.time, profile)
        if self.shadow is not None and beside is not None:
            self.shadow.book.elapse(beside.state, event.time, profile)

    def step(self, fold: FoldPair, event: Event, profile: Profile) -> None:
        """Fold the next event."""
        self.book.step(fold.live, event, profile)
        if self.shadow is not None and fold.beside is not None:
            self.shadow.book.step(fold.beside.state, event, profile)
        if self.book.watched or (self.shadow is not None and self.shadow.book.watched):
            for kind, item in self._taken():
                fold.ahead.watch(kind, item, event.time)

    def keep(self, fold: FoldPair) -> bytes:
        """Return folds as bytes, without the ledgers."""
        live = self.book.keep(fold.live)
        if self.shadow is None or fold.beside is None:
            return live
        return BOTH + _encode((live, self.shadow.keep(fold.beside)))

    def current(self, customer: Customer) -> FoldPair:
        """Return the folds of a settled customer."""
        row = self._row(customer)
        return FoldPair(
            row.state, None if row.shadow is None else row.shadow.side, Ahead(customer.references)
        )

    def finish(self, customer: Customer, fold: FoldPair, stamp: int) -> None:
        """Take whole folds, with all that has changed since the last event, and decide what follows from them."""
        row = self._row(customer)
        for change in fold.ahead.before(FOREVER):
            self._revise(fold.live, fold.beside, change, customer.profile)
        row.state = fold.live
        self._put_beside(customer, row, fold.beside)
        for book, state in self._folded(row):
            for kind, item, _ in book.concerning(state):
                customer.references.concern(kind, item, *customer.key)
        self._settle(customer, row, stamp, stamp)

    # -- customers that move ----------------------------------------------------------------------------

    def removed(self, key: bytes) -> None:
        """Nothing of the rules' rests on one event's row: the customer is folded again."""

    def leave(self, customer: Customer) -> bytes:
        """The customer ends here; what falls due on the way is as if its timer had gone off while unsettled."""
        row = customer.rules
        if row is None:
            return b""
        for side in _sides(row):
            side.held = _earlier(side.held, side.timer)
            self._set_timer(customer, row, side, None)
        return _encode(row)

    def join(self, customer: Customer, state: bytes) -> Place:
        """Another's state has come: what it sent counts here from now on."""
        if not state:
            return END
        row, other = self._row(customer), _decode(state)
        if self.shadow is not None:
            # First: it may begin with what the live ledger says, each of its own customer's.
            self._put_beside(customer, row, self.shadow.refold((), (*_parts(row), *_parts(other))))
        row.state = self.book.refold((), (row.state.ledger, other.state.ledger))
        row.held = _earlier(row.held, other.held)
        if row.shadow is not None and other.shadow is not None:
            row.shadow.held = _earlier(row.shadow.held, other.shadow.held)
        # An event that closes what was opened says so in the fold only where the ledger knows of it.
        theirs = (sent for ledger in _ledgers(other) for sent in ledger.rows.values())
        return min(((sent.opened.time, "") for sent in theirs), default=END)

    def share(self, customer: Customer, slot_of: Callable[[str], int | None]) -> dict[int, bytes]:
        """Give away what was sent about events that are another customer's now."""
        row = customer.rules
        if row is None:
            return {}
        opened = {sent.opened.event_id for ledger in _ledgers(row) for sent in ledger.rows.values()}
        owners: dict[int, set[str]] = {}
        for event_id in opened:
            slot = slot_of(event_id)
            if slot is not None and slot != customer.slot:
                owners.setdefault(slot, set()).add(event_id)
        if not owners:
            return {}
        parts = {slot: self._only(row, events) for slot, events in owners.items()}
        kept = self._only(row, opened.difference(*owners.values()))
        row.state = kept.state
        if row.shadow is not None and kept.shadow is not None:
            row.shadow.side = kept.shadow.side
        return {slot: _encode(part) for slot, part in parts.items()}

    # -- deciding ---------------------------------------------------------------------------------------

    def fire(self, customer: Customer, due: int) -> bool:
        """The customer's timer has gone off; return whether anything may have changed.

        Who isn't decided about before the epoch's end isn't now: the row says since when that waits.
        """
        row: RulesRow | None = customer.rules
        fired = [] if row is None else [side for side in _sides(row) if side.timer == due]
        if row is None or not fired:
            return False
        for side in fired:
            side.timer = None
        if self.waits(customer) is None and not customer.undecided:
            live, beside = (due - 1 if side in fired else self.task.clock for side in (row, row.shadow))
            self._settle(customer, row, live, beside)
        else:
            for side in fired:
                side.held = _earlier(side.held, due)
        return True

    def waits(self, customer: Customer) -> Place | None:
        """Return from where on the customer must be folded again before anything is decided; None: it needn't."""
        if not self._fits(customer.rules):
            return BEGINNING  # the rules have changed since: what is pending is judged by the new ones
        return None if customer.settled else END

    def _row(self, customer: Customer) -> RulesRow:
        row: RulesRow | None = customer.rules
        if row is None:
            beside = None if self.shadow is None else ShadowRow(self.shadow.new_state())
            row = customer.rules = RulesRow(self.book.new_state(), shadow=beside)
        return row

    def _fits(self, row: RulesRow) -> bool:
        """Tell whether a row was folded by the rules of now."""
        shadow, beside = self.shadow, row.shadow
        if row.state.book != self.book.fingerprint or (shadow is None) is not (beside is None):
            return False
        return shadow is None or beside is None or shadow.fits(beside.side)

    def _only(self, row: RulesRow, event_ids: set[str]) -> RulesRow:
        """Return what a row holds about these opening events."""
        part = RulesRow(self.book.refold((), (row.state.ledger.only(event_ids),)))
        if self.shadow is not None and row.shadow is not None:
            part.shadow = ShadowRow(self.shadow.only(row.shadow.side, event_ids))
        return part

    def _put_beside(self, customer: Customer, row: RulesRow, side: ShadowState | None) -> None:
        """Make this the shadow's side, whose timer stays; None: there is no shadow any more, and it ends."""
        if side is None:
            if row.shadow is not None:
                self._set_timer(customer, row, row.shadow, None)
                row.shadow = None
        elif row.shadow is None:
            row.shadow = ShadowRow(side)
        else:
            row.shadow.side = side

    def _settle(self, customer: Customer, row: RulesRow, stood: int, beside_stood: int) -> None:
        """Decide what there is to decide, on both sides, and compare them; each by where its own clock stood."""
        decided = self._decide(customer, row, row, stood)
        for decision in decided:
            self.publish(customer, decision)
        shadow, beside, compare = self.shadow, row.shadow, self.compare
        if shadow is None or beside is None or compare is None:
            return
        would = self._decide(customer, row, beside, beside_stood)
        for difference in shadow.compare(row.state, beside.side, self.task.clock, decided, would):
            compare(customer, difference)

    def _decide(
        self, customer: Customer, row: RulesRow, side: RulesRow | ShadowRow, stood: int
    ) -> list[Decision]:
        """Settle one side, and set its timer."""
        clock, shadow = self.task.clock, self.shadow
        book, state = self.book, row.state
        if isinstance(side, ShadowRow) and shadow is not None:
            book, state = shadow.book, side.side.state
        if side.held is not None:
            stood, side.held = min(stood, side.held - 1), None
        if side.timer is not None and side.timer < clock:
            # Due before the event that brings us here, and only not fired yet: not found late.
            stood = min(stood, side.timer - 1)
        decided: list[Decision] = []
        if not book.settled(state, clock):
            profile, identifiers = customer.profile, customer.identifiers
            decided = book.settle(state, clock, min(clock, stood), profile, identifiers)
        due = book.next_due(state)
        if due is not None and (side.timer is None or due < side.timer):
            self._set_timer(customer, row, side, due)
        return decided

    def _set_timer(
        self, customer: Customer, row: RulesRow, side: RulesRow | ShadowRow, due: int | None
    ) -> None:
        """Move a side's timer; one that both sides have set is one."""
        key = timer_key(*customer.key)
        before, side.timer = side.timer, due
        if before is not None and all(one.timer != before for one in _sides(row)):
            self.task.timers.cancel(before, key)
        if due is not None:
            self.task.timers.set(due, key)


def _sides(row: RulesRow) -> tuple[RulesRow | ShadowRow, ...]:
    """Return the live side, and the shadow's if there is one."""
    return (row,) if row.shadow is None else (row, row.shadow)


def _earlier(one: int | None, other: int | None) -> int | None:
    """Return the earlier of two due times that there may be."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _ledgers(row: RulesRow) -> list[Ledger]:
    """Return the ledgers of both sides."""
    return [row.state.ledger] if row.shadow is None else [row.state.ledger, row.shadow.side.state.ledger]


def _parts(row: RulesRow) -> tuple[tuple[Ledger, ShadowState | None]]:
    """Return what the shadow's side is folded with, as `Shadow.refold` wants it."""
    return ((row.state.ledger, None if row.shadow is None else row.shadow.side),)
