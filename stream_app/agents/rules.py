"""The rules' side of a customer: keeps their state and timer, and hands decisions to whoever publishes them.

State travels with the customer's row. One timer per customer, at the earliest due time that was ever wanted:
when a clock is restarted the timer stays, fires for nothing, and is set anew. That costs one idle call where
moving it would cost two rows with every event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from stream_app.domain.keys import timer_key
from stream_app.domain.profile import BEGINNING, END
from stream_app.domain.rules import Decision, RulesState

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.profile import Place, Profile
    from stream_app.domain.rules import RuleBook


class RulesRow(msgspec.Struct, array_like=True):
    """What is kept of the rules for one customer.

    Attributes:
        state: the fold and the ledger of what was sent.
        timer: due time of the timer that is set, ms; None: none is.
        held: due time of a timer that fired while the customer wasn't settled, ms: what it stands for isn't late.
    """

    state: RulesState
    timer: int | None = None
    held: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RulesState).decode


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


class Rules:
    """Implements the domain's `RuleFold` for one task."""

    def __init__(self, task: Timed, book: RuleBook, publish: Publish) -> None:
        self.task = task
        self.book = book
        self.publish = publish

    def before(self, customer: Customer, event: Event) -> None:
        """The timeline's new last event is about to be taken in: judge what is due before it."""
        row = customer.rules
        if row is not None and self.book.fits(row.state):
            self.book.elapse(row.state, event.time, customer.profile)

    def on_event(self, customer: Customer, event: Event, stamp: int) -> bool:
        """Take in the timeline's new last event."""
        row = self._row(customer)
        if not self.book.fits(row.state):
            return False
        self.book.step(row.state, event, customer.profile)
        self._settle(customer, row, stamp)
        return True

    # -- folding again ----------------------------------------------------------------------------------

    def begin(self, customer: Customer, kept: bytes | None) -> RulesState | None:
        """Return a fold to go on with, and the ledger with it."""
        ledgers = (self._row(customer).state.ledger,)
        return self.book.refold((), ledgers) if kept is None else self.book.resume(kept, ledgers)

    def before_step(self, fold: RulesState, event: Event, profile: Profile) -> None:
        """Judge what is due before the next event."""
        self.book.elapse(fold, event.time, profile)

    def step(self, fold: RulesState, event: Event, profile: Profile) -> None:
        """Fold the next event."""
        self.book.step(fold, event, profile)

    def keep(self, fold: RulesState) -> bytes:
        """Return a fold as bytes, without the ledger."""
        return self.book.keep(fold)

    def current(self, customer: Customer) -> RulesState:
        """Return the fold of a settled customer."""
        return self._row(customer).state

    def finish(self, customer: Customer, fold: RulesState, stamp: int) -> None:
        """Take a whole fold, and decide what follows from it."""
        row = self._row(customer)
        row.state = fold
        self._settle(customer, row, stamp)

    # -- customers that move ----------------------------------------------------------------------------

    def leave(self, customer: Customer) -> bytes:
        """The customer ends here."""
        row = customer.rules
        if row is None:
            return b""
        if row.timer is not None:
            self.task.timers.cancel(row.timer, timer_key(*customer.key))
        return _encode(row.state)

    def join(self, customer: Customer, state: bytes) -> Place:
        """Another's state has come: what it sent counts here from now on."""
        if not state:
            return END
        row, theirs = self._row(customer), _decode(state).ledger
        row.state = self.book.refold((), (row.state.ledger, theirs))
        # An event that closes what was opened says so in the fold only where the ledger knows of it.
        return min(((sent.opened.time, "") for sent in theirs.rows.values()), default=END)

    def share(self, customer: Customer, slot_of: Callable[[str], int | None]) -> dict[int, bytes]:
        """Give away what was sent about events that are another customer's now."""
        row = customer.rules
        if row is None or not row.state.ledger.rows:
            return {}
        ledger = row.state.ledger
        owners: dict[int, set[str]] = {}
        for sent in ledger.rows.values():
            slot = slot_of(sent.opened.event_id)
            if slot is not None and slot != customer.slot:
                owners.setdefault(slot, set()).add(sent.opened.event_id)
        if not owners:
            return {}
        parts = {slot: self.book.refold((), (ledger.only(events),)) for slot, events in owners.items()}
        given = set().union(*owners.values())
        kept = {sent.opened.event_id for sent in ledger.rows.values()} - given
        row.state = self.book.refold((), (ledger.only(kept),))
        return {slot: _encode(part) for slot, part in parts.items()}

    # -- deciding ---------------------------------------------------------------------------------------

    def fire(self, customer: Customer, due: int) -> bool:
        """The customer's timer has gone off; return whether anything may have changed."""
        row = customer.rules
        if row is None or row.timer != due:
            return False
        row.timer = None
        if self.waits(customer) is None:
            self._settle(customer, row, due - 1)
        else:
            row.held = due if row.held is None else min(row.held, due)
        return True

    def waits(self, customer: Customer) -> Place | None:
        """Return from where on the customer must be folded again before anything is decided; None: it needn't."""
        if not self.book.fits(customer.rules.state):
            return BEGINNING  # the rules have changed since: what is pending is judged by the new ones
        return None if customer.settled else END

    def _row(self, customer: Customer) -> RulesRow:
        row: RulesRow | None = customer.rules
        if row is None:
            row = customer.rules = RulesRow(self.book.new_state())
        return row

    def _settle(self, customer: Customer, row: RulesRow, stood: int) -> None:
        clock, book = self.task.clock, self.book
        if row.held is not None:
            stood, row.held = min(stood, row.held - 1), None
        if row.timer is not None and row.timer < clock:
            # Due before the event that brings us here, and only not fired yet: not found late.
            stood = min(stood, row.timer - 1)
        if not book.settled(row.state, clock):
            profile, identifiers = customer.profile, customer.identifiers
            for decision in book.settle(row.state, clock, min(clock, stood), profile, identifiers):
                self.publish(customer, decision)
        due = book.next_due(row.state)
        if due is not None and (row.timer is None or due < row.timer):
            key = timer_key(*customer.key)
            if row.timer is not None:
                self.task.timers.cancel(row.timer, key)
            self.task.timers.set(due, key)
            row.timer = due
