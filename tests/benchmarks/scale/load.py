"""Events that cost little to make: one for each of many customers, and then a mix of what they come back for.

Nothing here draws from the clock: the same arguments give the same records, byte for byte.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import islice
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Any

from connectors.planned import Planned
from stream_app.domain.event import ChannelEvent, Context

if TYPE_CHECKING:
    from collections.abc import Iterator

START = 1_740_960_000_000
"""Monday 2025-03-03T00:00:00Z: when customers were first seen. They come back on the next day."""
DAY = 86_400_000
MINUTE = 60_000
PRODUCTS = 997
AGREES = 6
"""Of ten customers so many agreed to advertising."""

VISITS = {"signed_in": 50, "signed_out": 22, "new_browser": 10, "newcomer": 8, "shop": 10}
"""What a hundred visits are: on a browser or the app that is signed in; on a known browser that isn't; on a new browser
on which she signs in half-way, so that what it did becomes hers; a newcomer's; a purchase in a shop."""
APP = 0.3
"""Share of the signed-in visits that are in the app, by its device."""
LOOKS_ON = 0.68
ADDS = 0.35
BUYS = 0.35
"""Of those who put something into a basket."""
SIGNS_UP = 0.3
"""Of newcomers."""


def customers(count: int) -> Iterator[Planned]:
    """Yield one event for each of so many customers: she signs in, with account, browser and address."""
    span = DAY / max(1, count)
    for number in range(count):
        who = f"u{number}"
        cookie = _id("cookie", who)
        at = START + int(number * span)
        event = ChannelEvent(
            _id("first", who), at, "web", "Signed In",
            {"user_id": who, "cookie": cookie, "email": f"{who}@example.org"}, {"device_type": "desktop"},
            context=Context(consent={"marketing": number % 10 < AGREES}),
        )  # fmt: skip
        yield Planned(channel="web", at=at, event=event, key=cookie.encode())


def returning(seed: int, customers: int, events: int, start: int = START + DAY) -> list[Planned]:
    """Return so many events within a day, in order: visits of these customers, spread over all of them.

    Args:
        seed: any integer.
        customers: how many there are, as `customers` made them.
        events: how many to return.
        start: when the day begins (ms).
    """
    random = Random(f"{seed} {start}")
    return sorted(islice(_visits(random, start, customers, events), events), key=_AT)


_AT = attrgetter("at")


def _id(kind: str, of: str) -> str:
    """Return an id as browsers make them: it looks random, so that nothing gets smaller than in life by compression."""
    return blake2b(f"{kind} {of}".encode(), digest_size=16).hexdigest()


def _visits(random: Random, start: int, customers: int, events: int) -> Iterator[Planned]:
    kinds, weights = list(VISITS), list(VISITS.values())
    number = 0
    while True:
        number += 1
        kind = random.choices(kinds, weights)[0]
        at = start + int(random.random() * (DAY - 60 * MINUTE))
        visit = _Visit(random, at, random.randrange(customers), f"{start // DAY}-{events}-{number}")
        yield from getattr(visit, kind)()


class _Visit:
    """One visit: a clock that each event moves on."""

    def __init__(self, random: Random, at: int, customer: int, name: str) -> None:
        self._random = random
        self._at = at
        self._who = f"u{customer}"
        self._name = name

    def signed_in(self) -> Iterator[Planned]:
        """She is known: by her browser or her app, and her account."""
        if self._random.random() < APP:
            yield from self._shopping("app", {"device": _id("device", self._who), "user_id": self._who})
        else:
            yield from self._shopping("web", {"cookie": _id("cookie", self._who), "user_id": self._who})

    def signed_out(self) -> Iterator[Planned]:
        """Her browser is known, she doesn't say who she is."""
        yield from self._shopping("web", {"cookie": _id("cookie", self._who)})

    def new_browser(self) -> Iterator[Planned]:
        """An anonymous browser, until she signs in."""
        browser = {"cookie": _id("cookie", self._name)}
        yield from self._looking("web", browser)
        signed_in = {**browser, "user_id": self._who}
        yield self._event("web", "Signed In", signed_in, {"device_type": "phone"})
        yield from self._shopping("web", signed_in)

    def newcomer(self) -> Iterator[Planned]:
        """Somebody new, who may open an account."""
        browser = {"cookie": _id("cookie", self._name)}
        yield from self._looking("web", browser)
        if self._random.random() < SIGNS_UP:
            account = {**browser, "user_id": f"u-{self._name}", "email": f"u-{self._name}@example.org"}
            yield self._event("web", "Signed Up", account, {"first_name": "Ana"})

    def shop(self) -> Iterator[Planned]:
        """She buys in a shop, with her account's card."""
        yield self._order("store", {"user_id": self._who}, [self._product(), self._product()])

    def _shopping(self, channel: str, identifiers: dict[str, Any]) -> Iterator[Planned]:
        yield from self._looking(channel, identifiers)
        if self._random.random() >= ADDS:
            return
        cart, product = _id("cart", self._name), self._product()
        yield self._event(channel, "Product Added", identifiers, {"cart_id": cart, **product})
        if self._random.random() < BUYS:
            yield self._event(channel, "Checkout Started", identifiers, {"cart_id": cart})
            yield self._order(channel, identifiers, [product], cart_id=cart)

    def _looking(self, channel: str, identifiers: dict[str, Any]) -> Iterator[Planned]:
        yield self._event(channel, "Product Viewed", identifiers, self._product())
        while self._random.random() < LOOKS_ON:
            yield self._event(channel, "Product Viewed", identifiers, self._product())

    def _order(
        self, channel: str, identifiers: dict[str, Any], products: list[dict[str, Any]], **more: str
    ) -> Planned:
        total = round(sum(product["price"] for product in products), 2)
        order = {"order_id": f"o-{self._name}", "revenue": total, "currency": "EUR", "products": products}
        return self._event(channel, "Order Completed", identifiers, {**order, **more})

    def _product(self) -> dict[str, Any]:
        number = self._random.randrange(PRODUCTS)
        return {"sku": f"s{number}", "price": 5.0 + number % 90, "quantity": 1, "currency": "EUR"}

    def _event(
        self, channel: str, type_: str, identifiers: dict[str, Any], properties: dict[str, Any]
    ) -> Planned:
        at = self._at
        self._at += 2_000 + int(self._random.expovariate(1 / 35_000))
        event = ChannelEvent(
            f"{self._random.getrandbits(128):032x}", at, channel, type_, dict(identifiers), properties
        )
        return Planned(channel=channel, at=at, event=event, key=next(iter(identifiers.values())).encode())
