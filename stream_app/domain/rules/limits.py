"""Limits on what is sent: caps of the policy, and a rule's own `at_most`. Both count what the ledger says was sent.

A send counts that wasn't retracted, of a rule that doesn't ignore caps, on the channel that it was sent on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.rules.decision import HeldBack
from stream_app.domain.rules.model import FOREVER
from stream_app.domain.rules.state import FIRED

if TYPE_CHECKING:
    from stream_app.domain.rules.model import Rule
    from stream_app.domain.rules.sending import Cap, SendingPolicy
    from stream_app.domain.rules.state import Ledger


def with_room(
    policy: SendingPolicy, ledger: Ledger, rule: Rule, channels: list[str], at: int, zone: str
) -> tuple[list[str], HeldBack | None]:
    """Return the channels that caps leave at a time (ms), or why there is none.

    That is `PRIORITY` where there would be room but for what goes at the same time: the more important rule was
    asked first.
    """
    if rule.ignore_caps or not policy.caps:
        return channels, None
    caps = [cap for cap in policy.caps if cap.purpose in {None, rule.purpose}]
    left = [name for name in channels if all(_room(policy, ledger, cap, name, at, zone, at) for cap in caps)]
    if left:
        return left, None
    for name in channels:
        if all(_room(policy, ledger, cap, name, at, zone, at - 1) for cap in caps):
            return [], HeldBack.PRIORITY
    return [], HeldBack.CAP


def _room(
    policy: SendingPolicy, ledger: Ledger, cap: Cap, channel: str, at: int, zone: str, until: int
) -> bool:
    """Tell whether a cap has room for one more on a channel; sends up to `until` count."""
    if cap.channel is not None and cap.channel != channel:
        return True
    since = policy.since(cap, at, zone)
    count = sum(
        row.status == FIRED
        and row.counted
        and since <= row.sent <= until
        and cap.channel in {None, row.channel}
        and cap.purpose in {None, row.purpose}
        for row in ledger.rows.values()
    )
    return count < cap.times


def at_most(ledger: Ledger, rule: Rule, group: str, at: int) -> HeldBack | None:
    """Hold back what exceeds the rule's `at_most`: sends of all its versions count, retracted ones don't."""
    limit = rule.at_most
    if limit is None:
        return None
    since = -FOREVER if limit.per is None else at - limit.per
    count = sum(
        row.status == FIRED
        and row.rule == rule.name
        and since < row.sent
        and (not limit.per_key or row.group == group)
        for row in ledger.rows.values()
    )
    return HeldBack.AT_MOST if count >= limit.times else None
