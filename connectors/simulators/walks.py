"""Walks through town with the app in hand, past the shop.

She looks at the app's map of shops every now and then, and each screen says where she is: along a street that passes
her shop at some distance, with the error that such fixes have between houses. Not everybody lets the app know where she
is, and not everybody who does agreed to being told by it (consent.py).

Walks draw from a random stream of their own and leave all else alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from connectors.simulators.chances import DAY, HOUR, MINUTE, SECOND, chance, is_open, moment, shop_moment
from connectors.simulators.visits import device_type
from stream_app.domain.event import Position

if TYPE_CHECKING:
    from random import Random

    from connectors.simulators.catalogue import Store
    from connectors.simulators.diary import Diary
    from connectors.simulators.people import Device
    from connectors.simulators.settings import Habits

WITH_BASKET = 10
"""Times as likely does she go to town when the app knows of a basket that she has filled while the shops are open."""
EVENINGS = 0.2
"""Share of the other walks at any time of the day, as when web shops are busy: the shops may have closed."""
METRES_PER_DEGREE = 111_195
"""Of latitude, on a sphere of 6,371 km."""
PACE = 1.3
"""Metres per second."""
LONGEST = 700
"""Metres before and behind the shop, at most."""
FARTHEST = 450
"""Metres from the street to the shop, at most."""
ERRORS = ((0.7, 5, 25), (0.2, 30, 90), (0.1, 150, 900))
"""Shares of fixes, and between which accuracies (metres, 68 % of fixes lie within): satellites, houses, masts."""


def walk(diary: Diary, day: int, habits: Habits) -> None:
    """Perhaps walk past her shop on the day that begins at `day` (ms)."""
    shopper, random = diary.shopper, diary.shopper.walks
    app = next((device for device in shopper.devices if device.channel == "app"), None)
    if random is None or app is None or shopper.reserve >= habits.shows_position:
        return
    starts, share = _leaves(random, day), habits.walks
    filled = _filled_a_basket(diary, app, day)
    if filled is not None:
        starts, share = filled + random.randrange(10 * MINUTE, 2 * HOUR), min(1.0, habits.walks * WITH_BASKET)
    if not chance(random, share) or starts >= day + DAY:
        return
    account = None if app.account is None else shopper.account_at(starts)
    who = (app.mark,) if account is None else (app.mark, account)
    there = diary.apart(random)
    screen = {"screen": "shops", "device_type": device_type(app)}
    for time, position in _fixes(random, shopper.store, starts):
        context = msgspec.structs.replace(shopper.store.context, position=position)
        there.note(time, "app", "Screen Viewed", who, dict(screen), context=context)


def _leaves(random: Random, day: int) -> int:
    return moment(random, day) if chance(random, EVENINGS) else shop_moment(random, day)


def _filled_a_basket(diary: Diary, app: Device, day: int) -> int | None:
    """Return when she last put something into a basket on a device of her own that the app knows of, ms."""
    known = {app.mark} if app.account is None else {app.mark, app.account}
    own = {device.mark for device in diary.shopper.devices if not device.shared}
    times = [
        act.time
        for act in diary.acts
        if act.type == "Product Added" and act.time >= day and is_open(act.time)
        if known.intersection(act.identifiers) and own.intersection(act.identifiers)
    ]
    return max(times, default=None)


def _fixes(random: Random, store: Store, starts: int) -> list[tuple[int, Position]]:
    """Return when she looks at the map, and where her telephone takes her to be."""
    centre = store.context.position
    if centre is None:
        return []
    heading, aside = random.uniform(0, 2 * math.pi), random.uniform(-FARTHEST, FARTHEST)
    along, end = -random.uniform(0.5, 1) * LONGEST, random.uniform(0.5, 1) * LONGEST
    clock, found = starts, []
    while along < end:
        accuracy = _accuracy(random)
        spread = (
            accuracy / 1.515
        )  # so that 68 % of the errors, in two dimensions, are smaller than the accuracy
        east = along * math.sin(heading) + aside * math.cos(heading) + random.gauss(0, spread)
        north = along * math.cos(heading) - aside * math.sin(heading) + random.gauss(0, spread)
        found.append((clock, _moved(centre, east, north, accuracy)))
        pause = random.randrange(90 * SECOND, 5 * MINUTE)
        clock += pause
        along += PACE * pause / SECOND
    return found


def _accuracy(random: Random) -> float:
    lot = random.random()
    for share, least, most in ERRORS:
        lot -= share
        if lot < 0:
            return round(random.uniform(least, most), 1)
    return float(ERRORS[-1][2])


def _moved(centre: Position, east: float, north: float, accuracy: float) -> Position:
    """Return what lies so many metres east and north of a position."""
    latitude = centre.latitude + north / METRES_PER_DEGREE
    longitude = centre.longitude + east / (METRES_PER_DEGREE * math.cos(math.radians(centre.latitude)))
    return Position(round(latitude, 6), round(longitude, 6), accuracy)
