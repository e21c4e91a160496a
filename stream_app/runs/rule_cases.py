"""Trigger cases: events, commands and moves of the clock in order of arrival, and the triggers that must come of them.

One JSON object a line. Each case runs through the real resolver, components and rules, in memory. Nothing depends
on chance or on the time of day: a case gives the same every time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.identifiers import Identifier
from stream_app.domain.policy import IdentityPolicy, PolicyError
from stream_app.domain.rules import RuleBook, RuleError, load_rule
from stream_app.domain.rules.sending_loader import FIELDS, load_sending_policy
from stream_app.domain.rules.times import parse_instant
from stream_app.runs.arrivals import Arrival, ArrivalError, check, taken
from stream_app.runs.case_references import (
    CaseReferenceError,
    beginning,
    change,
    check_store,
    looks_for_stores,
)
from stream_app.runs.in_memory import KEY
from stream_app.runs.rule_expectations import Expectation, ExpectationError, Outcome, Problem, differences
from stream_app.runs.triggers_in_memory import BEFORE_ALL, TriggersInMemory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stream_app.domain.rules import Rule, SendingPolicy

Fields = dict[str, Any]
"""A case as its line says it."""

NAMESPACES = [
    {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
    {"name": "loyalty", "priority": 2, "kind": "person", "limit": 1},
    {"name": "email", "priority": 3, "kind": "person", "limit": 5},
    {"name": "phone", "priority": 4, "kind": "person", "limit": 5},
    {"name": "device", "priority": 5, "kind": "device", "limit": 20},
    {"name": "cookie", "priority": 6, "kind": "device", "limit": 50},
]
"""What identifies in a case whose policy doesn't say."""

SENDING = FIELDS
"""The fields of a case's policy that are about sending; all others are about identity."""


class FormatError(ValueError):
    """A line that isn't a JSON object: the message begins with its number."""


class CaseError(ValueError):
    """A case that can't be run: it is malformed, or needs what this version doesn't have."""


_WRONG = (
    CaseError,
    CaseReferenceError,
    ArrivalError,
    ExpectationError,
    RuleError,
    PolicyError,
    msgspec.ValidationError,
)
"""What a case itself is to blame for."""
UNRUN = "the case"
"""What a problem is about where the case can't be run."""


class Case(msgspec.Struct):
    """One case. Its events are read one by one, on the way: three kinds of them are told by their fields."""

    rules: list[str | dict[str, Any]]
    events: list[dict[str, Any]]
    expect: Expectation
    until: str | int | None = None
    policy: dict[str, Any] | None = None
    reference: dict[str, Any] | None = None


class Result(msgspec.Struct):
    """What running a case gave: its id, its line in the file, and what did not come out as expected."""

    id: str
    line: int
    problems: list[Problem]


def read_cases(lines: Iterable[str]) -> Iterator[tuple[int, Fields]]:
    """Yield the line number and the fields of each case of a file; empty lines are passed over.

    Raises:
        FormatError: a line is no JSON object.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            msg = f"line {number}: not JSON: {error}"
            raise FormatError(msg) from error
        if not isinstance(fields, dict):
            msg = f"line {number}: a case is a JSON object"
            raise FormatError(msg)
        yield number, fields


class Runner:
    """Runs cases. What several of them name (rules, policies) is read once."""

    def __init__(self, shipped: Mapping[str, Rule]) -> None:
        """Take the rules that cases may name."""
        self._shipped = shipped
        self._rules: dict[str, Rule] = {}
        self._policies: dict[str, tuple[IdentityPolicy, Identifier]] = {}

    def check(self, line: int, fields: Fields) -> Result:
        """Run a case, and compare what came out with what was expected.

        A case that is malformed, or needs what this version doesn't have, fails like any other.
        """
        name = str(fields.get("id") or f"line-{line}")
        try:
            case = msgspec.convert(fields, Case)
            case.expect.check()
            outcomes, identifier = self.run(case)
            problems = list(differences(case.expect, outcomes, identifier))
        except _WRONG as fault:
            problems = [Problem(UNRUN, "one that this version can run", str(fault))]
        except Exception as fault:  # noqa: BLE001 - whatever the code under check does is the finding
            problems = [Problem("on the way", "an answer", f"{type(fault).__name__}: {fault}")]
        return Result(name, line, problems)

    def run(self, case: Case) -> tuple[list[Outcome], Identifier]:
        """Run a case; return all decisions, and what identifiers look like under its policy.

        Raises:
            CaseError: it can't be run.
            RuleError: a rule in it is wrong.
            PolicyError: its policy is wrong.
        """
        policy, identifier = self._policy(case.policy or {})
        rules = [self._rule(rule) for rule in case.rules]
        run = TriggersInMemory(policy, RuleBook(rules, _sending(case.policy or {}, identifier)))
        known = tuple(beginning(case.reference or {}, BEFORE_ALL, _moments(case)))
        if known:
            run.know(*(said for _, said in known))
        strict = any(map(looks_for_stores, rules))
        for path, said in known if strict else ():
            check_store(run.references, said, path)
        for place, entry in enumerate(case.events):
            _take(run, entry, place, identifier, strict=strict)
        if case.until is not None:
            run.advance(_instant(case.until, "until"))
        owners = run.who_is_who().owners
        return [
            Outcome(one.decision, owners.get(one.decision.opened_by) or one.identifiers)
            for one in run.decided
        ], identifier

    def _rule(self, rule: str | dict[str, Any]) -> Rule:
        if isinstance(rule, str):
            if rule not in self._shipped:
                known = ", ".join(sorted(self._shipped)) or "none"
                raise CaseError(
                    f"rules: there is no rule `{rule}`; there are: {known}; --rules FOLDER names others"
                )
            return self._shipped[rule]
        text = json.dumps(rule, ensure_ascii=False)  # to YAML, an escaped emoji is two characters
        if text not in self._rules:
            self._rules[text] = load_rule(text, f"rule {rule.get('name')} in the case")
        return self._rules[text]

    def _policy(self, written: dict[str, Any]) -> tuple[IdentityPolicy, Identifier]:
        fields = {"namespaces": NAMESPACES} | {k: v for k, v in written.items() if k not in SENDING}
        text = json.dumps(fields)
        if text not in self._policies:
            policy = IdentityPolicy.from_mapping(fields)
            self._policies[text] = (policy, Identifier(policy, KEY))
        return self._policies[text]


def _sending(written: dict[str, Any], identifier: Identifier) -> SendingPolicy:
    """Read what the case's policy says of sending."""
    fields = {name: value for name, value in written.items() if name in SENDING}
    policy = load_sending_policy(json.dumps(fields, ensure_ascii=False), "policy in the case")
    suppressed = {identifier.one(name) for name in policy.suppressed}
    return msgspec.structs.replace(
        policy, suppressed=frozenset(name for name in suppressed if isinstance(name, str))
    )


def _moments(case: Case) -> Iterator[tuple[int, Fields]]:
    """Yield the times that a case names (ms), each with the entry of its events that is of it."""
    for place, entry in enumerate(case.events):
        name = "advance_to" if "advance_to" in entry else "time"
        if name in entry:
            yield _instant(entry[name], f"events[{place}].{name}"), entry
    if case.until is not None:
        yield _instant(case.until, "until"), {}


def _take(run: TriggersInMemory, entry: Fields, place: int, identifier: Identifier, *, strict: bool) -> None:
    """Let one entry of a case's events happen; `strict`: what is said of a store must make one."""
    path = f"events[{place}]"
    if "advance_to" in entry:
        run.advance(_instant(entry["advance_to"], f"{path}.advance_to"))
        return
    if "time" not in entry:
        raise CaseError(f"{path}: an event, a command and a reference_change need a time; or say advance_to")
    time = _instant(entry["time"], f"{path}.time")
    run.advance(time)  # what goes to the dead letters has its time all the same
    if "reference_change" in entry:
        path = f"{path}.reference_change"
        changed = change(entry["reference_change"], time, path)
        run.refer(*changed)
        for said in changed if strict else ():
            check_store(run.references, said, path)
        return
    try:
        arrival = msgspec.convert(entry | {"time": time}, Arrival)
    except msgspec.ValidationError as error:
        raise CaseError(f"{path}: {error}") from None
    check(arrival, path)
    one = taken(arrival, place, place, identifier)
    if one is not None:
        run.give(one)


def _instant(written: object, path: str) -> int:
    """Read a time, ISO 8601 or ms since the epoch."""
    if isinstance(written, int) and not isinstance(written, bool):
        return written
    try:
        return parse_instant(str(written))
    except ValueError as fault:
        raise CaseError(f"{path}: {fault}") from None
