"""Explanations hold for whatever evidence there is."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.commands import Command, Op
from stream_app.domain.event import ChannelEvent, Event
from stream_app.domain.explain import Why, explain, neighbours, refused_links, seen_with
from stream_app.domain.identifiers import Identifier
from stream_app.domain.refusal import Refused
from stream_app.runs.in_memory import InMemory
from stream_app.wire import parse_timestamp
from tests.property.examples import examples
from tests.property.identity_strategies import arrivals, policies

if TYPE_CHECKING:
    from stream_app.domain.identities import Identities
    from stream_app.domain.policy import IdentityPolicy


def components(policy: IdentityPolicy, arrived: list[dict]) -> list[Identities]:
    """Return what each component knows after all that has arrived, commands too."""
    deployment, identifier, known = InMemory(policy), Identifier(policy), set()
    for place, arrival in enumerate(arrived):
        time = parse_timestamp(arrival["time"])
        if "op" in arrival:
            try:
                names = identifier.named(
                    {name: arrival[name] for name in ("a", "b", "id") if name in arrival}
                )
            except Refused:
                continue
            deployment.give(Command(f"command-{place}", Op(arrival["op"]), names, time, "zoe", "why", ""))
        else:
            event = ChannelEvent(arrival["event_id"], time, "web", "x", arrival["identifiers"], {})
            names, _ = identifier.identify(event)
            if names:
                deployment.give(
                    Event(arrival["event_id"], time, "web", "x", names, {}, place, f"case/0/{place}")
                )
        known |= set(names)
    found = {id(identities): identities for identities in map(deployment.identities, sorted(known))}
    return list(found.values())


@examples(50)
@given(st.data())
def test_every_pair_is_explained_by_links_that_count_or_by_what_is_in_the_way(data: st.DataObject) -> None:
    policy = data.draw(policies())
    for identities in components(policy, data.draw(arrivals(policy))):
        clusters, refused = identities.all, identities.all.refused
        names = sorted({*clusters.groups, *identities.naming})
        for a, b in combinations(names, 2):
            found = explain(identities, a, b)
            assert found.same == (a in clusters.groups and clusters.groups[a] is clusters.groups.get(b))
            ends = [a, *(step.other for step in found.chain)]
            assert [step.one for step in found.chain] == ends[:-1]
            assert not found.chain or ends[-1] == b
            for step in found.chain:
                assert step.count or step.asserted
                assert bool(step.count) == (step.first is not None) == bool(step.events)
                if step.obstacle is None:
                    assert step.other in clusters.near[step.one]
                    assert policy.pair(step.one, step.other) not in refused
                elif step.obstacle.why in (Why.LIMIT, Why.DENIED):
                    assert policy.pair(step.one, step.other) in refused
                else:
                    assert set(step.obstacle.identifiers) & (identities.shared | identities.blocked)
            if found.same:
                assert found.chain
                assert all(step.obstacle is None for step in found.chain)
            elif found.chain:
                assert any(step.obstacle for step in found.chain)
            else:
                assert b not in reachable(identities, a)


def reachable(identities: Identities, start: str) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        fresh = neighbours(identities, waiting.pop()) - found
        found |= fresh
        waiting += fresh
    return found


@examples(50)
@given(st.data())
def test_what_is_shared_was_seen_with_more_than_the_policy_allows(data: st.DataObject) -> None:
    policy = data.draw(policies())
    for identities in components(policy, data.draw(arrivals(policy))):
        seen = seen_with(identities, identities.naming)
        for name in identities.naming:
            most = policy.max_devices if policy.is_person(name) else policy.shared_after
            mark = identities.marks.get(name)
            released = mark is not None and mark.op in (Op.RELEASE, Op.BLOCK)
            if most is not None and not released:
                assert (seen[name] > most) == (name in identities.shared)


@examples(40)
@given(st.data())
def test_the_reason_of_a_refused_link_is_true(data: st.DataObject) -> None:
    policy = data.draw(policies())
    for identities in components(policy, data.draw(arrivals(policy))):
        for step in refused_links(identities):
            obstacle = step.obstacle
            assert obstacle is not None
            one, other = (identities.all.groups[end].members for end in (step.one, step.other))
            if obstacle.why is Why.LIMIT:
                assert obstacle.limit is not None
                assert len(obstacle.identifiers) > obstacle.limit
                assert set(obstacle.identifiers) <= one | other
            else:
                assert obstacle.why is Why.DENIED
                assert obstacle.verdict is not None
                assert obstacle.verdict.op is Op.DENY
                a, b = obstacle.identifiers
                assert (a in one and b in other) or (a in other and b in one)
