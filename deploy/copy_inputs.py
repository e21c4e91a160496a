"""Copy what a deployment was told to another prefix: a step of a rebuild (RUNBOOK.md, "Rebuild by replay").

    python copy_inputs.py OLD_PREFIX NEW_PREFIX [--since 2026-03-01T10:00:00Z]

Brokers are those of KAFKA_BOOTSTRAP_SERVERS. Records of channel.*, reference.* and identity.commands go to the
partition that they had - to that of their key where there are more or fewer now -, in order, with key, headers and
timestamp. At the end every partition gets a clock marker of
now, so that one in which nothing happens holds no trigger back. An empty prefix is written ''. Copying twice does no
harm.
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
    brokers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
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
    known = consumer.list_topics(timeout=SECONDS).topics
    copied = 0
    for name in _names(known, arguments.old):
        source, target = arguments.old + name, arguments.new + name
        if target not in known:
            sys.exit(f"there is no topic {target}: run `raccord topics create` first")
        before, after = (len(known[topic].partitions) for topic in (source, target))
        for partition in range(before):
            copied += _copy(
                consumer, producer, source, partition, target, arguments.since, by_key=before != after
            )
        if name != "identity.commands":
            _mark(producer, target, after)
    consumer.close()
    if producer.flush(SECONDS):
        sys.exit("the broker did not take all records: start again")
    sys.stdout.write(f"{copied} records copied\n")


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
    producer: Producer,
    source: str,
    partition: int,
    target: str,
    since: datetime | None,
    *,
    by_key: bool,
) -> int:
    """Copy what a partition holds now; return how many records that is."""
    copied = 0
    for record in _records(consumer, source, partition, since):
        headers = record.headers() or []
        if by_key and any(name == MARKER for name, _ in headers):
            continue  # it speaks of its own partition
        _, stamp = record.timestamp()
        where = {} if by_key else {"partition": partition}
        _write(producer, target, record.value(), record.key(), timestamp=stamp, headers=headers, **where)
        copied += 1
    return copied


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


def _mark(producer: Producer, topic: str, partitions: int) -> None:
    """Say in every partition that everything before now has been written."""
    now = time.time_ns() // 1_000_000
    for partition in range(partitions):
        value, headers = struct.pack(">q", now), [(MARKER, b"1")]
        _write(producer, topic, value, b"\0clock", partition=partition, timestamp=now, headers=headers)


def _write(producer: Producer, topic: str, value: bytes | None, key: bytes | None, **more: Any) -> None:
    while True:
        try:
            producer.produce(topic, value, key, **more)
        except BufferError:  # its queue is full
            producer.poll(1.0)
        else:
            return


if __name__ == "__main__":
    main()
