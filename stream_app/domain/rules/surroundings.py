"""What rules see of the world around a customer, beside her own events: reference data, as of a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from stream_app.domain.rules.regions import PRICE, PRICES, PRODUCT, is_price, regions_of, row_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_app.domain.places import Store
    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.state import RulesState


class Surroundings(Protocol):
    """Reference data, as they were at a time (ms)."""

    def row(self, kind: str, item: str, time: int) -> dict[str, Any]:
        """Return what was known of an item; empty where nothing was."""

    def store(self, store_id: str, time: int) -> Store | None:
        """Return a store; None where none was known."""

    def near(
        self, latitude: float, longitude: float, radius_m: float, time: int
    ) -> Sequence[tuple[str, float]]:
        """Return (store id, distance in m) of the stores within a radius, the nearest first."""

    def having(self, store_id: str, products: Iterable[str], time: int) -> dict[str, bool]:
        """Return those of some products that a store had; each is true."""

    def weather(self, latitude: float, longitude: float, time: int) -> dict[str, Any]:
        """Return what the weather was at a position; empty where nobody knows."""

    def having_all(self, stores: Iterable[str], products: Iterable[str], time: int) -> Sequence[str]:
        """Return those of some stores that had all of some products, in the order in which they are named."""


class Prices:
    """What products cost a customer at a time (ms), by item."""

    __slots__ = ("_profile", "_state", "_surroundings", "_time")

    def __init__(
        self, surroundings: Surroundings, time: int, state: RulesState, profile: Profile | None
    ) -> None:
        """Look them up in reference data; where she is, only if a price asks for it."""
        self._surroundings = surroundings
        self._time = time
        self._state = state
        self._profile = profile

    def get(self, item: str, default: float) -> float:
        """Return a product's price, or a default where none is known."""
        row = self._surroundings.row(PRODUCT, item, self._time)
        if PRICES in row:
            row = row_in(row, regions_of(self._state, self._profile, self._surroundings, self._time))
        price: Any = row.get(PRICE)
        return float(price) if is_price(price) else default


class Nowhere:
    """No reference data at all."""

    def row(self, kind: str, item: str, time: int) -> dict[str, Any]:  # noqa: ARG002 - as in `Surroundings`
        """Return nothing."""
        return {}

    def store(self, store_id: str, time: int) -> Store | None:  # noqa: ARG002
        """Return none."""
        return None

    def near(
        self,
        latitude: float,  # noqa: ARG002
        longitude: float,  # noqa: ARG002
        radius_m: float,  # noqa: ARG002
        time: int,  # noqa: ARG002
    ) -> Sequence[tuple[str, float]]:
        """Return none."""
        return ()

    def having(self, store_id: str, products: Iterable[str], time: int) -> dict[str, bool]:  # noqa: ARG002
        """Return none."""
        return {}

    def weather(self, latitude: float, longitude: float, time: int) -> dict[str, Any]:  # noqa: ARG002
        """Return nothing."""
        return {}

    def having_all(self, stores: Iterable[str], products: Iterable[str], time: int) -> Sequence[str]:  # noqa: ARG002
        """Return none."""
        return ()
