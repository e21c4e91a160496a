"""Cells of numbers as the topic `numbers` has them: their keys, their windows as text, and back.

A key is the JSON array of the number's name, the window and the dimensions in the catalogue's order, compact, UTF-8:
`["revenue","2026-11-29","web","phone","EUR"]`. The same cell is always the same bytes: compaction goes by them.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import msgspec

from stream_app.domain.numbers import BY_NAME, Cell, Window, day_text, month_text

_EPOCH = date(1970, 1, 1).toordinal()
_MONTHS = 12
_HEAD = 2
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


def window_text(cell: Cell) -> str:
    """Return a cell's window as YYYY-MM-DD, of a cohort as YYYY-MM."""
    return (day_text if BY_NAME[cell.number].window is Window.DAY else month_text)(cell.window)


def day_from(text: str) -> int:
    """Return the day, counted from 1970-01-01, of YYYY-MM-DD; ValueError: it is none."""
    if not _DAY.fullmatch(text):
        raise ValueError("a day is written YYYY-MM-DD")
    return date.fromisoformat(text).toordinal() - _EPOCH


def month_from(text: str) -> int:
    """Return the month, counted from 1970-01, of YYYY-MM; ValueError: it is none."""
    first = date.fromordinal(_EPOCH + day_from(f"{text}-01"))
    return (first.year - 1970) * _MONTHS + first.month - 1


def number_key(cell: Cell) -> bytes:
    """Return the key of a cell's records."""
    return _encode((cell.number, window_text(cell), *cell.dimensions))


def cell_of_key(key: bytes) -> Cell:
    """Return the cell of a `number_key`.

    Raises:
        ValueError: it is the key of no number in this version's catalogue.
    """
    try:
        parts = _decode(key)
    except msgspec.MsgspecError as error:
        raise ValueError("no JSON array of texts") from error
    if len(parts) < _HEAD:
        raise ValueError("no number and window")
    return _cell(parts[0], parts[1], tuple(parts[_HEAD:]))


def cell_of_record(record: dict[str, Any]) -> Cell:
    """Return the cell of a record's fields.

    Raises:
        ValueError: it is of no number in this version's catalogue, or has other dimensions.
    """
    name, dimensions = record["number"], record["dimensions"]
    number = BY_NAME.get(name)
    if number is None or {*dimensions} != {*number.dimensions}:
        raise ValueError(f"{name} with dimensions {', '.join(dimensions)} is not in the catalogue")
    return _cell(name, record["window"], tuple(dimensions[one] for one in number.dimensions))


def _cell(name: str, window: str, dimensions: tuple[str, ...]) -> Cell:
    number = BY_NAME.get(name)
    if number is None or len(dimensions) != len(number.dimensions):
        raise ValueError(f"{name} with {len(dimensions)} dimensions is not in the catalogue")
    return Cell(name, (day_from if number.window is Window.DAY else month_from)(window), dimensions)
