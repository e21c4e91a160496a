"""Whose an event is (design: IDENTITY, "Who is who").

An event is its strongest identifier's customer's. An event with device identifiers only is, by default, the
person's who logged in most recently at or before it, on any of its devices; else the person's who is the first
to do so after it; else its strongest device's customer's. What is blocked was never there, what is shared is
looked past as long as anything else is left.

Logins matter only where a refused link ends: elsewhere the persons and the devices are one customer. So they
are not kept as rows. Most often the sightings tell: they have the first and the last time of each combination.
Only where two persons took turns on a device, and the event is in the midst of it, their timelines are read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from math import inf
from typing import TYPE_CHECKING

from stream_app.domain.identities import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stream_app.domain.identities import Identities
    from stream_app.domain.partition import Group, Names
    from stream_app.domain.policy import IdentityPolicy


Login = tuple[int, tuple[int, str]]
"""Event time (ms), and the person's place among persons at one instant."""
_Latest = tuple[int | float, tuple[int, str]]
"""The same with the time negated: the smallest is the latest."""
_NO_LOGIN: _Latest = (inf, (0, ""))


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
        self, identities: Identities, read: Callable[[set[int], set[int]], Iterable[tuple[Names, int]]]
    ) -> None:
        """Look events up in `identities`.

        `read(slots, known)` yields what is on the timelines of slots, and of those whose rows are being moved unless
        `known` has them; it adds these to `known`.
        """
        self._identities = identities
        self._policy = identities.policy
        self._read = read
        self._logins = Logins(self._policy)
        self._latest: dict[str, _Latest] = {}
        """The latest login on a device; `_NO_LOGIN`: there is none."""
        self.coming: tuple[Names, int] | None = None
        """An event that is taken in and on no timeline yet: whoever reads timelines meanwhile misses it."""

    @property
    def read(self) -> set[int]:
        """The slots whose events have been read; whoever reads others too may add them."""
        return self._logins.slots

    def read_all(self, seen: Iterable[tuple[Names, int]]) -> None:
        """Take in all events that there are at once, instead of reading some when they are asked for."""
        for names, time in seen:
            self._logins.note(self._identities.effective(names), time)
        self._logins.slots = {group.slot for group in self._identities.all.groups.values()}

    def forget(self) -> None:
        """Forget the logins: events went, or what is blocked or shared has changed."""
        self._logins = Logins(self._policy)
        self._latest.clear()

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
        certain, person = self._told_by_sightings(star, time)
        if not certain:
            self._prepare(star)
            person = self._logins.person(star, time)
        return group.slot if person is None else groups[person].slot

    def note(self, names: Names, time: int) -> None:
        """Take in an event: its customer's other events may have been read, its devices' logins be known."""
        if self._logins.slots or self._latest:
            star = self._identities.effective(names)
            self._logins.note(star, time)
            person = self._person(star)
            for device in star if person is not None else ():
                known = self._latest.get(device)
                if known is not None and person is not None:
                    self._latest[device] = min(known, (-time, self._policy.place(person)))

    def moved(self, names: Iterable[str], slots: Iterable[int]) -> None:
        """Take in that evidence came from elsewhere, or that events come to slots."""
        self._logins.slots.difference_update(slots)
        for name in names:
            self._latest.pop(name, None)

    def disputed(self, slot_of: Group) -> set[int]:
        """Return the slots of a customer and of all whom refused links tie it to."""
        if not slot_of.contested:
            return {slot_of.slot}
        groups = self._identities.all.groups
        return {groups[name].slot for name in self._identities.all.cluster(next(iter(slot_of.members)))}

    def places(self, names: Names) -> set[int]:
        """Return the slots that events with these identifiers may be in; none: there are no such events."""
        groups = self._identities.all.groups
        star = self._identities.effective(names)
        if not star:
            left = next((name for name in names if name not in self._identities.blocked), None)
            return {NOBODY} if left is None else {groups[left].slot} if left in groups else set()
        group = groups.get(star[0])
        if group is None:
            return set()
        return self._rivals(star) if group.contested and self._by_login(star) else {group.slot}

    def by_login_beside(self, names: Names) -> set[Names]:
        """Return the combinations on the devices of these whose owner a login tells."""
        identities = self._identities
        return {
            other
            for device in names
            if not self._policy.is_person(device)
            for other in identities.naming.get(device, ())
            if self._by_login(identities.effective(other))
        }

    # -- what else a change concerns --------------------------------------------------------------------

    def follows(self, name: str, fresh: Names | None) -> bool:
        """Tell whether any event goes where an identifier goes: it is the strongest one, and no login decides.

        The logins of `fresh` may be new, if there is but one; None: all may be.
        """
        identities = self._identities
        if self._policy.is_person(name):
            return True
        for names in identities.naming.get(name, ()):
            star = identities.effective(names) or list(names)
            if star[0] == name and not (
                self._by_login(star) and any(self._had_login(device, fresh) for device in star)
            ):
                return True
        return False

    def decides(self, names: Names, time: int) -> dict[int, int]:
        """Return whose events may be others' because of an event, a login: slot -> from which time on, ms."""
        identities = self._identities
        sightings, star = identities.sightings, identities.effective(names)
        slots: dict[int, int] = {}
        if self._policy.anonymous_events == "device_owner" or self._person(star) is None:
            return slots
        for device in star:
            if self._policy.is_person(device):
                continue
            others = [
                other for other in identities.naming[device] if self._by_login(identities.effective(other))
            ]
            since = time
            if self._logged_in_before(device, time):
                others = [other for other in others if sightings[other].last >= time]
            elif others:
                since = min(sightings[other].first for other in others)
            for other in others:
                for slot in self._rivals(identities.effective(other)):
                    slots[slot] = min(since, slots.get(slot, since))
        return slots

    def _rivals(self, devices: list[str]) -> set[int]:
        """Return the slots that events on these devices may be in."""
        groups = self._identities.all.groups
        persons = {person for device in devices for _, person in self._logins_on(device)}
        return {groups[name].slot for name in (devices[0], *persons)}

    def _logged_in_before(self, device: str, time: int) -> bool:
        """Tell whether somebody is known to have logged in on a device before `time`."""
        return any(self._identities.sightings[names].first < time for names, _ in self._logins_on(device))

    def _had_login(self, device: str, fresh: Names | None) -> bool:
        """Tell whether somebody had logged in on a device before the event that has `fresh`."""
        return fresh is not None and any(
            names != fresh or self._identities.sightings[names].count > 1
            for names, _ in self._logins_on(device)
        )

    def _by_login(self, star: list[str]) -> bool:
        """Tell whether a login decides whose an event with these identifiers is."""
        return self._policy.anonymous_events == "last_login" and not any(map(self._policy.is_person, star))

    def _person(self, star: list[str]) -> str | None:
        return next((name for name in star if self._policy.is_person(name)), None)

    def _logins_on(self, device: str) -> Iterator[tuple[Names, str]]:
        """Yield the combinations that are logins on a device, each with the person."""
        identities = self._identities
        for names in identities.naming.get(device, ()):
            star = identities.effective(names)
            person = self._person(star)
            if person is not None and device in star:
                yield names, person

    def _latest_on(self, device: str) -> _Latest:
        latest = self._latest.get(device)
        if latest is None:
            sightings, place = self._identities.sightings, self._policy.place
            logins = ((-sightings[names].last, place(person)) for names, person in self._logins_on(device))
            latest = self._latest[device] = min(logins, default=_NO_LOGIN)
        return latest

    def _told_by_sightings(self, devices: list[str], time: int) -> tuple[bool, str | None]:
        """Return whether sightings tell whose an event on these devices is, strongest first; and whose it is.

        Nearly every event is later than all logins on its devices: then one look at each device is enough.
        """
        latest = [(*self._latest_on(device), rank) for rank, device in enumerate(devices)]
        if all(-when <= time for when, _, _ in latest):
            when, (_, person), _ = min(latest, key=lambda login: (login[0], login[2]))
            return True, None if when == inf else person
        sightings, place = self._identities.sightings, self._policy.place
        before, after, unsure = [], [], set()
        for rank, device in enumerate(devices):
            for names, person in self._logins_on(device):
                row = sightings[names]
                if row.last <= time:
                    before.append((-row.last, rank, place(person)))
                elif row.first <= time:
                    unsure.add(person)
                else:
                    after.append((row.first, rank, place(person)))
        if unsure:  # where one person only is in question, it does not matter when
            persons = unsure | ({min(before)[2][1]} if before else set())
            return len(persons) == 1, next(iter(persons))
        return True, min(before or after)[2][1]

    def _prepare(self, devices: list[str]) -> None:
        """Have the logins read of everybody who logged in on one of these devices."""
        groups, effective = self._identities.all.groups, self._identities.effective
        slots = {
            groups[effective(names)[0]].slot for device in devices for names, _ in self._logins_on(device)
        }
        if not slots <= self._logins.slots:
            for names, time in self._read(slots - self._logins.slots, self._logins.slots):
                self._logins.note(effective(names), time)
            if self.coming is not None:
                names, time = self.coming
                self._logins.note(effective(names), time)
            self._logins.slots |= slots
