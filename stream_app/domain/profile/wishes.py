"""The wish list: what a customer wished for and has neither taken off nor bought, with the price at that time.

Folded in the order of the timeline. Product Added to Wishlist puts an item on the list `wishlist_id` (events without
one share a list); there it stays as it was wished first, until Product Removed from Wishlist or Wishlist Product
Added to Cart takes it off: off the list that they name, else off all. Order Completed takes all that is in `products`
off all lists, whatever a shop shows of its own list: who has it needs no word of its price. Cancelled or sent back, it
doesn't come on again; a further wish puts it on. Bound: `MAX_WISHES`, the one wished longest ago goes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.profile.values import currency_of, item_of, micros, products_of, text

if TYPE_CHECKING:
    from stream_app.domain.event import Event

MAX_WISHES = 50


class Wish(msgspec.Struct, array_like=True, gc=False):
    """An item on a wish list: since when (ms), and its price then, in millionths."""

    item: str
    wishlist: str
    time: int
    price: int | None = None
    currency: str | None = None


def wish(wishes: list[Wish], event: Event) -> None:
    """Take in an event of `WISH_EVENTS`."""
    item = item_of(event.properties)
    if item is None:
        return
    wishlist = text(event.properties.get("wishlist_id"))
    if event.type != "Product Added to Wishlist":
        wishes[:] = [one for one in wishes if one.item != item or (wishlist and one.wishlist != wishlist)]
        return
    if any(one.item == item and one.wishlist == (wishlist or "") for one in wishes):
        return
    price = micros(event.properties.get("price"))
    wishes.append(Wish(item, wishlist or "", event.time, price, currency_of(event.properties)))
    if len(wishes) > MAX_WISHES:
        del wishes[0]


def fulfil(wishes: list[Wish], event: Event) -> None:
    """Take off what is bought, of an Order Completed."""
    bought = {item_of(line) for line in products_of(event)} if wishes else None
    if bought:
        wishes[:] = [one for one in wishes if one.item not in bought]


WISH_EVENTS = frozenset(
    {"Product Added to Wishlist", "Product Removed from Wishlist", "Wishlist Product Added to Cart"}
)
