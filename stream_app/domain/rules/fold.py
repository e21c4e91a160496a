"""The fold: one customer's events, in order, into open and elapsed instances of every rule.

For each event: first everything due before it is judged, with baskets and profile as they stood; then, rule by
rule, the event closes, then fires what waited for it, then keeps, then opens. An event exactly at the due time
still counts. Nothing here knows a clock: whether a due time has passed "now" is settle.py's business.

The profile is folded beside: `elapse` wants it as it was before the event, `step` as it is after.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream_app.domain.profile import Profile, apply
from stream_app.domain.rules import baskets
from stream_app.domain.rules.model import FOREVER, Pattern, Rule, pick
from stream_app.domain.rules.person import TRAIT_EVENTS, view_of, zone_of
from stream_app.domain.rules.plan import Plan, skip
from stream_app.domain.rules.sequences import advance
from stream_app.domain.rules.state import (
    FIRED,
    EventRef,
    Instance,
    Ledger,
    Partial,
    RulesState,
    merged,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from stream_app.domain.event import Event
    from stream_app.domain.rules.sending import SendingPolicy

MAX_OPEN = 128
"""Open instances per rule and customer; while so many are open, no further one is opened."""
MAX_KEPT = 16
"""Keeping events that are remembered by name; all are counted."""
_NEVER = -FOREVER
_ALONE = Partial([], {})
"""What is no sequence: there is no beginning before the event."""
_NONE: Collection[str] = ()
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_encode = msgspec.json.Encoder().encode


class _Step:
    """One event on its way through the rules: its variables, built when a condition first wants them."""

    __slots__ = ("_base", "_prices", "event", "profile", "state")

    def __init__(
        self, state: RulesState, event: Event, profile: Profile | None, prices: Mapping[str, float]
    ) -> None:
        self._prices = prices
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
            variables["time"] = _EPOCH + dt.timedelta(milliseconds=event.time)
        if "cart" in roots:
            cart_id = instance.cart_id if instance is not None else baskets.cart_of(event.properties)
            variables["cart"] = self.state.baskets.view(cart_id, self._prices)
        if "customer" in roots:
            variables["customer"] = view_of(self.profile, event.time, condition.customer)
        if instance is not None:
            variables["opened"], variables["last"], first = instance.facts, instance.last, instance.first
        variables["first"] = first
        return condition.holds(variables, seen)

    def ref(self, role: str) -> EventRef:
        event = self.event
        return EventRef(event.event_id, event.time, event.type, role)


class Fold:
    """The fold of all rules of a book."""

    def __init__(
        self, rules: Sequence[Rule], fingerprint: str, policy: SendingPolicy, prices: Mapping[str, float]
    ) -> None:
        """Index the rules by the event types that they listen to."""
        self.plans = {rule.id: Plan(rule, policy, prices) for rule in rules}
        self._prices = prices
        self._policy = policy
        self._fingerprint = fingerprint
        self._with_baskets = any(rule.uses("cart") for rule in rules)
        plans = self.plans.values()
        self._by_profile = tuple(plan for plan in plans if plan.rule.opens.profile is not None)
        self._local = tuple(plan for plan in plans if plan.is_local)
        self._sees_customer = any(plan.sees_customer for plan in plans)
        types = set(baskets.EVENT_TYPES) if self._with_baskets else set()
        types.update(*(pattern.event for rule in rules for pattern in rule.patterns()))
        self._listeners = {
            name: tuple(
                Listener.of(plan, name)
                for plan in plans
                if any(name in pattern.event for pattern in plan.rule.patterns())
            )
            for name in types
        }

    def new_state(self, ledger: Ledger | None = None) -> RulesState:
        """Return the state before any event."""
        state = RulesState(self._fingerprint, ledger=ledger or Ledger())
        state.judged = max((row.judged for row in state.ledger.rows.values()), default=_NEVER)
        return state

    def elapse(self, state: RulesState, time: int, profile: Profile | None = None) -> None:
        """Judge what is due before `time`, that of the event which comes next; `profile` is without it."""
        if state.elapse_at < time:
            self._elapse(state, time, profile)

    def step(self, state: RulesState, event: Event, profile: Profile | None = None) -> None:
        """Fold one event that is later than all before it. Changes `state` in place; `profile` has the event."""
        time = event.time
        if state.elapse_at < time:
            self._elapse(state, time, profile)
        listeners = self._listeners.get(event.type)
        if state.judged >= time and (listeners is not None or self._sees_customer):
            state.stale = True
        if self._local:
            self._watch_calendar(state, event, profile)
        if listeners is not None:
            if self._with_baskets and event.type in baskets.EVENT_TYPES:
                state.baskets.apply(event.type, event.properties)
            if listeners:
                step = _Step(state, event, profile, self._prices)
                for listener in listeners:
                    _apply(listener, step)
        if self._by_profile:
            self._watch_profile(state, event, profile)
        state.time = time
        state.event_id = event.event_id

    def refold(self, events: Iterable[Event], ledgers: Iterable[Ledger] = ()) -> RulesState:
        """Fold a whole timeline, ascending, from nothing; the ledgers of all states before go along."""
        state, profile = self.new_state(merged(ledgers)), Profile()
        for event in events:
            self.elapse(state, event.time, profile)
            apply(profile, event)
            self.step(state, event, profile)
        state.stale, state.next_at = True, _NEVER  # settling works out when there is something to decide
        return state

    # -- due times that have passed ---------------------------------------------------------------------

    def _elapse(self, state: RulesState, time: int, profile: Profile | None) -> None:
        """Judge and put aside every open instance due before `time`."""
        earliest = FOREVER
        for rule_id, instances in list(state.open.items()):
            plan = self.plans.get(rule_id)
            for instance in list(instances.values()):
                if plan is None or not _pass(plan, state, instance, time, profile):
                    del instances[instance.token]
                else:
                    earliest = min(earliest, instance.due, *(one.at for one in instance.held))
            if not instances:
                del state.open[rule_id]
        state.elapse_at = earliest

    def _watch_profile(self, state: RulesState, event: Event, profile: Profile | None) -> None:
        """Look at the conditions over the profile that the event may have changed."""
        whole = event.type in TRAIT_EVENTS or state.time == _NEVER
        for plan in self._by_profile:
            if whole or not plan.opens_by_traits:
                _watch_profile(plan, _Step(state, event, profile, self._prices))

    def _watch_calendar(self, state: RulesState, event: Event, profile: Profile | None) -> None:
        """Work out again what is due by the customer's calendar, if that has changed with an event."""
        zone = zone_of(profile, self._policy)
        moved = zone != state.zone
        state.zone = zone
        if not moved and event.type not in TRAIT_EVENTS:
            return
        for plan in self._local:
            due_at = plan.rule.due_at
            if not moved and (due_at is None or due_at.yearly is None):
                continue
            for instance in state.open.get(plan.id, {}).values():
                if not instance.over and not instance.waiting:
                    # A moment that travelling skips is now; one that a corrected date puts into the past is over.
                    due = plan.local_due(instance.base if moved else event.time, profile)
                    instance.due = max(due, event.time)
                    _expect(state, instance.due)


def _pass(plan: Plan, state: RulesState, instance: Instance, time: int, profile: Profile | None) -> bool:
    """Judge an instance at its due times before `time`; return whether it stays open."""
    silent = state.ledger.silent.get(plan.id, _NEVER)
    if instance.due < time and plan.awaits(instance):
        instance.waiting, instance.due = True, FOREVER
    instance.due, instance.number = skip(plan.rule, instance.due, instance.number, silent, time)
    due = False
    while instance.due < time:
        due = True
        standing = msgspec.structs.replace(instance, kept=list(instance.kept), held=[])
        found = plan.judge(state, standing, instance.number, instance.due, time, profile)
        if found.at >= time:
            instance.held.append(found)
        elif found.latest > silent:
            state.elapsed.setdefault(plan.id, []).append(found)
        following = plan.following(instance, instance.due, profile)
        if following is None:
            instance.over, instance.due = True, FOREVER
        else:
            instance.base = instance.due
            instance.due, instance.number = following, instance.number + 1
    if instance.held and (due or any(one.at < time for one in instance.held)):
        _release(plan, state, instance, time, profile)
    return bool(instance.held) or not instance.over


def _release(plan: Plan, state: RulesState, instance: Instance, time: int, profile: Profile | None) -> None:
    """Judge again what was held by quiet hours that have ended before `time`."""
    left, silent = [], state.ledger.silent.get(plan.id, _NEVER)
    for held in instance.held:
        found = held if held.at >= time else plan.judge_again(state, held, time, profile)
        if found.at >= time:
            left.append(found)
        elif found.latest > silent:
            state.elapsed.setdefault(plan.id, []).append(found)
    instance.held = left


# -- one event, one rule --------------------------------------------------------------------------------


class Listener(NamedTuple):
    """What one rule does about events of one type, in the order in which it does it."""

    plan: Plan
    closes: Pattern | None
    then: Pattern | None
    keeps: Pattern | None
    opens: bool
    quiet: Pattern | None

    @classmethod
    def of(cls, plan: Plan, event_type: str) -> Listener:
        """Take from a rule what is about a type of event."""
        rule = plan.rule

        def about(pattern: Pattern | None) -> Pattern | None:
            return pattern if pattern is not None and event_type in pattern.event else None

        quiet = None if rule.opens.quiet is None else rule.opens.quiet.pattern
        opens = event_type in plan.opens_types
        return cls(plan, about(rule.closes), about(rule.then), about(rule.keeps_open), opens, about(quiet))


def _apply(listener: Listener, step: _Step) -> None:
    """Let one event close, then fire what waited, then keep, then open instances of one rule."""
    plan, closes, then, keeps, opens, quiet = listener
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


def _close(plan: Plan, pattern: Pattern, step: _Step) -> None:
    """Close what the event closes; an elapsed instance remembers it, for a trigger that is found late."""
    state = step.state
    token = token_of(step.event.properties.get(pattern.match)) if pattern.match else ""
    instances = state.open.get(plan.id, {})
    for instance in list(instances.values()):
        if not instance.waiting and token in {"", instance.match} and step.fits(pattern, instance):
            del instances[instance.token]
            _note_closed(plan, state, instance, step.ref("closed"))
    if not instances:
        state.open.pop(plan.id, None)
    for found in state.elapsed.get(plan.id, ()):
        instance = found.instance
        is_meant = found.closed is None and not instance.waiting and token in {"", instance.match}
        if is_meant and step.fits(pattern, instance):
            found.closed = step.ref("closed")


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


def _then(plan: Plan, pattern: Pattern, step: _Step) -> None:
    """Have what waited for the event be due now."""
    instances = step.state.open.get(plan.id, {})
    for instance in list(instances.values()):
        if instance.waiting and instance.then is None and step.fits(pattern, instance):
            instance.then, instance.due = step.ref("then"), step.event.time
            _expect(step.state, instance.due)
            # It is no longer the key's open one: the event may open another.
            del instances[instance.token]
            instance.token = f"{instance.token}\0{step.event.event_id}"
            instances[instance.token] = instance


def _keep(plan: Plan, pattern: Pattern, step: _Step, group: str) -> Collection[str]:
    """Restart the clocks of a key's open instances; return their tokens."""
    kept: set[str] = set()
    for instance in _of_group(plan, step.state, group):
        if step.fits(pattern, instance):
            kept.add(instance.token)
            _restart(plan, instance, step)
    return kept


def _of_group(plan: Plan, state: RulesState, group: str) -> Iterator[Instance]:
    """Yield the open instances of a key whose clock events can restart."""
    instances = state.open.get(plan.id, {})
    if plan.rule.per_event:
        found = [instance for instance in instances.values() if instance.group == group]
    else:
        found = [instances[group]] if group in instances else []
    yield from (instance for instance in found if not instance.over and instance.then is None)


def _restart(plan: Plan, instance: Instance, step: _Step) -> None:
    """Count the silence from this event on, that of an instance that waits too; a calendar has no silence."""
    instance.last = pick(step.event.properties, plan.last_names)
    instance.kept.append(step.ref("kept_open"))
    instance.kept_count += 1
    del instance.kept[:-MAX_KEPT]
    if plan.rule.due_at is None:
        instance.due = step.event.time + plan.rule.after
        instance.waiting = False
        _expect(step.state, instance.due)


def _openings(plan: Plan, step: _Step, group: str, key: list[Any], kept: Collection[str]) -> None:
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
    if found and _counts(plan, step):
        for partial in found:
            _open(plan, step, Opening(group, key, seen, partial), kept)


def _counts(plan: Plan, step: _Step) -> bool:
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


def _open(plan: Plan, step: _Step, opening: Opening, kept: Collection[str]) -> None:
    """Open an instance, or restart the clock of the one that is open."""
    rule, event, state = plan.rule, step.event, step.state
    instances = state.open.get(plan.id, {})
    steps = opening.sequence.steps
    token = opening.group
    if rule.per_event:
        token = "/".join([event.event_id, *(one.event_id for one in steps[:-1])])
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
        [one.event_id for one in steps] or [event.event_id],
        baskets.cart_of(event.properties),
        token_of(event.properties.get(match)) if match else "",
        pick(event.properties, plan.opened_names),
        opening.seen,
        opening.sequence.first if steps else None,
        steps[:-1],
    )
    _expect(state, due)


def _watch_profile(plan: Plan, step: _Step) -> None:
    """Open an instance when the condition over the profile becomes true."""
    condition, state, event = plan.rule.opens.profile, step.state, step.event
    seen: dict[str, Any] = {}
    if condition is None:
        return
    customer = view_of(step.profile, event.time, condition.customer)
    if not condition.holds({"customer": customer}, seen):
        state.true.discard(plan.id)
        return
    if plan.id not in state.true:
        state.true.add(plan.id)
        if _counts(plan, step):
            group, key = key_of(plan.rule, event.properties)
            _open(plan, step, Opening(group, key, seen, Partial([], {})), _NONE)


def _expect(state: RulesState, due: int) -> None:
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
