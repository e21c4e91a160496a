"""Event time as a stage sees it: pure arithmetic, no clock of its own. All times are ms since the epoch, UTC.

A watermark W says: no event with a time below W is outstanding. Rules:

- A source partition's watermark is, while it lags, the highest event time seen; once caught up and in `WALL`
  mode, the broker's clock less a tolerance. In `EVENTS` mode (a replay) it is the highest event time seen, or
  what a clock marker in the partition says.
- No event moves it further ahead than its own record's Kafka timestamp plus a tolerance: a phone whose clock
  is in 2031 must not fire everybody's timers. (A marker is the operator's word and is taken as it is.) That
  tolerance is for `EVENTS` alone; one above zero lets a replay fire what was called off live.
- A stage's watermark is the minimum over all its upstream partitions (Flink's rule); one that was not heard
  of yet holds it back. It never goes down.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Said = dict[str, int | list[int]]
"""Topic -> watermarks of the tasks that read it: one for all, or one for each partition."""

Told = dict[str, tuple[int, list[int]]]
"""Topic -> how far the tasks have come that read these partitions of it; no partitions are all."""

UNSET = -(2**62)
"""Before any time: nothing is known."""


class TimeMode(StrEnum):
    """Where a source partition's clock comes from: `wall` (live) or `events` (a replay)."""

    WALL = "wall"
    EVENTS = "events"


class SourceWatermark:
    """The watermark of one partition of a topic that producers write to.

    Args:
        mode: see `TimeMode`.
        tolerance: how far events may lag behind the broker's clock without being late, ms.
        max_ahead: how far an event's time may lie ahead of its record's Kafka timestamp, ms; in `WALL` not at all.
        value: where it stood before (from the state).
    """

    def __init__(self, mode: TimeMode, tolerance: int, max_ahead: int, value: int = UNSET) -> None:
        self.mode = mode
        self._live = mode is TimeMode.WALL
        self.tolerance = tolerance
        self.max_ahead = max_ahead
        self.value = value

    def observe(self, event_time: int, record_time: int) -> None:
        """Take in an event's time, given its record's Kafka timestamp."""
        time = record_time + self.max_ahead
        if event_time < time:  # noqa: PLR1730 - three calls of min() and max() were half of what this costs
            time = event_time
        if self._live:
            if record_time < time:  # noqa: PLR1730
                time = record_time
            time -= self.tolerance
        if time > self.value:  # noqa: PLR1730
            self.value = time

    def mark(self, time: int) -> None:
        """Take in a clock marker: in a replay it says that everything before `time` has been written."""
        if self.mode is TimeMode.EVENTS and time > self.value:
            self.value = time

    def caught_up(self, broker_clock: int) -> None:
        """Say that every record up to `broker_clock` has been read."""
        if self.mode is TimeMode.WALL and broker_clock - self.tolerance > self.value:
            self.value = broker_clock - self.tolerance


class MergedWatermark:
    """The watermark of a partition fed by other tasks: the minimum of what each of them said last.

    A task may take back what it said (see `flights`); the minimum never goes down.

    Args:
        upstreams: topic -> how many partitions it has; each is a task.
        said: what they said last, as `known` tells it.
        value: where it stood before.
    """

    def __init__(self, upstreams: Mapping[str, int], said: Said | None = None, value: int = UNSET) -> None:
        self._said = {topic: _each(said, topic, count) for topic, count in upstreams.items()}
        self._least = {topic: min(times) for topic, times in self._said.items()}
        self.value = max(value, min(self._least.values(), default=UNSET))

    def advance(self, told: Told) -> bool:
        """Take in how far tasks have come; return whether the minimum moved. Unknown ones are ignored."""
        for topic, (time, partitions) in told.items():
            times = self._said.get(topic)
            if times is None:
                continue
            if not partitions:
                times[:] = [time] * len(times)
            for partition in partitions:
                if 0 <= partition < len(times):
                    times[partition] = time
            self._least[topic] = min(times)
        value = min(self._least.values(), default=UNSET)
        if value > self.value:
            self.value = value
            return True
        return False

    @property
    def known(self) -> Said:
        """What each task said last, with one time for a topic whose tasks all said the same."""
        return {
            topic: times[0] if times.count(times[0]) == len(times) else list(times)
            for topic, times in self._said.items()
        }

    def reach(self, time: int) -> None:
        """Take it from who sees all of the tasks at once that nothing before `time` is outstanding."""
        self.value = max(self.value, time)


def _each(said: Said | None, topic: str, count: int) -> list[int]:
    """Return what each of a topic's tasks said, as `MergedWatermark.known` told it; `UNSET` for who wasn't heard of."""
    times = (said or {}).get(topic, UNSET)
    if isinstance(times, int):
        return [times] * count
    return [*times, *[UNSET] * count][:count]


class BrokerClock:
    """The broker's clock, estimated from timestamps that it gave out (LogAppendTime), never ahead of it.

    The two clocks are compared through a local monotonic clock, which the caller passes in (ms): each
    observation says "at local time t the broker's clock showed at least b".
    """

    def __init__(self) -> None:
        self._offset: int | None = None

    def observe(self, broker_time: int, local: int) -> None:
        """Take in a timestamp that the broker gave at or before the local time `local`."""
        offset = broker_time - local
        if self._offset is None or offset > self._offset:
            self._offset = offset

    def now(self, local: int) -> int | None:
        """Return a time that the broker's clock has surely reached, or None before any observation."""
        return None if self._offset is None else local + self._offset
