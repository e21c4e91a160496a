"""Quiet hours: when nothing may be sent, by the clock on the customer's wall.

They repeat each week: hours of the day, and whole days. Quiet times that touch are one, a *run*. A moment is judged
by what the wall shows at that moment, so where clocks go back, an hour that comes twice is quiet twice; where they go
forward, a skipped hour is never there. Nothing else needs care: between two changes of the clocks, wall and world
advance alike.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta
from functools import cached_property

import msgspec

from stream_app.domain.local_time import to_local
from stream_app.domain.rules.model import DAY

WEEK = 7 * DAY
STEADY = 6 * DAY
"""No zone changes its clocks twice within that time (ms). Brazil did after 7 days, in 2000."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what a wall clock showed
_MILLISECOND = timedelta(milliseconds=1)
_MONDAY = 3 * DAY
"""From 1970-01-01, a Thursday, a week's Monday lies so far back."""


class QuietHours(msgspec.Struct, frozen=True, dict=True):
    """The hours from `start`, inside, to `end`, outside (ms of the local day), and whole `days` (0: Monday).

    `start` after `end` spans midnight; where they are equal there are no hours, only days.

    Raises:
        ValueError: No moment of the week is left to send in.
    """

    start: int
    end: int
    days: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what would hold everything for ever."""
        if self.longest_run >= WEEK:
            raise ValueError("nothing could ever be sent: quiet hours and days cover the whole week")

    def until(self, time_ms: int, zone: str) -> int:
        """Return the first moment from `time_ms` on that isn't quiet: itself, or the end of a run.

        Each turn takes the wall to the end of its run, to the next change of the clocks, or `STEADY` on.
        """
        at, wall = time_ms, _wall(time_ms, zone)
        while left := min(self._left(wall), STEADY):
            there = at + left
            shown = _wall(there, zone)
            if shown != wall + left:
                there = _change(at, there, zone)
                shown = _wall(there, zone)
            at, wall = there, shown
        return at

    def _left(self, wall: int) -> int:
        """Return how long (ms) the run lasts that the wall is in; 0: it is in none."""
        place = (wall + _MONDAY) % WEEK
        number = bisect_right(self._starts, place) - 1
        return max(0, self._ends[number] - place)

    @cached_property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """From and to (ms since a Monday began), ascending; a run that the week's end cuts is there whole, twice."""
        daily = [(self.start, self.end)] if self.start <= self.end else [(0, self.end), (self.start, DAY)]
        pieces = [(day * DAY + start, day * DAY + end) for day in range(-7, 14) for start, end in daily]
        pieces += [(day * DAY, day * DAY + DAY) for day in range(-7, 14) if day % 7 in self.days]
        joined: list[tuple[int, int]] = []
        for start, end in sorted(piece for piece in pieces if piece[0] < piece[1]):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return tuple(run for run in joined if run[1] > 0 and run[0] < WEEK)

    @cached_property
    def _starts(self) -> list[int]:
        return [-WEEK, *(start for start, _ in self.runs)]

    @cached_property
    def _ends(self) -> list[int]:
        return [-WEEK, *(end for _, end in self.runs)]

    @cached_property
    def longest_run(self) -> int:
        """Return how long (ms) the longest run is, by the wall."""
        return max((end - start for start, end in self.runs), default=0)

    @cached_property
    def longest_hold(self) -> int:
        """Return what `until` adds to a time at most (ms), in any zone.

        A change of the clocks can skip the opening between two runs, or lead back into one that is over: then two
        runs follow each other. A third needs a second change within the second run.
        """
        return self.longest_run * (2 if self.longest_run <= STEADY else 3)


def _wall(ms: int, zone: str) -> int:
    """Return what the wall shows at an instant, as ms since it showed the start of 1970."""
    return (to_local(ms, zone) - _EPOCH) // _MILLISECOND


def _change(low: int, high: int, zone: str) -> int:
    """Return when the clocks change between two instants."""
    ahead = _wall(low, zone) - low
    while high - low > 1:
        middle = (low + high) // 2
        if _wall(middle, zone) - middle == ahead:
            low = middle
        else:
            high = middle
    return high
