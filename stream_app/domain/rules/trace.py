"""What one rule makes of one customer's timeline, step by step: for people who ask why it did, or didn't, fire.

A fold as any other, with a look at the rule's instances before and after each event. It sends nothing and knows
nothing of what was sent.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.profile import Profile, apply
from stream_app.domain.profile.whereabouts import position_of
from stream_app.domain.reference import Ahead
from stream_app.domain.rules.book import RuleBook
from stream_app.domain.rules.changes import as_event, as_seen, looks_at
from stream_app.domain.rules.model import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.event import Event
    from stream_app.domain.reference import References
    from stream_app.domain.rules.changes import Change
    from stream_app.domain.rules.model import Rule
    from stream_app.domain.rules.state import Instance, Occurrence, RulesState


class Effect(StrEnum):
    """What an event did to an instance of the rule."""

    OPENED = "opened"
    KEPT_OPEN = "kept_open"
    CLOSED = "closed"


class Turn(NamedTuple):
    """An event, or a change as if it were one, that did something, and the instance.

    The instance is as it was then if it was closed, else as it is now.
    """

    event: Event
    effect: Effect
    instance: Instance


class Trace(NamedTuple):
    """What a rule made of a timeline.

    Attributes:
        events: how many there were.
        openers: how many of these, and of the changes of reference data that concern the customer, can open the rule.
        turns: what happened, in order.
        open: the instances that are open after the last event.
        due: what came due before the last event, as it was judged.
    """

    events: int
    openers: int
    turns: list[Turn]
    open: list[Instance]
    due: list[Occurrence]


def trace(rule: Rule, book: RuleBook, events: Iterable[Event], references: References | None = None) -> Trace:
    """Fold a timeline, ascending by `Event.order`, under one rule, with all else as in a book."""
    return _Tracing(rule, book, references).run(events)


class _Tracing:
    """One fold of one rule that is looked at, step by step."""

    def __init__(self, rule: Rule, book: RuleBook, references: References | None) -> None:
        around = book.surroundings if references is None else references
        self._rule = rule
        self._book = RuleBook([rule], book.policy, book.segments, around)
        self._state, self._profile = self._book.new_state(), Profile()
        self._ahead = None if references is None else Ahead(references)
        self._openers = 0
        self._turns: list[Turn] = []

    def run(self, events: Iterable[Event]) -> Trace:
        count = 0
        for event in events:
            count += 1
            self._openers += self._can_open(event)
            self._changes(event.time)
            self._book.elapse(self._state, event.time, self._profile)
            self._look(event, self._step)
            for kind, item in self._book.watched:
                if self._ahead is not None:
                    self._ahead.watch(kind, item, event.time)
            self._book.watched.clear()
        self._changes(FOREVER)
        state = self._state
        return Trace(
            count,
            self._openers,
            self._turns,
            _open(state, self._rule),
            state.elapsed.get(self._rule.id, []),
        )

    def _can_open(self, event: Event) -> bool:
        return event.type in self._rule.opens.event or (
            self._rule.near is not None and position_of(event) is not None
        )

    def _step(self, event: Event) -> None:
        apply(self._profile, event)
        self._book.step(self._state, event, self._profile)

    def _changes(self, time: int) -> None:
        """Fold what changed of the reference data that concern the customer, before a time (ms)."""
        reference = self._rule.opens.reference
        if reference is None or self._ahead is None:
            return
        for change in self._ahead.before(time):
            before = self._state.before.get(self._rule.id, {}).get(change.item)
            self._book.elapse(self._state, change.time, self._profile)
            seen = as_seen(self._book.surroundings, self._state, change, self._profile)
            if before is not None and looks_at(reference, seen):
                self._openers += 1
                self._look(as_event(reference, seen, before), partial(self._revise, change))

    def _revise(self, change: Change, _: Event) -> None:
        self._book.revise(self._state, change, self._profile)

    def _look(self, event: Event, fold: Callable[[Event], None]) -> None:
        """Fold something, and note what that did to the rule's instances."""
        before = {_name(one): (one, one.kept_count) for one in _open(self._state, self._rule)}
        fold(event)
        after = {_name(one): one for one in _open(self._state, self._rule)}
        self._turns += [Turn(event, Effect.CLOSED, before[name][0]) for name in before if name not in after]
        for name, instance in after.items():
            if name not in before:
                self._turns.append(Turn(event, Effect.OPENED, instance))
            elif instance.kept_count > before[name][1]:
                self._turns.append(Turn(event, Effect.KEPT_OPEN, instance))


def _open(state: RulesState, rule: Rule) -> list[Instance]:
    return list(state.open.get(rule.id, {}).values())


def _name(instance: Instance) -> tuple[str, ...]:
    """Return what tells an instance from all others, whatever its token has become."""
    return (instance.group, *instance.evidence)
