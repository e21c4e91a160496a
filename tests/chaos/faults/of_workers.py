"""Faults of one worker's process: killed, frozen."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from tests.chaos.deployment import SESSION_MS, WORKERS
from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    import random

    from tests.chaos.faults.fault import Scene


class OfOneWorker(Fault):
    """A fault of a worker that is drawn."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.worker = draw.choice(WORKERS)

    @property
    def details(self) -> str:
        return self.worker


class KillWorker(OfOneWorker):
    """A power cut of one machine."""

    name = "kill"
    what = "kill -9 of a worker, which comes back after a moment"
    lasts = (0.0, 1.5)

    def inject(self, scene: Scene) -> None:
        scene.deployment.kill(self.worker)

    def heal(self, scene: Scene) -> None:
        scene.deployment.start(self.worker)


class FreezeWorker(OfOneWorker):
    """A worker that believes it is alive when the others have long had its partitions."""

    name = "freeze"
    what = "SIGSTOP of a worker for longer than its session lasts, then SIGCONT"
    lasts = (1.3 * SESSION_MS / 1000, 2.2 * SESSION_MS / 1000)

    def inject(self, scene: Scene) -> None:
        self._signal(scene, signal.SIGSTOP)

    def heal(self, scene: Scene) -> None:
        self._signal(scene, signal.SIGCONT)

    def _signal(self, scene: Scene, which: signal.Signals) -> None:
        if scene.deployment.runs(self.worker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(scene.deployment.workers[self.worker].pid, which)
