"""The rules' side of a customer: keeps their state and timer, and hands decisions to whoever publishes them.

State travels with the customer's row. One timer per customer, at the earliest due time that was ever wanted:
when a clock is restarted the timer stays, fires for nothing, and is set anew. That costs one idle call where
moving it would cost two rows with every event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from stream_app.domain.keys import timer_key
from stream_app.domain.rules import Decision, RulesState

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.rules import RuleBook


class RulesRow(msgspec.Struct, array_like=True):
    """What is kept of the rules for one customer.

    Attributes:
        state: the fold and the ledger of what was sent.
        timer: due time of the timer that is set, ms; None: none is.
        held: due time of a timer that fired while a merge was under way, ms: what it stands for isn't late.
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
    """Implements the domain's `RuleFold` for one task.

    What can't be a step (a late event, a merge) needs a fold over the whole timeline. That is done once at the
    end of the epoch, however many such events an epoch brings: a replay whose channels are out of step brings
    many.
    """

    def __init__(self, task: Timed, book: RuleBook, publish: Publish) -> None:
        self.task = task
        self.book = book
        self.publish = publish
        self.stale: dict[tuple[str, int], int] = {}
        """Key of each customer that must be folded again -> the earliest stamp that asked for it (ms)."""

    def before(self, customer: Customer, event: Event) -> None:
        """An event in order is about to be taken in: judge what is due before it."""
        row = customer.rules
        if row is not None and customer.key not in self.stale and self.book.fits(row.state):
            self.book.elapse(row.state, event.time, customer.profile)

    def on_event(self, customer: Customer, event: Event, *, late: bool, stamp: int) -> None:
        """One event was taken in."""
        row = self._row(customer)
        if customer.key in self.stale or late or not self.book.fits(row.state):
            self._fold_again(customer, stamp)
            return
        self.book.step(row.state, event, customer.profile)
        if customer.settled:
            self._settle(customer, row, stamp)

    def on_history(self, customer: Customer, stamp: int) -> None:
        """Rows came or went."""
        self._row(customer)
        self._fold_again(customer, stamp)

    def leave(self, customer: Customer) -> bytes:
        """The customer ends here."""
        self.stale.pop(customer.key, None)  # who takes its history in folds it
        row = customer.rules
        if row is None:
            return b""
        if row.timer is not None:
            self.task.timers.cancel(row.timer, timer_key(*customer.key))
        return _encode(row.state)

    def join(self, customer: Customer, state: bytes, stamp: int) -> None:
        """Another's state has come: what it sent counts here from now on."""
        if state:
            row = self._row(customer)
            row.state = self.book.refold((), (row.state.ledger, _decode(state).ledger))
            self._fold_again(customer, stamp)

    def fire(self, customer: Customer, due: int) -> bool:
        """The customer's timer has gone off; return whether anything may have changed."""
        row = customer.rules
        if row is None or row.timer != due:
            return False
        row.timer = None
        if not self.book.fits(
            row.state
        ):  # the rules have changed since: what is pending is judged by the new ones
            self._fold_again(customer, due - 1)
        if customer.key in self.stale or not customer.settled:
            row.held = due if row.held is None else min(row.held, due)
        else:
            self._settle(customer, row, due - 1)
        return True

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
        self._fold_again(customer, self.task.clock)
        return {slot: _encode(part) for slot, part in parts.items()}

    def flush(
        self,
        customer_of: Callable[[str, int], Customer | None],
        save: Callable[[Customer], None],
    ) -> None:
        """Fold again whoever must be, and decide what follows from it."""
        for key, stamp in self.stale.items():
            customer = customer_of(*key)
            if customer is not None:
                row = self._row(customer)
                row.state = self.book.refold(customer.history(), (row.state.ledger,))
                if customer.settled:
                    self._settle(customer, row, stamp)
                save(customer)
        self.stale.clear()

    def reset(self) -> None:
        """Forget who must be folded again: the epoch was rolled back."""
        self.stale.clear()

    def _row(self, customer: Customer) -> RulesRow:
        row: RulesRow | None = customer.rules
        if row is None:
            row = customer.rules = RulesRow(self.book.new_state())
        return row

    def _fold_again(self, customer: Customer, stamp: int) -> None:
        known = self.stale.get(customer.key)
        self.stale[customer.key] = stamp if known is None else min(known, stamp)

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
