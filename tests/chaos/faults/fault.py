"""What a fault is, and what it may act upon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import random

    from tests.chaos.broker import ProxiedBroker
    from tests.chaos.cluster import Cluster
    from tests.chaos.deployment import Deployment
    from tests.chaos.intake import Intake


@dataclass
class Scene:
    """Everything that can be made to fail."""

    broker: ProxiedBroker | Cluster
    deployment: Deployment
    intake: Intake


class Fault:
    """One thing that goes wrong for a while.

    `inject` begins it, `step` is called several times a second while it lasts, `heal` ends it. Another fault may have
    struck the same thing meanwhile, or the worker may have ended by itself: all three take things as they are.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    """What it does, in a sentence, for the table."""
    lasts: ClassVar[tuple[float, float]]
    """Seconds, at least and at most."""

    def __init__(self, draw: random.Random) -> None:
        """Draw what is left open."""
        self.seconds = draw.uniform(*self.lasts)

    @property
    def details(self) -> str:
        """What was drawn, for the log."""
        return ""

    def inject(self, scene: Scene) -> None:
        """Begin."""
        raise NotImplementedError

    def step(self, scene: Scene) -> None:
        """Go on."""

    def heal(self, scene: Scene) -> None:
        """End."""

    @classmethod
    def impossible(cls, scene: Scene) -> str | None:  # noqa: ARG003 - for those that override it
        """Say why it can't be done on this machine; None: it can."""
        return None
