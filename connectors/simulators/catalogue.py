"""What the simulated retailer sells, and where: products, stores and their tills."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from stream_app.domain.event import Context, Position

CURRENCY = "EUR"
TIMEZONE = "Europe/Paris"
TIMEZONE_ABROAD = "Europe/London"
LOCALE = "fr-FR"

CATEGORIES = {
    "Kitchen": ("kettle", "saucepan", "whisk", "chopping board", "coffee grinder", "baking tin"),
    "Garden": ("trowel", "watering can", "lantern", "bird table", "hose", "deck chair"),
    "Home": ("lamp", "cushion", "blanket", "mirror", "vase", "bookshelf"),
    "Clothing": ("jumper", "raincoat", "scarf", "trousers", "shirt", "gloves"),
    "Toys": ("kite", "puzzle", "marble run", "teddy bear", "yo-yo", "drawing set"),
    "Sport": ("yoga mat", "football", "skipping rope", "tent", "rucksack", "racket"),
}
COLOURS = ("red", "blue", "green", "grey", "white", "yellow", "black", "orange")
CITIES = (
    ("Lille", 50.6366, 3.0635),
    ("Lyon", 45.7640, 4.8357),
    ("Nantes", 47.2184, -1.5536),
    ("Bordeaux", 44.8378, -0.5792),
    ("Strasbourg", 48.5734, 7.7521),
    ("Rennes", 48.1173, -1.6778),
)
TILLS_PER_STORE = 6


class Product(msgspec.Struct, frozen=True):
    """An article; `price` is exact in cents."""

    sku: str
    name: str
    category: str
    price: float

    def line(self, quantity: int = 1) -> dict[str, Any]:
        """Return the article as the properties of an event, or as an element of its `products`."""
        return {
            "product_id": self.sku,
            "sku": self.sku,
            "name": self.name,
            "category": self.category,
            "price": self.price,
            "quantity": quantity,
            "currency": CURRENCY,
        }


class Store(msgspec.Struct, frozen=True):
    """A shop with its tills; `context` is what an event from there says of place and time zone."""

    store_id: str
    city: str
    context: Context
    tills: tuple[str, ...]


class Catalogue(msgspec.Struct, frozen=True):
    """All products, by category too, and all stores."""

    products: tuple[Product, ...]
    by_category: dict[str, tuple[Product, ...]]
    stores: tuple[Store, ...]


def catalogue(seed: int) -> Catalogue:
    """Make the same catalogue for the same seed: some 280 products, 6 stores."""
    random = Random(f"{seed}/catalogue")
    by_category = {}
    number = 1000
    for category, nouns in CATEGORIES.items():
        made = []
        for noun in nouns:
            for colour in COLOURS:
                number += 1
                cents = max(199, int(random.lognormvariate(7.9, 0.8)) // 10 * 10 + 9)
                made.append(Product(f"SKU-{number}", f"{noun}, {colour}", category, cents / 100))
        by_category[category] = tuple(made)
    return Catalogue(
        tuple(product for made in by_category.values() for product in made),
        by_category,
        tuple(_store(number, *city) for number, city in enumerate(CITIES, start=1)),
    )


def _store(number: int, city: str, latitude: float, longitude: float) -> Store:
    store_id = f"store-{number:02d}"
    return Store(
        store_id,
        city,
        Context(locale=LOCALE, timezone=TIMEZONE, position=Position(latitude, longitude, 25.0)),
        tuple(f"{store_id}/till-{till}" for till in range(1, TILLS_PER_STORE + 1)),
    )
