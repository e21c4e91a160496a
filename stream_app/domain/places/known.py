"""The stores that are known, as they were at any time: where they are, and since when.

A row that is no store is none, from its time on: what a feed says is checked when it comes in, and what is here came
that way or in parts that make no whole.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from stream_app.domain.places.nearby import StoreIndex, distance_m
from stream_app.domain.places.store import Store, StoreError, read_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Places:
    """Stores by id and time, and by position."""

    def __init__(self) -> None:
        """Begin with none."""
        self._times: dict[str, list[int]] = {}
        self._stores: dict[str, list[Store | None]] = {}
        self._spots: dict[str, int] = {}
        """How many places a store has in the index: one for each position that it has had."""
        self._index = StoreIndex()

    def put(self, store_id: str, versions: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Take in all rows of a store, each with the time (ms) from which on it is so, ascending."""
        times, stores = [], []
        for time, row in versions:
            times.append(time)
            stores.append(_read(store_id, row))
        self._times[store_id], self._stores[store_id] = times, stores
        for number in range(self._spots.pop(store_id, 0)):
            self._index.remove(f"{number} {store_id}")
        positions = {(one.latitude, one.longitude) for one in stores if one is not None}
        for number, (latitude, longitude) in enumerate(sorted(positions)):
            self._index.put(Store(id=f"{number} {store_id}", latitude=latitude, longitude=longitude))
        self._spots[store_id] = len(positions)

    def store(self, store_id: str, time: int) -> Store | None:
        """Return a store as it was at a time (ms); None where none was known."""
        place = bisect_right(self._times.get(store_id, ()), time)
        return self._stores[store_id][place - 1] if place else None

    def near(
        self, latitude: float, longitude: float, radius_m: float, time: int
    ) -> Sequence[tuple[str, float]]:
        """Return (store id, distance in m) of the stores within a radius at a time (ms), the nearest first."""
        found: dict[str, float] = {}
        for name, _ in self._index.within(latitude, longitude, radius_m):
            store = self.store(name.partition(" ")[2], time)
            if store is not None and store.id not in found:
                distance = distance_m(latitude, longitude, store.latitude, store.longitude)
                if distance <= radius_m:
                    found[store.id] = distance
        return sorted(found.items(), key=lambda one: (one[1], one[0]))


def _read(store_id: str, row: Mapping[str, Any]) -> Store | None:
    try:
        return read_store({**row, "id": store_id})
    except StoreError:
        return None
