"""The numbers on the metrics page: sums over all windows, by real labels, and never more series than stated."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from stream_app import metrics
from stream_app.agents.numbers_metrics import MAX_NAMED, MAX_SERIES, NumbersMetrics, Series
from stream_app.domain.numbers import BY_NAME, NUMBERS, Cell
from tests.numbers_cells import CELLS, EURO, FIRST, HOUR, OCTOBER, SECOND

Page = dict[tuple[str, ...], float]


class Pages:
    """Gauges like those of a worker, on a page of their own."""

    def __init__(self, **bounds: int) -> None:
        self.registry = CollectorRegistry()
        self.series = {
            name: Series(name, Gauge(f"n_{name}", "it", gauge._labelnames, registry=self.registry), **bounds)
            for name, gauge in metrics.NUMBERS.items()
        }

    def of(self, name: str) -> Page:
        order = metrics.NUMBERS[name]._labelnames
        found = {}
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name == f"n_{name}":
                    found[tuple(sample.labels[label] for label in order)] = sample.value
        return found


def test_gauges_have_the_dimensions_as_labels_and_cohorts_theirs() -> None:
    assert metrics.NUMBERS.keys() == BY_NAME.keys()
    assert metrics.NUMBERS["revenue"]._labelnames == ("channel", "device", "currency")
    assert metrics.NUMBERS["active_customers"]._labelnames == ("cohort", "months_since")
    assert all(gauge._name == f"raccord_numbers_{name}" for name, gauge in metrics.NUMBERS.items())


def test_windows_are_added_up_and_cohorts_are_apart() -> None:
    pages = Pages()
    NumbersMetrics(pages.series).load(CELLS.items())
    assert pages.of("visits") == {
        ("web", "phone"): 6,
        ("web", "desktop"): 4,
        ("app", "phone"): 20,
        ("store", ""): 4,
    }
    assert pages.of("impressions")["message", "email", "autumn"] == 160
    assert pages.of("revenue")["web", "desktop", "EUR"] == 150
    assert pages.of("purchase_delay_ms") == {("web",): 50 * HOUR}
    assert pages.of("active_customers") == {("2026-10", "0"): 8, ("2026-10", "1"): 6, ("2026-11", "0"): 5}


def test_changes_are_added_and_what_was_taken_back_is_0() -> None:
    pages = Pages()
    task = NumbersMetrics(pages.series)
    cell = Cell("revenue", FIRST, ("web", "phone", "EUR"))
    task.change(cell, 12_345_678)
    task.change(Cell("revenue", SECOND, ("web", "phone", "EUR")), EURO)
    assert pages.of("revenue") == {("web", "phone", "EUR"): 13.345678}
    task.change(cell, -12_345_678)
    assert pages.of("revenue") == {("web", "phone", "EUR"): 1}


def test_small_changes_of_a_large_sum_do_not_get_lost() -> None:
    pages = Pages()
    task = NumbersMetrics(pages.series)
    cell = Cell("visits", FIRST, ("web", "phone"))
    task.change(cell, 2**60)
    for _ in range(1000):
        task.change(cell, 1)
    task.change(cell, -(2**60))
    assert pages.of("visits") == {("web", "phone"): 1000}


def test_tasks_add_up_and_one_that_goes_takes_its_own_with_it() -> None:
    pages = Pages()
    tasks = [NumbersMetrics(pages.series) for _ in range(2)]
    cell = Cell("visits", FIRST, ("web", "phone"))
    for amount, task in enumerate(tasks, 3):
        task.change(cell, amount)
    assert pages.of("visits") == {("web", "phone"): 7}
    tasks[0].close()
    assert pages.of("visits") == {("web", "phone"): 4}
    tasks[0].close()
    assert pages.of("visits") == {("web", "phone"): 4}


def test_beyond_the_bound_campaigns_are_other_and_then_everything_is() -> None:
    pages = Pages(named=3, most=6)
    task = NumbersMetrics(pages.series)
    for number in range(20):
        task.change(Cell("spend", FIRST, ("email", f"c{number}", "EUR")), EURO)
    assert pages.of("spend") == {
        **{("email", f"c{number}", "EUR"): 1 for number in range(3)},
        ("email", "other", "EUR"): 17,
    }
    for number in range(20):
        task.change(Cell("spend", FIRST, (f"channel{number}", "c0", "EUR")), EURO)
    found = pages.of("spend")
    assert len(found) == 6
    assert found["other", "other", "other"] == 19
    assert sum(found.values()) == 40
    task.close()
    assert {*pages.of("spend").values()} == {0}


def test_a_cell_stays_in_its_series_whatever_goes() -> None:
    pages = Pages(named=1, most=3)
    first, second = NumbersMetrics(pages.series), NumbersMetrics(pages.series)
    first.change(Cell("spend", FIRST, ("email", "a", "EUR")), EURO)
    second.change(Cell("spend", FIRST, ("email", "b", "EUR")), 5 * EURO)
    first.close()
    second.change(Cell("spend", FIRST, ("email", "b", "EUR")), -5 * EURO)
    assert pages.of("spend") == {("email", "a", "EUR"): 0, ("email", "other", "EUR"): 0}


def test_at_a_start_the_latest_have_series_of_their_own() -> None:
    pages = Pages(named=2, most=4)
    cells = {Cell("active_customers", OCTOBER - age, ("0",)): age for age in range(1, 9)}
    NumbersMetrics(pages.series).load(cells.items())
    assert pages.of("active_customers") == {("2026-09", "0"): 1, ("2026-08", "0"): 2, ("other", "other"): 33}


def test_the_page_states_the_bounds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "numbers.md").read_text()
    assert f"at most {MAX_SERIES} series on a page: what comes when there are {MAX_NAMED} is `other`" in page


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_no_number_has_more_series_than_stated_whatever_comes(number) -> None:
    pages = Pages()
    task = NumbersMetrics(pages.series)
    for place in range(2 * MAX_SERIES):
        task.change(Cell(number.name, place, tuple(f"{place}-{one}" for one in number.dimensions)), 1_000_000)
    found = pages.of(number.name)
    assert MAX_NAMED < len(found) <= MAX_SERIES
    assert sum(found.values()) == pytest.approx(2 * MAX_SERIES * (1 if number.unit == "money" else 1_000_000))
