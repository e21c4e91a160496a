"""Everybody: households of shoppers, and what strangers share: kiosks, telephone numbers, similar addresses."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import msgspec

from connectors.simulators.catalogue import TIMEZONE_ABROAD
from connectors.simulators.chances import chance
from connectors.simulators.people import NOT_YET, KioskVisits, Phone, new_browser, new_kiosk, new_shopper
from connectors.simulators.truth import Recycled
from connectors.simulators.typing_errors import Typist

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.simulators.catalogue import Catalogue, Store
    from connectors.simulators.identifiers import Identifier
    from connectors.simulators.people import Kiosk, Shopper
    from connectors.simulators.settings import Habits, IdentityNoise

SHOPPERS_PER_KIOSKS = 3_000
"""A shop gets one more kiosk for so many shoppers of all shops: each serves about 500."""


class Population:
    """Makes shoppers, household by household; whoever comes later changes nothing for those before."""

    def __init__(
        self, seed: int, habits: Habits, noise: IdentityNoise, goods: Catalogue, start: int, end: int
    ) -> None:
        """Set the ways of the place; telephone numbers are passed on between `start` and `end` (ms)."""
        self._seed = seed
        self._habits = habits
        self._noise = noise
        self._goods = goods
        self._start = start
        self._end = end
        self._kiosks: dict[tuple[str, int], Kiosk] = {}
        self._addresses: list[Identifier] = []
        self._given_up: list[Shopper] = []
        self.recycled: list[Recycled] = []

    def shoppers(self, count: int) -> Iterator[Shopper]:
        """Yield so many shoppers; the members of a household follow each other."""
        number = household = 0
        while number < count:
            random = Random(f"{self._seed}/household/{household}")
            family = chance(random, self._habits.families)
            size = random.choice((2, 2, 3, 4)) if family else 1
            shared = family and chance(random, self._noise.shared_tablets)
            tablet = new_browser(self._stream("tablet", household), shared=True) if shared else None
            store = random.choice(self._goods.stores)
            for _ in range(min(size, count - number)):
                shopper = new_shopper(self._seed, number, f"household-{household:06d}", store)
                if tablet is not None:
                    shopper.devices.append(tablet)
                self._settle(shopper, number)
                yield shopper
                number += 1
            household += 1

    def _stream(self, purpose: str, number: int | str) -> Random:
        return Random(f"{self._seed}/{purpose}/{number}")

    def _settle(self, shopper: Shopper, number: int) -> None:
        """Give a newcomer what she shares with strangers, and random streams for what leaves her own alone."""
        noise = self._noise
        kiosk = self._kiosk(shopper.store, number // SHOPPERS_PER_KIOSKS)
        shopper.kiosk = KioskVisits(kiosk, noise.kiosks, self._stream("kiosk-visits", number))
        shopper.answers = self._stream("consent", number)
        self._character(shopper, self._stream("character", number))
        if shopper.phone is not None:
            self._pass_phones_on(shopper, shopper.phone, self._stream("phone", number))
        if shopper.email is not None:
            random = self._stream("typing", number)
            lookalike = random.choice(self._addresses) if self._addresses else None
            shopper.typist = Typist(random, noise.email_typos, noise.typo_hits, lookalike)
            self._addresses.append(shopper.email)

    def _character(self, shopper: Shopper, random: Random) -> None:
        """Say what she tells about herself, whether her account is still to be opened, and where she lives."""
        habits = self._habits
        shopper.programme = self._stream("programme", shopper.name)
        shopper.pushes, shopper.walks = (
            self._stream("pushes", shopper.name),
            self._stream("walks", shopper.name),
        )
        shopper.reserve = shopper.walks.random()
        year, month, day = random.randint(1940, 2006), random.randint(1, 12), random.randint(1, 28)
        if chance(random, habits.birthdays):
            shopper.birthday = f"{year}-{month:02d}-{day:02d}"
        if chance(random, habits.preferences):
            shopper.preferred_channel = random.choice(("email", "sms", "push"))
        if chance(random, habits.newcomers):
            shopper.account_since = NOT_YET
        if chance(random, habits.abroad):
            shopper.context = msgspec.structs.replace(shopper.context, timezone=TIMEZONE_ABROAD)
            for device in shopper.devices:
                if not device.shared:
                    device.context = shopper.context

    def _kiosk(self, store: Store, place: int) -> Kiosk:
        kiosk = self._kiosks.get((store.store_id, place))
        if kiosk is None:
            random = self._stream("kiosk", f"{store.store_id}/{place}")
            kiosk = self._kiosks[store.store_id, place] = new_kiosk(random, store)
        return kiosk

    def _pass_phones_on(self, shopper: Shopper, own: Phone, random: Random) -> None:
        """Let her take over the number of a stranger before her, or else perhaps give hers up some day.

        Whether she gives it up doesn't depend on who takes it: nobody, if no one comes after her.
        """
        gives_up, time = chance(random, self._noise.recycled_phones), random.randrange(self._start, self._end)
        waiting = self._given_up
        if waiting and waiting[0].household != shopper.household:
            previous = waiting.pop(0)
            if previous.phone is not None and previous.phone.until is not None:
                taken = shopper.phone = Phone(previous.phone.number, since=previous.phone.until)
                self.recycled.append(Recycled(taken.number.text, previous.name, shopper.name, taken.since))
        elif gives_up:
            shopper.phone = Phone(own.number, until=time)
            waiting.append(shopper)
