"""The oracle's fold: what one rule wants to send for one customer's timeline, had all arrived in order.

Brute force over the whole timeline, every time; it knows nothing of clocks, consent, caps or quiet hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.property.rules_oracle_around import wanted_of
from tests.property.rules_oracle_policy import Judge
from tests.property.rules_oracle_reference import OpeningChange, opening_changes
from tests.property.rules_oracle_texts import (
    Happening,
    Order,
    Raw,
    as_key,
    cart,
    customer,
    duration,
    fits,
    holds,
    instant,
    key_of,
    traits,
    upto,
)
from tests.property.rules_oracle_weather import outdoors
from tests.property.rules_oracle_zones import given_time, local_due, quiet_until, yearly_due, zone_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.property.rules_oracle_around import Around
    from tests.property.rules_oracle_reference import Changed

Identity = tuple[str, int, int, tuple[str, ...]]
"""A trigger's: rule, version, number of a repeat, evidence."""
Match = tuple[Happening, ...]


@dataclass(frozen=True)
class Firing:
    """A message that a rule wants to send. `silent_until`: from then on nothing closes it (`then`)."""

    rule: Raw
    number: int
    evidence: Match
    key: tuple[str, ...]
    due: int
    last: Happening | None
    silent_until: int | None = None

    @property
    def opened(self) -> Happening:
        """The opening event: of a sequence, the one that completes it; a change of reference data is one too."""
        return self.evidence[-1]

    @property
    def identity(self) -> Identity:
        """What two folds that want the same message agree on."""
        evidence = tuple(name for event in self.evidence for name in event.evidence)
        return (self.rule["name"], self.rule.get("version", 1), self.number, evidence)


@dataclass
class _Instance:
    """An open instance: `due` is its next due time, None for never."""

    evidence: Match
    key: tuple[str, ...]
    due: int | None
    last: Happening | None = None
    number: int = 0
    fired: int | None = None
    held_until: int | None = None
    firing: Firing | None = None

    @property
    def opened(self) -> Happening:
        return self.evidence[-1]

    def seen(self) -> dict[str, Any]:
        """Return what the patterns of an open instance see beside the event."""
        known = self.opened.shown
        return known if self.last is None else known | {"last": dict(self.last.properties)}


@dataclass(frozen=True)
class Folder:
    """Folds timelines: a deployment's policy, what is known of products and shops, and how far ahead to look."""

    policy: Raw
    around: Around
    horizon: int

    def fold(self, rule: Raw, timeline: Sequence[Happening], changed: Sequence[Changed] = ()) -> list[Firing]:
        """Return all that a rule wants to send up to the horizon, were nothing held back."""
        changes = opening_changes(rule, timeline, changed, self.around)
        run = _Run(self, rule, timeline, _openings(rule, timeline, changes))
        for happening in sorted([*timeline, *changes], key=lambda one: one.order):
            run.take(happening)
        run.pass_by(self.horizon + 1)
        return run.firings

    def judged(self, firing: Firing, timeline: Sequence[Happening], time: int) -> bool:
        """Judge a rule's `if` with all events up to a time."""
        known = upto(timeline, time)
        opened = firing.opened
        variables: dict[str, Any] = (
            opened.shown
            | {
                "first": dict(firing.evidence[0].properties),
                "customer": customer(known),
                "cart": self._cart(firing, known, time),
            }
            | outdoors(firing, known, self.around.said, self.policy, time)
        )
        if firing.last is not None:
            variables["last"] = dict(firing.last.properties)
        condition = firing.rule.get("if")
        if isinstance(firing.opened, OpeningChange):
            changed = firing.opened.changed
            variables["now"] = self.around.row(changed.kind, changed.item, known, time)
        if isinstance(condition, str) and "store." in condition:
            variables["store"] = self.store(firing, timeline, time)
        return holds(condition, variables)

    def store(self, firing: Firing, timeline: Sequence[Happening], time: int) -> Raw:
        """Return the shops near a customer: by where she is, if every channel of the message has her consent to it."""
        known = upto(timeline, time)
        judge = Judge(self.policy, frozenset(), known, firing, time)
        wanted = wanted_of(dict(firing.opened.properties), self._cart(firing, known, time))
        return self.around.store(known, time, wanted, located=judge.located)

    def _cart(self, firing: Firing, known: Sequence[Happening], time: int) -> Raw:
        return cart(known, firing.opened.properties.get("cart_id"), self.around.prices(known, time))


def closed(firing: Firing, timeline: Sequence[Happening], time: int) -> bool:
    """Tell whether an event after the opening one, up to a time, closes what wants to fire."""
    until = time if firing.silent_until is None else min(time, firing.silent_until)
    instance = _Instance(firing.evidence, firing.key, firing.due, firing.last)
    return any(
        _closes(firing.rule, event, instance)
        for event in upto(timeline, until)
        if event.order > firing.opened.order
    )


def _closes(rule: Raw, event: Happening, instance: _Instance) -> bool:
    """Tell whether an event closes an instance.

    "`match` (property equal to the opening event's). Where the closing event lacks the property, or a keyed
    rule has no `match`, it closes all of the rule's instances for the customer"
    """
    closes = rule.get("closes")
    if not fits(closes, event, instance.seen()):
        return False
    name = closes.get("match") if closes else None
    if name is None or event.properties.get(name) is None:
        return True
    theirs = instance.opened.properties.get(name)
    return theirs is not None and as_key(theirs) == as_key(event.properties[name])


class _Run:
    """One fold of one rule over one timeline."""

    def __init__(
        self, folder: Folder, rule: Raw, timeline: Sequence[Happening], openings: Mapping[Order, list[Match]]
    ) -> None:
        self.folder, self.rule, self.timeline, self.openings = folder, rule, timeline, openings
        self.per_event = rule.get("instances") == "per_event"
        self.open: list[_Instance] = []
        self.firings: list[Firing] = []

    def take(self, event: Happening) -> None:
        """Take an event in: "one event closes, then keeps, then opens"; what came due before it has fired."""
        known = [one for one in self.timeline if one.order <= event.order]
        self.pass_by(event.time)
        self.open = [
            instance
            for instance in self.open
            if self._waits(instance, event) or not _closes(self.rule, event, instance)
        ]
        self._then(event)
        for instance in self.open:
            self._keep(instance, event)
        for match in self.openings.get(event.order, ()):
            self._begin(match)
        for instance in self.open:
            self._set_local(instance, known)

    def pass_by(self, time: int) -> None:
        """Fire what is due before a time: "an event exactly at the due time still counts"."""
        if "then" not in self.rule:
            for instance in list(self.open):
                while instance in self.open and instance.due is not None and instance.due < time:
                    self._fire(instance, instance.due)
        for instance in list(self.open):
            while instance in self.open and instance.held_until is not None and instance.held_until < time:
                self._leave(instance, instance.held_until)

    def _waits(self, instance: _Instance, event: Happening) -> bool:
        """Tell whether an instance's silence is over, and it waits for its `then`."""
        return "then" in self.rule and instance.due is not None and instance.due < event.time

    def _then(self, event: Happening) -> None:
        for instance in list(self.open):
            if self._waits(instance, event) and fits(self.rule["then"], event, instance.seen()):
                self._fire(instance, event.time, silent_until=instance.due)

    def _fire(self, instance: _Instance, due: int, silent_until: int | None = None) -> None:
        instance.firing = Firing(
            self.rule, instance.number, instance.evidence, instance.key, due, instance.last, silent_until
        )
        self.firings.append(instance.firing)
        instance.number, instance.fired = instance.number + 1, due
        if "repeat" in self.rule:
            instance.due = due + duration(self.rule["repeat"])
            if instance.due <= instance.opened.time + duration(self.rule["repeat_within"]):
                return
        elif "yearly" in self.rule.get("due_at", ()):
            self._set_local(instance, upto(self.timeline, due))
            return
        self._leave(instance, due)

    def _leave(self, instance: _Instance, time: int) -> None:
        """Have an instance end at its due time, or at the end of the quiet hours that hold its message.

        While it is held it is still open: "opening and keeping ones don't postpone it".
        """
        policy, known = self.folder.policy, upto(self.timeline, time)
        instance.due = instance.held_until = None
        firing = instance.firing
        if firing is not None and not self.per_event and "then" not in self.rule:
            wanted = self.folder.judged(firing, self.timeline, time)
            if wanted and Judge(policy, frozenset(), known, firing, time).consented:
                instance.held_until = quiet_until(time, policy, zone_of(known, policy))
        if instance.held_until is None:
            self.open.remove(instance)

    def _keep(self, instance: _Instance, event: Happening) -> None:
        pattern = self.rule.get("keeps_open")
        if (
            instance.held_until is None
            and key_of(self.rule, event) == instance.key
            and fits(pattern, event, instance.seen())
        ):
            instance.last = event
            self._restart(instance, event)

    def _restart(self, instance: _Instance, event: Happening) -> None:
        if "due_at" not in self.rule:
            instance.due = event.time + duration(self.rule.get("after", "0s"))

    def _begin(self, match: Match) -> None:
        """Open an instance, or restart the clock of the open one of that key: `opened` stays the first."""
        event, key = match[-1], key_of(self.rule, match[-1])
        for instance in self.open:
            if instance.key == key and not self.per_event:
                if instance.held_until is None:
                    self._restart(instance, event)
                return
        instance = _Instance(match, key, None)
        self._restart(instance, event)
        if (name := self.rule.get("due_at", {}).get("property")) is not None:
            time = given_time(event.properties.get(name))
            if time is not None:
                instance.due = time + duration(self.rule["due_at"].get("offset", "0s"))
        self.open.append(instance)

    def _set_local(self, instance: _Instance, known: Sequence[Happening]) -> None:
        """Set a due time by the customer's clock: her zone and birthday are as the latest events say."""
        due_at = self.rule.get("due_at")
        if due_at is None or "property" in due_at or (instance.number and "yearly" not in due_at):
            return
        zone = zone_of(known, self.folder.policy)
        if "yearly" in due_at:
            after = instance.opened.time if instance.fired is None else instance.fired
            birthday = traits(known).get(due_at["yearly"])
            instance.due = yearly_due(birthday, due_at["local_time"], after, zone)
        else:
            instance.due = local_due(due_at, instance.opened.time, zone)


def _openings(
    rule: Raw, timeline: Sequence[Happening], changes: Sequence[OpeningChange]
) -> dict[Order, list[Match]]:
    """Return the opening events, each with its evidence; those outside of the active time don't count."""
    opens = rule["opens"]
    if "reference" in opens:
        return {
            change.order: [(change,)]
            for change in changes
            if _active(rule, change) and _quiet(opens, change, upto(timeline, change.time))
        }
    found = {}
    for place, event in enumerate(timeline):
        if not _active(rule, event):
            continue
        if "sequence" in opens:
            found[event.order] = [
                match for match in _matches(rule, timeline, key_of(rule, event)) if match[-1] is event
            ]
        elif _opens(opens, timeline, place):
            found[event.order] = [(event,)]
    return found


def _active(rule: Raw, event: Happening) -> bool:
    begins, ends = rule.get("active_from"), rule.get("active_until")
    return (begins is None or instant(begins) <= event.time) and (ends is None or event.time < instant(ends))


def _opens(opens: Raw, timeline: Sequence[Happening], place: int) -> bool:
    """Tell whether an event of the timeline opens, looking back at all that was before it."""
    event, before = timeline[place], timeline[:place]
    if "profile" in opens:
        now, then = ({"customer": traits(known)} for known in (timeline[: place + 1], before))
        return holds(opens["profile"], now) and not (before and holds(opens["profile"], then))
    if not fits(opens, event, {}):
        return False
    if opens.get("first") and any(fits(opens, other, {}) for other in before):
        return False
    return _quiet(opens, event, before)


def _quiet(opens: Raw, event: Happening, before: Sequence[Happening]) -> bool:
    """Tell whether `quiet_before` lets an event open."""
    quiet = opens.get("quiet_before")
    if quiet is None:
        return True
    edge = event.time - duration(quiet["for"])
    disturbing = [other for other in before if fits(quiet, other, {})]
    if any(other.time > edge for other in disturbing):
        return False
    return not quiet.get("and_before") or bool(disturbing)


def _matches(rule: Raw, timeline: Sequence[Happening], key: tuple[str, ...]) -> list[Match]:
    """List a sequence's matches within one key.

    "patterns in order, other events may lie between; `within`: first to last; `every: true`: overlapping
    matches count, else a match uses up all before it; the steps of a keyed rule share the key"
    """
    opens = rule["opens"]
    own = [event for event in timeline if key_of(rule, event) == key]
    within = duration(opens["within"]) if "within" in opens else None
    matches = []
    for place, event in enumerate(own):
        match = _match_from(opens["sequence"], own[place:]) if fits(opens["sequence"][0], event, {}) else None
        if match is not None and (within is None or match[-1].time - match[0].time <= within):
            matches.append(match)
    if opens.get("every"):
        return matches
    left: list[Match] = []
    for match in sorted(matches, key=lambda one: (one[-1].order, one[0].order)):
        if not left or match[0].order > left[-1][-1].order:
            left.append(match)
    return left


def _match_from(steps: Sequence[Raw], events: Sequence[Happening]) -> Match | None:
    """Return the match that begins with the first of these events, each step taking the next that fits."""
    match: list[Happening] = []
    for event in events:
        if len(match) < len(steps) and fits(steps[len(match)], event, {}):
            match.append(event)
    return tuple(match) if len(match) == len(steps) else None


def current(rules: Sequence[Raw]) -> list[Raw]:
    """Return the rules that count: "a higher version replaces a lower one"."""
    best: dict[str, Raw] = {}
    for rule in rules:
        if rule["name"] not in best or rule.get("version", 1) > best[rule["name"]].get("version", 1):
            best[rule["name"]] = rule
    return list(best.values())
