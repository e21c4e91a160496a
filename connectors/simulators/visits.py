"""Visits to the web shop and the app: looking around, the basket, the order, or leaving it behind."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from connectors.simulators.chances import DAY, HOUR, MINUTE, SECOND, chance
from connectors.simulators.people import Cart, Device, Kiosk, Shopper

if TYPE_CHECKING:
    from connectors.simulators.catalogue import Catalogue, Product
    from connectors.simulators.diary import Act, Diary
    from connectors.simulators.identifiers import Identifier
    from connectors.simulators.settings import Habits

SIGNS_IN_TO_PAY = 0.5
SIGNS_IN_ON_APP = 0.8
SIGNS_IN_ON_TABLET = 0.5
SIGNS_IN_ON_KIOSK = 0.8
LEAVES_BASKET_FOR_NEXT_TIME = 0.3
EMPTIES_BASKET = 0.03
ABOUT_HERSELF = frozenset({"Signed Up", "Identify"})
"""Whatever these events say is a trait of hers."""
TYPES = {
    "app": ((0.92, "phone"), (0.08, "tablet")),
    "web": ((0.5, "phone"), (0.44, "desktop"), (0.06, "tablet")),
}
"""Shares of what apps run on, and browsers."""


class Visit:
    """One visit on one device: a clock that each act moves on, and what the device says of who it is."""

    def __init__(self, diary: Diary, device: Device, start: int) -> None:
        """Begin at `start` (ms), as whoever is signed in on the device."""
        self.diary = diary
        self.shopper: Shopper = diary.shopper
        self.random = self.shopper.random
        self.device = device
        self.clock = start
        self.known = device.account is not None
        self.identifiers: tuple[Identifier, ...] = (
            (device.mark,) if device.account is None else (device.mark, device.account)
        )
        self._said_device = False

    def land(self, click: Act) -> None:
        """Come from a click to the page that it leads to, a moment before all else; an app shows its first screen."""
        campaign = {"campaign_id": click.properties["campaign_id"], "device_type": device_type(self.device)}
        path, time = click.properties["link_url"], self.clock - SECOND
        there = self.diary.apart(Random(f"{click.event_id}/landing"))
        if self.device.channel == "app":
            type_, properties = "Screen Viewed", {"screen": path.removeprefix("/"), **campaign}
        else:
            url = f"https://shop.example{path}?utm_campaign={campaign['campaign_id']}"
            type_, properties = "Page Viewed", {"url": url, "path": path, **campaign}
        there.note(
            time, self.device.channel, type_, self.identifiers, properties, context=self.device.context
        )

    def do(self, type_: str, properties: dict[str, Any]) -> None:
        """Do one thing, then take a moment (half a minute or so). The first thing done says on what device."""
        device = self.device
        if not self._said_device and type_ not in ABOUT_HERSELF:
            properties = {**properties, "device_type": device_type(device)}
            self._said_device = True
        self.diary.note(
            self.clock, device.channel, type_, self.identifiers, properties, context=device.context
        )
        self.clock += 2 * SECOND + int(self.random.expovariate(1 / (35 * SECOND)))

    def also(self, one: Identifier | None) -> None:
        """From now on the events of the visit carry this identifier too."""
        if one is not None and one not in self.identifiers:
            self.identifiers = (*self.identifiers, one)
            self.known = True

    def sign_in(self) -> None:
        """Sign in, where she has an account, or open one; on a kiosk a loyalty card will do."""
        account = self.shopper.account_at(self.clock)
        if account is None and isinstance(self.device, Kiosk):
            self.also(self.shopper.loyalty)
        elif self.shopper.newcomer:
            self.sign_up()
        if account is None or self.device.account is not None:
            return
        self.device.account = account
        self.also(account)
        remembered = self.identifiers
        if chance(self.random, 0.3):
            self.also(self.shopper.email)
        self.do("Signed In", {"device_type": device_type(self.device)})
        self.identifiers = remembered
        if chance(self.random, 0.2):
            self.tell_about_herself()

    def sign_up(self) -> None:
        """Open the account that she has from now on; what she agreed to goes with it (consent.py)."""
        shopper = self.shopper
        shopper.account_since = self.clock
        self.device.account = shopper.user_id
        self.also(shopper.user_id)
        remembered = self.identifiers
        if shopper.email is not None:
            self.also(shopper.typed(shopper.email))
        self.do("Signed Up", shopper.tells)
        self.identifiers = remembered

    def tell_about_herself(self) -> None:
        """Fill in a form: traits, perhaps a second address, perhaps what she consents to."""
        shopper, remembered = self.shopper, self.identifiers
        for one in (shopper.email, shopper.second_email, shopper.phone_at(self.clock)):
            if one is not None:
                self.also(shopper.typed(one))
        self.do("Identify", shopper.tells)
        self.identifiers = remembered
        if chance(self.random, 0.4):
            channel = self.random.choice(("email", "sms", "push"))
            consent = chance(self.random, 0.7)
            self.do("Consent Changed", {"purpose": "marketing", "channel": channel, "consent": consent})


def visit(
    diary: Diary, device: Device, start: int, goods: Catalogue, habits: Habits, click: Act | None = None
) -> None:
    """Play one whole visit into the diary, from the click that led to it; what it leads to later, elsewhere, too."""
    one = Visit(diary, device, start)
    random = one.random
    if click is not None:
        one.land(click)
    if device.channel == "app":
        one.do("Screen Viewed", {"screen": random.choice(("home", "offers", "account"))})
    if device.account is None and chance(random, _sign_in_chance(device, habits)):
        one.sign_in()
    seen = _look_around(one, goods)
    wants = chance(random, habits.adds)
    if wants or device.cart is not None:
        cart = _fill(one, seen if wants else [])
        if chance(random, habits.abandonment):
            _leave(one, cart, habits)
        else:
            _pay(one, cart)
            device.cart = None
    if device.shared:
        if device.account is not None:
            one.do("Signed Out", {})
        device.account = device.cart = None


def _sign_in_chance(device: Device, habits: Habits) -> float:
    if device.shared:
        return SIGNS_IN_ON_KIOSK if isinstance(device, Kiosk) else SIGNS_IN_ON_TABLET
    return SIGNS_IN_ON_APP if device.channel == "app" else habits.sign_in


def device_type(device: Device) -> str:
    """Return what sort of device it is, as an SDK reads it off; its mark decides, which is random."""
    if isinstance(device, Kiosk):
        return "kiosk"
    if device.shared:
        return "tablet"
    lot = int(device.mark.value[:4], 16) / 16**4
    for share, name in TYPES[device.channel]:
        lot -= share
        if lot < 0:
            return name
    return "phone"


def _look_around(one: Visit, goods: Catalogue) -> list[Product]:
    random = one.random
    category = random.choice(tuple(goods.by_category))
    shelf = goods.by_category[category]
    if chance(random, 0.35):
        one.do("Products Searched", {"query": random.choice(shelf).name.partition(",")[0]})
    if chance(random, 0.6):
        shown = random.sample(shelf, 3)
        products = [{"product_id": product.sku, "sku": product.sku} for product in shown]
        one.do("Product List Viewed", {"list_id": category, "category": category, "products": products})
    seen: list[Product] = []
    while not seen or chance(random, 0.68):
        product = random.choice(shelf)
        seen.append(product)
        one.do("Product Viewed", product.line())
    return seen


def _fill(one: Visit, seen: list[Product]) -> Cart:
    """Put some of what was seen into the basket (the device's old one, if there is one)."""
    random, device = one.random, one.device
    if device.cart is None:
        device.cart = Cart(f"cart-{random.getrandbits(56):014x}")
    cart = device.cart
    for product in seen[-1 - random.randrange(3) :]:
        quantity = 1 if chance(random, 0.8) else random.randint(2, 4)
        cart.lines[product] = cart.lines.get(product, 0) + quantity
        one.do("Product Added", {"cart_id": cart.cart_id, **product.line(quantity)})
    if len(cart.lines) > 1 and chance(random, 0.15):
        product = random.choice(tuple(cart.lines))
        one.do("Product Removed", {"cart_id": cart.cart_id, **product.line(cart.lines.pop(product))})
    if not seen or chance(random, 0.5):
        _show_cart(one, cart)
    return cart


def _show_cart(one: Visit, cart: Cart) -> None:
    products = [product.line(quantity) for product, quantity in cart.lines.items()]
    one.do("Cart Viewed", {"cart_id": cart.cart_id, "products": products})


def _pay(one: Visit, cart: Cart) -> None:
    """Order as an account holder, or as a guest who leaves an address (else a telephone number)."""
    shopper, random = one.shopper, one.random
    if chance(random, SIGNS_IN_TO_PAY):
        one.sign_in()
    contact = shopper.email or shopper.phone_at(one.clock)
    if not one.known and contact is not None:
        one.also(shopper.typed(contact))
    order = one.diary.order(cart, one.device.channel)
    one.do("Checkout Started", {"cart_id": cart.cart_id, **order})
    one.do("Order Completed", {"cart_id": cart.cart_id, **order})
    if shopper.email is not None and chance(random, 0.06):
        later = one.clock + DAY + random.randrange(DAY)
        answer = {"order_id": order["order_id"], "rating": random.choice((1, 2, 3, 4, 4, 5, 5, 5))}
        one.diary.note(later, "email", "Satisfaction Rated", (shopper.email,), answer)


def _leave(one: Visit, cart: Cart, habits: Habits) -> None:
    """Abandon the basket; a shopper who is known may buy it in a shop or on another device later."""
    random, device = one.random, one.device
    if chance(random, 0.3):
        one.do("Checkout Started", {"cart_id": cart.cart_id, **one.diary.order(cart, device.channel)})
    if chance(random, EMPTIES_BASKET):
        one.do("Cart Emptied", {"cart_id": cart.cart_id})
        device.cart = None
        return
    fate, keeps = random.random(), chance(random, LEAVES_BASKET_FOR_NEXT_TIME)
    if one.known and fate < habits.bought_in_shop:
        soon = chance(random, 0.4)
        delay = random.randint(8 * MINUTE, 25 * MINUTE) if soon else random.randint(HOUR, 20 * HOUR)
        buy_at_till(one.diary, one.clock + delay, cart)
        device.cart = None
    elif one.known and fate < habits.bought_in_shop + habits.bought_elsewhere:
        _buy_elsewhere(one, cart)
        device.cart = None
    elif not keeps:
        device.cart = None


def _buy_elsewhere(one: Visit, cart: Cart) -> None:
    """Order the same basket on another device of hers, some 15 minutes to a day later."""
    shopper = one.shopper
    others = [device for device in shopper.devices if device is not one.device and not device.shared]
    account = shopper.account_at(one.clock)
    if account is None or not others:
        return
    start = one.clock + one.random.randint(15 * MINUTE, DAY)
    again = Visit(one.diary, one.random.choice(others), start)
    again.also(account)
    _show_cart(again, cart)
    again.do("Order Completed", {"cart_id": cart.cart_id, **one.diary.order(cart, again.device.channel)})


def buy_at_till(diary: Diary, time: int, cart: Cart) -> None:
    """Buy in her shop, showing the loyalty card, asking for the receipt by e-mail, or both."""
    shopper, random = diary.shopper, diary.random
    card, address = shopper.loyalty, shopper.email
    shown = tuple(one for one in (card, address) if one is not None)
    if len(shown) > 1 and not chance(random, 0.3):
        shown = shown[:1] if chance(random, 0.7) else shown[1:]
    if not shown:
        return
    said = tuple(shopper.typed(one) for one in shown)
    till = random.choice(shopper.store.tills)
    order = diary.order(cart, "till")
    order["store_id"], order["till_id"], order["device_type"] = shopper.store.store_id, till, "till"
    diary.note(time, "store", "Order Completed", said, order, key=till, context=shopper.store.context)
