"""What became of customers: the lines of `identity.changes` that mention them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from stream_app.errors import EnvironmentMissing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from stream_app.wire import OutputReader


def changes_of(
    customers: Collection[str], bootstrap: str, topic: str, partitions: int, reader: OutputReader
) -> list[dict[str, Any]]:
    """Return the changes that mention a customer id, by their time, as far back as the topic keeps them.

    Raises:
        EnvironmentMissing: the broker does not answer.
    """
    wanted = set(customers)
    found = [
        change
        for value in _values(bootstrap, topic, partitions)
        if not wanted.isdisjoint((change := reader.read(value)[1])["from"] + change["into"])
    ]
    return sorted(found, key=lambda change: change["time"])


def _values(bootstrap: str, topic: str, partitions: int) -> Iterator[bytes]:
    """Yield a topic's committed values, to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 2,
            "group.id": "raccord-history",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
            "fetch.message.max.bytes": 16_777_216,
        }
    )
    open_ends = set(range(partitions))
    try:
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in sorted(open_ends)])
        while open_ends:
            for message in consumer.consume(1_000, 1.0):
                error = message.error()
                if error is None:
                    yield message.value() or b""
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    open_ends.discard(message.partition())
                else:
                    msg = f"reading {topic} failed: {error.str()}"
                    raise EnvironmentMissing(msg)
    finally:
        consumer.close()
