"""First hop of operators' commands: record -> valid, normalised command at the row of its strongest identifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.commands import Command
from stream_app.domain.messages import CommandAt, encode
from stream_app.domain.refusal import Refused
from stream_app.engine.errors import EpochAbortedError
from stream_app.wire import RegistryUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.agents.dead_letters import DeadLetters
    from stream_app.domain.identifiers import Identifier
    from stream_app.domain.labels import Labels
    from stream_app.engine.task import Task
    from stream_app.wire import CommandDecoder


class Commands:
    """The handler of one partition of the topic of commands."""

    def __init__(
        self,
        task: Task,
        *,
        lookup: str,
        decoder: CommandDecoder,
        identifier: Identifier,
        labels: Labels,
        dead_letters: DeadLetters,
    ) -> None:
        self.task = task
        self.lookup = lookup
        self.decoder = decoder
        self.identifier = identifier
        self.labels = labels
        self.dead_letters = dead_letters

    def process(self, records: Sequence[Any]) -> None:
        """Take commands; what can't be taken goes to the dead letters, with the reason."""
        for record in records:
            try:
                self._take(record)
            except Refused as refusal:
                self.dead_letters.refuse(self.task, record, refusal.reason, refusal.detail)
            except RegistryUnavailable as error:
                raise EpochAbortedError(str(error)) from error

    def _take(self, record: Any) -> None:
        task, timestamp = self.task, record.timestamp
        written = self.decoder.decode(record.value, record.headers, timestamp)
        command = Command(
            written.command_id,
            written.op,
            self.identifier.named(written.named),
            written.time,
            written.operator,
            written.reason,
            f"{task.id}/{record.offset}",
        )
        # The clock that the command finds. Live that is when it came, however far back its operator dates it: what
        # it uncovers of the past is late. In a replay nothing but its own time tells when it was given.
        task.caught_up(timestamp)
        task.observe(min(command.time, timestamp), timestamp)
        labels = tuple(self.labels.of(identifier) for identifier in command.identifiers)
        task.send(self.lookup, encode(CommandAt(command, labels, task.clock)), labels[0].encode())

    def fire(self, due: int, key: bytes) -> None:
        """Never called: this stage sets no timers."""

    def flush(self) -> None:
        """Nothing is held back."""

    def reset(self) -> None:
        """Nothing is held back."""
