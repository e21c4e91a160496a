"""Run seeds on all cores, or one of them step by step.

    python -m tests.simulation                                   some thousand seeds of each job
    python -m tests.simulation --job road --from 5000 --seeds 20000
    python -m tests.simulation --job road --seed 1234 --trace    one, with every step
    python -m tests.simulation --planted                         the table of planted bugs, anew

Ends with 1 when a seed fails; each failing seed is printed with the command that replays it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation import planting
from tests.simulation.run import JOBS, failing, play, replay
from tests.simulation.seams import installed

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK = 25
MOST_SHOWN = 10


def main() -> int:
    """Do what the command line says; return the exit code."""
    arguments = _arguments()
    if arguments.planted:
        return planting.main(arguments.planted_seeds)
    if arguments.seed is not None:
        return _one(arguments.job or "road", arguments.seed, trace=arguments.trace)
    jobs = [arguments.job] if arguments.job else list(JOBS)
    return max([_many(job, range(arguments.first, arguments.first + arguments.seeds)) for job in jobs])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--job", choices=[*JOBS], help="one job; without it, all")
    parser.add_argument("--seeds", type=int, default=3_000, help="how many seeds of each job")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one seed")
    parser.add_argument("--trace", action="store_true", help="print each step")
    parser.add_argument("--planted", action="store_true", help="look for each planted bug; write the table")
    parser.add_argument("--planted-seeds", type=int, default=planting.MOST, help="seeds tried for each")
    return parser.parse_args()


def _one(job: str, seed: int, *, trace: bool) -> int:
    try:
        with installed():
            play(job, seed, print if trace else None)
    except AssertionError as failure:
        print(f"{job} {seed}: {failure}")
        return 1
    print(f"{job} {seed}: as it has to be")
    return 0


def _chunk(work: tuple[str, int, int]) -> tuple[int, list[tuple[int, str]]]:
    job, first, end = work
    return end - first, failing(job, range(first, end))


def _many(job: str, seeds: range) -> int:
    """Run seeds on all cores; print what fails and how fast it went."""
    console = Console(stderr=True)
    work = [(job, first, min(first + CHUNK, seeds.stop)) for first in range(seeds.start, seeds.stop, CHUNK)]
    failed: list[tuple[int, str]] = []
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with multiprocessing.Pool(os.cpu_count()) as pool, Progress(*columns, console=console) as bar:
        task = bar.add_task(f"{job:9}", total=len(seeds))
        for count, found in pool.imap_unordered(_chunk, work):
            failed += found
            for seed, reason in found:
                bar.console.print(f"{job} {seed}: {reason[:200]}", markup=False)
            bar.advance(task, count)
    seconds = time.monotonic() - started
    print(
        f"{job}: {len(seeds)} seeds in {seconds:.0f} s, {60 * len(seeds) / seconds:,.0f} a minute; {len(failed)} failed"
    )
    _show(job, sorted(failed))
    return 1 if failed else 0


def _show(job: str, failed: Sequence[tuple[int, str]]) -> None:
    for seed, reason in failed[:MOST_SHOWN]:
        print(f"  seed {seed}: {reason[:300]}")
        print(f"    {replay(job, seed)}")
    if len(failed) > MOST_SHOWN:
        print(
            f"  and {len(failed) - MOST_SHOWN} more: {' '.join(str(seed) for seed, _ in failed[MOST_SHOWN:])}"
        )


if __name__ == "__main__":
    sys.exit(main())
