"""Reader of the REES46 web-shop samples: one CSV row, one event of the web channel.

https://rees46.com "eCommerce behavior data from multi category store". Columns:
`event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session`.

- view -> Product Viewed, cart -> Product Added, remove_from_cart -> Product Removed, purchase -> Order
  Completed (one product per row, so one order per row, with that product in `products`).
- `user_id` identifies, and `user_session` as a cookie: it links users where one session has several.
- There is no `cart_id`: the data has no basket but the user's own. A purchase therefore closes whatever the
  user had in the basket, in whichever session it was put there; with the session as basket a user who buys
  after coming back next session would be reminded of what she has just bought.
- Each row is an event, even if it says the same as the one before (two pieces of one article, put into the
  basket within one second). The event id is made of the row's number, so that events of one second keep the
  file's order (equal times are ordered by event id), and a hash of its content.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from connectors.planned import Planned
from connectors.sources.rows import Table, UnmappableRowError, as_it_stands, milliseconds
from stream_app.domain.event import ChannelEvent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS = (
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
)
TYPES = {
    "view": "Product Viewed",
    "cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "purchase": "Order Completed",
}


def read(path: Path) -> Iterator[Planned]:
    """Yield a record per row, lazily: memory doesn't depend on the file's length.

    `at` is the event's own time; where the file goes back in time, the latest one so far. A row that can't
    be mapped is handed on as it stands, for the dead letters.

    Raises:
        SourceError: the file can't be read, or lacks columns.
    """
    with Table(path, COLUMNS) as table:
        places = [table.columns[name] for name in COLUMNS]
        at = 0
        for row in table:
            try:
                table.check(row)
                event = _event(row.number, [row.fields[place] for place in places])
            except UnmappableRowError as problem:
                yield as_it_stands(row, at, problem)
                continue
            at = max(at, event.time)
            key = event.identifiers.get("cookie") or event.identifiers.get("user_id") or ""
            yield Planned(channel="web", at=at, event=event, key=key.encode() or None)


def _event(number: int, values: list[str]) -> ChannelEvent:
    moment, kind, product_id, category_id, category, brand, price, user_id, session = values
    type_ = TYPES.get(kind)
    if type_ is None:
        raise UnmappableRowError(f"event_type: not one of {', '.join(TYPES)}")
    digest = blake2b("\x1f".join(values).encode(), digest_size=6).hexdigest()
    event_id = f"rees46-{number:010d}-{digest}"
    product: dict[str, Any] = {
        "product_id": product_id,
        "sku": product_id,
        "category_id": category_id or None,
        "category": category or None,
        "brand": brand or None,
        "price": _price(price),
    }
    product = {name: value for name, value in product.items() if value is not None}
    if type_ != "Product Viewed":
        product["quantity"] = 1
    properties = product if type_ != "Order Completed" else _order(event_id, product)
    identifiers = {"user_id": user_id, "cookie": session}
    return ChannelEvent(
        event_id,
        milliseconds(moment, "event_time"),
        "web",
        type_,
        {namespace: value for namespace, value in identifiers.items() if value},
        properties,
    )


def _order(event_id: str, product: dict[str, Any]) -> dict[str, Any]:
    price = product.get("price")
    amounts = {} if price is None else {"total": price, "revenue": price}
    return {"order_id": event_id.replace("rees46-", "rees46-order-", 1), **amounts, "products": [product]}


def _price(text: str) -> float | None:
    """Return a price; None where there is none."""
    if not text:
        return None
    try:
        price = float(text)
    except ValueError as error:
        raise UnmappableRowError("price: not a number") from error
    if not math.isfinite(price):
        raise UnmappableRowError("price: not a finite number")
    return price
