"""One event and one rule: it closes, then fires what waited for it, then keeps, then opens."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream_app.domain.rules import baskets
from stream_app.domain.rules.model import Pattern, Rule, pick
from stream_app.domain.rules.person import view_of
from stream_app.domain.rules.sequences import advance
from stream_app.domain.rules.state import (
    FIRED,
    Before,
    EventRef,
    Instance,
    Partial,
    Revised,
    RulesState,
    Spot,
)
from stream_app.domain.rules.surroundings import Prices

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from stream_app.domain.event import Event
    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.conditions import Condition
    from stream_app.domain.rules.person import Segments
    from stream_app.domain.rules.plan import Plan
    from stream_app.domain.rules.surroundings import Surroundings

MAX_OPEN = 128
"""Open instances per rule and customer; while so many are open, no further one is opened."""
MAX_KEPT = 16
"""Keeping events that are remembered by name; all are counted."""
MAX_BEFORE = 128
"""Items per rule and customer whose changes concern her; of more, the one longest without such an event goes."""
_ALONE = Partial([], {})
"""What is no sequence: there is no beginning before the event."""
_NONE: Collection[str] = ()
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_encode = msgspec.json.Encoder().encode


class World(NamedTuple):
    """What rules look at beside the customer's own events.

    Attributes:
        segments: those in force.
        watched: takes (kind, item) of reference data that have begun to concern the customer at hand.
        surroundings: reference data, as of a time.
    """

    segments: Segments
    watched: list[tuple[str, str]]
    surroundings: Surroundings


class Step:
    """One event on its way through the rules: its variables, built when a condition first wants them."""

    __slots__ = ("_base", "event", "profile", "state", "world")

    def __init__(self, world: World, state: RulesState, event: Event, profile: Profile | None) -> None:
        self.world = world
        self.state = state
        self.event = event
        self.profile = profile
        self._base: dict[str, Any] | None = None

    def fits(
        self,
        pattern: Pattern,
        instance: Instance | None = None,
        seen: dict[str, Any] | None = None,
        first: dict[str, Any] | None = None,
    ) -> bool:
        """Tell whether a pattern's condition holds for the event, on an open instance if there is one."""
        condition = pattern.condition
        if condition is None:
            return True
        event = self.event
        if self._base is None:
            self._base = {"event": event.properties, "event_type": event.type, "channel": event.channel}
        variables = self._base
        roots = condition.roots
        if "time" in roots:
            variables["time"] = EPOCH + dt.timedelta(milliseconds=event.time)
        if "cart" in roots:
            cart_id = instance.cart_id if instance is not None else baskets.cart_of(event.properties)
            variables["cart"] = self.state.baskets.view(
                cart_id, Prices(self.world.surroundings, event.time, self.state, self.profile)
            )
        if "customer" in roots:
            variables["customer"] = self.customer(condition)
        if instance is not None:
            variables["opened"], variables["last"], first = instance.facts, instance.last, instance.first
            if instance.revised is not None:
                instance.revised.show(variables)
        variables["first"] = first
        return condition.holds(variables, seen)

    def customer(self, condition: Condition) -> Mapping[str, Any]:
        """Return what a condition asks of the customer, the event included."""
        return view_of(self.profile, self.event.time, condition.customer, self.world.segments)

    def ref(self, role: str) -> EventRef:
        """Return what is remembered of the event."""
        event = self.event
        return EventRef(event.event_id, event.time, event.type, role)


class Listener(NamedTuple):
    """What one rule does about events of one type, in the order in which it does it."""

    plan: Plan
    closes: Pattern | None
    then: Pattern | None
    keeps: Pattern | None
    opens: bool
    quiet: Pattern | None
    before: Pattern | None

    @classmethod
    def of(cls, plan: Plan, event_type: str) -> Listener:
        """Take from a rule what is about a type of event."""
        rule = plan.rule

        def about(pattern: Pattern | None) -> Pattern | None:
            return pattern if pattern is not None and event_type in pattern.event else None

        quiet = None if rule.opens.quiet is None else rule.opens.quiet.pattern
        before = None if rule.opens.reference is None else rule.opens.reference.before
        opens = event_type in plan.opens_types
        return cls(
            plan,
            about(rule.closes),
            about(rule.then),
            about(rule.keeps_open),
            opens,
            about(quiet),
            about(before),
        )


def apply_event(listener: Listener, step: Step) -> None:
    """Let one event close, then fire what waited, then keep, then open instances of one rule."""
    plan, closes, then, keeps, opens, quiet, before = listener
    state, rule_id = step.state, plan.id
    if closes is not None and (rule_id in state.open or rule_id in state.elapsed):
        _close(plan, closes, step)
    if then is not None and rule_id in state.open:
        _then(plan, then, step)
    if rule_id not in state.open:
        keeps = None
    if keeps is not None or opens:
        group, key = key_of(plan.rule, step.event.properties)
        kept = _NONE if keeps is None else _keep(plan, keeps, step, group)
        if opens:
            _openings(plan, step, group, key, kept)
    if quiet is not None and step.fits(quiet):
        state.quiet[rule_id] = step.event.time
    if before is not None and step.fits(before):
        _watch(plan, step)


def _watch(plan: Plan, step: Step) -> None:
    """Remember the event: from now on changes of its item concern the customer."""
    reference = plan.rule.opens.reference
    item = "" if reference is None else token_of(step.event.properties.get(reference.match))
    if reference is None or not item:
        return
    known = step.state.before.setdefault(plan.id, {})
    if known.pop(item, None) is None:
        step.world.watched.append((reference.kind, item))
        if len(known) >= MAX_BEFORE:
            del known[next(iter(known))]
    known[item] = Before(step.ref("step"), pick(step.event.properties, plan.before_names))


def _close(plan: Plan, pattern: Pattern, step: Step) -> None:
    """Close what the event closes; an elapsed instance remembers it, for a trigger that is found late."""
    state = step.state
    token = token_of(step.event.properties.get(pattern.match)) if pattern.match else ""
    instances = state.open.get(plan.id, {})
    for instance in list(instances.values()):
        if not instance.waiting and token in {"", instance.match} and step.fits(pattern, instance):
            close_instance(plan, step, instance)
    for found in state.elapsed.get(plan.id, ()):
        instance = found.instance
        is_meant = found.closed is None and not instance.waiting and token in {"", instance.match}
        if is_meant and step.fits(pattern, instance):
            found.closed = step.ref("closed")


def close_instance(plan: Plan, step: Step, instance: Instance) -> None:
    """Let an event close an open instance."""
    state, instances = step.state, step.state.open[plan.id]
    del instances[instance.token]
    _note_closed(plan, state, instance, step.ref("closed"))
    if not instances:
        del state.open[plan.id]


def _note_closed(plan: Plan, state: RulesState, instance: Instance, ref: EventRef) -> None:
    """Remember by what a sent trigger's instance was closed."""
    rows = state.ledger.rows
    if not rows:
        return
    for held in instance.held:
        row = rows.get(held.trigger_id)
        if row is not None and row.status == FIRED and row.sent < ref.time:
            # Sent before quiet hours were known of (a zone that came late), and so before this event.
            held.at, held.closed = held.due, ref
            state.elapsed.setdefault(plan.id, []).append(held)
        elif row is not None:
            state.closed[held.trigger_id] = ref
    trigger = plan.trigger_id(instance, instance.number)
    if not instance.over and trigger in rows:
        state.closed[trigger] = ref


def _then(plan: Plan, pattern: Pattern, step: Step) -> None:
    """Have what waited for the event be due now."""
    instances = step.state.open.get(plan.id, {})
    for instance in list(instances.values()):
        if instance.waiting and instance.then is None and step.fits(pattern, instance):
            instance.then, instance.due = step.ref("then"), step.event.time
            expect(step.state, instance.due)
            # It is no longer the key's open one: the event may open another.
            del instances[instance.token]
            instance.token = f"{instance.token}\0{step.event.event_id}"
            instances[instance.token] = instance


def _keep(plan: Plan, pattern: Pattern, step: Step, group: str) -> Collection[str]:
    """Restart the clocks of a key's open instances; return their tokens."""
    kept: set[str] = set()
    for instance in _of_group(plan, step.state, group):
        if step.fits(pattern, instance):
            kept.add(instance.token)
            _restart(plan, instance, step)
    return kept


def _of_group(plan: Plan, state: RulesState, group: str) -> Iterator[Instance]:
    """Yield the open instances of a key whose clock events can restart; near stores, one without a key is about all."""
    instances = state.open.get(plan.id, {})
    if plan.rule.near is not None and not group:
        found = list(instances.values())
    elif plan.rule.per_event:
        found = [instance for instance in instances.values() if instance.group == group]
    else:
        found = [instances[group]] if group in instances else []
    yield from (instance for instance in found if not instance.over and instance.then is None)


def _restart(plan: Plan, instance: Instance, step: Step) -> None:
    """Count the silence from this event on, that of an instance that waits too; a calendar has no silence."""
    instance.last = pick(step.event.properties, plan.last_names)
    instance.kept.append(step.ref("kept_open"))
    instance.kept_count += 1
    del instance.kept[:-MAX_KEPT]
    if plan.rule.due_at is None:
        instance.due = step.event.time + plan.rule.after
        instance.waiting = False
        expect(step.state, instance.due)


def _openings(plan: Plan, step: Step, group: str, key: list[Any], kept: Collection[str]) -> None:
    """Open instances, if the event does what the rule wants."""
    patterns = plan.rule.opens.patterns
    seen: dict[str, Any] = {}
    if len(patterns) == 1:
        found = [_ALONE] if step.fits(patterns[0], None, seen) else []
    else:
        event = step.event
        found = advance(
            plan,
            step.state,
            group,
            step.ref("step"),
            event.properties,
            lambda pattern, first: step.fits(pattern, None, seen, first),
        )
    if found and counts(plan, step):
        for partial in found:
            open_instance(plan, step, Opening(group, key, seen, partial), kept)


def counts(plan: Plan, step: Step) -> bool:
    """Tell whether an event that matches may open: in the rule's time, the first, after a quiet time."""
    opens, state, time = plan.rule.opens, step.state, step.event.time
    if opens.first:
        if plan.id in state.seen:
            return False
        state.seen.add(plan.id)
    quiet = opens.quiet
    if quiet is not None:
        before = state.quiet.get(plan.id)
        if (quiet.before and before is None) or (before is not None and time - before < quiet.span):
            return False
    return plan.rule.active_from <= time < plan.rule.active_until


class Opening(msgspec.Struct):
    """What an event opens: key, what the conditions saw, and the sequence, if it is one."""

    group: str
    key: list[Any]
    seen: dict[str, Any]
    sequence: Partial
    evidence: list[str] | None = None
    revised: Revised | None = None
    spot: Spot | None = None


def open_instance(plan: Plan, step: Step, opening: Opening, kept: Collection[str]) -> None:
    """Open an instance, or restart the clock of the one that is open."""
    rule, event, state = plan.rule, step.event, step.state
    instances = state.open.get(plan.id, {})
    steps, revised = opening.sequence.steps, opening.revised
    evidence = opening.evidence or [one.event_id for one in steps] or [event.event_id]
    token = opening.group
    if rule.per_event:
        token = "/".join(opening.evidence or [event.event_id, *(one.event_id for one in steps[:-1])])
    known = instances.get(token)
    if known is not None:
        if not known.over and token not in kept:
            _restart(plan, known, step)
        return
    if len(instances) >= MAX_OPEN:
        return
    due = plan.due(event.time, event.properties, step.profile)
    match = rule.closes.match if rule.closes is not None else None
    state.open.setdefault(plan.id, instances)[token] = Instance(
        opening.key,
        opening.group,
        token,
        due,
        event.time,
        step.ref("opened"),
        evidence,
        baskets.cart_of(event.properties),
        token_of(event.properties.get(match)) if match else "",
        pick(event.properties, plan.opened_names),
        opening.seen,
        opening.sequence.first if steps and revised is None else None,
        steps[:-1],
        revised=revised,
        spot=opening.spot,
    )
    expect(state, due)


def watch_profile(plan: Plan, step: Step) -> None:
    """Open an instance when the condition over the profile becomes true."""
    condition, state, event = plan.rule.opens.profile, step.state, step.event
    seen: dict[str, Any] = {}
    if condition is None:
        return
    customer = step.customer(condition)
    if not condition.holds({"customer": customer}, seen):
        state.true.discard(plan.id)
        return
    if plan.id not in state.true:
        state.true.add(plan.id)
        if counts(plan, step):
            group, key = key_of(plan.rule, event.properties)
            open_instance(plan, step, Opening(group, key, seen, Partial([], {})), _NONE)


def expect(state: RulesState, due: int) -> None:
    """Note that something must be judged, and decided about, at a time."""
    state.elapse_at = min(state.elapse_at, due)
    state.next_at = min(state.next_at, due)


def key_of(rule: Rule, properties: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return an event's key, as text and as values; the empty key where the event has none."""
    if not rule.key:
        return "", []
    values = [properties.get(name) for name in rule.key]
    if len(values) == 1:
        return token_of(values[0]), values
    return _encode([token_of(value) for value in values]).decode(), values


def token_of(value: Any) -> str:
    """Return a value as text such that equal values have equal text; "" for none.

    Numbers are their decimal text, as in identifiers: a till sends 12 where the shop sends "12".
    """
    if type(value) is str:
        return value
    if value is None:
        return ""
    if type(value) is float and value.is_integer():
        value = int(value)
    return _encode(value).decode()
