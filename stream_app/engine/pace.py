"""When an epoch ends: arithmetic on what the engine notes, with the time (s, monotonic) passed in.

1. What was fetched together is committed together, as soon as all of it is processed. A commit in its middle would
   be one more, and while it lasts the rest grows old: so do clocks, which stand still until the next fetch.
2. Where that takes long, an epoch ends after `interval_s` all the same, or after as long as the last commit took if
   that was longer; counted from its first batch, however quiet it was before. It ends between two batches: the one in
   which its time is up is still part of it.
3. A commit that takes long comes the less often: half as long as it took, at least, more is waited for. What one epoch
   made visible is fetched piece by piece, and each piece alone would be a commit. (64 partitions of each topic, one
   worker, 500 events/s live: p50 event -> trigger 3.9 s instead of 6.2, one run each.)
4. Who is behind (a second's work is waiting, or more) is in no hurry, and commits seldom: a row that changes ten times
   is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Pace:
    """How often epochs are committed, and how much is done in one.

    Attributes:
        interval_s: between two commits under load.
        stretch: for who is behind, at least so many times as long as a commit takes, ...
        longest_s: ... but never longer than this.
        least_s: between two commits when there is little to do.
        watermark_s: between two commits that only carry watermarks.
        timers: timers fired between two looks at the input.
        failures: commits that may fail in a row before the worker gives up.
        fenced_s: how long a worker may go without partitions that it had.
        behind_s: whose input would take so long is behind.
    """

    interval_s: float = 0.1
    stretch: float = 20.0
    longest_s: float = 1.0
    least_s: float = 0.02
    watermark_s: float = 0.2
    timers: int = 2_000
    failures: int = 8
    fenced_s: float = 120.0
    behind_s: float = 1.0


class Pacer:
    """Says when to commit."""

    def __init__(self, pace: Pace, now: float) -> None:
        """Begin the first epoch."""
        self.pace = pace
        self.behind = False
        self.records = 0
        """Processed in this epoch."""
        self._spent = 0.0
        self._began = now
        self._opened: float | None = None
        self._took = 0.0

    def begin(self, now: float) -> None:
        """Note that a batch is about to be processed: with the first one, an epoch's time begins."""
        if self._opened is None:
            self._opened = now

    def worked(self, records: int, seconds: float) -> None:
        """Note a batch."""
        self.records += records
        self._spent += seconds

    def dropped(self) -> None:
        """Note that the epoch was rolled back: it goes on without what it had done."""
        self.records, self._spent, self._opened = 0, 0.0, None

    def committed(self, now: float, took: float, waiting: int) -> None:
        """Begin the next epoch; `waiting` are the records that are left in the input."""
        spent = self._spent + took
        self.behind = waiting * spent > self.pace.behind_s * self.records
        self._began, self._took = now, took
        self.records, self._spent, self._opened = 0, 0.0, None

    @property
    def interval(self) -> float:
        """How long an epoch lasts under load, at most (s)."""
        pace = self.pace
        return min(max(pace.interval_s, (pace.stretch if self.behind else 1.0) * self._took), pace.longest_s)

    @property
    def pause(self) -> float:
        """How long to wait for more input, where there is little to do or nothing at hand (s)."""
        return max(self.pace.least_s, min(self._took / 2, 1.0))

    def age(self, now: float) -> float:
        """Return how long ago the last commit was (s)."""
        return now - self._began

    def overdue(self, now: float) -> bool:
        """Tell whether the epoch has lasted long enough, whatever there is to do."""
        return now - (self._began if self._opened is None else self._opened) > self.interval

    def due(self, now: float, *, at_hand: Callable[[], bool]) -> bool:
        """Tell whether to commit after a batch.

        `at_hand` tells whether more has been fetched and waits to be processed: all partitions are asked, so it is
        called only where it matters.
        """
        if self.overdue(now):
            return True
        return not self.behind and now - self._began >= self.pause and not at_hand()
