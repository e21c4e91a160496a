"""Second hop: in which component does this identifier live; `domain.resolver` has the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.messages import Link, Message, Topic, decode_lookup, encode
from stream_app.domain.resolver import Resolver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_app.engine.task import Task


class Resolve:
    """The handler of one partition of `identity.lookup`."""

    def __init__(self, task: Task, *, topics: Mapping[Topic, str]) -> None:
        self.task = task
        self.topics = topics
        self.resolver = Resolver(task.table("identifiers"), task.table("neighbours"), self._send)

    def process(self, records: Sequence[Any]) -> None:
        """Take messages of the protocol."""
        handle = self.resolver.handle
        for record in records:
            handle(decode_lookup(record.value))

    def fire(self, due: int, key: bytes) -> None:
        """Never called: this stage sets no timers."""

    def flush(self) -> None:
        """Nothing is held back."""

    def reset(self) -> None:
        """Forget what was in memory of an epoch that was rolled back."""
        self.resolver.reset()

    def _send(self, topic: Topic, key: str, message: Message) -> None:
        if isinstance(message, Link):
            self.task.send_to_peer(self.topics[topic], encode(message), key.encode(), message.stamp)
        else:
            self.task.producer.send(self.topics[topic], encode(message), key.encode())
