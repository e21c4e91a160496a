"""Numbers leave the customer stage as differences, are summed by cell, and published: each figure whole.

A message of `numbers.increments` has a cell as its key (`cell_key`). Its value is text, for a sum may be more than 64
bits hold: `+250` or `-250` is added to the cell, `=250` takes the place of what it had. All of a cell come to one
partition, so its sum is one row; an epoch publishes each that it has changed once. The metrics page follows what is
committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.agents.numbers_metrics import NumbersMetrics
from stream_app.agents.publish import number_fields
from stream_app.domain.numbers import cell_key, cell_of
from stream_app.metrics import EngineMetrics
from stream_app.wire import number_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.agents.in_force import InForce
    from stream_app.domain.numbers import Cell, Increments
    from stream_app.engine.task import Task

_SET = b"="


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
        self._changed: dict[bytes, int] = {}
        self._metrics = NumbersMetrics()
        self._to_show: list[tuple[Cell, int]] = []

    def process(self, records: Sequence[Any]) -> None:
        """Take differences."""
        sums, changed = self._sums, self._changed
        for record in records:
            key, value = record.key, record.value
            if value.startswith(_SET):
                changed[key] = int(value[1:])
                continue
            known = changed.get(key)
            if known is None:
                known = int(sums.get(key) or 0)
            changed[key] = known + int(value)

    def fire(self, due: int, key: bytes) -> None:
        """Never called: this stage sets no timers."""

    def flush(self) -> None:
        """Write and publish the figures that this epoch has changed."""
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
