"""`raccord rules check`: do the rules do what these cases say?"""

from __future__ import annotations

import json
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from stream_app.cli.rules_files import Folder, in_force, texts
from stream_app.errors import Exit, UserError
from stream_app.runs.rule_cases import UNRUN, FormatError, Runner, read_cases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.runs.rule_cases import Fields, Result
    from stream_app.runs.rule_expectations import Problem

CASES = ".cases.jsonl"


def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="Cases, one JSON object a line; none: those beside the rules."
        ),
    ] = None,
    rules: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Run trigger cases through the real code, in memory, and say which fail, and how. No Kafka is needed."""
    started = time.monotonic()
    cases = list(_cases(files, rules))
    runner = Runner(in_force(rules))
    results: list[tuple[str, Result]] = []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        for file, line, fields in bars.track(cases, description="cases"):
            results.append((file, runner.check(line, fields)))
    failed = [(file, result) for file, result in results if result.problems]
    figures = {
        "cases": len(results),
        "passed": len(results) - len(failed),
        "failed": len(failed),
        "seconds": round(time.monotonic() - started, 2),
    }
    if as_json:
        named = {"files": [*dict.fromkeys(file for file, _, _ in cases)]}
        failures = [_described(*one) for one in failed]
        typer.echo(json.dumps({**named, **figures, "failures": failures}, ensure_ascii=False))
    else:
        for one in failed:
            typer.echo(_line(*one))
        table = Table(*figures)
        table.add_row(*map(str, figures.values()))
        Console(highlight=False).print(table)
    if failed:
        raise typer.Exit(Exit.FAILED)


def _cases(files: list[Path] | None, rules: Path | None) -> Iterator[tuple[str, int, Fields]]:
    """Yield file, line and fields of every case.

    Raises:
        UserError: a file can't be read, isn't in the format, or there are no cases.
    """
    found = False
    for name, text in map(_read, files) if files else texts(rules, CASES):
        try:
            for line, fields in read_cases(text.splitlines()):
                found = True
                yield name, line, fields
        except FormatError as error:
            msg = f"{name}, {error}"
            raise UserError(msg) from error
    if not found:
        where = ", ".join(map(str, files)) if files else f"the files *{CASES} beside the rules"
        msg = f"there are no cases in {where}"
        raise UserError(msg)


def _read(file: Path) -> tuple[str, str]:
    if file.suffix in {".yaml", ".yml"}:
        msg = f"{file}: this takes cases (*.jsonl); for rule files: raccord rules validate"
        raise UserError(msg)
    try:
        return str(file), file.read_text("utf-8")
    except OSError as error:
        msg = f"{file} can't be read: {error.strerror}"
        raise UserError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{file} is no UTF-8 text"
        raise UserError(msg) from error


def _line(file: str, result: Result) -> str:
    problems = "; ".join(map(_told, result.problems))
    return f"FAIL {result.id} ({file}, line {result.line}): {problems}"


def _told(problem: Problem) -> str:
    if problem.what == UNRUN:
        return f"it can't be run: {problem.came_out}"
    return f"{problem.what}: expected {problem.expected}, came out {problem.came_out}"


def _described(file: str, result: Result) -> dict[str, Any]:
    return {
        "case": result.id,
        "file": file,
        "line": result.line,
        "problems": [problem._asdict() for problem in result.problems],
    }
