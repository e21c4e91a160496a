"""What was told of customers' numbers, so that a change of the past is told as a difference.

1. What an entry of the fold added is written down at its place, in a row of its own; most entries add nothing, and have
   none. Nothing else is told: the sums are, at any moment, the sums of all rows.
2. A row is only ever written, changed or removed together with the difference that this makes (`Told` sees to it).
   Whoever removes a row, or moves it to where the fold hasn't come yet, need know nothing else for the sums to stay
   what rows say.
3. A fold that is made again from a checkpoint on compares, place by place, what entries add now with what was told
   (`Retelling`): what is the same stays; what is gone is taken back.

So a late event, a merge, a split, an erasure are no cases: each changes a timeline, the fold is made again from the
first place that has changed, and sums follow. That holds for ever, and costs what has changed. Rows may go along with a
customer's events when these move, or be taken back where they were and told anew: the sums end up the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.numbers.cells import NOTHING, add, pack, settled, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream_app.domain.numbers.cells import Increments, Tally
    from stream_app.domain.ports import Table


def difference(told: Increments, now: Increments) -> Increments:
    """Return what must be added to make of what was told what is now."""
    if not told:
        return now
    if told == now:
        return NOTHING
    tally: Tally = dict(now)
    for cell, amount in told.items():
        add(tally, cell, -amount)
    return settled(tally)


class Told:
    """The rows of one partition; keys are places on customers' timelines (see `keys.timeline_key`)."""

    def __init__(self, rows: Table[bytes], send: Callable[[Increments], None]) -> None:
        """Keep rows, and have `send` take every difference."""
        self._rows = rows
        self._send = send

    def tell(self, key: bytes, increments: Increments) -> None:
        """Tell what an entry that is new at its place adds."""
        if increments:
            self._rows.put(key, pack(increments))
            self._send(increments)

    def change(self, key: bytes, told: Increments, now: Increments) -> None:
        """Tell what an entry adds now, where `told` was."""
        if told == now:
            return
        if now:
            self._rows.put(key, pack(now))
        else:
            self._rows.delete(key)
        self._send(difference(told, now))

    def take_back(self, key: bytes) -> None:
        """Take back what was told at a place, if anything was: its entry goes."""
        row = self._rows.get(key)
        if row is not None:
            self.change(key, unpack(row), NOTHING)

    def again(self, prefix: bytes, start: bytes | None = None) -> Retelling:
        """Have a customer's fold made again, from a key on or from its beginning; `prefix` is the customer's."""
        return Retelling(self, ((key, unpack(row)) for key, row in self._rows.scan(prefix, start)))


class Retelling:
    """A customer's fold is made again: what was told is compared with what is.

    It may be left off behind any entry; another one goes on from there.
    """

    def __init__(self, rows: Told, told: Iterator[tuple[bytes, Increments]]) -> None:
        """Begin with what was told, ascending."""
        self._rows = rows
        self._told = told
        self._next = next(told, None)

    def tell(self, key: bytes, now: Increments) -> None:
        """Tell what an entry adds, which is the next one; what was told between the one before and it is gone."""
        self._take_back_before(key)
        told: Increments = NOTHING
        if self._next is not None and self._next[0] == key:
            told = self._next[1]
            self._next = next(self._told, None)
        self._rows.change(key, told, now)

    def end(self) -> None:
        """Take back what was told behind the last entry."""
        self._take_back_before(None)

    def _take_back_before(self, key: bytes | None) -> None:
        while self._next is not None and (key is None or self._next[0] < key):
            self._rows.change(*self._next, NOTHING)
            self._next = next(self._told, None)
