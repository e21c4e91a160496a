"""Whose an event is (design: IDENTITY, "Who is who").

An event is its strongest identifier's customer's. An event with device identifiers only is, by default, the
person's who logged in most recently at or before it, on any of its devices; else the person's who is the first
to do so after it; else its strongest device's customer's. What is blocked was never there, what is shared is
looked past as long as anything else is left.

Logins matter only where a refused link ends: elsewhere the persons and the devices are one customer. So they
are not kept as rows: they are read from the timelines that a dispute is about, and remembered.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

from stream_app.domain.identities import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.identities import Identities, Names
    from stream_app.domain.partition import Group
    from stream_app.domain.policy import IdentityPolicy

Login = tuple[int, tuple[int, str]]
"""Event time (ms), and the person's place among persons at one instant."""


class Logins:
    """Who logged in when, on which device, in one component."""

    def __init__(self, policy: IdentityPolicy) -> None:
        """Begin empty."""
        self._policy = policy
        self._by_device: dict[str, list[Login]] = {}
        self.slots: set[int] = set()
        """Slots whose events have been read."""

    def note(self, star: list[str], time: int) -> bool:
        """Take in an event's effective identifiers; return whether it is a login."""
        person = next((name for name in star if self._policy.is_person(name)), None)
        if person is None:
            return False
        login = (time, self._policy.place(person))
        found = False
        for device in star:
            if not self._policy.is_person(device):
                found = True
                logins = self._by_device.setdefault(device, [])
                place = bisect_left(logins, login)
                if place == len(logins) or logins[place] != login:
                    insort(logins, login)
        return found

    def person(self, devices: list[str], time: int) -> str | None:
        """Return the person whose an event on these devices is, strongest device first; None: nobody's."""
        best: tuple[int, str] | None = None
        for device in devices:
            logins = self._by_device.get(device, [])
            place = bisect_right(logins, time, key=lambda login: login[0])
            if place:
                latest = logins[place - 1][0]
                if best is None or latest > best[0]:
                    first = bisect_left(logins, latest, key=lambda login: login[0])
                    best = (latest, logins[first][1][1])
        if best is not None:
            return best[1]
        for device in devices:
            for login in self._by_device.get(device, [])[:1]:
                if best is None or login[0] < best[0]:
                    best = (login[0], login[1][1])
        return None if best is None else best[1]


class Owners:
    """Whose events are, in one component."""

    def __init__(
        self, identities: Identities, read: Callable[[set[int]], Iterable[tuple[Names, int]]]
    ) -> None:
        """Look events up in `identities`; `read(slots)` yields what is on their timelines, and on its way there."""
        self._identities = identities
        self._policy = identities.policy
        self._read = read
        self._logins = Logins(self._policy)
        self._ready: tuple[int, set[int]] = (-1, set())

    def read_all(self, seen: Iterable[tuple[Names, int]]) -> None:
        """Take in all events that there are at once, instead of reading some when they are asked for."""
        for names, time in seen:
            self.note(names, time)
        self._logins.slots = {group.slot for group in self._identities.all.groups.values()}

    def forget(self) -> None:
        """Forget the logins: events went, or what is blocked or shared has changed."""
        self._logins = Logins(self._policy)
        self._ready = (-1, set())

    def slot(self, names: Names, time: int) -> int:
        """Return the slot of the customer whose an event is."""
        identities = self._identities
        groups = identities.all.groups
        star = identities.effective(names)
        if not star:
            left = next((name for name in names if name not in identities.blocked), None)
            return NOBODY if left is None else groups[left].slot
        group = groups[star[0]]
        if not group.contested or not self._by_login(star):
            return group.slot
        self._prepare(group)
        person = self._logins.person(star, time)
        return group.slot if person is None else groups[person].slot

    def note(self, names: Names, time: int) -> None:
        """Take in an event whose slot's other events may have been read."""
        self._logins.note(self._identities.effective(names), time)

    def disputed(self, slot_of: Group) -> set[int]:
        """Return the slots of a customer and of all whom refused links tie it to."""
        if not slot_of.contested:
            return {slot_of.slot}
        groups = self._identities.all.groups
        return {groups[name].slot for name in self._identities.all.cluster(next(iter(slot_of.members)))}

    # -- what else a change concerns --------------------------------------------------------------------

    def follows(self, name: str) -> bool:
        """Tell whether any event goes where an identifier goes: it is the strongest one, and no login decides."""
        identities = self._identities
        if self._policy.is_person(name):
            return True
        for names in identities.naming.get(name, ()):
            star = identities.effective(names) or list(names)
            if star[0] == name and not (self._by_login(star) and any(map(self._has_login, star))):
                return True
        return False

    def decides(self, names: Names, time: int) -> int | None:
        """Return from which time on an event, a login, may change whose others are; None: of no other."""
        identities = self._identities
        star = identities.effective(names)
        if self._policy.anonymous_events == "device_owner" or not any(map(self._policy.is_person, star)):
            return None
        since: int | None = None
        for device in star:
            if self._policy.is_person(device):
                continue
            others = [
                identities.sightings[other]
                for other in identities.naming[device]
                if self._by_login(identities.effective(other))
            ]
            if not others:
                continue
            if not self._logged_in_before(device, time):
                first = min(row.first for row in others)
            elif any(row.last >= time for row in others):
                first = time
            else:
                continue
            since = first if since is None else min(since, first)
        return since

    def _logged_in_before(self, device: str, time: int) -> bool:
        """Tell whether somebody is known to have logged in on a device before `time`."""
        identities = self._identities
        return any(
            identities.sightings[names].first < time
            for names in identities.naming[device]
            if any(map(self._policy.is_person, identities.effective(names)))
        )

    def _has_login(self, device: str) -> bool:
        identities = self._identities
        return not self._policy.is_person(device) and any(
            any(map(self._policy.is_person, identities.effective(names)))
            for names in identities.naming.get(device, ())
        )

    def _by_login(self, star: list[str]) -> bool:
        """Tell whether a login decides whose an event with these identifiers is."""
        return self._policy.anonymous_events == "last_login" and not any(map(self._policy.is_person, star))

    def _prepare(self, group: Group) -> None:
        """Have the logins of everybody read whom the dispute is about."""
        version, ready = self._ready
        if version != self._identities.version:
            version, ready = self._ready = (self._identities.version, set())
        if group.slot in ready:
            return
        disputed = self.disputed(group)
        for names, time in self._read(disputed - self._logins.slots):
            self._logins.note(self._identities.effective(names), time)
        self._logins.slots |= disputed
        ready |= disputed
