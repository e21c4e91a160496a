"""The fold: one customer's events, in order, into open and elapsed instances of every rule.

For each event: first every instance due before it elapses, judged with the baskets as they stood; then, rule
by rule, the event closes, then keeps, then opens. An event exactly at the due time still counts. Nothing here
knows a clock: whether a due time has passed "now" is settle.py's business.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.rules import baskets
from stream_app.domain.rules.model import FOREVER, Pattern, Rule, pick
from stream_app.domain.rules.state import EventRef, Instance, Ledger, RulesState, merged
from stream_app.domain.rules.trigger_id import trigger_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_app.domain.event import Event

MAX_OPEN = 128
"""Open instances per rule and customer; while so many are open, no further one is opened."""
MAX_KEPT = 16
"""Keeping events that are remembered by name; all are counted."""
_NEVER = -FOREVER
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_encode = msgspec.json.Encoder().encode


class Plan:
    """A rule as the fold wants it: what it names, worked out once."""

    __slots__ = ("first_names", "id", "keeps_cart", "last_names", "needs_cart", "rule")

    def __init__(self, rule: Rule) -> None:
        """Work out what the rule names."""
        self.rule = rule
        self.id = rule.id
        self.first_names = rule.names("opened")
        self.last_names = rule.names("last")
        self.needs_cart = rule.condition is not None and "cart" in rule.condition.roots
        self.keeps_cart = any(name.split(".")[0] == "cart" for name in rule.payload)

    def judge(
        self, state: RulesState, instance: Instance
    ) -> tuple[bool, dict[str, Any], dict[str, Any] | None]:
        """Judge the rule's `if` as of the last event folded: verdict, the values seen, the basket to send."""
        condition = self.rule.condition
        cart = state.baskets.view(instance.cart_id) if self.needs_cart or self.keeps_cart else None
        values = dict(instance.values)
        passed = True
        if condition is not None:
            variables = {"opened": instance.facts, "last": instance.last, "cart": cart}
            passed = condition.holds(variables, values)
        return passed, values, cart if self.keeps_cart else None


class _Step:
    """One event on its way through the rules: its variables, built when a condition first wants them."""

    __slots__ = ("_base", "event", "state")

    def __init__(self, state: RulesState, event: Event) -> None:
        self.state = state
        self.event = event
        self._base: dict[str, Any] | None = None

    def fits(self, pattern: Pattern, instance: Instance | None, seen: dict[str, Any] | None = None) -> bool:
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
            variables["cart"] = self.state.baskets.view(cart_id)
        if instance is not None:
            variables["opened"], variables["last"] = instance.facts, instance.last
        return condition.holds(variables, seen)

    def ref(self, role: str) -> EventRef:
        event = self.event
        return EventRef(event.event_id, event.time, event.type, role)


class Fold:
    """The fold of all rules of a book."""

    def __init__(self, rules: Sequence[Rule], fingerprint: str) -> None:
        """Index the rules by the event types that they listen to."""
        self.plans = {rule.id: Plan(rule) for rule in rules}
        self._fingerprint = fingerprint
        self._with_baskets = any(rule.uses("cart") for rule in rules)
        types = set(baskets.EVENT_TYPES) if self._with_baskets else set()
        for rule in rules:
            types.update(
                *(pattern.event for pattern in (rule.opens, rule.keeps_open, rule.closes) if pattern)
            )
        self._listeners = {
            name: tuple(p for p in self.plans.values() if _listens(p.rule, name)) for name in types
        }

    def new_state(self, ledger: Ledger | None = None) -> RulesState:
        """Return the state before any event."""
        state = RulesState(self._fingerprint, ledger=ledger or Ledger())
        state.judged = max((row.due for row in state.ledger.rows.values()), default=_NEVER)
        return state

    def step(self, state: RulesState, event: Event) -> None:
        """Fold one event that is later than all before it. Changes `state` in place."""
        time = event.time
        if state.elapse_at < time:
            self._elapse(state, time)
        listeners = self._listeners.get(event.type)
        if listeners is not None:
            if state.judged >= time:
                state.stale = True
            if self._with_baskets and event.type in baskets.EVENT_TYPES:
                state.baskets.apply(event.type, event.properties)
            if listeners:
                step = _Step(state, event)
                for plan in listeners:
                    _apply(plan, step)
        state.time = time
        state.event_id = event.event_id

    def refold(self, events: Iterable[Event], ledgers: Iterable[Ledger] = ()) -> RulesState:
        """Fold a whole timeline, ascending, from nothing; the ledgers of all states before go along."""
        state = self.new_state(merged(ledgers))
        for event in events:
            self.step(state, event)
        state.stale = True
        return state

    def _elapse(self, state: RulesState, time: int) -> None:
        """Judge and put aside every open instance due before `time`."""
        earliest = FOREVER
        for rule_id, instances in list(state.open.items()):
            plan = self.plans.get(rule_id)
            silent = state.ledger.silent.get(rule_id, _NEVER)
            for instance in [one for one in instances.values() if one.due < time]:
                del instances[instance.token]
                if plan is not None and instance.due > silent:
                    instance.passed, instance.values, instance.cart = plan.judge(state, instance)
                    state.elapsed.setdefault(rule_id, []).append(instance)
            if not instances:
                del state.open[rule_id]
            earliest = min(earliest, min((one.due for one in instances.values()), default=FOREVER))
        state.elapse_at = earliest


def _listens(rule: Rule, event_type: str) -> bool:
    return any(p is not None and event_type in p.event for p in (rule.opens, rule.keeps_open, rule.closes))


def _apply(plan: Plan, step: _Step) -> None:
    """Let one event close, then keep, then open instances of one rule."""
    rule, event, state = plan.rule, step.event, step.state
    instances = state.open.get(plan.id)
    if (
        rule.closes is not None
        and event.type in rule.closes.event
        and (instances or plan.id in state.elapsed)
    ):
        _close(plan, rule.closes, step)
        instances = state.open.get(plan.id)
    keeps = rule.keeps_open is not None and event.type in rule.keeps_open.event and bool(instances)
    opens = event.type in rule.opens.event and rule.active_from <= event.time < rule.active_until
    if not keeps and not opens:
        return
    token, key = key_of(rule, event.properties)
    instance = None if instances is None else instances.get(token)
    if (
        keeps
        and instance is not None
        and rule.keeps_open is not None
        and step.fits(rule.keeps_open, instance)
    ):
        _restart(plan, instance, step)
        return  # opening as well would restart the same clock
    if not opens:
        return
    seen: dict[str, Any] = {}
    if not step.fits(rule.opens, None, seen):
        return
    if instance is not None:
        _restart(plan, instance, step)
    elif instances is None or len(instances) < MAX_OPEN:
        _open(plan, step, token, key, seen)


def _open(plan: Plan, step: _Step, token: str, key: list[Any], seen: dict[str, Any]) -> None:
    rule, event, state = plan.rule, step.event, step.state
    due = event.time + rule.after
    match = rule.closes.match if rule.closes is not None else None
    state.open.setdefault(plan.id, {})[token] = Instance(
        trigger_id(rule.name, rule.version, (event.event_id,)),
        key,
        token,
        due,
        step.ref("opened"),
        baskets.cart_of(event.properties),
        token_of(event.properties.get(match)) if match else "",
        pick(event.properties, plan.first_names),
        seen,
    )
    state.elapse_at = min(state.elapse_at, due)


def _restart(plan: Plan, instance: Instance, step: _Step) -> None:
    """Count the silence from this event on. `elapse_at` may stay too early: it is a lower bound."""
    instance.due = step.event.time + plan.rule.after
    instance.last = pick(step.event.properties, plan.last_names)
    instance.kept.append(step.ref("kept_open"))
    instance.kept_count += 1
    del instance.kept[:-MAX_KEPT]


def _close(plan: Plan, pattern: Pattern, step: _Step) -> None:
    """Close what the event closes; an elapsed instance remembers it, for a trigger that is found late."""
    state = step.state
    token = token_of(step.event.properties.get(pattern.match)) if pattern.match else ""
    instances = state.open.get(plan.id, {})
    for instance in list(instances.values()):
        if token in {"", instance.match} and step.fits(pattern, instance):
            del instances[instance.token]
            if instance.trigger_id in state.ledger.rows:
                state.closed[instance.trigger_id] = step.ref("closed")
    if not instances:
        state.open.pop(plan.id, None)
    for instance in state.elapsed.get(plan.id, ()):
        if instance.closed is None and token in {"", instance.match} and step.fits(pattern, instance):
            instance.closed = step.ref("closed")


def key_of(rule: Rule, properties: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return an event's key, as text and as values; the empty key where the event has none."""
    if not rule.key:
        return "", []
    values = [properties.get(name) for name in rule.key]
    if len(values) == 1:
        return token_of(values[0]), values
    return _encode([token_of(value) for value in values]).decode(), values


def token_of(value: Any) -> str:
    """Return a value as text such that equal values, and no others, have equal text; "" for none.

    Equal as in CEL: 1 is 1.0 but neither true nor "1".
    """
    if type(value) is str:
        return f'"{value}'
    if value is None:
        return ""
    if type(value) is float and value.is_integer():
        value = int(value)
    return _encode(value).decode()
