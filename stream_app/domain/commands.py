"""Operators' commands: evidence that a person gives (design: IDENTITY, "Operators").

Commands are ordered by their own time, never by arrival; at one instant the more careful one counts. So a
replay of all topics arrives at the same customers. Erasure is the exception: what it takes is what has come by
the time that it acts (see `erasing`).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

Pair = tuple[str, str]
"""Two identifiers, the stronger one first."""


class Op(StrEnum):
    """What an operator may ask for."""

    ASSERT = "assert"
    DENY = "deny"
    WITHDRAW = "withdraw"
    BLOCK = "block"
    RELEASE = "release"
    ERASE = "erase"


PAIR_OPS = frozenset((Op.ASSERT, Op.DENY, Op.WITHDRAW))
"""Those that speak of two identifiers."""

_CARE = {Op.DENY: 2, Op.WITHDRAW: 1, Op.ASSERT: 0, Op.BLOCK: 1, Op.RELEASE: 0}


class Command(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A valid command.

    Attributes:
        command_id: unique; a copy changes nothing.
        op: what is asked for.
        identifiers: normalised, stronger first; two for `PAIR_OPS`, else one.
        time: the command's own time, ms: orders it among others.
        operator: who gave it.
        reason: why, in the operator's words.
        source: "topic/partition/offset".
    """

    command_id: str
    op: Op
    identifiers: tuple[str, ...]
    time: int
    operator: str
    reason: str
    source: str


class Verdict(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What stands about a pair or an identifier: the command's time (ms), kind, id, and who gave it, why."""

    time: int
    op: Op
    command_id: str
    operator: str = ""
    reason: str = ""

    @property
    def weight(self) -> tuple[int, int]:
        """Order: the latest stands; at one instant deny before withdraw before assert, block before release."""
        return (self.time, _CARE[self.op])

    def beats(self, other: Verdict | None) -> bool:
        """Tell whether this one stands rather than the other; equal in all but the id: the smaller id."""
        if other is None:
            return True
        return self.weight > other.weight or (
            self.weight == other.weight and self.command_id < other.command_id
        )


def verdict_of(command: Command) -> Verdict:
    """Return what a command (not an erasure) says."""
    return Verdict(command.time, command.op, command.command_id, command.operator, command.reason)
