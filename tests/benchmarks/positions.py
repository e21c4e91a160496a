"""What it costs to ask which stores are near: `make bench-positions`.

Results go to `tests/benchmarks/results/positions.json`.

The 3,199 stores are real: public lists of IKEA's shops and of Walmart's openings from 1962 to 2006, which are not part
of this repository. The folder with both is named by GEO_DATA (`FILES` says which files and columns).

The positions are drawn, from a seed: half of them anywhere on the globe, half at 10 m to 50 km from a store. At each
radius every position's answer is held against brute force: numpy's chord to each store, then the exact distance for
what may be within. Exit code 1 if one differs.

Process time for each call of `StoreIndex.within`, where a store is near and where none is, as median of ten parts with
the least and the most; and what a table of a resolution takes to make.
"""

from __future__ import annotations

import csv
import gc
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from stream_app.domain.places import StoreIndex, distance_m, read_store
from stream_app.domain.places.nearby import EARTH_RADIUS
from tests.benchmarks import command, figures
from tests.machine import machine

GEO = Path(os.environ.get("GEO_DATA") or Path(__file__).parents[3] / "shared" / "data" / "geo")
FILES = {
    "ikea_stores.csv": ("latitude", "longitude"),
    "walmart_store_openings_1962_2006.csv": ("LAT", "LON"),
}
RESULTS = command.RESULTS / "positions.json"
RADII = (200, 1_000, 10_000)
PARTS = 10
BATCH = 1_000
"""Positions whose distances to all stores are in memory at once: 26 MB."""
MARGIN = 1.0
"""Metres further out than the largest radius that brute force looks at exactly."""
SEED = 11
EXIT_DIFFERENT, EXIT_MISSING = 1, 3
GROUPS = ("none near", "some near")

Found = list[tuple[str, float]]


class Part(NamedTuple):
    """What one part's positions gave: (radius, group) -> seconds and calls; and how many answers were wrong."""

    seconds: dict[tuple[int, str], float]
    calls: dict[tuple[int, str], int]
    different: int
    largest_error_m: float
    """Between our distance and numpy's, by another formula."""


def real_positions() -> np.ndarray:
    """Return (latitude, longitude) of the real stores."""
    found = []
    for name, columns in FILES.items():
        with (GEO / name).open(encoding="utf-8") as file:
            found += [tuple(float(row[column]) for column in columns) for row in csv.DictReader(file)]
    return np.array(found)


def drawn(count: int, stores: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Draw positions: half of them anywhere, half near a store, in a random order."""
    near = count // 2
    anywhere = np.column_stack(
        (
            np.degrees(np.arcsin(draw.uniform(-1, 1, count - near))),
            draw.uniform(-180, 180, count - near),
        )
    )
    chosen = stores[draw.integers(len(stores), size=near)]
    way, turn = 10 ** draw.uniform(1, np.log10(50_000), near) / EARTH_RADIUS, draw.uniform(0, 2 * np.pi, near)
    north = np.degrees(way * np.cos(turn))
    east = np.degrees(way * np.sin(turn)) / np.cos(np.radians(chosen[:, 0]))
    return draw.permutation(np.vstack((anywhere, chosen + np.column_stack((north, east)))))


def units(positions: np.ndarray) -> np.ndarray:
    """Return positions as points on a sphere of radius 1."""
    latitude, longitude = np.radians(positions).T
    return np.column_stack(
        (np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude))
    )


def brute_force(positions: np.ndarray, stores: np.ndarray, points: np.ndarray) -> tuple[list[Found], float]:
    """Return each position's stores within the largest radius, nearest first, and the largest error of a distance."""
    here = units(positions)
    close = 2 - 2 * np.cos((max(RADII) + MARGIN) / EARTH_RADIUS)
    rows, columns = np.nonzero(2 - 2 * (here @ points.T) <= close)
    chords = np.linalg.norm(here[rows] - points[columns], axis=1)
    others = 2 * EARTH_RADIUS * np.arcsin(chords / 2)
    found: list[Found] = [[] for _ in positions]
    error = 0.0
    for row, column, other in zip(rows.tolist(), columns.tolist(), others.tolist(), strict=True):
        away = distance_m(*positions[row].tolist(), *stores[column].tolist())
        error = max(error, abs(away - other))
        found[row].append((str(column), away))
    for one in found:
        one.sort(key=lambda pair: (pair[1], pair[0]))
    return found, error


def measure(
    index: StoreIndex, positions: np.ndarray, stores: np.ndarray, progress: Progress, task: Any
) -> Part:
    """Ask for the stores near each position of a part, at each radius, and compare."""
    points = units(stores)
    keys = [(radius, group) for radius in RADII for group in GROUPS]
    part = Part(dict.fromkeys(keys, 0.0), dict.fromkeys(keys, 0), 0, 0.0)
    for start in range(0, len(positions), BATCH):
        batch = positions[start : start + BATCH]
        near, error = brute_force(batch, stores, points)
        asked = batch.tolist()
        wrong = 0
        for radius in RADII:
            expected = [[pair for pair in one if pair[1] <= radius] for one in near]
            for group in GROUPS:
                chosen = [n for n, one in enumerate(expected) if bool(one) == (group == "some near")]
                places = [asked[n] for n in chosen]
                began = time.process_time()
                answers = [index.within(latitude, longitude, radius) for latitude, longitude in places]
                part.seconds[radius, group] += time.process_time() - began
                part.calls[radius, group] += len(places)
                wrong += sum(expected[n] != answer for n, answer in zip(chosen, answers, strict=True))
        part = part._replace(
            different=part.different + wrong, largest_error_m=max(part.largest_error_m, error)
        )
        progress.advance(task, len(batch))
    return part


def made(stores: np.ndarray) -> dict[str, Any]:
    """Return what it takes to make the tables of the radii."""
    found = {}
    for radius in RADII:
        index = index_of(stores)
        began = time.process_time()
        index.within(0.0, 0.0, radius)
        found[str(radius)] = round(1000 * (time.process_time() - began), 1)
    return {"ms_by_radius": found}


def index_of(stores: np.ndarray) -> StoreIndex:
    """Return an index of the stores."""
    rows = ({"id": n, "latitude": one[0], "longitude": one[1]} for n, one in enumerate(stores.tolist()))
    return StoreIndex(map(read_store, rows))


def summary(parts: list[Part]) -> dict[str, Any]:
    """Return the figures of all parts."""
    by_radius = {}
    for radius in RADII:
        groups = {}
        for group in GROUPS:
            key = (radius, group)
            costs = [1e6 * part.seconds[key] / part.calls[key] for part in parts if part.calls[key]]
            groups[group.replace(" ", "_")] = {
                "positions": sum(part.calls[key] for part in parts),
                "us_per_position": figures.of(costs, 2) if costs else None,
            }
        by_radius[str(radius)] = groups
    return {
        "different_from_brute_force": sum(part.different for part in parts),
        "largest_error_of_a_distance_m": max(part.largest_error_m for part in parts),
        "by_radius_m": by_radius,
    }


def table(found: dict[str, Any]) -> Table:
    """Return the figures as a person wants to see them."""
    shown = Table(
        "radius, m", *(f"{group}: positions, us each" for group in GROUPS), title="Stores near a position"
    )
    for radius, groups in found["by_radius_m"].items():
        cells = [
            f"{one['positions']:,}: {figures.shown(one['us_per_position']) if one['us_per_position'] else '-'}"
            for one in groups.values()
        ]
        shown.add_row(f"{int(radius):,}", *cells)
    return shown


def main() -> int:
    """Measure, compare, print, and write the results."""
    parser = command.parser(__doc__)
    parser.add_argument("--positions", type=int, default=1_000_000)
    options = parser.parse_args()
    if not GEO.exists():
        print(
            f"positions: third-party data is not there: {GEO}; name a folder with {' and '.join(FILES)} in GEO_DATA",
            file=sys.stderr,
        )
        return EXIT_MISSING
    console = command.console(120)
    gc.set_threshold(100_000, 50, 100)  # as a worker does
    on = machine("h3", "numpy")
    stores = real_positions()
    positions = drawn(options.positions, stores, np.random.default_rng(SEED))
    index, tables = index_of(stores), made(stores)
    for radius in RADII:
        index.within(0.0, 0.0, radius)
    columns = (
        TextColumn("positions"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(positions))
        parts = [measure(index, part, stores, progress, task) for part in np.array_split(positions, PARTS)]
    found = summary(parts)
    console.print(table(found))
    console.print(
        f"{found['different_from_brute_force']} answers of {len(RADII) * len(positions):,} differ from brute force"
    )
    if not options.no_write:
        result = {
            "machine": on,
            "stores": len(stores),
            "positions": len(positions),
            "seed": SEED,
            "tables": tables,
        }
        command.write(RESULTS, {**result, **found})
        console.print(f"written: {RESULTS}")
    return EXIT_DIFFERENT if found["different_from_brute_force"] else 0


if __name__ == "__main__":
    sys.exit(main())
