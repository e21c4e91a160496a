"""What was told of a customer's numbers, so that a change of her past is told as a difference.

1. What an entry of the fold added is written down at its place (`pack`), in a row of its own; most entries add nothing,
   and have none. Nothing else is told: the sums are, at any moment, the sums of all rows.
2. A row is only ever written, changed or removed together with the difference that this makes. Whoever removes a row,
   or moves it to where the fold hasn't come yet, need know nothing else for the sums to stay what rows say.
3. A fold that is made again from a checkpoint on compares, place by place, what entries add now with what was told
   (`Retelling`): what is the same stays; what is gone is taken back.

So a late event, a merge, a split, an erasure are no cases: each changes a timeline, the fold is made again from the
first place that has changed, and sums follow. That holds for ever, and costs what has changed. Rows may go along with a
customer's events when these move, or be taken back where they were and told anew: the sums end up the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from stream_app.domain.numbers.cells import NOTHING, add, settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stream_app.domain.numbers.cells import Increments, Tally

K = TypeVar("K", bytes, tuple[int, str])


class Retold(NamedTuple, Generic[K]):
    """A row to write: at which place, what is told there from now on (none: there is no row), and the difference."""

    place: K
    told: Increments
    difference: Increments


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


class Retelling(Generic[K]):
    """A customer's fold is made again: from some place on, what was told is compared with what is."""

    def __init__(self, told: Iterable[tuple[K, Increments]]) -> None:
        """Begin with the rows behind the checkpoint, ascending by place."""
        self._told: Iterator[tuple[K, Increments]] = iter(told)
        self._next: tuple[K, Increments] | None = next(self._told, None)

    def at(self, place: K, now: Increments) -> Iterator[Retold[K]]:
        """Yield what changes up to and at an entry's place, behind the one before; the entry adds `now`."""
        while self._next is not None and self._next[0] < place:
            yield self._take_back()
        told: Increments = NOTHING
        if self._next is not None and self._next[0] == place:
            told = self._next[1]
            self._next = next(self._told, None)
        if told != now:
            yield Retold(place, now, difference(told, now))

    def rest(self) -> Iterator[Retold[K]]:
        """Yield what changes behind the last entry."""
        while self._next is not None:
            yield self._take_back()

    def _take_back(self) -> Retold[K]:
        assert self._next is not None  # noqa: S101 - both callers have looked
        place, told = self._next
        self._next = next(self._told, None)
        return Retold(place, NOTHING, difference(told, NOTHING))
