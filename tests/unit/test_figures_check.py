"""Published figures beside the books: what differs is named in a sentence, with both amounts."""

from __future__ import annotations

from collections import Counter

import pytest

from stream_app.cli.demo_figures import reported, shown_figures, verdict
from stream_app.domain.numbers import MODELS, Cell
from stream_app.runs.audit import Books
from stream_app.runs.figures_check import Checked, check
from stream_app.runs.kpis import Sums
from stream_app.runs.takings import Takings
from tests.numbers_cells import CELLS, EURO, FIRST
from tests.unit.test_kpis_shown import NASTY, WIDTH, lines_of, printed


def books() -> Books:
    """Return books that say of orders and triggers what `CELLS` says."""
    takings = Takings(
        orders=Counter(web=5, app=1, store=3),
        revenue=Counter(
            {("web", "EUR"): 200 * EURO, ("store", "EUR"): 120 * EURO, ("app", "JPY"): 5000 * EURO}
        ),
        refunded=Counter({("store", "EUR"): 20 * EURO, ("web", "EUR"): 0}),
    )
    return Books(
        fired=Counter(abandoned_cart=9, win_back=2, birthday=0),
        retracted=Counter(abandoned_cart=1),
        takings=takings,
    )


def test_equal_figures_are_counted_and_nothing_is_said() -> None:
    # 2 rules sent, 1 took back, 3 channels with orders, 3 with revenue, 1 with a refund, 5 models in 2 currencies.
    assert check(Sums(CELLS), books()) == Checked(2 + 1 + 3 + 3 + 1 + 5 * 2, [])


@pytest.mark.parametrize(
    ("cell", "difference", "said"),
    [
        (
            Cell("triggers_sent", FIRST, ("abandoned_cart", "email")),
            -1,
            ["triggers_sent of abandoned_cart: published 8, by the books 9"],
        ),
        (
            Cell("triggers_taken_back", FIRST, ("win_back", "sms")),
            1,
            ["triggers_taken_back of win_back: published 1, by the books 0"],
        ),
        (Cell("orders", FIRST, ("web", "phone")), 1, ["orders of web: published 6, by the books 5"]),
        (
            Cell("revenue", FIRST, ("web", "phone", "EUR")),
            1,
            ["revenue of web / EUR: published 200.000001, by the books 200"],
        ),
        (
            Cell("refunded", FIRST, ("call_center", "", "EUR")),
            7 * EURO,
            ["refunded of call_center / EUR: published 7, by the books 0"],
        ),
        (
            Cell("attributed_revenue", FIRST, ("linear", "web", "", "EUR")),
            -1,
            ["attributed_revenue of linear / EUR: published 299.999999, by the books 300"],
        ),
    ],
)
def test_a_figure_that_is_off_by_one_is_named(cell: Cell, difference: int, said: list[str]) -> None:
    cells = {**CELLS, cell: CELLS.get(cell, 0) + difference}
    assert check(Sums(cells), books()).differences == said


def test_a_stage_that_published_nothing_is_found() -> None:
    checked = check(Sums({}), books())
    assert len(checked.differences) == checked.compared == 20
    lines = [*verdict(checked)]
    assert lines[0] == "figures: 20 of 20 differ from what the audit counted in the topics:"
    assert "  orders of store: published 0, by the books 3" in lines


def test_the_tables_say_what_the_figures_come_to() -> None:
    lines = lines_of(*shown_figures(Sums(CELLS)))
    for line in (
        "web 10 5 50.0% 0.00 0",
        "app 20 1 5.0% 0.00 5,000",
        "store 4 3 75.0% 300.00 0",
        "all 34 9 26.5% 300.00 5,000",
        "autumn EUR 50.00 -100% 300% 100% 140% 60%",
        "abandoned_cart 9 1 50.0% 37.5%",
        "win_back 2 0 0.0% 0.0%",
    ):
        assert line.split() in lines, line


def test_the_tables_fit_on_a_screen_whatever_rules_are_called() -> None:
    cells = {
        **CELLS,
        **{Cell("triggers_sent", FIRST, (f"{NASTY}{n}", "email")): 10_000 + n for n in range(30)},
        **{Cell("visits", FIRST, (f"channel{n}", "phone")): 1_234_567 for n in range(10)},
        Cell("attributed_revenue", FIRST, (MODELS[0], "web", "", "EUR")): 98_765_432 * EURO,
    }
    lines = printed(*shown_figures(Sums(cells))).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) <= 40
    assert "\x1b" not in "".join(lines)
    assert lines[-1].startswith("and 24 more rules")


def test_nothing_has_no_tables_but_is_reported() -> None:
    sums = Sums({})
    assert [*shown_figures(sums)] == []
    assert reported(sums, Checked(0, [])) == {"compared": 0, "differences": [], "published": []}


def test_the_report_has_the_figures_as_the_command_for_programs_says_them() -> None:
    found = reported(Sums(CELLS), check(Sums(CELLS), books()))
    assert found["compared"] == 20
    assert {
        "name": "conversion",
        "unit": "share",
        "dimensions": {"channel": "store"},
        "value": "3/4",
    } in found["published"]
    assert {
        "name": "attributed_revenue",
        "unit": "money",
        "dimensions": {"channel": "store", "model": "last_touch", "currency": "EUR"},
        "value": "300000000",
    } in found["published"]
