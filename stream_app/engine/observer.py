"""What the engine tells of itself, for metrics and logs; every method does nothing unless overridden."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_app.engine.changelog import Progress
    from stream_app.engine.task import Task


class Observer:
    """Called by the engine once a batch or once an epoch, never once an event."""

    def batch(self, task: Task, records: int, seconds: float) -> None:
        """A batch was processed."""

    def committed(self, records: int, changes: int, seconds: float) -> None:
        """An epoch was committed: input records, changed rows, time the commit took."""

    def counted(self, task: Task, now: int | None) -> None:
        """What a task counted in the epoch that was just committed (`task.tally`, `task.fired`).

        `now` is the broker's clock in ms, where it is known.
        """

    def aborted(self, cause: str) -> None:
        """An epoch was rolled back; `cause` is handler, delivery, fenced or unknown."""

    def restoring(self, task: Task, progress: Progress) -> None:
        """Rows of a task are being restored."""

    def ready(self, task: Task, seconds: float) -> None:
        """A task's rows are restored and its input is being read."""

    def suspended(self, task: Task) -> None:
        """A ready task stopped reading."""

    def expired(self, task: Task, records: int) -> None:
        """Records of a task's input had been deleted by retention before they were read."""

    def closed(self, task: Task) -> None:
        """A task was taken away."""

    def standby(self, stage: str, partition: int, behind: int | None) -> None:
        """How many offsets rows that are kept warm are behind their changelog; None: they aren't any more.

        Called from threads.
        """

    def lag(self, task: Task, records: int) -> None:
        """How many records of a task's input are still to be read."""

    def watermark(self, task: Task, value: int) -> None:
        """Where a task's watermark stands, ms since the epoch."""
