"""What numbers are made of: cells, and what a customer adds to them.

A cell is one figure of one number: its window and its dimensions. What is in it is a whole number: a count, millionths
of a currency, or milliseconds. Whoever sums increments by cell, each once and in any order, has the number exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final, NamedTuple

import msgspec

DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()
_YEAR = 12


class Cell(NamedTuple):
    """A figure's place.

    Attributes:
        number: its name in the catalogue.
        window: a day, counted from 1970-01-01, or a month, counted from 1970-01; UTC.
        dimensions: one text for each of the number's dimensions; "" where nothing was said.
    """

    number: str
    window: int
    dimensions: tuple[str, ...]


Increments = Mapping[Cell, int]
"""What is added to cells; none is 0."""
Tally = dict[Cell, int]
"""Increments while they are being added up; some may be 0."""
NOTHING: Final[Increments] = {}
"""What most events add."""


def add(tally: Tally, cell: Cell, amount: int) -> None:
    """Add an amount to a cell."""
    tally[cell] = tally.get(cell, 0) + amount


def settled(tally: Tally) -> Increments:
    """Return a tally without what has come to 0."""
    if not tally:
        return NOTHING
    return {cell: amount for cell, amount in tally.items() if amount} if 0 in tally.values() else tally


def day_of(time: int) -> int:
    """Return the day of a time (ms)."""
    return time // DAY_MS


def month_of(time: int) -> int:
    """Return the month of a time (ms)."""
    there = date.fromordinal(_EPOCH + time // DAY_MS)
    return (there.year - 1970) * _YEAR + there.month - 1


def day_text(day: int) -> str:
    """Return a day as YYYY-MM-DD."""
    return date.fromordinal(_EPOCH + day).isoformat()


def month_text(month: int) -> str:
    """Return a month as YYYY-MM."""
    return f"{1970 + month // _YEAR:04}-{month % _YEAR + 1:02}"


_encode = msgspec.msgpack.Encoder().encode
_cell = msgspec.msgpack.Decoder(Cell).decode
_increments = msgspec.msgpack.Decoder(list[tuple[Cell, int | str]]).decode
_MIN, _MAX = -(1 << 63), (1 << 63) - 1


def cell_key(cell: Cell) -> bytes:
    """Return a cell as the key of a message or a row: the same cell is always the same bytes."""
    return _encode(cell)


def cell_of(key: bytes) -> Cell:
    """Return the cell of a `cell_key`."""
    return _cell(key)


def pack(increments: Increments) -> bytes:
    """Return increments as bytes, the same for equal increments; what has more than 64 bits is text, as sums are."""
    return _encode(
        [(cell, one if _MIN <= one <= _MAX else str(one)) for cell, one in sorted(increments.items())]
    )


def unpack(packed: bytes) -> Increments:
    """Return the increments that `pack` was given."""
    return {cell: int(one) if isinstance(one, str) else one for cell, one in _increments(packed)}
