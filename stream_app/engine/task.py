"""One input partition of one stage, owned by this worker: its position, rows, timers and watermark."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stream_app.engine.codec import Meta, decode_meta, encode_meta
from stream_app.engine.errors import FormatError
from stream_app.engine.flights import Flights
from stream_app.engine.store import CACHED, Store
from stream_app.engine.timers import TIMERS, Timers
from stream_app.engine.watermark import UNSET, MergedWatermark, SourceWatermark, TimeMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from faust.types import TP

    from stream_app.engine.producer import Headers, TransactionalProducer
    from stream_app.engine.stage import Handler, Stage
    from stream_app.engine.store import MemoryRows, Rows
    from stream_app.engine.watermark import Said, Told


class Clockwork:
    """Settings of event time, the same for all tasks (ms)."""

    def __init__(self, mode: TimeMode, tolerance: int, max_ahead: int) -> None:
        self.mode = mode
        self.tolerance = tolerance
        self.max_ahead = max_ahead


class Task:
    """What a handler is given, and what an epoch commits.

    `ready` means: rows are restored and the input is being read from `position` on; batches of incarnations up
    to `since` were fetched before that and are stale. `taken` are the first and last offset of this epoch.
    `suspect` is a stretch of offsets, and `bad_timers` are timers, on which the handler failed. `fired` notes
    (what, due time in ms) of what was sent on time, for latency figures.

    Args:
        upstreams: topic -> how many partitions it has; this task's clock waits for each.
        peers: how many tasks its stage has, this one included.
    """

    def __init__(
        self, stage: Stage, tp: TP, upstreams: Mapping[str, int], peers: int, clockwork: Clockwork
    ) -> None:
        self.stage = stage
        self.tp = tp
        self.id = f"{tp.topic}/{tp.partition}"
        self.ready = False
        self.since = 0
        self.cancelled = threading.Event()
        self.position = 0
        self.dirty = False
        self.suspect: tuple[int, int] | None = None
        self.taken: tuple[int, int] | None = None
        self.bad_timers: set[tuple[int, bytes]] = set()
        self.tally: dict[tuple[str, ...], int] = {}
        self.fired: list[tuple[str, int]] = []
        self.changelog_position = 0
        self.watermark: SourceWatermark | MergedWatermark
        self.flights: Flights | None = None
        self.announces_to = stage.watermarks_to
        self.store: Store
        self.timers: Timers
        self.handler: Handler
        self.producer: TransactionalProducer
        self.peers = peers
        self._upstreams = upstreams
        if stage.loops and stage.watermarks_to is None:
            # The last stage tells its own tasks: a timer waits until all of them have come so far.
            self.announces_to = tp.topic
        self._clockwork = clockwork
        self._firing: SourceWatermark | MergedWatermark
        self._meta_key = b"\x01" + self.id.encode()

    @property
    def clock(self) -> int:
        """The watermark that timers go by: no event with a time below it is outstanding (ms)."""
        return self._firing.value

    @property
    def announced(self) -> int:
        """The watermark as others may know it: below what this task has sent and nobody has taken in yet."""
        value = self.watermark.value
        return value if self.flights is None else min(value, self.flights.floor)

    @property
    def live(self) -> bool:
        """Whether clocks follow the broker's."""
        return self._clockwork.mode is TimeMode.WALL

    @property
    def circulates(self) -> bool:
        """Whether its timers wait for all tasks of its stage, which tell each other how far they have come."""
        return self.announces_to == self.tp.topic

    def reach(self, time: int) -> None:
        """Move the timers' clock to where all tasks of the stage have come, as who sees all of them at once knows."""
        if time > self._firing.value and isinstance(self._firing, MergedWatermark):
            self._firing.reach(time)
            self.dirty = True  # it rests on what this epoch did, and ends with it

    def advance(self, told: Told) -> bool:
        """Take in what other tasks announce; return whether the timers' clock has moved."""
        before = self._firing.value
        for mark in {id(mark): mark for mark in (self.watermark, self._firing)}.values():
            if isinstance(mark, MergedWatermark):
                mark.advance(told)
        return self._firing.value > before

    def owns(self, key: bytes) -> bool:
        """Say whether a changelog row belongs to this task (stateless tasks share changelog partitions)."""
        return key == self._meta_key if not self.stage.tables else True

    def open(self, rows: Rows | MemoryRows, producer: TransactionalProducer, cached: int = CACHED) -> None:
        """Take restored rows, of which each table keeps so many decoded, and stand where they say.

        Raises:
            FormatError: they were written under another configuration.
        """
        self.producer = producer
        self.store = Store((TIMERS, *self.stage.tables) if self.stage.tables else (), rows, cached)
        if self.stage.tables:
            self.timers = Timers(self.store.table(TIMERS.name))
        self.rewind()
        self.handler = self.stage.handler(self)

    def position_in(self, rows: Rows | MemoryRows) -> int:
        """Return the next offset to read, as rows say that are not open yet."""
        raw = rows.get(self._meta_key)
        return 0 if raw is None else decode_meta(raw).position

    def rewind(self) -> None:
        """Stand where the committed rows say: at the start, and after an epoch was aborted."""
        raw = self.store.rows.get(self._meta_key)
        meta = Meta(0, {}, self.stage.form) if raw is None else decode_meta(raw)
        if meta.form != self.stage.form:
            msg = (
                f"the state of {self.id} was written under {meta.form!r}, this worker runs {self.stage.form!r}: "
                "go back to that configuration, or give the deployment another prefix and replay its channels"
            )
            raise FormatError(msg)
        self.position = meta.position
        self.changelog_position = self.store.rows.changelog_position
        self.dirty = False
        self.taken = None
        self.tally.clear()
        self.fired.clear()
        if self._upstreams:
            self.watermark = MergedWatermark(self._upstreams, meta.watermarks)
        else:
            clock, said = self._clockwork, meta.watermarks.get(self.tp.topic)
            value = said if isinstance(said, int) else UNSET
            self.watermark = SourceWatermark(clock.mode, clock.tolerance, clock.max_ahead, value)
        self._firing = self.watermark
        if self.circulates:
            # State from before live messages were tracked: its timers went by what came from upstream.
            before = meta.clock if self.tp.topic in meta.watermarks else self.watermark.value
            self._firing = MergedWatermark({self.tp.topic: self.peers}, meta.watermarks, before)
        self.flights = Flights(self.tp.partition, meta.epoch, meta.outstanding) if self.stage.loops else None
        if self.stage.tables:
            self.timers.reset()

    def meta(self) -> tuple[bytes, bytes]:
        """Return the row that holds the position, as it goes into the changelog."""
        said: Said = {}
        for mark in (self.watermark, self._firing):
            said |= mark.known if isinstance(mark, MergedWatermark) else {self.tp.topic: mark.value}
        meta = Meta(self.position, said, self.stage.form, clock=self.clock)
        if self.flights is not None:
            meta.epoch, meta.outstanding = self.flights.epoch, self.flights.outstanding
        return self._meta_key, encode_meta(meta)

    def observe(self, event_time: int, record_time: int) -> None:
        """Tell the source watermark of an event: its own time and its record's, ms."""
        mark = self.watermark
        if isinstance(mark, SourceWatermark):
            mark.observe(event_time, record_time)

    def caught_up(self, record_time: int) -> None:
        """Tell the source watermark that all records up to this one's Kafka timestamp (ms) have been read.

        For records that are no events: live, it is their arrival and not their own time that tells how late it is.
        """
        mark = self.watermark
        if isinstance(mark, SourceWatermark):
            mark.caught_up(record_time)

    def count(self, *what: str) -> None:
        """Count something for the metrics; it is reported when, and only if, the epoch is committed."""
        tally = self.tally
        tally[what] = tally.get(what, 0) + 1

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int = -1,
        headers: Headers | None = None,
    ) -> None:
        """Send a message with this epoch: it becomes visible when, and only if, the epoch is committed."""
        self.producer.send(topic, value, key, partition, headers)

    def send_to_peer(self, topic: str, value: bytes, key: bytes, stamp: int) -> None:
        """Send a message to a task of the same stage; until it has come, nobody's clock passes `stamp` (ms)."""
        flights = self.flights
        self.producer.send(topic, value, key, -1, None if flights is None else flights.depart(stamp))

    def table(self, name: str) -> Any:
        """Return one of the stage's tables."""
        return self.store.table(name)

    @property
    def follows_clock(self) -> bool:
        """Whether the watermark may move without a record: a source's, that follows the broker's clock."""
        return isinstance(self.watermark, SourceWatermark)

    def take(self, first: int, last: int) -> None:
        """Note that records from `first` to `last` are being processed in this epoch."""
        self.dirty = True
        self.taken = (self.taken[0] if self.taken else first, last)

    def committed(self) -> None:
        """Begin the next epoch."""
        self.dirty = False
        self.taken = None
        self.bad_timers.clear()

    def abort(self) -> None:
        """Forget this epoch, and stand where the committed rows say."""
        self.store.abort()
        self.handler.reset()
        self.rewind()
