"""Sources side by side in time: who has a backlog reads none of them far ahead of the others.

A fetch brings what a partition has, and a channel of few events has days where another one has hours. Read as they
come, the events of a customer arrive in the wrong order by days: each late one is a fold made again, and its timers
wait for the slowest source anyway. So of what has been fetched, only that is handed out which no source can have
anything before: the earliest first. (Kafka Streams chooses its next record so; Flink calls it watermark alignment.)

1. It goes by the records' Kafka timestamps. In a partition order stays: what is behind a record that waits, waits.
2. A source of which the broker has no more doesn't hold up anybody. Live, what has just arrived and is behind nothing
   older is never held: a channel with a backlog doesn't delay the others. (A replay knows no such haste, and what it
   reads may have been written a moment ago.)
3. Where the broker says that there is more and doesn't give it, others wait for it for `PATIENCE_S`, and then no more
   until it brings something.
4. Order between partitions is a favour to the cost of what follows, never a promise: results don't depend on it.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from faust.types import TP

PATIENCE_S = 0.5
FRESH_MS = 60_000
"""Live, by their Kafka timestamps, records no older than this have just arrived."""
AT_ONCE = 4_000
"""Records handed out at once, about: with fewer, batches get small; with more, sources are less side by side."""
LEAST = 1_000
"""While fewer could be handed out, others may come first, ..."""
LINGER_S = 0.05
"""... but not for longer than this."""
ENOUGH = 2_000
"""Of a source of which so many are held, no more are fetched."""
_EACH = 16
"""So many records are looked at as one, to find the time up to which `AT_ONCE` of them go."""


class _Held(NamedTuple):
    """What is held of a source: its incarnation, the records, and the latest timestamp up to each."""

    incarnation: int
    records: Sequence[Any]
    reach: Sequence[int]


class Aligner:
    """Holds back what has been fetched of sources ahead of others."""

    def __init__(self, now: float) -> None:
        """Begin with nothing; `now` and all times are seconds of one clock."""
        self._held: dict[TP, _Held] = {}
        self._reached: dict[TP, tuple[int, int]] = {}
        self._silent: set[TP] = set()
        """Sources that were waited for long enough, and have brought nothing since."""
        self._released = now

    def holds(self, tp: TP) -> bool:
        """Say whether so much of a partition is held that no more need be fetched."""
        held = self._held.get(tp)
        return held is not None and len(held.records) >= ENOUGH

    @property
    def empty(self) -> bool:
        """Whether nothing is held."""
        return not self._held

    def add(self, tp: TP, incarnation: int, records: Sequence[Any], now: float) -> None:
        """Take in what was fetched of a source, behind what is held of it."""
        if not self._held:
            self._released = now
        self._silent.discard(tp)
        reach = list(accumulate((record.timestamp for record in records), max))
        held = self._held.get(tp)
        if held is not None:
            latest = held.reach[-1]
            records = [*held.records, *records]
            reach = [*held.reach, *(max(latest, time) for time in reach)]
        self._held[tp] = _Held(incarnation, records, reach)
        self._reached[tp] = (incarnation, reach[-1])

    def forget(self, is_stale: Callable[[TP, int], bool]) -> None:
        """Drop what was fetched before a seek, or of partitions that are closed: it is read again, or not at all."""
        for tp, (incarnation, _) in list(self._reached.items()):
            if is_stale(tp, incarnation):
                del self._reached[tp]
                self._held.pop(tp, None)

    def release(
        self, more: Mapping[TP, bool], now: float, fresh: float
    ) -> Iterator[tuple[TP, int, Sequence[Any]]]:
        """Yield what may be handed out, as (partition, incarnation, records).

        Args:
            more: the sources that are read: whether the broker has more than what has been fetched of them.
            now: s.
            fresh: records with a timestamp from this on have just arrived (ms).
        """
        waiting = now - self._released
        if waiting > PATIENCE_S:
            self._silent.update(tp for tp, left in more.items() if left and tp not in self._held)
        waited = [tp for tp, left in more.items() if left and tp not in self._silent]
        horizon = min((self._reached[tp][1] if tp in self._reached else -inf for tp in waited), default=inf)
        horizon, count = self._near(horizon)
        if count < LEAST and horizon < inf and waiting < LINGER_S:
            horizon = -inf
        for tp, held in list(self._held.items()):
            just_arrived = held.reach[0] >= fresh
            count = len(held.reach) if just_arrived else bisect_right(held.reach, horizon)
            if count == 0:
                continue
            if not just_arrived:  # what comes live must not make a backlog wait for ever
                self._released = now
            if count == len(held.records):
                del self._held[tp]
            else:
                self._held[tp] = _Held(held.incarnation, held.records[count:], held.reach[count:])
            yield tp, held.incarnation, held.records[:count]

    def _near(self, horizon: float) -> tuple[float, int]:
        """Return the time up to which about `AT_ONCE` of the records before `horizon` are, and about how many are."""
        before: list[int] = []
        for held in self._held.values():
            before += held.reach[: bisect_right(held.reach, horizon) : _EACH]
        if len(before) * _EACH > AT_ONCE:
            return sorted(before)[AT_ONCE // _EACH], AT_ONCE
        return horizon, len(before) * _EACH
