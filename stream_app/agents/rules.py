"""The rules' side of a customer: keeps their state and timer, and hands decisions to whoever publishes them.

State travels with the customer's row. One timer per customer, at the earliest due time that was ever wanted:
when a clock is restarted the timer stays, fires for nothing, and is set anew. That costs one idle call where
moving it would cost two rows with every event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from stream_app.domain.rules import Decision, RulesState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.rules import RuleBook
    from stream_app.engine.task import Task


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


class Publish(Protocol):
    """Takes decisions, in the order in which they were made."""

    def __call__(self, customer: Customer, decision: Decision) -> None:
        """Publish one."""


class Rules:
    """Implements the domain's `RuleFold` for one task."""

    def __init__(self, task: Task, book: RuleBook, publish: Publish) -> None:
        self.task = task
        self.book = book
        self.publish = publish

    def on_event(self, customer: Customer, event: Event, *, late: bool, stamp: int) -> None:
        """One event was taken in."""
        row = customer.rules
        if row is None:
            row = customer.rules = RulesRow(self.book.new_state())
        if late or not self.book.fits(row.state):
            row.state = self.book.refold(customer.history(), (row.state.ledger,))
        else:
            self.book.step(row.state, event)
        if customer.settled:
            self._settle(customer, row, stamp)

    def on_history(self, customer: Customer, since: int, stamp: int) -> None:  # noqa: ARG002 - folds all of it
        """Rows came or went."""
        row = customer.rules
        if row is None:
            row = customer.rules = RulesRow(self.book.new_state())
        if customer.settled:
            row.state = self.book.refold(customer.history(), (row.state.ledger,))
            self._settle(customer, row, stamp)

    def leave(self, customer: Customer) -> bytes:
        """The component moves away."""
        row = customer.rules
        if row is None:
            return b""
        if row.timer is not None:
            self.task.timers.cancel(row.timer, customer.label.encode())
        return _encode(row.state)

    def join(self, customer: Customer, state: bytes, stamp: int) -> None:  # noqa: ARG002 - settled with its rows
        """Another's state has come: what it sent counts here from now on."""
        if not state:
            return
        row = customer.rules
        mine = self.book.new_state() if row is None else row.state
        merged = self.book.refold(customer.history(), (mine.ledger, _decode(state).ledger))
        if row is None:
            customer.rules = RulesRow(merged)
        else:
            row.state = merged

    def fire(self, customer: Customer, due: int) -> bool:
        """The customer's timer has gone off; return whether anything may have changed."""
        row = customer.rules
        if row is None or row.timer != due:
            return False
        row.timer = None
        if customer.settled:
            self._settle(customer, row, due - 1)
        else:
            row.held = due if row.held is None else min(row.held, due)
        return True

    def _settle(self, customer: Customer, row: RulesRow, stood: int) -> None:
        clock, book = self.task.clock, self.book
        if row.held is not None:
            stood, row.held = min(stood, row.held - 1), None
        if not book.settled(row.state, clock):
            for decision in book.settle(row.state, clock, min(clock, stood), view(customer)):
                self.publish(customer, decision)
        due = book.next_due(row.state)
        if due is not None and (row.timer is None or due < row.timer):
            key = customer.label.encode()
            if row.timer is not None:
                self.task.timers.cancel(row.timer, key)
            self.task.timers.set(due, key)
            row.timer = due


def view(customer: Customer) -> Mapping[str, Any]:
    """Return what payloads may name of a customer, beside what the fold knows."""
    traits = customer.profile.traits
    return {"customer": {name: trait.value for name, trait in traits.items()}}
