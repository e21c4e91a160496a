"""Runs seeds of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation import counting, road
from tests.simulation.seams import installed
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.job import Job

JOBS: dict[str, Callable[[int], Job]] = {"counting": counting.job, "road": road.job}


def play(job: str, seed: int, say: Callable[[str], None] | None = None) -> World:
    """Run one seed; the seams must be installed. Return the world as it ended.

    Raises:
        Failure: the outcome is wrong.
    """
    world = World(JOBS[job](seed), seed, say)
    world.run()
    return world


__all__ = ["JOBS", "installed", "play"]
