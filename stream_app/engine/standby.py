"""Keeps the rows of partitions that others own warm, so that they are taken over in no time.

Rules:
- One thread reads the changelogs of all partitions that this worker stands by for, committed records only, and writes
  each chunk with its position, as a restore does: whatever is taken over is read on from there, and nothing is special
  about rows that were kept warm.
- A partition is taken by whoever is about to own it (`take`). From then on this thread does not touch its rows.
- A folder that is still in use (its task is being closed) is tried again later; a broker that is away is waited for.
- Rows are warm once they have been at their changelog's end. Only then are they worth anything, and told of.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_app.engine.changelog import CHUNK, QUEUE_KIB
from stream_app.engine.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from faust.types import TP

    from stream_app.engine.observer import Observer
    from stream_app.engine.roster import Roster
    from stream_app.engine.stage import Stage
    from stream_app.engine.store import Rows

log = structlog.get_logger(__name__)

_WAIT_S = 0.2
_AGAIN_S = 1.0


class _Standby:
    """One partition's rows, and how far they are."""

    def __init__(self, tp: TP, stage: Stage, rows: Rows) -> None:
        self.tp = tp
        self.stage = stage
        self.rows = rows
        self.position = rows.changelog_position
        self.warm = False


class Standbys:
    """What this worker stands by for.

    Args:
        stages: topic -> the stage that reads it.
        open_rows: opens the rows of a stage's partition.
        client: settings of Kafka clients.
        roster: is told what is warm.
        observer: is told how far behind rows are.

    Attributes:
        error: what ended the thread, if anything did.
    """

    def __init__(
        self,
        stages: Mapping[str, Stage],
        open_rows: Callable[[Stage, int], Rows],
        client: Mapping[str, Any],
        roster: Roster,
        observer: Observer,
    ) -> None:
        self._stages = stages
        self._open_rows = open_rows
        self._client = client
        self._roster = roster
        self._observer = observer
        self._wanted: set[TP] = set()
        self._standbys: dict[TP, _Standby] = {}
        self._lock = threading.Lock()
        """Held while rows are opened, written or handed over; never while the broker is waited for."""
        self._changed = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None

    def follow(self, tps: set[TP]) -> None:
        """Keep these partitions warm, and no others."""
        self._wanted = {tp for tp in tps if tp.topic in self._stages and self._stages[tp.topic].tables}
        self._changed.set()
        if self._wanted and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="standby", daemon=True)
            self._thread.start()

    def take(self, tp: TP) -> Rows | None:
        """Hand over a partition's rows, open; None: they are not open here."""
        with self._lock:
            self._wanted = self._wanted - {tp}
            standby = self._standbys.pop(tp, None)
            self._tell()
        self._changed.set()
        if standby is None:
            return None
        self._observer.standby(standby.stage.name, tp.partition, None)
        return standby.rows

    def close(self) -> None:
        """Close all rows."""
        self._closed = True
        self._wanted = set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        consumer = Consumer(
            {
                **self._client,
                "group.id": "raccord-standby",  # never joined: partitions are assigned by hand
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": QUEUE_KIB,
            }
        )
        try:
            while not self._closed or self._standbys:
                self._step(consumer)
        except Exception as error:  # noqa: BLE001 - a disk that is full, say: told to the engine, which ends the worker
            self.error = error
        finally:
            consumer.close()

    def _step(self, consumer: Consumer) -> None:
        try:
            if self._changed.is_set():
                self._changed.clear()
                self._open_and_close(consumer)
            if self._standbys:
                self._read(consumer)
            else:
                self._changed.wait(_AGAIN_S)
        except KafkaException as error:
            log.warning("standby_reads_nothing", reason=error.args[0].str(), then="trying again")
            self._changed.set()
            time.sleep(_AGAIN_S)

    def _open_and_close(self, consumer: Consumer) -> None:
        with self._lock:
            wanted = self._wanted
            for tp in [tp for tp in self._standbys if tp not in wanted]:
                gone = self._standbys.pop(tp)
                gone.rows.close()
                self._observer.standby(gone.stage.name, tp.partition, None)
            for tp in sorted(wanted - self._standbys.keys()):
                try:
                    rows = self._open_rows(self._stages[tp.topic], tp.partition)
                except FormatError:
                    raise  # it will be of that format tomorrow too
                except Exception as error:  # noqa: BLE001 - in use, mostly: rocksdict has one error for all there is
                    log.info("standby_waits", task=f"{tp.topic}/{tp.partition}", error=type(error).__name__)
                    threading.Timer(_AGAIN_S, self._changed.set).start()
                else:
                    self._standbys[tp] = _Standby(tp, self._stages[tp.topic], rows)
            self._tell()
            consumer.assign(
                [
                    TopicPartition(one.stage.changelog, one.tp.partition, one.position)
                    for one in self._standbys.values()
                ]
            )

    def _read(self, consumer: Consumer) -> None:
        chunks: dict[tuple[str, int], dict[bytes, bytes | None]] = {}
        positions: dict[tuple[str, int], int] = {}
        ended: set[tuple[str, int]] = set()
        for message in consumer.consume(CHUNK, _WAIT_S):
            error, at = message.error(), (message.topic() or "", message.partition() or 0)
            if error is None:
                chunks.setdefault(at, {})[message.key() or b""] = message.value()
                positions[at] = (message.offset() or 0) + 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
                ended.add(at)
                positions[at] = max(positions.get(at, 0), message.offset() or 0)
            else:
                log.warning("standby_reads_nothing", reason=error.str(), then="trying again")
        with self._lock:
            for standby in self._standbys.values():
                at = standby.stage.changelog, standby.tp.partition
                if at in positions:
                    self._apply(consumer, standby, chunks.get(at, {}), positions[at])
                    standby.warm = standby.warm or at in ended
            self._tell()

    def _apply(
        self, consumer: Consumer, standby: _Standby, chunk: Mapping[bytes, bytes | None], position: int
    ) -> None:
        standby.rows.write(list(chunk.items()), position)
        standby.position = position
        try:
            where = TopicPartition(standby.stage.changelog, standby.tp.partition)
            _, end = consumer.get_watermark_offsets(where, cached=True)
        except KafkaException:
            return
        self._observer.standby(standby.stage.name, standby.tp.partition, max(0, end - position))

    def _tell(self) -> None:
        self._roster.warm = frozenset(
            (tp.topic, tp.partition) for tp, one in self._standbys.items() if one.warm
        )
