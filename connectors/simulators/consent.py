"""What shoppers said when they opened their accounts: about advertising, being told by where they are, their shop.

That was long before the simulation begins. The shop passes it on once, when it first sees the account: without it,
nobody could be sent anything under a policy that asks for a yes. What she changes her mind about later, on a form, is
in visits.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from connectors.simulators.chances import chance
from connectors.simulators.diary import Diary

if TYPE_CHECKING:
    from connectors.simulators.diary import Act
    from connectors.simulators.people import Shopper
    from connectors.simulators.settings import Habits

CHANNELS = frozenset({"web", "app", "store"})
"""Where the shop knows whose account it is."""


def pass_on(diary: Diary, habits: Habits) -> None:
    """Note her answer beside the first act that names her account, unless that was done before.

    It draws from a random stream of its own and carries the account alone: it says nothing new about who she is.
    """
    shopper, accounts = diary.shopper, {diary.shopper.user_id, diary.shopper.loyalty}
    random = shopper.answers
    acts = [act for act in diary.acts if accounts.intersection(act.identifiers) and _at_hers(act, shopper)]
    if random is None or not acts:
        return
    first = min(acts, key=lambda act: act.time)
    account = next(one for one in first.identifiers if one in accounts)
    apart = Diary(msgspec.structs.replace(shopper, random=random))
    said = {"purpose": "marketing", "consent": chance(random, habits.agrees)}
    apart.note(
        first.time, first.channel, "Consent Changed", (account,), said, key=first.key, context=first.context
    )
    followed = {"purpose": "location", "consent": shopper.reserve < habits.lets_follow}
    told = [("Consent Changed", followed)]
    if chance(random, habits.chose_shop):
        told.append(("Identify", {"preferred_store": shopper.store.store_id}))
    for kind, properties in told:
        apart.note(
            first.time,
            first.channel,
            kind,
            (account,),
            properties,
            key=first.key,
            context=first.context,
        )
    diary.acts += apart.acts
    shopper.answers = None


def _at_hers(act: Act, shopper: Shopper) -> bool:
    """Tell whether the shop sees her there, and not on its own tablet: what she does there is beside all else."""
    kiosk = shopper.kiosk
    return act.channel in CHANNELS and (kiosk is None or kiosk.kiosk.mark not in act.identifiers)
