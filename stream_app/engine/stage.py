"""What a stage is to the engine: input topics, tables, and a handler made for each input partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_app.engine.store import TableSpec
    from stream_app.engine.task import Task


class Handler(Protocol):
    """A stage's code for one input partition: synchronous, without I/O of its own.

    It may raise: then nothing of the epoch happened, and the record that makes it raise ends in the dead
    letters once it has been found.
    """

    def process(self, records: Sequence[Any]) -> None:
        """Take data records (see `transport.Batch`), in order; never a watermark."""

    def fire(self, due: int, key: bytes) -> None:
        """Take a timer that was set through the task and that the watermark has passed."""

    def flush(self) -> None:
        """Send what was held back for the end of the epoch (one message for many changes of a row).

        Live, nothing to peers that holds time back: timers of this epoch may have gone by without it.
        """

    def reset(self) -> None:
        """Forget what was held back: the epoch was rolled back."""


class Dispatcher(Protocol):
    """What the engine asks of whoever knows the shape of dead letters."""

    def poison(self, task: Task, record: Any, error: BaseException) -> None:
        """Send `record`, which makes its handler raise `error`, to the dead letters."""

    def poison_timer(self, task: Task, due: int, key: bytes) -> None:
        """Send a timer, which makes its handler raise, to the dead letters."""


@dataclass(frozen=True)
class Stage:
    """One hop of the road.

    Attributes:
        name: names the agent, the changelog and the folders.
        topics: input topics; each has as many partitions as the others.
        changelog: topic of its rows, with as many partitions as an input topic.
        handler: makes the code for one input partition.
        tables: tables of its store; empty for a stage that keeps only its position.
        upstream: topics whose partitions' watermarks arrive in-band; empty for topics that producers write to. Then
            timers go by the partition's own events, and are fired after the batch whose events passed them: a handler
            that must not depend on where batches end looks at its key's due time when an event comes.
        form: what the rows mean beyond their format, e.g. a digest of the policy that they were ordered by; state
            that was written under another one is refused.
        loops: its tasks send messages to each other, through its own input topic.
        watermarks_to: topic that this stage's watermark is carried to.
    """

    name: str
    topics: tuple[str, ...]
    changelog: str
    handler: Callable[[Task], Handler]
    tables: tuple[TableSpec, ...] = ()
    upstream: tuple[str, ...] = ()
    watermarks_to: str | None = None
    form: str = ""
    loops: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't work: two input partitions would share one store."""
        if self.tables and len(self.topics) > 1:
            msg = f"stage {self.name}: a stage with tables has one input topic"
            raise ValueError(msg)
