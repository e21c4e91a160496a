"""Numbers leave the customer stage as differences, are summed by cell, and published: each figure whole.

Messages of `numbers.increments`:
- A difference: the key is a cell (`cell_key`), the value text, for a sum may be more than 64 bits hold: `+250`, `-250`.
  All of a cell come to one partition, so its sum is one row; an epoch publishes each that it has changed once. The
  metrics page follows what is committed.
- A bill, as the feed of spend has it: the key is its id, the value `$` and a `Bill`. It takes the place of the one that
  is known, unless it is older, and what that changes goes on as differences, to this topic again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.agents.numbers_metrics import NumbersMetrics
from stream_app.agents.publish import number_fields
from stream_app.domain.numbers import Spend, cell_key, cell_of, read_spend, spent
from stream_app.metrics import EngineMetrics
from stream_app.wire import number_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.agents.in_force import InForce
    from stream_app.domain.numbers import Cell, Increments
    from stream_app.domain.reference import Said
    from stream_app.engine.task import Task

_BILL = b"$"


class Bill(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What is said of spend since a time (ms); None: nothing was spent."""

    time: int
    spend: Spend | None


_encode_bill = msgspec.msgpack.Encoder().encode
_decode_bill = msgspec.msgpack.Decoder(Bill).decode


class Bills:
    """Takes the rows of the feed of spend. Implements `references.Taker`."""

    def __init__(self, task: Task, topic: str) -> None:
        self._task = task
        self._topic = topic

    def take(self, said: Said, size: int) -> None:  # noqa: ARG002 - nothing is held back
        """Send a row to where spend is known."""
        spend = None if said.fields is None else read_spend(said.fields)
        self._task.send(self._topic, _BILL + _encode_bill(Bill(said.time, spend)), said.item.encode())

    def flush(self) -> None:
        """Nothing is held back."""

    def reset(self) -> None:
        """Nothing is held back."""


class Differences:
    """What an epoch of one task adds to cells: summed up, and sent when it ends."""

    def __init__(self, task: Task, topic: str) -> None:
        self._task = task
        self._topic = topic
        self._sums: dict[Cell, int] = {}

    def add(self, increments: Increments) -> None:
        """Take a difference."""
        sums = self._sums
        for cell, amount in increments.items():
            sums[cell] = sums.get(cell, 0) + amount

    def flush(self) -> None:
        """Send what doesn't come to nothing."""
        send, topic = self._task.producer.send, self._topic
        for cell, amount in self._sums.items():
            if amount:
                send(topic, b"%+d" % amount, cell_key(cell))
        self._sums.clear()

    def reset(self) -> None:
        """Forget them: the epoch was rolled back."""
        self._sums.clear()


class NumbersStage:
    """The handler of one partition of `numbers.increments`."""

    def __init__(self, task: Task, in_force: InForce) -> None:
        self.task = task
        self._in_force = in_force
        self._sums = task.table("sums")
        self._bills = task.table("bills")
        self._spent = Differences(task, in_force.terms.topics.increments)
        self._changed: dict[bytes, int] = {}
        self._metrics = NumbersMetrics()
        self._to_show: list[tuple[Cell, int]] = []

    def process(self, records: Sequence[Any]) -> None:
        """Take differences and bills."""
        sums, changed = self._sums, self._changed
        for record in records:
            key, value = record.key, record.value
            if value.startswith(_BILL):
                self._take(key, _decode_bill(value[len(_BILL) :]))
                continue
            known = changed.get(key)
            if known is None:
                known = int(sums.get(key) or 0)
            changed[key] = known + int(value)

    def _take(self, key: bytes, bill: Bill) -> None:
        known: Bill | None = self._bills.get(key)
        if known is not None and bill.time < known.time:
            return
        self._bills.put(key, bill)
        self._spent.add(spent(None if known is None else known.spend, bill.spend))

    def fire(self, due: int, key: bytes) -> None:
        """Never called: this stage sets no timers."""

    def flush(self) -> None:
        """Write and publish the figures that this epoch has changed."""
        self._spent.flush()
        terms = self._in_force.terms
        topic, encode, send = terms.topics.numbers, terms.encoder.number, self.task.producer.send
        for key, amount in self._changed.items():
            cell, before = cell_of(key), int(self._sums.get(key) or 0)
            if amount == before:
                continue
            self._sums.put(key, str(amount))
            send(topic, encode(number_fields(cell, amount)), number_key(cell))
            self.task.count("figures", cell.number)
            self._to_show.append((cell, amount - before))
        self._changed.clear()

    def reset(self) -> None:
        """Forget them: the epoch was rolled back."""
        self._changed.clear()
        self._to_show.clear()
        self._spent.reset()

    def opened(self) -> None:
        """Put all figures on the metrics page: the rows are restored."""
        self._metrics.load((cell_of(key), int(amount)) for key, amount in self._sums.scan(b""))

    def committed(self) -> None:
        """Show what has changed on the metrics page."""
        for cell, difference in self._to_show:
            self._metrics.change(cell, difference)
        self._to_show.clear()

    def closed(self) -> None:
        """Take all figures off the metrics page: they are on another worker's."""
        self._metrics.close()


class WithNumbers(EngineMetrics):
    """The engine's figures, and the numbers beside them."""

    def ready(self, task: Task, seconds: float) -> None:
        """A task's rows are restored."""
        super().ready(task, seconds)
        if isinstance(task.handler, NumbersStage):
            task.handler.opened()

    def counted(self, task: Task, now: int | None) -> None:
        """An epoch that counted something was committed."""
        super().counted(task, now)
        if isinstance(task.handler, NumbersStage):
            task.handler.committed()

    def suspended(self, task: Task) -> None:
        """A ready task stopped reading."""
        super().suspended(task)
        if isinstance(task.handler, NumbersStage):
            task.handler.closed()
