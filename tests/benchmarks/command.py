"""What all benchmarks have in common as commands: how they are asked, and where they write what they found."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping

RESULTS = Path(__file__).parent / "results"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return what reads the arguments, with `--no-write`; `description`: a module's docstring, shown as it stands."""
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument(
        "--no-write", action="store_true", help="leave the results in the repository as they are"
    )
    return found


def console(width: int) -> Console:
    """Return where a benchmark prints: as wide as the terminal is, or of a width where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else width)


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Write results for people and machines to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
