"""The numbers on the metrics page: sums over all windows, by real labels, and never more series than stated."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from stream_app import metrics
from stream_app.agents.numbers_metrics import (
    MAX_CAMPAIGNS,
    MAX_FOLDED,
    MAX_NAMED,
    MAX_SERIES,
    Campaigns,
    NumbersMetrics,
    Series,
)
from stream_app.domain.numbers import BY_NAME, MODELS, NUMBERS, Cell
from tests.numbers_cells import CELLS, EURO, FIRST, HOUR, OCTOBER, SECOND

Page = dict[tuple[str, ...], float]


class Pages:
    """Gauges like those of a worker, on a page of their own."""

    def __init__(self, campaigns: int = MAX_CAMPAIGNS, counted: int = MAX_FOLDED, **bounds: int) -> None:
        self.registry = CollectorRegistry()
        self.folded = Gauge("folded", "it", registry=self.registry)
        self.campaigns = Campaigns(self.folded, campaigns, counted)
        self.series = {
            name: Series(
                name,
                Gauge(f"n_{name}", "it", gauge._labelnames, registry=self.registry),
                self.campaigns,
                **bounds,
            )
            for name, gauge in metrics.NUMBERS.items()
        }

    def task(self) -> NumbersMetrics:
        return NumbersMetrics(self.series, self.campaigns)

    def campaigns_of(self, name: str) -> set[str]:
        place = metrics.NUMBERS[name]._labelnames.index("campaign")
        return {labels[place] for labels in self.of(name)}

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
    pages.task().load(CELLS.items())
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
    task = pages.task()
    cell = Cell("revenue", FIRST, ("web", "phone", "EUR"))
    task.change(cell, 12_345_678)
    task.change(Cell("revenue", SECOND, ("web", "phone", "EUR")), EURO)
    assert pages.of("revenue") == {("web", "phone", "EUR"): 13.345678}
    task.change(cell, -12_345_678)
    assert pages.of("revenue") == {("web", "phone", "EUR"): 1}


def test_small_changes_of_a_large_sum_do_not_get_lost() -> None:
    pages = Pages()
    task = pages.task()
    cell = Cell("visits", FIRST, ("web", "phone"))
    task.change(cell, 2**60)
    for _ in range(1000):
        task.change(cell, 1)
    task.change(cell, -(2**60))
    assert pages.of("visits") == {("web", "phone"): 1000}


def test_tasks_add_up_and_one_that_goes_takes_its_own_with_it() -> None:
    pages = Pages()
    tasks = [pages.task() for _ in range(2)]
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
    task = pages.task()
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


def autumn_of_campaigns(many: int) -> dict[Cell, int]:
    """Return what campaigns come to, one a day: each costs 100 euros and brings 150, on two channels."""
    cells = {}
    for number in range(many):
        name, day = f"c{number:03}", FIRST - many + number
        cells[Cell("spend", day, ("email", name, "EUR"))] = 100 * EURO
        cells[Cell("impressions", day, ("message", "email", name))] = 1000
        cells[Cell("clicks", day, ("message", "email", name))] = 20
        for model in MODELS:
            cells[Cell("attributed_revenue", day, (model, "email", name, "EUR"))] = 100 * EURO
            cells[Cell("attributed_revenue", day, (model, "web", name, "EUR"))] = 50 * EURO
    return cells


WITH_CAMPAIGNS = ("spend", "attributed_revenue", "impressions", "clicks")


def returns(pages: Pages) -> dict[tuple[str, str], float]:
    """Return the return on investment by campaign and model, as the dashboard works it out."""
    spent, revenue = pages.of("spend"), pages.of("attributed_revenue")
    campaigns = {campaign for _, campaign, _ in spent}
    return {
        (campaign, model): sum(
            amount for (m, _, c, _), amount in revenue.items() if (m, c) == (model, campaign)
        )
        / sum(amount for (_, c, _), amount in spent.items() if c == campaign)
        - 1
        for campaign in campaigns
        for model in MODELS
    }


@pytest.mark.parametrize("loaded", [True, False], ids=["at a start", "as they come"])
def test_the_same_campaigns_have_their_names_in_all_numbers_and_returns_are_right(loaded: bool) -> None:
    pages, cells = Pages(), autumn_of_campaigns(200)
    task = pages.task()
    if loaded:
        task.load(cells.items())
    else:
        for cell, amount in cells.items():
            task.change(cell, amount)
    named = pages.campaigns_of("spend")
    assert len(named) == MAX_CAMPAIGNS + 1
    assert [pages.campaigns_of(name) for name in WITH_CAMPAIGNS] == [named] * len(WITH_CAMPAIGNS)
    found = returns(pages)
    assert {one for one, _ in found} == named
    assert [*found.values()] == pytest.approx([0.5] * len(found))
    assert pages.folded.collect()[0].samples[0].value == 100


def test_at_a_start_the_latest_campaigns_have_their_names_whatever_order_the_rows_come_in() -> None:
    cells = [*autumn_of_campaigns(200).items()]
    pages, others = Pages(), Pages()
    pages.task().load(cells)
    others.task().load(cells[::-1])
    assert pages.campaigns_of("spend") == others.campaigns_of("spend")
    dropped = {f"c{number:03}" for number in range(200)} - pages.campaigns_of("spend")
    assert max(dropped) < "c120"  # within 30 days they are equally late


def test_processes_that_have_other_figures_of_the_same_campaigns_name_the_same() -> None:
    cells = [*autumn_of_campaigns(200).items()]
    # The first has what was spent, the other what it brought, some days later.
    spent = [(cell, amount) for cell, amount in cells if cell.number == "spend"]
    brought = [
        (cell._replace(window=(cell.window // 30) * 30 + 29), amount)
        for cell, amount in cells
        if cell.number == "attributed_revenue"
    ]
    pages, others = Pages(), Pages()
    pages.task().load(spent)
    others.task().load(brought)
    assert pages.campaigns_of("spend") == others.campaigns_of("attributed_revenue")


def test_no_campaign_takes_no_room_and_one_that_is_known_keeps_its_name() -> None:
    pages = Pages(campaigns=1)
    task = pages.task()
    for name in ("", "a", "b", "", "a", "b", "c"):
        task.change(Cell("spend", FIRST, ("email", name, "EUR")), EURO)
    assert pages.of("spend") == {
        ("email", "", "EUR"): 2,
        ("email", "a", "EUR"): 2,
        ("email", "other", "EUR"): 3,
    }
    task.close()
    pages.task().change(Cell("spend", FIRST, ("email", "a", "EUR")), EURO)
    assert pages.of("spend")["email", "a", "EUR"] == 1


def test_names_without_end_are_counted_up_to_a_bound() -> None:
    pages = Pages(campaigns=1, counted=3)
    task = pages.task()
    for number in range(20):
        task.change(Cell("clicks", FIRST, ("message", "email", f"made up {number}")), 1)
    assert pages.of("clicks") == {("message", "email", "made up 0"): 1, ("message", "email", "other"): 19}
    assert pages.folded.collect()[0].samples[0].value == 3


def test_a_cell_stays_in_its_series_whatever_goes() -> None:
    pages = Pages(named=1, most=3)
    first, second = pages.task(), pages.task()
    first.change(Cell("spend", FIRST, ("email", "a", "EUR")), EURO)
    second.change(Cell("spend", FIRST, ("email", "b", "EUR")), 5 * EURO)
    first.close()
    second.change(Cell("spend", FIRST, ("email", "b", "EUR")), -5 * EURO)
    assert pages.of("spend") == {("email", "a", "EUR"): 0, ("email", "other", "EUR"): 0}


def test_at_a_start_the_latest_have_series_of_their_own() -> None:
    pages = Pages(named=2, most=4)
    cells = {Cell("active_customers", OCTOBER - age, ("0",)): age for age in range(1, 9)}
    pages.task().load(cells.items())
    assert pages.of("active_customers") == {("2026-09", "0"): 1, ("2026-08", "0"): 2, ("other", "other"): 33}


def test_the_page_states_the_bounds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "numbers.md").read_text()
    assert f"at most {MAX_SERIES} series on a page ({len(MODELS) * MAX_SERIES:,} if it has models)" in page
    assert f"what comes when there are {MAX_NAMED} ({len(MODELS) * MAX_NAMED:,}) is `other`" in page
    assert f"{MAX_CAMPAIGNS} campaigns keep their names" in page
    assert f"up to {MAX_FOLDED:,}" in page


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_no_number_has_more_series_than_stated_whatever_comes(number) -> None:
    pages = Pages()
    task = pages.task()
    room = len(MODELS) if "model" in number.dimensions else 1
    many = 2 * room * MAX_SERIES
    for place in range(many):
        task.change(Cell(number.name, place, tuple(f"{place}-{one}" for one in number.dimensions)), 1_000_000)
    found = pages.of(number.name)
    assert room * MAX_NAMED < len(found) <= room * MAX_SERIES
    assert sum(found.values()) == pytest.approx(many * (1 if number.unit == "money" else 1_000_000))
