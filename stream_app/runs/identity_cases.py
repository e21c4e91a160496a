"""Identity cases: events and operators' commands in order of arrival, and who must be who.

One JSON object a line. Each case runs through the real resolver and components, in memory, in its own order and,
unless it says `"ordered": true`, in other orders too: who is who must not depend on arrival.
"""

from __future__ import annotations

import random
from itertools import permutations as all_orders
from math import factorial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from stream_app.domain.identifiers import Identifier
from stream_app.domain.normalise import Rejection
from stream_app.domain.policy import IdentityPolicy, PolicyError
from stream_app.runs.arrivals import Arrival, check, name_of, taken
from stream_app.runs.in_memory import KEY, InMemory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stream_app.runs.in_memory import WhoIsWho

Customer = frozenset[str]
Pair = tuple[str, str]
Order = tuple[int, ...]
"""Places in the case's list of arrivals, in the order in which they are given."""
AtLeast0 = Annotated[int, msgspec.Meta(ge=0)]

GIVEN = "the given order"


class FormatError(ValueError):
    """A line that isn't a case: the message begins with its number, and says what is wrong with it."""


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """What must hold at one moment; identifiers as people write them."""

    customers: list[list[str]] | None = None
    same: list[Pair] = []
    different: list[Pair] = []
    n_customers: AtLeast0 | None = None
    n_customers_with: dict[str, AtLeast0] = {}
    event_owner: dict[str, str | None] = {}


class Expectation(Expected, forbid_unknown_fields=True):
    """What must hold at the end, and just after single events or commands, by their ids."""

    after: dict[str, Expected] = {}


class Case(msgspec.Struct):
    """One case. `line` is its line in the file, from 1 on."""

    policy: dict[str, Any]
    events: list[Arrival]
    expect: Expectation
    id: str | int = ""
    ordered: bool = False
    line: int = 0


class Problem(NamedTuple):
    """One expectation that does not hold: when, what was expected, and what came out."""

    when: str
    expected: str
    came_out: str


class Failure(msgspec.Struct):
    """An order of arrival in which a case fails: the arrivals' ids, and what did not hold."""

    order: list[str]
    given: bool
    problems: list[Problem]


class Result(msgspec.Struct):
    """What running a case gave: how many orders, and those in which it failed."""

    id: str
    line: int
    orders: int
    failures: list[Failure]


def read_cases(lines: Iterable[str]) -> Iterator[Case]:
    """Yield the cases of a file; empty lines are passed over.

    Raises:
        FormatError: a line is no case.
    """
    decoder = msgspec.json.Decoder(Case)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = decoder.decode(line)
            for place, arrival in enumerate(case.events):
                check(arrival, f"events[{place}]")
        except (ValueError, RecursionError) as error:
            said = "a case of rules; `raccord rules check` runs it" if _is_of_rules(line) else error
            msg = f"line {number}: {said}"
            raise FormatError(msg) from error
        case.line, case.id = number, str(case.id) or f"line-{number}"
        yield case


def _is_of_rules(line: str) -> bool:
    """Tell whether a line that is no case of identities is one of rules."""
    try:
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw]).keys() >= {"rules", "events", "expect"}
    except (ValueError, RecursionError):
        return False


def run_case(case: Case, permutations: int, seed: int) -> Result:
    """Run a case in its own order, and in up to `permutations` others, which `seed` and its id choose."""
    try:
        policy = IdentityPolicy.from_mapping(case.policy)
    except PolicyError as error:
        problem = Problem("before the first event", "a policy that this version understands", str(error))
        return Result(str(case.id), case.line, 0, [Failure([], given=True, problems=[problem])])
    run = _Run(case, policy)
    own: Order = tuple(range(len(case.events)))
    failures = []
    count = 0
    for order in (own, *(() if case.ordered else _others(own, permutations, f"{seed} {case.id}"))):
        count += 1
        problems = run.problems(order)
        if problems:
            names = [name_of(case.events[place], place) for place in order]
            failures.append(Failure(names, given=order == own, problems=problems))
    return Result(str(case.id), case.line, count, failures)


def _others(own: Order, most: int, seed: str) -> Iterator[Order]:
    """Yield other orders of arrival: all if there are no more than `most`, else so many, chosen by chance."""
    if len(own) < 12 and factorial(len(own)) - 1 <= most:  # noqa: PLR2004 - 12! is beyond any wish
        yield from (order for order in all_orders(own) if order != own)
        return
    draw = random.Random(seed)  # noqa: S311 - whoever gives the seed again gets the same orders
    seen = {own}
    while len(seen) <= most:
        order = tuple(draw.sample(own, len(own)))
        if order not in seen:
            seen.add(order)
            yield order


class _Run:
    """A case under its policy, to be run in several orders."""

    def __init__(self, case: Case, policy: IdentityPolicy) -> None:
        self._case = case
        self._policy = policy
        self._identifier = Identifier(policy, KEY)

    def problems(self, order: Order) -> list[Problem]:
        """Run the case in an order; what is expected after single arrivals counts in the given order alone."""
        expect = self._case.expect
        given = all(place == number for number, place in enumerate(order))
        moments = self._moments(expect.after) if given else {}
        found = [
            Problem(f"after {name}", "an event or command of that id", "none")
            for name in expect.after
            if given and name not in moments.values()
        ]
        deployment = InMemory(self._policy)
        try:
            for number, place in enumerate(order):
                one = taken(self._case.events[place], place, number, self._identifier)
                if one is not None:
                    deployment.give(one)
                if number in moments:
                    name = moments[number]
                    found += self._compare(expect.after[name], deployment.who_is_who(), f"after {name}")
            found += self._compare(expect, deployment.who_is_who(), "at the end")
        except Exception as fault:  # noqa: BLE001 - whatever the code under check does is the finding
            found.append(Problem("on the way", "an answer", f"{type(fault).__name__}: {fault}"))
        return found

    def _moments(self, names: Iterable[str]) -> dict[int, str]:
        """Return place -> the id of the (first) arrival there, for the ids that are named."""
        found: dict[int, str] = {}
        for name in names:
            for place, arrival in enumerate(self._case.events):
                if name in (arrival.event_id, arrival.command_id):
                    found[place] = name
                    break
        return found

    # -- what was expected ------------------------------------------------------------------------------

    def _compare(self, expect: Expected, found: WhoIsWho, when: str) -> Iterator[Problem]:
        holder = {name: customer for customer in found.customers for name in customer}
        for expected, came_out in (
            *self._customers(expect.customers, found.customers),
            *self._pairs(expect, holder),
            *_counts(expect, found.customers),
            *self._owners(expect.event_owner, found.owners),
        ):
            yield Problem(when, expected, came_out)

    def _customers(
        self, expected: Sequence[Sequence[str]] | None, found: frozenset[Customer]
    ) -> Iterator[tuple[str, str]]:
        if expected is None:
            return
        wanted = [frozenset(map(self._normal, customer)) for customer in expected]
        missing = sorted((one for one in wanted if one not in found), key=sorted)
        extra = sorted(found.difference(wanted), key=sorted)
        if missing or extra or len(set(wanted)) < len(wanted):
            yield (
                f"customers {_tell(missing) or 'as listed, and no others'}",
                _tell(extra) or "the others, without these",
            )

    def _pairs(self, expect: Expected, holder: Mapping[str, Customer]) -> Iterator[tuple[str, str]]:
        for pairs, wanted in ((expect.same, True), (expect.different, False)):
            for one, other in pairs:
                name = self._normal(one)
                a, b = holder.get(name), holder.get(self._normal(other))
                if (a is not None and a == b) != wanted:
                    came_out = (
                        f"{one} is {_whose(a)}, {other} is {_whose(b)}" if wanted else _tell([holder[name]])
                    )
                    yield f"{one} and {other} {'one customer' if wanted else 'not one customer'}", came_out

    def _owners(
        self, expected: Mapping[str, str | None], found: Mapping[str, Customer | None]
    ) -> Iterator[tuple[str, str]]:
        for event_id, name in expected.items():
            owner = found.get(event_id)
            if not any(arrival.event_id == event_id for arrival in self._case.events):
                yield f"an event {event_id}", "none in the case"
            elif name is None and owner is not None:
                yield f"event {event_id} is nobody's", f"it is {_whose(owner)}"
            elif name is not None and (owner is None or self._normal(name) not in owner):
                yield f"event {event_id} is {name}'s", f"it is {_whose(owner)}"

    def _normal(self, text: str) -> str:
        """Return an identifier as events carry it; one that can't be is left as it is, and nobody's."""
        found = self._identifier.one(text)
        return text if found is None or isinstance(found, Rejection) else found


def _counts(expect: Expected, found: frozenset[Customer]) -> Iterator[tuple[str, str]]:
    if expect.n_customers is not None and expect.n_customers != len(found):
        yield f"{expect.n_customers} customers", f"{len(found)}: {_tell(sorted(found, key=sorted))}"
    for namespace, number in expect.n_customers_with.items():
        holders = [one for one in found if any(name.startswith(f"{namespace}:") for name in one)]
        if len(holders) != number:
            shown = _tell(sorted(holders, key=sorted))
            yield f"{number} customers with {namespace}", f"{len(holders)}{': ' if shown else ''}{shown}"


def _tell(customers: Iterable[Customer]) -> str:
    return " ".join(f"{{{', '.join(sorted(customer))}}}" for customer in customers)


def _whose(customer: Customer | None) -> str:
    return "nobody's" if customer is None else f"that of {_tell([customer])}"
