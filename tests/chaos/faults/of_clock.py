"""Faults of a worker's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.faults.of_workers import OfOneWorker
from tests.chaos.worker import set_clock

if TYPE_CHECKING:
    import random

    from tests.chaos.faults.fault import Scene

HOUR = 3_600.0


class ClockJump(OfOneWorker):
    """A wall clock that leaps, ahead or back. The engine goes by the broker's clock, so nothing may come of it."""

    name = "clock"
    what = "a worker's wall clock jumps by hours, ahead or back, and later returns"
    lasts = (3.0, 8.0)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.jump = draw.choice((-1, 1)) * draw.uniform(0.01, 30.0) * HOUR

    @property
    def details(self) -> str:
        return f"{self.worker}, {self.jump / HOUR:+.1f} h"

    def inject(self, scene: Scene) -> None:
        self._set(scene, self.jump)

    def heal(self, scene: Scene) -> None:
        self._set(scene, 0.0)

    def _set(self, scene: Scene, seconds: float) -> None:
        set_clock(scene.deployment.folder / f"{self.worker}.clock", seconds)
