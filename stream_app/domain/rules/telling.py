"""What a decision says: about which trigger, when, why, by which events, and what goes along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.rules.decision import Action, Because, Decision, HeldBack
from stream_app.domain.rules.paths import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.domain.rules.decision import Retracted
    from stream_app.domain.rules.plan import Plan
    from stream_app.domain.rules.state import EventRef, Occurrence, Row


def about(
    plan: Plan, one: Occurrence, row: Row, action: Action, at: int, reason: str, channels: Iterable[str]
) -> Decision:
    """Return that a trigger which is due is sent, or held back.

    Args:
        plan: its rule's.
        one: what is due, as it was judged.
        row: the trigger's in the ledger.
        action: FIRE or HELD_BACK.
        at: when (ms).
        reason: why it is held back.
        channels: where it is sent, the best first, or would have been.
    """
    rule, instance = plan.rule, one.instance
    events = [*instance.steps, instance.opened, *instance.kept]
    if instance.then is not None:
        events.append(instance.then)
    if one.closed is not None and reason == HeldBack.PAST:
        events.append(one.closed)
    return Decision(
        one.trigger_id,
        action,
        rule.name,
        rule.version,
        instance.key,
        rule.purpose,
        [name for name in channels if name],
        one.due,
        at,
        instance.opened.event_id,
        str(reason),
        Because(events, instance.kept_count, one.values, _said(plan, one)),
        _payload(plan, one) if action == Action.FIRE else {},
        row.number,
    )


def taken_back(
    plan: Plan, trigger: str, row: Row, reason: Retracted, closed: EventRef | None, values: dict[str, Any]
) -> Decision:
    """Return that a trigger which was sent is taken back, as its row in the ledger says by now.

    `closed`: what closed it, where that is why. `values`: what `if` saw, where it was judged again.
    """
    rule = plan.rule
    return Decision(
        trigger,
        Action.RETRACT,
        rule.name,
        rule.version,
        row.key,
        rule.purpose,
        [row.channel] if row.channel else [],
        row.due,
        row.changed,
        row.opened.event_id,
        str(reason),
        Because([row.opened, *([closed] if closed else [])], 0, values),
        {},
        row.number,
    )


def _said(plan: Plan, one: Occurrence) -> dict[str, str]:
    """Return what was found about sending: in which zone it was judged, on which channels there is consent."""
    consent = ", ".join(name or plan.rule.purpose for name in one.channels)
    return {"consent": consent, "time_zone": one.zone}


def _payload(plan: Plan, one: Occurrence) -> dict[str, Any]:
    """Look up what the rule wants to go along; what there isn't stays out."""
    instance = one.instance
    variables = {
        "customer": one.customer,
        "opened": instance.facts,
        "last": instance.last,
        "first": instance.first,
        "cart": one.cart,
        "store": one.store,
        "stock": one.stock,
        "weather": one.weather,
        "season": one.season,
        "now": one.now,
    }
    if instance.revised is not None:
        instance.revised.show(variables)
    found = {name: resolve(tuple(name.split(".")), variables) for name in plan.rule.payload}
    return {name: value for name, value in found.items() if value is not None}
