"""What `raccord kpis` works out of figures: all values here are worked out by hand from tests/numbers_cells.py."""

from __future__ import annotations

from fractions import Fraction

import pytest

from stream_app.domain.numbers import BY_NAME, NUMBERS, RATIOS, Cell
from stream_app.runs.kpis import NAMES, NotAsked, Sums, dimensions, earned, figures, known, triangles
from tests.numbers_cells import CELLS, CREDITED, EURO, FIRST, HOUR, OCTOBER, SECOND

SUMS = Sums(CELLS)


def rows(name: str, *by: str) -> dict[tuple[str, ...], int | Fraction]:
    return figures(name, SUMS, by).rows


def test_sums_are_over_days_and_whatever_is_not_asked_for() -> None:
    assert rows("visits", "channel") == {("app",): 20, ("store",): 4, ("web",): 10}
    assert rows("visits") == {(): 34}
    assert figures("visits", SUMS).rows == {
        ("app", "phone"): 20,
        ("store", ""): 4,
        ("web", "desktop"): 4,
        ("web", "phone"): 6,
    }


def test_days_and_months_are_dimensions_of_sums_and_ratios() -> None:
    assert rows("visits", "day") == {("2026-11-28",): 4, ("2026-11-29",): 30}
    assert rows("visits", "month", "device") == {
        ("2026-11", ""): 4,
        ("2026-11", "desktop"): 4,
        ("2026-11", "phone"): 26,
    }
    assert rows("conversion", "channel", "day") == {
        ("app", "2026-11-29"): Fraction(1, 20),
        ("store", "2026-11-29"): Fraction(3, 4),
        ("web", "2026-11-28"): Fraction(1, 4),
        ("web", "2026-11-29"): Fraction(4, 6),
    }


def test_currencies_and_models_are_never_added_up() -> None:
    found = figures("revenue", SUMS, ())
    assert (found.by, found.unit) == (("currency",), "money")
    assert found.rows == {("EUR",): 320 * EURO, ("JPY",): 5000 * EURO}
    credited = figures("attributed_revenue", SUMS, ["campaign"])
    assert credited.by == ("campaign", "model", "currency")
    assert sum(credited.rows.values()) == 5 * 300 * EURO + 5 * 5000 * EURO
    assert credited.rows["autumn", "time_decay", "EUR"] == CREDITED["time_decay"][0] * EURO
    assert figures("roi", SUMS, ()).by == ("model", "currency")


def test_models_delays_and_months_are_in_their_own_order() -> None:
    models = [group[0] for group in figures("attributed_revenue", SUMS, ["model"]).rows]
    assert [*dict.fromkeys(models)] == [*CREDITED]
    assert [group[0] for group in rows("purchase_delays", "up_to")] == ["1h", "3d"]
    twelve = {Cell("active_customers", OCTOBER, (str(months),)): 1 for months in (11, 2, 0)}
    assert [group[1] for group in figures("active_customers", Sums(twelve)).rows] == ["0", "2", "11"]


def test_ratios_are_exact() -> None:
    assert rows("conversion", "channel") == {
        ("app",): Fraction(1, 20),
        ("store",): Fraction(3, 4),
        ("web",): Fraction(1, 2),
    }
    assert rows("conversion") == {(): Fraction(9, 34)}
    assert rows("ctr", "campaign") == {("autumn",): Fraction(1, 8), ("spring",): Fraction(1, 50)}
    assert rows("trigger_return_rate", "rule") == {("abandoned_cart",): Fraction(1, 2), ("win_back",): 0}
    assert rows("trigger_purchase_rate", "rule")["abandoned_cart",] == Fraction(3, 8)
    assert rows("csat") == {(): Fraction(5, 7)}
    assert rows("nps") == {(): Fraction(-25, 2)}
    assert rows("time_to_purchase", "channel") == {("web",): 10 * HOUR}
    assert rows("assisted_share", "channel", "assisting_channel") == {
        ("store", "web"): Fraction(2, 3),
        ("web", "store"): Fraction(1, 5),
    }


def test_the_roi_of_a_campaign_is_worked_out_for_each_model() -> None:
    found = rows("roi", "campaign")
    expected = {
        ("autumn", "last_touch"): -1,
        ("autumn", "first_touch"): 3,
        ("autumn", "linear"): 1,
        ("autumn", "position_based"): Fraction(7, 5),
        ("autumn", "time_decay"): Fraction(3, 5),
        ("spring", "last_touch"): -1,
        ("spring", "first_touch"): Fraction(1, 4),
        ("spring", "linear"): Fraction(-3, 8),
        ("spring", "position_based"): Fraction(-1, 4),
        ("spring", "time_decay"): Fraction(-1, 2),
    }
    assert {group[:2]: value for group, value in found.items()} == expected
    assert {group[2] for group in found} == {"EUR"}


def test_revenue_less_refunds_is_that_of_the_orders_channels() -> None:
    assert earned(SUMS) == {
        ("web", "EUR"): 200 * EURO,
        ("store", "EUR"): 100 * EURO,
        ("app", "JPY"): 5000 * EURO,
    }


def test_a_cohort_is_worth_what_its_customers_paid_so_far() -> None:
    assert figures("retention", SUMS).rows == {
        ("2026-10", "0"): 1,
        ("2026-10", "1"): Fraction(3, 4),
        ("2026-11", "0"): 1,
    }
    assert figures("lifetime_value", SUMS).rows == {
        ("2026-10", "0", "EUR"): Fraction(25, 2) * EURO,
        ("2026-10", "1", "EUR"): 20 * EURO,
        ("2026-11", "0", "EUR"): 28 * EURO,
        ("2026-11", "0", "JPY"): 1000 * EURO,
    }


def test_a_triangle_goes_up_to_now_with_0_where_nobody_came_and_the_same_value_where_nobody_bought() -> None:
    cells = {
        Cell("active_customers", OCTOBER - 2, ("0",)): 4,
        Cell("active_customers", OCTOBER - 2, ("3",)): 1,
        Cell("active_customers", OCTOBER, ("0",)): 2,
        Cell("active_customers", OCTOBER, ("1",)): 2,
        Cell("customer_value", OCTOBER - 2, ("1", "EUR")): 8,
        Cell("customer_value", OCTOBER - 2, ("3", "EUR")): 4,
    }
    kept, worth = triangles(Sums(cells))
    assert kept.rows == {"2026-08": [1, 0, 0, Fraction(1, 4)], "2026-10": [1, 1]}
    assert (worth.currency, worth.rows) == ("EUR", {"2026-08": [0, 2, 2, 3]})
    assert triangles(Sums({})) == []


def test_a_cohort_of_nobody_has_no_retention() -> None:
    """Something was refunded to a customer who was never on a visit."""
    cells = {
        Cell("customer_value", OCTOBER - 1, ("0", "EUR")): -4,
        Cell("active_customers", OCTOBER, ("0",)): 2,
    }
    (kept,) = triangles(Sums(cells))
    assert kept.rows == {"2026-10": [1]}


def test_days_are_chosen_with_both_ends_and_cohorts_by_the_months_of_these_days() -> None:
    assert figures("visits", SUMS.within(SECOND, None), ()).rows == {(): 30}
    assert figures("visits", SUMS.within(None, FIRST), ()).rows == {(): 4}
    assert figures("visits", SUMS.within(FIRST, SECOND), ()).rows == {(): 34}
    assert SUMS.within(SECOND + 1, None).of(*BY_NAME).keys() == {
        cell for cell in CELLS if cell.window == OCTOBER + 1
    }
    cohorts = figures("retention", SUMS.within(FIRST, None)).rows
    assert {cohort for cohort, _ in cohorts} == {"2026-11"}
    assert (SUMS.days(), Sums({}).days()) == ((FIRST, SECOND), None)
    assert SUMS.within(SECOND, None).days() == (SECOND, SECOND)
    assert SUMS.within(None, None).of(*BY_NAME) == CELLS


def test_what_there_is_not_is_said_with_what_there_is() -> None:
    with pytest.raises(NotAsked, match=r"'conversoin', did you mean conversion\?"):
        known("conversoin")
    with pytest.raises(NotAsked, match=r"'xyz': `raccord kpis --list`"):
        known("xyz")
    with pytest.raises(NotAsked, match="visits is not by campaign: it can be by channel, device, day, month"):
        figures("visits", Sums({}), ["campaign"])
    with pytest.raises(NotAsked, match="retention is not by day: it can be by cohort, months_since"):
        figures("retention", Sums({}), ["day"])


@pytest.mark.parametrize("name", NAMES)
def test_every_number_and_ratio_has_figures_and_can_be_asked_for_by_each_of_its_dimensions(name: str) -> None:
    assert figures(name, SUMS).rows
    for one in dimensions(name):
        assert figures(name, SUMS, [one]).rows


def test_there_is_nothing_of_nothing() -> None:
    assert {one.name for one in (*NUMBERS, *RATIOS)} == {*NAMES}
    assert all(figures(name, Sums({})).rows == {} for name in NAMES)
