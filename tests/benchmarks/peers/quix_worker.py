"""Quix Streams at the jobs of `jobs`: `quix_worker.py JOB GROUP FOLDER`, run by an interpreter of its own.

It has no timers that a job may set. What comes nearest to a basket that falls due is a session window with that gap,
closed by the time of the whole partition: a session in which something was added after its last order is abandoned.
Such a window closes one gap later than the basket is due, which its latency shows.

This file imports nothing of the project: its interpreter has Quix Streams' packages, and not ours.
"""

import os
import sys

import orjson
from quixstreams import Application
from quixstreams.dataframe.windows import Reduce

KEPT = 200
ADDED, COMPLETED = "Product Added", "Order Completed"
GAP_MS = int(os.environ["GAP_MS"])
NOTHING = [0, 0, 0, 0]


def counting(value, key, _timestamp, _headers, state):
    """Count per customer; return (key, output), or None."""
    row = state.get_bytes("row")
    count = 1 if row is None else int.from_bytes(row[:4], "big") + 1
    state.set_bytes("row", count.to_bytes(4, "big") + value[:KEPT])
    if (count + key[-1] - 48) % 10:
        return None
    event = orjson.loads(value)
    return b"%d %d %d" % (count, event["n"], event["at"])


def opened(event):
    """Return the basket after the first event of a session: opened, due, items, cents."""
    if event["type"] != ADDED:
        return NOTHING
    return [event["at"], event["at"] + GAP_MS, event["items"], event["cents"]]


def changed(basket, event):
    """Return the basket after a further event."""
    if event["type"] != ADDED or not basket[2]:
        return opened(event)
    return [basket[0], event["at"] + GAP_MS, basket[2] + event["items"], basket[3] + event["cents"]]


def merged(_earlier, later):
    """Return the basket of two sessions that an event out of order makes one (there are none here)."""
    return later


def main() -> None:
    """Run one process of the worker."""
    job, group, folder = sys.argv[1:]
    app = Application(
        broker_address=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=int(os.environ["COMMIT_MS"]) / 1000,
        state_dir=folder,
        loglevel="WARNING",
        consumer_extra_config={"session.timeout.ms": 10_000, "fetch.queue.backoff.ms": 5},
        producer_extra_config={"linger.ms": 5, "compression.type": "lz4"},
    )
    source = app.topic(os.environ["INPUT"], key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(f"{group}.output", key_serializer="bytes", value_serializer="bytes")
    events = app.dataframe(source)
    if job == "basket":
        found = (
            events.apply(orjson.loads)
            .filter(lambda event: event["type"] in (ADDED, COMPLETED))
            .session_window(inactivity_gap_ms=GAP_MS)
            .agg(basket=Reduce(reducer=changed, initializer=opened, merger=merged))
            .final(closing_strategy="partition")
            .filter(lambda window: window["basket"][2] > 0)
            .apply(lambda window: b"%d %d %d %d" % tuple(window["basket"]))
        )
    else:
        if job == "repartition":
            raw = dict.fromkeys(
                ("key_serializer", "key_deserializer", "value_serializer", "value_deserializer"), "bytes"
            )
            events = events.group_by(
                lambda value: orjson.loads(value)["customer"].encode(), name="middle", **raw
            )
        found = events.apply(counting, stateful=True, metadata=True).filter(lambda value: value is not None)
    found.to_topic(target)
    app.run()


if __name__ == "__main__":
    main()
