"""What follows from what shoppers do: wish lists, orders to collect, scans in the shop, returns, complaints.

Whether an act has a sequel, and which, depends on its event id and the rates alone, and each kind has a random stream
of its own. So sequels only add acts, and changing one rate leaves everything alone that it doesn't touch.

What happens at once carries the act's own identifiers; what happens hours later is known by account, card or
address (a telephone number may be another's by then, and a shared browser another's to use), or by her own app.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.simulators.catalogue import Product
from connectors.simulators.chances import DAY, HOUR, MINUTE, SECOND, chance, is_open
from connectors.simulators.diary import Diary
from connectors.simulators.people import Cart
from connectors.simulators.visits import buy_at_till, device_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.simulators.catalogue import Catalogue
    from connectors.simulators.diary import Act
    from connectors.simulators.identifiers import Identifier
    from connectors.simulators.settings import Habits

LASTING = frozenset({"user_id", "loyalty", "email"})
OWN_APP = frozenset({"device", "user_id", "loyalty"})
BUYS_WHAT_SHE_WENT_FOR = 0.4
TAKES_OFF_THE_LIST = 0.15
RESOLVED = 0.5


class Sequel(msgspec.Struct, frozen=True):
    """What follows from an act: a diary for it, with a random stream of its own."""

    act: Act
    diary: Diary
    goods: Catalogue

    @property
    def random(self) -> Random:
        """The stream that this sequel draws from."""
        return self.diary.random

    def known_by(self, namespaces: frozenset[str]) -> tuple[Identifier, ...]:
        """Return the act's identifiers of these namespaces."""
        return tuple(one for one in self.act.identifiers if one.namespace in namespaces)

    def in_shop(
        self, time: int, type_: str, who: tuple[Identifier, ...], properties: dict[str, Any], till: str = ""
    ) -> None:
        """Write down what her shop's system reports, which runs on one of the tills."""
        store = self.diary.shopper.store
        key = till or self.random.choice(store.tills)
        properties = {**properties, "store_id": store.store_id}
        self.diary.note(time, "store", type_, who, properties, key=key, context=store.context)


def add_sequels(diary: Diary, goods: Catalogue, habits: Habits) -> None:
    """Add to the diary what follows from the acts in it; sequels have none themselves."""
    # Typing errors are drawn from one stream for all that she types: a sequel must leave it alone.
    careful = msgspec.structs.replace(diary.shopper, typist=None)
    for act in tuple(diary.acts):
        for place, (follow, share) in enumerate(_FOLLOW.get(act.type, ())):
            if _lot(act, place) < share(habits):
                then = Diary(careful, Random(f"{act.event_id}/{place}"))
                follow(Sequel(act, then, goods))
                diary.acts += then.acts


def _lot(act: Act, place: int) -> float:
    """Return one of four independent numbers from 0 to 1 that an event's id, being random, gives for nothing."""
    return int(act.event_id[6 * place : 6 * place + 6], 16) / 16**6


def _wish(one: Sequel) -> None:
    """Put on the wish list what she looks at, and perhaps take it off again."""
    act, diary, random = one.act, one.diary, one.random
    time = act.time + random.randrange(SECOND, 2 * SECOND)
    product = {
        name: value for name, value in act.properties.items() if name not in {"quantity", "device_type"}
    }
    diary.note(
        time, act.channel, "Product Added to Wishlist", act.identifiers, product,
        key=act.key, context=act.context,
    )  # fmt: skip
    account = one.known_by(LASTING)
    if account and chance(random, TAKES_OFF_THE_LIST):
        what = {"product_id": act.properties["sku"], "sku": act.properties["sku"]}
        later = time + random.randrange(HOUR, 2 * DAY)
        diary.note(later, "web", "Product Removed from Wishlist", account, what)


def _go_to_look(one: Sequel) -> None:
    """Go to the shop, if it is open, to see what she saw in the app."""
    act, diary, random = one.act, one.diary, one.random
    enters = act.time + random.randrange(HOUR, 20 * HOUR)
    if act.channel != "app" or not is_open(enters):
        return
    store, who = diary.shopper.store, one.known_by(OWN_APP)
    product = Product(*(act.properties[name] for name in Product.__struct_fields__))
    app = next(device for device in diary.shopper.devices if device.channel == "app")
    where = {"store_id": store.store_id, "device_type": device_type(app)}
    diary.note(enters, "app", "Visit Started", who, where, context=store.context)
    clock = enters + random.randrange(2 * MINUTE, 10 * MINUTE)
    _note_scan(one, clock, product)
    if chance(random, BUYS_WHAT_SHE_WENT_FOR):
        buy_at_till(diary, clock + random.randrange(2 * MINUTE, 20 * MINUTE), Cart("", {product: 1}))


def _scan(one: Sequel) -> None:
    """Scan some of the shop's products with the app, and leave them."""
    clock = one.act.time
    for product in one.random.sample(one.goods.products, one.random.randint(1, 2)):
        clock += one.random.randrange(2 * MINUTE, 6 * MINUTE)
        _note_scan(one, clock, product)


def _note_scan(one: Sequel, time: int, product: Product) -> None:
    store, who = one.diary.shopper.store, one.known_by(OWN_APP)
    what = {name: value for name, value in product.line().items() if name not in {"category", "quantity"}}
    what["store_id"] = store.store_id
    one.diary.note(time, "app", "Product Scanned", who, what, context=store.context)


def _show_card_first(one: Sequel) -> None:
    """Have the till know her before the goods are scanned."""
    act = one.act
    if act.channel == "store":
        opened = act.time - one.random.randrange(30 * SECOND, 3 * MINUTE)
        one.in_shop(opened, "Till Opened", act.identifiers, {"till_id": act.key}, till=act.key)


def _collect(one: Sequel) -> None:
    """Have an online order made ready in her shop; of ten, seven are fetched in time, two late, one rarely."""
    act, diary, random, who = one.act, one.diary, one.random, one.known_by(LASTING)
    if act.channel not in {"web", "app"} or not who:
        return
    act.properties.update(delivery="store", shipping_method="click and collect")
    order = {"order_id": act.properties["order_id"]}
    ready = act.time + random.randrange(40 * MINUTE, 5 * HOUR)
    one.in_shop(ready, "Order Ready for Pickup", who, order)
    fate = random.choice(("in time",) * 14 + ("late",) * 4 + ("cancelled", "forgotten"))
    if fate == "cancelled":
        cancelled = ready + random.randrange(HOUR, 2 * DAY)
        diary.note(cancelled, "web", "Order Cancelled", who, {**order, "reason": "changed her mind"})
    elif fate != "forgotten":
        waits = random.randrange(HOUR, 36 * HOUR) if fate == "in time" else random.randrange(3 * DAY, 6 * DAY)
        one.in_shop(ready + waits, "Order Collected", who, order)


def _bring_back(one: Sequel) -> None:
    """Bring an order to the shop within six days, for the money."""
    who = one.known_by(LASTING)
    if who:
        paid = {name: one.act.properties[name] for name in ("order_id", "total", "currency")}
        back = one.act.time + one.random.randrange(2 * HOUR, 6 * DAY)
        one.in_shop(back, "Order Refunded", who, {**paid, "reason": "returned"})


def _complain(one: Sequel) -> None:
    """Complain about an order in writing."""
    random, who = one.random, one.known_by(LASTING)
    if who:
        time, channel = one.act.time + random.randrange(HOUR, 40 * HOUR), random.choice(("email", "chatbot"))
        case = {"case_id": _new_case(random), "order_id": one.act.properties["order_id"]}
        one.diary.note(time, channel, "Complaint Raised", who, {**case, "subject": "quality"})
        _resolve(one, time, case)


def _open_case(one: Sequel) -> None:
    """Give a complaint on the telephone its number."""
    case = {"case_id": _new_case(one.random)}
    one.act.properties.update(case)
    _resolve(one, one.act.time, case)


def _resolve(one: Sequel, time: int, case: dict[str, Any]) -> None:
    """Put half of the complaints right the same day."""
    who = one.known_by(LASTING)
    if who and chance(one.random, RESOLVED):
        later = time + one.random.randrange(20 * MINUTE, 8 * HOUR)
        one.diary.note(later, "call_center", "Complaint Resolved", who, case)


def _new_case(random: Random) -> str:
    return f"case-{random.getrandbits(40):010x}"


def _unsubscribe(one: Sequel) -> None:
    """Have no more of these newsletters."""
    act, diary = one.act, one.diary
    time = act.time + one.random.randrange(5 * MINUTE, 5 * HOUR)
    diary.note(time, "email", "Unsubscribed", act.identifiers, dict(act.properties))
    answer = {"purpose": "marketing", "channel": "email", "consent": False}
    diary.note(time + SECOND, "email", "Consent Changed", act.identifiers, answer)


def _recommend(one: Sequel) -> None:
    """Have the same survey ask whether she would recommend the shop: more or less as she is content with it."""
    rating, random = one.act.properties["rating"], one.random
    one.act.properties["recommend"] = max(0, min(10, 2 * rating + random.choice((-2, -1, 0, 0, 0, 1))))


_FOLLOW: dict[str, tuple[tuple[Callable[[Sequel], None], Callable[[Habits], float]], ...]] = {
    "Product Viewed": (
        (_wish, lambda habits: habits.wishes),
        (_go_to_look, lambda habits: habits.goes_to_look),
    ),
    "Visit Started": ((_scan, lambda habits: habits.scans),),
    "Order Completed": (
        (_show_card_first, lambda habits: habits.card_first),
        (_collect, lambda habits: habits.click_and_collect),
        (_bring_back, lambda habits: habits.returns),
        (_complain, lambda habits: habits.complaints),
    ),
    "Complaint Raised": ((_open_case, lambda _: 1.0),),
    "Satisfaction Rated": ((_recommend, lambda habits: habits.recommends),),
    "Email Delivered": ((_unsubscribe, lambda habits: habits.unsubscribes),),
}
"""Type of act -> what may follow, at most four each, and its share."""
