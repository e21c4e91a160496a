"""Copy what a deployment was told to the topics of another prefix: a step of a rebuild (RUNBOOK.md, "Rebuild").

    python copy_inputs.py OLD_PREFIX NEW_PREFIX [--since 2026-03-01T10:00:00Z]

Brokers are those of KAFKA_BOOTSTRAP_SERVERS. Records of channel.*, reference.* and identity.commands go to the
partition that they had, in order, with key, headers and timestamp. At the end every partition gets a clock marker of
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
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, Producer, TopicPartition

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
            "message.max.bytes": 16_777_216,
            "compression.type": "lz4",
        }
    )
    known = consumer.list_topics(timeout=SECONDS).topics
    copied = 0
    for name in _names(known, arguments.old):
        source, target = arguments.old + name, arguments.new + name
        count = len(known[source].partitions)
        if target not in known or len(known[target].partitions) != count:
            sys.exit(f"there is no topic {target} with {count} partitions: run `raccord topics create` first")
        for partition in range(count):
            copied += _copy(consumer, producer, source, target, partition, arguments.since)
            if name != "identity.commands":
                now = time.time_ns() // 1_000_000
                marker, headers = struct.pack(">q", now), [(MARKER, b"1")]
                producer.produce(target, marker, b"\0clock", partition, timestamp=now, headers=headers)
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
    consumer: Consumer, producer: Producer, source: str, target: str, partition: int, since: datetime | None
) -> int:
    """Copy what a partition holds now; return how many records that is."""
    start, end = consumer.get_watermark_offsets(TopicPartition(source, partition), SECONDS)
    if since is not None:
        asked = TopicPartition(source, partition, int(since.timestamp() * 1_000))
        start = consumer.offsets_for_times([asked], SECONDS)[0].offset
    if start in {OFFSET_END, end}:
        return 0
    copied = 0
    consumer.assign([TopicPartition(source, partition, start)])
    while True:
        for record in consumer.consume(500, 1.0):
            if record.error() is not None:
                if record.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    return copied
                sys.exit(f"reading {source} failed: {record.error().str()}")
            if record.offset() >= end:
                return copied
            _write(producer, target, record)
            copied += 1


def _write(producer: Producer, topic: str, record: Any) -> None:
    _, stamp = record.timestamp()
    while True:
        try:
            producer.produce(
                topic,
                record.value(),
                record.key(),
                record.partition(),
                timestamp=stamp,
                headers=record.headers(),
            )
        except BufferError:  # its queue is full
            producer.poll(1.0)
        else:
            return


if __name__ == "__main__":
    main()
