"""Tells when a pipeline has nothing left to do, from the broker alone.

A group's lag says it only roughly: behind transactions, offsets have holes (commit markers), so the lag of a
finished partition is seldom zero. So what lies between a committed offset and the end is read, and counted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import stamina
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from stream_app.errors import Exit, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_QUIET_CHECKS = 2
_PAUSE_S = 0.7
_ENOUGH = 20_000


class Lag(NamedTuple):
    """Offsets committed, and offsets there are, over some topics. Markers count: the two may never meet."""

    done: int
    total: int


class Watcher:
    """Looks at a group's progress through its input topics."""

    def __init__(self, bootstrap_servers: str, group: str, partitions: int) -> None:
        self._partitions = partitions
        common = {"bootstrap.servers": bootstrap_servers, "log_level": 2, "enable.auto.commit": False}
        self._group = Consumer({**common, "group.id": group})  # never subscribes: only asks for its offsets
        self._reader = Consumer(
            {
                **common,
                "group.id": f"{group}-watch",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.queue.backoff.ms": 5,
            }
        )

    def close(self) -> None:
        """Close both clients."""
        self._group.close()
        self._reader.close()

    @stamina.retry(on=KafkaException, timeout=30)  # as `ends`
    def lag(self, topics: Iterable[str]) -> Lag:
        """Return how far the group is through these topics."""
        done = total = 0
        for position in self._committed(topics):
            low, high = self._reader.get_watermark_offsets(position, timeout=10)
            done += max(low, position.offset)
            total += high
        return Lag(done, total)

    @stamina.retry(on=KafkaException, timeout=30)  # a topic that was just made may have no leader yet
    def ends(self, topics: Iterable[str]) -> int:
        """Return the sum of end offsets of topics."""
        return sum(
            self._reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
            for topic in topics
            for partition in range(self._partitions)
        )

    def wait(
        self,
        inputs: list[str],
        outputs: list[str],
        *,
        timeout_s: float,
        check: Callable[[], None],
        progress: Callable[[], None],
    ) -> None:
        """Return once nothing is left to read in `inputs` and nothing is added to `outputs`.

        Raises:
            UserError: it took longer than `timeout_s`, or `check` says that something is broken.
        """
        deadline = time.monotonic() + timeout_s
        quiet, ends = 0, -1
        while quiet < _QUIET_CHECKS:
            check()
            progress()
            if time.monotonic() > deadline:
                msg = f"the workers did not finish within {timeout_s:.0f} s; see their logs"
                raise UserError(msg, Exit.FAILED)
            now = self.ends(outputs + inputs)
            still = now == ends and self._left(inputs) == 0
            quiet, ends = quiet + 1 if still else 0, now
            time.sleep(_PAUSE_S)

    def wait_committed(self, inputs: list[str], *, timeout_s: float, check: Callable[[], None]) -> None:
        """Return once the group has committed an offset in every partition.

        Raises:
            UserError: it took longer than `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while any(position.offset < 0 for position in self._committed(inputs)):
            check()
            if time.monotonic() > deadline:
                msg = f"the workers did not begin within {timeout_s:.0f} s; see their logs"
                raise UserError(msg, Exit.FAILED)
            time.sleep(_PAUSE_S)

    @stamina.retry(
        on=KafkaException, timeout=30
    )  # a broker that has just started still loads its coordinators
    def _committed(self, topics: Iterable[str]) -> list[TopicPartition]:
        wanted = [TopicPartition(topic, p) for topic in topics for p in range(self._partitions)]
        return list(self._group.committed(wanted, timeout=10))

    def _left(self, topics: list[str]) -> int:
        """Count records that the group has still to read; stops counting when there are plenty."""
        positions = [
            TopicPartition(p.topic, p.partition, p.offset if p.offset >= 0 else OFFSET_BEGINNING)
            for p in self._committed(topics)
        ]
        self._reader.assign(positions)
        open_ends, left = len(positions), 0
        deadline = time.monotonic() + 10
        while open_ends and left < _ENOUGH and time.monotonic() < deadline:
            for message in self._reader.consume(1_000, 0.2):
                error = message.error()
                if error is None:
                    left += 1
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    open_ends -= 1
                else:
                    raise KafkaException(error)
        self._reader.unassign()
        return left + open_ends
