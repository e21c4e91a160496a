"""Why two identifiers are one customer's, or why they aren't: the chain of evidence between them.

Of one customer it is the shortest chain of links that count. Of two, the chain with the fewest obstacles: links
that are refused, and identifiers that link nothing since they are shared or blocked. No chain: nothing links them.
"""

from __future__ import annotations

from enum import StrEnum
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.commands import Op, Verdict
from stream_app.domain.rows import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stream_app.domain.identities import Identities
    from stream_app.domain.partition import Names, Pair

Cost = tuple[int, int, int]
"""Of a chain: obstacles, shared or blocked identifiers among them, links."""


class Why(StrEnum):
    """What keeps a link from joining its ends."""

    LIMIT = "limit"
    DENIED = "denied"
    SHARED = "shared"
    BLOCKED = "blocked"


class Obstacle(msgspec.Struct, frozen=True):
    """What keeps a link from joining its ends, in detail.

    Attributes:
        why: what it is.
        identifiers: limit: the values of the namespace on both sides; denied: the pair; else: the identifier.
        namespace: whose limit it is.
        limit: the policy's limit: values of the namespace, or persons or devices of a shared identifier.
        seen_with: with how many persons or devices a shared identifier was seen.
        verdict: the operator's, of a denial or a block.
    """

    why: Why
    identifiers: tuple[str, ...]
    namespace: str = ""
    limit: int | None = None
    seen_with: int | None = None
    verdict: Verdict | None = None


class Step(msgspec.Struct, frozen=True):
    """One link of a chain, from `one` to `other`.

    Attributes:
        one: the end that comes first in the chain.
        other: the end that comes next.
        first: event time of the first event that shows it, ms; None if no event does.
        last: of the last one.
        count: how many events do.
        events: the ids of the earliest of them, at most `SAMPLE`.
        asserted: the assertion, if an operator made one that stands.
        obstacle: why it joins nothing; None: it counts.
    """

    one: str
    other: str
    first: int | None
    last: int | None
    count: int
    events: tuple[str, ...]
    asserted: Verdict | None
    obstacle: Obstacle | None


class Explanation(msgspec.Struct, frozen=True):
    """Why two identifiers are one customer's, or aren't.

    Attributes:
        a: the one.
        b: the other.
        same: whether they are.
        chain: the links from `a` to `b`; empty: nothing links them.
        verdict: what stands about this very pair, by an operator's word.
    """

    a: str
    b: str
    same: bool
    chain: tuple[Step, ...]
    verdict: Verdict | None


def explain(identities: Identities, a: str, b: str) -> Explanation:
    """Explain why `a` and `b` are one customer's, or aren't; either may be unknown. `identities` is settled."""
    groups = identities.all.groups
    same = a in groups and groups[a] is groups.get(b)
    pairs = _chain(identities, a, b)
    seen = seen_with(identities, identities.shared.intersection(name for pair in pairs for name in pair))
    chain = tuple(_step(identities, one, other, seen) for one, other in pairs)
    return Explanation(a, b, same, chain, identities.verdicts.get(identities.policy.pair(a, b)))


def refused_links(identities: Identities, among: Iterable[str] | None = None) -> Iterator[Step]:
    """Yield the links that are refused, or those of them that end at one of `among`; `identities` is settled."""
    wanted = None if among is None else set(among)
    for one, other in sorted(identities.all.refused):
        if wanted is None or one in wanted or other in wanted:
            yield _step(identities, one, other, {})


def obstacle_at(identities: Identities, name: str) -> Obstacle | None:
    """Return why an identifier links nothing at all, or None."""
    return _obstacle(identities, name, seen_with(identities, identities.shared.intersection((name,))))


def seen_with(identities: Identities, names: Iterable[str]) -> dict[str, int]:
    """Return with how many persons each device was seen, or with how many devices each person.

    Persons are customers as person identifiers alone form them.
    """
    return {name: identities.quarantine.seen_with(name) for name in names}


def neighbours(identities: Identities, name: str) -> set[str]:
    """Return the other ends of an identifier's links, whether they count or not."""
    found = set(identities.all.near.get(name, ()))
    if identities.blocked or identities.shared:
        mine = _links_nothing(identities, name)
        found.update(
            other
            for names in identities.naming.get(name, ())
            for other in names
            if mine or _links_nothing(identities, other)
        )
        for pair, verdict in identities.verdicts.items():
            if name in pair and verdict.op is Op.ASSERT:
                found.update(pair)
    return found - {name}


def _links_nothing(identities: Identities, name: str) -> bool:
    return name in identities.blocked or name in identities.shared


def _chain(identities: Identities, a: str, b: str) -> list[Pair]:
    """Return the cheapest chain of links from `a` to `b` (Dijkstra's search), empty if there is none."""
    before: dict[str, str] = {}
    done: set[str] = set()
    best: dict[str, Cost] = {a: (0, 0, 0)}
    waiting = [(best[a], identities.policy.place(a), a)]
    while waiting and b not in done:
        cost, _, name = heappop(waiting)
        if name in done:
            continue
        done.add(name)
        for other in neighbours(identities, name) - done:
            further = _further(identities, cost, name, other)
            if other not in best or further < best[other]:
                best[other], before[other] = further, name
                heappush(waiting, (further, identities.policy.place(other), other))
    chain: list[Pair] = []
    while b in before:
        chain.append((before[b], b))
        b = before[b]
    return chain[::-1]


def _further(identities: Identities, cost: Cost, name: str, other: str) -> Cost:
    obstacles, hidden, links = cost
    if _links_nothing(identities, other):
        return (obstacles + 1, hidden + 1, links + 1)
    return (obstacles + (identities.policy.pair(name, other) in identities.all.refused), hidden, links + 1)


def _obstacle(identities: Identities, name: str, seen: Mapping[str, int]) -> Obstacle | None:
    """Return why an identifier links nothing; `seen`: with how many others the shared ones were seen."""
    if name in identities.blocked:
        return Obstacle(Why.BLOCKED, (name,), verdict=identities.marks.get(name))
    if name not in identities.shared:
        return None
    policy = identities.policy
    limit = policy.max_devices if policy.is_person(name) else policy.shared_after
    return Obstacle(Why.SHARED, (name,), limit=limit, seen_with=seen[name])


def _step(identities: Identities, one: str, other: str, seen: Mapping[str, int]) -> Step:
    pair = identities.policy.pair(one, other)
    verdict = identities.verdicts.get(pair)
    obstacle = (
        _obstacle(identities, one, seen) or _obstacle(identities, other, seen) or _refusal(identities, pair)
    )
    rows = [identities.sightings[names] for names in _showing(identities, pair)]
    sample = sorted({(time, event_id) for row in rows for time, event_id in row.sample})[:SAMPLE]
    return Step(
        one,
        other,
        min((row.first for row in rows), default=None),
        max((row.last for row in rows), default=None),
        sum(row.count for row in rows),
        tuple(event_id for _, event_id in sample),
        verdict if verdict is not None and verdict.op is Op.ASSERT else None,
        obstacle,
    )


def _showing(identities: Identities, pair: Pair) -> Iterator[Names]:
    """Yield the sightings that show a link: its stronger end is the star's centre, or an end links nothing."""
    stronger, weaker = pair
    for names in identities.naming.get(weaker, ()):
        if stronger in names:
            star = identities.effective(names)
            if stronger not in star or weaker not in star or star[0] == stronger:
                yield names


def _refusal(identities: Identities, pair: Pair) -> Obstacle | None:
    refusal = identities.all.refused.get(pair)
    if refusal is None:
        return None
    if refusal.reason == Why.DENIED:
        return Obstacle(Why.DENIED, refusal.pair, verdict=identities.verdicts.get(refusal.pair))
    namespace, groups = refusal.namespace, identities.all.groups
    held = {name for end in pair for name in groups[end].members if name.partition(":")[0] == namespace}
    limit = identities.policy.namespaces[namespace].limit
    return Obstacle(Why.LIMIT, tuple(sorted(held)), namespace, limit)
