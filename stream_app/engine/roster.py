"""What the members of a group tell each other when it forms, beside what they read: who they are, and who stands by.

Rules:
- A member tells its worker, its transactional id, which partitions it keeps warm rows of, and who was in the group when
  it formed last: whoever leads it next may be new to it.
- The group's leader answers each with the transactional ids of all members, and with the partitions whose rows it is to
  keep warm while others own them.
- Whose transactional id somebody tells of, and is nobody's now, is gone. The leader ends its open transaction,
  by opening the id: the next owner of its partitions, and all who read what it wrote, would else wait for
  `transaction.timeout.ms`. A worker that was only silent finds its producer fenced, as it would have found its offsets.

The words ride behind those of aiokafka's sticky assignor, which reads its own part and no further, and in a field of
the answer that it leaves empty. So workers of a version that has none of this may be in the same group.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import msgspec

_MARK = b"\x00raccord-roster:"

Partitions = frozenset[tuple[str, int]]


class Told(msgspec.Struct, array_like=True):
    """What a member tells: its worker, its transactional id, the partitions that it has warm, and whom it knows."""

    worker: str
    transactional_id: str
    warm: list[tuple[str, int]] = []
    members: list[str] = []


class Answered(msgspec.Struct, array_like=True):
    """What the leader answers: all members' transactional ids, and the partitions to keep warm."""

    members: list[str]
    standbys: list[tuple[str, int]] = []


_encode = msgspec.msgpack.Encoder().encode
_told = msgspec.msgpack.Decoder(Told).decode
_answered = msgspec.msgpack.Decoder(Answered).decode


def with_told(user_data: bytes, told: Told) -> bytes:
    """Put what a member tells behind what its assignor does."""
    return user_data + _MARK + _encode(told)


def told_in(user_data: bytes) -> Told | None:
    """Return what a member tells, or None: its version tells nothing."""
    _, mark, raw = user_data.rpartition(_MARK)
    try:
        return _told(raw) if mark else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def answer(answered: Answered) -> bytes:
    """Return the bytes of an answer."""
    return _encode(answered)


def answered_in(user_data: bytes) -> Answered:
    """Return what a leader answered; one of a version without this answers nothing."""
    try:
        return _answered(user_data) if user_data else Answered([])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Answered([])


@dataclass
class Roster:
    """One worker's view: the assignor writes it in the consumer's thread, the worker reads it in its own.

    Attributes:
        worker: this worker; its processes have it in common.
        transactional_id: of this process.
        replicas: how many keep each partition's rows warm beside its owner.
        warm: partitions whose rows are warm here, as is told when joining.
        standbys: partitions whose rows are to be kept warm here.
        members: transactional ids of the group, as of the last answer.
    """

    worker: str = ""
    transactional_id: str = ""
    replicas: int = 0
    warm: Partitions = frozenset()
    standbys: Partitions = frozenset()
    members: frozenset[str] = frozenset()
    _gone: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def left(self, known: frozenset[str], members: frozenset[str]) -> None:
        """Note, in the leader, who was in the group and is in it no more."""
        with self._lock:
            self._gone |= known
            self._gone -= members

    def take_gone(self) -> set[str]:
        """Return the transactional ids whose open transactions are to be ended, once."""
        with self._lock:
            gone, self._gone = self._gone, set()
        return gone
