"""How shadow rules differ from the live ones, added up from the topics.

Of the records about one trigger (rule, shadow version, opening event, number of the repeat) the last one holds. Fires
that both have are not on `triggers.shadow`: they are the live ones since the first record of that version, but those
that the shadow would not have sent.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EXAMPLES = 3
"""Of each kind, the latest."""
ONLY_SHADOW, ONLY_LIVE = "would_have_fired", "would_not_have_fired"


class Compared(msgspec.Struct):
    """One shadow version of a rule beside the live one.

    Attributes:
        rule: its name.
        shadow_version: of the rule among the shadow rules.
        live_version: the latest that it was compared with; None: there is no such live rule.
        since: time of the first difference, ms.
        both: live fires since then that the shadow would have sent as well.
        only_live: fires that the shadow would not have sent.
        only_shadow: fires that only the shadow would have sent.
        reasons: why the other side held back, and how often.
        examples: the latest records of either kind.
    """

    rule: str
    shadow_version: int
    live_version: int | None
    since: int
    both: int = 0
    only_live: int = 0
    only_shadow: int = 0
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    examples: list[dict[str, Any]] = msgspec.field(default_factory=list)


def compared(
    differences: Iterable[Mapping[str, Any]], triggers: Iterable[Mapping[str, Any]]
) -> list[Compared]:
    """Add up the records of `triggers.shadow` and of the rules' own topics, each in the order of sending."""
    last: dict[tuple[str, int], dict[tuple[int, str], Mapping[str, Any]]] = defaultdict(dict)
    since: dict[tuple[str, int], int] = {}
    for one in differences:
        version = (one["rule"], one["shadow_version"])
        last[version][one["number"], one["opened_by"]] = one
        since[version] = min(since.get(version, one["decided_at"]), one["sent"], one["decided_at"])
    fires = _net(triggers)
    return [_added_up(*version, last[version], since[version], fires[version[0]]) for version in sorted(last)]


def _net(triggers: Iterable[Mapping[str, Any]]) -> defaultdict[str, list[Mapping[str, Any]]]:
    """Return by rule the fires that nothing took back."""
    said: dict[str, Mapping[str, Any]] = {}
    for one in triggers:
        said[one["trigger_id"]] = one
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in said.values():
        if one["action"] == "fire":
            found[one["rule"]].append(one)
    return found


def _added_up(
    rule: str,
    version: int,
    last: Mapping[tuple[int, str], Mapping[str, Any]],
    since: int,
    fires: Iterable[Mapping[str, Any]],
) -> Compared:
    records = list(last.values())
    found = Compared(rule, version, records[-1]["live_version"], since)
    only_live = [one for one in records if one["outcome"] == ONLY_LIVE]
    only_shadow = [one for one in records if one["outcome"] == ONLY_SHADOW]
    found.only_live, found.only_shadow = len(only_live), len(only_shadow)
    found.both = max(0, sum(one["sent"] >= since for one in fires) - len(only_live))
    for one in (*only_live, *only_shadow):
        reason = one["reason"] or "no reason"
        found.reasons[reason] = found.reasons.get(reason, 0) + 1
    found.examples = [dict(one) for one in (*only_shadow[-EXAMPLES:], *only_live[-EXAMPLES:])]
    return found
