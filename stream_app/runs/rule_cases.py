"""Run trigger cases (one JSON object a line) through the rule engine, without Kafka or stores.

A case is events in the order of their arrival, moves of the clock, and what must come out. Identity is kept
trivial here: whoever shares an identifier is one customer, as a union-find says; when customers merge, their
timelines are folded again with both ledgers, as the customer agent does.

The clock is the highest event time seen, or what `advance_to` says; it moves, and what came due meanwhile is
settled, before the event that moved it is looked at.
"""

from __future__ import annotations

import json
from bisect import insort
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.event import Event
from stream_app.domain.rules import Action, Decision, RuleBook, RuleError, load_rule
from stream_app.domain.rules.times import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stream_app.domain.rules import Rule

_TIMES = frozenset({"due", "sent"})
_PLAIN = frozenset({"rule", "action", "opened_by", "reason", "version", "trigger_id"})


class CaseError(ValueError):
    """A case that can't be run: malformed, or in need of what this version doesn't have."""


class Outcome(msgspec.Struct):
    """A decision and the identifiers of the customer that it is about, as they are at the end."""

    decision: Decision
    customer: _Customer


class _Customer(msgspec.Struct):
    """A customer of a case: identifiers, timeline in order, and the rules' state."""

    identifiers: set[str]
    timeline: list[tuple[int, str, Event]]
    state: Any
    merged_into: _Customer | None = None

    @property
    def final(self) -> _Customer:
        return self if self.merged_into is None else self.merged_into.final


class CaseRun:
    """One case on its way: feed it with `arrive` and `advance`, then read `outcomes`."""

    def __init__(self, book: RuleBook) -> None:
        """Begin with no customers and no clock."""
        self.book = book
        self.clock: int | None = None
        self.customers: list[_Customer] = []
        self.outcomes: list[Outcome] = []
        self._known: dict[str, Event] = {}

    def advance(self, to: int) -> None:
        """Move the clock to `to` (ms); back is ignored. What came due in between is on time."""
        stood = to if self.clock is None else self.clock
        if to < stood:
            return
        self.clock = to
        for customer in self.customers:
            self._settle(customer, stood)

    def arrive(self, event: Event) -> None:
        """Take an event in; a copy is dropped, and of two contents under one id the first stands."""
        self.advance(event.time)
        if event.event_id in self._known:
            return
        self._known[event.event_id] = event
        customer = self._owner(event)
        insort(customer.timeline, (event.time, event.event_id, event), key=lambda row: row[:2])
        if self.book.in_order(customer.state, event):
            self.book.step(customer.state, event)
        else:
            customer.state = self._refold(customer, [customer])
        self._settle(customer, self.clock or event.time)

    def _owner(self, event: Event) -> _Customer:
        """Return the customer of an event's identifiers, merging those that it joins."""
        names = set(event.identifiers)
        owners = [customer for customer in self.customers if customer.identifiers & names]
        if not owners:
            owners = [_Customer(set(), [], self.book.new_state())]
            self.customers += owners
        owner = owners[0]
        owner.identifiers |= names
        for other in owners[1:]:
            self.customers.remove(other)
            owner.identifiers |= other.identifiers
            owner.timeline = sorted(owner.timeline + other.timeline, key=lambda row: row[:2])
            other.merged_into = owner
        if len(owners) > 1:
            owner.state = self._refold(owner, owners)
        return owner

    def _refold(self, customer: _Customer, before: Sequence[_Customer]) -> Any:
        events = (event for _, _, event in customer.timeline)
        return self.book.refold(events, [one.state.ledger for one in before])

    def _settle(self, customer: _Customer, stood: int) -> None:
        if self.clock is not None:
            decisions = self.book.settle(customer.state, self.clock, stood)
            self.outcomes += (Outcome(decision, customer) for decision in decisions)


def run_case(case: Mapping[str, Any], shipped: Mapping[str, Rule]) -> list[Outcome]:
    """Run a case's events; `shipped` are the rules that it may name.

    Raises:
        CaseError: It can't be run.
    """
    for field in ("policy", "reference"):
        if case.get(field):
            raise CaseError(f"`{field}` in a case is not supported by this version")
    run = CaseRun(RuleBook([_rule(rule, shipped) for rule in case["rules"]]))
    for entry in case["events"]:
        if "advance_to" in entry:
            run.advance(parse_instant(entry["advance_to"]))
        elif "event_id" in entry:
            run.arrive(_event(entry))
        else:
            raise CaseError(f"an entry with {', '.join(sorted(entry))} is not supported by this version")
    run.advance(parse_instant(case["until"]))
    return run.outcomes


def check_case(case: Mapping[str, Any], shipped: Mapping[str, Rule]) -> list[str]:
    """Run a case and say what came out otherwise than expected; an empty list when it passes."""
    try:
        return list(_differences(case.get("expect", {}), run_case(case, shipped)))
    except (CaseError, RuleError) as fault:
        return [str(fault)]
    except (KeyError, ValueError, TypeError, AttributeError) as fault:
        return [f"malformed case: {type(fault).__name__}: {fault}"]


def _rule(rule: Any, shipped: Mapping[str, Rule]) -> Rule:
    if not isinstance(rule, str):
        return load_rule(json.dumps(rule), "rule in case")
    if rule not in shipped:
        raise CaseError(f"no rule `{rule}` ships with this version")
    return shipped[rule]


def _event(entry: Mapping[str, Any]) -> Event:
    time = parse_instant(entry["time"])
    names: set[str] = set()
    for namespace, value in entry["identifiers"].items():
        values = value if isinstance(value, list) else [value]
        names |= {f"{namespace}:{one}" for one in values if one is not None}
    properties = entry.get("properties") or {}
    identifiers = tuple(sorted(names))
    return Event(
        entry["event_id"], time, entry["channel"], entry["type"], identifiers, properties, time, "case"
    )


def _differences(expect: Mapping[str, Any], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Compare what came out with what was expected."""
    messages = [one for one in outcomes if one.decision.action != Action.HELD_BACK]
    messages.sort(key=lambda one: one.decision.sent)
    if "triggers" in expect and not _in_order(expect["triggers"], messages):
        yield f"triggers: expected {_tell(expect['triggers'])}, came {_tell(messages)}"
    held = [one for one in outcomes if one.decision.action == Action.HELD_BACK]
    for wanted in expect.get("held_back", ()):
        if not any(_matches(wanted, one) for one in held):
            yield f"held_back: expected {_tell([wanted])}, came {_tell(held)}"
    if "net" in expect:
        last = {one.decision.trigger_id: one for one in messages}
        net = [one for one in last.values() if one.decision.action == Action.FIRE]
        wanted = expect["net"]
        if len(net) != wanted if isinstance(wanted, int) else not _assign(wanted, net):
            yield f"net: expected {_tell(wanted) if isinstance(wanted, list) else wanted}, came {_tell(net)}"


def _in_order(wanted: Sequence[Mapping[str, Any]], came: Sequence[Outcome]) -> bool:
    """Tell whether the messages are those wanted, in order; those of one time in any order."""
    if len(wanted) != len(came):
        return False
    start = 0
    while start < len(came):
        end = start
        while end < len(came) and came[end].decision.sent == came[start].decision.sent:
            end += 1
        if not _assign(wanted[start:end], came[start:end]):
            return False
        start = end
    return True


def _assign(wanted: Sequence[Mapping[str, Any]], came: Sequence[Outcome]) -> bool:
    """Tell whether each wanted one can have a message of its own (augmenting paths: a bipartite matching)."""
    taken: dict[int, int] = {}

    def place(index: int, tried: set[int]) -> bool:
        for other, outcome in enumerate(came):
            if other not in tried and _matches(wanted[index], outcome):
                tried.add(other)
                if other not in taken or place(taken[other], tried):
                    taken[other] = index
                    return True
        return False

    return len(wanted) == len(came) and all(place(index, set()) for index in range(len(wanted)))


def _matches(wanted: Mapping[str, Any], outcome: Outcome) -> bool:
    return all(_field(name, value, outcome) for name, value in wanted.items())


def _field(name: str, value: Any, outcome: Outcome) -> bool:
    """Compare one expected field."""
    decision = outcome.decision
    if name in _PLAIN:
        return bool(getattr(decision, name) == value)
    if name in _TIMES:
        return bool(getattr(decision, name) == parse_instant(value))
    if name == "key":
        return decision.key == (value if isinstance(value, list) else [value])
    if name == "channel":
        return decision.channel[:1] == [value]
    if name == "customer":
        return value in outcome.customer.final.identifiers
    raise CaseError(f"expected field `{name}` is not supported by this version")


def _tell(items: Sequence[Any]) -> str:
    """Write expectations or outcomes on one line."""
    texts = []
    for item in items:
        if isinstance(item, Outcome):
            one = item.decision
            why = f" reason={one.reason}" if one.reason else ""
            texts.append(
                f"{one.action} {one.rule} opened_by={one.opened_by} due={one.due} sent={one.sent}{why}"
            )
        else:
            texts.append(json.dumps(item))
    return f"[{'; '.join(texts)}]"
