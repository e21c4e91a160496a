"""Who shops: households, their members with all identifiers that are truly theirs, and their devices.

Nobody real: addresses end in example.org and the like (RFC 2606), telephone numbers lie in the ranges that
the French regulator keeps free for fiction (Arcep, plan de numérotation, 2.5.12).
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from connectors.simulators.catalogue import LOCALE, TIMEZONE, Catalogue, Product, Store
from connectors.simulators.chances import chance
from stream_app.domain.event import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.simulators.settings import Habits

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


class Identifier(NamedTuple):
    """One identifier: `text` is "namespace:value", normalised."""

    namespace: str
    value: str
    text: str


def identifier(namespace: str, value: str) -> Identifier:
    """Make an identifier of a value that is in its normal form."""
    return Identifier(namespace, value, f"{namespace}:{value}")


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


class Shopper(msgspec.Struct):
    """A person. What she doesn't have is None. `random` is her own stream: nobody else's doings change it."""

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
    phone: Identifier | None = None

    @property
    def identifiers(self) -> list[str]:
        """All that is truly hers, sorted; a shared tablet's cookie is nobody's."""
        own = (self.user_id, self.loyalty, self.email, self.second_email, self.phone)
        texts = [one.text for one in own if one is not None]
        return sorted(texts + [device.mark.text for device in self.devices if not device.shared])


def population(seed: int, shoppers: int, habits: Habits, goods: Catalogue) -> Iterator[Shopper]:
    """Yield so many shoppers, household by household; the members of a household follow each other."""
    number = 0
    household = 0
    while number < shoppers:
        random = Random(f"{seed}/household/{household}")
        family = chance(random, habits.families)
        size = min(random.choice((2, 2, 3, 4)) if family else 1, shoppers - number)
        tablet = _browser(random, shared=True) if family and chance(random, habits.shared_tablets) else None
        store = random.choice(goods.stores)
        for _ in range(size):
            shopper = _shopper(seed, number, f"household-{household:06d}", store)
            if tablet is not None:
                shopper.devices.append(tablet)
            yield shopper
            number += 1
        household += 1


def _shopper(seed: int, number: int, household: str, store: Store) -> Shopper:
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
        shopper.phone = identifier("phone", f"+33{PHONE_RANGES[block]}{last_digits:04d}")
    return shopper


def _devices(random: Random) -> list[Device]:
    devices = []
    if chance(random, 0.75):
        devices.append(_browser(random))
    if chance(random, 0.7) or not devices:
        devices.append(_browser(random))
    if chance(random, 0.45):
        mark = identifier("device", f"{random.getrandbits(64):016x}")
        devices.append(Device(mark, "app", Context(locale=LOCALE, timezone=TIMEZONE)))
    return devices


def _browser(random: Random, *, shared: bool = False) -> Device:
    mark = identifier("cookie", f"{random.getrandbits(80):020x}")
    return Device(mark, "web", Context(locale=LOCALE, timezone=TIMEZONE), shared=shared)


def with_check_digit(digits: str) -> str:
    """Append the check digit of Luhn's formula (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the sum of two digits
    return f"{digits}{-total % 10}"
