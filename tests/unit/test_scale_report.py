"""The page about scale says what was measured, and what wasn't."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from stream_app.app import topics_of
from stream_app.settings import Settings
from tests.benchmarks import words
from tests.benchmarks.scale import __main__ as command
from tests.benchmarks.scale import plan_page, report

MACHINE = {
    "date": "2026-11-28", "cores": 2, "system": "Linux x86_64", "python": "3.11.7", "kafka": "4.3.1",
    "librdkafka": "2.16.0", "native_part": True, "note": "shared",
    "processor": "a processor", "load_average": [0.5, 1.0, 2.0],
}  # fmt: skip
RESTORED = {
    "rows": 11_000, "seconds": 2.0, "rows_per_second": 5_500, "changelog_mb_per_second": 12.5, "cpu_us_per_row": 3.0,
    "partitions": 4,
}  # fmt: skip


def run(customers: int = 1_000, **more: Any) -> dict[str, Any]:
    return {
        "customers": customers, "events": 10_000, "partitions": 4, "workers": 1, "processes": 1,
        "loaded": {
            "seconds": 1.0, "events_per_second": 1_111, "worker_cpu_us": 99.0, "broker_cpu_us": 44.0,
            "peak_memory_bytes": 200 << 20, "state_bytes": customers * 1_000,
            "topic_bytes": {
                "channels": 1, "internal": 2, "outputs": 3,
                "profiles": customers * 300, "changelogs": customers * 1_200,
            },
        },
        "seconds": 2.0, "events_per_second": 5_000, "worker_cpu_us": 120.0,
        "worker_cpu_us_by_thread": {"main": 100.0, "clients": 15.0, "rocksdb": 0.0, "other": 5.0},
        "broker_cpu_us": 60.0, "cache_misses_per_event": 1.5, "disk_read_bytes_per_event": 0.0,
        "peak_memory_bytes": 300 << 20,
        "bytes_per_event": {
            "channels": 80.0, "internal": 280.0, "outputs": 100.0, "profiles": 60.0, "changelogs": 400.0,
        },
        "rows_per_event": 3.5, "epochs": 12, "commit_ms": 70.0, "share_of_records": [1.0], "tasks": [52],
        "state_bytes": customers * 1_000 + 12_000 * 350,
        **more,
    }  # fmt: skip


def results() -> dict[str, Any]:
    return {
        "machine": MACHINE,
        "cache_mib": 128,
        "customers": [run(1_000, restored=RESTORED), run(1_000_000)],
        "partitions": [
            run(partitions=4, latency={"events_per_second": 500, "p50_ms": 321, "p99_ms": 432}),
            run(partitions=16, epochs=10, worker_cpu_us=152.0, broker_cpu_us=70.0),
        ],
        "workers": [run(workers=2, share_of_records=[0.49, 0.51], tasks=[52, 52])],
    }


TAKEOVER = {
    "takeover": [
        {
            "standby_replicas": 1, "customers": 1_000_000, "longest_wait_s": 3.21, "served_again_after_kill_s": 3.0,
            "session_timeout_s": 2.0,
        }
    ]
}  # fmt: skip


def test_a_whole_run_has_every_part_and_the_plan():
    page = report.page(results(), TAKEOVER)
    for title in ("Customers", "Partitions", "Workers", "Recovery", "A plan"):
        assert f"\n## {title}\n" in page
    assert "Not measured" not in page
    assert "From 1,000,000 customers on the state is larger than that." in page
    assert "| 4 | **5,000** |" in page
    assert "| 500 | 321 | 432 |" in page
    assert "| 52, 52 | 49%, 51% |" in page
    assert "3.21 s" in page


@pytest.mark.parametrize("part", report.PARTS)
def test_a_part_that_was_not_run_is_left_out_and_said(part):
    found = results()
    del found[part]
    page = report.page(found)
    assert f"\n## {part.capitalize()}\n" not in page
    assert f"Not measured in this run, and left out: {part}." in page


def test_without_a_restore_there_is_no_plan_and_the_page_says_why():
    found = results()
    del found["customers"][0]["restored"]
    page = report.page(found)
    assert "No plan:" in page
    assert "Not measured in this run: how fast state comes back" in page
    assert "### What it needs" not in page


def test_a_state_within_the_cache_is_no_basis_for_a_plan_and_the_page_says_so():
    found = results()
    found["customers"] = found["customers"][:1]
    page = report.page(found)
    assert "The state never became larger than that" in page
    assert "A trial: the largest size is 1,000 customers" in page
    assert "A trial" not in report.page(results())


def test_the_plan_rests_on_the_largest_size_and_the_largest_restore():
    found = results()
    found["customers"].insert(1, run(10_000, restored={**RESTORED, "changelog_mb_per_second": 20.0}))
    found["customers"][-1]["worker_cpu_us"] = 222.0
    measured = report.measured_of(found, TAKEOVER)
    assert measured is not None
    assert measured.worker_cpu_us == 222.0
    assert measured.restore_bytes_s == 20e6
    assert measured.state_per_customer == 1_000
    assert measured.state_per_event == 350  # over the warm-up's events too, which stay in the state
    assert measured.tables_per_state == pytest.approx(1.5)
    assert measured.table_bytes == 460
    assert measured.process_memory == 300 << 20
    assert measured.takeover_s == 3.21


def test_what_an_epoch_costs_is_what_more_partitions_cost_for_the_same_events():
    measured = report.measured_of(results())
    assert measured is not None
    # 12 topics: 16 x 10 epochs instead of 4 x 12 write to 1,344 partitions more, and 10,000 events cost 32 us more each
    assert measured.worker_touch_us == pytest.approx(320_000 / 1_344)
    assert measured.broker_touch_us == pytest.approx(100_000 / 1_344)


def test_with_one_number_of_partitions_epochs_cost_nothing_and_the_page_says_that_this_was_not_measured():
    found = results()
    assert "is taken for nothing" not in report.page(found)
    found["partitions"].pop()
    assert "is taken for nothing" in report.page(found)


def test_every_measured_figure_target_and_assumption_is_on_the_page():
    page = report.page(results(), TAKEOVER)
    for titles in (plan_page.MEASURED, plan_page.TARGETS, plan_page.ASSUMED):
        assert all(f"| {title} |" in page for title in titles.values())


def test_figures_are_shown_in_units_that_people_read():
    assert [words.size(one) for one in (999, 1_500, 2.5e12, 1.3e15)] == [
        "999 B",
        "1.5 kB",
        "2.5 TB",
        "1.3 PB",
    ]
    assert [words.duration(one) for one in (5, 300, 7_300, 200_000)] == ["5 s", "5.0 min", "2.0 h", "2.3 d"]
    assert [words.dollars(one) for one in (1_234.5, 123_456)] == ["$1,234", "$123,000"]


def test_a_run_of_the_same_size_takes_the_place_of_the_former():
    found = results()
    command.added(found, "customers", run(1_000, events_per_second=7))
    command.added(found, "customers", run(50_000))
    assert [(one["customers"], one["events_per_second"]) for one in found["customers"]] == [
        (1_000, 7),
        (50_000, 5_000),
        (1_000_000, 5_000),
    ]


def test_another_plan_takes_targets_assumptions_and_measured_figures_and_nothing_else():
    def cores(*changes: str) -> float:
        return float(dict(command.planned([*changes], results()))["worker_cores"].replace(",", ""))

    without = ("worker_touch_us=0",)
    assert cores("events_s=2e6", *without) == pytest.approx(10 * cores("events_s=2e5", *without), rel=0.02)
    assert cores("utilisation=0.3", *without) == pytest.approx(2 * cores(*without), rel=0.02)
    with pytest.raises(SystemExit, match="worker_cpu: not known"):
        cores("worker_cpu=1")


def test_every_topic_is_of_one_kind():
    settings = Settings(bootstrap_servers="none:9", _env_file=None)
    topics = topics_of(settings)
    sizes = {spec.name: 2**place for place, spec in enumerate(topics.specs(settings))}
    kinds = command.bed.by_kind(topics, sizes)
    assert sum(kinds.values()) == 2 ** len(sizes) - 1  # each once
    more = copy.deepcopy(sizes) | {"somebody else's": 1}
    assert command.bed.by_kind(topics, more) == kinds
