"""The fold: one customer's events, in order, into open and elapsed instances of every rule.

For each event: first everything due before it is judged, with baskets and profile as they stood; then, rule by
rule, the event closes, then fires what waited for it, then keeps, then opens. An event exactly at the due time
still counts. Nothing here knows a clock: whether a due time has passed "now" is settle.py's business.

The profile is folded beside: `elapse` wants it as it was before the event, `step` as it is after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.profile import Profile, apply
from stream_app.domain.profile.whereabouts import position_of
from stream_app.domain.rules import baskets
from stream_app.domain.rules.applying import (
    Listener,
    Step,
    World,
    apply_event,
    expect,
    watch_profile,
)
from stream_app.domain.rules.changes import apply_change, may_open
from stream_app.domain.rules.model import FOREVER, Rule
from stream_app.domain.rules.person import TRAIT_EVENTS, zone_of
from stream_app.domain.rules.places import apply_fix
from stream_app.domain.rules.plan import Plan, skip
from stream_app.domain.rules.regions import NARROW, PRODUCT, WIDE, named_by
from stream_app.domain.rules.state import (
    Instance,
    Ledger,
    RulesState,
    merged,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.domain.event import Event
    from stream_app.domain.rules.changes import Change
    from stream_app.domain.rules.person import Segments
    from stream_app.domain.rules.sending import SendingPolicy
    from stream_app.domain.rules.surroundings import Surroundings

_NEVER = -FOREVER


class Fold:
    """The fold of all rules of a book."""

    def __init__(
        self,
        rules: Sequence[Rule],
        fingerprint: str,
        policy: SendingPolicy,
        segments: Segments,
        surroundings: Surroundings,
    ) -> None:
        """Index the rules by the event types that they listen to."""
        self.plans = {rule.id: Plan(rule, policy, segments, surroundings) for rule in rules}
        self.watched: list[tuple[str, str]] = []
        """(kind, item) of reference data that events folded since this was emptied have made concern a customer."""
        self._world = World(segments, self.watched, surroundings)
        self._policy = policy
        self._fingerprint = fingerprint
        plans = self.plans.values()
        self._with_baskets = any(plan.needs_cart or plan.rule.uses("cart") for plan in plans)
        self._by_profile = tuple(plan for plan in plans if plan.rule.opens.profile is not None)
        self._by_reference = tuple(plan for plan in plans if plan.rule.opens.reference is not None)
        self._references = [one for plan in plans if (one := plan.rule.opens.reference) is not None]
        self._by_place = tuple(plan for plan in plans if plan.rule.near is not None)
        self._by_region = self._with_baskets or any(one.kind == PRODUCT for one in self._references)
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

    def step(  # noqa: C901 - a branch for each concern, on the way of every event
        self, state: RulesState, event: Event, profile: Profile | None = None
    ) -> None:
        """Fold one event that is later than all before it. Changes `state` in place; `profile` has the event."""
        time = event.time
        if state.elapse_at < time:
            self._elapse(state, time, profile)
        listeners = self._listeners.get(event.type)
        if state.judged >= time and (listeners is not None or self._sees_customer):
            state.stale = True
        if self._by_region:
            _watch_region(state, event)
        if self._local:
            self._watch_calendar(state, event, profile)
        if listeners is not None:
            if self._with_baskets and event.type in baskets.EVENT_TYPES:
                state.baskets.apply(event.type, event.properties)
            if listeners:
                step = Step(self._world, state, event, profile)
                for listener in listeners:
                    apply_event(listener, step)
        if self._by_place:
            self._watch_place(state, event, profile)
        if self._by_profile:
            self._watch_profile(state, event, profile)
        state.time = time
        state.event_id = event.event_id

    def revise(self, state: RulesState, change: Change, profile: Profile | None) -> None:
        """Fold one change of reference data that is later than all before it, and no event is behind. In place."""
        time = change.time
        if state.elapse_at < time:
            self._elapse(state, time, profile)
        if state.judged >= time:
            state.stale = True
        state.revised = change.place
        for plan in self._by_reference:
            apply_change(self._world, plan, state, change, profile)

    def concerning(self, state: RulesState) -> Iterator[tuple[str, str, int]]:
        """Yield what concerns a customer: (kind, item, time of her latest event that says so)."""
        for plan in self._by_reference:
            reference = plan.rule.opens.reference
            if reference is not None:
                for item, before in state.before.get(plan.id, {}).items():
                    yield reference.kind, item, before.event.time

    def concerns(self, state: RulesState, change: Change) -> bool:
        """Tell whether a change concerns a customer."""
        return any(
            reference.kind == change.kind and change.item in state.before.get(plan.id, ())
            for plan in self._by_reference
            if (reference := plan.rule.opens.reference) is not None
        )

    def matters(self, change: Change) -> bool:
        """Tell whether a change may open anything for anybody."""
        return any(may_open(reference, change) for reference in self._references)

    def refold(self, events: Iterable[Event], ledgers: Iterable[Ledger] = ()) -> RulesState:
        """Fold a whole timeline, ascending, from nothing; the ledgers of all states before go along."""
        state, profile = self.new_state(merged(ledgers)), Profile()
        for event in events:
            self.elapse(state, event.time, profile)
            apply(profile, event)
            self.step(state, event, profile)
        self.watched.clear()
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

    def _watch_place(self, state: RulesState, event: Event, profile: Profile | None) -> None:
        """Look where she is."""
        if position_of(event) is not None:
            if state.judged >= event.time:
                state.stale = True
            for plan in self._by_place:
                apply_fix(plan, Step(self._world, state, event, profile))

    def _watch_profile(self, state: RulesState, event: Event, profile: Profile | None) -> None:
        """Look at the conditions over the profile that the event may have changed."""
        whole = event.type in TRAIT_EVENTS or state.time == _NEVER
        for plan in self._by_profile:
            if whole or not plan.opens_by_traits:
                watch_profile(plan, Step(self._world, state, event, profile))

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
                    expect(state, instance.due)


def _watch_region(state: RulesState, event: Event) -> None:
    """Note where she buys; what has been decided may have been by other prices: of another region, or another shop."""
    properties = event.properties
    if NARROW in properties or WIDE in properties:
        regions = named_by(properties)
        if regions and regions != state.region:
            state.region = regions
            state.stale |= state.judged >= event.time
            return
    if not state.region and state.judged >= event.time:
        state.stale |= "store_id" in properties or event.type in TRAIT_EVENTS


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
