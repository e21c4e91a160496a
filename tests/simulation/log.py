"""One partition of the simulated Kafka: records, markers, and how far a reader may go.

Rules (KIP-98, "Exactly Once Delivery and Transactional Messaging", sections on control messages and consumers):
- Every record and every marker takes an offset, and an offset is never given out twice. So behind transactions there
  are holes for readers: markers, and records that were aborted.
- The high watermark is the next offset to be written. The last stable offset is the first offset of the earliest
  transaction that is open here, or the high watermark.
- `read_committed` gives records below the last stable offset, without those of aborted transactions, and steps over
  markers. It knows its next offset only from what it was given: `read` returns that too.
- A marker ends its producer's transaction in this partition alone: others may still wait for theirs.
"""

from __future__ import annotations

from typing import Any


class Record:
    """A record, or a marker; as aiokafka's parser makes them, with what became of its transaction."""

    __slots__ = (
        "committed",
        "headers",
        "key",
        "marker",
        "offset",
        "producer",
        "sequence",
        "timestamp",
        "timestamp_type",
        "value",
    )

    def __init__(
        self,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...],
        timestamp: int,
        producer: str | None,
        *,
        sequence: int = 0,
        stamped: bool = False,
        marker: bool = False,
    ) -> None:
        self.offset = offset
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp = timestamp
        self.timestamp_type = int(stamped)
        self.producer = producer
        self.sequence = sequence
        self.marker = marker
        self.committed: bool | None = None if producer is not None and not marker else True


class Log:
    """A partition."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.open: dict[str, int] = {}
        """Producer -> the first offset of its transaction, which is open here."""

    @property
    def end(self) -> int:
        """The high watermark."""
        return len(self.records)

    @property
    def stable(self) -> int:
        """The last stable offset."""
        return min(self.open.values(), default=len(self.records))

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Any,
        timestamp: int,
        producer: str | None = None,
        *,
        sequence: int = 0,
        stamped: bool = False,
    ) -> int:
        """Write a record; with a producer it is part of that one's transaction. Return its offset.

        `sequence` says what was written before what in all partitions: no real record has it.
        """
        offset = len(self.records)
        named = tuple((name, content) for name, content in headers or ())
        self.records.append(
            Record(offset, key, value, named, timestamp, producer, sequence=sequence, stamped=stamped)
        )
        if producer is not None:
            self.open.setdefault(producer, offset)
        return offset

    def mark(self, producer: str, timestamp: int, *, commit: bool) -> None:
        """Write a marker: what became of a producer's transaction."""
        first = self.open.pop(producer, len(self.records))
        for record in self.records[first:]:
            if record.producer == producer and record.committed is None:
                record.committed = commit
        offset = len(self.records)
        self.records.append(Record(offset, None, None, (), timestamp, producer, marker=True))

    def read(self, position: int, most: int) -> tuple[list[Record], int]:
        """Return at most so many committed records from a position on, and the next position."""
        found: list[Record] = []
        stable = self.stable
        while position < stable and len(found) < most:
            record = self.records[position]
            position += 1
            if record.committed and not record.marker:
                found.append(record)
        return found, position

    def committed(self) -> list[Record]:
        """Return all that a reader sees now."""
        return self.read(0, len(self.records))[0]
