"""What became of triggers, in words. It shows addresses and identifiers: it is for operators."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stream_app.domain.rules import HeldBack, Retracted
from stream_app.domain.rules.trace import Effect
from stream_app.wire import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.domain.rules.state import Instance, Occurrence
    from stream_app.domain.rules.trace import Trace
    from stream_app.runs.trigger_history import Record, TriggerHistory

HELD_BACK = {
    HeldBack.CONDITION: "the rule's `if` did not hold",
    HeldBack.PAST: "it came to light too late: after the rule's grace, or closed meanwhile",
    HeldBack.CONSENT: "there was no consent for the rule's purpose on any of its channels",
    HeldBack.SUPPRESSED: "the policy suppresses an identifier of the customer",
    HeldBack.NO_ADDRESS: "no identifier of the customer is an address of the rule's channels",
    HeldBack.QUIET_HOURS: "quiet hours held it; at their end it was to be judged again",
    HeldBack.CAP: "a cap of the policy was reached",
    HeldBack.PRIORITY: "a rule with a higher priority took the room under a cap",
    HeldBack.AT_MOST: "the rule had sent as often as its `at_most` allows",
}
"""Reason for holding back -> what that means."""

RETRACTED = {
    Retracted.CLOSED: "an event that closes it came to light",
    Retracted.CONDITION: "by what came to light the rule's `if` does not hold",
    Retracted.MOVED: "by what came to light it was due later",
    Retracted.UNJUSTIFIED: "no event of the customer opens it any more",
}
"""Reason for taking back -> what that means."""

_WORDS = {str(reason): words for reason, words in (*HELD_BACK.items(), *RETRACTED.items())}


def history_lines(trigger: str, history: TriggerHistory) -> list[str]:
    """Return all that is known of a trigger as lines."""
    first = (*history.messages, *history.decisions)[0]
    lines = [f"trigger {trigger}", f"rule {first['rule']} version {first['version']}{_key(first)}"]
    for message in history.messages:
        lines += _message(message)
    if history.decisions:
        lines.append("decisions")
        lines += [f"  {decision_line(decision)}" for decision in history.decisions]
    return lines


def _message(message: Record) -> Iterator[str]:
    because = message["because"]
    yield (
        f"{message['action']} at {format_timestamp(message['sent'])}, due {format_timestamp(message['due'])}, "
        f"customer {message['customer_id']}"
    )
    for channel, addresses in message["addresses"].items():
        yield f"  {channel}: {', '.join(addresses)}"
    for event in because["events"]:
        yield f"  {event['role']} by {event['type']} {event['event_id']} at {format_timestamp(event['time'])}"
    for title, values in (
        ("saw", because["values"]),
        ("payload", message["payload"]),
        ("judged", {name: _worded(name, value) for name, value in because["decision"].items()}),
    ):
        yield from (f"  {title} {name} = {_plain(value)}" for name, value in values.items())
    yield from (f"  {link['a']} -- {link['b']}" for link in because["evidence"])


def _worded(name: str, value: str) -> str:
    return f"{value} ({_WORDS[value]})" if name == "reason" and value in _WORDS else value


def decision_line(decision: Record) -> str:
    """Return a record of a decision as a line."""
    reason = decision["reason"]
    why = f": {reason}: {_WORDS.get(reason, 'a reason that this version does not know')}" if reason else ""
    return (
        f"{format_timestamp(decision['decided_at'])}  {decision['outcome']}  opened by {decision['opened_by']}"
        f"{_key(decision)}  due {format_timestamp(decision['due'])}{why}"
    )


def trace_lines(found: Trace) -> list[str]:
    """Return as lines what a rule makes of the timeline."""
    lines = [_told(one) for one in found.open] + [_judged(one) for one in found.due]
    closed = [turn for turn in found.turns if turn.effect is Effect.CLOSED]
    if closed:
        turn = closed[-1]
        lines.append(
            f"closed last by {turn.event.type} {turn.event.event_id} at {format_timestamp(turn.event.time)}: "
            f"it was open since {turn.instance.opened.type} {turn.instance.opened.event_id}"
        )
    if not lines:
        lines.append(
            f"nothing ever opened it: of {found.events} events, and what changed around them, {found.openers} can"
        )
    return lines


def _told(instance: Instance) -> str:
    opened = f"open since {instance.opened.type} {instance.opened.event_id} at {format_timestamp(instance.opened.time)}"
    kept = f", kept open by {instance.kept_count} events" if instance.kept_count else ""
    if instance.waiting:
        return f"{opened}{kept}, waits for its `then`"
    if instance.over:
        return f"{opened}{kept}, held by quiet hours"
    return f"{opened}{kept}, {_due(instance.due)}"


def _due(due: int) -> str:
    try:
        return f"due {format_timestamp(due)}"
    except ValueError:
        return "never due"


def _judged(one: Occurrence) -> str:
    opened = one.instance.opened
    verdict = "its `if` held" if one.passed else "its `if` did not hold"
    saw = f" (saw {', '.join(f'{name} = {_plain(value)}' for name, value in one.values.items())})"
    by = f", on {', '.join(name for name in one.channels if name)}" if any(one.channels) else ""
    consent = "" if one.channels else ", no consent on any of its channels"
    return (
        f"came due {format_timestamp(one.due)}, opened by {opened.type} {opened.event_id}: "
        f"{verdict}{saw if one.values else ''}{by}{consent}"
    )


def trace_object(found: Trace) -> dict[str, Any]:
    """Return for programs what a rule makes of the timeline."""
    return {
        "events": found.events,
        "events_that_can_open": found.openers,
        "open": [
            {
                "key": one.key,
                "opened_by": one.opened.event_id,
                "opened": format_timestamp(one.opened.time),
                "kept_open": one.kept_count,
                "due": None if one.waiting or one.over else _due(one.due).removeprefix("due "),
                "waits_for_then": one.waiting,
            }
            for one in found.open
        ],
        "due": [
            {
                "key": one.instance.key,
                "opened_by": one.instance.opened.event_id,
                "due": format_timestamp(one.due),
                "if": one.passed,
                "values": one.values,
                "channels": one.channels,
            }
            for one in found.due
        ],
        "turns": [
            {
                "event_id": turn.event.event_id,
                "time": format_timestamp(turn.event.time),
                "type": turn.event.type,
                "effect": turn.effect.value,
                "opened_by": turn.instance.opened.event_id,
            }
            for turn in found.turns
        ],
    }


def _key(record: Record) -> str:
    return f" key {record['key']}" if record["key"] else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
