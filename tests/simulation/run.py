"""Runs seeds of a job, and says which fail."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.simulation import counting, merging, road
from tests.simulation.seams import installed
from tests.simulation.world import World, WrongOutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.simulation.job import Job

JOBS: dict[str, Callable[[int], Job]] = {
    "counting": counting.job,
    "live": counting.live_job,
    "road": road.job,
    "merging": merging.job,
}

_COLLECTED = 25
"""After so many seeds what they left is collected."""


def play(job: str, seed: int, say: Callable[[str], None] | None = None) -> World:
    """Run one seed; the seams must be installed. Return the world as it ended.

    Raises:
        WrongOutcomeError: the outcome is wrong.
    """
    world = World(JOBS[job](seed), seed, say)
    world.run()
    return world


def failing(job: str, seeds: Iterable[int], struck: set[str] | None = None) -> list[tuple[int, str]]:
    """Run seeds, and return those that failed, with the reason; `struck` takes what struck in the others."""
    found = []
    with installed(), _collecting_seldom() as collect:
        for number, seed in enumerate(seeds, 1):
            try:
                world = play(job, seed)
                if struck is not None:
                    struck.update(world.struck)
            except WrongOutcomeError as failure:
                found.append((seed, str(failure)))
            except Exception as error:  # noqa: BLE001 - a simulation that breaks has failed as well
                found.append((seed, f"{type(error).__name__}: {error}"))
            if number % _COLLECTED == 0:
                collect()
    return found


@contextmanager
def _collecting_seldom() -> Iterator[Callable[[], int]]:
    """Have Python look for circles only when told to: each world is one. Looking all the time costs a fifth."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield gc.collect
    finally:
        if enabled:
            gc.enable()


def replay(job: str, seed: int) -> str:
    """Return the command that runs a seed again, step by step."""
    return f"python -m tests.simulation --job {job} --seed {seed} --trace"


def forget() -> None:
    """Forget the undisturbed runs that were made: under a planted bug they are others."""
    road.undisturbed.cache_clear()
