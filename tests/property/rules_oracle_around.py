"""The oracle's surroundings: prices where a customer is, shops near her, what they have; by all that was said.

Where RULES is silent, docs/rules.md is the reading. Every shop is measured, every word is read, every time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.property.rules_oracle_texts import Happening, Raw, as_key, traits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tests.property.rules_oracle_reference import Changed, Said

EARTH = 6_371_008.8
NEAR = 50_000
ASKED = 32


@dataclass
class Around:
    """All that was said of reference data so far, in order of arrival."""

    said: list[Said] = field(default_factory=list)

    def rows(self, kind: str, time: int) -> dict[str, Raw]:
        """Return all items of a kind, as they were at a time."""
        rows: dict[str, Raw] = {}
        for _, one in self._words(kind, time):
            rows[one.item] = {} if one.fields is None else rows.get(one.item, {}) | one.fields
        return rows

    def has(self, shop: str, item: str, time: int) -> bool:
        """Tell whether a shop had a product at a time."""
        pieces: dict[str, float] = {}
        for _, one in self._words("stock", time):
            if one.item == item:
                pieces = {} if one.fields is None else pieces | one.fields["stores"]
        return pieces.get(shop, 0) > 0

    def prices(self, timeline: Sequence[Happening], time: int) -> dict[str, float]:
        """Return what products cost a customer at a time, by item."""
        regions = self.regions(timeline, time)
        rows = {item: in_region(row, regions) for item, row in self.rows("product", time).items()}
        return {item: row["price"] for item, row in rows.items() if "price" in row}

    def seen(self, changed: Changed, timeline: Sequence[Happening]) -> tuple[Raw, Raw]:
        """Return the rows before and after a change as a customer sees them."""
        if changed.kind != "product":
            return changed.old, changed.new
        regions = self.regions([one for one in timeline if one.time <= changed.time], changed.time)
        return in_region(changed.old, regions), in_region(changed.new, regions)

    def row(self, kind: str, item: str, timeline: Sequence[Happening], time: int) -> Raw:
        """Return an item as it was at a time, as a customer sees it."""
        row = self.rows(kind, time).get(item, {})
        return in_region(row, self.regions(timeline, time)) if kind == "product" else row

    def regions(self, timeline: Sequence[Happening], time: int) -> list[str]:
        """Return a customer's regions: of her latest event that says one, else of the shop that she prefers."""
        for event in reversed(timeline):
            if found := _regions(dict(event.properties)):
                return found
        shop = preferred(timeline)
        return [] if shop is None else _regions(self.rows("store", time).get(shop, {}))

    def store(
        self, timeline: Sequence[Happening], time: int, wanted: Collection[str], *, located: bool
    ) -> Raw:
        """Return `store`: the nearest, and the nearest that has all that is wanted."""
        shops = {shop: row for shop, row in self.rows("store", time).items() if row}  # else it is gone
        fixes = [one.properties for one in timeline if "latitude" in one.properties]
        found: list[tuple[float | None, str]]
        if located and fixes:
            measured = [(_distance(fixes[-1], row), shop) for shop, row in shops.items()]
            found = [*sorted(one for one in measured if one[0] <= NEAR)[:ASKED]]
        else:
            shop = preferred(timeline)
            found = [(None, shop)] if shop in shops else []
        having = [one for one in found if wanted and all(self.has(one[1], item, time) for item in wanted)]
        seen: Raw = {}
        for name, ones in (("nearest", found), ("nearest_in_stock", having)):
            if ones:
                distance, shop = ones[0]
                seen[name] = shops[shop] | {"id": shop}
                if distance is not None:
                    seen[name] |= {"distance_m": round(distance, 1)}
        return seen

    def _words(self, kind: str, time: int) -> Iterator[tuple[int, Said]]:
        words = [(one.time, one) for one in self.said if one.kind == kind and one.time <= time]
        return iter(sorted(words, key=lambda word: word[0]))  # keeps the order of arrival


def in_region(row: Raw, regions: Sequence[str]) -> Raw:
    """Return a product's row with the price of the first region that has one."""
    prices = row.get("prices", {})
    here = [prices[region] for region in regions if region in prices]
    return row | {"price": here[0]} if here else row


def wanted_of(opened: Raw, cart: Raw) -> list[str]:
    """Return what a shop must have: what the opening event names, else all that is in the basket."""
    named = as_key(opened.get("sku")) or as_key(opened.get("product_id"))
    return [named] if named else [line["item"] for line in cart["products"]]


def preferred(timeline: Sequence[Happening]) -> str | None:
    """Return the shop that a customer says, else the one of most events; of equals the latest, then by name."""
    said: Any = traits(timeline).get("preferred_store")
    if said is not None:
        return as_key(said)
    met: dict[str, tuple[int, int, str]] = {}
    for event in timeline:
        if event.type != "Identify" and (shop := as_key(event.properties.get("store_id"))):
            met[shop] = (met.get(shop, (0,))[0] + 1, event.time, shop)
    return max(met.values())[2] if met else None


def _regions(named: Raw) -> list[str]:
    return [region for name in ("region", "country") if (region := as_key(named.get(name)))]


def _distance(one: Any, other: Raw) -> float:
    """Return the way along a great circle, by the angle between two vectors."""
    a, b = _vector(one), _vector(other)
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    return EARTH * math.atan2(math.hypot(*cross), math.fsum(x * y for x, y in zip(a, b, strict=True)))


def _vector(where: Any) -> tuple[float, float, float]:
    up, along = math.radians(where["latitude"]), math.radians(where["longitude"])
    return (math.cos(up) * math.cos(along), math.cos(up) * math.sin(along), math.sin(up))
