"""Live, no trigger is sent against a refusal that is on its way through a merge, however slow the network is.

    python -m tests.chaos.merge_under_way [SECONDS [WORKERS]]

A customer says no by her card; that is settled. She signs in in a browser, which joins the two, and fills a basket
there. A rule waits two seconds. With a network that holds everything back for 0.4 s (the default), joining takes longer
than that. Until messages of a stage to itself held live clocks back as well (`engine.flights`), the clock of the
browser's component was only told how far the *events* had been read: all triggers were sent, and stood. A refusal that
is found out late takes nothing back (design: RULES, `retract_within`).
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

from connectors.planned import Planned
from stream_app.domain.event import ChannelEvent
from tests.chaos.broker import ProxiedBroker
from tests.chaos.deployment import RULE, Deployment
from tests.waiting import wait_for

CUSTOMERS = 12
IMPATIENT = RULE.replace("purpose: service\n", "").replace("after: 5s", "after: 2s")
SLOW_S = 25.0
"""So long at most the network is slow: a commit may be taken for lost by then, and restoring takes long as well."""
ENOUGH_S = 90.0
"""Longer than a slow machine needs to decide about all baskets."""


def outcomes(delay: float, workers: int = 1) -> Counter[str]:
    """Return what was decided about the baskets, and why."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProxiedBroker() as broker,
        Deployment(
            broker.direct,
            broker.proxied,
            f"t{uuid.uuid4().hex[:8]}.",
            Path(folder),
            {"RACCORD_CHANNELS": "web"},
        ) as deployment,
    ):
        (Path(folder) / "rules" / "abandoned_cart.yaml").write_text(IMPATIENT)
        deployment.start(*(f"w{number}" for number in range(1, workers + 1)))
        assert wait_for(deployment.at_work, 60), deployment.log("w1")[-2_000:]
        deployment.play(
            [
                happens(
                    f"no-{n}", "Consent Changed", {"loyalty": f"CARD-{n}"}, purpose="marketing", consent=False
                )
                for n in range(CUSTOMERS)
            ]
        )
        assert wait_for(lambda: len(deployment.outputs(deployment.topics.timeline)) >= CUSTOMERS, ENOUGH_S)
        broker.proxy.delay = delay
        deployment.play(
            [
                happens(f"in-{n}", "Signed In", {"loyalty": f"CARD-{n}", "cookie": f"browser-{n}"})
                for n in range(CUSTOMERS)
            ]
        )
        basket = {"product_id": "SKU-1", "price": 40.0, "quantity": 1, "currency": "EUR"}
        deployment.play(
            [
                happens(
                    f"add-{n}", "Product Added", {"cookie": f"browser-{n}"}, cart_id=f"cart-{n}", **basket
                )
                for n in range(CUSTOMERS)
            ]
        )

        def decided() -> list[str]:
            found = deployment.outputs(deployment.topics.decisions)
            return [f"{one['outcome']} {one['reason'] or ''}".strip() for one in found]

        wait_for(lambda: len(decided()) >= CUSTOMERS, SLOW_S)
        broker.proxy.heal()
        assert wait_for(lambda: len(decided()) >= CUSTOMERS, ENOUGH_S), f"decided: {Counter(decided())}"
        return Counter(decided())


def happens(event_id: str, kind: str, identifiers: dict[str, str], **properties: object) -> Planned:
    """Return the record of an event of now."""
    now = time.time_ns() // 1_000_000
    event = ChannelEvent(event_id, now, "web", kind, identifiers, properties)
    return Planned(channel="web", at=now, event=event, key=event_id.encode())


if __name__ == "__main__":
    held_back = float(sys.argv[1]) if len(sys.argv) > 1 else 0.4
    many = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    found = outcomes(held_back, many)
    sys.stdout.write(f"network held back by {held_back} s, {many} workers: {dict(found)}\n")
    sys.exit(0 if found == {"held_back consent": CUSTOMERS} else 1)
