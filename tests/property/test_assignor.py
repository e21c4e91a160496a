"""Who reads what: each topic evenly spread, all of them together too, and as much as possible left where it was."""

from __future__ import annotations

from itertools import combinations, product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.engine.assignor import PerTopicAssignor
from tests.property.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from random import Random

MEMBERS = ("m1", "m2", "m3", "m4", "m5")
TOPICS = ("a", "b", "c", "d")
Held = dict[str, list[int]]
"""Topic -> partitions."""


class Claim(NamedTuple):
    """What a member says that it had, and since which generation."""

    held: Held
    generation: int


class Group(NamedTuple):
    """Topics with their numbers of partitions, which of them have state, and who subscribes to what."""

    topics: dict[str, int]
    stateful: frozenset[str]
    subscribed: dict[str, list[str]]


@st.composite
def groups(draw: st.DrawFn, *, alike: bool | None = False, topics: int = 4, members: int = 5) -> Group:
    """Draw a group; `alike`: everybody subscribes to everything; None: mostly so."""
    alike = draw(st.sampled_from((True, True, False))) if alike is None else alike
    sizes = draw(st.dictionaries(st.sampled_from(TOPICS[:topics]), st.integers(1, 7), min_size=1))
    stateful = draw(st.frozensets(st.sampled_from(sorted(sizes))))
    names = MEMBERS[: draw(st.integers(1, members))]
    some = st.just(sorted(sizes)) if alike else st.lists(st.sampled_from(sorted(sizes)), unique=True)
    return Group(sizes, stateful, {name: draw(some) for name in names})


def lists_of(partitions: range) -> st.SearchStrategy[list[int]]:
    return st.lists(st.sampled_from(partitions), max_size=8)


claims = st.dictionaries(
    st.sampled_from(MEMBERS),
    st.builds(
        Claim, st.dictionaries(st.sampled_from((*TOPICS, "gone")), lists_of(range(9))), st.integers(-1, 3)
    ),
)
"""Anything that members may say: partitions that aren't there, twice the same, and each other's."""


def told(subscribed: Iterable[str], claim: Claim | None) -> ConsumerProtocolMemberMetadata:
    """Return what a member says when it joins, as it comes out at the other end."""
    assignor = PerTopicAssignor((), lambda: claim.generation if claim else -1)
    if claim is not None:
        assignor.on_assignment(ConsumerProtocolMemberAssignment(0, list(claim.held.items()), b""))
    return ConsumerProtocolMemberMetadata.decode(assignor.metadata(subscribed).encode())


def spread(group: Group, claims: Mapping[str, Claim]) -> dict[str, Held]:
    """Return what a leader gives to each member, as it comes out at the other end."""
    cluster: Any = SimpleNamespace(
        partitions_for_topic=lambda topic: set(range(group.topics[topic])) if topic in group.topics else None
    )
    members = {name: told(topics, claims.get(name)) for name, topics in group.subscribed.items()}
    given = PerTopicAssignor(group.stateful, lambda: -1).assign(cluster, members)
    return {
        name: dict(ConsumerProtocolMemberAssignment.decode(one.encode()).assignment)
        for name, one in given.items()
    }


def as_claims(spreading: Mapping[str, Held], generation: int = 1) -> dict[str, Claim]:
    return {name: Claim(held, generation) for name, held in spreading.items()}


def without(group: Group, name: str) -> Group:
    return group._replace(subscribed={one: group.subscribed[one] for one in group.subscribed if one != name})


def pairs(held: Held) -> set[tuple[str, int]]:
    return {(topic, partition) for topic, partitions in held.items() for partition in partitions}


def count(held: Held, topics: Iterable[str]) -> int:
    return sum(len(held.get(topic, ())) for topic in topics)


def apart(numbers: Iterable[int]) -> int:
    found = list(numbers)
    return max(found) - min(found)


# Each topic


@examples(300)
@given(groups(), claims)
def test_each_partition_is_read_by_one_member_and_one_that_subscribes_to_its_topic(
    group: Group, claims: dict[str, Claim]
) -> None:
    given = spread(group, claims)
    assert given.keys() == group.subscribed.keys()
    assert all(set(held) <= set(group.subscribed[name]) for name, held in given.items())
    anybodys = {topic for topics in group.subscribed.values() for topic in topics}
    everything = [(topic, partition) for topic in anybodys for partition in range(group.topics[topic])]
    listed = [(topic, p) for held in given.values() for topic, partitions in held.items() for p in partitions]
    assert sorted(listed) == sorted(everything)


@examples(300)
@given(groups(), claims)
def test_of_a_topic_no_reader_has_two_partitions_more_than_another(
    group: Group, claims: dict[str, Claim]
) -> None:
    given = spread(group, claims)
    for topic in group.topics:
        counts = [len(given[name].get(topic, ())) for name in readers(group, topic)]
        assert not counts or apart(counts) <= 1


# All of them together


@examples(300)
@given(groups(alike=True), claims)
def test_members_that_read_the_same_topics_have_as_many_partitions_in_all_and_as_many_with_state(
    group: Group, claims: dict[str, Claim]
) -> None:
    given = spread(group, claims)
    assert apart(count(held, group.stateful) for held in given.values()) <= 1
    assert apart(count(held, group.topics) for held in given.values()) <= 1


Shares = dict[str, dict[str, int]]
"""Topic -> reader -> how many partitions it has of it."""


def readers(group: Group, topic: str) -> list[str]:
    return [name for name, topics in group.subscribed.items() if topic in topics]


def ways(group: Group) -> Iterator[Shares]:
    """Yield every way to give each reader of a topic as many partitions as the others, or one more."""
    choices = []
    for topic, size in group.topics.items():
        names = readers(group, topic)
        share, rest = divmod(size, len(names)) if names else (0, 0)
        choices.append(
            [{name: share + (name in larger) for name in names} for larger in combinations(names, rest)]
        )
    for way in product(*choices):
        yield dict(zip(group.topics, way, strict=True))


def judged(group: Group, shares: Shares, before: Mapping[str, Held]) -> tuple[int, ...]:
    """Judge shares: how uneven they are, with state and in all; how many partitions move, with state and without."""

    def uneven(topics: Iterable[str]) -> int:
        return sum(sum(shares[t].get(name, 0) for t in topics) ** 2 for name in group.subscribed)

    def moved(topics: Iterable[str]) -> int:
        return sum(max(0, len(before[name].get(t, ())) - n) for t in topics for name, n in shares[t].items())

    return (
        uneven(group.stateful),
        uneven(group.topics),
        moved(group.stateful),
        moved(group.topics.keys() - group.stateful),
    )


@st.composite
def owned(draw: st.DrawFn, group: Group) -> dict[str, Held]:
    """Draw who had what: of each topic as many as the others, as before a change of what is even, or anything."""
    before: dict[str, Held] = {name: {} for name in group.subscribed}
    for topic, size in group.topics.items():
        names = readers(group, topic)
        if names and draw(st.integers(0, 3)):
            order = draw(st.permutations(names))
            owners = [order[partition % len(order)] for partition in range(size)]
        else:
            owners = draw(st.lists(st.sampled_from([None, *names]), min_size=size, max_size=size))
        for partition, owner in enumerate(owners):
            if owner is not None:
                before[owner].setdefault(topic, []).append(partition)
    return before


# Seldom drawn: where a wrong choice moves one partition more, and where it moves one with state instead of another.
ONE_MORE = (
    Group({"a": 1, "b": 1, "c": 1, "d": 1}, frozenset("bcd"), {"m1": list("abcd"), "m2": list("abcd")}),
    {"m1": {"a": [0], "b": [0]}, "m2": {}},
)
WITH_STATE = (
    Group({"a": 1, "b": 2, "c": 2}, frozenset("bc"), {name: list("abc") for name in MEMBERS[:3]}),
    {"m1": {"c": [0]}, "m2": {"a": [0], "b": [0], "c": [1]}, "m3": {}},
)


@examples(600)
@given(groups(alike=None, members=4).flatmap(lambda group: st.tuples(st.just(group), owned(group))))
@example(ONE_MORE)
@example(WITH_STATE)
def test_of_all_ways_the_most_even_is_taken_and_of_those_the_one_in_which_the_fewest_partitions_move(
    drawn: tuple[Group, dict[str, Held]],
) -> None:
    group, before = drawn
    given = spread(group, as_claims(before))
    shares = {
        topic: {name: len(given[name].get(topic, ())) for name in readers(group, topic)}
        for topic in group.topics
    }
    assert judged(group, shares, before) == min(judged(group, way, before) for way in ways(group))
    for name, topic in product(group.subscribed, group.topics):
        had, has = before[name].get(topic, []), given[name].get(topic, [])
        assert has[: len(had)] == had[: len(has)]  # as many as may stay do, and what came last goes first


# What stays


@examples(300)
@given(groups(), claims)
def test_without_a_change_nothing_moves(group: Group, claims: dict[str, Claim]) -> None:
    given = spread(group, claims)
    assert spread(group, as_claims(given)) == given


@st.composite
def roads(draw: st.DrawFn) -> Group:
    """Draw a group as a deployment's: all topics have as many partitions, and one or two of them state."""
    size = draw(st.integers(1, 8))
    topics = dict.fromkeys(TOPICS[: draw(st.integers(1, 4))], size)
    names = MEMBERS[: draw(st.integers(2, 5))]
    stateful = frozenset(sorted(topics)[: draw(st.integers(1, 2))])
    return Group(topics, stateful, {name: list(topics) for name in names})


def with_state(group: Group, held: Held) -> set[tuple[str, int]]:
    return {(topic, partition) for topic, partition in pairs(held) if topic in group.stateful}


@examples(300)
@given(roads(), claims, st.sampled_from(MEMBERS[:2]))
def test_of_topics_with_state_nobody_gets_any_but_who_joins(
    group: Group, claims: dict[str, Claim], new: str
) -> None:
    others = without(group, new)
    before = spread(others, claims)
    given = spread(group, as_claims(before))
    for name in others.subscribed:
        assert with_state(group, given[name]) <= with_state(group, before[name])


@examples(300)
@given(roads(), claims, st.sampled_from(MEMBERS[:2]))
def test_when_one_leaves_the_others_keep_all_that_they_had_with_state(
    group: Group, claims: dict[str, Claim], gone: str
) -> None:
    before = spread(group, claims)
    others = without(group, gone)
    given = spread(others, as_claims({name: before[name] for name in others.subscribed}))
    for name in others.subscribed:
        assert with_state(group, given[name]) >= with_state(group, before[name])


@examples(300)
@given(groups(topics=1), claims, st.data())
def test_when_one_leaves_a_single_topic_the_others_keep_all_that_they_had_of_it(
    group: Group, claims: dict[str, Claim], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(group.subscribed)))
    before = spread(group, claims)
    others = without(group, gone)
    given = spread(others, as_claims({name: before[name] for name in others.subscribed}))
    assert all(pairs(given[name]) >= pairs(before[name]) for name in others.subscribed)


@examples(300)
@given(roads(), st.integers(1, 3), claims, st.sampled_from(MEMBERS[:2]))
def test_who_comes_back_without_a_memory_gets_what_it_had_where_all_have_as_much(
    drawn: Group, each: int, claims: dict[str, Claim], away: str
) -> None:
    group = drawn._replace(topics=dict.fromkeys(drawn.topics, each * len(drawn.subscribed)))
    before = spread(group, claims)
    others = without(group, away)
    meanwhile = spread(others, as_claims({name: before[name] for name in others.subscribed}))
    given = spread(group, as_claims(meanwhile))
    assert {name: pairs(held) for name, held in given.items()} == {
        name: pairs(held) for name, held in before.items()
    }


@examples(300)
@given(groups(), st.permutations(range(len(MEMBERS))), claims)
def test_what_a_later_generation_got_an_earlier_one_has_not(
    group: Group, generations: list[int], drawn: dict[str, Claim]
) -> None:
    since = dict(zip(MEMBERS, generations, strict=True))
    claims = {
        name: drawn[name]._replace(generation=since[name]) for name in drawn if name in group.subscribed
    }
    left = {}
    for name, claim in claims.items():
        later = set().union(
            *(pairs(one.held) for one in claims.values() if one.generation > claim.generation)
        )
        held = {
            topic: [partition for partition in partitions if (topic, partition) not in later]
            for topic, partitions in claim.held.items()
        }
        left[name] = Claim(held, 1)
    assert spread(group, claims) == spread(group, left)


@examples(200)
@given(groups(), claims, st.randoms(use_true_random=False))
def test_the_order_in_which_members_and_topics_are_named_changes_nothing(
    group: Group, claims: dict[str, Claim], chance: Random
) -> None:
    names = sorted(group.subscribed, key=lambda _: chance.random())
    subscribed = {name: sorted(group.subscribed[name], key=lambda _: chance.random()) for name in names}
    told_otherwise = {
        name: Claim(dict(sorted(claim.held.items(), key=lambda _: chance.random())), claim.generation)
        for name, claim in claims.items()
    }
    assert spread(group._replace(subscribed=subscribed), told_otherwise) == spread(group, claims)
