"""Settling: bring what was sent into agreement with what the fold justifies now.

The fold says which triggers are due; the ledger says which were sent. What was sent and isn't justified is
taken back; what is justified and wasn't sent is judged, in this order: `if`, lateness, consent, suppression,
address, quiet hours, caps, the rule's own `at_most`. Called with the clock (nothing before it is outstanding) and
with where the clock stood when the newest event was read: a due time not before that is on time however late the
worker is, so a replay decides as life did.
(RULES.md calls what is due exactly where the clock stood late by nothing; it could not have been sent before,
a timer waits for the clock to pass its time, and its sending time is the due time either way.)

Nothing happens about triggers that are due at or before a rule's `silent` mark (state.py): they are too old
to be sent and too old to be taken back, whatever a merge or a replay years later finds.

What is decided for good (`_is_for_good`) leaves the fold when it has been settled; its row `stands` for it: it
isn't taken back for being absent, and counts among the elapsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.rules.decision import Action, Decision, HeldBack, Retracted
from stream_app.domain.rules.limits import at_most, with_room
from stream_app.domain.rules.model import FOREVER
from stream_app.domain.rules.plan import Plan  # noqa: TC001 - msgspec reads it at run time
from stream_app.domain.rules.state import FIRED, HELD, RETRACTED, Occurrence, Row, RulesState
from stream_app.domain.rules.telling import about, taken_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.sending import SendingPolicy
    from stream_app.domain.rules.state import Instance

MAX_ELAPSED = 256
"""Elapsed instances per rule and customer; of more, the oldest become history."""
_NEVER = -FOREVER


class Moment(msgspec.Struct):
    """What settling goes by, beside the state.

    Attributes:
        clock: now, ms: no event before it is outstanding.
        stood: where the clock stood at the source when the event at hand was read, ms.
        profile: as of the last event folded.
        identifiers: gives the customer's identifiers; asked only if something is to be sent.
    """

    clock: int
    stood: int
    profile: Profile | None
    identifiers: Callable[[], Iterable[str]]


class _Finding(msgspec.Struct):
    """A trigger that is due."""

    plan: Plan
    occurrence: Occurrence


class Settler:
    """Settles states that were folded by the same plans."""

    def __init__(self, plans: Mapping[str, Plan], policy: SendingPolicy) -> None:
        """Take the plans by rule id, and the policy."""
        self.plans = plans
        self.policy = policy

    def settled(self, state: RulesState, clock: int) -> bool:
        """Tell whether there is nothing to decide at this clock."""
        return not state.stale and state.next_at >= clock

    def settle(self, state: RulesState, moment: Moment) -> list[Decision]:
        """Decide everything that is due before the clock, in the order of sending. Changes `state` in place."""
        if self.settled(state, moment.clock):
            return []
        return _Settlement(self, state, moment).run()


class _Settlement:
    """One settling of one customer."""

    def __init__(self, settler: Settler, state: RulesState, moment: Moment) -> None:
        self.plans = settler.plans
        self.policy = settler.policy
        self.state = state
        self.ledger = state.ledger
        self.clock = moment.clock
        self.stood = min(moment.stood, moment.clock)
        self.profile = moment.profile
        self.decisions: list[Decision] = []
        self._identifiers = moment.identifiers
        self._known: frozenset[str] | None = None

    def run(self) -> list[Decision]:
        found = {finding.occurrence.trigger_id: finding for finding in self.findings()}
        self.retract(found)
        for finding in sorted(found.values(), key=self.order):
            self.decide(finding)
        self.forget()
        self.decisions.sort(key=lambda decision: decision.sent)
        return self.decisions

    def order(self, finding: _Finding) -> tuple[int, float, str, int, str, int]:
        """Return the order in which triggers are judged: by sending time, then the more important rule."""
        rule, one = finding.plan.rule, finding.occurrence
        at, opened = self.clock if one.at < self.stood else one.at, one.instance.opened
        return (at, -rule.priority, rule.name, opened.time, opened.event_id, one.number)

    def findings(self) -> Iterator[_Finding]:
        """Yield what is due before the clock; an open instance is judged as if it elapsed, and stays open.

        An event at or before its due time may still come in order, and then counts.
        """
        state, clock = self.state, self.clock
        for rule_id, instances in state.open.items():
            plan = self.plans.get(rule_id)
            if plan is not None:
                silent = self.silent(plan)
                for instance in instances.values():
                    yield from self.of_open(plan, instance, silent)
        for rule_id, elapsed in state.elapsed.items():
            plan = self.plans.get(rule_id)
            if plan is not None:
                silent = self.silent(plan)
                for one in elapsed:
                    if silent < one.latest and one.due < clock:
                        yield _Finding(plan, one)

    def of_open(self, plan: Plan, instance: Instance, silent: int) -> Iterator[_Finding]:
        """Yield what is due of an open instance, later than `silent`."""
        state, clock, profile = self.state, self.clock, self.profile
        for held in instance.held:
            if silent < held.latest:
                again = held if held.at >= clock else plan.judge_again(state, held, clock, profile)
                yield _Finding(plan, again)
        for number, due in plan.dues(instance, clock, silent, profile):
            yield _Finding(plan, plan.judge(state, instance, number, due, clock, profile))

    def silent(self, plan: Plan) -> int:
        """Return the due time up to which this rule's triggers are history."""
        return max(self.ledger.silent.get(plan.id, _NEVER), self.stood - plan.memory)

    # -- what was sent ----------------------------------------------------------------------------------

    def retract(self, found: Mapping[str, _Finding]) -> None:
        """Take back what was sent and isn't justified any more, while the rule allows it."""
        for trigger, row in self.ledger.rows.items():
            plan = self.plans.get(row.rule_id)
            if row.status != FIRED or row.stands or plan is None or row.due <= self.silent(plan):
                continue
            finding = found.get(trigger)
            if finding is not None:
                row.due = finding.occurrence.due
                if finding.occurrence.passed:
                    continue
            # Judged by where the clock stood: a replay's clock may leap while what contradicts is on its way.
            if self.stood - row.sent > plan.rule.retract_within:
                continue
            if finding is not None:
                row.reasons.append(HeldBack.CONDITION)
                reason = Retracted.CONDITION
            elif self.is_pending(plan, trigger, row):
                reason = Retracted.MOVED
            else:
                reason = Retracted.CLOSED if trigger in self.state.closed else Retracted.UNJUSTIFIED
            row.status, row.changed, row.wake = RETRACTED, self.clock, 0
            row.until = max(row.until, self.stood + plan.memory)
            closed = self.state.closed.get(trigger) if reason == Retracted.CLOSED else None
            values = {} if finding is None else finding.occurrence.values
            self.decisions.append(taken_back(plan, trigger, row, reason, closed, values))

    def is_pending(self, plan: Plan, trigger: str, row: Row) -> bool:
        """Tell whether a trigger is yet to come: its instance is open."""
        instances = self.state.open.get(plan.id, {}).values()
        return any(plan.trigger_id(one, row.number) == trigger for one in instances if not one.over)

    # -- what is due ------------------------------------------------------------------------------------

    def decide(self, finding: _Finding) -> None:
        """Send or hold back one trigger that is due, if that wasn't decided before."""
        plan, one = finding.plan, finding.occurrence
        row = self.ledger.rows.get(one.trigger_id)
        if row is not None and row.status == FIRED:
            return
        if row is None:
            if self.was_sent(plan, one):
                return
            row = self.new_row(plan, one)
        elif row.status == HELD and row.due == one.due and not row.wake and not self.is_news(row, one):
            return
        waited = row.wake
        known, row.due, row.wake = waited > 0, one.due, 0
        row.until = max(row.until, one.latest + plan.memory)
        # What quiet hours held was known in time, and is late only if the end of these is.
        ready = max(one.at, waited)
        since = ready if known else one.due
        late = since < self.stood
        again = late or ready > one.at
        reason = self.unfit(finding, since, late=late, again=again)
        at = self.clock if late else ready
        # The fold has found hours that aren't quiet at `one.at`; at another time they may be, in another zone by now.
        free = self.policy.quiet_until(at, finding.occurrence.zone) if again else at
        if reason is not None:
            self.hold_back(finding, row, at, reason)
        elif at >= self.clock and not late:
            self.hold(finding, row, at, one.due)
        elif free > at:
            self.hold(finding, row, free, at)
            if row.wake and free < self.clock:  # the clock has leapt over these, too
                finding.occurrence = one
                self.decide(finding)
        else:
            if at > one.due and not late and not known:  # the clock has leapt over the quiet hours
                self.hold_back(finding, row, one.due, HeldBack.QUIET_HOURS)
            self.send(finding, row, at)

    def is_news(self, row: Row, one: Occurrence) -> bool:
        """Tell whether what was held back must be looked at again: late events have changed the verdict of `if`.

        Whatever else held it back did so for good, even if there is consent or room later.
        """
        return one.passed and not _is_called_off(row)

    def was_sent(self, plan: Plan, one: Occurrence) -> bool:
        """Tell whether a trigger is history, or another version of the rule sent it."""
        if self.ledger.is_history(plan.id, one.trigger_id):
            return True
        opened = one.instance.opened.event_id
        return any(
            row.status == FIRED
            and row.rule == plan.rule.name
            and row.version != plan.rule.version
            and row.opened.event_id == opened
            and row.number == one.number
            for row in self.ledger.rows.values()
        )

    def new_row(self, plan: Plan, one: Occurrence) -> Row:
        rule, instance = plan.rule, one.instance
        row = Row(
            rule.name,
            rule.id,
            rule.version,
            instance.key,
            instance.group,
            one.number,
            one.due,
            instance.opened,
            rule.purpose,
            not rule.ignore_caps,
        )
        self.ledger.rows[one.trigger_id] = row
        return row

    def unfit(self, finding: _Finding, since: int, *, late: bool, again: bool) -> HeldBack | None:
        """Judge `if`; `again`: by all that is known now, a closing event too; `late`: not after the rule's grace."""
        one = finding.occurrence
        if not one.passed:
            return HeldBack.CONDITION
        if not again:
            return None
        if late and self.stood - since > finding.plan.rule.grace:
            return HeldBack.PAST
        if one.closed is not None and (late or one.closed.time <= since):
            return HeldBack.PAST
        finding.occurrence = finding.plan.refresh(self.state, one, self.clock, self.profile)
        return None if finding.occurrence.passed else HeldBack.CONDITION

    def unreachable(self, finding: _Finding) -> tuple[list[str], HeldBack | None]:
        """Return the channels by which the customer may and can be reached, or why there is none."""
        channels = finding.occurrence.channels
        if not channels:
            return [], HeldBack.CONSENT
        if self.policy.suppressed and not self.policy.suppressed.isdisjoint(self.identifiers()):
            return [], HeldBack.SUPPRESSED
        addresses = self.policy.addresses
        if addresses is None or not finding.plan.rule.channel:
            return channels, None
        reached = {addresses.get(name.partition(":")[0]) for name in self.identifiers()}
        found = [channel for channel in channels if channel in reached]
        return found, None if found else HeldBack.NO_ADDRESS

    def identifiers(self) -> frozenset[str]:
        if self._known is None:
            self._known = frozenset(self._identifiers())
        return self._known

    def hold(self, finding: _Finding, row: Row, until: int, at: int) -> None:
        """Hold a trigger to the end of quiet hours, unless it can't be sent anyway."""
        reason = self.unreachable(finding)[1]
        if reason is None:
            row.wake = until
            row.until = max(row.until, until + finding.plan.memory)
        self.hold_back(finding, row, at, HeldBack.QUIET_HOURS if reason is None else reason)

    def send(self, finding: _Finding, row: Row, at: int) -> None:
        """Send a trigger, if the customer can be reached and no cap is in the way."""
        plan, one = finding.plan, finding.occurrence
        channels, reason = self.unreachable(finding)
        if reason is None:
            channels, reason = with_room(self.policy, self.ledger, plan.rule, channels, at, one.zone)
        if reason is None:
            reason = at_most(self.ledger, plan.rule, one.instance.group, at)
        if reason is not None:
            self.hold_back(finding, row, at, reason)
            return
        row.status, row.sent, row.changed, row.channel = FIRED, at, self.clock, channels[0]
        row.until = max(row.until, at + plan.horizon)
        self.decisions.append(about(plan, one, row, Action.FIRE, at, "", channels))

    def hold_back(self, finding: _Finding, row: Row, at: int, reason: HeldBack) -> None:
        """Record why nothing is sent, each reason once."""
        if reason in row.reasons:
            return
        if reason == HeldBack.PAST and row.status == HELD and set(row.reasons) - {HeldBack.CONDITION}:
            return  # it was held back for another reason than that it came too late
        row.reasons.append(reason)
        plan, one = finding.plan, finding.occurrence
        self.decisions.append(about(plan, one, row, Action.HELD_BACK, at, reason, plan.rule.channel))

    # -- afterwards -------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Note what was settled, and let go of what is decided for good, and of what can't matter any more."""
        state, silent, rows = self.state, self.ledger.silent, self.ledger.rows
        for rule_id, plan in self.plans.items():
            elapsed = state.elapsed.get(rule_id)
            if elapsed is None and rule_id not in silent and rule_id not in state.open:
                continue
            past = self.silent(plan)
            if len(elapsed or ()) + len(rows) > MAX_ELAPSED:
                past = max(past, self.crowded_out(rule_id, elapsed or ()))
            silent[rule_id] = past
            if elapsed is not None:
                left = [one for one in elapsed if one.latest > past and not self.stands_for(one)]
                state.elapsed[rule_id] = left
                if not left:
                    del state.elapsed[rule_id]
        for row in rows.values():
            row.stands = row.stands and row.latest > silent[row.rule_id]
        self.ledger.prune(self.stood)
        for trigger in state.closed.keys() - rows.keys():
            del state.closed[trigger]
        state.judged = max((row.judged for row in rows.values()), default=_NEVER)
        state.next_at = min(self.next_dues(), default=FOREVER)
        state.stale = False

    def stands_for(self, one: Occurrence) -> bool:
        """Have an occurrence's row stand for it, if there is one that says all there is to say."""
        row = self.ledger.rows.get(one.trigger_id)
        if row is None or not _is_for_good(row, one):
            return False
        row.stands = True
        return True

    def crowded_out(self, rule_id: str, elapsed: Sequence[Occurrence]) -> int:
        """Return the due time up to which elapsed instances of a rule must go; only settled ones do."""
        dues = [one.latest for one in elapsed]
        dues += [row.latest for row in self.ledger.rows.values() if row.stands and row.rule_id == rule_id]
        if len(dues) <= MAX_ELAPSED:
            return _NEVER
        return min(sorted(dues)[-MAX_ELAPSED - 1], self.clock - 1)

    def next_dues(self) -> Iterator[int]:
        """Yield when something is to be decided next."""
        for row in self.ledger.rows.values():
            if row.status != FIRED and row.wake >= self.clock:
                yield row.wake
        state, clock = self.state, self.clock  # events may have come that are ahead of the clock
        for elapsed in state.elapsed.values():
            yield from (one.due for one in elapsed if one.due >= clock)
        for rule_id, instances in state.open.items():
            plan = self.plans.get(rule_id)
            for instance in instances.values() if plan is not None else ():
                yield from (held.due for held in instance.held if held.due >= clock)
                due = None if plan is None else plan.next_due(instance, clock, self.profile)
                if due is not None:
                    yield due


def _is_called_off(row: Row) -> bool:
    """Tell whether a row's trigger is held back for good: by more than `if`, whose verdict late events change."""
    return bool(set(row.reasons) - {HeldBack.CONDITION})


def _is_for_good(row: Row, one: Occurrence) -> bool:
    """Tell whether settling an occurrence once more would do nothing, now or at any later time.

    What was sent, and is justified, stays sent; what was held back for good stays held back, and so does what the
    rule's `if` is against. Not so what was taken back, what quiet hours hold, and what `if` was against only when it
    was found late. None of this depends on the clock, the profile or other rows; a late event that changes the
    occurrence has the timeline folded again.
    """
    if row.due != one.due or row.wake:
        return False
    if row.status == FIRED:
        return one.passed
    return row.status == HELD and (not one.passed or _is_called_off(row))
