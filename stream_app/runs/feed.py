"""Feeds planned records into channel topics, with the clock markers that a replay needs.

Markers tell every partition of every channel how far the replay's clock is, at intervals and at the end, as the
broker's clock would in a live deployment: a channel in which nothing happens must not hold time back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer

import schemas
from stream_app.engine.codec import WATERMARK_HEADER, encode_marker
from stream_app.errors import EnvironmentMissing, UserError
from stream_app.wire import (
    encode_cloudevent_binary,
    encode_cloudevent_structured,
    encode_reference,
    encode_single_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from connectors.planned import Planned

MARKER_EVERY = 1_000
"""Records between two rounds of clock markers."""

MARKER_KEY = b"\0clock"
"""Of markers: a compacted topic takes no record without a key. No item has this name."""
_MARKER_SECONDS = 0.25
_LONGEST_SLEEP = 0.02


@dataclass(frozen=True)
class Speed:
    """How fast a source's time passes: `factor` seconds of it in one of ours; None: as fast as it goes."""

    factor: float | None

    @classmethod
    def parse(cls, text: str) -> Speed:
        """Read "max", "1x", "60x" or "0.5x".

        Raises:
            UserError: it is none of these.
        """
        if text == "max":
            return cls(None)
        try:
            factor = float(text.removesuffix("x"))
        except ValueError:
            factor = 0.0
        if not text.endswith("x") or not 0 < factor < float("inf"):
            msg = f"{text!r} is no speed: write `max`, or a factor like `60x`"
            raise UserError(msg)
        return cls(factor)


class Feed:
    """Writes records to the channels of one deployment.

    Args:
        bootstrap_servers: "host:port", several with commas.
        channels: channel -> topic; feeds of reference data as "reference.<feed>".
        partitions: of each topic.
        tolerance_ms: how far behind the source's clock the markers stay.
    """

    def __init__(
        self, bootstrap_servers: str, channels: Mapping[str, str], partitions: int, tolerance_ms: int = 0
    ) -> None:
        self._channels = channels
        self._partitions = partitions
        self._tolerance = tolerance_ms
        self._failed: str | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "log_level": 2,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 16_777_216,
                "queue.buffering.max.messages": 200_000,
                "on_delivery": self._delivered,
            }
        )
        self.sent = 0

    def play(
        self,
        records: Iterable[Planned],
        speed: Speed,
        *,
        markers: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Write all records, and return the clock at the end (ms): the last record's.

        Args:
            records: in the order of their times.
            speed: how fast the records' time passes.
            markers: whether to write clock markers (a replay) or not (live).
            progress: called now and then with the number of records and the clock (ms).

        Raises:
            EnvironmentMissing: the broker doesn't take them.
        """
        clock, started, first, marked_at = 0, time.monotonic(), None, time.monotonic()
        for record in records:
            first = record.at if first is None else first
            clock = max(clock, record.at)
            if speed.factor is not None:
                due = started + (record.at - first) / 1000 / speed.factor
                while (left := due - time.monotonic()) > 0:
                    if markers and time.monotonic() - marked_at > _MARKER_SECONDS:
                        # The replay's clock of now: between two records nothing more can have happened.
                        self.mark(clock - int(left * 1000 * speed.factor) - self._tolerance)
                        marked_at = time.monotonic()
                        if progress is not None:
                            progress(self.sent, clock)
                    self._producer.poll(0)
                    time.sleep(min(left, _LONGEST_SLEEP))  # not in poll: a Ctrl-C there is a SystemError
            self._send(record)
            self.sent += 1
            if self.sent % MARKER_EVERY == 0:
                if markers:
                    self.mark(clock - self._tolerance)
                if progress is not None:
                    progress(self.sent, clock)
        self.flush()
        if progress is not None:
            progress(self.sent, clock)
        return clock

    def mark(self, clock: int) -> None:
        """Tell every partition of every channel and feed that the replay's clock stands at `clock` (ms)."""
        value = encode_marker(clock)
        headers: list[tuple[str, str | bytes | None]] = [(WATERMARK_HEADER, b"1")]
        for topic in self._channels.values():
            for partition in range(self._partitions):
                self._produce(topic, value, MARKER_KEY, headers, partition)

    def flush(self) -> None:
        """Wait until the broker has everything.

        Raises:
            EnvironmentMissing: it doesn't.
        """
        if self._producer.flush(60) or self._failed:
            msg = f"the broker did not take all records: {self._failed or 'it does not answer'}"
            raise EnvironmentMissing(msg)

    def _send(self, record: Planned) -> None:
        value, headers = encoded(record)
        self._produce(self._channels[record.channel], value, record.key, headers)

    def _produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: list[tuple[str, str | bytes | None]],
        partition: int = -1,
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                msg = f"a record for {topic} was refused: {error.args[0].str()}"
                raise EnvironmentMissing(msg) from error
            else:
                self._producer.poll(0)
                return

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self._failed = str(error)


def encoded(record: Planned) -> tuple[bytes | None, list[tuple[str, str | bytes | None]]]:
    """Return a planned record's value and headers."""
    event = record.event
    if record.row is not None:
        feed = schemas.references()[record.channel.removeprefix("reference.")]
        return encode_reference(feed, record.row), [*record.headers]
    if event is None:
        return record.raw, [*record.headers]
    if record.encoding == "single_object":
        return encode_single_object(event), [*record.headers]
    encode = (
        encode_cloudevent_structured
        if record.encoding == "cloudevents_structured"
        else encode_cloudevent_binary
    )
    value, headers = encode(event)
    return value, [*headers]
