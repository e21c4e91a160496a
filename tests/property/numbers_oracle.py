"""All numbers of some customers, from the lists of their entries: what the fold's sums are held against.

Computed offline, number by number, over a customer's whole sorted list; amounts and weights by another arithmetic
(fractions, decimals of many places). Nothing of the product is called: what orders are worth computes `profile_oracle`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.property.profile_oracle import Entry as Order
from tests.property.profile_oracle import number, settled, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.event import Event

Sums = Counter[tuple[str, int, tuple[str, ...]]]
Place = tuple[int, str]

MINUTE = 60_000
DAY = 1440 * MINUTE
DONE_TO_HER = {
    "Email Delivered", "Email Bounced", "SMS Delivered", "Push Notification Received", "Message Sent", "Order Updated",
    "Order Refunded", "Order Cancelled", "Complaint Resolved", "Service Request Closed", "Loyalty Points Changed",
    "Loyalty Tier Changed", "Identify",
}  # fmt: skip
NO_VISIT = DONE_TO_HER | {
    "Email Opened", "Email Marked as Spam", "Unsubscribed", "Consent Changed", "Visit Ended", "Call Ended",
    "Conversation Ended", "Satisfaction Rated", "Order Ready for Pickup",
}  # fmt: skip
SITES = {"web", "app", "marketplace"}
ONLINE = {"web", "app", "email", "sms", "social", "chatbot", "marketplace"}
KINDS = {
    "Email Delivered": "message", "SMS Delivered": "message", "Push Notification Received": "message",
    "Promotion Viewed": "promotion",
    "Link Clicked": "message", "Push Notification Tapped": "message", "Promotion Clicked": "promotion",
}  # fmt: skip
CLICKS = {"Link Clicked", "Push Notification Tapped", "Promotion Clicked"}
RATED = {"Satisfaction Rated", "Call Ended", "Conversation Ended"}
GADGETS = {"phone", "tablet", "desktop", "till", "kiosk", "tv", "watch"}
MODELS = ("last_touch", "first_touch", "linear", "position_based", "time_decay")
EXACT = Context(prec=80)


def expected(customers: Mapping[str, Iterable[Any]], spend: Iterable[Any] = ()) -> dict[Any, int]:
    """Return all cells that aren't 0; entries are events and sends, in any order."""
    sums: Sums = Counter()
    for entries in customers.values():
        Life(sorted(entries, key=place)).count(sums)
    for one in spend:
        sums["spend", one.day, (one.channel, one.campaign, one.currency)] += one.amount
    return {cell: amount for cell, amount in sums.items() if amount}


def place(entry: Any) -> Place:
    """Return where an entry is; a send is before the events of its millisecond."""
    if hasattr(entry, "event_id"):
        return (entry.time, entry.event_id)
    return (entry.time, "\0" + entry.trigger_id + ("\0" if hasattr(entry, "sent") else ""))


def month(time: int) -> int:
    """Return the number of months since January 1970."""
    there = datetime.fromtimestamp(time // 1000, UTC)
    return 12 * there.year + there.month - 12 * 1970 - 1


def device(event: Event) -> str:
    """Return the device that an event says."""
    said = event.properties.get("device_type")
    if not isinstance(said, str) or not said:
        return ""
    return said.lower() if said.lower() in GADGETS else "other"


def campaign(event: Event) -> str:
    """Return the campaign that an event names."""
    return text(event.properties.get("campaign_id")) or ""


@dataclass
class Visit:
    """The events of a visit."""

    events: list[Event]

    @property
    def place(self) -> Place:
        return place(self.events[0])

    @property
    def channel(self) -> str:
        return self.events[0].channel

    def device(self, until: Place) -> str:
        said = (device(event) for event in self.events if place(event) <= until)
        return next((one for one in said if one), "")


class Life:
    """A customer's entries, sorted."""

    def __init__(self, entries: list[Any]) -> None:
        self.events = [entry for entry in entries if hasattr(entry, "event_id")]
        self.sends = [entry for entry in entries if not hasattr(entry, "event_id")]
        self.visits = sorted(self._visits(), key=lambda visit: visit.place)
        self.touches = [visit for visit in self.visits if not self._landed(visit)]
        self.books = settled(self.events)
        self.orders = [*self.books.aged, *self.books.entries, *self.books.loose]

    def _visits(self) -> list[Visit]:
        found: list[Visit] = []
        running: dict[str, Visit] = {}
        for event in self.events:
            if event.type in NO_VISIT:
                continue
            known = running.get(event.channel)
            if known and event.time - known.events[-1].time <= 30 * MINUTE:
                known.events.append(event)
            else:
                running[event.channel] = Visit([event])
                found.append(running[event.channel])
        return found

    def _landed(self, visit: Visit) -> bool:
        """Tell whether a visit is where a click led: the first one to a site since then."""
        if visit.channel not in SITES:
            return False
        before = [
            place(event)
            for event in self.events
            if event.type in CLICKS and event.channel not in SITES and place(event) < visit.place
        ]
        if not before or visit.place[0] - before[-1][0] > 30 * MINUTE:
            return False
        return not any(
            before[-1] < other.place < visit.place for other in self.visits if other.channel in SITES
        )

    def cohort(self, at: Place) -> int:
        """Return the month of the first visit, as known at a place; else that of the place."""
        first = self.visits[0].place if self.visits else None
        return month(first[0] if first and first <= at else at[0])

    def count(self, sums: Sums) -> None:
        """Add what this customer adds."""
        self._count_visits(sums)
        self._count_messages(sums)
        self._count_answers(sums)
        for order in self.orders:
            self._count_order(order, sums)
        self._count_sends(sums)

    def _count_visits(self, sums: Sums) -> None:
        for visit in self.visits:
            sums["visits", visit.place[0] // DAY, (visit.channel, visit.device((1 << 60, "")))] += 1
        months = {month(visit.place[0]) for visit in self.visits}
        for one in months:
            sums["active_customers", min(months), (str(one - min(months)),)] += 1

    def _count_messages(self, sums: Sums) -> None:
        clicked = set()
        for event in self.events:
            if event.type not in KINDS:
                continue
            kind, name = KINDS[event.type], text(event.properties.get("message_id"))
            if event.type in CLICKS and kind == "message" and name:
                if (event.channel, name) in clicked:
                    continue
                clicked.add((event.channel, name))
            what = "clicks" if event.type in CLICKS else "impressions"
            sums[what, event.time // DAY, (kind, event.channel, campaign(event))] += 1

    def _count_answers(self, sums: Sums) -> None:
        for event in self.events:
            day, where = event.time // DAY, (event.channel,)
            rating = number(event.properties.get("rating"))
            if event.type in RATED and rating is not None and 1 <= rating <= 5:
                sums["csat_answers", day, where] += 1
                sums["csat_satisfied", day, where] += rating >= 4
            said = number(event.properties.get("recommend"))
            if event.type == "Satisfaction Rated" and said in range(11):
                sums["nps_answers", day, where] += 1
                sums["nps_promoters", day, where] += said > 8
                sums["nps_detractors", day, where] += said < 7

    def _count_order(self, order: Order, sums: Sums) -> None:
        placed = order.placed
        at = place(placed or order.events[0])
        day, since, cohort = at[0] // DAY, str(month(at[0]) - self.cohort(at)), self.cohort(at)
        channel, where = (placed.channel, self._device(placed)) if placed else ("", "")
        path = self._path(at) if placed else []
        others, direction = {one.channel for one in path} - {channel}, crossing(channel, path)
        if order.counts:
            sums["orders", day, (channel, where)] += 1
            sums.update(("assisted_orders", day, (other, channel)) for other in others)
            sums.update({("cross_channel_orders", day, (direction,)): bool(direction)})
            if path:
                took = at[0] - path[0].place[0]
                sums["purchase_delays", day, (channel, bucket(took))] += 1
                sums["purchase_delay_ms", day, (channel,)] += took
        for code, (_, revenue, refunded) in order.worth().items():
            net = revenue - refunded
            sums["revenue", day, (channel, where, code)] += revenue
            sums["refunded", day, (channel, where, code)] += refunded
            sums["customer_value", cohort, (since, code)] += net
            sums.update({("assisted_revenue", day, (other, channel, code)): net for other in others})
            sums.update({("cross_channel_revenue", day, (direction, code)): net if direction else 0})
            for model in MODELS:
                for source, part in shared(model, path, at[0], net).items():
                    sums["attributed_revenue", day, (model, *source, code)] += part

    def _device(self, event: Event) -> str:
        """Return the device of the visit that an event is in, as was said until then."""
        at = place(event)
        last = [visit for visit in self.visits if visit.channel == event.channel and visit.place <= at]
        return last[-1].device(at) if last else ""

    def _path(self, at: Place) -> list[Visit]:
        """Return the touches of the 30 days before a place."""
        return [one for one in self.touches if one.place <= at and at[0] - one.place[0] <= 30 * DAY]

    def _count_sends(self, sums: Sums) -> None:
        sent: dict[str, dict[str, Any]] = {}
        instances: list[dict[str, Any]] = []
        for entry in self.sends:
            known = sent.get(entry.trigger_id)
            if known and entry.time - known["time"] > 7 * DAY:
                known = None
            where = (entry.rule, entry.channel)
            if hasattr(entry, "sent"):
                if not known or not known["back"]:
                    sums["triggers_taken_back", entry.sent // DAY, where] += 1
                if known:
                    known["back"] = True
            elif not known or known["back"]:
                sums["triggers_sent", entry.time // DAY, where] += 1
                one = {"time": entry.time, "place": place(entry), "where": where, "back": False}
                sent[entry.trigger_id] = one
                instances.append(one)
        for one in instances:
            if not one["back"]:
                sums["triggers_returned", one["time"] // DAY, one["where"]] += any(
                    followed(one, visit.place) for visit in self.visits
                )
                placed = sorted(
                    (place(order.placed), order.counts)
                    for order in self.orders
                    if order.placed and followed(one, place(order.placed))
                )
                sums["triggers_bought", one["time"] // DAY, one["where"]] += bool(placed) and placed[0][1]


def followed(sent: dict[str, Any], at: Place) -> bool:
    """Tell whether something comes within a week after a send."""
    return at > sent["place"] and at[0] - sent["time"] <= 7 * DAY


def crossing(channel: str, path: list[Visit]) -> str:
    """Return which way an order goes between online and store."""
    seen = {one.channel for one in path}
    if channel == "store" and seen & ONLINE:
        return "online_before_store"
    return "store_before_online" if channel in ONLINE and "store" in seen else ""


def bucket(took: int) -> str:
    """Return the first of the buckets that a time goes in."""
    hours = {"1h": 1, "1d": 24, "3d": 72, "7d": 168, "14d": 336, "30d": 720}
    return next(name for name, most in hours.items() if took <= most * 60 * MINUTE)


@cache
def worth_after(hours: int) -> Fraction:
    """Return 2^(48 - hours / 168), cut off."""
    power = EXACT.power(Decimal(2), EXACT.divide(Decimal(48 * 168 - hours), Decimal(168)))
    return Fraction(int(power.to_integral_value(rounding=ROUND_FLOOR)))


def weights(model: str, path: list[Visit], time: int) -> list[Fraction]:
    """Return the share of each touch, but for a factor that all have."""
    n = len(path)
    if model == "time_decay":
        return [worth_after((time - one.place[0]) // (60 * MINUTE)) for one in path]
    shares = [Fraction(1)] * n
    if model == "last_touch":
        shares = [*[Fraction(0)] * (n - 1), Fraction(1)]
    elif model == "first_touch":
        shares = [Fraction(1), *[Fraction(0)] * (n - 1)]
    elif model == "position_based" and n > 2:
        shares = [Fraction(2, 5), *[Fraction(1, 5 * (n - 2))] * (n - 2), Fraction(2, 5)]
    return shares


def shared(model: str, path: list[Visit], time: int, amount: int) -> dict[tuple[str, str], int]:
    """Split an amount between channels and campaigns: rounded towards 0, what is left to the largest remainders."""
    if not path:
        return {("", ""): amount}
    whole: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for one, weight in zip(path, weights(model, path, time), strict=True):
        whole[one.channel, campaign(one.events[0])] += weight
    total = sum(whole.values())
    exact = {source: abs(amount) * one / total for source, one in whole.items()}
    parts = {source: int(one) for source, one in exact.items()}
    left = abs(amount) - sum(parts.values())
    for source in sorted(exact, key=lambda one: (parts[one] - exact[one], one))[:left]:
        parts[source] += 1
    return {source: part if amount > 0 else -part for source, part in parts.items()}
