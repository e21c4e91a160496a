"""What a table reads and writes with every event: this epoch's writes, over a cache of decoded rows, over the store.

Rules: see `stream_app.engine.store`, whose `Table` this is the hot part of. `native_layers` does the same natively.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.engine.store import TableSpec

V = TypeVar("V")


class _Missing:
    """Stands for "not in this layer", where None means "deleted" or "no such row"."""


_MISSING = _Missing()


class Get(Protocol):
    """Whatever has the encoded rows."""

    @property
    def get(self) -> Callable[[bytes], bytes | None]:
        """Returns the encoded row of a whole key; is looked up once."""


class Layers(Generic[V]):
    """The layers of one table.

    Attributes:
        spec: what the table is.
        prefix: begins the whole keys of its rows.
        room: how many rows the cache keeps from epoch to epoch; 0: there is no cache.
        overlay: this epoch's writes; None: deleted.
        cache: rows as they are committed, or are about to be; None: there is none.
    """

    def __init__(self, spec: TableSpec, rows: Get, room: int) -> None:
        self.spec = spec
        self.prefix = spec.prefix
        self.room = room if spec.cached else 0
        self.overlay: dict[bytes, V | None] = {}
        self.cache: dict[bytes, V | None] = {}
        self._read = rows.get
        self._decode = spec.decode

    def get(self, key: bytes) -> V | None:
        """Return the row of `key`, or None. Sees this epoch's own writes."""
        value = self.overlay.get(key, _MISSING)
        if value is not _MISSING:
            return value  # type: ignore[return-value]
        value = self.cache.get(key, _MISSING)
        if value is not _MISSING:
            return value  # type: ignore[return-value]
        raw = self._read(self.prefix + key)
        found: V | None = None if raw is None else self._decode(raw)
        if self.room:
            self.cache[key] = found
        return found

    def put(self, key: bytes, value: V) -> None:
        """Write a row."""
        self.overlay[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a row; nothing happens when there is none."""
        self.overlay[key] = None

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Return this epoch's writes, encoded, under whole keys."""
        prefix, encode = self.prefix, self.spec.encode
        return [
            (prefix + key, None if value is None else encode(value)) for key, value in self.overlay.items()
        ]
