"""The pipeline under chaos: live, behind a proxy, its workers run as `tests.chaos.worker`."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from stream_app.errors import Exit, UserError
from stream_app.runs.workers import WorkerProcess
from tests.chaos.worker import set_clock
from tests.pipeline_job import CHANGELOG_KEY, KEEP_ROWS, Pipeline, stored

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WORKERS = ("w1", "w2")
SESSION_MS = 3_000
QUIET_S = 3.0
"""So long nothing may be added to the outputs before they count as finished."""
_OWN = frozenset({"raccord-watermark", "raccord-arrivals"})
"""Headers of records that only the engine writes and reads."""

RULE = """\
name: abandoned_cart
version: 1
purpose: service
channel: [email]
key: cart_id
opens: {event: Product Added}
keeps_open: {event: [Product Added, Product Removed, Cart Viewed]}
closes: {event: [Order Completed, Cart Emptied], match: cart_id}
after: 5s
if: cart.value >= 20.0
grace: 1d
retract_within: 24h
payload: [cart]
"""
"""The shipped rule, in seconds instead of minutes, and so that it does not matter when something was found out.

The purpose is one that nobody has refused: a refusal that is found out late does not take back what was sent (design:
RULES, `retract_within`), and whether it is late depends on the faults."""
AFTER_MS = 5_000


class Deployment(Pipeline):
    """A live pipeline; a context manager.

    Args:
        direct: the broker's address for this process.
        proxied: its address for the workers.
        folder: for state, logs and rules.
        settings: further settings, as `RACCORD_...` variables.
    """

    def __init__(
        self, direct: str, proxied: str, prefix: str, folder: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        rules = folder / "rules"
        rules.mkdir(parents=True, exist_ok=True)
        (rules / "abandoned_cart.yaml").write_text(RULE)
        live = {
            "RACCORD_TIME": "wall",
            "RACCORD_RULES": str(rules),
            "RACCORD_SESSION_TIMEOUT_MS": str(SESSION_MS),
            "RACCORD_TRANSACTION_TIMEOUT_MS": "5000",
            "RACCORD_EPOCH_MS": "100",
            "RACCORD_CHANNELS": "web,app,store,email",
            "RACCORD_REFERENCES": "",
            "CHAOS_MEMTABLE": str(256 << 10),
        }
        super().__init__(direct, prefix, folder, {**live, **(settings or {})})
        self.environment["RACCORD_BOOTSTRAP_SERVERS"] = proxied
        self.restarts: Counter[int | None] = Counter()
        """Exit code -> how often a worker ended by itself with it, and was started again."""
        self._wanted: set[str] = set()

    def start(self, *names: str) -> None:
        for name in names:
            if name not in self.workers:
                clock = self.folder / f"{name}.clock"
                set_clock(clock, 0.0)
                environment = {**self.environment, "CHAOS_CLOCK": str(clock)}
                worker = WorkerProcess(name, environment, self.folder / f"{name}.log")
                worker.command = [sys.executable, "-m", "tests.chaos.worker", "worker"]
                self.workers[name] = worker
            if not self.runs(name):
                self.workers[name].start()
            self._wanted.add(name)

    def runs(self, name: str) -> bool:
        """Tell whether a worker's process is there, frozen or not."""
        worker = self.workers.get(name)
        return worker is not None and worker._process is not None and worker._process.poll() is None

    def kill(self, name: str) -> None:
        """End a worker as a power cut would; nobody starts it again before `start`."""
        self._wanted.discard(name)
        if name in self.workers:
            self.workers[name].kill()

    def leave(self, name: str) -> int:
        """Have a worker leave in order and return its exit code; nobody starts it again before `start`."""
        self._wanted.discard(name)
        return self.workers[name].stop() if name in self.workers else 0

    def supervise(self) -> None:
        """Start workers again that have ended by themselves."""
        for name in list(self._wanted):
            if not self.runs(name):
                process = self.workers[name]._process
                self.restarts[None if process is None else process.returncode] += 1
                self.workers[name].start()

    def store_of(self, name: str) -> Path:
        """Return the folder of a worker's stores."""
        return self.settings.data / name

    def wipe(self, name: str) -> None:
        """Remove a worker's stores; its process must not run. The folder itself may be a mount, and stays."""
        for each in self.store_of(name).glob("*"):
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink()

    def at_work(self) -> bool:
        running = [name for name in self.workers if self.runs(name)]
        told = [self.tasks_of(name) for name in running]
        complete = all(told) and sum(told) == len(KEEP_ROWS) * self.settings.partitions
        return complete and told == [self.tasks_of(name) for name in running]

    def stays_at_work(self, seconds: float) -> bool:
        """Tell whether the workers have every task for so long."""
        until = time.monotonic() + seconds
        while self.at_work():
            if time.monotonic() > until:
                return True
            time.sleep(0.3)
        return False

    def starts_of(self, name: str, said: str) -> int:
        """Return how often a worker has said something in its log; 0 while it has none."""
        return self.log(name).count(said) if (self.folder / f"{name}.log").exists() else 0

    def places(self) -> dict[str, tuple[int, int]]:
        """Return worker/task -> its changelog position and how many rows there are; the workers must have stopped."""
        found = {}
        for current in sorted(self.settings.data.glob("*/*-*/CURRENT")):
            rows = stored(current.parent)
            position = int(rows.pop(CHANGELOG_KEY, b"0").split()[0])
            found[f"{current.parent.parent.name}/{current.parent.name}"] = (position, len(rows))
        return found

    def clock(self) -> float:
        """Return where the clock of the customers stands that is furthest back (ms); 0: not all are known."""
        clocks: list[float] = []
        for name in self.workers:
            if self.runs(name):
                pattern = r'^raccord_watermark_seconds\{.*stage="customer".*\} (\S+)'
                clocks += map(float, re.findall(pattern, self.metrics(name), re.MULTILINE))
        return min(clocks) * 1_000 if len(clocks) >= self.settings.partitions else 0.0

    def settle(self, until: int, timeout: float = 180.0) -> None:
        """Wait until all is read, nothing more comes out, and the clocks have passed `until` (ms).

        Raises:
            UserError: it does not come to an end.
        """
        outputs = self._outputs()
        deadline = time.monotonic() + timeout
        ends, quiet_since = -1, time.monotonic()
        while True:
            if time.monotonic() > deadline:
                msg = f"the workers did not finish within {timeout:.0f} s: {self._unfinished(until)}"
                raise UserError(msg, Exit.FAILED)
            self.supervise()
            now = self._watcher.ends(outputs)
            if now != ends:
                ends, quiet_since = now, time.monotonic()
            elif time.monotonic() - quiet_since > QUIET_S and not self._unfinished(until):
                return
            time.sleep(0.5)

    def _outputs(self) -> list[str]:
        topics = self.topics
        return [
            topics.timeline, topics.profiles, topics.decisions, topics.dead_letters, topics.changes,
            topics.numbers,
            *topics.triggers.values(),
        ]  # fmt: skip

    def _unfinished(self, until: int) -> str:
        """Say what is not finished; "" when all is."""
        clock = self.clock()
        if clock <= until:
            return f"the clock stands at {clock:.0f}, not yet past {until}"
        left = self._data_left()
        return f"{left} records are not read" if left else ""

    def _data_left(self) -> int:
        """Count the records that the group has still to read, without those in which the engine tells of time."""
        topics = self.topics
        inputs = [
            *topics.inputs.values(),
            topics.commands,
            topics.lookup,
            topics.components,
            topics.increments,
        ]
        places = [
            TopicPartition(one.topic, one.partition, one.offset if one.offset >= 0 else OFFSET_BEGINNING)
            for one in self._watcher._committed(inputs)
        ]
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "chaos-left",  # never joined
                "log_level": 2,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 5,
            }
        )
        consumer.assign(places)
        open_ends, left, deadline = len(places), 0, time.monotonic() + 10
        with contextlib.closing(consumer):
            while open_ends and time.monotonic() < deadline:
                for message in consumer.consume(1_000, 0.2):
                    error = message.error()
                    if error is None:
                        names = {name for name, _ in message.headers() or ()}
                        left += not names & _OWN
                    elif error.code() == KafkaError._PARTITION_EOF:
                        open_ends -= 1
        return left + open_ends


def can_mount(folder: Path) -> bool:
    """Tell whether this process may mount a small file system."""
    if shutil.which("mount") is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    if tried.returncode != 0:
        return False
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)
    return True
