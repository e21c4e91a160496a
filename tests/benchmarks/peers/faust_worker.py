"""Stock Faust at the jobs of `jobs`: `python -m tests.benchmarks.peers.faust_worker JOB GROUP FOLDER`.

At least once, as Faust is by default. Its timers go by the wall clock; a basket that falls due in event time is found
by a heap beside the table, which is made anew from the table when partitions come or go.
"""

from __future__ import annotations

import heapq
import os
import sys
from collections import defaultdict
from typing import Any

import faust
import msgspec

from tests.benchmarks.peers.jobs import ADDED, COMPLETED, KEPT, Event

_event = msgspec.json.Decoder(Event).decode


def application(group: str, folder: str) -> Any:
    """Return the app with the settings that make it fastest while it stays what it is."""
    return faust.App(
        group,
        broker=f"kafka://{os.environ['KAFKA_BOOTSTRAP_SERVERS']}",
        store="memory://",
        datadir=folder,
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
        topic_partitions=int(os.environ["PARTITIONS"]),
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        broker_max_poll_records=2_000,
        stream_buffer_maxsize=16_384,
        stream_wait_empty=False,
        producer_compression_type="lz4",
        producer_linger=0.005,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=1.5,
    )


def count(app: Any, source: Any, out: Any) -> None:
    """Count per customer."""
    # By types: what a schema says of serializers is forgotten when a table is recovered.
    counts = app.Table("counts", key_type=bytes, value_type=bytes)

    @app.agent(source)
    async def counting(stream: Any) -> None:
        async for key, value in stream.items():
            row = counts.get(key)
            number = 1 if row is None else int.from_bytes(row[:4], "big") + 1
            counts[key] = number.to_bytes(4, "big") + value[:KEPT]
            if (number + key[-1] - 48) % 10 == 0:
                event = _event(value)
                await out.send(key=key, value=b"%d %d %d" % (number, event.n, event.at))


def repartition(app: Any, source: Any, middle: Any) -> None:
    """Key every event by its customer."""

    @app.agent(source)
    async def forward(stream: Any) -> None:
        async for value in stream:
            await middle.send(key=_event(value).customer.encode(), value=value)


def basket(app: Any, source: Any, out: Any, gap: int) -> None:
    """Find abandoned baskets."""
    table = app.Table("baskets", key_type=bytes)
    due: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)

    async def abandoned(key: bytes, row: list[int]) -> None:
        await out.send(key=key, value=b"%d %d %d %d" % tuple(row[:4]))

    @table.on_recover
    async def remember() -> None:
        due.clear()
        for key, row in table.items():
            heapq.heappush(due[row[4]], (row[1], key))

    @app.agent(source)
    async def baskets(stream: Any) -> None:
        async for one in stream.events():
            event, key, partition = _event(one.value), one.key, one.message.partition
            heap = due[partition]
            while heap and heap[0][0] < event.at:
                _, late = heapq.heappop(heap)
                row = table.get(late)
                if row is None:
                    continue
                if row[1] >= event.at:
                    heapq.heappush(heap, (row[1], late))
                else:
                    await abandoned(late, row)
                    table.pop(late)
            row = table.get(key)
            if event.type == ADDED:
                if row is None:
                    heapq.heappush(heap, (event.at + gap, key))
                    table[key] = [event.at, event.at + gap, event.items, event.cents, partition]
                else:
                    items, cents = row[2] + event.items, row[3] + event.cents
                    table[key] = [row[0], event.at + gap, items, cents, partition]
            elif event.type == COMPLETED and row is not None:
                table.pop(key)


def main() -> None:
    """Run one process of the worker."""
    job, group, folder = sys.argv[1:]
    app = application(group, folder)
    source = app.topic(os.environ["INPUT"], value_serializer="raw", key_serializer="raw")
    out = app.topic(f"{group}.output", value_serializer="raw", key_serializer="raw")
    if job == "basket":
        basket(app, source, out, int(os.environ["GAP_MS"]))
    elif job == "count":
        count(app, source, out)
    else:
        middle = app.topic(f"{group}.middle", value_serializer="raw", key_serializer="raw")
        repartition(app, source, middle)
        count(app, middle, out)
    sys.argv[1:] = ["worker", "--without-web", "--loglevel=warn"]
    app.main()


if __name__ == "__main__":
    main()
