"""What an event costs as customers, partitions and workers grow, and a plan from it: `make bench-scale`.

Three parts, each on a Kafka and a deployment of its own for each size (`bed`); the events are `load`'s:
- customers: the same events over 10,000 to 5,000,000 customers, by which the state becomes larger than the memory that
  it is given. At one size the worker's data are deleted, and come back from the changelogs;
- partitions: the same events in 4, 16 and 64 partitions of each topic; and latency, live, at a modest rate;
- workers: the same events by 1, 2 and 4 workers of one process.

Results go to `tests/benchmarks/results/scale.json`, after each size; the page `docs/scale.md` is written from them,
with the plan of a large deployment (`planning`). `--plan events_s=5000 customers=1e6` prints another plan, and measures
nothing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from stream_app.runs.show import Show
from stream_app.settings import Settings
from tests.benchmarks import command, pipeline
from tests.benchmarks.scale import bed, report
from tests.benchmarks.scale.planning import Assumptions, Targets, plan
from tests.machine import with_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"customers": "customers", "partitions": "partitions", "workers": "workers"}
"""A part's name -> what its runs differ in."""


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--only", nargs="+", choices=report.PARTS, default=report.PARTS)
    found.add_argument("--customers", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 5_000_000])
    found.add_argument(
        "--restore-at", type=int, default=1_000_000, help="customers; or the next smaller size"
    )
    found.add_argument("--partitions", type=int, nargs="+", default=[4, 16, 64])
    found.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    found.add_argument(
        "--events", type=int, default=100_000, help="to measure, beside a fifth more to warm up"
    )
    found.add_argument("--processes", type=int, default=1, help="of the worker, in customers and partitions")
    found.add_argument("--cache-mib", type=int, default=Settings.model_fields["cache_mib"].default)
    found.add_argument("--small", type=int, default=10_000, help="customers, in partitions and workers")
    found.add_argument("--worker-partitions", type=int, default=16, help="in workers")
    found.add_argument("--rate", type=int, default=500, help="events/s at which latency is measured")
    found.add_argument(
        "--seconds", type=int, default=10, help="of latency, after 20 of warm-up; 0: leave it out"
    )
    found.add_argument("--add", action="store_true", help="keep the results of other sizes and parts")
    found.add_argument("--results", type=Path, default=report.RESULTS)
    found.add_argument("--page", type=Path, default=report.PAGE)
    found.add_argument("--plan", nargs="*", metavar="NAME=VALUE", help="print a plan, measure nothing")
    return found


def measured(options: argparse.Namespace, show: Show) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (part, figures) one after the other."""
    restore_at = max((size for size in options.customers if size <= options.restore_at), default=None)
    common = {"events": options.events, "cache_mib": options.cache_mib}
    if "customers" in options.only:
        for size in options.customers:
            case = bed.Case(size, processes=options.processes, restore=size == restore_at, **common)
            yield "customers", bed.measure(case, show)
    if "partitions" in options.only:
        for count in options.partitions:
            case = bed.Case(options.small, partitions=count, processes=options.processes, **common)
            found = bed.measure(case, show)
            if options.seconds:
                with bed.broker(show):
                    found["latency"] = pipeline.latency(show, options.rate, options.seconds, partitions=count)
            yield "partitions", found
    if "workers" in options.only:
        for count in options.workers:
            case = bed.Case(options.small, partitions=options.worker_partitions, workers=count, **common)
            yield "workers", bed.measure(case, show)


def added(results: dict[str, Any], part: str, found: dict[str, Any]) -> None:
    """Put a run into its part, in the place of one of the same size."""
    key = KEYS[part]
    runs = [run for run in results.get(part, []) if run[key] != found[key]]
    results[part] = sorted([*runs, found], key=lambda run: int(run[key]))


def planned(changes: list[str], results: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a plan needs: with targets, assumptions or measured figures changed as they say (`name=value`)."""
    base = report.measured_of(results)
    if base is None:
        raise SystemExit("the results have no restore: measure the part `customers` first")
    given = {name: float(value) for name, _, value in (change.partition("=") for change in changes)}
    parts: list[Any] = [base, Targets(), Assumptions()]
    known = {one.name for part in parts for one in fields(part)}
    if wrong := sorted(set(given) - known):
        raise SystemExit(f"{', '.join(wrong)}: not known; these are: {', '.join(sorted(known))}")
    parts = [
        replace(part, **{one.name: given[one.name] for one in fields(part) if one.name in given})
        for part in parts
    ]
    found = plan(*parts)
    for one in fields(found):
        value = getattr(found, one.name)
        yield one.name, value if isinstance(value, str) else f"{value:,.0f}"
    yield "dollars", f"{found.dollars:,.0f}"


def main() -> None:
    """Run what the arguments ask for, print it, and write the results and the page."""
    options = parser().parse_args()
    show, console = Show(), Console(highlight=False)
    before = json.loads(options.results.read_text()) if options.results.exists() else {}
    if options.plan is not None:
        for name, value in planned(options.plan, before):
            console.print(f"{name:24} {value:>24}")
        return
    results = {
        **(before if options.add else {}),
        "machine": with_broker("rocksdict"),
        "cache_mib": options.cache_mib,
    }
    for part, found in measured(options, show):
        added(results, part, found)
        command.write(options.results, results)
        report.write_page(results, options.page)
        console.print(part, found)
    console.print(f"written: {options.results} and {options.page}")


if __name__ == "__main__":
    main()
