"""Messages that the tasks of one stage send each other, and what they hold back.

A stage's tasks may write to their own input topic (one component's history moves to another's partition). What
an event causes there comes later than the event, so a watermark that only counts what came from upstream would
pass events that are still on their way. Timers would fire on half the truth: in a replay, where hours of event
time pass in a second, and live, where a slow network or a partition without an owner takes longer than a rule
waits. Hence, after Naiad's progress tracking (Murray et al., SOSP 2013), with counts per epoch:

1. A message departs with a stamp, the event time that it may still concern, and the number of its epoch.
2. Whoever takes it in counts it, and tells its sender with the same transaction: so many of epoch n arrived. A sender
   of the same worker is told without a message.
3. Until all of an epoch have arrived, its sender announces no watermark above the smallest of their stamps.
4. What taking in a message sends in turn departs in the transaction that acknowledges it, with a stamp no
   smaller than what is held back: somebody always holds on to it.

Announcements reach a partition in the order of the transactions that made them, so the minimum over all tasks
never passes a message that is on its way. A worker that has all tasks of a stage sees that minimum itself: live, it
lets their timers go by it at once, and only announces what is taken back (`Epoch`, `Engine._meet`).

A message that never arrives holds all triggers back: the stage's watermark stands still, which is measured and alerted
on (`raccord_watermark_seconds`). A message that its receiver's rules wait for anyway need not be tracked: live, what a
long merge or repair sends after its first part is not, or it would hold up everybody's triggers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.engine.producer import Headers

FLIGHT_HEADER = "raccord-flight"
"""First header of a tracked message: "<sender's partition>:<number of its epoch>"."""

ARRIVALS_HEADER = "raccord-arrivals"
"""Header of a record that tells its partition's task how many of its messages arrived: epoch -> count."""

NOTHING = 2**62
"""Above any time: nothing is held back."""


class Flights:
    """What one task has under way, and what it owes others for arrivals.

    Args:
        partition: the task's own.
        epoch: number of the epoch that is beginning.
        outstanding: epoch -> (messages that have not arrived, smallest stamp), from the state.
    """

    def __init__(
        self, partition: int, epoch: int = 0, outstanding: Mapping[int, tuple[int, int]] | None = None
    ) -> None:
        self.epoch = epoch
        self.outstanding = dict(outstanding or {})
        self._partition = partition
        self._departed = 0
        self._stamp = NOTHING
        self._owed: dict[int, dict[int, int]] = {}
        self._headers: Headers = [(FLIGHT_HEADER, f"{partition}:{epoch}".encode())]

    @property
    def floor(self) -> int:
        """The smallest stamp of what is under way (ms), this epoch's departures included, or `NOTHING`."""
        floor = self._stamp
        for _, stamp in self.outstanding.values():
            floor = min(floor, stamp)
        return floor

    def depart(self, stamp: int) -> Headers:
        """Count a message that is about to be sent with this stamp (ms); return its headers."""
        self._departed += 1
        self._stamp = min(self._stamp, stamp)
        return self._headers

    def arrive(self, header: bytes) -> None:
        """Count a message that has come; `header` is its flight header's value."""
        sender, _, epoch = header.partition(b":")
        counts = self._owed.setdefault(int(sender), {})
        counts[int(epoch)] = counts.get(int(epoch), 0) + 1

    def acknowledged(self, arrived: Mapping[int, int]) -> None:
        """Learn how many messages of which epoch have arrived."""
        for epoch, count in arrived.items():
            left, stamp = self.outstanding.pop(
                epoch, (0, NOTHING)
            )  # unknown: from before a time without tracking
            if left > count:
                self.outstanding[epoch] = (left - count, stamp)

    def close(self) -> dict[int, dict[int, int]]:
        """End the epoch: return what others are to be told, sender's partition -> epoch -> count."""
        if self._departed:
            self.outstanding[self.epoch] = (self._departed, self._stamp)
            self.epoch += 1
            self._departed, self._stamp = 0, NOTHING
            self._headers = [(FLIGHT_HEADER, f"{self._partition}:{self.epoch}".encode())]
        owed, self._owed = self._owed, {}
        return owed
