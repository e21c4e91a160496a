"""The first event of a component, where there is nothing to decide: its identifiers are one customer.

A component mostly begins with somebody who comes for the first time, with a cookie or an address or both. What
`Customers.learn` would find then is plain: one sighting, and one customer, whose first identifier is the strongest. It
is written at once, and kept in memory as that and no more; `learn` gives the same, and takes 60 us for it.

Nothing is plain about an event that names two of a namespace, which a limit may keep apart, or more devices than
a person may have; nor about a component of which anything is known already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.effects import Cause, Change, IdentityChange
from stream_app.domain.identities import FIRST
from stream_app.domain.keys import names_key, slot_key
from stream_app.domain.rows import CustomerRow, Header, SightingRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.customer import At, Customers
    from stream_app.domain.event import Event
    from stream_app.domain.partition import Names

_NEW = Header()


class Newcomers:
    """The newcomers of one partition's components."""

    def __init__(self, customers: Customers, id_of: Callable[[str], str]) -> None:
        """Work on the rows of `customers`; `id_of(first identifier)` is the customer id."""
        self._customers = customers
        self._policy = customers.policy
        self._id_of = id_of

    def take(self, at: At, event: Event) -> bool:
        """Take in an event's evidence if nothing about it has to be decided; say whether that was so."""
        customers, names, header = self._customers, event.identifiers, at.header
        if header != _NEW or not self._is_plain(names):
            return False
        time, tables, prefix = event.time, customers.tables, slot_key(at.prefix, FIRST)
        row = SightingRow(time, time, 1, [(time, event.event_id)], FIRST)
        tables.sightings.put(names_key(at.prefix, names), row)
        for name in names:
            tables.members.put(prefix + name.encode(), time)
        customer = self._id_of(names[0])
        tables.customers.put(prefix, CustomerRow(customer, version=1))
        header.size, header.slots, header.policy = len(names), FIRST + 1, customers.digest
        customers.put_header(at)
        customers.evidence.keep_lone(at.label, names, row)
        cause = Cause(time, names, event.event_id)
        customers.effects.identity(IdentityChange(Change.CREATED, (), (customer,), cause))
        return True

    def _is_plain(self, names: Names) -> bool:
        """Tell whether identifiers are one customer by themselves, of whom none is shared."""
        if len(names) == 1:
            return True
        if len({name.partition(":")[0] for name in names}) < len(names):
            return False
        most = self._policy.max_devices
        return most is None or sum(not self._policy.is_person(name) for name in names) <= most
