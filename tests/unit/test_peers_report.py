"""The page of the comparison: what was measured, what was wrong, and no ratio that hides it."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.peers.report import page

MACHINE = {
    "date": "2026-11-28", "cores": 2, "system": "Linux", "note": "shared", "kafka": "4.3.1", "python": "3.11",
    "librdkafka": "2.16", "native_part": True,
    "processor": "a processor", "load_average": [0.5, 1.0, 2.0],
}  # fmt: skip


def run(lanes: int, rate: int) -> dict[str, Any]:
    return {
        "lanes": lanes, "events_per_second": rate, "all_runs": [rate], "cpu_s_per_million": 1.0,
        "broker_cpu_s_per_million": 1.0, "peak_memory_mib": 1,
    }  # fmt: skip


def results(theirs: dict[str, Any], recovery: dict[str, Any] | None = None) -> dict[str, Any]:
    ours = {"throughput": [run(1, 100), run(2, 300)], "wrong": []}
    systems = {
        "Raccord": {"version": "", "jobs": {"basket": ours}},
        "Theirs": {"version": "9.9", "jobs": {"basket": theirs}},
    }
    return {
        "machine": MACHINE, "java": "Java", "partitions": 4, "seed": 1, "systems": systems, "recovery": recovery or {},
    }  # fmt: skip


def test_ratios_are_told_lane_for_lane_and_at_the_best_of_each():
    text = page(results({"throughput": [run(1, 50), run(2, 75)], "wrong": []}))
    assert "Raccord, with one lane: 2.00 x Theirs; each at its best: 4.00 x Theirs." in text


def test_a_run_with_a_wrong_output_has_no_figures_and_stands_below_its_table():
    text = page(results({"throughput": [run(1, 50)], "wrong": [{"lanes": 2, "what": "3 are missing"}]}))
    assert "Theirs, 2 lanes, put out something else: 3 are missing." in text
    assert text.count("| Theirs | 2 |") == 0
    assert text.count("| Theirs | 1 |") == 1


def test_a_system_with_nothing_but_wrong_outputs_is_compared_with_nobody():
    text = page(results({"throughput": [], "wrong": [{"lanes": 1, "what": "3 are missing"}]}))
    assert "put out something else" in text
    assert " x Theirs" not in text


def test_a_system_that_comes_back_wrong_is_named():
    text = page(
        results({"throughput": [run(1, 50)], "wrong": []}, {"Theirs": {"keys": 10, "wrong": "counts"}})
    )
    assert "| Theirs | 10 | wrong: counts |  |" in text
