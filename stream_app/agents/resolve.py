"""Second hop: in which component does this identifier live; `domain.resolver` has the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.messages import Link, Message, Topic, decode_lookup, encode
from stream_app.domain.resolver import Resolver
from stream_app.wire import forward

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_app.engine.task import Task


class Resolve:
    """The handler of one partition of `identity.lookup`."""

    def __init__(self, task: Task, *, topics: Mapping[Topic, str]) -> None:
        self.task = task
        self.topics = topics
        self._rows = task.table("identifiers")
        self.resolver = Resolver(self._rows, task.table("neighbours"), self._send)

    def process(self, records: Sequence[Any]) -> None:
        """Take messages of the protocol."""
        handle, row_of = self.resolver.handle, self._rows.get
        send, components = self.task.producer.send, self.topics[Topic.COMPONENTS]
        for record in records:
            passed_on = None if forward is None else forward(record.value, row_of)
            if passed_on is None:
                handle(decode_lookup(record.value))
            else:
                send(components, passed_on[1], passed_on[0])

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
