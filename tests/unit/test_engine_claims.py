"""Every claim of the engine names tests, and every test that it names is there; `ENGINE_CLAIMS.md` is the table."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "ENGINE_CLAIMS.md"
ROW = re.compile(r"^\| (?P<claim>.+?) \| (?P<tests>.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(?P<path>[^`:]+)::(?P<name>[^`]+)`")
HEADING = "Claim"
FILES = [*(ROOT / "tests").rglob("test_engine*.py")]


def claims(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (claim, [(file, test)]) for each row of the table."""
    rows = [(row["claim"], TEST.findall(row["tests"])) for row in ROW.finditer(text)]
    return [(claim, tests) for claim, tests in rows if claim != HEADING]


@cache
def named_in(path: str) -> frozenset[str]:
    """Return the names of a file's tests; of a file that isn't there, none."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    body = ast.parse(file.read_text()).body
    names = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return frozenset(name for name in names if name.startswith("test_"))


def missing(text: str) -> list[str]:
    """Return the tests that are named and not there."""
    named = [test for _, tests in claims(text) for test in tests]
    return [f"{path}::{name}" for path, name in named if name not in named_in(path)]


def test_every_test_that_a_claim_names_is_there():
    assert missing(TABLE.read_text()) == []


def test_every_claim_is_made_once_and_names_a_test():
    found = claims(TABLE.read_text())
    assert len(found) > 50
    assert [claim for claim, tests in found if not tests] == []
    assert len({claim for claim, _ in found}) == len(found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_of_tests_of_the_engine_shows_a_claim(file):
    if file.name != Path(__file__).name:
        path = str(file.relative_to(ROOT))
        assert path in {where for _, tests in claims(TABLE.read_text()) for where, _ in tests}


@pytest.mark.parametrize(
    "row",
    [
        "| A claim | `tests/unit/test_engine_claims.py::test_that_there_is_not` |",
        "| A claim | `tests/unit/test_engine_no_such_file.py::test_something` |",
        "| A claim | `tests/unit/test_engine_claims.py::claims` |",
    ],
)
def test_a_row_that_names_a_test_that_is_not_there_is_noticed(row):
    assert len(missing(row)) == 1
