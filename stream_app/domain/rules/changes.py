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
from stream_app.domain.rules.regions import PRICE, PRICES, PRODUCT, prices_in, regions_of, row_in
from stream_app.domain.rules.state import Partial, Revised
from stream_app.domain.rules.surroundings import Prices

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.applying import World
    from stream_app.domain.rules.conditions import Condition
    from stream_app.domain.rules.model import Reference
    from stream_app.domain.rules.plan import Plan
    from stream_app.domain.rules.state import Before, RulesState
    from stream_app.domain.rules.surroundings import Surroundings

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
    if reference.kind != change.kind:
        return False
    regions = prices_in(change.old).keys() if change.kind == PRODUCT else ()
    if change.kind == PRODUCT and regions != prices_in(change.new).keys():
        # Where a region's price comes or goes, what one sees before and after may be of two regions.
        return reference.field == PRICE or looks_at(reference, change)
    return _opens(reference, change) or any(
        _opens(reference, _seen_in(change, (region,))) for region in regions
    )


def _opens(reference: Reference, change: Change) -> bool:
    """Tell whether a change may open a rule, for who sees it so."""
    condition = reference.condition
    if not looks_at(reference, change):
        return False
    if condition is None or not condition.roots <= _OF_ROWS:
        return True
    return condition.holds({"old": change.old, "new": change.new}, None)


def _seen_in(change: Change, regions: Sequence[str]) -> Change:
    return change._replace(old=row_in(change.old, regions), new=row_in(change.new, regions))


def as_seen(surroundings: Surroundings, state: RulesState, change: Change, profile: Profile | None) -> Change:
    """Return a change as a customer sees it: a product has the price of her region, before and after."""
    if change.kind != PRODUCT or (PRICES not in change.old and PRICES not in change.new):
        return change
    return _seen_in(change, regions_of(state, profile, surroundings, change.time))


def apply_change(
    world: World, plan: Plan, state: RulesState, change: Change, profile: Profile | None
) -> None:
    """Open an instance, if the change concerns the customer and is one that the rule wants."""
    reference, before = plan.rule.opens.reference, state.before.get(plan.id, {}).get(change.item)
    if reference is None or before is None or reference.kind != change.kind:
        return
    change = as_seen(world.surroundings, state, change, profile)
    if not looks_at(reference, change):
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
        prices = Prices(step.world.surroundings, change.time, step.state, step.profile)
        variables["cart"] = step.state.baskets.view("", prices)
    if "customer" in condition.roots:
        variables["customer"] = step.customer(condition)
    return condition.holds(variables, seen)
