"""Faults of the one broker: a power cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    from tests.chaos.faults.fault import Scene


class KillBroker(Fault):
    """A power cut of the machine that everything is on."""

    name = "broker"
    what = "kill -9 of the broker, which is started again on its data"
    lasts = (0.5, 3.0)

    def inject(self, scene: Scene) -> None:
        scene.broker.kafka.kill()

    def heal(self, scene: Scene) -> None:
        scene.broker.kafka.start()
