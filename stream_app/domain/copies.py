"""Events that come again under an id that is taken: copies, which are counted, and conflicts, of which one stands.

Whoever arrived first (see `timeline.arrived_before`) stands, in whatever order they are read; the other goes to the
dead letters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.effects import Cause
from stream_app.domain.messages import decode_event, encode
from stream_app.domain.rows import TimelineRow
from stream_app.domain.timeline import ERASED, arrived_before, same_content

if TYPE_CHECKING:
    from stream_app.domain.customer import At, Customers
    from stream_app.domain.event import Event
    from stream_app.domain.rows import EventPlace


class Copies:
    """Takes in what comes again at one partition's components."""

    def __init__(self, customers: Customers) -> None:
        """Work on the rows of `customers`."""
        self._customers = customers

    def take(self, at: At, place: EventPlace, event: Event, raw: bytes, stamp: int) -> None:
        """Take in an event whose id is on a timeline already: a copy of what stands there, or another content."""
        customers = self._customers
        if place.slot == ERASED:
            customers.effects.duplicate(event)  # that it is gone has been published
            return
        row = customers.timelines.get(at.prefix, place, event.event_id)
        standing = decode_event(row.event)
        cut = customers.cut(at, event)
        if cut is not event:
            event, raw = cut, encode(cut)
        if same_content(event, standing):
            customers.effects.duplicate(event)
            if arrived_before(event, standing):
                again = TimelineRow(raw, row.customer, row.revision)
                customers.timelines.put(at.prefix, place.slot, event.time, event.event_id, again)
        elif arrived_before(event, standing):
            customers.effects.conflict(standing, event)
            self.replace(at, place, standing, event, row, stamp)
        else:
            customers.effects.conflict(event, standing)

    def replace(
        self, at: At, place: EventPlace, standing: Event, event: Event, row: TimelineRow, stamp: int
    ) -> None:
        """Have an event stand in the place of another content under its id."""
        customers = self._customers
        customers.timelines.remove(at.prefix, place.slot, place.time, standing.event_id)
        customers.touch(at, place.slot, stamp, standing.order)
        home = customers.home(at)
        cause = Cause(event.time, event.identifiers, event.event_id)
        customers.unsee(at, home, standing.identifiers)
        if event.identifiers:
            home.identities.see(event.identifiers, event.time, event.event_id)
        customers.changed(at, home, cause, stamp)
        if event.identifiers:
            customers.logged_in(at, home, event.identifiers, event.time, stamp)
            slot = home.owners.slot(event.identifiers, event.time)
            again = TimelineRow(encode(event), row.customer, row.revision)
            customers.receive(at, slot, event, again, another=True)
            customers.touch(at, slot, stamp, event.order)
        else:
            customers.bury(at, event, row.customer, row.revision + 1)
        customers.repair(at, home, {}, stamp)
