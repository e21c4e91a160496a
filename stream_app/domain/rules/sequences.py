"""Sequences: patterns that events match in order, with others in between.

Every event that fits the first pattern begins; a beginning takes the next event that fits its next pattern. What
`within` forbids is dropped. Without `every` the earliest beginning that is complete counts, and uses up all events
before it. (Complex event processing calls this "skip till next match", and the two modes "no skip" and "skip past
last event"; Agrawal et al., "Efficient Pattern Matching over Event Streams", SIGMOD 2008.)

Bounded: beginnings for each key, and keys; the oldest go first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.rules.model import pick
from stream_app.domain.rules.state import Partial

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.rules.model import Pattern
    from stream_app.domain.rules.plan import Plan
    from stream_app.domain.rules.state import EventRef, RulesState

    Fits = Callable[[Pattern, dict[str, Any] | None], bool]
    """(pattern, what is known of the sequence's first event) -> whether the event at hand fits."""

MAX_PARTIALS = 64
MAX_GROUPS = 64


def advance(
    plan: Plan, state: RulesState, group: str, event: EventRef, properties: dict[str, Any], fits: Fits
) -> list[Partial]:
    """Take in an event of one key; return the sequences that it completes, the earliest beginning first."""
    opens = plan.rule.opens
    groups = state.partials.setdefault(plan.id, {})
    partials = groups.pop(group, [])
    complete: list[Partial] = []
    left: list[Partial] = []
    for partial in partials:
        if opens.within is not None and event.time - partial.steps[0].time > opens.within:
            continue
        if not fits(opens.patterns[len(partial.steps)], partial.first):
            left.append(partial)
            continue
        grown = Partial([*partial.steps, event], partial.first)
        (complete if len(grown.steps) == len(opens.patterns) else left).append(grown)
    if complete and not opens.every:
        left, complete = [], complete[:1]
    elif _is_useful(plan, left) and fits(opens.patterns[0], None):
        left.append(Partial([event], pick(properties, plan.first_names)))
    if left:
        groups[group] = left[-MAX_PARTIALS:]
        if len(groups) > MAX_GROUPS:
            del groups[next(iter(groups))]
    elif not groups:
        del state.partials[plan.id]
    return complete


def _is_useful(plan: Plan, partials: list[Partial]) -> bool:
    """Tell whether one more beginning could ever count: not where an earlier one does all that it could."""
    opens = plan.rule.opens
    if opens.every or opens.within is not None or plan.first_names:
        return True
    return not any(len(partial.steps) == 1 for partial in partials)
