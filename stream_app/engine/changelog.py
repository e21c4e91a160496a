"""How a task's rows come back: from its changelog topic, from the local position on.

Rules:
- The changelog's end is sampled once. Then wait until its last stable offset has reached that end: a dead
  worker's transaction may still be open, or half committed. The wait is bounded by the transaction timeout.
- Whatever a fenced worker still writes after that can't be committed any more: it flushes its changelog before
  it sends its offsets, and the group coordinator refuses offsets of an old generation.
- Applying a stretch twice is harmless: rows carry whole values, the last one wins.
- Local rows that are older than the topic keeps tombstones for are thrown away: deletions may be missing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_app.engine.errors import EngineError, StaleRowsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_app.engine.store import MemoryRows, Rows

CHUNK = 1_000
"""Messages that are taken at once: with 10,000 a restore takes as long (0.64 to 0.69 s of processor time for 300,000
rows of 300 bytes, where it took 0.74 to 0.88), and their objects take ten times the room."""
QUEUE_KIB = 4 * 1024
"""What a client has read ahead; librdkafka's own 64 MiB make it no faster (4 to 64 MiB: 0.64 to 0.78 s), but 50 MiB
larger, and there is one for each thread that restores."""
FETCH_BYTES = 1024 * 1024
"""With 4 MiB a fetch: 0.58 to 0.71 s, 20 MiB more at the peak. With 1 MiB: 0.56 to 0.71 s."""
_POLL_S = 0.02
_WAIT_S = 0.05


class Progress(NamedTuple):
    """How far a restore is: offsets done and in all, rows applied, seconds since it began."""

    done: int
    total: int
    rows: int
    seconds: float


class Cancelled(Protocol):
    """Says whether nobody wants the result any more (a `threading.Event` will do)."""

    def is_set(self) -> bool:
        """Return True once the restore should stop."""


class RestoreCancelledError(EngineError):
    """The partition was taken away while its rows were being restored."""


class Restorer:
    """Reads changelogs; one per thread, its two clients used again for each partition."""

    def __init__(self, config: Mapping[str, Any], stable_timeout_s: float) -> None:
        common = {
            **config,
            "group.id": "raccord-restore",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 50,
            "fetch.message.max.bytes": FETCH_BYTES,
            "queued.min.messages": 100_000,
            "queued.max.messages.kbytes": QUEUE_KIB,
        }
        self._committed = Consumer({**common, "isolation.level": "read_committed"})
        self._all = Consumer({**common, "isolation.level": "read_uncommitted"})
        self._stable_timeout = stable_timeout_s

    def close(self) -> None:
        """Close both clients."""
        self._committed.close()
        self._all.close()

    def restore(
        self,
        topic: str,
        partition: int,
        rows: Rows | MemoryRows,
        *,
        cancelled: Cancelled,
        wanted: Callable[[bytes], bool] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Bring `rows` up to the changelog's end as it was when the call began.

        Args:
            topic: the changelog.
            partition: its partition.
            rows: where to apply it, from `rows.changelog_position` on.
            cancelled: asked between two chunks.
            wanted: takes a key, says whether the row belongs here (tasks may share a changelog partition).
            progress: called after each chunk.

        Raises:
            RestoreCancelledError: `cancelled` was set.
            StaleRowsError: the rows are ahead of the changelog; they must be thrown away.
            EngineError: the changelog did not become stable, or can't be read; trying again may heal it.
        """
        started = time.monotonic()
        where = TopicPartition(topic, partition)
        try:
            first, end = self._wait_stable(where, cancelled)
            if rows.changelog_position > end:
                msg = f"the rows go up to {rows.changelog_position}, changelog {topic}/{partition} ends at {end}"
                raise StaleRowsError(msg)
            position = max(rows.changelog_position, first)
            if position >= end:
                return
            self._committed.assign([TopicPartition(topic, partition, position)])
            try:
                self._apply(rows, position, end, started, cancelled, wanted, progress)
            finally:
                self._committed.unassign()
        except KafkaException as error:
            msg = f"reading changelog {topic}/{partition} failed: {error.args[0].str()}"
            raise EngineError(msg) from error

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the first offset of a partition that is still there, and the next one to be written.

        Raises:
            EngineError: the broker doesn't say.
        """
        try:
            first, end = self._all.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        except KafkaException as error:
            msg = f"asking for the offsets of {topic}/{partition} failed: {error.args[0].str()}"
            raise EngineError(msg) from error
        return first, end

    def _wait_stable(self, where: TopicPartition, cancelled: Cancelled) -> tuple[int, int]:
        first, end = self._all.get_watermark_offsets(where, timeout=10)
        deadline = time.monotonic() + self._stable_timeout
        while True:
            stable = self._committed.get_watermark_offsets(where, timeout=10)[1]
            if stable >= end:
                return first, end
            if cancelled.is_set():
                raise RestoreCancelledError(where.topic)
            if time.monotonic() > deadline:
                msg = (
                    f"changelog {where.topic}/{where.partition} has an open transaction that the broker did not "
                    f"end within {self._stable_timeout:.0f} s (stable to {stable} of {end})"
                )
                raise EngineError(msg)
            time.sleep(_POLL_S)

    def _apply(
        self,
        rows: Rows | MemoryRows,
        position: int,
        end: int,
        started: float,
        cancelled: Cancelled,
        wanted: Callable[[bytes], bool] | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        begin, applied, at_end = position, 0, False
        while not at_end:
            if cancelled.is_set():
                msg = "the partition was taken away"
                raise RestoreCancelledError(msg)
            chunk: dict[bytes, bytes | None] = {}
            messages = self._committed.consume(CHUNK, _WAIT_S)
            for message in messages:
                error = message.error()
                if error is None:
                    key = message.key() or b""
                    if wanted is None or wanted(key):
                        chunk[key] = message.value()
                    position = (message.offset() or 0) + 1
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
                    offset = message.offset() or 0
                    at_end = offset >= end
                    position = max(position, offset)
                else:
                    raise KafkaException(error)
            at_end = (
                at_end or position >= end
            )  # a changelog that others write to as well has no end to wait for
            applied += len(chunk)
            rows.write(list(chunk.items()), position)
            if progress is not None and (messages or at_end):  # a broker that lets wait is no progress
                progress(Progress(position - begin, end - begin, applied, time.monotonic() - started))
