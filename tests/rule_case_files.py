"""The trigger cases of this repository: those of the rules that ship, and those of the rule language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

Case = dict[str, Any]

ROOT = Path(__file__).parent.parent
LANGUAGE = ROOT / "tests" / "rule_cases"
SHIPPED = ROOT / "schemas" / "rules"


def case_files() -> list[Path]:
    """List the files, those of the language first."""
    return [*sorted(LANGUAGE.glob("*.jsonl")), *sorted(SHIPPED.glob("*.cases.jsonl"))]


def cases(path: Path) -> list[Case]:
    """Read a file of cases."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def all_cases() -> list[tuple[str, Case]]:
    """Read all cases, each with a name of its own: file and id."""
    return [(f"{path.stem}/{case['id']}", case) for path in case_files() for case in cases(path)]


def shipped_rules() -> dict[str, dict[str, Any]]:
    """Read the rules that ship, as data."""
    read = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(SHIPPED.glob("*.yaml"))]
    return {rule["name"]: rule for rule in read}
