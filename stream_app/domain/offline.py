"""Who is who among events that are all at hand: the same partition and ownership, without the road.

For benchmarks, reports and comparisons: what the pipeline must come to, whatever way the events take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.customer_id import customer_id
from stream_app.domain.identities import NOBODY, Identities
from stream_app.domain.ownership import Owners
from stream_app.domain.partition import LinkRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.event import Event
    from stream_app.domain.policy import IdentityPolicy


def who_is_who(policy: IdentityPolicy, events: Iterable[Event], key: bytes = b"") -> Mapping[str, str]:
    """Return event id -> customer id, under one deployment's `key`.

    Of two contents under one id the first given stands. All events are one component here: components only
    say where customers live.
    """
    kept: dict[str, tuple[tuple[str, ...], int]] = {}
    identities = Identities(LinkRules(policy))
    for event in events:
        if event.event_id not in kept:
            kept[event.event_id] = (event.identifiers, event.time)
            identities.see(event.identifiers, event.time, event.event_id)
    identities.settle()
    owners = Owners(identities, lambda slots: kept.values() if slots else ())
    ids = {NOBODY: ""}
    for group in set(identities.all.groups.values()):
        if group.first is not None:
            ids[group.slot] = customer_id(group.first[2], key)
    return {event_id: ids[owners.slot(*seen)] for event_id, seen in kept.items()}
