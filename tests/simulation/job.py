"""What a simulation needs to know of a job: its stages, what it is fed, and what must have come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from faust.types import TP

from stream_app.engine.pace import Pace
from stream_app.engine.watermark import TimeMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stream_app.engine.stage import Stage
    from tests.simulation.transactions import Broker


class Input(NamedTuple):
    """A record that a source writes."""

    tp: TP
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


Rows = dict[bytes, bytes]


@dataclass(frozen=True)
class Job:
    """One run's job.

    Attributes:
        inputs: in the order in which they are written.
        stamped: topics whose records have the broker's time.
        until: live, it is at rest when all timers before this time (ms) have fired; None: all.
        upsets: how often a batch's handler fails, though nothing is wrong with the batch.
        unruly: of how many steps in which anything may happen one is drawn.
        problems: takes the broker at rest and each task's rows ("topic/partition" -> rows), returns what is wrong.
    """

    stages: Sequence[Stage]
    partitions: Mapping[str, int]
    dispatcher: Any
    inputs: Sequence[Input]
    problems: Callable[[Broker, Mapping[str, Rows]], list[str]]
    stamped: tuple[str, ...] = ()
    pace: Pace = field(default_factory=lambda: Pace(interval_s=0.05, longest_s=0.05, least_s=0.01))
    mode: TimeMode = TimeMode.EVENTS
    tolerance_ms: int = 0
    max_ahead_ms: int = 10**12
    batch: int = 100
    until: int | None = None
    upsets: float = 0.0
    unruly: tuple[int, ...] = (100, 200, 400)

    @property
    def live(self) -> bool:
        """Whether the clock is the broker's."""
        return self.mode is TimeMode.WALL

    @property
    def tps(self) -> list[TP]:
        """All partitions that tasks read."""
        return [
            TP(topic, p)
            for stage in self.stages
            for topic in stage.topics
            for p in range(self.partitions[topic])
        ]
