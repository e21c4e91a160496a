"""Faults of a cluster: one of three brokers is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.cluster import NODES
from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    import random

    from tests.chaos.faults.fault import Scene


class LoseABroker(Fault):
    """A power cut of one of three machines; the next one has to wait until all have caught up again."""

    name = "lose-a-broker"
    what = "kill -9 of one of three brokers; it comes back, and catches up"
    lasts = (6.0, 12.0)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.node = draw.randrange(NODES)

    @property
    def details(self) -> str:
        return f"broker {self.node + 1}"

    def inject(self, scene: Scene) -> None:
        scene.broker.nodes[self.node].kill()

    def heal(self, scene: Scene) -> None:
        scene.broker.nodes[self.node].start(120.0)
        scene.broker.wait_in_sync()
