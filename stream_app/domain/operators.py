"""What operators' commands do in a component (design: IDENTITY, "Operators").

Verdicts, blocks and releases are evidence: they are kept, the latest by its own time stands, and who is who is
computed anew. An erasure acts when it arrives, on the customer as the evidence up to the command's time forms
it: its events up to then go, its identifiers are cut out of others' events up to then, verdicts up to then that
name them go too, and a row for each identifier, under its label, keeps what comes later from before then away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.commands import Op, verdict_of
from stream_app.domain.effects import Cause, Change, IdentityChange
from stream_app.domain.identities import load
from stream_app.domain.keys import names_of, slot_of
from stream_app.domain.messages import decode_event
from stream_app.domain.ownership import Owners
from stream_app.domain.partition import LinkRules
from stream_app.domain.rows import SightingRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.domain.commands import Command, Verdict
    from stream_app.domain.customer import At, Customers
    from stream_app.domain.event import Event
    from stream_app.domain.evidence import Home
    from stream_app.domain.identities import Identities, Names
    from stream_app.domain.policy import IdentityPolicy

_CHANGES = {
    Op.ASSERT: Change.ASSERTED,
    Op.DENY: Change.DENIED,
    Op.WITHDRAW: Change.WITHDRAWN,
    Op.BLOCK: Change.BLOCKED,
    Op.RELEASE: Change.RELEASED,
    Op.ERASE: Change.ERASED,
}


class Operators:
    """Follows commands at the components of one partition."""

    def __init__(self, policy: IdentityPolicy, customers: Customers) -> None:
        """Work on the rows of `customers`."""
        self._rules = LinkRules(policy)
        self._customers = customers
        self._tables = customers.tables

    def follow(self, at: At, command: Command, stamp: int) -> None:
        """Do what a command asks for."""
        customers = self._customers
        home = customers.home(at)
        cause = Cause(
            command.time,
            command.identifiers if command.op is not Op.ERASE else (),
            command_id=command.command_id,
            operator=command.operator,
            reason=command.reason,
        )
        if command.op is Op.ERASE:
            self._erase(at, home, command, cause, stamp)
            return
        verdict = verdict_of(command)
        ids = self._ids(at, home, command.identifiers)
        customers.effects.identity(IdentityChange(_CHANGES[command.op], ids, ids, cause))
        identities, names = home.identities, command.identifiers
        before = identities.verdicts.get((names[0], names[-1]))
        if customers.note_verdict(at, home, names, verdict):
            judged = identities.judge(names, before)
            if not judged:
                identities.compute()
            customers.changed(at, home, cause, stamp, thorough=not judged)

    def _ids(self, at: At, home: Home, names: Names) -> tuple[str, ...]:
        groups = home.identities.all.groups
        found = {self._customers.open(at, groups[name].slot).id for name in names if name in groups}
        return tuple(sorted(found))

    # -- erasure ----------------------------------------------------------------------------------------

    def _erase(self, at: At, home: Home, command: Command, cause: Cause, stamp: int) -> None:
        customers, time = self._customers, command.time
        past = self._past(at, time)
        owners = Owners(past, lambda _: ())
        owners.read_all(self._seen(at, time))
        group = past.all.groups.get(command.identifiers[0])
        erased = set(command.identifiers) if group is None else set(group.members)
        ids = self._ids(at, home, tuple(erased))
        slot = None if group is None else group.slot
        going = [
            (key, event)
            for key, event in self._events(at, time)
            if slot is not None and owners.slot(event.identifiers, event.time) == slot
        ]
        for name in erased:
            key = at.prefix + customers.labels.of(name).encode()
            known = self._tables.erasures.get(key)
            self._tables.erasures.put(key, time if known is None else max(known, time))
        at.header.erased = True
        customers.put_header(at)
        for key, event in going:
            self._remove(at, key, event, stamp)
        customers.forget_verdicts(at, home)
        customers.effects.identity(IdentityChange(Change.ERASED, ids, (), cause))
        customers.cut_all(at, home, stamp)
        customers.count_all(at, home)
        customers.changed(at, home, cause, stamp, thorough=True)

    def _past(self, at: At, time: int) -> Identities:
        """Return who was who by the evidence up to a time."""
        sightings: dict[Names, SightingRow] = {}
        for _, event in self._events(at, time):
            row = sightings.get(event.identifiers)
            if row is None:
                sightings[event.identifiers] = SightingRow(event.time, event.time, 1, [event.order])
            else:
                row.note(*event.order)
        stood: dict[Names, Verdict] = {}
        for key, verdicts in self._tables.verdicts.scan(at.prefix):
            for verdict in verdicts:
                if verdict.time <= time:
                    stood[names_of(at.prefix, key)] = verdict
        pairs = {(names[0], names[1]): verdict for names, verdict in stood.items() if len(names) > 1}
        marks = {names[0]: verdict for names, verdict in stood.items() if len(names) == 1}
        past = load(self._rules, sightings, pairs, marks)
        past.settle()
        return past

    def _events(self, at: At, time: int) -> Iterator[tuple[bytes, Event]]:
        for key, row in list(self._tables.timeline.scan(at.prefix)):
            event = decode_event(row.event)
            if event.time <= time and event.identifiers:
                yield key, event

    def _seen(self, at: At, time: int) -> Iterator[tuple[Names, int]]:
        for _, event in self._events(at, time):
            yield event.identifiers, event.time

    def _remove(self, at: At, key: bytes, event: Event, stamp: int) -> None:
        customers = self._customers
        slot = slot_of(at.prefix, key)
        row = self._tables.timeline.get(key)
        customers.timelines.remove(at.prefix, slot, event.time, event.event_id)
        customers.touch(at, slot, stamp)
        if row is not None:
            customers.bury(at, event, row.customer, row.revision + 1)
