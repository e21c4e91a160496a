"""Topics, read once from their beginnings to their ends, outside of any consumer group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from stream_app.errors import EnvironmentMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Place = tuple[str, int]
"""A topic, and one of its partitions."""


def messages(bootstrap: str, places: Iterable[Place]) -> Iterator[Any]:
    """Yield the committed messages of partitions, to their ends as of now.

    Raises:
        EnvironmentMissing: the broker does not answer.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 2,
            "group.id": "raccord-reader",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
            "fetch.message.max.bytes": 16_777_216,
        }
    )
    open_ends = set(places)
    try:
        consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in sorted(open_ends)])
        while open_ends:
            for message in consumer.consume(1_000, 0.1):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    open_ends.discard((message.topic(), message.partition()))
                else:
                    msg = f"reading {message.topic()} failed: {error.str()}"
                    raise EnvironmentMissing(msg)
    finally:
        consumer.close()
