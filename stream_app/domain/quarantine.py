"""Who is used by too many (design: IDENTITY, "Keeping it sane"): devices that are shared, persons that are no person.

Told from the raw evidence, links or no links: a device by the persons it was seen with, as person identifiers alone
form them; a person by its devices. What is blocked was never there. An operator's release overrules the count.

Persons alone are formed when a device first comes near its limit, and kept up to date from then on. A device that is
far over it has a margin: how many persons must turn out to be one before it needs to be counted again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.clusters import Clusters
from stream_app.domain.commands import Op, Verdict
from stream_app.domain.partition import Link, LinkRules, Names, Pair

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from stream_app.domain.rows import SightingRow


class Evidence(NamedTuple):
    """What a component's events and operators have said; it is read here, and changed elsewhere."""

    sightings: Mapping[Names, SightingRow]
    naming: Mapping[str, Collection[Names]]
    verdicts: Mapping[Pair, Verdict]
    marks: Mapping[str, Verdict]
    blocked: set[str]
    foes: Mapping[str, set[str]]


class Quarantine:
    """Tells who is shared in one component.

    Attributes:
        moved: persons among whom there are disputes that have come, gone or changed: whose events are whose may be
            another matter now. The reader empties it.
    """

    def __init__(self, rules: LinkRules, evidence: Evidence) -> None:
        """Begin with nothing counted."""
        self._rules = rules
        self._policy = rules.policy
        self._counts = self._policy.shared_after is not None or self._policy.max_devices is not None
        self._known = evidence
        self._alone: Clusters | None = None
        self._seen_with: dict[str, set[str]] = {}
        self._recount: set[str] = set()
        self._margin: dict[str, int] = {}
        self.moved: set[str] = set()

    # -- evidence in ------------------------------------------------------------------------------------

    def see(self, names: Names) -> None:
        """Note which persons and devices were seen together, and which persons."""
        if not self._counts:
            return
        present = [name for name in names if name not in self._known.blocked]
        persons = [name for name in present if self._policy.is_person(name)]
        if not persons:
            return
        if self._alone is not None:
            _show(self._alone, persons)
        if len(persons) == len(present):
            return
        for device in present:
            if not self._policy.is_person(device):
                seen = self._seen_with.setdefault(device, set())
                for person in persons:
                    if person not in seen:
                        seen.add(person)
                        self._seen_with.setdefault(person, set()).add(device)
                        self._recount.update((device, person))
                        if device in self._margin:
                            # Shared by far: one more doesn't matter. If she is somebody seen before, `toggled` will
                            # find her among those who have moved.
                            self._recount.discard(device)

    def see_again(self, names: Names) -> None:
        """Note that what was seen before was seen at other times too."""
        if self._alone is not None:
            _show(self._alone, self._persons(names))

    def judge(self, pair: Names) -> None:
        """Note that another verdict stands about a pair, which links nothing."""
        if self._alone is not None:
            self._alone.judge(pair)

    # -- who is shared ----------------------------------------------------------------------------------

    def all_shared(self) -> set[str]:
        """Return who is shared, after everything was seen."""
        recount, self._recount = self._recount, set()
        return {name for name in recount if self._is_shared(name)}

    def toggled(self, shared: Collection[str]) -> list[str]:
        """Return who of those seen since is shared now and was not, or the other way round."""
        alone = self._alone
        if not self._recount and (alone is None or not alone.unsettled):
            return []
        recount, self._recount = self._recount, set()
        if alone is not None:
            alone.settle(self._link)
            # Persons who became one count less: a device far over the limit need not be counted again.
            for person in alone.moved:
                for device in self._seen_with.get(person, ()):
                    if device in self._margin:
                        self._margin[device] -= 1
                        if self._margin[device] <= 0:
                            recount.add(device)
                    elif len(self._seen_with[device]) > (self._policy.shared_after or 0):
                        recount.add(device)
            self.moved |= alone.moved
            alone.moved.clear()
        return [name for name in recount if self._is_shared(name) != (name in shared)]

    def disputed(self, names: Names) -> bool:
        """Tell whether an event names several persons, and it is disputed, by persons alone, who one of them is."""
        if self._alone is None:
            return False
        groups, persons = self._alone.groups, self._persons(names)
        return len(persons) > 1 and any(groups[person].contested for person in persons)

    def seen_with(self, name: str) -> int:
        """Return with how many persons a device was seen, or with how many devices a person."""
        seen = self._seen_with.get(name, set())
        if not seen or self._policy.is_person(name):
            return len(seen)
        groups = self._persons_alone().groups
        return len({id(groups[person]) for person in seen})

    def _is_shared(self, name: str) -> bool:
        mark = self._known.marks.get(name)
        if mark is not None and mark.op is Op.RELEASE:
            return False
        seen = self._seen_with.get(name, set())
        if self._policy.is_person(name):
            most = self._policy.max_devices
            return most is not None and len(seen) > most
        most = self._policy.shared_after
        if most is None or len(seen) <= most:
            return False
        margin = self.seen_with(name) - most
        if margin > 0:
            self._margin[name] = margin
        else:
            self._margin.pop(name, None)
        return margin > 0

    # -- persons alone ----------------------------------------------------------------------------------

    def _persons_alone(self) -> Clusters:
        """Return the customers that person identifiers alone form; computed when first wanted."""
        alone = self._alone
        if alone is None:
            alone = self._alone = Clusters(self._rules, self._known.foes)
            for names in self._known.sightings:
                _show(alone, self._persons(names))
            for pair in asserted(self._known.verdicts, self._known.blocked):
                if all(map(self._policy.is_person, pair)):
                    _show(alone, list(pair))
            alone.compute(self._link)
            alone.moved.clear()
            self.moved |= {name for name, group in alone.groups.items() if group.contested}
        alone.settle(self._link)
        return alone

    def _persons(self, names: Names) -> list[str]:
        blocked, is_person = self._known.blocked, self._policy.is_person
        return [name for name in names if name not in blocked and is_person(name)]

    def _link(self, stronger: str, weaker: str) -> Link:
        """Return a link between persons with its times, from all sightings that show it."""
        verdict = self._known.verdicts.get((stronger, weaker))
        if verdict is not None and verdict.op is Op.ASSERT:
            return Link(stronger, weaker, verdict.time, verdict.time, True)
        one, other = self._known.naming.get(stronger, ()), self._known.naming.get(weaker, ())
        rows = [
            self._known.sightings[names]
            for names in (one if len(one) < len(other) else other)
            if stronger in names and weaker in names and self._persons(names)[0] == stronger
        ]
        return Link(stronger, weaker, min(row.first for row in rows), max(row.last for row in rows))


def asserted(verdicts: Mapping[Pair, Verdict], blocked: set[str]) -> list[Pair]:
    """Return the pairs that operators say are one customer, unless an end is blocked."""
    return [pair for pair, one in verdicts.items() if one.op is Op.ASSERT and not blocked.intersection(pair)]


def _show(alone: Clusters, persons: Iterable[str]) -> None:
    """Have persons be there, with the links of their star."""
    centre: str | None = None
    for person in persons:
        alone.add(person)
        if centre is None:
            centre = person
        else:
            alone.show(centre, person)
