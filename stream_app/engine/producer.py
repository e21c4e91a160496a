"""One worker's transactional producer: what is sent between two commits becomes visible together, or not at all.

Errors are told apart by what the epoch must do (librdkafka's own three kinds, see "Transactional Producer API"
in its documentation):
- `EpochAbortedError`: the transaction was aborted; nothing of it is visible; read the input again.
  `FencedError`, a kind of it: the group's coordinator refused the offsets; wait for the next assignment.
- `OutcomeUnknownError`: the commit was sent and never answered, or the producer was fenced. It is made anew;
  `init_transactions` ends what was open; what became of the epoch is read from the changelog.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from stream_app.engine.errors import (
    EpochAbortedError,
    FatalError,
    FencedError,
    MessageTooLargeError,
    OutcomeUnknownError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Headers = list[tuple[str, str | bytes | None]]

_FENCED_BY_GROUP = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
    }
)


class TransactionalProducer:
    """A confluent-kafka producer that always is inside a transaction.

    Args:
        config: client settings (`bootstrap.servers`, security, ...).
        transactional_id: stable for a worker's slot, so that a restart aborts its predecessor's transaction.
        timeout_s: bound of each blocking call, and of the transaction itself on the broker.
        max_bytes: largest message, a little below what the topics take, so that it is refused here and not there.
    """

    def __init__(
        self, config: Mapping[str, Any], transactional_id: str, timeout_s: float, max_bytes: int = 1_000_000
    ) -> None:
        self._config: dict[str, Any] = {
            "linger.ms": 20,
            "batch.size": 512 * 1024,
            "batch.num.messages": 20_000,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 262_144,
            "compression.type": "lz4",
            "message.max.bytes": max_bytes,
            **config,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(timeout_s * 1000),
        }
        self._timeout = timeout_s
        self.blocked_since: float | None = None
        """When the call to the broker began that is under way (local time, s); None while there is none."""
        self._producer = self._open()

    def _open(self) -> Producer:
        producer = Producer(self._config)
        deadline = time.monotonic() + 6 * self._timeout
        while True:
            try:
                producer.init_transactions(self._timeout)
            except KafkaException as error:
                if error.args[0].fatal() or time.monotonic() > deadline:
                    msg = (
                        f"the broker would not open transactions for {self._config['transactional.id']}: "
                        f"{error.args[0].str()} - check that it is reachable and that the id is not in use"
                    )
                    raise FatalError(msg) from error
                time.sleep(0.2)
            else:
                producer.begin_transaction()
                return producer

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int = -1,
        headers: Headers | None = None,
        on_delivery: Callable[[Any, Any], None] | None = None,
    ) -> None:
        """Put one message into the transaction; waits while the local queue is full.

        Raises:
            MessageTooLargeError: it is larger than the topics take; nothing was sent.
            EpochAbortedError: the client refused the message (the transaction has already failed, ...).
        """
        while True:
            try:
                if headers is None and on_delivery is None:  # by far the most messages
                    self._producer.produce(topic, value, key, partition)
                elif on_delivery is None:
                    self._producer.produce(topic, value, key, partition, headers=headers)
                else:
                    self._producer.produce(
                        topic, value, key, partition, headers=headers, on_delivery=on_delivery
                    )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                cause = error.args[0]
                msg = f"a message to {topic} was refused: {cause.str()}"
                if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise MessageTooLargeError(msg) from error
                raise EpochAbortedError(msg) from error
            else:
                return

    def send_rows(self, topic: str, partition: int, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put (key, value) pairs into the transaction, as `send` does with each.

        A loop of its own, as these are most of all messages: a row costs 0.36 µs, nearly all of it the client's,
        and through `send` 0.15 more. The client's `produce_batch` saves nothing: it takes a new dict for each row.

        Raises:
            MessageTooLargeError: one is larger than the topics take; those before it were sent.
            EpochAbortedError: the client refused one (the transaction has already failed, ...).
        """
        produce = self._producer.produce
        for key, value in rows:
            try:
                produce(topic, value, key, partition)
            except (BufferError, KafkaException):  # it was not taken: wait, or say why
                self.send(topic, value, key, partition)

    def poll(self) -> None:
        """Let delivery reports through."""
        self._producer.poll(0)

    def commit(self, offsets: Iterable[tuple[str, int, int]], group: bytes | None) -> None:
        """Commit the transaction, with the group's offsets in it, and begin the next one.

        Messages are flushed *before* the offsets are sent. The group coordinator fences a worker that lost its
        partitions when the offsets arrive; what was accepted then must already lie in the changelog, where the
        next owner waits for it (see `changelog`), and not still in a local queue.

        Args:
            offsets: (topic, partition, next offset) of each input.
            group: see `group_metadata`; None leaves the offsets out.

        Raises:
            EpochAbortedError: nothing of the transaction is visible.
            OutcomeUnknownError: nobody here knows; the producer is new.
        """
        positions = [TopicPartition(topic, partition, offset) for topic, partition, offset in offsets]
        try:
            self._flush()
            if group is not None and positions:
                self._retried(
                    lambda: self._producer.send_offsets_to_transaction(positions, group, self._timeout)
                )
        except KafkaException as error:
            self._give_up(error)
        try:
            self._retried(lambda: self._producer.commit_transaction(self._timeout))
        except KafkaException as error:
            self._give_up(error)
        self._producer.begin_transaction()

    def abort(self) -> None:
        """Abort the transaction and begin the next one; a producer that can't is made anew."""
        try:
            self._retried(lambda: self._producer.abort_transaction(self._timeout))
            self._producer.begin_transaction()
        except KafkaException:
            self._reopen()

    def close(self) -> None:
        """Abort what is open and leave."""
        # What can't be aborted any more the broker ends by itself, after transaction.timeout.ms; a producer that was
        # fenced says so at each call, the last one included.
        with contextlib.suppress(KafkaException):
            self._producer.abort_transaction(self._timeout)
        with contextlib.suppress(KafkaException):
            self._producer.close()

    def _flush(self) -> None:
        """Wait until everything is delivered, or has failed: then the transaction has, and what comes next says so.

        So nobody asks for reports on single messages. Half a microsecond each, they were 3 % of a worker's time.
        """
        try:
            remaining = self._producer.flush(self._timeout)
        except SystemError as error:
            # A producer that is fenced says so while it hands out reports, and Python complains of the next report.
            if isinstance(error.__cause__, KafkaException):
                raise error.__cause__ from error
            raise
        if remaining:
            self.abort()
            msg = f"delivery failed: {remaining} messages not delivered"
            raise EpochAbortedError(msg)

    def _retried(self, call: Callable[[], Any]) -> None:
        # All tries together within one timeout: this blocks the worker, and nobody else takes over meanwhile.
        self.blocked_since = time.monotonic()
        try:
            self._until(self.blocked_since + self._timeout, call)
        finally:
            self.blocked_since = None

    @staticmethod
    def _until(deadline: float, call: Callable[[], Any]) -> None:
        while True:
            try:
                call()
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
            else:
                return

    def _give_up(self, error: KafkaException) -> None:
        cause = error.args[0]
        if cause.txn_requires_abort() and not cause.fatal():
            self.abort()
            msg = f"the transaction was aborted: {cause.str()}"
            raise (FencedError if cause.code() in _FENCED_BY_GROUP else EpochAbortedError)(msg) from error
        self._reopen()
        msg = f"the commit's outcome is unknown: {cause.str()}"
        raise OutcomeUnknownError(msg) from error

    def _reopen(self) -> None:
        with contextlib.suppress(KafkaException, SystemError):  # one that failed for good says so once more
            self._producer.purge()
            self._producer.poll(0)
        self._producer = self._open()
