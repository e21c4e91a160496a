"""Which worker of the group reads which partitions: of every topic as many as the others, and what it read before.

aiokafka's sticky assignor counts partitions over all topics. To it a worker that has nothing but channels is as busy
as one that has all of the stages with tables, and does all of the work. Here, in this order:

1. Of each topic, the counts of any two of its readers differ by at most one.
2. Of all topics with state behind them, the totals of the members are as even as 1 allows; and then those of all
   topics. Where all read the same topics, as workers of one version do, they differ by at most one.
3. Of the assignments that are as even, it is one in which the fewest partitions with state go to somebody else, each
   of which is rows to be restored, and then the fewest of the others. Without a change of members nothing moves.
4. Who has to give up partitions of a topic gives up those that it got last: a worker that was restarted gets back
   what its folder has the rows of, where the counts allow it.
5. A partition that two say to have had was that one's who got it in the later generation of the group: the other
   one was away for a while.
6. Of what nobody keeps, a reader with a larger share to fill gets first what it has warm rows of (see `roster`).
7. With standbys, each partition with state is given to as many others to keep warm: rather to another worker than to
   another process of its owner's, of those rather to whom it is warm, and to none much more than to the others.
8. The same input gives the same assignment.

By topic and not by stage, because this spreads each stage as well, and each channel besides, and channels are not
equally busy. A stage with tables has a single topic anyway (see `stage`).

To the group it is called "sticky", as aiokafka's: a name says what members tell each other, and that is the same.
So workers from before and after an upgrade are in one group, and it is spread by the rules of whoever leads it. To
offer a new name beside the old one would make of each rebalance two: aiokafka asks to join once for each name (its
pull request 1168).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import (
    StickyAssignorUserDataV1,
    StickyPartitionAssignor,
)
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from stream_app.engine.roster import Answered, Roster, Told, answer, answered_in, told_in, with_told

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from aiokafka.cluster import ClusterMetadata

_VERSION = 0
"""Of the consumer protocol's messages; as aiokafka's assignors have it."""

_Node = tuple[str, bool]
"""Where shares are counted: (member, False) all of its, (member, True) those with state; `_GROUP` the group's."""
_GROUP: _Node = ("", False)

_Steps = dict[tuple[_Node, _Node], "tuple[int, _Topic | None]"]
"""From where to where a share may go -> what it costs, and of which topic it is; none if it is only counted."""


@dataclass
class _Topic:
    """A topic that is being spread.

    Attributes:
        partitions: its partitions.
        stateful: whether there is state behind them.
        readers: members that subscribe to it.
        held: which partitions each of them had so far; what it got last comes last.
        warm: which partitions of others each of them has warm rows of.
        larger: readers that get one partition more than `share`.
    """

    partitions: list[int]
    stateful: bool
    readers: list[str]
    held: dict[str, list[int]]
    warm: dict[str, frozenset[int]] = field(default_factory=dict)
    larger: set[str] = field(default_factory=set)

    @property
    def share(self) -> int:
        """How many partitions each reader gets at least."""
        return len(self.partitions) // len(self.readers)

    @property
    def rest(self) -> int:
        """How many readers get one more."""
        return len(self.partitions) % len(self.readers)

    def size_for(self, reader: str) -> int:
        """How many partitions a reader gets."""
        return self.share + (reader in self.larger)

    def keeps(self, reader: str) -> bool:
        """Say whether a larger share would let a reader keep a partition."""
        return len(self.held[reader]) > self.share

    def hand_out(self) -> dict[str, list[int]]:
        """Return what each reader gets: what it had, as far as its share goes, and then what others let go."""
        given = {reader: self.held[reader][: self.size_for(reader)] for reader in self.readers}
        kept = {partition for partitions in given.values() for partition in partitions}
        free = [partition for partition in self.partitions if partition not in kept]
        for wanted in (self.warm, None):
            for reader in self.readers:
                missing = self.size_for(reader) - len(given[reader])
                fits = free if wanted is None else [one for one in free if one in wanted.get(reader, ())]
                given[reader] += fits[:missing]
                free = [one for one in free if one not in given[reader]]
        return given


class PerTopicAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Spreads each topic by itself; one for each consumer, because it remembers what that was given.

    Args:
        stateful: topics with state behind them.
        generation: tells in which generation of the group its consumer is.
        roster: what is told and answered beside it.
    """

    name = "sticky"

    def __init__(
        self, stateful: Collection[str], generation: Callable[[], int], roster: Roster | None = None
    ) -> None:
        self._stateful = frozenset(stateful)
        self._generation = generation
        self._roster = Roster() if roster is None else roster
        self._held: tuple[dict[str, list[int]], int] | None = None

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return what is told when joining: subscriptions, and what was last assigned, in which generation."""
        held, generation = self._held or ({}, StickyPartitionAssignor.DEFAULT_GENERATION_ID)
        roster = self._roster
        told = Told(roster.worker, roster.transactional_id, sorted(roster.warm), sorted(roster.members))
        sticky = StickyAssignorUserDataV1(list(held.items()), generation).encode()
        return ConsumerProtocolMemberMetadata(_VERSION, list(topics), with_told(sticky, told))

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Remember what was assigned.

        The generation is remembered with it: when it is told, the consumer may have been thrown out of the group
        and be in none. aiokafka's own assignor waits to be told, and nothing of aiokafka does.
        """
        held: dict[str, list[int]] = defaultdict(list)
        for topic, partition in assignment.partitions():
            held[topic].append(partition)
        self._held = held, self._generation()
        answered = answered_in(assignment.user_data or b"")
        self._roster.members = frozenset(answered.members)
        self._roster.standbys = frozenset(answered.standbys)

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Spread all topics over the members that subscribe to them; only called in the group's leader."""
        told = {member: told_in(one.user_data or b"") or Told("", "") for member, one in members.items()}
        topics = _topics(cluster, members, self._stateful, told)
        _choose_larger(topics.values(), sorted(members))
        assigned: dict[str, list[tuple[str, list[int]]]] = {member: [] for member in members}
        for name, topic in topics.items():
            for reader, partitions in topic.hand_out().items():
                if partitions:
                    assigned[reader].append((name, partitions))
        there = frozenset(one.transactional_id for one in told.values() if one.transactional_id)
        self._roster.left(frozenset(known for one in told.values() for known in one.members), there)
        standbys = _standbys(topics, assigned, told, self._roster.replicas)
        return {
            member: ConsumerProtocolMemberAssignment(
                _VERSION, partitions, answer(Answered(sorted(there), standbys[member]))
            )
            for member, partitions in assigned.items()
        }


def _standbys(
    topics: Mapping[str, _Topic],
    assigned: Mapping[str, Iterable[tuple[str, Iterable[int]]]],
    told: Mapping[str, Told],
    replicas: int,
) -> dict[str, list[tuple[str, int]]]:
    """Return what each member keeps warm: of every partition with state, `replicas` who don't own it, if there are."""
    owners = {(name, p): member for member, given in assigned.items() for name, ps in given for p in ps}
    standbys: dict[str, list[tuple[str, int]]] = {member: [] for member in told}
    wanted = [tp for tp in sorted(owners) if topics[tp[0]].stateful]
    fair = -(-len(wanted) * replicas // max(1, len(told)))
    for tp in wanted:
        owner = owners[tp]

        def order(
            member: str, tp: tuple[str, int] = tp, owner: str = owner
        ) -> tuple[bool, bool, bool, int, str]:
            same_worker = told[member].worker == told[owner].worker
            has = len(standbys[member])
            return same_worker, has >= fair, tp not in told[member].warm, has, member

        others = sorted((member for member in topics[tp[0]].readers if member != owner), key=order)
        for member in others[:replicas]:
            standbys[member].append(tp)
    return standbys


def _topics(
    cluster: ClusterMetadata,
    members: Mapping[str, ConsumerProtocolMemberMetadata],
    stateful: Collection[str],
    told: Mapping[str, Told],
) -> dict[str, _Topic]:
    """Return the topics that anybody subscribes to, in a fixed order; one that isn't there has no partitions."""
    readers: dict[str, list[str]] = defaultdict(list)
    for member in sorted(members):
        for topic in set(members[member].subscription):
            readers[topic].append(member)
    held = _held(members)
    topics = {}
    for topic in sorted(readers, key=lambda topic: (topic not in stateful, topic)):
        there = cluster.partitions_for_topic(topic) or set()
        had = {reader: [p for p in held[reader][topic] if p in there] for reader in readers[topic]}
        warm = {
            reader: frozenset(p for name, p in told[reader].warm if name == topic)
            for reader in readers[topic]
        }
        topics[topic] = _Topic(sorted(there), topic in stateful, readers[topic], had, warm)
    return topics


def _held(members: Mapping[str, ConsumerProtocolMemberMetadata]) -> dict[str, dict[str, list[int]]]:
    """Return what each member had, as it told, and as nobody got it later; by topic."""
    told = {
        member: StickyPartitionAssignor.parse_member_metadata(members[member]) for member in sorted(members)
    }
    last: dict[tuple[str, int], str] = {}
    # Of the same generation there are two claims only if something is wrong: then any rule will do.
    for member in sorted(told, key=lambda member: told[member].generation):
        last.update(dict.fromkeys(told[member].partitions, member))
    held: dict[str, dict[str, list[int]]] = {member: defaultdict(list) for member in told}
    for member, claims in told.items():
        for topic, partition in dict.fromkeys(claims.partitions):
            if last[topic, partition] == member:
                held[member][topic].append(partition)
    return held


def _choose_larger(topics: Collection[_Topic], members: Sequence[str]) -> None:
    """Choose who gets the larger shares.

    At first, who keeps a partition by it, and else who has least. Then shares go round in rings for as long as one
    makes it better. That finds the best: shares flow from topics to members, at costs that grow with what a member
    has, and a flow costs least when no ring costs less than nothing.
    """
    totals = dict.fromkeys(members, 0)
    for topic in topics:
        wish = sorted(topic.readers, key=lambda reader: (not topic.keeps(reader), totals[reader]))
        topic.larger = set(wish[: topic.rest])
        for reader in topic.readers:
            totals[reader] += topic.size_for(reader)
    while ring := _ring(steps := _steps(topics, members), 2 * len(members) + 1):
        for start, end in ring:
            _, handed_on = steps[start, end]
            if handed_on is not None:
                handed_on.larger.remove(start[0])
                handed_on.larger.add(end[0])


def _steps(topics: Iterable[_Topic], members: Iterable[str]) -> _Steps:
    """Return all steps that a ring may be made of: each the cheapest one from its start to its end.

    A larger share is handed on from member to member. Where somebody has one less in the end, or one more, that is
    counted: in a total of what has state, in a total of everything, or in both. A total costs its square.
    """
    topics = list(topics)
    steps: _Steps = {}
    for member in members:
        mine = [topic for topic in topics if member in topic.held]
        total = sum(topic.size_for(member) for topic in mine)
        stateful = sum(topic.size_for(member) for topic in mine if topic.stateful)
        steps[_GROUP, (member, False)] = _cost(uneven=1 - 2 * total), None
        steps[(member, False), _GROUP] = _cost(uneven=1 + 2 * total), None
        steps[(member, False), (member, True)] = _cost(uneven_stateful=1 - 2 * stateful), None
        steps[(member, True), (member, False)] = _cost(uneven_stateful=1 + 2 * stateful), None
    for topic in topics:
        for giver, taker in product(sorted(topic.larger), topic.readers):
            moved = topic.keeps(giver) - topic.keeps(taker)
            cost = _cost(moved_stateful=moved) if topic.stateful else _cost(moved=moved)
            step = (giver, topic.stateful), (taker, topic.stateful)
            if taker not in topic.larger and (step not in steps or cost < steps[step][0]):
                steps[step] = cost, topic
    return steps


def _cost(*, uneven_stateful: int = 0, uneven: int = 0, moved_stateful: int = 0, moved: int = 0) -> int:
    """Return a number by which costs compare first by the first of these, then by the second, and so on."""
    cost = 0
    for part in (uneven_stateful, uneven, moved_stateful, moved):
        cost = (cost << 32) + part
    return cost


def _ring(steps: _Steps, nodes: int) -> list[tuple[_Node, _Node]]:
    """Return steps in a ring that cost less than nothing together, or nothing if there are none (Bellman and Ford)."""
    costs: dict[_Node, int] = defaultdict(int)
    before: dict[_Node, _Node] = {}
    node = _GROUP
    for _ in range(nodes):
        cheaper = None
        for (start, end), (cost, _) in steps.items():
            if costs[start] + cost < costs[end]:
                costs[end] = costs[start] + cost
                before[end] = start
                cheaper = end
        if cheaper is None:
            return []
        node = cheaper
    # What still gets cheaper after so many rounds does so from a ring: as many steps back is a node of it.
    for _ in range(nodes):
        node = before[node]
    ring = [(before[node], node)]
    while ring[-1][0] != node:
        end = ring[-1][0]
        ring.append((before[end], end))
    return ring
