"""Orders and money: what an order adds to every number, as it stands.

What an order is worth says the profile (see `profile.orders`), and nobody else: here it is read after each event that
speaks of an order. What an order's worth adds to numbers depends on what was so when it was placed (its visit, the
touches before it, the customer's cohort, what was sent to her): that is kept with it, as `Booking`. When its worth
changes, what it added is taken back and what it adds now is added. So refunds and cancellations come off where the
order went, in the window of the order.

A refund of an order that wasn't placed, as far as is known, is nobody's merit: its channel and campaign are "".

Bounds: those of the profile. An order that it knows no more changes no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.numbers.attribution import LOOKBACK_MS, MODELS, Credit, credit, split
from stream_app.domain.numbers.cells import DAY_MS, Cell, add, day_of, month_of
from stream_app.domain.numbers.sends import bought
from stream_app.domain.profile.orders import spoken_of, worth_of

if TYPE_CHECKING:
    from stream_app.domain.event import Event
    from stream_app.domain.numbers.cells import Tally
    from stream_app.domain.numbers.sends import Send
    from stream_app.domain.numbers.state import State
    from stream_app.domain.profile import Profile
    from stream_app.domain.profile.orders import Order

STORE = "store"
ONLINE = frozenset({"web", "app", "email", "sms", "social", "chatbot", "marketplace"})
ONLINE_BEFORE_STORE, STORE_BEFORE_ONLINE = "online_before_store", "store_before_online"
DELAYS = (
    (DAY_MS // 24, "1h"),
    (DAY_MS, "1d"),
    (3 * DAY_MS, "3d"),
    (7 * DAY_MS, "7d"),
    (14 * DAY_MS, "14d"),
    (LOOKBACK_MS, "30d"),
)
"""Buckets of the time to purchase: up to how much (ms), and its name."""

Worth = tuple[str, int, int, int]
"""What an order comes to in a currency: (code, orders, revenue, refunded)."""


class Booking(msgspec.Struct, array_like=True, gc=False):
    """What decides where an order counts, and what it is worth.

    Attributes:
        time: when it was placed, ms; of one that isn't yet, when it was first heard of.
        cohort: the customer's, a month.
        credits: who has a share in it.
        channel: that it was placed through; "" for one that isn't placed.
        device: of the visit in which it was.
        delay: how long after the first touch, ms; None without one.
        sends: (rule, channel, time) of the triggers for which it is the first order.
        worth: what it came to when it was booked last.
        placed: whether it is.
    """

    time: int
    cohort: int
    credits: list[Credit]
    channel: str = ""
    device: str = ""
    delay: int | None = None
    sends: list[tuple[str, str, int]] = msgspec.field(default_factory=list)
    worth: list[Worth] = msgspec.field(default_factory=list)
    placed: bool = False


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Booking).decode


def order_event(state: State, event: Event, profile: Profile, tally: Tally) -> None:
    """Take in an event that speaks of an order; the profile has it."""
    order = spoken_of(profile.orders, event)
    if order is None:
        return
    packed = state.bookings.get(order.order_id) if order.order_id else None
    booking = None if packed is None else _unpack(packed)
    if booking is not None:
        _book(booking, -1, tally)
    if order.placed and (booking is None or not booking.placed):
        booking = _placed(state, order, event)
    elif booking is None:
        booking = Booking(order.time, _cohort(state, order.time), credit((), order.time))
    booking.worth = list(worth_of(order))
    _book(booking, 1, tally)
    if order.order_id:
        state.bookings[order.order_id] = _pack(booking)
    # An order without an id pushes another out as well, whose id would be taken for it when it is heard of again.
    known = {one.order_id for one in profile.orders.recent}
    for gone in state.bookings.keys() - known:
        del state.bookings[gone]


def unbook_send(state: State, send: Send, tally: Tally) -> None:
    """Take back that an order counts for a trigger, which was taken back."""
    cell = send.cell("triggers_bought")
    if not send.order:
        add(tally, cell, -1)  # an order without an id can't have been cancelled
        return
    packed, known_as = state.bookings.get(send.order), (send.rule, send.channel, send.time)
    booking = None if packed is None else _unpack(packed)
    if booking is None or known_as not in booking.sends:
        return  # the order is no longer known, or its id is another one's: it stays as it is
    booking.sends.remove(known_as)
    state.bookings[send.order] = _pack(booking)
    add(tally, cell, -_count(booking))


def _placed(state: State, order: Order, event: Event) -> Booking:
    """Return the booking of an order that an event has placed."""
    time, channel = event.time, event.channel
    touches = [touch for touch in state.journey.touches if time - touch.time <= LOOKBACK_MS]
    visit = state.ongoing.visits.get(channel)
    return Booking(
        time,
        _cohort(state, time),
        credit(touches, time),
        channel,
        "" if visit is None else visit.device,
        time - touches[0].time if touches else None,
        [(one.rule, one.channel, one.time) for one in bought(state.journey, time, order.order_id)],
        placed=True,
    )


def _cohort(state: State, time: int) -> int:
    """Return a customer's cohort; who was never seen on a visit has that of the order."""
    return month_of(time) if state.journey.cohort is None else state.journey.cohort


def _count(booking: Booking) -> int:
    """Return 1 for an order that counts, else 0."""
    return sum(number for _, number, _, _ in booking.worth)


def _book(booking: Booking, sign: int, tally: Tally) -> None:
    """Add to all numbers what a booking comes to; or take it away."""
    count = sign * _count(booking)
    if count:
        _book_order(booking, count, tally)
    for code, _, revenue, refunded in booking.worth:
        _book_money(booking, code, sign * revenue, sign * refunded, tally)


def _book_order(booking: Booking, count: int, tally: Tally) -> None:
    """Add an order to what is counted."""
    day, channel = day_of(booking.time), booking.channel
    add(tally, Cell("orders", day, (channel, booking.device)), count)
    for other in _assisting(booking):
        add(tally, Cell("assisted_orders", day, (other, channel)), count)
    crossing = _crossing(booking)
    if crossing:
        add(tally, Cell("cross_channel_orders", day, (crossing,)), count)
    if booking.delay is not None:
        name = next(name for most, name in DELAYS if booking.delay <= most)
        add(tally, Cell("purchase_delays", day, (channel, name)), count)
        add(tally, Cell("purchase_delay_ms", day, (channel,)), count * booking.delay)
    for rule, by, sent in booking.sends:
        add(tally, Cell("triggers_bought", day_of(sent), (rule, by)), count)


def _book_money(booking: Booking, code: str, revenue: int, refunded: int, tally: Tally) -> None:
    """Add what an order comes to in one currency."""
    day, channel, net = day_of(booking.time), booking.channel, revenue - refunded
    add(tally, Cell("revenue", day, (channel, booking.device, code)), revenue)
    add(tally, Cell("refunded", day, (channel, booking.device, code)), refunded)
    months = str(month_of(booking.time) - booking.cohort)
    add(tally, Cell("customer_value", booking.cohort, (months, code)), net)
    for model, name in enumerate(MODELS):
        parts = split(net, [one.weights[model] for one in booking.credits])
        for one, part in zip(booking.credits, parts, strict=True):
            add(tally, Cell("attributed_revenue", day, (name, one.channel, one.campaign, code)), part)
    for other in _assisting(booking):
        add(tally, Cell("assisted_revenue", day, (other, channel, code)), net)
    crossing = _crossing(booking)
    if crossing:
        add(tally, Cell("cross_channel_revenue", day, (crossing, code)), net)


def _assisting(booking: Booking) -> list[str]:
    """Return the other channels that had a share in an order."""
    return sorted({one.channel for one in booking.credits if one.channel} - {booking.channel})


def _crossing(booking: Booking) -> str:
    """Return how an order crosses from online to a store, or back; "" if it doesn't."""
    channels = {one.channel for one in booking.credits}
    if booking.channel == STORE:
        return ONLINE_BEFORE_STORE if channels & ONLINE else ""
    return STORE_BEFORE_ONLINE if booking.channel in ONLINE and STORE in channels else ""
