"""Checks what an identity case expects against any function that answers who is who."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.policy import IdentityPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.property.identity_oracle import Answer

Arrivals = list[Any]


def problems(
    case: Mapping[str, Any],
    answer_of: Callable[[IdentityPolicy, Arrivals], Answer],
) -> list[str]:
    """Return what a case expects and the answer doesn't give, a line each; none: the case passes."""
    policy = IdentityPolicy.from_mapping(case["policy"])
    return _problems(policy, list(case["events"]), case["expect"], answer_of)


def _problems(
    policy: IdentityPolicy,
    arrivals: Arrivals,
    expect: Mapping[str, Any],
    answer_of: Callable[[IdentityPolicy, Arrivals], Answer],
) -> list[str]:
    found = [f"{name}: no such expectation" for name in expect if name not in _CHECKS and name != "after"]
    answer = answer_of(policy, arrivals)
    for name, check in _CHECKS.items():
        if name in expect:
            found += [f"{name}: {problem}" for problem in check(answer, expect[name])]
    for name, then in expect.get("after", {}).items():
        end = _end(arrivals, name)
        if end is None:
            found.append(f"after: no event or command {name}")
        else:
            found += [
                f"after {name}: {problem}" for problem in _problems(policy, arrivals[:end], then, answer_of)
            ]
    return found


def _end(arrivals: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """Return how many have arrived just after the first event, or command, of that id."""
    for place, arrival in enumerate(arrivals, 1):
        if name in (arrival.get("event_id"), arrival.get("command_id")):
            return place
    return None


def _customers(answer: Answer, expected: Sequence[Sequence[str]]) -> Iterator[str]:
    wanted = {frozenset(customer) for customer in expected}
    for customer in wanted - answer.customers:
        yield f"expected {sorted(customer)}"
    for customer in answer.customers - wanted:
        yield f"came out unexpected: {sorted(customer)}"


def _same(answer: Answer, expected: Sequence[tuple[str, str]]) -> Iterator[str]:
    for one, other in expected:
        if not _are_one(answer, one, other):
            yield f"{one} and {other} are not one customer"


def _different(answer: Answer, expected: Sequence[tuple[str, str]]) -> Iterator[str]:
    for one, other in expected:
        if _are_one(answer, one, other):
            yield f"{one} and {other} are one customer"


def _are_one(answer: Answer, one: str, other: str) -> bool:
    return any({one, other} <= customer for customer in answer.customers)


def _n_customers(answer: Answer, expected: int) -> Iterator[str]:
    if len(answer.customers) != expected:
        yield f"expected {expected}, came out {len(answer.customers)}"


def _n_customers_with(answer: Answer, expected: Mapping[str, int]) -> Iterator[str]:
    for namespace, number in expected.items():
        holders = sum(
            any(identifier.partition(":")[0] == namespace for identifier in customer)
            for customer in answer.customers
        )
        if holders != number:
            yield f"{namespace}: expected {number}, came out {holders}"


def _event_owner(answer: Answer, expected: Mapping[str, str | None]) -> Iterator[str]:
    """Check owners; None expects an event that belongs to nobody (any more)."""
    for event_id, identifier in expected.items():
        owner = answer.owner.get(event_id)
        if owner is None and identifier is not None:
            yield f"{event_id}: expected {identifier}, came out nobody"
        elif owner is not None and identifier not in owner:
            yield f"{event_id}: expected {identifier or 'nobody'}, came out {sorted(owner)}"


_CHECKS: Mapping[str, Callable[[Answer, Any], Iterator[str]]] = {
    "customers": _customers,
    "same": _same,
    "different": _different,
    "n_customers": _n_customers,
    "n_customers_with": _n_customers_with,
    "event_owner": _event_owner,
}
