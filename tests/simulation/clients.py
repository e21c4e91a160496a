"""librdkafka's clients over the simulated broker: a transactional producer, and the consumer that restores use.

They stand where `confluent_kafka.Producer` and `Consumer` do; the engine's own code above them is the real one. Rules
(librdkafka's "Transactional Producer API"):
- Messages are queued and sent in the background: some when `produce` is called, or never before `flush`.
- What fails is told as one of three kinds. Abortable: a message wasn't delivered, the group refused the offsets; the
  transaction must be aborted. Retriable: no answer came in time; the same call may be made again, and finds out.
  Fatal: somebody else has the id.
- An answer may be lost after the broker did what it was asked for, or the question before it.

Each call is a point at which the process may end, freeze, or see one of these faults (`process.Process.point`).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from faust.types import TP

from tests.simulation.transactions import FencedByBrokerError, OffsetsRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import SimpleNamespace

    from tests.simulation.process import Process

PROCESS = "process"
"""The client setting by which a double knows whose it is."""
_CHUNK = 5


class _Delivered:
    """What a delivery report tells."""

    __slots__ = ("_offset", "_time")

    def __init__(self, offset: int, time: int) -> None:
        self._offset = offset
        self._time = time

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, self._time


class SimulatedProducer:
    """`confluent_kafka.Producer`, as far as the engine uses it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.process: Process = config[PROCESS]
        self.name: str = config["transactional.id"]
        self._timeout = config["transaction.timeout.ms"] / 1000
        self._epoch = -1
        self._queue: list[tuple[TP, Any, Any, Any, Callable[..., None] | None]] = []
        self._reports: list[Callable[[], None]] = []
        self._failed: KafkaError | None = None
        self._unanswered: str | None = None

    # -- what the engine calls -------------------------------------------------------------------------

    def init_transactions(self, _timeout: float) -> None:
        self.process.point("init")
        self._epoch = self.process.broker.begin(self.name, self._timeout)

    def begin_transaction(self) -> None:
        self._check()

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int = -1,
        headers: Any = None,
        on_delivery: Callable[..., None] | None = None,
    ) -> None:
        process = self.process
        if process.point("produce") == "fail":
            self._fail(KafkaError._MSG_TIMED_OUT, "a message was not delivered")
        self._check()
        if partition < 0:
            partition = process.partition_of(topic, key)
        self._queue.append((TP(topic, partition), key, value, headers, on_delivery))
        if process.chance(0.1):
            self._send(process.draw(len(self._queue) + 1))

    def poll(self, _timeout: float) -> int:
        self.process.alive()
        reports, self._reports = self._reports, []
        for report in reports:
            report()
        return len(reports)

    def flush(self, timeout: float) -> int:
        process = self.process
        fault = process.point("before_flush")
        if fault == "timeout":
            process.sleep(timeout)
            self._send(process.draw(len(self._queue) + 1))
            if self._queue:
                return len(self._queue)
        if fault == "fail" and self._queue:
            self._queue.pop(process.draw(len(self._queue)))
            self._fail(KafkaError._MSG_TIMED_OUT, "a message was not delivered")
        self._send(len(self._queue))
        self.poll(0)
        process.point("after_flush")
        return 0

    def send_offsets_to_transaction(self, positions: Any, group: bytes, timeout: float) -> None:
        process = self.process
        fault = process.point("before_offsets")
        self._check()
        if self._unanswered == "offsets" or fault == "timeout":
            self._unanswered = "offsets"
            process.sleep(timeout)
            if fault == "timeout" and process.chance(0.5):
                return self._timed_out()
        generation, member = read_group_metadata(group)
        offsets = {TP(one.topic, one.partition): one.offset for one in positions}
        try:
            process.broker.send_offsets(self.name, self._epoch, offsets, generation, member)
        except FencedByBrokerError:
            self._fence()
        except OffsetsRefusedError as error:
            self._fail(error.code, "the group refused the offsets")
        self._check()
        if self._unanswered == "offsets":
            return self._timed_out()
        process.point("after_offsets")
        return None

    def commit_transaction(self, timeout: float) -> None:
        process = self.process
        fault = process.point("before_commit")
        self._check()
        self._send(len(self._queue))
        self._check()
        if self._unanswered == "commit":  # it was decided before, and nobody hears of it
            process.sleep(timeout)
            return self._timed_out()
        if fault in ("timeout", "late") and process.chance(0.5):
            process.sleep(timeout)
            self._unanswered = "commit" if fault == "timeout" else None
            return self._timed_out()  # the question was lost; asked again it gets through, or never
        try:
            process.broker.end(self.name, self._epoch, commit=True)
        except FencedByBrokerError:
            self._fence()
            self._check()
        if fault in ("timeout", "late"):
            process.sleep(timeout / 2)
            self._unanswered = "commit" if fault == "timeout" else None
            return self._timed_out()
        process.point("after_commit")
        return None

    def abort_transaction(self, _timeout: float) -> None:
        self.process.point("before_abort")
        if self._failed is not None and self._failed.fatal():
            raise KafkaException(self._failed)
        self._queue.clear()
        self._reports.clear()
        try:
            self.process.broker.end(self.name, self._epoch, commit=False)
        except FencedByBrokerError:
            self._fence()
            self._check()
        self._failed = None

    def purge(self) -> None:
        self._queue.clear()

    def close(self) -> None:
        self.process.alive()

    # -- inside ----------------------------------------------------------------------------------------

    def _send(self, count: int) -> None:
        """Send so many of the queued messages, in order."""
        process, sent = self.process, self._queue[:count]
        del self._queue[:count]
        for tp, key, value, headers, on_delivery in sent:
            if self._failed is not None:
                return
            try:
                offset, time = process.broker.produce(self.name, self._epoch, tp, key, value, headers)
            except FencedByBrokerError:
                self._fence()
                return
            if on_delivery is not None:
                self._reports.append(lambda d=on_delivery, o=offset, t=time: d(None, _Delivered(o, t)))

    def _check(self) -> None:
        if self._failed is not None:
            raise KafkaException(self._failed)

    def _fail(self, code: int, text: str) -> None:
        self._failed = KafkaError(code, text, txn_requires_abort=True)

    def _fence(self) -> None:
        self._failed = KafkaError(KafkaError._FENCED, "a newer producer has this id", fatal=True)

    def _timed_out(self) -> None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=True))


class _Read:
    """A message, or the news that the partition ends, as `confluent_kafka.Consumer` gives them."""

    __slots__ = ("_error", "_offset", "_record")

    def __init__(self, record: Any, offset: int, error: KafkaError | None = None) -> None:
        self._record = record
        self._offset = offset
        self._error = error

    def error(self) -> KafkaError | None:
        return self._error

    def key(self) -> bytes | None:
        return self._record.key  # type: ignore[no-any-return]

    def value(self) -> bytes | None:
        return self._record.value  # type: ignore[no-any-return]

    def offset(self) -> int:
        return self._offset


_EOF = KafkaError(KafkaError._PARTITION_EOF)


class SimulatedConsumer:
    """`confluent_kafka.Consumer`, as far as restores use it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.process: Process = config[PROCESS]
        self._committed_only = config["isolation.level"] == "read_committed"
        self._at: SimpleNamespace | Any = None
        self._position = 0

    def get_watermark_offsets(self, where: Any, timeout: float = 0.0) -> tuple[int, int]:
        self.process.alive()
        log = self.process.broker.logs[TP(where.topic, where.partition)]
        return 0, log.stable if self._committed_only else log.end

    def assign(self, places: Any) -> None:
        (where,) = places
        self._at = self.process.broker.logs[TP(where.topic, where.partition)]
        self._position = where.offset

    def unassign(self) -> None:
        self._at = None

    def consume(self, count: int, _timeout: float) -> list[_Read]:
        self.process.point("in_restore")
        self.process.pause()
        records, position = self._at.read(self._position, min(count, 1 + self.process.draw(_CHUNK)))
        at_end = position > self._position or position == self._at.stable
        self._position = position
        found = [_Read(record, record.offset) for record in records]
        if at_end and position >= self._at.stable:
            found.append(_Read(None, position, _EOF))
        return found

    def close(self) -> None: ...


def read_group_metadata(raw: bytes) -> tuple[int, str]:
    """Return generation and member id of what the engine wrote for librdkafka (see `engine.group_metadata`)."""
    magic = len(b"CGMDv2:")
    (generation,) = struct.unpack_from("<i", raw, magic)
    _, member, _ = raw[magic + 4 :].split(b"\0")
    return generation, member.decode()
