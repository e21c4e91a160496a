"""Promotions on the site and in the app: shown beside what shoppers look at, and now and then clicked.

Whether one is shown beside a list or a screen, and what comes of it, depends on that act's event id and the rates
alone. So promotions add acts and move none.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from connectors.simulators.chances import MINUTE, SECOND, chance

if TYPE_CHECKING:
    from connectors.simulators.campaigns import Campaigns
    from connectors.simulators.catalogue import Catalogue
    from connectors.simulators.diary import Act, Diary
    from connectors.simulators.settings import Habits

PLACES = (1, 1, 2, 3)
CLICKED = 0.06
"""Share of promotions shown that are clicked."""


def show_promotions(diary: Diary, goods: Catalogue, campaigns: Campaigns, habits: Habits) -> None:
    """Add to the diary what is shown beside the lists and screens in it."""
    for act in tuple(diary.acts):
        if act.type in {"Product List Viewed", "Screen Viewed"}:
            random = Random(f"{act.event_id}/promotion")
            if chance(random, habits.promotions):
                _show(diary, act, goods, campaigns, random)


def _show(diary: Diary, act: Act, goods: Catalogue, campaigns: Campaigns, random: Random) -> None:
    """Show the promotion of the day; a click leads to one of its products."""
    campaign = campaigns.on("site", act.time)
    place = random.choice(PLACES)
    there = diary.apart(random)
    properties = {"campaign_id": campaign.campaign_id, "name": campaign.name, "position": place}
    time = act.time + random.randrange(SECOND // 2, SECOND)
    there.note_beside(act, time, "Promotion Viewed", dict(properties))
    if chance(random, CLICKED):
        time += random.randrange(2 * SECOND, MINUTE // 2)
        there.note_beside(act, time, "Promotion Clicked", dict(properties))
        product = random.choice(goods.products)
        there.note_beside(act, time + SECOND, "Product Viewed", product.line())
