"""First hop of reference data: record -> what is said of an item, for whoever takes the rows of its feed.

What rules see (`broadcast` in schemas/references.yaml) goes to every partition of the customer stage: each keeps all of
it, and knows whom of its customers a change concerns (`domain.reference`). What an epoch brings goes to each in
messages of some hundred rows: a change costs each partition a row, not a message.

All rows of an item come from one partition of its feed, in the order in which they were written, as long as their key
names it: then the takers of that partition have all that was said of it, and nobody else has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

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


class Taker(Protocol):
    """Takes the rows of one partition of a feed, as they come, within the epochs of its task."""

    def take(self, said: Said, size: int) -> None:
        """Take a row; `size` is that of its record, bytes."""

    def flush(self) -> None:
        """Do what is left to do for this epoch."""

    def reset(self) -> None:
        """Forget what was held back in an epoch that was rolled back."""


class References:
    """The handler of one partition of a feed; without takers, rows are checked and counted, and that is all."""

    def __init__(
        self,
        task: Task,
        *,
        feed: str,
        decoder: ReferenceDecoder,
        dead_letters: DeadLetters,
        takers: Sequence[Taker],
    ) -> None:
        self.task = task
        self.decoder = decoder
        self.dead_letters = dead_letters
        self.takers = takers
        self._applied = ("references", feed, "applied")
        self._refused = ("references", feed, "dead_lettered")

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
            for taker in self.takers:
                taker.take(said, len(record.value or b""))
            self.task.observe(said.time, record.timestamp)
            self.task.count(*self._applied)

    def fire(self, due: int, key: bytes) -> None:
        """Never called: this stage sets no timers."""

    def flush(self) -> None:
        """Have the takers end this epoch."""
        for taker in self.takers:
            taker.flush()

    def reset(self) -> None:
        """Have them forget an epoch that was rolled back."""
        for taker in self.takers:
            taker.reset()


class Broadcast:
    """Sends rows to every partition of the customer stage."""

    def __init__(self, task: Task, *, components: str, partitions: int) -> None:
        """Send with `task`, to the topic `components`."""
        self.task = task
        self.components = components
        self.partitions = partitions
        self._said: list[Said] = []
        self._bytes = 0
        self._stamp = 0

    def take(self, said: Said, size: int) -> None:
        """Hold a row back, until a message is full."""
        if not self._said:
            self._stamp = self.task.clock
        self._said.append(said)
        self._bytes += size
        if len(self._said) >= MOST or self._bytes >= MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what this epoch has brought."""
        if self._said:
            value = encode(ReferenceRows(tuple(self._said), self._stamp))
            for partition in range(self.partitions):
                self.task.send(self.components, value, None, partition)
        self.reset()

    def reset(self) -> None:
        """Forget what was held back."""
        self._said, self._bytes = [], 0
