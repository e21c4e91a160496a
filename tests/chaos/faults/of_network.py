"""Faults of the network between workers and broker, in the proxy that lies there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    import random

    from tests.chaos.faults.fault import Scene


class SlowBroker(Fault):
    """A broker that answers, but late."""

    name = "slow"
    what = "each piece of data between workers and broker is held back, either way"
    lasts = (4.0, 8.0)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.delay = draw.uniform(0.05, 0.4)

    @property
    def details(self) -> str:
        return f"{self.delay * 1000:.0f} ms"

    def inject(self, scene: Scene) -> None:
        scene.broker.proxy.delay = self.delay

    def heal(self, scene: Scene) -> None:
        scene.broker.proxy.delay = 0.0


class SilentBroker(Fault):
    """Connections that stay open and carry nothing: what a dead switch looks like."""

    name = "silent"
    what = "connections stay open and nothing comes through, for longer than a session lasts"
    lasts = (3.0, 7.0)

    def inject(self, scene: Scene) -> None:
        scene.broker.proxy.hang()

    def heal(self, scene: Scene) -> None:
        scene.broker.proxy.heal()


class TornConnections(Fault):
    """Connections that break, again and again."""

    name = "torn"
    what = "all connections are reset, once a second; what was under way is lost"
    lasts = (1.0, 4.0)
    _EVERY_S = 1.0

    def inject(self, scene: Scene) -> None:
        self._next = time.monotonic()
        self.step(scene)

    def step(self, scene: Scene) -> None:
        if time.monotonic() >= self._next:
            scene.broker.proxy.tear()
            self._next += self._EVERY_S
