"""Faults of the group: workers come and go faster than it finds rest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    import random

    from tests.chaos.faults.fault import Scene


class RebalanceStorm(Fault):
    """A deployment that is scaled out and in all the time."""

    name = "storm"
    what = "a third worker joins and leaves, in order or killed, every two or three seconds"
    lasts = (7.0, 10.0)
    _WORKER = "w3"

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self._turns = [draw.uniform(2.0, 3.5) for _ in range(8)]
        self._kills = [draw.random() < 0.5 for _ in range(8)]

    def inject(self, scene: Scene) -> None:
        self._turn, self._next = 0, 0.0
        self.step(scene)

    def step(self, scene: Scene) -> None:
        if time.monotonic() < self._next:
            return
        place = self._turn % len(self._turns)
        if scene.deployment.runs(self._WORKER):
            (scene.deployment.kill if self._kills[place] else scene.deployment.leave)(self._WORKER)
            pause = 0.3
        else:
            scene.deployment.start(self._WORKER)
            pause = self._turns[place]
        self._turn += 1
        self._next = time.monotonic() + pause

    def heal(self, scene: Scene) -> None:
        scene.deployment.leave(self._WORKER)
        scene.deployment.workers.pop(self._WORKER, None)
