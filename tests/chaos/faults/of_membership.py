"""Faults of the group: workers come and go faster than it finds rest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    import random

    from tests.chaos.faults.fault import Scene


STARTED = "event='rules_in_force'"
"""What a worker says in its log just before it joins the group."""


class RebalanceStorm(Fault):
    """A deployment that is scaled out and in all the time."""

    name = "storm"
    what = (
        "a third worker joins and leaves, in order or killed, as soon as it has joined or two seconds later"
    )
    lasts = (9.0, 14.0)
    _WORKER = "w3"

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self._turns = [draw.uniform(0.2, 2.0) for _ in range(8)]
        self._kills = [draw.random() < 0.5 for _ in range(8)]

    def inject(self, scene: Scene) -> None:
        self._turn, self._next, self._joined_at = 0, 0.0, 0.0
        self._starts = scene.deployment.starts_of(self._WORKER, STARTED)
        self.step(scene)

    def step(self, scene: Scene) -> None:
        if time.monotonic() < self._next:
            return
        place = self._turn % len(self._turns)
        if scene.deployment.runs(self._WORKER):
            if scene.deployment.starts_of(self._WORKER, STARTED) < self._starts:
                return  # before it has joined, whether it leaves is nobody's business
            if not self._joined_at:
                self._joined_at = time.monotonic()
            if time.monotonic() - self._joined_at < self._turns[place]:
                return
            (scene.deployment.kill if self._kills[place] else scene.deployment.leave)(self._WORKER)
            pause = 0.3
        else:
            scene.deployment.start(self._WORKER)
            self._starts, self._joined_at, pause = self._starts + 1, 0.0, 0.0
        self._turn += 1
        self._next = time.monotonic() + pause

    def heal(self, scene: Scene) -> None:
        scene.deployment.leave(self._WORKER)
        scene.deployment.workers.pop(self._WORKER, None)
