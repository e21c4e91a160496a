"""`make chaos`: things go wrong for some minutes, and the oracle says whether anything has come of it.

    python -m tests.chaos [--seed N] [--minutes M] [--faults kill,freeze,...]
    python -m tests.chaos --brokers 3
    python -m tests.chaos --soak 30

A seed that fails is printed with the command that replays its schedule; the exit code is then 1. A schedule is the same
for the same seed, minutes and faults; what the processes do meanwhile is not, so a replay may need several tries.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.chaos import results, soak
from tests.chaos.faults.every import ALL, FAULTS, OF_A_CLUSTER
from tests.chaos.run import PER_SECOND, Plan, Report, run, seed_of_the_day
from tests.chaos.show import progress_line

if TYPE_CHECKING:
    from collections.abc import Mapping

console = Console()


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    given = _arguments()
    if given.soak is not None:
        return soak.main(given.soak, given.seed or 1, console)
    seed = seed_of_the_day() if given.seed is None else given.seed
    names = tuple(given.faults.split(",")) if given.faults else ()
    known = FAULTS if given.brokers == 1 else OF_A_CLUSTER
    unknown = set(names) - known.keys()
    if unknown:
        console.print(f"there is no fault {', '.join(sorted(unknown))} here; there are {', '.join(known)}")
        return 2
    plan = Plan(seed, 60 * given.minutes, names, given.keep, given.rate, brokers=given.brokers)
    console.print(f"seed {seed}, {given.minutes:g} minutes, faults: {', '.join(plan.names)}")
    with progress_line(console) as tell:
        report = run(plan, tell)
    _show(report)
    if not given.no_results:
        results.write("chaos" if given.brokers == 1 else "cluster", _result(plan, report))
    if report.wrong:
        again = f"python -m tests.chaos --seed {seed} --minutes {given.minutes:g}"
        again += f" --faults {','.join(names)}" if names else ""
        again += f" --brokers {given.brokers}" if given.brokers != 1 else ""
        console.print(f"[red]{len(report.wrong)} findings[/]; again: {again}")
        return 1
    console.print("[green]nothing was lost, doubled or put in the wrong place[/]")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="of everything that is drawn; by default a new one")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long things go wrong")
    parser.add_argument("--faults", help="only these, with commas")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="3: a cluster that loses one")
    parser.add_argument("--rate", type=float, default=PER_SECOND, help="shoppers for each second")
    parser.add_argument("--keep", type=Path, help="a folder in which to leave logs, state and schedule")
    parser.add_argument("--no-results", action="store_true", help="write no file of results")
    parser.add_argument(
        "--soak", type=float, metavar="MINUTES", help="steady load, few faults, memory and disk watched"
    )
    return parser.parse_args()


def _show(report: Report) -> None:
    table = Table("fault", "survived", "what it is")
    for name, fault in ALL.items():
        if name in report.survived:
            table.add_row(name, str(report.survived[name]), fault.what)
        elif name in report.left_out:
            table.add_row(name, "-", f"left out: {report.left_out[name]}")
    console.print(table)
    ledger = Table(*report.ledger, title="read = applied + duplicate + dead-lettered + dropped by policy")
    ledger.add_row(*(f"{count:,}" for count in report.ledger.values()))
    console.print(ledger)
    console.print(f"dead letters: {_counted(report.dead_letters)}")
    console.print(f"restarts by exit code: {_counted(report.restarts)}")
    console.print(f"what the faults did: {_counted(report.figures['bites'])}")
    compared = {name: count for name, count in report.figures.items() if isinstance(count, int)}
    console.print(f"compared: {_counted(compared)}")
    for line in report.wrong:
        console.print(f"[red]{line}[/]", highlight=False)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _result(plan: Plan, report: Report) -> dict[str, object]:
    return {
        "seed": plan.seed,
        "minutes": plan.seconds / 60,
        "found_wrong": report.wrong,
        "survived": {name: report.survived[name] for name in ALL if name in report.survived},
        "left_out": report.left_out,
        "ledger": report.ledger,
        "dead_letters": report.dead_letters,
        "restarts_by_exit_code": report.restarts,
        "figures": report.figures,
    }


if __name__ == "__main__":
    sys.exit(main())
