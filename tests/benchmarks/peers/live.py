"""Writes events at a steady rate, as they happen: `python -m tests.benchmarks.peers.live TOPIC JOB RATE SECONDS`.

A process of its own, for at high rates it is busy, and whoever reads the outputs must not wait for it. What an event
consists of is made beforehand; its number and its time are put in front.
"""

from __future__ import annotations

import os
import random
import sys
import time

from tests.benchmarks.peers.bed import producer
from tests.benchmarks.peers.jobs import event, message

SECONDS_APART = 3
"""A customer has an event every few seconds: some baskets are left for longer than they may be, some are not."""


def templates(job: str, customers: int) -> list[tuple[bytes, bytes]]:
    """Return keys, and values from behind the event's time on."""
    rnd = random.Random(2)
    found = []
    for _ in range(2 * customers):
        one = message(job, event(0, 0, rnd.randrange(customers), rnd))
        found.append((one.key, one.value[len(b'{"n":0,"at":0') :]))
    return found


def main() -> None:
    """Write."""
    topic, job, rate, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    ready = templates(job, SECONDS_APART * rate)
    client = producer(os.environ["KAFKA_BOOTSTRAP_SERVERS"])
    sent, started = 0, time.time()
    while (now := time.time()) < started + seconds:
        at = int(now * 1000)
        due = int((now - started) * rate)
        while sent < due:
            key, rest = ready[sent % len(ready)]
            client.produce(topic, b'{"n":%d,"at":%d' % (sent, at) + rest, key, timestamp=at)
            sent += 1
        client.poll(0.002)
    if client.flush(30):
        raise SystemExit("the broker did not take all records")


if __name__ == "__main__":
    main()
