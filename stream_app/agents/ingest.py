"""First hop: channel record -> valid, normalised event at the row of its strongest identifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.refusal import Refused
from stream_app.engine.errors import EpochAbortedError
from stream_app.wire import RegistryUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.agents.dead_letters import DeadLetters
    from stream_app.engine.task import Task
    from stream_app.wire import Intake


class Ingest:
    """The handler of one partition of one channel topic."""

    def __init__(
        self,
        task: Task,
        *,
        channel: str,
        lookup: str,
        intake: Intake,
        dead_letters: DeadLetters,
    ) -> None:
        self.task = task
        self.channel = channel
        self.lookup = lookup
        self.intake = intake
        self.dead_letters = dead_letters
        self._refused = ("events", channel, "dead_lettered")

    def process(self, records: Sequence[Any]) -> None:
        """Take channel records; what can't be taken goes to the dead letters."""
        task, channel = self.task, self.channel
        take, count = self.intake.take, self._count
        send, lookup, observe = task.producer.send, self.lookup, task.observe
        source = f"{task.id}/"
        for record in records:
            timestamp = record.timestamp
            try:
                time, message, key = take(
                    record.value, record.headers, channel, timestamp, source, record.offset, task.clock, count
                )
            except Refused as refusal:
                self.dead_letters.refuse(task, record, refusal.reason, refusal.detail)
                task.count(*self._refused)
                continue
            except RegistryUnavailable as error:
                raise EpochAbortedError(str(error)) from error
            observe(time, timestamp)
            send(lookup, message, key)

    def fire(self, due: int, key: bytes) -> None:
        """Never called: this stage sets no timers."""

    def flush(self) -> None:
        """Nothing is held back."""

    def reset(self) -> None:
        """Nothing is held back."""

    def _count(self, rejected: Sequence[tuple[str, Any]]) -> None:
        for namespace, why in rejected:
            self.task.count("rejected_identifiers", namespace, str(why))
