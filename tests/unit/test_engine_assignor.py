"""What members of a group tell each other of their partitions, and how a road's are shared out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka.coordinator.assignors.sticky.sticky_assignor import (
    StickyAssignorUserDataV1,
    StickyPartitionAssignor,
)
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.structs import TopicPartition

from stream_app.engine.assignor import PerTopicAssignor

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANNELS = [f"channel.{number}" for number in range(10)]
STATEFUL = ["lookup", "components"]
ROAD = [*CHANNELS, "commands", *STATEFUL]
PARTITIONS = 4


def cluster() -> Any:
    return SimpleNamespace(
        topics=lambda: set(ROAD),
        partitions_for_topic=lambda topic: set(range(PARTITIONS)) if topic in ROAD else None,
    )


def assigned(held: Mapping[str, list[int]]) -> ConsumerProtocolMemberAssignment:
    """Return an assignment as it comes from the leader."""
    sent = ConsumerProtocolMemberAssignment(0, list(held.items()), b"")
    return ConsumerProtocolMemberAssignment.decode(sent.encode())


def remembering(held: Mapping[str, list[int]], generation: int) -> PerTopicAssignor:
    assignor = PerTopicAssignor(STATEFUL, lambda: generation)
    assignor.on_assignment(assigned(held))
    return assignor


def received(metadata: ConsumerProtocolMemberMetadata) -> ConsumerProtocolMemberMetadata:
    return ConsumerProtocolMemberMetadata.decode(metadata.encode())


def given(
    assignor: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
) -> dict[str, dict[str, list[int]]]:
    """Return what a leader gives to each member."""
    return {name: dict(one.assignment) for name, one in assignor.assign(cluster(), members).items()}


# What they tell


def test_what_was_assigned_is_told_at_the_next_join_in_its_order_and_with_its_generation():
    told = received(remembering({"lookup": [3, 0], "components": [1]}, 7).metadata(ROAD))
    assert told.subscription == ROAD
    understood = StickyPartitionAssignor.parse_member_metadata(told)
    assert understood.partitions == [
        TopicPartition(*tp) for tp in (("lookup", 3), ("lookup", 0), ("components", 1))
    ]
    assert understood.generation == 7


def test_the_generation_told_is_the_one_of_the_assignment_though_the_member_is_in_none_any_more():
    generation = 7
    assignor = PerTopicAssignor(STATEFUL, lambda: generation)
    assignor.on_assignment(assigned({"lookup": [1]}))
    generation = -1
    assert StickyAssignorUserDataV1.decode(assignor.metadata(ROAD).user_data).generation == 7


def test_who_was_never_assigned_anything_tells_nothing_and_no_two_share_a_memory():
    remembering({"lookup": [1]}, 7)
    told = PerTopicAssignor(STATEFUL, lambda: 7).metadata(ROAD)
    assert StickyPartitionAssignor.parse_member_metadata(told).partitions == []


def test_what_can_not_be_read_claims_nothing():
    hers = remembering({"lookup": [0, 1, 2, 3]}, 7).metadata(["lookup"])
    members = {"w1": ConsumerProtocolMemberMetadata(0, ["lookup"], b"\x00\x01broken"), "w2": hers}
    assert given(PerTopicAssignor(STATEFUL, lambda: -1), members) == {
        "w1": {"lookup": [2, 3]},
        "w2": {"lookup": [0, 1]},
    }


# Together with workers that have aiokafka's assignor


def test_workers_of_before_and_after_an_upgrade_are_in_one_group_and_understand_each_other():
    assert PerTopicAssignor.name == StickyPartitionAssignor.name
    halves = {"w1": {"lookup": [0, 1]}, "w2": {"lookup": [2, 3]}}
    new = remembering(halves["w1"], 7)
    old = type("Old", (StickyPartitionAssignor,), {})  # its memory is its class
    old.on_assignment(assigned(halves["w2"]))
    members = {"w1": received(new.metadata(["lookup"])), "w2": received(old.metadata(["lookup"]))}
    assert given(new, members) == given(old, members) == halves


# How a road's are shared out


def test_a_worker_that_has_only_channels_gets_half_of_each_stage():
    """So it was: 26 partitions each, and one of the two did all of the work."""
    before = {
        "w1": {topic: [0, 1, 2, 3] for topic in CHANNELS[:6]} | {CHANNELS[6]: [0, 1]},
        "w2": {topic: [0, 1, 2, 3] for topic in (*CHANNELS[7:], "commands", *STATEFUL)}
        | {CHANNELS[6]: [2, 3]},
    }
    members = {name: received(remembering(held, 7).metadata(ROAD)) for name, held in before.items()}
    after = given(PerTopicAssignor(STATEFUL, lambda: 7), members)
    assert {len(partitions) for held in after.values() for partitions in held.values()} == {2}
    assert after["w1"][CHANNELS[6]] == [0, 1]


def test_three_workers_share_what_has_state_among_them_and_so_they_do_everything():
    members = {name: PerTopicAssignor(STATEFUL, lambda: -1).metadata(ROAD) for name in ("w1", "w2", "w3")}
    after = given(PerTopicAssignor(STATEFUL, lambda: -1), members)
    assert sorted(sum(len(held[topic]) for topic in STATEFUL) for held in after.values()) == [2, 3, 3]
    assert sorted(sum(map(len, held.values())) for held in after.values()) == [17, 17, 18]


def test_with_more_workers_than_partitions_of_a_topic_each_has_something():
    names = [f"w{number}" for number in range(1, 7)]
    members = {name: PerTopicAssignor(STATEFUL, lambda: -1).metadata(ROAD) for name in names}
    after = given(PerTopicAssignor(STATEFUL, lambda: -1), members)
    assert sorted(sum(map(len, held.values())) for held in after.values()) == [8, 8, 9, 9, 9, 9]
    assert sorted(sum(len(held.get(topic, ())) for topic in STATEFUL) for held in after.values()) == [
        1,
        1,
        1,
        1,
        2,
        2,
    ]


def test_a_worker_that_comes_back_gets_the_partitions_that_its_folder_has_the_rows_of():
    two = {"w1": {"lookup": [0, 1]}, "w2": {"lookup": [2, 3]}}
    alone = given(
        PerTopicAssignor(STATEFUL, lambda: 7),
        {"w2": received(remembering(two["w2"], 7).metadata(["lookup"]))},
    )
    assert alone == {"w2": {"lookup": [2, 3, 0, 1]}}
    members = {
        "w1": PerTopicAssignor(STATEFUL, lambda: -1).metadata(["lookup"]),
        "w2": received(remembering(alone["w2"], 8).metadata(["lookup"])),
    }
    assert given(PerTopicAssignor(STATEFUL, lambda: 8), members) == two


def test_a_topic_that_is_not_there_yet_is_left_out():
    members = {"w1": PerTopicAssignor(STATEFUL, lambda: -1).metadata(["lookup", "not.yet"])}
    assert given(PerTopicAssignor(STATEFUL, lambda: -1), members) == {"w1": {"lookup": [0, 1, 2, 3]}}
