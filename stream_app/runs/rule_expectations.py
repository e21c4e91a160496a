"""What a trigger case expects, and how what came out is compared with it.

`triggers`: every message, in the order sent; those of one time in any order, so that they are matched, each with one
of its own. `held_back`: decisions that must be among those made. `net`: the fires that no retraction took back, at
the end: how many, or which. Each is compared on the fields given.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream_app.domain.normalise import Rejection
from stream_app.domain.rules import Action, Decision
from stream_app.domain.rules.applying import token_of
from stream_app.domain.rules.times import parse_instant
from stream_app.wire import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stream_app.domain.identifiers import Identifier

Wanted = dict[str, Any]


class Outcome(NamedTuple):
    """A decision, and the identifiers of whose it is at the end: who holds the event that opened it."""

    decision: Decision
    customer: frozenset[str]


class Problem(NamedTuple):
    """One expectation that does not hold: what it is about, what was expected, and what came out."""

    what: str
    expected: str
    came_out: str


class ExpectationError(ValueError):
    """An expectation that can't be compared: the message begins with its path."""


class Expectation(msgspec.Struct, forbid_unknown_fields=True):
    """What must come out."""

    triggers: list[Wanted] | None = None
    held_back: list[Wanted] = []
    net: int | list[Wanted] | None = None

    def check(self) -> None:
        """Look whether all fields can be compared.

        Raises:
            ExpectationError: one can't.
        """
        net = self.net if isinstance(self.net, list) else []
        for name, wanted in (("triggers", self.triggers or []), ("held_back", self.held_back), ("net", net)):
            for place, one in enumerate(wanted):
                if unknown := sorted(one.keys() - FIELDS.keys()):
                    known = ", ".join(FIELDS)
                    raise ExpectationError(
                        f"expect.{name}[{place}].{unknown[0]}: unknown field; known: {known}"
                    )
                for field in _TIMES & one.keys():
                    _check_time(one[field], f"expect.{name}[{place}].{field}")


def _check_time(value: Any, path: str) -> None:
    try:
        _time(value)
    except ValueError as fault:
        msg = f"{path}: {fault}"
        raise ExpectationError(msg) from None


def _time(value: Any) -> int:
    return value if isinstance(value, int) else parse_instant(str(value))


def differences(
    expect: Expectation, outcomes: Sequence[Outcome], identifier: Identifier
) -> Iterator[Problem]:
    """Yield what did not come out as expected; `identifier` reads customers as the case's events are read."""
    match = _Match(identifier)
    messages = [one for one in outcomes if one.decision.action != Action.HELD_BACK]
    messages.sort(key=lambda one: one.decision.sent)
    held = [one for one in outcomes if one.decision.action == Action.HELD_BACK]
    if expect.triggers is not None and not match.in_order(expect.triggers, messages):
        yield Problem("triggers", _wanted(expect.triggers), _came(messages, expect.triggers))
    for wanted in expect.held_back:
        if not any(match.one(wanted, outcome) for outcome in held):
            yield Problem("held_back", _wanted([wanted]), _came(held, [wanted]))
    if expect.net is not None:
        last = {one.decision.trigger_id: one for one in messages}
        net = [one for one in last.values() if one.decision.action == Action.FIRE]
        if isinstance(expect.net, int):
            if len(net) != expect.net:
                yield Problem("net", str(expect.net), f"{len(net)}: {_came(net, [])}")
        elif not match.each(expect.net, net):
            yield Problem("net", _wanted(expect.net), _came(net, expect.net))


class _Match:
    """Compares what is wanted with what came."""

    def __init__(self, identifier: Identifier) -> None:
        self._identifier = identifier

    def in_order(self, wanted: Sequence[Wanted], came: Sequence[Outcome]) -> bool:
        """Tell whether the messages are those wanted, in order; those of one time in any order."""
        if len(wanted) != len(came):
            return False
        start = 0
        while start < len(came):
            end = start
            while end < len(came) and came[end].decision.sent == came[start].decision.sent:
                end += 1
            if not self.each(wanted[start:end], came[start:end]):
                return False
            start = end
        return True

    def each(self, wanted: Sequence[Wanted], came: Sequence[Outcome]) -> bool:
        """Tell whether each wanted one can have one of its own, and none is left (augmenting paths)."""
        taken: dict[int, int] = {}

        def place(index: int, tried: set[int]) -> bool:
            for other, outcome in enumerate(came):
                if other not in tried and self.one(wanted[index], outcome):
                    tried.add(other)
                    if other not in taken or place(taken[other], tried):
                        taken[other] = index
                        return True
            return False

        return len(wanted) == len(came) and all(place(index, set()) for index in range(len(wanted)))

    def one(self, wanted: Wanted, outcome: Outcome) -> bool:
        """Tell whether a decision is the one wanted."""
        return all(self._same(name, value, outcome) for name, value in wanted.items())

    def _same(self, name: str, value: Any, outcome: Outcome) -> bool:
        if name == "customer":
            found = self._identifier.one(value)
            return (value if found is None or isinstance(found, Rejection) else found) in outcome.customer
        if name == "key":
            return _key(outcome.decision.key) == _key(value if isinstance(value, list) else [value])
        if name == "payload" and isinstance(value, dict):
            return all(outcome.decision.payload.get(path) == one for path, one in value.items())
        return bool(FIELDS[name](outcome) == (_time(value) if name in _TIMES else value))


def _key(values: list[Any]) -> list[str]:
    """Return a key as rules compare it; [] for the empty one: of an event without the property, or without a key."""
    texts = [token_of(value) for value in values]
    return texts if any(texts) else []


_TIMES = frozenset({"due", "sent"})
FIELDS: dict[str, Callable[[Outcome], Any]] = {
    "action": lambda one: str(one.decision.action),
    "rule": lambda one: one.decision.rule,
    "version": lambda one: one.decision.version,
    "opened_by": lambda one: one.decision.opened_by,
    "key": lambda one: one.decision.key,
    "due": lambda one: one.decision.due,
    "sent": lambda one: one.decision.sent,
    "channel": lambda one: next(iter(one.decision.channel), None),
    "reason": lambda one: str(one.decision.reason),
    "customer": lambda one: sorted(one.customer),
    "trigger_id": lambda one: one.decision.trigger_id,
    "payload": lambda one: one.decision.payload,
}
"""What can be expected of a decision; of its channels the first is the one it goes out by, of its payload those parts
that are named, null of one that must not be there."""
_ALWAYS = ("action", "rule", "opened_by", "due", "sent", "reason")


def _wanted(wanted: Sequence[Wanted]) -> str:
    return f"[{'; '.join(json.dumps(one, ensure_ascii=False) for one in wanted)}]"


def _came(outcomes: Sequence[Outcome], wanted: Sequence[Wanted]) -> str:
    """Write decisions on one line: what tells them apart, and whatever else is wanted of any."""
    names = [name for name in FIELDS if name in _ALWAYS or any(name in one for one in wanted)]
    return f"[{'; '.join(json.dumps(_shown(one, names), ensure_ascii=False) for one in outcomes)}]"


def _shown(outcome: Outcome, names: Sequence[str]) -> dict[str, Any]:
    values = {name: FIELDS[name](outcome) for name in names}
    shown = {name: format_timestamp(value) if name in _TIMES else value for name, value in values.items()}
    return {name: value for name, value in shown.items() if value not in (None, "")}
