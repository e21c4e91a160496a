"""What one rule makes of one customer's timeline, step by step: for people who ask why it did, or didn't, fire.

A fold as any other, with a look at the rule's instances before and after each event. It sends nothing and knows
nothing of what was sent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.profile import Profile, apply
from stream_app.domain.rules.book import RuleBook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.domain.event import Event
    from stream_app.domain.rules.model import Rule
    from stream_app.domain.rules.state import Instance, Occurrence, RulesState


class Effect(StrEnum):
    """What an event did to an instance of the rule."""

    OPENED = "opened"
    KEPT_OPEN = "kept_open"
    CLOSED = "closed"


class Turn(NamedTuple):
    """An event that did something, and the instance: as it was then if it was closed, else as it is now."""

    event: Event
    effect: Effect
    instance: Instance


class Trace(NamedTuple):
    """What a rule made of a timeline.

    Attributes:
        events: how many there were.
        openers: how many of a type that can open the rule.
        turns: what happened, in order.
        open: the instances that are open after the last event.
        due: what came due before the last event, as it was judged.
    """

    events: int
    openers: int
    turns: list[Turn]
    open: list[Instance]
    due: list[Occurrence]


def trace(rule: Rule, book: RuleBook, events: Iterable[Event]) -> Trace:
    """Fold a timeline, ascending by `Event.order`, under one rule, with all else as in a book."""
    book = RuleBook([rule], book.policy, book.segments, book.surroundings)
    state, profile = book.new_state(), Profile()
    opening = rule.opens.event
    count = openers = 0
    turns: list[Turn] = []
    for event in events:
        count += 1
        openers += event.type in opening
        book.elapse(state, event.time, profile)
        before = {_name(one): (one, one.kept_count) for one in _open(state, rule)}
        apply(profile, event)
        book.step(state, event, profile)
        after = {_name(one): one for one in _open(state, rule)}
        turns += [Turn(event, Effect.CLOSED, before[name][0]) for name in before if name not in after]
        for name, instance in after.items():
            if name not in before:
                turns.append(Turn(event, Effect.OPENED, instance))
            elif instance.kept_count > before[name][1]:
                turns.append(Turn(event, Effect.KEPT_OPEN, instance))
    return Trace(count, openers, turns, _open(state, rule), state.elapsed.get(rule.id, []))


def _open(state: RulesState, rule: Rule) -> list[Instance]:
    return list(state.open.get(rule.id, {}).values())


def _name(instance: Instance) -> tuple[str, ...]:
    """Return what tells an instance from all others, whatever its token has become."""
    return (instance.group, *instance.evidence)
