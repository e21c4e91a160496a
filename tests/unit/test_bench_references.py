"""The benchmark of reference data, tiny: it runs, and counts what comes out as it ought to. No time is asserted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import references

TINY = argparse.Namespace(customers=40, products=600, changes=60, hot=12, others=4, epochs=6, shops=20)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return references.with_customers(TINY, lambda _: None)


def test_what_changes_concern_is_told_to_whom_they_concern_and_others_do_not_wait(found: dict[str, Any]):
    assert references.wrong(found) == []
    assert found["changes"]["sent"] > 0
    assert found["waiting"]["concerned"] == 12
    assert found["waiting"]["others_events"] == 24


def test_a_message_too_few_and_events_that_waited_are_told(found: dict[str, Any]):
    changes = found["changes"] | {"sent": found["changes"]["sent"] - 1}
    waiting = found["waiting"] | {"epochs_that_others_events_waited": None}
    assert len(references.wrong({"changes": changes, "waiting": waiting})) == 2


def test_stock_said_by_all_shops_and_turned_is_measured(tmp_path: Path):
    found = references.stock(tmp_path / "stock", TINY, lambda _: None)
    assert (found["products"], found["shops"]) == (600, 20)
    assert found["bytes_of_a_product_said_once"] > 0
    assert found["bytes_of_a_product_said_once"] < found["bytes_of_a_product_with_a_tenth_turned"]


def test_it_runs_from_the_command_line_and_leaves_the_results_alone(monkeypatch: pytest.MonkeyPatch):
    options = [f"--{name}={value}" for name, value in vars(TINY).items()]
    monkeypatch.setattr("sys.argv", ["references", *options, "--no-write"])
    monkeypatch.setattr(references, "RESULTS", Path("/nowhere"))
    assert references.main() == 0
