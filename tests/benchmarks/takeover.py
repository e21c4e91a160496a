"""How long events wait when a worker is killed: `make bench-takeover`. Results go to `results/takeover.json`.

Two workers on one broker, live, with a million customers (one event each) in their state; shoppers' further events come
at a steady rate. Then one worker gets SIGKILL and stays away. Every event carries its number; noted is when it appears
on `customer.timeline` to a `read_committed` reader. Events of the killed worker's partitions wait until its silence is
noticed (the session timeout), the group has formed anew, and its partitions' rows are there: with standbys they are
warm, without they come from the changelogs' beginning. The longest wait is the figure.
"""

from __future__ import annotations

import random
import re
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console

import schemas
from stream_app.domain.event import ChannelEvent
from stream_app.runs.session import Options, Session
from stream_app.runs.show import Show
from stream_app.wire import encode_single_object
from tests.benchmarks import command
from tests.machine import with_broker
from tests.pipeline_job import KEEP_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = command.RESULTS / "takeover.json"
RATE = 200
BEFORE_S, AFTER_S = 5.0, 10.0
LATEST_S = 240.0
SETTLED_S = 1.0
"""An event that comes through in less meets no backlog."""
_SETTLING = 1_000_000
"""Probes from this number on are sent before anything is measured."""
_PROBE = re.compile(rb"probe-(\d+)")


class Reader:
    """Counts timeline rows, and notes when probes arrive; a thread of its own."""

    def __init__(self, session: Session) -> None:
        self.rows = 0
        self.arrived: dict[int, float] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": session.settings.bootstrap_servers,
                "group.id": "takeover",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
                "fetch.queue.backoff.ms": 5,
            }
        )
        topic = session.topics.timeline
        self._consumer.assign([TopicPartition(topic, p, 0) for p in range(session.settings.partitions)])
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._done.is_set():
            for message in self._consumer.consume(10_000, 0.02):
                if message.error() is None:
                    self.rows += 1
                    found = _PROBE.search(message.value() or b"")
                    if found is not None:
                        self.arrived.setdefault(int(found.group(1)), time.monotonic())

    def close(self) -> None:
        """Stop reading."""
        self._done.set()
        self._thread.join()
        self._consumer.close()


def measured(show: Show, customers: int, standbys: int, session_ms: int) -> dict[str, Any]:
    """Kill a worker of two; return how long events waited."""
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules"
        rules.mkdir()
        (rules / "abandoned_cart.yaml").write_text(schemas.read_text("rules/abandoned_cart.yaml"))
        settings = {
            "RACCORD_TIME": "wall",
            "RACCORD_RULES": str(rules),
            "RACCORD_STANDBY_REPLICAS": str(standbys),
            "RACCORD_SESSION_TIMEOUT_MS": str(session_ms),
        }
        with Session(Options("takeover", Path(folder), workers=2, settings=settings), show) as session:
            session.wait_ready()
            with closing(Reader(session)) as reader:
                with show.step(f"bringing {customers:,} customers into the state"):
                    _load(session, customers)
                    _until(lambda: reader.rows >= customers, "the state is not there")
                if standbys:
                    with show.step("waiting for the standbys"):
                        _until(
                            lambda: _warm(session), "the standbys are not warm", lambda: _standbys(session)
                        )
                with show.step("waiting until nothing is left to do"):
                    _settle(session, reader)
                return {"standby_replicas": standbys, **_killed(session, reader, customers)}


def _settle(session: Session, reader: Reader) -> None:
    """Wait until an event comes through at once: timelines are there before the last links are."""
    producer = _producer(session)
    for number in range(_SETTLING, _SETTLING + int(LATEST_S)):
        sent = time.monotonic()
        _send(session, producer, f"probe-{number}", 0)
        producer.flush(30)
        _until(lambda number=number: number in reader.arrived, "no event comes through")
        if time.monotonic() - sent < SETTLED_S:
            break
    else:
        raise SystemExit("events do not come through at once")
    reader.arrived.clear()


def _killed(session: Session, reader: Reader, customers: int) -> dict[str, Any]:
    sent: list[float] = []
    killed = 0.0
    producer, rnd = _producer(session), random.Random(1)
    started = time.monotonic()
    while (now := time.monotonic()) - started < BEFORE_S + AFTER_S:
        if not killed and now - started >= BEFORE_S:
            session.workers.pop().kill()
            killed = time.monotonic()
        while len(sent) < (now - started) * RATE:
            _send(session, producer, f"probe-{len(sent)}", rnd.randrange(customers))
            sent.append(time.monotonic())
        producer.poll(0.002)
    producer.flush(30)
    _until(lambda: len(reader.arrived) >= len(sent), "events are missing")
    waits = [reader.arrived[number] - at for number, at in enumerate(sent)]
    back = max(reader.arrived[number] for number, at in enumerate(sent) if at < killed + 1)
    before = sorted(wait for wait, at in zip(waits, sent, strict=True) if at < killed - 1)
    return {
        "customers": customers,
        "events": len(sent),
        "session_timeout_s": session.settings.session_timeout_ms / 1000,
        "p50_before_ms": round(before[len(before) // 2] * 1000),
        "longest_wait_s": round(max(waits), 2),
        "served_again_after_kill_s": round(back - killed, 2),
    }


def _load(session: Session, customers: int) -> None:
    producer = _producer(session)
    for number in range(customers):
        _send(session, producer, f"e{number}", number)
        if number % 1_000 == 0:
            producer.poll(0)
    producer.flush(60)


def _send(session: Session, producer: Producer, event_id: str, customer: int) -> None:
    who = f"u{customer}"
    event = ChannelEvent(
        event_id, int(time.time() * 1000), "web", "Product Viewed",
        {"user_id": who, "cookie": f"c-{who}"}, {"sku": f"s{customer % 997}", "price": 19.9, "currency": "EUR"},
    )  # fmt: skip
    while True:
        try:
            producer.produce(session.topics.channels["web"], encode_single_object(event), who.encode())
        except BufferError:
            producer.poll(0.1)
        else:
            return


def _producer(session: Session) -> Producer:
    return Producer(
        {
            "bootstrap.servers": session.settings.bootstrap_servers,
            "partitioner": "murmur2_random",
            "linger.ms": 2,
            "enable.idempotence": True,
        }
    )


def _warm(session: Session) -> bool:
    """Tell whether every partition with state is kept warm by somebody, and close behind."""
    behind = _behind(session)
    return len(behind) == len(KEEP_ROWS) * session.settings.partitions and max(behind) < 10_000


def _behind(session: Session) -> list[float]:
    """Return how many records each standby has to read."""
    behind: list[float] = []
    for worker in session.workers:
        page = re.findall(r"http://\S+/metrics", worker.log.read_text())[-1]
        text = requests.get(page, timeout=10).text
        behind += map(float, re.findall(r"^raccord_standby_behind_records\{.*\} (\S+)", text, re.MULTILINE))
    return behind


def _standbys(session: Session) -> str:
    """Say how far the standbys are, and what the workers said last."""
    logs = "".join(f"\n{worker.log.name}:\n{worker.log.read_text()[-2_000:]}" for worker in session.workers)
    return f"records behind: {_behind(session)}{logs}"


def _until(holds: Callable[[], bool], why: str, more: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + LATEST_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"{why} after {LATEST_S:.0f} s\n{more()}")
        time.sleep(0.1)


def main() -> None:
    """Measure with standbys and without, print it, and write the results."""
    parser = command.parser(__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--standbys", type=int, nargs="+", default=[1, 0])
    parser.add_argument("--session-ms", type=int, default=2_000)
    options = parser.parse_args()
    show, console, on = Show(), Console(highlight=False), with_broker("rocksdict")
    found = []
    for standbys in options.standbys:
        found.append(measured(show, options.customers, standbys, options.session_ms))
        console.print(found[-1])
    if not options.no_write:
        command.write(RESULTS, {"machine": on, "takeover": found})
        console.print(f"written: {RESULTS}")


if __name__ == "__main__":
    main()
