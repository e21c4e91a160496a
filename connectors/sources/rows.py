"""CSV files as rows: what every reader of recorded data needs.

Bytes that are not UTF-8 survive as surrogates (PEP 383), so that a row that can't be mapped can be handed on
untouched: nothing is dropped, the pipeline's dead letters show it.
"""

from __future__ import annotations

import csv
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Self

from connectors.planned import Planned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LARGEST_FIELD = 16 * 1024 * 1024
"""Longest field that is read, in characters; the csv module's own limit is 128 Ki."""


class SourceError(ValueError):
    """A file that can't be read as what it is said to be. The message names the path, and the line if any."""


class UnmappableRowError(ValueError):
    """A row that makes no event. The message names the column, never its value."""


class Row(NamedTuple):
    """One row: its number (the first below the header is 1), its offset in the file, its fields and bytes."""

    number: int
    offset: int
    fields: list[str]
    raw: bytes


class Table:
    """A CSV file with a header, opened: columns by name, rows lazily, or again from their offset.

    Use as a context manager.
    """

    def __init__(self, path: Path, required: Iterable[str]) -> None:
        """Open the file and read its header.

        Raises:
            SourceError: the file isn't there or can't be read, is empty, or lacks a required column.
        """
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise SourceError(f"{path}: can't be read: {error.strerror}") from error
        csv.field_size_limit(LARGEST_FIELD)
        self._taken: list[bytes] = []
        self._line = 0
        self._offset = 0
        try:
            self.columns = self._header(required)
        except SourceError:
            self._file.close()
            raise
        self._first = self._offset

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows below the header, from the first one on; blank lines don't count.

        Raises:
            SourceError: the file stops being CSV; names the line.
        """
        self._seek(self._first, 1)
        return self._rows()

    def at(self, row: int, offset: int) -> Row:
        """Read the row of this number again, which begins at this offset."""
        self._seek(offset, 0)
        return next(self._rows())._replace(number=row)

    def check(self, row: Row) -> None:
        """Check that a row is whole.

        Raises:
            UnmappableRowError: it has more or fewer fields than the header, or bytes that are not UTF-8.
        """
        if len(row.fields) != len(self.columns):
            raise UnmappableRowError(f"{len(row.fields)} fields instead of {len(self.columns)}")
        if not _utf8(row.raw):
            raise UnmappableRowError("not UTF-8")

    def _header(self, required: Iterable[str]) -> dict[str, int]:
        header = next(self._rows(), None)
        if header is None:
            raise SourceError(f"{self.path}: empty: a header line with the names of the columns is needed")
        columns = {name.strip().lstrip("\ufeff"): place for place, name in enumerate(header.fields)}
        missing = [name for name in required if name not in columns]
        if missing:
            raise SourceError(f"{self.path}, line 1: missing columns: {', '.join(missing)}")
        return columns

    def _seek(self, offset: int, line: int) -> None:
        self._file.seek(offset)
        self._offset, self._line = offset, line

    def _lines(self) -> Iterator[str]:
        """Yield lines as text; keep their bytes, and count."""
        for line in self._file:
            self._taken.append(line)
            self._offset += len(line)
            self._line += 1
            yield line.decode("utf-8", "surrogateescape")

    def _rows(self) -> Iterator[Row]:
        number, offset = 0, self._offset
        reader = csv.reader(self._lines())
        self._taken.clear()
        while True:
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise SourceError(f"{self.path}, line {self._line}: not CSV: {error}") from error
            except OSError as error:
                raise SourceError(
                    f"{self.path}, line {self._line}: can't be read: {error.strerror}"
                ) from error
            if fields is None:
                return
            if fields:
                number += 1
                yield Row(number, offset, fields, b"".join(self._taken).rstrip(b"\r\n"))
            self._taken.clear()
            offset = self._offset


def _utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def milliseconds(text: str, column: str) -> int:
    """Return a time such as `2019-10-01 00:00:00.123`, taken as UTC, in ms since the epoch.

    A trailing ` UTC` or an offset is understood too.

    Raises:
        UnmappableRowError: it isn't a time.
    """
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC") + ("" if _has_offset(text) else "+00:00"))
    except ValueError as error:
        raise UnmappableRowError(f"{column}: not a time") from error
    return round(moment.timestamp() * 1000)


def _has_offset(text: str) -> bool:
    return text.endswith("Z") or any(sign in text[11:] for sign in "+-")


def as_it_stands(row: Row, at: int, problem: UnmappableRowError) -> Planned:
    """Return a record with the row's own bytes for the web channel: it goes to the dead letters.

    The header `source-problem` says which column was the matter.
    """
    return Planned(
        channel="web",
        at=at,
        raw=row.raw,
        headers=[
            ("content-type", b"text/csv"),
            ("source-row", str(row.number).encode()),
            ("source-problem", str(problem).encode()),
        ],
        note="malformed:undecodable",
    )
