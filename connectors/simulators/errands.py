"""Everything beside visits (shops, mailings, calls, chats, coupons, marketplaces), and a whole day."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from connectors.simulators.chances import DAY, HOUR, MINUTE, SECOND, chance, moment, poisson, shop_moment
from connectors.simulators.diary import Act, Diary
from connectors.simulators.people import Cart, Device, Shopper
from connectors.simulators.visits import buy_at_till, device_type, visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.simulators.campaigns import Campaign, Campaigns
    from connectors.simulators.catalogue import Catalogue
    from connectors.simulators.settings import Habits

TIERS = ("bronze", "silver", "gold", "platinum")
CLICKS_AGAIN = 0.08
"""Share of clicks in a message that come twice."""
TAPS = 0.12
"""Share of push messages that are tapped."""


class Arrival(NamedTuple):
    """A visit to come: when, on which device, and the click that leads to it, if one does."""

    start: int
    device: Device
    click: Act | None = None


Arrivals = list[Arrival]


def live_a_day(diary: Diary, day: int, goods: Catalogue, campaigns: Campaigns, habits: Habits) -> None:
    """Play the day that begins at `day` (ms) into the diary; some of it may happen on days to come."""
    shopper = diary.shopper
    random = shopper.random
    arrivals: Arrivals = []
    for errand, rate in _MAILINGS:
        if chance(random, rate):
            errand(diary, day, arrivals, campaigns)
    if shopper.pushes is not None and chance(shopper.pushes, habits.pushes):
        _push(diary.apart(shopper.pushes), day, arrivals, campaigns)
    for _ in range(poisson(random, habits.visits * shopper.activity)):
        arrivals.append(Arrival(moment(random, day), random.choice(shopper.devices)))
    arrivals.sort(key=_when)
    for arrival in arrivals:
        visit(diary, arrival.device, arrival.start, goods, habits, arrival.click)
    for trip, rate in _TRIPS:
        if chance(random, rate):
            trip(diary, day, goods, habits)
    _count_points(diary, day, habits)


def _when(arrival: Arrival) -> int:
    return arrival.start


def _own_browser(shopper: Shopper) -> Device:
    return next(device for device in shopper.devices if device.channel == "web")


def _deliver(act: Act, campaign: Campaign) -> dict[str, Any]:
    """Give a message that is delivered its name, and return what all that comes of it says of it."""
    message = {"message_id": f"{campaign.medium}-{act.event_id[:14]}", "campaign_id": campaign.campaign_id}
    act.properties.update(message)
    return message


def _arrive(diary: Diary, click: Act, device: Device, arrivals: Arrivals) -> None:
    """Have a click lead to a visit. What is clicked twice leads there once: she has only come back to the message."""
    click.properties["device_type"] = device_type(device)
    arrivals.append(Arrival(click.time + 3 * SECOND, device, click))
    random = Random(f"{click.event_id}/again")
    if "message_id" in click.properties and chance(random, CLICKS_AGAIN):
        later = click.time + random.randrange(10 * SECOND, 3 * HOUR)
        diary.apart(random).note_beside(click, later, click.type, dict(click.properties))


def _newsletter(diary: Diary, day: int, arrivals: Arrivals, campaigns: Campaigns) -> None:
    shopper, random = diary.shopper, diary.shopper.random
    if shopper.email is None:
        return
    sent = day + 8 * 60 * MINUTE + random.randrange(20 * MINUTE)
    delivered = diary.note(sent, "email", "Email Delivered", (shopper.email,), {})
    message = _deliver(delivered, campaigns.on("email", sent))
    if chance(random, 0.4):
        opened = sent + int(random.expovariate(1 / (90 * MINUTE))) + SECOND
        diary.note(opened, "email", "Email Opened", (shopper.email,), dict(message))
        if chance(random, 0.3):
            browser, clicked = _own_browser(shopper), opened + random.randrange(5 * SECOND, MINUTE)
            both = (shopper.email, browser.mark)
            click = diary.note(clicked, "email", "Link Clicked", both, {**message, "link_url": "/new"})
            _arrive(diary, click, browser, arrivals)


def _text_message(diary: Diary, day: int, arrivals: Arrivals, campaigns: Campaigns) -> None:
    shopper, random = diary.shopper, diary.shopper.random
    sent = shop_moment(random, day)
    phone = shopper.phone_at(sent)
    if phone is None:
        return
    delivered = diary.note(sent, "sms", "SMS Delivered", (phone,), {})
    message = _deliver(delivered, campaigns.on("sms", sent))
    if chance(random, 0.2):
        browser, clicked = _own_browser(shopper), sent + random.randrange(MINUTE, 40 * MINUTE)
        click = diary.note(
            clicked, "sms", "Link Clicked", (phone, browser.mark), {**message, "link_url": "/sale"}
        )
        _arrive(diary, click, browser, arrivals)


def _push(diary: Diary, day: int, arrivals: Arrivals, campaigns: Campaigns) -> None:
    """Send her app a message at tea time; `diary` draws from the stream for that."""
    random = diary.random
    app = next((device for device in diary.shopper.devices if device.channel == "app"), None)
    if app is None:
        return
    sent = day + 16 * HOUR + random.randrange(30 * MINUTE)
    delivered = diary.note(sent, "app", "Push Notification Received", (app.mark,), {}, context=app.context)
    message = _deliver(delivered, campaigns.on("push", sent))
    if chance(random, TAPS):
        tapped = sent + random.randrange(MINUTE, 3 * HOUR)
        tap = diary.note(
            tapped, "app", "Push Notification Tapped", (app.mark,), {**message, "link_url": "/offers"},
            context=app.context,
        )  # fmt: skip
        _arrive(diary, tap, app, arrivals)


def _advertisement(diary: Diary, day: int, arrivals: Arrivals, campaigns: Campaigns) -> None:
    shopper, random = diary.shopper, diary.shopper.random
    browser, clicked = _own_browser(shopper), moment(random, day)
    network = random.choice(("instagram", "pinterest", "tiktok"))
    seen = {
        "network": network,
        "campaign_id": campaigns.on("social", clicked).campaign_id,
        "link_url": "/new",
    }
    click = diary.note(clicked, "social", "Link Clicked", (browser.mark,), seen)
    _arrive(diary, click, browser, arrivals)
    if shopper.email is not None and chance(random, 0.1):
        lead = (shopper.typed(shopper.email), browser.mark)
        diary.note(clicked + 40 * SECOND, "social", "Identify", lead, {"first_name": shopper.first_name})


def _chat(diary: Diary, day: int, arrivals: Arrivals, _campaigns: Campaigns) -> None:
    """Chat on the web site, or from a messenger with nothing but the e-mail address."""
    shopper, random = diary.shopper, diary.shopper.random
    start, browser = moment(random, day), _own_browser(shopper)
    asks = {"intent": random.choice(("delivery", "size", "stock", "return"))}
    who = (shopper.email,) if shopper.email is not None and chance(random, 0.3) else (browser.mark,)
    diary.note(start, "chatbot", "Conversation Started", who, asks)
    clock = start + random.randrange(20 * SECOND, 2 * MINUTE)
    if shopper.email is not None and chance(random, 0.4):
        both = (shopper.typed(shopper.email), browser.mark)
        diary.note(clock, "chatbot", "Identify", both, {"first_name": shopper.first_name})
        clock += random.randrange(20 * SECOND, 2 * MINUTE)
    diary.note(clock, "chatbot", "Conversation Ended", who, {"duration_s": (clock - start) // SECOND})
    if chance(random, 0.4):
        diary.note(
            clock + 10 * SECOND, "chatbot", "Satisfaction Rated", who, {"rating": random.randint(1, 5)}
        )
    if chance(random, 0.3):
        arrivals.append(Arrival(clock + MINUTE, browser))


def _shop(diary: Diary, day: int, goods: Catalogue, habits: Habits) -> None:
    """Go to the shop; the app notices her coming in, the till what she buys, perhaps the kiosk what she looks at."""
    shopper, random = diary.shopper, diary.shopper.random
    enters = shop_moment(random, day)
    app = next((device for device in shopper.devices if device.channel == "app"), None)
    if app is not None and chance(random, 0.5):
        account = None if app.account is None else shopper.account_at(enters)
        who = (app.mark,) if account is None else (app.mark, account)
        where = {"store_id": shopper.store.store_id, "device_type": device_type(app)}
        diary.note(enters, "app", "Visit Started", who, where, context=shopper.store.context)
    if chance(random, 0.75):
        cart = Cart("")  # a till knows no basket of the web shop: its order carries no cart_id
        for product in random.sample(goods.products, random.randint(1, 4)):
            cart.lines[product] = 1 if chance(random, 0.8) else 2
        buy_at_till(diary, enters + random.randrange(5 * MINUTE, 40 * MINUTE), cart)
    _use_kiosk(diary, enters + 3 * MINUTE, goods, habits)


def _use_kiosk(diary: Diary, time: int, goods: Catalogue, habits: Habits) -> None:
    """Perhaps use the shop's tablet, if it is free. What she does there leaves her own random stream alone."""
    visits = diary.shopper.kiosk
    if visits is None or not chance(visits.random, visits.share) or not visits.kiosk.take(time):
        return
    there = Diary(msgspec.structs.replace(diary.shopper, random=visits.random))
    visit(there, visits.kiosk, time, goods, habits)
    diary.acts += there.acts


def _call(diary: Diary, day: int, _goods: Catalogue, _habits: Habits) -> None:
    shopper, random = diary.shopper, diary.shopper.random
    start = shop_moment(random, day)
    phone = shopper.phone_at(start)
    if phone is None:
        return
    diary.note(start, "call_center", "Call Started", (phone,), {"direction": "inbound"})
    account = shopper.account_at(start) if chance(random, 0.6) else shopper.loyalty
    who = (phone,) if account is None else (phone, account)
    clock = start + random.randrange(MINUTE, 4 * MINUTE)
    if chance(random, 0.35):
        diary.note(clock, "call_center", "Complaint Raised", who, {"subject": "delivery"})
        clock += random.randrange(MINUTE, 6 * MINUTE)
    diary.note(clock, "call_center", "Call Ended", who, {"duration_s": (clock - start) // SECOND})
    if chance(random, 0.3):
        diary.note(clock + MINUTE, "call_center", "Satisfaction Rated", who, {"rating": random.randint(1, 5)})


def _count_points(diary: Diary, day: int, habits: Habits) -> None:
    """Let the loyalty programme raise or lower her tier, in the night on which her time has come."""
    card, random = diary.shopper.loyalty, diary.shopper.programme
    if card is None or random is None:
        return
    turn, left = divmod(day // DAY + int(card.value[-6:]), habits.tier_changes)
    if left:
        return
    before, tier = TIERS[turn % len(TIERS) - 1], TIERS[turn % len(TIERS)]
    change = "up" if TIERS.index(tier) > TIERS.index(before) else "down"
    properties = {"tier": tier, "previous_tier": before, "change": change}
    night = Diary(diary.shopper, random)
    night.note(day + 5 * HOUR + random.randrange(HOUR), "web", "Loyalty Tier Changed", (card,), properties)
    diary.acts += night.acts


def _coupon(diary: Diary, day: int, _goods: Catalogue, _habits: Habits) -> None:
    shopper, random = diary.shopper, diary.shopper.random
    shown = shopper.loyalty or shopper.email
    if shown is not None:
        coupon = {"coupon": f"spring-{random.randrange(1000):03d}", "store_id": shopper.store.store_id}
        diary.note(shop_moment(random, day), "catalog", "Coupon Redeemed", (shown,), coupon)


def _marketplace(diary: Diary, day: int, goods: Catalogue, _habits: Habits) -> None:
    shopper, random = diary.shopper, diary.shopper.random
    if shopper.email is None:
        return
    cart = Cart("", {random.choice(goods.products): 1})
    time = moment(random, day)
    phone = shopper.phone_at(time)
    who = (shopper.email,) if phone is None or chance(random, 0.7) else (shopper.email, phone)
    diary.note(time, "marketplace", "Order Completed", who, diary.order(cart, "market"))


_MAILINGS: tuple[tuple[Callable[[Diary, int, Arrivals, Campaigns], None], float], ...] = (
    (_newsletter, 0.3),
    (_text_message, 0.06),
    (_advertisement, 0.05),
    (_chat, 0.04),
)
_TRIPS: tuple[tuple[Callable[[Diary, int, Catalogue, Habits], None], float], ...] = (
    (_shop, 0.15),
    (_call, 0.03),
    (_coupon, 0.02),
    (_marketplace, 0.03),
)
"""What may happen on a day, and how likely."""
