"""Segments, as the customer stage keeps them: judged for every profile that is published, and when a timer goes off.

One row for each customer id that was in a segment or waits for a day to come; one timer at most for each row, at the
earliest time that was ever wanted: when that moves away the timer stays, goes off for nothing, and is set anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.keys import membership_key, membership_of
from stream_app.domain.segments import Membership, judge, leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.customer import Customer
    from stream_app.domain.segments import Crossing, SegmentBook
    from stream_app.engine.task import Task


class Segments:
    """The segments of one task's customers."""

    def __init__(self, task: Task, book: SegmentBook, publish: Callable[[str, Crossing], None]) -> None:
        """Judge by a book; `publish(customer id, crossing)` takes entries and exits."""
        self.task = task
        self.book = book
        self.publish = publish
        self._table = task.table("segments")

    def judge(self, customer: Customer) -> Iterable[str]:
        """Bring a settled customer's membership up to date; return the segments that she is in."""
        if not self.book.segments:
            return ()
        name = customer.id
        key = name.encode()
        known: Membership | None = self._table.get(key)
        membership = Membership() if known is None else known
        members, crossings, due = judge(self.book, membership, customer.profile)
        wanted = due is not None and (membership.timer is None or due < membership.timer)
        moved = membership.timer is not None and (membership.label, membership.slot) != customer.key
        if wanted or moved or members != membership.members:
            # Put before it changes: should anything below fail, the abort of the epoch has to forget this row.
            self._table.put(key, membership)
            membership.members = members
            membership.label, membership.slot = customer.key
            if wanted:
                self._set(name, membership, due)
        for crossing in crossings:
            self.publish(name, crossing)
        return members

    def gone(self, customer_id: str) -> None:
        """Leave all segments: there is no such customer any more, or none here."""
        key = customer_id.encode()
        membership: Membership | None = self._table.get(key)
        if membership is None:
            return
        self._table.delete(key)
        for crossing in leave(membership, membership.time):
            self.publish(customer_id, crossing)
        self._set(customer_id, membership, None)

    def fire(
        self, due: int, key: bytes, customer_of: Callable[[str, int], Customer | None]
    ) -> Customer | None:
        """Take a timer; return the customer whose membership was judged again. One that isn't settled is when it is."""
        customer_id = membership_of(key)
        row = customer_id.encode()
        membership: Membership | None = self._table.get(row)
        if membership is None or membership.timer != due:
            return None
        self._table.put(row, membership)
        membership.timer, membership.time = None, max(membership.time, due)
        customer = customer_of(membership.label, membership.slot)
        if customer is None or customer.id != customer_id or not customer.settled:
            return None
        self.judge(customer)
        return customer

    def _set(self, customer_id: str, membership: Membership, due: int | None) -> None:
        """Set a timer instead of the one that is set."""
        key = membership_key(customer_id)
        if membership.timer is not None:
            self.task.timers.cancel(membership.timer, key)
        if due is not None:
            self.task.timers.set(due, key)
        membership.timer = due
