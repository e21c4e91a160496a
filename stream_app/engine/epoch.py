"""One epoch = one Kafka transaction, for all tasks of a worker.

The order of a commit, which is the whole point:
1. produce what changed in the stores to the changelogs, with one row that holds the input position;
2. flush, then send the offsets with this worker's group generation and member id: fenced if it lost them;
3. commit the transaction: outputs, forwarded messages, changelogs and offsets become visible together;
4. write the same changes, and the changelog position, to RocksDB, one batch per store;
5. begin the next transaction.

A crash before 3 leaves nothing; a crash between 3 and 4 leaves RocksDB behind the changelog, from which it
catches up. Whatever fails before 3 rolls back: overlays and caches dropped, transaction aborted, inputs sought
back. When 3 itself is left unanswered, the changelog is asked (`OutcomeUnknownError`).
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.engine.codec import WATERMARK_HEADER, encode_arrivals, encode_watermarks
from stream_app.engine.errors import EpochAbortedError, FatalError, FencedError, HandlerError
from stream_app.engine.flights import ARRIVALS_HEADER
from stream_app.engine.group_metadata import group_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from stream_app.engine.producer import Headers, TransactionalProducer
    from stream_app.engine.task import Task
    from stream_app.engine.watermark import BrokerClock, Told

Membership = tuple[str, int, str]

_LOG_APPEND_TIME = 2


class Written(NamedTuple):
    """What one commit did: changed rows, seconds."""

    changes: int
    seconds: float


class _Move(NamedTuple):
    """Tasks that read one topic, of which others have to be told that all of them have come so far."""

    to: str
    topic: str
    reached: int
    tasks: list[Task]


class Epoch:
    """Commits what a worker's tasks did since the last commit."""

    def __init__(
        self,
        producer: TransactionalProducer,
        membership: Callable[[], Membership | None],
        partitions: Mapping[str, int],
        broker_clock: BrokerClock,
        announce_s: float,
    ) -> None:
        self.producer = producer
        self._membership = membership
        self._partitions = partitions
        self._broker_clock = broker_clock
        self._announce_s = announce_s
        self._announced_at = 0.0
        self._emitted: dict[str, int] = {}

    def unsaid(self, tasks: Collection[Task]) -> bool:
        """Say whether a watermark moved that the next stage has not been told of."""
        return any(self._moves(tasks))

    def _moves(self, tasks: Collection[Task]) -> Iterator[_Move]:
        """Yield, for each topic, of which of its tasks others have to be told how far they have come.

        It is the least of them that is said of all: whoever is told goes by the least anyway, and hears one number for
        all partitions.

        Where nobody waits for it (see `gathered`) only what is taken back is told: what was said may be too little for
        whoever gets a task later, never too much.
        """
        here = gathered(tasks)
        topics: dict[tuple[str, str], list[Task]] = {}
        for task in tasks:
            if task.announces_to is not None:
                topics.setdefault((task.tp.topic, task.announces_to), []).append(task)
        for (topic, to), found in topics.items():
            reached = min(task.announced for task in found)
            before = ((task, self._emitted.get(task.id)) for task in found)
            moved = [
                task
                for task, said in before
                if reached != said and (said is None or reached < said or topic not in here)
            ]
            if moved:
                yield _Move(to, topic, reached, moved)

    def commit(self, tasks: Collection[Task]) -> Written:
        """Commit the tasks' work.

        Raises:
            HandlerError: a stage's code failed; nothing happened; the caller aborts.
            EpochAbortedError: nothing happened; the caller rewinds its tasks.
            FencedError: nothing happened, and the tasks may be others' by now.
            OutcomeUnknownError: the caller reopens its tasks from their changelogs.
        """
        started = time.monotonic()
        working = [task for task in tasks if task.dirty]
        changed = []
        for task in working:
            try:
                task.handler.flush()
                changes = task.store.changes()
            except (EpochAbortedError, FatalError):
                raise
            except Exception as error:
                raise HandlerError(task, error) from error
            self._log(task, changes)  # at once: the client sends it while the next task is asked
            changed.append((task, changes))
        changed += [(task, []) for task in self._acknowledge(working, tasks)]
        for task, changes in changed:
            changes.append(self._log_position(task))
        said = self._announce(tasks)
        member = self._membership()
        if member is None and (changed or said):
            self.producer.abort()
            msg = "this worker is in no group at the moment"
            raise FencedError(msg)
        offsets = self._offsets(tasks, said)
        prepared = [(task, task.store.prepare(changes)) for task, changes in changed]
        self.producer.commit(offsets, None if member is None else group_metadata(*member))
        for task, batch in prepared:
            task.store.land(batch, task.changelog_position)
            task.committed()
        self._emitted.update(said)
        if said:
            self._announced_at = time.monotonic()
        return Written(sum(len(changes) for _, changes in changed), time.monotonic() - started)

    def _offsets(self, tasks: Collection[Task], said: Mapping[str, int]) -> list[tuple[str, int, int]]:
        """Return the offsets to send: of tasks that worked, and of those that announce for the first time.

        One of whoever announces at least: with it the worker's generation is sent, and a worker that lost a partition
        may not speak for it either.
        """
        moved = [task for task in tasks if task.dirty or (task.id in said and task.id not in self._emitted)]
        moved = moved or [task for task in tasks if task.id in said][:1]
        return [(task.tp.topic, task.tp.partition, task.position) for task in moved]

    def forget(self, task: Task) -> None:
        """Say a task's watermark anew when it comes back."""
        self._emitted.pop(task.id, None)

    def _log(self, task: Task, changes: list[tuple[bytes, bytes | None]]) -> None:
        self.producer.send_rows(task.stage.changelog, task.tp.partition, changes)

    def _log_position(self, task: Task) -> tuple[bytes, bytes | None]:
        """Send and return the row that holds the position, once it is known what the epoch leaves outstanding."""
        key, value = task.meta()

        def delivered(error: Any, message: Any) -> None:
            # The position row is the last of the epoch in this partition: the changelog is complete up to it.
            if error is None:
                task.changelog_position = message.offset() + 1

        self.producer.send(task.stage.changelog, value, key, task.tp.partition, on_delivery=delivered)
        return key, value

    def _acknowledge(self, working: Collection[Task], tasks: Collection[Task]) -> list[Task]:
        """Tell those who sent us messages within a stage how many have arrived, all of an epoch at once.

        A sender of this worker is told without a message: its state is committed with those that took them in.
        Returns those of them that had nothing to commit.
        """
        here = {(task.tp.topic, task.tp.partition): task for task in tasks if task.flights is not None}
        arrived: dict[tuple[str, int], Counter[int]] = {}
        for task in working:
            if task.flights is not None:
                for partition, counts in task.flights.close().items():
                    arrived.setdefault((task.tp.topic, partition), Counter()).update(counts)
        told = []
        for (topic, partition), counts in arrived.items():
            sender = here.get((topic, partition))
            if sender is None or sender.flights is None:
                self.producer.send(topic, encode_arrivals(counts), None, partition, [(ARRIVALS_HEADER, b"1")])
                continue
            sender.flights.acknowledged(counts)
            if not sender.dirty:
                sender.dirty = True
                told.append(sender)
        return told

    def _announce(self, tasks: Collection[Task]) -> dict[str, int]:
        """Tell the next stages, in-band and behind all data of this epoch, how far these tasks have come."""
        # Clocks that only follow the broker's move all the time. Telling of each move would make the next stage
        # commit, and that commit would tell of the next: they are told of at intervals, or along with data.
        quiet = time.monotonic() - self._announced_at < self._announce_s and not any(
            task.dirty and task.follows_clock for task in tasks
        )
        messages: dict[str, Told] = {}
        said: dict[str, int] = {}
        for move in self._moves(tasks):
            if quiet and move.tasks[0].follows_clock:
                continue
            all_of_them = len(move.tasks) == self._partitions[move.topic]
            partitions = [] if all_of_them else [task.tp.partition for task in move.tasks]
            messages.setdefault(move.to, {})[move.topic] = (move.reached, partitions)
            said.update((task.id, move.reached) for task in move.tasks)
        headers: Headers = [(WATERMARK_HEADER, b"1")]
        for topic, told in messages.items():
            message = encode_watermarks(told)
            for partition in range(self._partitions[topic]):
                self.producer.send(topic, message, None, partition, headers, on_delivery=self._timestamped)
        return said

    def _timestamped(self, error: Any, message: Any) -> None:
        """Learn the broker's time from the timestamp that it gave to one of our own messages."""
        if error is None:
            kind, timestamp = message.timestamp()
            if kind == _LOG_APPEND_TIME:
                self._broker_clock.observe(timestamp, local_ms())


def gathered(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Return, live, the stages whose tasks wait for each other and are all of one worker: topic -> tasks."""
    stages: dict[str, list[Task]] = {}
    for task in tasks:
        if task.circulates and task.live:
            stages.setdefault(task.tp.topic, []).append(task)
    return {topic: found for topic, found in stages.items() if len(found) == found[0].peers}


def local_ms() -> int:
    """Return this machine's monotonic clock in ms: only differences mean anything."""
    return time.monotonic_ns() // 1_000_000
