"""Who shops: a person, all identifiers that are truly hers, and her devices.

Nobody real: addresses end in example.org and the like (RFC 2606), telephone numbers lie in the ranges that
the French regulator keeps free for fiction (Arcep, plan de numérotation, 2.5.12).
"""

from __future__ import annotations

from random import Random

import msgspec

from connectors.simulators.catalogue import LOCALE, TIMEZONE, Product, Store
from connectors.simulators.chances import MINUTE, chance
from connectors.simulators.identifiers import Identifier, identifier
from connectors.simulators.typing_errors import Typist  # noqa: TC001 - msgspec reads field types
from stream_app.domain.event import Context

FIRST_NAMES = (
    "Ana",
    "Bruno",
    "Chloe",
    "Driss",
    "Elsa",
    "Farid",
    "Gwen",
    "Hugo",
    "Ines",
    "Jules",
    "Kenza",
    "Leo",
)
LAST_NAMES = ("Lopez", "Martin", "Nguyen", "Ozturk", "Petit", "Roux", "Simon", "Traore", "Urbain", "Vidal")
MAIL_HOSTS = ("example.org", "example.com", "example.net")
PHONE_RANGES = ("63998", "19900", "26191", "35301", "46571", "53649")
PHONES_PER_RANGE = 10_000
KIOSK_SLOT = 15 * MINUTE
NOT_YET = 2**62


class Cart(msgspec.Struct):
    """A basket: what lies in it, and how many of each."""

    cart_id: str
    lines: dict[Product, int] = msgspec.field(default_factory=dict)


class Device(msgspec.Struct):
    """A browser (channel web, a cookie) or an installed app; who is signed in on it, and its basket."""

    mark: Identifier
    channel: str
    context: Context
    shared: bool = False
    account: Identifier | None = None
    cart: Cart | None = None


class Kiosk(Device):
    """A shop's tablet for its customers, who come one by one: nobody goes to one that is taken."""

    slots: set[int] = msgspec.field(default_factory=set)

    def take(self, time: int) -> bool:
        """Take it at this time (ms), for a quarter of an hour; return whether it was free."""
        slot = time // KIOSK_SLOT
        free = slot not in self.slots
        self.slots.add(slot)
        return free


class Phone(msgspec.Struct, frozen=True):
    """A telephone number of somebody's, from a time on and until another (ms)."""

    number: Identifier
    since: int = 0
    until: int | None = None

    @property
    def for_ever(self) -> bool:
        """Whether it was nobody else's before, and will be nobody else's after."""
        return self.since == 0 and self.until is None


class KioskVisits(msgspec.Struct, frozen=True):
    """The kiosk of her shop, the share of her trips in which she uses it, and the random stream for that."""

    kiosk: Kiosk
    share: float
    random: Random


class Shopper(msgspec.Struct):
    """A person. What she doesn't have, or doesn't tell, is None.

    `random` is her own stream: nobody else's doings change it. What the loyalty programme does is drawn from
    `programme`, push messages from `pushes`, where she walks from `walks`. An account that is still to be opened is
    there since `NOT_YET`.
    """

    name: str
    household: str
    first_name: str
    random: Random
    store: Store
    context: Context
    devices: list[Device]
    activity: float
    user_id: Identifier | None = None
    loyalty: Identifier | None = None
    email: Identifier | None = None
    second_email: Identifier | None = None
    phone: Phone | None = None
    typist: Typist | None = None
    kiosk: KioskVisits | None = None
    answers: Random | None = None
    """The random stream of what she said about advertising; None: that is known already."""
    birthday: str | None = None
    preferred_channel: str | None = None
    account_since: int = 0
    programme: Random | None = None
    pushes: Random | None = None
    walks: Random | None = None
    reserve: float = 1.0
    """How little she likes to be followed: of any share of shoppers who let somebody, those with the least are it."""

    @property
    def tells(self) -> dict[str, str]:
        """What she writes into a form about herself."""
        told = {
            "first_name": self.first_name,
            "city": self.store.city,
            "preferred_store": self.store.store_id,
            "birthday": self.birthday,
            "preferred_channel": self.preferred_channel,
        }
        return {name: value for name, value in told.items() if value is not None}

    @property
    def identifiers(self) -> list[str]:
        """All that is truly hers, sorted; a shared tablet's cookie is nobody's, nor is a number passed on."""
        own = [self.user_id, self.loyalty, self.email, self.second_email]
        if self.phone is not None and self.phone.for_ever:
            own.append(self.phone.number)
        texts = [one.text for one in own if one is not None]
        return sorted(texts + [device.mark.text for device in self.devices if not device.shared])

    @property
    def mistyped(self) -> list[str]:
        """All wrong addresses that were typed for hers so far, sorted."""
        return [] if self.typist is None else sorted(self.typist.mistyped)

    @property
    def newcomer(self) -> bool:
        """Whether her account is still to be opened."""
        return self.user_id is not None and self.account_since == NOT_YET

    def account_at(self, time: int) -> Identifier | None:
        """Return the account that she has at that time (ms)."""
        return self.user_id if time >= self.account_since else None

    def phone_at(self, time: int) -> Identifier | None:
        """Return her telephone number at that time (ms)."""
        phone = self.phone
        if phone is None or time < phone.since or (phone.until is not None and time >= phone.until):
            return None
        return phone.number

    def typed(self, one: Identifier) -> Identifier:
        """Return an identifier of hers as it is typed in by hand this time: her e-mail address may go wrong."""
        return self.typist.type(one) if self.typist is not None and one == self.email else one


def new_shopper(seed: int, number: int, household: str, store: Store) -> Shopper:
    """Make a person by her number: the same one for the same seed."""
    random = Random(f"{seed}/shopper/{number}")
    first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    shopper = Shopper(
        name=f"shopper-{number:06d}",
        household=household,
        first_name=first,
        random=random,
        store=store,
        context=Context(locale=LOCALE, timezone=TIMEZONE),
        devices=_devices(random),
        activity=random.lognormvariate(-0.18, 0.6),
    )
    local = f"{first}.{last}{number}".lower()
    if chance(random, 0.8):
        shopper.user_id = identifier("user_id", str(100_000 + number))
    if chance(random, 0.6):
        shopper.loyalty = identifier("loyalty", with_check_digit(f"2900{number:08d}"))
    if shopper.user_id is not None or chance(random, 0.6):
        shopper.email = identifier("email", f"{local}@{random.choice(MAIL_HOSTS)}")
        if chance(random, 0.08):
            shopper.second_email = identifier("email", f"{local}.work@{random.choice(MAIL_HOSTS)}")
    block, last_digits = divmod(number, PHONES_PER_RANGE)
    if chance(random, 0.7) and block < len(PHONE_RANGES):
        shopper.phone = Phone(identifier("phone", f"+33{PHONE_RANGES[block]}{last_digits:04d}"))
    return shopper


def _devices(random: Random) -> list[Device]:
    devices = []
    if chance(random, 0.75):
        devices.append(new_browser(random))
    if chance(random, 0.7) or not devices:
        devices.append(new_browser(random))
    if chance(random, 0.45):
        mark = identifier("device", f"{random.getrandbits(64):016x}")
        devices.append(Device(mark, "app", Context(locale=LOCALE, timezone=TIMEZONE)))
    return devices


def new_browser(random: Random, *, shared: bool = False) -> Device:
    """Make a browser with a cookie of its own."""
    return Device(_cookie(random), "web", Context(locale=LOCALE, timezone=TIMEZONE), shared=shared)


def new_kiosk(random: Random, store: Store) -> Kiosk:
    """Make a tablet that stands in this shop."""
    return Kiosk(_cookie(random), "web", store.context, shared=True)


def _cookie(random: Random) -> Identifier:
    return identifier("cookie", f"{random.getrandbits(80):020x}")


def with_check_digit(digits: str) -> str:
    """Append the check digit of Luhn's formula (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the sum of two digits
    return f"{digits}{-total % 10}"
