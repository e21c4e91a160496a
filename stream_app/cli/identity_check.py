"""`raccord identity check`: do these cases come out as expected?"""

from __future__ import annotations

import json
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stream_app.errors import Exit, UserError
from stream_app.runs.identity_cases import FormatError, read_cases, run_case

if TYPE_CHECKING:
    from stream_app.runs.identity_cases import Case, Failure, Result


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Cases, one JSON object a line.")],
    permutations: Annotated[
        int, typer.Option(min=0, help="Other orders of arrival to try, for each case that isn't ordered.")
    ] = 24,
    seed: Annotated[int, typer.Option(help="Chooses the other orders.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Run identity cases through the real code, in memory, and say which fail, and how. No Kafka is needed."""
    started = time.monotonic()
    results = [run_case(case, permutations, seed) for case in _cases(file)]
    seconds = time.monotonic() - started
    failed = [result for result in results if result.failures]
    if as_json:
        summary = {
            "file": str(file),
            "permutations": permutations,
            "seed": seed,
            **_figures(results, seconds),
        }
        typer.echo(json.dumps(summary | {"failures": list(map(_described, failed))}, ensure_ascii=False))
    else:
        for result in failed:
            typer.echo(_line(result))
        _table(_figures(results, seconds))
    if failed:
        raise typer.Exit(Exit.FAILED)


def _cases(file: Path) -> list[Case]:
    """Read a file of cases.

    Raises:
        UserError: there is none, or it isn't in the format.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            cases = list(read_cases(lines))
    except OSError as error:
        msg = f"{file} can't be read: {error.strerror}"
        raise UserError(msg) from error
    except FormatError as error:
        msg = f"{file}, {error}"
        raise UserError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{file} is no UTF-8 text"
        raise UserError(msg) from error
    if not cases:
        msg = f"{file} has no cases in it"
        raise UserError(msg)
    return cases


def _figures(results: list[Result], seconds: float) -> dict[str, Any]:
    failed = sum(bool(result.failures) for result in results)
    return {
        "cases": len(results),
        "passed": len(results) - failed,
        "failed": failed,
        "orders": sum(result.orders for result in results),
        "seconds": round(seconds, 2),
    }


def _line(result: Result) -> str:
    """Return a failing case as a line: its first failure; the order of arrival; how many more there are."""
    failure = result.failures[0]
    problems = "; ".join(
        f"{when}: expected {expected}, came out {came_out}" for when, expected, came_out in failure.problems
    )
    order = f"; in this order: {' '.join(failure.order)}{_which(failure)}" if failure.order else ""
    others = f"; fails in {len(result.failures)} of {result.orders} orders" if result.orders > 1 else ""
    return f"FAIL {result.id} (line {result.line}): {problems}{order}{others}"


def _which(failure: Failure) -> str:
    return " (as given)" if failure.given else " (not as given)"


def _described(result: Result) -> dict[str, Any]:
    return {
        "case": result.id,
        "line": result.line,
        "orders": result.orders,
        "orders_failed": len(result.failures),
        "failures": [
            {
                "order": failure.order,
                "as_given": failure.given,
                "problems": [problem._asdict() for problem in failure.problems],
            }
            for failure in result.failures
        ],
    }


def _table(figures: dict[str, Any]) -> None:
    table = Table(*figures)
    table.add_row(*map(str, figures.values()))
    Console(highlight=False).print(table)
