"""What rules cost: `make bench-rules`. Results go to `tests/benchmarks/results/rules.json`.

Three measurements, each described where it is made:
- rules: what an event costs the customer stage with 0, 1, 10 and 50 rules in force (`rule_counts`);
- timers: what a million pending timers cost (`pending_timers`); a broker is started for their changelog, unless
  KAFKA_BOOTSTRAP_SERVERS names one;
- folding: what a late event into a long timeline costs (`late_events`).

Process time, so that other processes matter less, but for restarts and for the way back from a changelog, which are
as long as they take. Each figure is the median of several runs, or epochs, with the least and the most.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

from tests.benchmarks import command, late_events, pending_timers, rule_counts
from tests.machine import with_broker

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from rich.table import Table

RESULTS = command.RESULTS / "rules.json"
PARTS = ("rules", "timers", "folding")
WIDTH = 180


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    found = command.parser(__doc__)
    found.add_argument("--only", choices=PARTS)
    found.add_argument("--runs", type=int, default=5)
    found.add_argument("--rules", type=int, nargs="+", default=(0, 1, 10, 50), help="how many are in force")
    found.add_argument("--shoppers", type=int, default=500)
    found.add_argument("--days", type=int, default=3)
    found.add_argument("--timers", type=int, default=1_000_000, help="how many are pending")
    found.add_argument("--epochs", type=int, default=100, help="in which timers are set, cancelled and fired")
    found.add_argument("--rows", type=int, default=10_000, help="of the timeline")
    found.add_argument(
        "--behind", type=int, nargs="+", default=(1, 100, 1_000, 9_000), help="rows after a late event"
    )
    return found


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of what the options ask for."""
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "rules": lambda: rule_counts.measure(
            options.rules, options.shoppers, options.days, options.runs, say
        ),
        "timers": lambda: pending_timers.measure(options.timers, options.epochs, options.runs, servers, say),
        "folding": lambda: late_events.measure(options.rows, options.behind, options.runs, say),
    }
    return {name: part() for name, part in parts.items() if options.only in (None, name)}


def tables(found: dict[str, Any]) -> list[Table]:
    """Return what a person wants to see of the figures."""
    of = {"rules": rule_counts.table, "timers": pending_timers.table, "folding": late_events.table}
    return [of[name](part) for name, part in found.items()]


def main() -> None:
    """Run what the arguments ask for, print it, and write the results."""
    options = parser().parse_args()
    console = command.console(WIDTH)
    gc.set_threshold(100_000, 50, 100)  # as a worker does
    on = with_broker("rocksdict")
    found = measure(options, lambda line: console.print(line, style="dim"))
    for one in tables(found):
        console.print(one)
    if options.only is None and not options.no_write:
        command.write(RESULTS, {"machine": on, **found})
        console.print(f"written: {RESULTS}")


if __name__ == "__main__":
    main()
