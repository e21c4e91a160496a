"""What provokes each planted bug of the engine: steps at which a process ends, freezes or fails, not luck.

Each function feeds a job, does to its workers what it says, and returns how many events each key got. A sound engine
then comes to the outputs that follow from these counts; one with the bug that it is for does not, or never comes to an
end.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka.admin import KafkaAdminClient

from stream_app.errors import UserError
from stream_app.runs.drain import Watcher
from tests.engine_job import Job, every_tenth
from tests.engine_sabotage import CRASHED, RESTORED, UNDELIVERED
from tests.engine_worker import PARTITIONS
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SMALL = {"BATCH": "40", "EPOCH_MS": "5", "SESSION_MS": "1000"}
"""Many epochs for few events; a dead worker is given up at once."""


PATIENCE_S = 60.0
"""A slow machine is no bug: only what is not finished after this never will be."""


def some(count: int, seed: int) -> list[tuple[bytes, bytes]]:
    rnd = random.Random(seed)
    return [(b"k%03d" % rnd.randrange(40), b"x") for _ in range(count)]


def telling(seed: int) -> list[tuple[bytes, bytes]]:
    """Return events of which a single one too many (of half of the keys) or too few (of the others) tells."""
    events = [(b"k%03d" % key, b"x") for key in range(40) for _ in range(99 + key % 2)]
    random.Random(seed).shuffle(events)
    return events


def job(bootstrap: str, prefix: str, folder: Path) -> Job:
    return Job(bootstrap, prefix, folder, time_mode="events")


def finished(run: Job, timeout: float = 60.0) -> list[bytes]:
    """Wait for the end; return the outputs.

    Raises:
        UserError: it does not come to an end.
    """
    run.drain(timeout)
    return sorted(value for _, value in run.read("output") if value is not None)


def poisoned(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """A handler that raises makes the worker read again what other batches of the partition follow, fetched already."""
    events = some(2_400, 1)
    bad = [(b"k%03d" % number, b"poison") for number in range(6)]
    mixed = [
        record
        for number, one in enumerate(bad)
        for record in (*events[400 * number : 400 * (number + 1)], one)
    ]
    counts = run.feed(mixed) - Counter(key for key, _ in bad)
    run.start("w1", **{**SMALL, "EPOCH_MS": "400"}, **plant, RACCORD_LAG="0.03")
    return counts


def killed(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """A second life goes on where the first one stopped."""
    counts = run.feed(some(600, 1))
    run.start("w1", **SMALL, **plant)
    run.drain()
    run.kill("w1")
    restored = run.log("w1").count(RESTORED)
    run.start("w1", **SMALL, **plant)
    assert wait_for(lambda: run.log("w1").count(RESTORED) == restored + 2 * PARTITIONS)
    return counts


def died_before_the_commit(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """A transaction that was all but committed is none."""
    counts = run.feed(telling(1))
    died = run.start("w1", **SMALL, **plant, RACCORD_CRASH="after_offsets:3")
    assert died.wait(30) == CRASHED
    run.start("w1", **SMALL, **plant)
    return counts


class Unsettled(Watcher):
    """Goes by offsets of which a transaction that is open may still make others."""

    name: str
    admin: AdminClient

    def _committed(self, topics: Iterable[str]) -> list[TopicPartition]:
        wanted = [TopicPartition(topic, p) for topic in topics for p in range(PARTITIONS)]
        asked = ConsumerGroupTopicPartitions(self.name, wanted)
        (answer,) = self.admin.list_consumer_group_offsets([asked], require_stable=False).values()
        return list(answer.result(10).topic_partitions)


def read_to_the_end(run: Job) -> None:
    """Wait until the group has read all that is readable, whoever has a transaction open in its topics."""
    watcher = Unsettled(run.bootstrap, run.group, PARTITIONS)
    watcher.name, watcher.admin = run.group, AdminClient({"bootstrap.servers": run.bootstrap})
    with contextlib.closing(watcher):
        watcher.wait(
            [run.topics["input"], run.topics["middle"]], [],
            timeout_s=PATIENCE_S, check=lambda: None, progress=lambda: None,
        )  # fmt: skip


def froze_before_the_commit(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """A worker whose offsets were accepted is given up, replaced, and only then commits."""
    counts = run.feed(telling(1))
    patient = {**SMALL, "TRANSACTION_MS": "120000"}  # the broker is not to end it before the worker goes on
    frozen = run.start("w1", **patient, **plant, RACCORD_FREEZE="after_offsets:3")
    assert wait_for(lambda: stopped(frozen.pid)), "it never came to its commit"
    run.start("w2", **patient, **plant)
    if plant:
        # Until w2 has done over again all that w1 has yet to commit: w1 is back in the group in no time, and takes
        # partitions from w2 that it may not have come to.
        read_to_the_end(run)
    else:
        # A sound one can't: it waits for the open transaction.
        wait_for(lambda: run.log("w2").count(RESTORED) == 2 * PARTITIONS, 10)
    frozen.send_signal(signal.SIGCONT)
    return counts


def froze_before_the_flush(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """A worker that has sent nothing yet is given up, replaced, and only then commits."""
    counts = run.feed(telling(1))
    patient = {**SMALL, "TRANSACTION_MS": "120000"}  # the broker is not to end it before the worker goes on
    frozen = run.start("w1", **patient, **plant, RACCORD_FREEZE="before_flush:6")
    assert wait_for(lambda: stopped(frozen.pid)), "it never came to its flush"
    run.start("w2", **patient, **plant)
    assert wait_for(lambda: run.log("w2").count(RESTORED) == 2 * PARTITIONS), run.log("w2")
    if plant:
        read_to_the_end(run)  # as above
    frozen.send_signal(signal.SIGCONT)
    return counts


def forgotten_by_the_group(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """The group's offsets expire, as those of a group do that is long without members; the rows are still there."""
    counts = run.feed(telling(1))
    run.start("w1", **SMALL, **plant)
    run.drain()
    run.workers["w1"].terminate()
    assert run.workers["w1"].wait(30) == 0
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=run.bootstrap)) as admin:
        admin.delete_groups([run.group])
    run.start("w1", **SMALL, **plant)
    assert wait_for(lambda: run.log("w1").count(RESTORED) == 4 * PARTITIONS), run.log("w1")
    return counts


def not_delivered(run: Job, plant: dict[str, str]) -> Counter[bytes]:
    """What an epoch sent is not delivered, once; later epochs are."""
    counts = run.feed(telling(1))
    run.start("w1", **SMALL, **plant, RACCORD_UNDELIVERED="before_flush:6")
    assert wait_for(lambda: UNDELIVERED in run.log("w1")), run.log("w1")
    return counts + run.feed(some(400, 2))


def stopped(pid: int) -> bool:
    """Tell whether a child of ours has been stopped by SIGSTOP since the last call."""
    changed, status = os.waitpid(pid, os.WUNTRACED | os.WNOHANG)
    assert not changed or os.WIFSTOPPED(status), f"it ended: {status}"
    return changed == pid


PROVOKED_BY: dict[str, Callable[[Job, dict[str, str]], Counter[bytes]]] = {
    "takes what was fetched before a seek": poisoned,
    "trusts the group's offset": forgotten_by_the_group,
    "leaves out the position": killed,
    "writes RocksDB first": died_before_the_commit,
    "does not wait for open transactions": froze_before_the_commit,
    "ignores a failed delivery": not_delivered,
    "commits though it is fenced": froze_before_the_flush,
}


def noticed(
    run: Job, bug: str | None, provoke: Callable[[Job, dict[str, str]], Counter[bytes]]
) -> str | None:
    """Provoke a bug (None: a sound engine) and say what was noticed; None: nothing."""
    counts = provoke(run, {} if bug is None else {"RACCORD_PLANT": bug})
    try:
        outputs, ends = finished(run, PATIENCE_S), ""
    except UserError:
        outputs, ends = (
            [value for _, value in run.read("output") if value is not None],
            "; it never comes to an end",
        )
    wanted = every_tenth(counts)
    lost, doubled = Counter(wanted) - Counter(outputs), Counter(outputs) - Counter(wanted)
    if not (lost or doubled or ends):
        return None
    return f"{lost.total()} of {len(wanted)} outputs are missing, {doubled.total()} are too many{ends}"
