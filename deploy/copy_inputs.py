"""Copy what a deployment was told to another prefix: a step of a rebuild (RUNBOOK.md, "Rebuild by replay").

    python copy_inputs.py OLD_PREFIX NEW_PREFIX [--since 2026-03-01T10:00:00Z]

Brokers are those of RACCORD_BOOTSTRAP_SERVERS, else KAFKA_BOOTSTRAP_SERVERS. Records of channel.*, reference.* and
identity.commands go to the partition that they had - to that of their key where there are more or fewer now -, in
order, with key, headers and timestamp. At the end every partition gets a clock marker of the time at which copying
began, so that one in which nothing happens holds no trigger back. An empty prefix is written ''. Copying twice does no
harm. The exit code is 1 if a record was not taken: then start again, and remove nothing.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, Producer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterator

COPIED = ("channel.", "reference.", "identity.commands")
MARKER = "raccord-watermark"
SECONDS = 30.0


def main() -> None:
    """Copy, and say how much."""
    arguments = _arguments()
    said = map(os.environ.get, ("RACCORD_BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"))
    brokers = next(filter(None, said), "127.0.0.1:9092")
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "raccord-copy-inputs",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.message.max.bytes": 16_777_216,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": 16_777_216,
            "compression.type": "lz4",
        }
    )
    known, writer, began = consumer.list_topics(timeout=SECONDS).topics, Writer(producer), _now()
    names = _names(known, arguments.old)
    for name in names:
        source, target = arguments.old + name, arguments.new + name
        if target not in known:
            sys.exit(f"there is no topic {target}: run `raccord topics create` first")
        before, after = (len(known[topic].partitions) for topic in (source, target))
        for partition in range(before):
            _copy(consumer, writer, source, partition, target, arguments.since, by_key=before != after)
    consumer.close()
    copied = writer.finish()
    for target in (arguments.new + name for name in names if name != "identity.commands"):
        _mark(writer, target, len(known[target].partitions), began)
    writer.finish()
    sys.stdout.write(f"{copied} records copied\n")


class Writer:
    """Writes records, and knows whether the broker has taken them."""

    def __init__(self, producer: Producer) -> None:
        """Write by this producer."""
        self._producer = producer
        self._taken = 0
        self._failed: list[str] = []

    def write(self, topic: str, value: bytes | None, key: bytes | None, **more: Any) -> None:
        """Write a record; exit if one before it has failed: what follows must not be there without it."""
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=self._told, **more)
            except BufferError:  # its queue is full
                self._producer.poll(1.0)
            else:
                self._producer.poll(0)
                break
        if self._failed:
            self.finish()

    def finish(self) -> int:
        """Wait until the broker has all records, and return how many; exit if it hasn't."""
        if self._producer.flush(SECONDS) or self._failed:
            why = self._failed[0] if self._failed else "it does not answer"
            sys.exit(f"the broker did not take all records ({why}): mend that, and start again")
        return self._taken

    def _told(self, error: KafkaError | None, _record: Any) -> None:
        if error is None:
            self._taken += 1
        else:
            self._failed.append(error.str())


def _now() -> int:
    return time.time_ns() // 1_000_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", metavar="OLD_PREFIX")
    parser.add_argument("new", metavar="NEW_PREFIX")
    parser.add_argument("--since", type=datetime.fromisoformat, help="only what was written since then")
    arguments = parser.parse_args()
    if arguments.old == arguments.new:
        parser.error("the two prefixes are the same")
    return arguments


def _names(topics: Any, prefix: str) -> list[str]:
    """Return the topics to copy, without the prefix."""
    names = sorted(topic.removeprefix(prefix) for topic in topics if topic.startswith(prefix))
    found = [name for name in names if name.startswith(COPIED)]
    if not found:
        sys.exit(f"no topics {prefix}channel.* are there")
    return found


def _copy(
    consumer: Consumer,
    writer: Writer,
    source: str,
    partition: int,
    target: str,
    since: datetime | None,
    *,
    by_key: bool,
) -> None:
    """Copy what a partition holds now."""
    for record in _records(consumer, source, partition, since):
        headers = record.headers() or []
        if by_key and any(name == MARKER for name, _ in headers):
            continue  # it speaks of its own partition
        _, stamp = record.timestamp()
        where = {} if by_key else {"partition": partition}
        writer.write(target, record.value(), record.key(), timestamp=stamp, headers=headers, **where)


def _records(consumer: Consumer, topic: str, partition: int, since: datetime | None) -> Iterator[Any]:
    """Yield what a partition holds when this begins."""
    start, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), SECONDS)
    if since is not None:
        asked = TopicPartition(topic, partition, int(since.timestamp() * 1_000))
        start = consumer.offsets_for_times([asked], SECONDS)[0].offset
    if start in {OFFSET_END, end}:
        return
    consumer.assign([TopicPartition(topic, partition, start)])
    while True:
        for record in consumer.consume(500, 1.0):
            if record.error() is not None:
                if record.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    return
                sys.exit(f"reading {topic} failed: {record.error().str()}")
            if record.offset() >= end:
                return
            yield record


def _mark(writer: Writer, topic: str, partitions: int, began: int) -> None:
    """Say in every partition that everything before copying began (ms) has been written: later ones may still come."""
    for partition in range(partitions):
        value, headers = struct.pack(">q", began), [(MARKER, b"1")]
        writer.write(topic, value, b"\0clock", partition=partition, timestamp=began, headers=headers)


if __name__ == "__main__":
    main()
