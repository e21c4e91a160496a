"""The simulated coordinator of the consumer group: members, generations, and offsets that come in a transaction.

Rules (KIP-447, "Producer scalability for exactly once semantics"; the classic rebalance protocol):
- A rebalance begins when a member joins, leaves, or is silent for too long. Members give up what they own (eager),
  finish their epoch, and join; when all have, the generation rises by one and each is told what it owns.
- Offsets in a transaction are taken from the member that is known, in the generation of now: `UNKNOWN_MEMBER_ID` and
  `ILLEGAL_GENERATION` otherwise. While members are joining, the old generation still is the one of now.
- Offsets are pending until their transaction's marker comes; an abort drops them.

Who gets which partition is drawn: the engine must not depend on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping

    from faust.types import TP


class Group:
    """One consumer group."""

    def __init__(self, rnd: random.Random, partitions: Iterable[TP]) -> None:
        self.generation = 0
        self.members: dict[str, frozenset[TP]] = {}
        self.joined: set[str] = set()
        self.stable = True
        self.offsets: dict[TP, int] = {}
        self.names = 0
        self._random = rnd
        self._partitions = sorted(partitions)

    def enter(self) -> str:
        """Become a member; return its id."""
        self.names += 1
        member = f"member-{self.names}"
        self.members[member] = frozenset()
        self.rebalance()
        self.joined.add(member)  # it owns nothing that it could give up
        return member

    def leave(self, member: str) -> None:
        """Stop being one, or be given up by the coordinator."""
        if self.members.pop(member, None) is not None:
            self.rebalance()

    def rebalance(self) -> None:
        """Have everybody join again."""
        if self.stable:
            self.joined.clear()
        self.stable = False
        self.joined &= self.members.keys()

    def join(self, member: str) -> None:
        """Give up what one owns, and wait for the next generation; whoever was given up by now is told so later."""
        if member in self.members:
            self.joined.add(member)

    def complete(self) -> None:
        """Begin the next generation, if all members have joined."""
        if self.stable or self.joined != self.members.keys():
            return
        self.generation += 1
        self.stable = True
        members = sorted(self.members)
        shares: dict[str, set[TP]] = {member: set() for member in members}
        if members:
            for tp in self._partitions:
                shares[self._random.choice(members)].add(tp)
        self.members = {member: frozenset(share) for member, share in shares.items()}

    def refusal(self, generation: int, member: str) -> int | None:
        """Return with which error offsets are refused; None: they are taken."""
        if member not in self.members:
            return KafkaError.UNKNOWN_MEMBER_ID
        return None if generation == self.generation else KafkaError.ILLEGAL_GENERATION

    def commit(self, offsets: Mapping[TP, int]) -> None:
        """Make a transaction's offsets the group's."""
        self.offsets.update(offsets)
