"""How right customers are: `make bench-accuracy`. Results go to `tests/benchmarks/results/accuracy.json`.

The simulator makes events, in memory, with the rates of `IdentityNoise` as they are by default, and with all of
them times 0, 2 and 4. Who is who on the same events is answered twice: by plain connected components, where
whatever shares an identifier is one customer, and by Raccord under the shipped policy. Both are held against who
truly caused each event (`stream_app.runs.accuracy` says what is measured). Each figure is the mean over several
populations that have nothing in common; the results have each one's.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from statistics import fmean
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table

import schemas
from connectors.simulators import IdentityNoise, Simulation
from stream_app.domain.offline import who_is_who
from stream_app.domain.policy import IdentityPolicy
from stream_app.runs.accuracy import accuracy, connected_components, figures
from stream_app.runs.comparison import good_events
from tests.benchmarks import command
from tests.machine import machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

RESULTS = command.RESULTS / "accuracy.json"
FACTORS = (0.0, 1.0, 2.0, 4.0)
METHODS = ("components", "Raccord")
PRECISION, RECALL = 0.99, 0.95
"""The target at the default rates, over pairs of events."""

Figures = dict[str, Any]


def measure(factor: float, seed: int, shoppers: int, days: int) -> dict[str, Figures]:
    """Return method -> figures for one population at `factor` times the default rates."""
    simulation = Simulation(seed, shoppers=shoppers, days=days, identity_noise=IdentityNoise().times(factor))
    policy = IdentityPolicy.from_yaml(schemas.read_text("policies/identity.yaml"))
    events = good_events(simulation.records(), policy)
    identifiers = {event.event_id: event.identifiers for event in events}
    answers = (connected_components(identifiers), who_is_who(policy, events))
    person_of = simulation.truth.shopper_of
    return {
        method: figures(accuracy(person_of, answer, identifiers))
        for method, answer in zip(METHODS, answers, strict=True)
    }


def measure_all(
    console: Console, seeds: Sequence[int], shoppers: int, days: int
) -> dict[float, dict[str, list[Figures]]]:
    """Return factor -> method -> the figures of each population, in the order of the seeds."""
    found: dict[float, dict[int, dict[str, Figures]]] = defaultdict(dict)
    with ProcessPoolExecutor() as pool:
        # The loudest first: they take longest.
        tasks = {
            pool.submit(measure, factor, seed, shoppers, days): (factor, seed)
            for factor in reversed(FACTORS)
            for seed in seeds
        }
        for number, task in enumerate(as_completed(tasks), start=1):
            factor, seed = tasks[task]
            found[factor][seed] = task.result()
            console.print(f"{number} of {len(tasks)}: noise x{factor:g}, population {seed}", style="dim")
    return {
        factor: {method: [found[factor][seed][method] for seed in seeds] for method in METHODS}
        for factor in FACTORS
    }


def mean(runs: Sequence[Figures]) -> Figures:
    """Return the means of all rates; counts become sums, and the largest merge is that of all runs."""
    means: Figures = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs]
        if isinstance(value, dict):
            means[name] = mean(values)
        elif name == "largest_merge":
            means[name] = max(values)
        else:
            means[name] = sum(values) if isinstance(value, int) else round(fmean(values), 6)
    return means


def table(means: dict[float, dict[str, Figures]]) -> Table:
    """Return what a person wants to see."""
    shown = Table(
        title="Customers against the truth: precision, recall, reachable recall and F1 over pairs of events, the same "
        "by B-cubed; customers of several persons, and persons in the largest",
        title_justify="left",
    )
    shown.add_column("noise")
    shown.add_column("who is who by")
    for name in (
        "pairs P",
        "R",
        "reach.",
        "F1",
        "B-cubed P",
        "R",
        "reach.",
        "F1",
        "over-merge",
        "largest",
    ):
        shown.add_column(name, justify="right")
    for factor, methods in means.items():
        for method, found in methods.items():
            rates = [
                found[score][name]
                for score in ("pairwise", "b_cubed")
                for name in ("precision", "recall", "reachable_recall", "f1")
            ]
            label = f"x{factor:g}" if method == METHODS[0] else ""
            shown.add_row(
                label,
                method,
                *(f"{rate:.4f}" for rate in rates),
                f"{found['over_merge']:.2%}",
                f"{found['largest_merge']}",
            )
        shown.add_section()
    return shown


def main() -> None:
    """Measure, print, and write the results."""
    parser = command.parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first population")
    parser.add_argument("--populations", type=int, default=3)
    parser.add_argument("--shoppers", type=int, default=400, help="in each")
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args()
    console = command.console(140)
    seeds = range(options.seed, options.seed + options.populations)
    console.print(
        f"{len(seeds)} populations of {options.shoppers} shoppers over {options.days} days, noise x0 to x4"
    )
    runs = measure_all(console, seeds, options.shoppers, options.days)
    means = {
        factor: {method: mean(each) for method, each in methods.items()} for factor, methods in runs.items()
    }
    console.print(table(means))
    score = means[1.0]["Raccord"]["pairwise"]
    met = score["precision"] >= PRECISION and score["recall"] >= RECALL
    console.print(
        f"target at noise x1: precision at least {PRECISION}, recall at least {RECALL}: "
        f"{'met' if met else 'MISSED'} ({score['precision']:.4f}, {score['recall']:.4f})"
    )
    if not options.no_write:
        what = {"seeds": list(seeds), "shoppers": options.shoppers, "days": options.days}
        write({**what, "target": {"precision": PRECISION, "recall": RECALL, "met": met}}, runs, means)
        console.print(f"written: {RESULTS}")


def write(
    header: dict[str, Any],
    runs: dict[float, dict[str, list[Figures]]],
    means: dict[float, dict[str, Figures]],
) -> None:
    """Write the results, with what they were made from."""
    results = {
        **header,
        "rates": msgspec.to_builtins(IdentityNoise()),
        "machine": machine(),
        "noise": {
            f"x{factor:g}": {
                method: {"mean": means[factor][method], "populations": each}
                for method, each in methods.items()
            }
            for factor, methods in runs.items()
        },
    }
    command.write(RESULTS, results)


if __name__ == "__main__":
    main()
