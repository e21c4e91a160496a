"""One change of reference data and one rule: it opens an instance for whom it concerns.

A price falls, an order is ready: nothing that a customer did. It concerns who has an event before it that names the
item (`opens.event_before`); for her it is as if it were an event of hers, at its time and behind all of that time. It
closes and keeps nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.domain.event import Event
from stream_app.domain.rules.applying import EPOCH, Opening, Step, counts, key_of, open_instance
from stream_app.domain.rules.model import pick
from stream_app.domain.rules.state import Partial, Revised
from stream_app.domain.rules.surroundings import Prices

if TYPE_CHECKING:
    from collections.abc import Collection

    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.applying import World
    from stream_app.domain.rules.conditions import Condition
    from stream_app.domain.rules.model import Reference
    from stream_app.domain.rules.plan import Plan
    from stream_app.domain.rules.state import Before, RulesState

_NONE: Collection[str] = ()
_OF_ROWS = frozenset({"old", "new"})


class Change(NamedTuple):
    """An item of reference data that has changed: rows before and after, the time in ms. Neither row is changed."""

    time: int
    kind: str
    item: str
    old: dict[str, Any]
    new: dict[str, Any]

    @property
    def place(self) -> tuple[int, str]:
        """Where it stands among changes; behind all events of its time."""
        return self.time, f"{self.kind}/{self.item}"


def looks_at(reference: Reference, change: Change) -> bool:
    """Tell whether a change is one of the field that a rule looks at; a first value is none, nor is an equal one."""
    if reference.kind != change.kind:
        return False
    old, new = change.old.get(reference.field), change.new.get(reference.field)
    return old is not None and new is not None and bool(old != new)


def may_open(reference: Reference, change: Change) -> bool:
    """Tell whether a change may open a rule for anybody: most can't, and need not be taken to whom they concern."""
    condition = reference.condition
    if not looks_at(reference, change):
        return False
    if condition is None or not condition.roots <= _OF_ROWS:
        return True
    return condition.holds({"old": change.old, "new": change.new}, None)


def apply_change(
    world: World, plan: Plan, state: RulesState, change: Change, profile: Profile | None
) -> None:
    """Open an instance, if the change concerns the customer and is one that the rule wants."""
    reference, before = plan.rule.opens.reference, state.before.get(plan.id, {}).get(change.item)
    if reference is None or before is None or not looks_at(reference, change):
        return
    step = Step(world, state, as_event(reference, change, before), profile)
    seen: dict[str, Any] = {}
    if reference.condition is not None and not _fits(reference.condition, step, change, before, seen):
        return
    if counts(plan, step):
        group, key = key_of(plan.rule, step.event.properties)
        revised = Revised(pick(change.old, plan.old_names), pick(change.new, plan.new_names), before.facts)
        evidence = [f"{change.place[1]}@{change.time}", before.event.event_id]
        steps = Partial([before.event, step.ref("opened")], {})
        open_instance(plan, step, Opening(group, key, seen, steps, evidence, revised), _NONE)


def as_event(reference: Reference, change: Change, before: Before) -> Event:
    """Return a change as if it were the customer's event: whose the event before it is, it is whose the trigger is."""
    properties = {**change.new, reference.match: change.item}
    what = f"{change.kind}.{reference.field}"
    return Event(before.event.event_id, change.time, "", what, (), properties, change.time, "")


def _fits(condition: Condition, step: Step, change: Change, before: Before, seen: dict[str, Any]) -> bool:
    """Tell whether a condition holds for a change."""
    variables: dict[str, Any] = {"old": change.old, "new": change.new, "before": before.facts}
    if "time" in condition.roots:
        variables["time"] = EPOCH + dt.timedelta(milliseconds=change.time)
    if "cart" in condition.roots:
        variables["cart"] = step.state.baskets.view("", Prices(step.world.surroundings, change.time))
    if "customer" in condition.roots:
        variables["customer"] = step.customer(condition)
    return condition.holds(variables, seen)
