"""First hop of reference data: record -> what is said of an item, at every partition of the customer stage.

Every partition keeps all reference data, and knows whom of its customers a change concerns (`domain.reference`). What
an epoch brings goes to each in messages of some hundred rows: a change costs each partition a row, not a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.messages import ReferenceRows, encode
from stream_app.domain.refusal import Refused
from stream_app.engine.errors import EpochAbortedError
from stream_app.wire import RegistryUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.agents.dead_letters import DeadLetters
    from stream_app.domain.reference import Said
    from stream_app.engine.task import Task
    from stream_app.wire import ReferenceDecoder

MOST = 200
"""Rows in one message. The largest row is as large as an event may be, and the whole must fit the topic."""
MOST_BYTES = 1 << 20
"""Bytes of records after which a message is full, whatever the number of its rows."""


class References:
    """The handler of one partition of a feed."""

    def __init__(
        self,
        task: Task,
        *,
        feed: str,
        components: str,
        partitions: int,
        decoder: ReferenceDecoder,
        dead_letters: DeadLetters,
    ) -> None:
        self.task = task
        self.components = components
        self.partitions = partitions
        self.decoder = decoder
        self.dead_letters = dead_letters
        self._applied = ("references", feed, "applied")
        self._refused = ("references", feed, "dead_lettered")
        self._said: list[Said] = []
        self._bytes = 0
        self._stamp = 0

    def process(self, records: Sequence[Any]) -> None:
        """Take rows; what can't be taken goes to the dead letters, with the reason."""
        for record in records:
            try:
                said = self.decoder.decode(record.value, record.headers, record.key, record.timestamp)
            except Refused as refusal:
                self.dead_letters.refuse(self.task, record, refusal.reason, refusal.detail)
                self.task.count(*self._refused)
                continue
            except RegistryUnavailable as error:
                raise EpochAbortedError(str(error)) from error
            self._take(said, record)

    def _take(self, said: Said, record: Any) -> None:
        task = self.task
        if not self._said:
            self._stamp = task.clock
        task.observe(said.time, record.timestamp)
        task.count(*self._applied)
        self._said.append(said)
        self._bytes += len(record.value or b"")
        if len(self._said) >= MOST or self._bytes >= MOST_BYTES:
            self.flush()

    def fire(self, due: int, key: bytes) -> None:
        """Never called: this stage sets no timers."""

    def flush(self) -> None:
        """Send what this epoch has brought."""
        if self._said:
            value = encode(ReferenceRows(tuple(self._said), self._stamp))
            for partition in range(self.partitions):
                self.task.send(self.components, value, None, partition)
        self.reset()

    def reset(self) -> None:
        """Forget what was held back in an epoch that was rolled back."""
        self._said, self._bytes = [], 0
