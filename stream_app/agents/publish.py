"""What customers' changes look like on the output topics: domain values -> the fields of `schemas/avro`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.event import ChannelEvent
from stream_app.domain.numbers import BY_NAME
from stream_app.domain.rules import Action
from stream_app.wire import window_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.customer import Customer
    from stream_app.domain.effects import IdentityChange
    from stream_app.domain.event import Event
    from stream_app.domain.numbers import Cell
    from stream_app.domain.rules import Decision, Difference
    from stream_app.domain.segments import Crossing

MAX_EVIDENCE = 50
"""Links of evidence that a trigger carries; more stay readable in the component."""
_LONG_MIN, _LONG_MAX = -(1 << 63), (1 << 63) - 1


def channel_event(event: Event) -> ChannelEvent:
    """Return the published form of an event that is published again: its identifiers are the normalised ones."""
    identifiers: dict[str, Any] = {}
    for identifier in event.identifiers:
        namespace, _, value = identifier.partition(":")
        known = identifiers.get(namespace)
        if known is None:
            identifiers[namespace] = value
        else:
            identifiers[namespace] = [*(known if isinstance(known, list) else [known]), value]
    return ChannelEvent(
        event.event_id,
        event.time,
        event.channel,
        event.type,
        identifiers,
        event.properties,
        received_at=event.received,
        context=event.context,
    )


def change_fields(change: IdentityChange) -> dict[str, Any]:
    """Return the fields of a change of customers."""
    cause = change.cause
    strongest = cause.evidence[0] if cause.evidence else ""
    # A command about one identifier names it, as both ends.
    others = cause.evidence[1:] or (cause.evidence if cause.command_id is not None else ())
    return {
        "change": change.change.value,
        "from": list(change.previous),
        "into": list(change.into),
        "time": cause.time,
        "cause": {
            "event_id": cause.event_id,
            "evidence": [{"a": strongest, "b": other} for other in others],
            "command_id": cause.command_id,
            "operator": cause.operator,
            "reason": cause.reason,
        },
    }


def segment_fields(customer_id: str, crossing: Crossing) -> dict[str, Any]:
    """Return the fields of an entry into a segment, or an exit."""
    return {
        "customer_id": customer_id,
        "segment": crossing.segment,
        "version": crossing.version,
        "action": crossing.action.value,
        "time": crossing.time,
        "values": crossing.values,
    }


def addresses(identifiers: Iterable[str], namespaces: Mapping[str, str]) -> dict[str, list[str]]:
    """Return channel -> addresses, among a customer's identifiers; `namespaces` maps namespace -> channel."""
    found: dict[str, list[str]] = {}
    for identifier in identifiers:
        namespace, _, value = identifier.partition(":")
        channel = namespaces.get(namespace)
        if channel is not None:
            found.setdefault(channel, []).append(value)
    return found


def trigger_fields(
    decision: Decision,
    customer: Customer,
    reachable: dict[str, list[str]],
    evidence: list[dict[str, str]],
) -> dict[str, Any]:
    """Return the fields of a trigger message."""
    because = decision.because
    return {
        "trigger_id": decision.trigger_id,
        "action": decision.action,
        "rule": decision.rule,
        "version": decision.version,
        "key": key_text(decision),
        "purpose": decision.purpose,
        "customer_id": customer.id,
        "addresses": reachable,
        "due": decision.due,
        "sent": decision.sent,
        "opened_by": decision.opened_by,
        "payload": decision.payload,
        "because": {
            "events": [
                {"event_id": e.event_id, "time": e.time, "type": e.type, "role": e.role}
                for e in because.events
            ],
            "values": because.values,
            "decision": {**because.sending, **({"reason": decision.reason} if decision.reason else {})},
            "evidence": evidence,
        },
    }


def decision_fields(
    decision: Decision, customer_id: str, decided_at: int, counted_at: int | None
) -> dict[str, Any]:
    """Return the fields of a record of a decision."""
    return {
        "trigger_id": decision.trigger_id,
        "rule": decision.rule,
        "version": decision.version,
        "key": key_text(decision),
        "customer_id": customer_id,
        "due": decision.due,
        "decided_at": decided_at,
        "outcome": {"fire": "fired", "retract": "retracted"}.get(decision.action, decision.action),
        "reason": decision.reason or None,
        "opened_by": decision.opened_by,
        "counted_at": counted_at,
        "channel": None if decision.action is Action.HELD_BACK else decision.first_channel,
    }


def difference_fields(difference: Difference, customer_id: str, decided_at: int) -> dict[str, Any]:
    """Return the fields of a record of how shadow rules differ."""
    return {
        "rule": difference.rule,
        "shadow_version": difference.shadow_version,
        "live_version": difference.live_version,
        "customer_id": customer_id,
        "opened_by": difference.opened_by,
        "number": difference.number,
        "outcome": difference.outcome.value,
        "due": difference.due,
        "sent": difference.sent,
        "decided_at": decided_at,
        "reason": difference.reason or None,
        "values": difference.values,
    }


def number_fields(cell: Cell, amount: int) -> dict[str, Any]:
    """Return the fields of a figure: what a cell has come to, 0 too.

    Ten orders of the largest amount that is taken are more than 64 bits hold, and no figure stops the road: then it is
    the nearest that fits.
    """
    number = BY_NAME[cell.number]
    return {
        "number": cell.number,
        "window": window_text(cell),
        "dimensions": dict(zip(number.dimensions, cell.dimensions, strict=True)),
        "unit": number.unit.value,
        "value": min(max(amount, _LONG_MIN), _LONG_MAX),
    }


def key_text(decision: Decision) -> str:
    """Return an instance's key as text: its values with "/" between, empty where there is one per customer."""
    return "/".join("" if value is None else str(value) for value in decision.key)
