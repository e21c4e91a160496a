"""The simulated transaction coordinator: one transaction at a time under each id, and who may write to it.

Rules (KIP-98; KIP-360 for what a fenced producer is told):
- `begin` (InitProducerId) raises the id's epoch. What its predecessor left open is aborted, what it left half
  committed is committed, before the answer comes. Whoever has an older epoch is fenced: all it sends is refused.
- A transaction opens with the first record or offsets. One that lasts longer than its timeout is aborted by the
  broker, which raises the epoch too.
- An end is decided once, when the coordinator has written it down; the answer comes then. Markers reach the partitions,
  and the group's offsets, one by one and in any order after that: a commit is seen here, and not yet there.
- The next record under an id waits until all markers of the last transaction are written.

Not simulated: a record that was on its way when its transaction ended (KIP-890), and brokers that fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faust.types import TP

from tests.simulation.log import Log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.simulation.group import Group


class FencedByBrokerError(Exception):
    """A newer producer has this id, or the broker ended its transaction."""


class OffsetsRefusedError(Exception):
    """The group does not take the offsets; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Transaction:
    """What the coordinator knows under one id."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = -1
        self.began: float | None = None
        self.timeout = 0.0
        self.partitions: dict[TP, None] = {}
        self.offsets: dict[TP, int] = {}
        self.decided: bool | None = None
        """Committed or aborted; None while it is open, or when all markers are written."""


class Broker:
    """Logs, the transaction coordinator, and the group's."""

    def __init__(self, partitions: Mapping[str, int], group: Group, stamped: Iterable[str]) -> None:
        self.now = 0
        self.seconds = 0.0
        self.logs: dict[TP, Log] = {TP(t, p): Log() for t, n in partitions.items() for p in range(n)}
        self.partitions = dict(partitions)
        self.group = group
        self.transactions: dict[str, Transaction] = {}
        self._stamped = frozenset(stamped)
        self._written = 0

    def write(self, tp: TP, key: bytes | None, value: bytes | None, headers: Any, timestamp: int) -> None:
        """Write a record without a transaction, as sources do; its time is theirs, or the broker's."""
        stamped = tp.topic in self._stamped
        self.logs[tp].append(key, value, headers, self.now if stamped else timestamp, stamped=stamped)

    def begin(self, name: str, timeout: float) -> int:
        """Take over an id; return the epoch to write with."""
        one = self.transactions.setdefault(name, Transaction(name))
        if one.decided is None and one.began is not None:
            one.decided = False
        self.finish(one)
        one.epoch += 1
        one.timeout = timeout
        return one.epoch

    def produce(
        self, name: str, epoch: int, tp: TP, key: bytes | None, value: bytes | None, headers: Any
    ) -> tuple[int, int]:
        """Write a record into the transaction; return its offset and the broker's time.

        Raises:
            FencedByBrokerError: the epoch is an older one.
        """
        one = self._opened(name, epoch)
        one.partitions[tp] = None
        self._written += 1
        offset = self.logs[tp].append(
            key, value, headers, self.now, name, sequence=self._written, stamped=tp.topic in self._stamped
        )
        return offset, self.now

    def send_offsets(
        self, name: str, epoch: int, offsets: Mapping[TP, int], generation: int, member: str
    ) -> None:
        """Put offsets into the transaction.

        Raises:
            FencedByBrokerError: the epoch is an older one.
            OffsetsRefusedError: the group does not take them.
        """
        one = self._opened(name, epoch)
        refusal = self.group.refusal(generation, member)
        if refusal is not None:
            raise OffsetsRefusedError(refusal)
        one.offsets.update(offsets)

    def end(self, name: str, epoch: int, *, commit: bool) -> None:
        """Decide a transaction; its markers follow.

        Raises:
            FencedByBrokerError: the epoch is an older one.
        """
        one = self._checked(name, epoch)
        if one.began is not None and one.decided is None:
            one.decided = commit

    def expire(self) -> list[str]:
        """Abort what has been open for too long; return its ids."""
        expired = [
            one
            for one in self.transactions.values()
            if one.began is not None and one.decided is None and self.seconds - one.began > one.timeout
        ]
        for one in expired:
            one.decided = False
            one.epoch += 1
        return [one.name for one in expired]

    def undelivered(self) -> list[Transaction]:
        """Return the transactions that are decided, and of which markers are still to be written."""
        return [one for one in self.transactions.values() if one.decided is not None]

    def deliver(self, one: Transaction, choice: int) -> str:
        """Write one more marker of a decided transaction; `choice` draws which. Return where."""
        assert one.decided is not None
        places: list[TP | None] = [*one.partitions, *([None] if one.offsets else [])]
        place = places[choice % len(places)] if places else None
        if place is None:
            if one.decided:
                self.group.commit(one.offsets)
            one.offsets = {}
        else:
            self.logs[place].mark(one.name, self.now, commit=one.decided)
            del one.partitions[place]
        if not one.partitions and not one.offsets:
            one.decided, one.began = None, None
        return "group" if place is None else f"{place.topic}/{place.partition}"

    def finish(self, one: Transaction) -> None:
        """Write all markers of a transaction, if it is decided."""
        while one.decided is not None:
            self.deliver(one, 0)

    def _checked(self, name: str, epoch: int) -> Transaction:
        one = self.transactions[name]
        if one.epoch != epoch:
            raise FencedByBrokerError(name)
        return one

    def _opened(self, name: str, epoch: int) -> Transaction:
        one = self._checked(name, epoch)
        self.finish(one)
        if one.began is None:
            one.began = self.seconds
        return one
