"""Where refused records go: key and value as they came, headers that say why, from where, and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.refusal import Reason
from stream_app.engine.errors import MessageTooLargeError
from stream_app.wire import DeadLetter, dead_letter_headers

if TYPE_CHECKING:
    from stream_app.engine.producer import Headers
    from stream_app.engine.task import Task

DETAIL_BYTES = 1_000
TRUNCATED = "raccord-truncated"
"""Header of a dead letter that did not fit: the value's whole length. The original is where it came from."""
KEPT_BYTES = 500_000


class DeadLetters:
    """Sends records to the dead letters, in the transaction of the epoch that refuses them."""

    def __init__(self, topic: str, version: str) -> None:
        self.topic = topic
        self.version = version

    def refuse(self, task: Task, record: Any, reason: Reason, detail: str) -> None:
        """Send a record there untouched, and count it."""
        letter = DeadLetter(
            reason=reason,
            detail=detail[:DETAIL_BYTES],
            topic=task.tp.topic,
            partition=task.tp.partition,
            offset=record.offset,
            timestamp=record.timestamp,
            stage=task.stage.name,
            version=self.version,
            headers=list(record.headers),
        )
        headers: Headers = [*dead_letter_headers(letter)]
        try:
            task.send(self.topic, record.value, record.key, -1, headers)
        except MessageTooLargeError:
            # Only what came well compressed can be: its topic took it, uncompressed it fits nowhere. Its own headers
            # may be what is too large. The original stays where the letter says that it came from.
            size = len(record.value or b"")
            headers = [*dead_letter_headers(msgspec.structs.replace(letter, headers=[]))]
            headers.append((TRUNCATED, b"%d" % size))
            value = None if record.value is None else record.value[:KEPT_BYTES]
            task.send(self.topic, value, (record.key or b"")[:KEPT_BYTES], -1, headers)
        task.count("dead_letters", reason.value)

    def refuse_bytes(
        self, task: Task, source: str, timestamp: int, key: bytes, value: bytes, detail: str
    ) -> None:
        """Send an event that was accepted before and is in conflict now; `source` is topic/partition/offset."""
        topic, partition, offset = source.rsplit("/", 2)
        letter = DeadLetter(
            reason=Reason.CONFLICT,
            detail=detail,
            topic=topic,
            partition=int(partition),
            offset=int(offset),
            timestamp=timestamp,
            stage=task.stage.name,
            version=self.version,
            headers=[],
        )
        task.send(self.topic, value, key, -1, [*dead_letter_headers(letter)])
        task.count("dead_letters", Reason.CONFLICT.value)

    def poison(self, task: Task, record: Any, error: BaseException) -> None:
        """Send a record on which its handler fails; the error's type is told, not its text: it may hold data."""
        self.refuse(
            task, record, Reason.POISON, f"stage {task.stage.name} fails on it: {type(error).__name__}"
        )

    def poison_timer(self, task: Task, due: int, key: bytes) -> None:
        """Send a timer on which its handler fails: its key, and its due time as the value."""
        letter = DeadLetter(
            reason=Reason.POISON,
            detail=f"stage {task.stage.name} fails on a timer",
            topic=task.tp.topic,
            partition=task.tp.partition,
            offset=task.position,
            timestamp=due,
            stage=task.stage.name,
            version=self.version,
            headers=[],
        )
        task.send(self.topic, b"%d" % due, key, -1, [*dead_letter_headers(letter)])
        task.count("dead_letters", Reason.POISON.value)
