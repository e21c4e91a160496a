"""Settling: bring what was sent into agreement with what the fold justifies now.

The fold says which triggers are due; the ledger says which were sent. What was sent and isn't justified is
taken back; what is justified and wasn't sent is judged: `if`, lateness, then the gates in their order. Called
with the clock (nothing before it is outstanding) and with where the clock stood when the newest event was
read: a due time not before that is on time however late the worker is, so a replay decides as life did.
(RULES.md calls what is due exactly where the clock stood late by nothing; it could not have been sent before,
a timer waits for the clock to pass its time, and its sending time is the due time either way.)

Nothing happens about triggers that are due at or before a rule's `silent` mark (state.py): they are too old
to be sent and too old to be taken back, whatever a merge or a replay years later finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.rules.conditions import resolve
from stream_app.domain.rules.decision import Action, Because, Decision, HeldBack, Retracted
from stream_app.domain.rules.fold import Plan  # noqa: TC001 - msgspec reads it at run time
from stream_app.domain.rules.model import FOREVER, Rule
from stream_app.domain.rules.state import FIRED, HELD, RETRACTED, Instance, Ledger, Row, RulesState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_ELAPSED = 256
"""Elapsed instances per rule and customer; of more, the oldest become history."""
_NEVER = -FOREVER


class Proposal(msgspec.Struct):
    """A trigger about to be sent, for the gates. They may narrow `channel`.

    `at` is when it would be sent (ms), `clock` now. `view` is the customer as the caller sees it.
    """

    rule: Rule
    instance: Instance
    ledger: Ledger
    at: int
    clock: int
    channel: list[str]
    view: Mapping[str, Any]


Gate = Callable[[Proposal], str | None]
"""Says why a proposal must not be sent, or None. Gates are judged in order; the first reason counts."""


class _Finding(msgspec.Struct):
    """A trigger that is due. `passed`: the verdict of `if` at the due time."""

    plan: Plan
    instance: Instance
    passed: bool
    values: dict[str, Any]
    cart: dict[str, Any] | None

    @property
    def order(self) -> tuple[int, float, str, str]:
        """The order in which triggers are judged: by due time, then the more important rule."""
        rule = self.plan.rule
        return (self.instance.due, -rule.priority, rule.name, self.instance.trigger_id)


def at_most(proposal: Proposal) -> str | None:
    """Hold back what exceeds the rule's `at_most`: sends of all its versions count, retracted ones don't."""
    limit = proposal.rule.at_most
    if limit is None:
        return None
    since = _NEVER if limit.per is None else proposal.at - limit.per
    token = proposal.instance.token
    count = sum(
        row.status == FIRED
        and row.rule == proposal.rule.name
        and row.sent > since
        and (not limit.per_key or row.token == token)
        for row in proposal.ledger.rows.values()
    )
    return HeldBack.AT_MOST if count >= limit.times else None


class Settler:
    """Settles states that were folded by the same plans."""

    def __init__(self, plans: Mapping[str, Plan], gates: Sequence[Gate]) -> None:
        """Take the plans by rule id, and the gates in their order."""
        self.plans = plans
        self.gates = tuple(gates)

    def next_due(self, state: RulesState) -> int | None:
        """Return the earliest due time (ms) that was not yet decided about."""
        ledger = state.ledger
        earliest = FOREVER
        for rule_id, instance in _instances(state):
            due = instance.due
            if due < earliest and due > ledger.silent.get(rule_id, _NEVER):
                row = ledger.rows.get(instance.trigger_id)
                if row is None or row.due != due:
                    earliest = due
        return None if earliest == FOREVER else earliest

    def settled(self, state: RulesState, clock: int) -> bool:
        """Tell whether there is nothing to decide at this clock."""
        if state.stale:
            return False
        due = self.next_due(state)
        return due is None or due >= clock

    def settle(self, state: RulesState, clock: int, stood: int, view: Mapping[str, Any]) -> list[Decision]:
        """Decide everything that is due before `clock`, in the order of sending. Changes `state` in place."""
        if self.settled(state, clock):
            return []
        return _Settlement(self, state, clock, min(stood, clock), view).run()


class _Settlement:
    """One settling of one customer."""

    def __init__(
        self, settler: Settler, state: RulesState, clock: int, stood: int, view: Mapping[str, Any]
    ) -> None:
        self.plans = settler.plans
        self.gates = settler.gates
        self.state = state
        self.ledger = state.ledger
        self.clock = clock
        self.stood = stood
        self.view = view
        self.decisions: list[Decision] = []

    def run(self) -> list[Decision]:
        found = {finding.instance.trigger_id: finding for finding in self.findings()}
        self.retract(found)
        for finding in sorted(found.values(), key=lambda finding: finding.order):
            self.decide(finding)
        self.forget()
        self.decisions.sort(key=lambda decision: decision.sent)
        return self.decisions

    def findings(self) -> Iterator[_Finding]:
        """Yield what is due before the clock; an open instance is judged as if it elapsed, and stays open.

        An event at or before its due time may still come in order, and then counts.
        """
        for rule_id, instance in _instances(self.state):
            plan = self.plans.get(rule_id)
            if plan is None or instance.due >= self.clock or instance.due <= self.silent(plan):
                continue
            if instance.passed is None:
                yield _Finding(plan, instance, *plan.judge(self.state, instance))
            else:
                yield _Finding(plan, instance, instance.passed, instance.values, instance.cart)

    def silent(self, plan: Plan) -> int:
        """Return the due time up to which this rule's triggers are history."""
        return max(self.ledger.silent.get(plan.id, _NEVER), self.stood - plan.rule.memory)

    def retract(self, found: Mapping[str, _Finding]) -> None:
        """Take back what was sent and isn't justified any more, while the rule allows it."""
        pending = {instance.trigger_id for _, instance in _instances(self.state)} - found.keys()
        for trigger, row in self.ledger.rows.items():
            plan = self.plans.get(row.rule_id)
            if row.status != FIRED or plan is None or row.due <= self.silent(plan):
                continue
            finding = found.get(trigger)
            if finding is not None:
                row.due = finding.instance.due
                if finding.passed:
                    continue
            # Judged by where the clock stood: a replay's clock may leap while what contradicts is on its way.
            if self.stood - row.sent > plan.rule.retract_within:
                continue
            if finding is not None:
                row.reasons.append(HeldBack.CONDITION)
                reason = Retracted.CONDITION
            elif trigger in pending:
                reason = Retracted.MOVED
            else:
                reason = Retracted.CLOSED if trigger in self.state.closed else Retracted.UNJUSTIFIED
            row.status, row.changed = RETRACTED, self.clock
            row.until = max(row.until, self.stood + plan.rule.memory)
            self.decisions.append(self.taken_back(plan.rule, trigger, row, reason, finding))

    def decide(self, finding: _Finding) -> None:
        """Send or hold back one trigger that is due, if that wasn't decided before."""
        rule, instance = finding.plan.rule, finding.instance
        row = self.ledger.rows.get(instance.trigger_id)
        if row is not None and row.status == FIRED:
            return
        fenced = row is None and self.ledger.is_fenced(rule.id, instance)
        if row is None:
            row = Row(
                rule.name, rule.id, rule.version, instance.key, instance.token, instance.due, instance.opened
            )
            self.ledger.rows[instance.trigger_id] = row
        row.due = instance.due
        row.until = max(row.until, instance.due + rule.memory)
        late = instance.due < self.stood
        at = self.clock if late else instance.due
        channel = list(rule.channel)
        reason = self.old(finding, late=late)
        if reason is None and not fenced:
            proposal = Proposal(rule, instance, self.ledger, at, self.clock, channel, self.view)
            reason = next((why for gate in self.gates if (why := gate(proposal)) is not None), None)
            channel = proposal.channel
        if fenced:
            return
        if reason is None:
            row.status, row.sent, row.changed = FIRED, at, self.clock
            row.until = max(row.until, at + rule.horizon)
            self.decisions.append(self.about(finding, Action.FIRE, at, "", channel))
        elif reason not in row.reasons and not (
            reason == HeldBack.PAST and row.status == HELD and row.reasons
        ):
            row.reasons.append(reason)
            self.decisions.append(self.about(finding, Action.HELD_BACK, at, reason, channel))

    def old(self, finding: _Finding, *, late: bool) -> str | None:
        """Judge `if`, and what is found late: with all that is known now, and not after the rule's grace."""
        if not finding.passed:
            return HeldBack.CONDITION
        if not late:
            return None
        instance = finding.instance
        if self.stood - instance.due > finding.plan.rule.grace or instance.closed is not None:
            return HeldBack.PAST
        passed, finding.values, finding.cart = finding.plan.judge(self.state, instance)
        return None if passed else HeldBack.CONDITION

    def about(self, finding: _Finding, action: Action, at: int, reason: str, channel: list[str]) -> Decision:
        rule, instance = finding.plan.rule, finding.instance
        events = [instance.opened, *instance.kept]
        if instance.closed is not None and reason == HeldBack.PAST:
            events.append(instance.closed)
        return Decision(
            instance.trigger_id,
            action,
            rule.name,
            rule.version,
            instance.key,
            rule.purpose,
            channel,
            instance.due,
            at,
            instance.opened.event_id,
            str(reason),
            Because(events, instance.kept_count, finding.values),
            self.payload(finding) if action == Action.FIRE else {},
        )

    def taken_back(
        self, rule: Rule, trigger: str, row: Row, reason: Retracted, finding: _Finding | None
    ) -> Decision:
        closed = self.state.closed.get(trigger) if reason == Retracted.CLOSED else None
        return Decision(
            trigger,
            Action.RETRACT,
            rule.name,
            rule.version,
            row.key,
            rule.purpose,
            list(rule.channel),
            row.due,
            self.clock,
            row.opened.event_id,
            str(reason),
            Because([row.opened, *([closed] if closed else [])], 0, finding.values if finding else {}),
            {},
        )

    def payload(self, finding: _Finding) -> dict[str, Any]:
        """Look up what the rule wants to go along; what there isn't stays out."""
        instance = finding.instance
        variables = {**self.view, "opened": instance.facts, "last": instance.last, "cart": finding.cart}
        found = {name: resolve(tuple(name.split(".")), variables) for name in finding.plan.rule.payload}
        return {name: value for name, value in found.items() if value is not None}

    def forget(self) -> None:
        """Note what was settled, and let go of what can't matter any more."""
        state, silent = self.state, self.ledger.silent
        for rule_id, plan in self.plans.items():
            past = self.silent(plan)
            elapsed = state.elapsed.get(rule_id)
            if elapsed is not None and len(elapsed) > MAX_ELAPSED:
                past = max(past, _crowded_out(elapsed, self.clock))
            if elapsed is None and rule_id not in silent and rule_id not in state.open:
                continue
            silent[rule_id] = past
            if elapsed is not None:
                left = [instance for instance in elapsed if instance.due > past]
                state.elapsed[rule_id] = left
                if not left:
                    del state.elapsed[rule_id]
        self.ledger.prune(self.stood)
        for trigger in state.closed.keys() - self.ledger.rows.keys():
            del state.closed[trigger]
        state.judged = max((row.due for row in self.ledger.rows.values()), default=_NEVER)
        state.stale = False


def _crowded_out(elapsed: list[Instance], clock: int) -> int:
    """Return the due time up to which elapsed instances must go; only settled ones do."""
    dues = sorted(instance.due for instance in elapsed)
    return min(dues[-MAX_ELAPSED - 1], clock - 1)


def _instances(state: RulesState) -> Iterator[tuple[str, Instance]]:
    """Yield every instance with its rule's id."""
    for rule_id, instances in state.open.items():
        for instance in instances.values():
            yield rule_id, instance
    for rule_id, elapsed in state.elapsed.items():
        for instance in elapsed:
            yield rule_id, instance
