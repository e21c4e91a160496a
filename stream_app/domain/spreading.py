"""Spreading: what is said of an item of reference data is taken to the customers whom it concerns.

1. What is said is noted first. Whom it concerns is looked up in the index by item; nobody else is looked at.
2. Most changes can open nothing for anybody (stock goes from 57 to 56), which is found out once, and spread no further.
   Not so a correction: what was said of that very time before may have opened something.
3. For a settled customer whose fold has nothing behind it a change is one step, as an event in order is. Whatever else
   (a fold under way, a change that came late) folds her again from the change's time on, and finds it among what was
   said.
4. An epoch takes changes to at most `MOST` customers. What is left is asked for by a message to the partition itself,
   which holds the clock back: nothing later is decided before all have been told. Told twice is told once.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from stream_app.domain.messages import Spread, Topic
from stream_app.domain.reference import Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.customer import Customer, Customers
    from stream_app.domain.messages import ReferenceRows
    from stream_app.domain.rules.changes import Change

MOST = 200
"""Customers to whom an epoch takes changes, in each partition: 80 ms, at 0.4 ms each on a machine that is busy."""
LAST = "\U0010ffff"
"""Stands behind the ids of all events of a time."""


class Spreading:
    """What is said of reference data, at one partition."""

    def __init__(
        self, customers: Customers, customer_of: Callable[[str, int], Customer | None], most: int = MOST
    ) -> None:
        """Take changes to `customers`; `customer_of` gives one by label and slot."""
        self._references = customers.references
        self._customers = customers
        self._customer_of = customer_of
        self._most = self._left = most

    def flush(self) -> None:
        """An epoch ends."""
        self._left = self._most

    reset = flush

    def take(self, message: ReferenceRows) -> None:
        """Note what is said, and take it to whom it concerns."""
        for said in message.said:
            taken = self._references.take(said)
            if taken is Taken.NOTHING:
                continue
            found = self._references.changes(said.kind, said.item, said.time)
            if taken is Taken.CORRECTION or len(found) > 1 or self._customers.rules.matters(found[0]):
                self._spread(said.kind, said.item, found, b"", message.stamp)

    def go_on(self, message: Spread) -> None:
        """Take the changes of an item further."""
        found = self._references.changes(message.kind, message.item, message.since)
        self._spread(message.kind, message.item, found, message.after, message.stamp)

    def _spread(self, kind: str, item: str, changes: list[Change], after: bytes, stamp: int) -> None:
        """Take an item's changes, all there are from a time on, to whom they concern."""
        references = self._references
        # A list: rows may be taken out of the index on the way.
        for label, slot, place in list(islice(references.concerned(kind, item, after), self._left + 1)):
            if self._left <= 0:
                left = Spread(label, kind, item, changes[0].time, after, stamp)
                self._customers.effects.send(Topic.COMPONENTS, label, left)
                return
            self._left -= 1
            after = place
            customer = self._customer_of(label, slot)
            if customer is None or (
                customer.settled and not self._customers.rules.concerns(customer, changes[0])
            ):
                references.forget(kind, item, label, slot)
            else:
                self._tell(customer, changes, stamp)

    def _tell(self, customer: Customer, changes: list[Change], stamp: int) -> None:
        customers, first = self._customers, changes[0]
        # Put before it changes: should anything below fail, the abort of the epoch has to forget this row.
        customers.tables.customers.put(customer.prefix, customer.row)
        if len(changes) > 1 or not customer.settled or not customers.rules.on_change(customer, first):
            customers.fold_again(customer, (first.time, LAST), stamp)
            return
        passed = customers.clock is not None and first.time < customers.clock.now
        if passed or customer.undecided:
            customers.folds.decide_later(customer, stamp)
        else:
            customers.rules.decide(customer, stamp)
        customers.tables.customers.put(customer.prefix, customer.row)
