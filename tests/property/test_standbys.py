"""Who keeps whose rows warm, and who gets a partition when its owner is gone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_app.engine.assignor import PerTopicAssignor
from stream_app.engine.errors import FormatError
from stream_app.engine.observer import Observer
from stream_app.engine.roster import Roster, Told, told_in, with_told
from stream_app.engine.standby import Standbys
from tests.property.examples import examples
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

STATEFUL = ("resolve", "customer")
ROAD = ("channel", *STATEFUL)


class Member(NamedTuple):
    """One member's side of the protocol."""

    assignor: PerTopicAssignor
    roster: Roster


class Group:
    """Members that form a group again and again; the first of those there leads it."""

    def __init__(self, partitions: int, replicas: int) -> None:
        self.partitions = partitions
        self.replicas = replicas
        self.members: dict[str, Member] = {}
        self.generation = 0
        self.owned: dict[str, set[tuple[str, int]]] = {}

    def join(self, name: str, worker: str) -> None:
        roster = Roster(worker, f"group-{name}", self.replicas)
        self.members[name] = Member(PerTopicAssignor(STATEFUL, lambda: self.generation, roster), roster)

    def form(self) -> set[str]:
        """Form the group anew; return whose transactions its leader is to end."""
        self.generation += 1
        cluster: Any = SimpleNamespace(partitions_for_topic=lambda _topic: set(range(self.partitions)))
        told = {
            name: ConsumerProtocolMemberMetadata.decode(member.assignor.metadata(ROAD).encode())
            for name, member in self.members.items()
        }
        leader = next(iter(self.members.values()))
        answers = leader.assignor.assign(cluster, told)
        for name, member in self.members.items():
            answer = ConsumerProtocolMemberAssignment.decode(answers[name].encode())
            member.assignor.on_assignment(answer)
            self.owned[name] = {(topic, p) for topic, ps in answer.assignment for p in ps}
        return leader.roster.take_gone()

    def warm_up(self) -> None:
        for member in self.members.values():
            member.roster.warm = member.roster.standbys

    def die(self, name: str) -> Member:
        self.owned.pop(name)
        return self.members.pop(name)

    def with_state(self, name: str) -> set[tuple[str, int]]:
        return {one for one in self.owned[name] if one[0] in STATEFUL}


def groups() -> st.SearchStrategy[tuple[int, int, list[int]]]:
    """Draw (partitions, replicas, the number of processes of each worker)."""
    return st.tuples(
        st.integers(1, 12), st.integers(0, 2), st.lists(st.integers(1, 3), min_size=1, max_size=4)
    )


def formed(drawn: tuple[int, int, list[int]]) -> Group:
    partitions, replicas, workers = drawn
    group = Group(partitions, replicas)
    for worker, processes in enumerate(workers):
        for process in range(processes):
            group.join(f"w{worker}.{process}", f"w{worker}")
    group.form()
    return group


@examples(150)
@given(groups())
def test_every_partition_with_state_has_its_standbys_and_no_owner_is_its_own(drawn):
    group = formed(drawn)
    times: dict[tuple[str, int], int] = {}
    for name, member in group.members.items():
        assert not member.roster.standbys & group.owned[name]
        for one in member.roster.standbys:
            times[one] = times.get(one, 0) + 1
    wanted = min(group.replicas, len(group.members) - 1)
    everything = {(topic, p) for topic in STATEFUL for p in range(group.partitions)}
    assert times == (dict.fromkeys(everything, wanted) if wanted else {})


@examples(150)
@given(groups())
def test_a_standby_is_of_another_worker_where_there_is_one(drawn):
    group = formed(drawn)
    if len(drawn[2]) <= group.replicas:
        return
    owner_of = {one: name for name, owned in group.owned.items() for one in owned}
    for member in group.members.values():
        for one in member.roster.standbys:
            assert group.members[owner_of[one]].roster.worker != member.roster.worker


@examples(150)
@given(groups())
def test_a_group_that_forms_again_leaves_partitions_and_standbys_where_they_are(drawn):
    group = formed(drawn)
    group.warm_up()
    owned = dict(group.owned)
    standbys = {name: member.roster.standbys for name, member in group.members.items()}
    assert group.form() == set()
    assert group.owned == owned
    assert {name: member.roster.standbys for name, member in group.members.items()} == standbys


@given(st.integers(1, 12), st.integers(2, 4))
def test_what_a_worker_leaves_goes_to_who_has_it_warm(partitions, workers):
    group = formed((partitions, workers - 1, [1] * workers))  # so many that all of it is warm somewhere
    group.warm_up()
    left = group.with_state("w0.0")
    before = {name: group.with_state(name) for name in group.members}
    group.die("w0.0")
    warm = {name: member.roster.warm for name, member in group.members.items()}
    group.form()
    taken = {name: group.with_state(name) - before[name] for name in group.members}
    assert set().union(*taken.values()) >= left
    assert all(taken[name] & left <= warm[name] for name in group.members)


def test_of_two_who_may_have_a_partition_it_goes_to_the_one_who_has_it_warm():
    group = formed((6, 1, [1, 1, 1]))
    group.warm_up()
    left = group.with_state("w0.0")
    before = {name: group.with_state(name) for name in group.members}
    group.die("w0.0")
    warm = {name: member.roster.warm for name, member in group.members.items()}
    group.form()
    for name in group.members:
        assert (group.with_state(name) - before[name]) & left <= warm[name]


@examples(100)
@given(groups(), st.randoms(use_true_random=False))
def test_the_leader_is_told_of_everybody_who_is_gone_and_of_nobody_else(drawn, rnd):
    group = formed(drawn)
    if len(group.members) == 1:
        return
    gone = rnd.sample(sorted(group.members), rnd.randrange(1, len(group.members)))
    for name in gone:
        group.die(name)
    assert group.form() == {f"group-{name}" for name in gone}
    assert group.form() == set()


def test_a_leader_that_is_new_to_the_group_is_told_of_who_is_gone_too():
    group = formed((4, 1, [1, 1, 1]))
    group.die("w0.0")
    old = group.members
    group.members = {}
    group.join("new", "new")  # the first one there: it leads
    group.members.update(old)
    assert group.form() == {"group-w0.0"}


def test_who_came_back_under_its_old_name_is_not_gone():
    group = formed((4, 1, [1, 1]))
    group.die("w1.0")
    group.join("w1.0", "w1")
    assert group.form() == set()


def test_members_of_a_version_that_tells_nothing_are_given_partitions_and_no_standbys():
    group = formed((4, 1, [1, 1]))
    old = "w1.0"
    told: Mapping[str, Any] = {name: member.assignor.metadata(ROAD) for name, member in group.members.items()}
    silent = ConsumerProtocolMemberMetadata(0, list(ROAD), b"")
    cluster: Any = SimpleNamespace(partitions_for_topic=lambda _topic: set(range(4)))
    answers = group.members["w0.0"].assignor.assign(cluster, {**told, old: silent})
    assert sum(len(ps) for _, ps in answers[old].assignment) == 6


@examples(100)
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_anything_may_stand_where_a_member_tells_of_itself(before, after):
    assert told_in(before) is None or before.count(b"raccord-roster")
    told = Told("w", "t", [("a", 1)])
    assert told_in(with_told(before, told)) == told
    told_in(before + b"\x00raccord-roster:" + after)  # whatever that is, it is read without a complaint


def test_who_joins_takes_over_a_share_of_the_standbys_and_leaves_the_others_where_they_are_warm():
    group = formed((12, 1, [1, 1, 1]))
    group.warm_up()
    group.join("a", "a")  # before all others in any order of names
    group.form()
    for name, member in group.members.items():
        assert member.roster.standbys
        assert name == "a" or member.roster.standbys <= member.roster.warm


def test_rows_of_a_format_that_is_not_known_end_the_worker_and_are_not_waited_for():
    def refused(*_of: object) -> Any:
        msg = "planted"
        raise FormatError(msg)

    stage: Any = SimpleNamespace(tables=(1,), name="count", changelog="changelog")
    nobody = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    standbys = Standbys({"middle": stage}, refused, nobody, Roster(), Observer())
    standbys.follow({TP("middle", 0)})
    assert wait_for(lambda: isinstance(standbys.error, FormatError))
    standbys.close()
