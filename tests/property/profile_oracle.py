"""The profile once more, of the sorted list of events and in another way: what `test_profile_order` holds it against.

Each field is computed on its own, from all events at once, as the record that is published. Only the bounds, which say
what is forgotten, and the texts of constants are taken from the product.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stream_app.domain.local_time import zone, zone_names
from stream_app.domain.profile import (
    carts,
    consent,
    orders,
    preferences,
    seen,
    service,
    traits,
    viewed,
    wishes,
)
from stream_app.domain.zone_at import zone_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.event import Event

QUARTER = 900_000


def published(events: list[Event], identifiers: list[str], segments: list[str]) -> dict[str, Any]:
    """Return the record of the events, which are sorted."""
    books = settled(events)
    known = sorted(books.currencies)[: orders.MAX_CURRENCIES]
    money = {code: sums for code, sums in books.sums().items() if code in known and any(sums)}
    main = min(money, key=lambda code: (-money[code][0], code), default=None)
    placed = [entry for entry in [*books.aged, *books.entries] if entry.counts]
    zone_name = time_zone(events)
    tier, points = last(events, LOYAL, "tier", text), last(events, LOYAL, "balance", number)
    joined = [event.time for event in events if event.type == "Loyalty Joined"]
    told = known_traits(events)
    fixes = [event for event in events if event.context and event.context.position]
    return {
        "customer_id": "c",
        "version": 1,
        "identifiers": identifiers,
        "first_seen": events[0].time,
        "last_seen": events[-1].time,
        "event_count": len(events),
        "channels": {name: activity(one) for name, one in grouped(events, lambda e: e.channel).items()},
        "orders": len(placed),
        "revenue": {code: micros / 1_000_000 for code, (_, micros, _) in money.items()},
        "last_order_at": max((entry.time for entry in placed), default=None),
        "carts": baskets(events),
        "recently_viewed": views(events),
        "traits": {name: value for name, value in told.items() if value is not None},
        "consent": answers(events),
        "locale": next((e.context.locale for e in reversed(events) if e.context and e.context.locale), None),
        "timezone": zone_name,
        "first_order_at": min((entry.time for entry in placed), default=None),
        "cancelled_orders": sum(
            entry.placed is not None and entry.cancelled for entry in [*books.aged, *books.entries]
        ),
        "returns": len(books.returns),
        "refunded": {code: micros / 1_000_000 for code, (_, _, micros) in money.items()},
        "monetary_value": {code: (paid - back) / 1_000_000 for code, (_, paid, back) in money.items()},
        "currency": main,
        "lifetime_value": 0.0 if main is None else (money[main][1] - money[main][2]) / 1_000_000,
        "recent_orders": [entry.record() for entry in reversed(books.entries) if entry.placed],
        "recent_returns": books.returns[: -orders.MAX_RETURNS - 1 : -1],
        "wishlist": wishlist(events),
        "devices": {
            name: activity(one) for name, one in recent(events, devices_of, seen.MAX_DEVICES).items()
        },
        **requests(events),
        "satisfaction": ratings(events, {"Satisfaction Rated", "Call Ended", "Conversation Ended"}),
        "reviews": ratings(events, {"Product Reviewed"}),
        "loyalty_tier": text(told.get("loyalty_tier")) if tier is None else tier,
        "loyalty_points": number(told.get("loyalty_points")) if points is None else points,
        "loyalty_joined_at": min(joined, default=None),
        "preferred_channel": text(told.get("preferred_channel")) or favourite_channel(events),
        "preferred_store": text(told.get("preferred_store"))
        or favourite(recent(events, stores_of, preferences.MAX_TALLY)),
        "preferred_category": text(told.get("preferred_category"))
        or favourite(recent(events, books.categories_of, preferences.MAX_TALLY)),
        "preferred_size": text(told.get("preferred_size"))
        or text(told.get("size"))
        or favourite(recent(events, books.sizes_of, preferences.MAX_TALLY)),
        "preferred_hour": hour(events, told, zone_name or "UTC"),
        "position": position(fixes[-1]) if fixes else None,
        "consent_history": history(events),
        "segments": segments,
    }


# -- values --------------------------------------------------------------------------------------------


def number(value: Any) -> float | None:
    """Return a number below 10^15, given as such or as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value) if abs(float(value)) < 1e15 else None
    except ValueError:
        return None


def text(value: Any) -> str | None:
    """Return a text of 1 to 256 characters, or a whole number's."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value) if 0 < len(str(value)) <= 256 else None


def item(properties: dict[str, Any]) -> str | None:
    """Return sku or product_id."""
    return next((name for key in ("sku", "product_id") if (name := text(properties.get(key)))), None)


def lines(event: Event) -> list[dict[str, Any]]:
    """Return an event's products."""
    products = event.properties.get("products")
    return [line for line in products if isinstance(line, dict)] if isinstance(products, list) else []


def quantity(properties: dict[str, Any]) -> float:
    """Return a quantity: 1 where there is none, 0 where it is none."""
    return max(0.0, number(properties["quantity"]) or 0.0) if "quantity" in properties else 1.0


def money(value: Any) -> int | None:
    """Return millionths."""
    amount = number(value)
    return None if amount is None or abs(amount) >= 1e12 else round(amount * 1e6)


def amount(event: Event) -> int | None:
    """Return an order's or a refund's amount in millionths."""
    for name in ("revenue", "total", "value"):
        if money(event.properties.get(name)) is not None:
            return money(event.properties[name])
    priced = [line for line in lines(event) if number(line.get("price")) is not None]
    sums = [money(number(line["price"]) * quantity(line)) for line in priced]
    known = [one for one in sums if one is not None]
    return sum(known) if known and abs(sum(known)) < 1e18 else None


def currency(event: Event) -> str | None:
    """Return a code of three letters."""
    code = event.properties.get("currency")
    return (
        code.upper()
        if isinstance(code, str) and len(code) == 3 and code.isascii() and code.isalpha()
        else None
    )


# -- activity ------------------------------------------------------------------------------------------


def grouped(events: Iterable[Event], key: Callable[[Event], str]) -> dict[str, list[Event]]:
    """Return events by a key."""
    found = defaultdict(list)
    for event in events:
        found[key(event)].append(event)
    return dict(found)


def activity(events: list[Event]) -> dict[str, int]:
    """Return first, last and count."""
    return {"first_seen": events[0].time, "last_seen": events[-1].time, "events": len(events)}


def recent(events: list[Event], names_of: Callable[[Event], list[str]], bound: int) -> dict[str, list[Event]]:
    """Return events by the names that they bring, of the names that are not forgotten."""
    found: dict[str, list[Event]] = {}
    for event in events:
        for name in names_of(event):
            if name not in found and len(found) == bound:
                found.pop(min(found, key=lambda one: (found[one][-1].time, one)))
            found.setdefault(name, []).append(event)
    return found


def favourite(met: dict[str, list[Event]]) -> str | None:
    """Return the name that was met most often, the later of two, the last by name."""
    return max(((len(one), one[-1].time, name) for name, one in met.items()), default=(0, 0, None))[2]


def devices_of(event: Event) -> list[str]:
    """Return an event's device."""
    return [one for one in event.identifiers if one.partition(":")[0] in DEVICES][:1]


def stores_of(event: Event) -> list[str]:
    """Return the shop that the customer was at."""
    name = text(event.properties.get("store_id"))
    return [name] if name and event.type not in seen.PASSIVE else []


def favourite_channel(events: list[Event]) -> str | None:
    """Return the channel of most of what she did; the time is the channel's last, whoever's doing."""
    by = grouped(events, lambda event: event.channel)
    counts = [
        (sum(one.type not in seen.PASSIVE for one in met), met[-1].time, name) for name, met in by.items()
    ]
    return max((one for one in counts if one[0]), default=(0, 0, None))[2]


def hour(events: list[Event], told: dict[str, Any], name: str) -> int | None:
    """Return the hour of most quarters of an hour, of equals that of the latest."""
    said = number(told.get("preferred_hour"))
    if said is not None and 0 <= said < 24:
        return int(said)
    quarters = sorted({event.time // QUARTER for event in events if event.type not in seen.PASSIVE})
    hours = [
        datetime.fromtimestamp(quarter * QUARTER / 1000, UTC).astimezone(zone(name)).hour
        for quarter in quarters[-seen.MAX_ACTIVE :]
    ]
    return max(
        hours,
        key=lambda one: (hours.count(one), max(n for n, o in enumerate(hours) if o == one)),
        default=None,
    )


def time_zone(events: list[Event]) -> str | None:
    """Return the zone of the latest event that has one."""
    for event in reversed(events):
        context = event.context
        for name in (context and context.timezone, event.properties.get("timezone")):
            if isinstance(name, str) and name in zone_names():
                return name
        if context and context.position:
            return zone_at(context.position.latitude, context.position.longitude)
    return None


def position(event: Event) -> dict[str, Any]:
    """Return where an event was."""
    at = event.context.position
    return {
        "latitude": at.latitude,
        "longitude": at.longitude,
        "accuracy_m": at.accuracy_m,
        "time": event.time,
    }


# -- what was said -------------------------------------------------------------------------------------


def last(events: list[Event], kinds: set[str], name: str, read: Callable[[Any], Any]) -> Any:
    """Return the latest value of a property."""
    found = (read(event.properties.get(name)) for event in reversed(events) if event.type in kinds)
    return next((one for one in found if one is not None), None)


def known_traits(events: list[Event]) -> dict[str, Any]:
    """Return the traits, None for those taken back."""
    told: dict[str, tuple[Event, Any]] = {}
    for event in events:
        if event.type in ("Identify", "Signed Up"):
            fine = {
                name: value
                for name, value in event.properties.items()
                if value is None
                or (isinstance(value, str) and len(value) <= 512)
                or (isinstance(value, int | float) and abs(value) < float("inf"))
            }
            told |= {name: (event, value) for name, value in fine.items()}
    latest = sorted(told, key=lambda name: (*told[name][0].order, name))[-traits.MAX_TRAITS :]
    return {name: told[name][1] for name in latest}


def said(events: list[Event]) -> list[tuple[Event, str | None, str | None, bool]]:
    """Return what was answered about consent."""
    found = []
    for event in events:
        about = {name: event.properties.get(name) for name in ("purpose", "channel")}
        if event.type != "Consent Changed" or not isinstance(event.properties.get("consent"), bool):
            continue
        if all(value is None or text(value) for value in about.values()):
            found.append((event, text(about["purpose"]), text(about["channel"]), event.properties["consent"]))
    return found


def answers(events: list[Event]) -> dict[str, bool]:
    """Return the latest answers."""
    found: dict[str, tuple[int, bool]] = {}
    for event, purpose, channel, granted in said(events):
        key, before = f"{purpose or '*'}/{channel or '*'}", (event.time, granted)
        if key in found and found[key][0] == event.time:
            before = (event.time, granted and found[key][1])
        found[key] = before
    kept = sorted(found, key=lambda name: (found[name][0], name))[-consent.MAX_ANSWERS :]
    return {name: found[name][1] for name in kept}


def history(events: list[Event]) -> list[dict[str, Any]]:
    """Return the latest answers, one by one."""
    found = [
        {
            "purpose": purpose,
            "channel": channel,
            "granted": granted,
            "time": event.time,
            "through": event.channel,
        }
        for event, purpose, channel, granted in said(events)
    ]
    return found[: -consent.MAX_HISTORY - 1 : -1]


def ratings(events: list[Event], kinds: set[str]) -> dict[str, Any] | None:
    """Return what was rated."""
    found = [
        (event.time, value)
        for event in events
        if event.type in kinds and (value := number(event.properties.get("rating"))) and 1 <= value <= 5
    ]
    if not found:
        return None
    mean = sum(round(value * 1e6) for _, value in found) / 1_000_000 / len(found)
    return {"count": len(found), "average": mean, "last": found[-1][1], "last_at": found[-1][0]}


# -- intents -------------------------------------------------------------------------------------------


def views(events: list[Event]) -> list[dict[str, Any]]:
    """Return the items viewed, each once."""
    found: dict[str, int] = {}
    for event in reversed(events):
        if event.type == "Product Viewed" and (name := item(event.properties)) and name not in found:
            found[name] = event.time
    return [{"sku": name, "time": time} for name, time in [*found.items()][: viewed.MAX_VIEWED]]


def wishlist(events: list[Event]) -> list[dict[str, Any]]:
    """Return the wishes: those that nothing took off or bought, nothing else did before, and that are not too many."""
    found: list[dict[str, Any]] = []
    for event in events:
        if event.type == "Order Completed":
            lines = event.properties.get("products")
            bought = (
                [item(line) for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []
            )
            found = [one for one in found if one["sku"] not in bought]
            continue
        name, wanted = item(event.properties), text(event.properties.get("wishlist_id"))
        if name is None:
            continue
        if event.type == "Product Added to Wishlist":
            if (name, wanted) not in [(one["sku"], one["wishlist_id"]) for one in found]:
                price = money(event.properties.get("price"))
                price = None if price is None else price / 1_000_000
                found.append(
                    {
                        "sku": name,
                        "wishlist_id": wanted,
                        "time": event.time,
                        "price": price,
                        "currency": currency(event),
                    }
                )
            found = found[-wishes.MAX_WISHES :]
        elif event.type in ("Product Removed from Wishlist", "Wishlist Product Added to Cart"):
            found = [one for one in found if one["sku"] != name or wanted not in (None, one["wishlist_id"])]
    return found[::-1]


def baskets(events: list[Event]) -> dict[str, Any]:
    """Return the baskets: of each, what came since it was emptied last."""
    found: dict[str, dict[str, Any]] = {}
    touched: dict[str, Event] = {}
    for event in events:
        cart_id, name, many = (
            text(event.properties.get("cart_id")),
            item(event.properties),
            quantity(event.properties),
        )
        here = cart_id or ""
        if event.type in ("Product Added", "Wishlist Product Added to Cart") and name and many:
            if here not in found and len(found) == carts.MAX_CARTS:
                del found[min(found, key=lambda one: touched[one].order)]
            basket = found.setdefault(here, {})
            touched[here] = event
            if name in basket or len(basket) < carts.MAX_LINES:
                line = basket.setdefault(name, [0.0, None, None])
                price = number(event.properties.get("price"))
                line[0] += many
                line[1:] = (
                    line[1] if price is None else price,
                    text(event.properties.get("currency")) or line[2],
                )
        elif event.type == "Product Removed" and name and here in found:
            touched[here] = event
            if name in found[here]:
                found[here][name][0] -= many
            found[here] = {one: line for one, line in found[here].items() if line[0] > 0}
        elif event.type in ("Cart Emptied", "Order Completed"):
            found = {one: basket for one, basket in found.items() if cart_id not in (None, one)}
        found = {one: basket for one, basket in found.items() if basket}
    return {one: basket_record(basket, touched[one].time) for one, basket in found.items()}


def basket_record(basket: dict[str, Any], time: int) -> dict[str, Any]:
    """Return how a basket is published."""
    codes = {code for _, _, code in basket.values()}
    return {
        "items": {name: {"quantity": many, "price": price} for name, (many, price, _) in basket.items()},
        "value": round(sum(many * price for many, price, _ in basket.values() if price is not None), 6),
        "currency": codes.pop() if len(codes) == 1 else None,
        "updated_at": time,
    }


def requests(events: list[Event]) -> dict[str, Any]:
    """Return the service requests."""
    opens = {"Complaint Raised": "complaint", "Service Request Opened": "request"}
    found: list[dict[str, Any]] = []
    kinds: list[str] = []
    for event in events:
        case = text(event.properties.get("case_id"))
        if event.type in opens:
            known = [one for one in found if case and one["case_id"] == case]
            if not known:
                kinds.append(opens[event.type])
                known = [
                    {
                        "case_id": case,
                        "kind": kinds[-1],
                        "channel": event.channel,
                        "opened_at": event.time,
                        "closed_at": None,
                    }
                ]
            known[0]["closed_at"] = None
            found = [one for one in found if one is not known[0]] + known
        elif event.type in ("Complaint Resolved", "Service Request Closed"):
            closing = [one for one in found if one["closed_at"] is None and case in (None, one["case_id"])]
            for one in closing:
                one["closed_at"] = event.time
            found = [one for one in found if one not in closing] + closing
        if len(found) > service.MAX_REQUESTS:
            closed = [one for one in found if one["closed_at"] is not None]
            found.remove((closed or found)[0])
    return {
        "service_requests": len(kinds),
        "complaints": kinds.count("complaint"),
        "recent_requests": found[::-1],
    }


# -- orders --------------------------------------------------------------------------------------------


@dataclass
class Entry:
    """One order: all events that speak of it, in order."""

    events: list[Event] = field(default_factory=list)

    @property
    def placed(self) -> Event | None:
        return next((event for event in self.events if event.type == "Order Completed"), None)

    @property
    def cancelled(self) -> bool:
        return any(event.type == "Order Cancelled" for event in self.events)

    @property
    def counts(self) -> bool:
        return self.placed is not None and not self.cancelled

    @property
    def time(self) -> int:
        return self.placed.time

    @property
    def currency(self) -> str | None:
        said = (currency(event) for event in reversed(self.events) if event.type in SAYS_AMOUNT)
        return next((code for code in said if code), None)

    @property
    def amount(self) -> int | None:
        said = [amount(event) for event in self.events if event.type in SAYS_AMOUNT]
        return next((one for one in reversed(said) if one is not None), None)

    def refund(self, event: Event) -> int | None:
        """Return what a refund of this order amounts to."""
        if amount(event) is not None:
            return abs(amount(event))
        before = Entry(self.events[: self.events.index(event)])
        if before.amount is None or currency(event) not in (None, before.currency):
            return None
        return max(0, before.amount - before.refunds().get("", 0))

    def refunds(self) -> dict[str, int]:
        """Return what was refunded by currency, "" for the order's own."""
        found: dict[str, int] = defaultdict(int)
        for event in self.events:
            if event.type == "Order Refunded":
                code = currency(event)
                found["" if code in (None, self.currency) else code] += self.refund(event) or 0
        return found

    def worth(self) -> dict[str, tuple[int, int, int]]:
        """Return currency -> (orders, revenue, refunded)."""
        if self.cancelled:
            return {}
        back, own = self.refunds(), self.currency or "XXX"
        found = {code: (0, 0, micros) for code, micros in back.items() if code and micros}
        if self.placed:
            paid = self.amount or 0
            found[own] = (1, paid, min(back.get("", 0), max(0, paid)))
        elif back.get(""):
            found[own] = (0, 0, back[""])
        return found

    def record(self) -> dict[str, Any]:
        back, placed = self.refunds(), self.placed
        state = "partly_refunded" if back.get("", 0) < (self.amount or 0) else "refunded"
        state = state if any(event.type == "Order Refunded" for event in self.events) else "completed"
        return {
            "order_id": text(placed.properties.get("order_id")),
            "time": self.time,
            "channel": placed.channel,
            "store_id": text(placed.properties.get("store_id")),
            "amount": None if self.amount is None else self.amount / 1_000_000,
            "currency": self.currency,
            "refunded": back.get("", 0) / 1_000_000,
            "state": "cancelled" if self.cancelled else state,
        }


@dataclass
class Books:
    """All orders: those that are known one by one, those that aged out, refunds of none; and what placed one."""

    entries: list[Entry] = field(default_factory=list)
    aged: list[Entry] = field(default_factory=list)
    loose: list[Entry] = field(default_factory=list)
    returns: list[dict[str, Any]] = field(default_factory=list)
    currencies: set[str] = field(default_factory=set)
    placing: set[str] = field(default_factory=set)

    def sums(self) -> dict[str, tuple[int, int, int]]:
        found: dict[str, tuple[int, int, int]] = {}
        for entry in [*self.entries, *self.aged, *self.loose]:
            for code, worth in entry.worth().items():
                found[code] = tuple(a + b for a, b in zip(found.get(code, (0, 0, 0)), worth, strict=True))
        return found

    def categories_of(self, event: Event) -> list[str]:
        if event.type in ("Product Viewed", "Product Added"):
            return [name for name in (text(event.properties.get("category")),) if name]
        return self._ordered(event, "category")

    def sizes_of(self, event: Event) -> list[str]:
        return self._ordered(event, "size")

    def _ordered(self, event: Event, name: str) -> list[str]:
        values = (text(line.get(name)) for line in lines(event)) if event.event_id in self.placing else ()
        return sorted({value for value in values if value})


def settled(events: list[Event]) -> Books:
    """Put every event to the order that it speaks of."""
    books = Books()
    for event in events:
        if event.type not in ORDER:
            continue
        name = text(event.properties.get("order_id"))
        if name is None and event.type in ("Order Updated", "Order Cancelled"):
            continue
        same = [
            entry
            for entry in books.entries
            if name and text(entry.events[0].properties.get("order_id")) == name
        ]
        entry = same[0] if same else Entry()
        if not same:
            (books.entries if name or event.type == "Order Completed" else books.loose).append(entry)
        if event.type == "Order Completed" and entry.placed is None:
            books.placing.add(event.event_id)
        entry.events.append(event)
        books.currencies |= entry.worth().keys()
        if event.type == "Order Refunded":
            back = entry.refund(event)
            books.returns.append(
                {
                    "order_id": name,
                    "time": event.time,
                    "channel": event.channel,
                    "store_id": text(event.properties.get("store_id")),
                    "amount": None if back is None else back / 1_000_000,
                    "currency": currency(event) or entry.currency,
                }
            )
        if len(books.entries) > orders.MAX_ORDERS:
            books.aged.append(books.entries.pop(0))
    return books


DEVICES = {"device", "cookie", "app_id", "push_id", "wifi_id"}
LOYAL = {"Loyalty Joined", "Loyalty Points Changed", "Loyalty Tier Changed"}
SAYS_AMOUNT = {"Order Completed", "Order Updated"}
ORDER = SAYS_AMOUNT | {"Order Cancelled", "Order Refunded"}
