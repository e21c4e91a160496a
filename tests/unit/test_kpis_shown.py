"""How figures are shown: rounded once, in the currency's decimals, in 80 columns, and nothing steers the terminal."""

from __future__ import annotations

import io
from fractions import Fraction

import pytest
from rich.console import Console

from stream_app.cli.kpis_chart import drawn, drawn_overview
from stream_app.cli.kpis_overview import overview
from stream_app.cli.kpis_text import json_of, plain, rounded, shown, table_of
from stream_app.domain.numbers import Cell
from stream_app.runs.kpis import NAMES, NotAsked, Sums, figures
from tests.numbers_cells import CELLS, EURO, FIRST, OCTOBER, SECOND

SUMS = Sums(CELLS)
WIDTH = 80
NASTY = "\x1b[31m[bold]sale[/bold]\r\n" + "x" * 100


def printed(*parts: object, width: int = WIDTH, colours: bool = False) -> str:
    """Return what a console of so many columns shows; by default one that knows no colours."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        highlight=False,
        force_terminal=colours,
        color_system="truecolor" if colours else None,
    )
    for part in parts:
        console.print(part, markup=False)
    return out.getvalue()


def lines_of(*parts: object) -> list[list[str]]:
    return [line.split() for line in printed(*parts).splitlines()]


def charted(name: str, *by: str) -> str:
    return printed(*drawn(figures(name, SUMS, by), WIDTH))


@pytest.mark.parametrize(
    ("value", "unit", "currency", "text"),
    [
        (12_345_678_900, "money", "EUR", "12,345.68"),
        (5_000, "money", "EUR", "0.00"),
        (15_000, "money", "EUR", "0.02"),
        (-15_000_000, "money", "EUR", "-15.00"),
        (-4_000, "money", "EUR", "0.00"),
        (1_999_500_000, "money", "JPY", "2,000"),
        (1_234_567, "money", "KWD", "1.235"),
        (1_234_567, "money", "kwd", "1.235"),
        (1_234_567, "money", "", "1.23"),
        (Fraction(1, 3), "share", "", "33.3%"),
        (Fraction(-1, 8), "share", "", "-12.5%"),
        (3, "share", "", "300.0%"),
        (Fraction(-25, 2), "score", "", "-12.5"),
        (1_234_567, "count", "", "1,234,567"),
        (36_000_000, "time", "", "10.0 h"),
        (129_600_000, "time", "", "1.5 d"),
        (90_000, "time", "", "1.5 min"),
        (1_500, "time", "", "1.5 s"),
        (Fraction(1, 2), "time", "", "0 ms"),
        (None, "share", "", "-"),
    ],
)
def test_a_value_is_rounded_once_half_to_even(value, unit: str, currency: str, text: str) -> None:
    assert shown(value, unit, currency) == text


def test_what_is_beyond_floats_is_exact() -> None:
    assert rounded(Fraction(2**80 + 1, 1), 0) == f"{2**80 + 1:,}"
    assert shown((2**60 + 1) * 1_000_000, "money", "EUR") == f"{2**60 + 1:,}.00"


def test_json_is_exact_and_says_every_dimension() -> None:
    (line,) = (one for one in json_of(figures("conversion", SUMS)) if one["dimensions"]["device"] == "")
    assert line == {
        "name": "conversion",
        "unit": "share",
        "dimensions": {"channel": "store", "device": ""},
        "value": "3/4",
    }
    money = {one["dimensions"]["currency"]: one["value"] for one in json_of(figures("revenue", SUMS, ()))}
    assert money == {"EUR": "320000000", "JPY": "5000000000"}


def test_the_overview_says_what_the_figures_come_to() -> None:
    lines = lines_of(*overview(SUMS, WIDTH))
    for line in (
        "all 34 9 26.5% 7.7% 100.0%",
        "web 10 5 50.0% 16.7% 100.0%",
        "store 100.00 300.00 0.00 150.00 120.00 180.00",
        "all 300.00 300.00 300.00 300.00 300.00 300.00",
        "app 5,000 5,000 5,000 5,000 5,000 5,000",
        "autumn EUR 50.00 -100% 300% 100% 140% 60%",
        "spring EUR 80.00 -100% 25% -38% -25% -50%",
        "autumn message 160 20 12.5%",
        "abandoned_cart 9 1 50.0% 37.5%",
        "2026-10 8 100% 75%",
        "2026-11 5 100%",
        "2026-10 8 12.50 20.00",
        "2026-11 5 28.00",
        "2026-11 5 1,000",
        "all 7 71.4% 8 -12.5",
        "web store 2 66.7% 80.00",
        "online before store 2 80.00",
        "web 5 10.0 h 3 0 2 0 0 0",
    ):
        assert line.split() in lines, line


def test_an_overview_of_nothing_has_no_tables() -> None:
    assert [*overview(Sums({}), WIDTH), *drawn_overview(Sums({}), WIDTH)] == []


def test_long_lists_are_cut_and_say_so() -> None:
    many = {Cell("triggers_sent", FIRST, (f"rule{n:02}", "email")): n + 1 for n in range(13)}
    lines = printed(*overview(Sums(many), WIDTH)).splitlines()
    assert sum(line.startswith("rule") for line in lines[2:]) == 11  # the head, and ten
    assert "and 3 more: raccord kpis trigger_return_rate" in lines
    everything = printed(table_of(figures("triggers_sent", Sums(many))))
    assert all(f"rule{n:02}" in everything for n in range(13))


LARGE = Sums(
    {
        **{cell: amount * (1_234_567 if "EUR" in cell.dimensions else 1) for cell, amount in CELLS.items()},
        Cell("spend", FIRST, ("email", NASTY, "EUR")): 98_765_432 * EURO,
        Cell("impressions", FIRST, ("message", "email", NASTY)): 7 * 10**12,
        **{Cell("visits", FIRST - day, ("web", "phone")): 1 + day % 9 for day in range(100)},
        **{Cell("active_customers", OCTOBER - 20, (str(months),)): 100 - months for months in range(21)},
    }
)


def test_large_figures_and_long_names_fit_into_80_columns_and_no_figure_is_cut() -> None:
    narrow, wide = (printed(*overview(LARGE, width), width=width) for width in (WIDTH, 200))
    assert max(map(len, narrow.splitlines())) <= WIDTH
    rows = [line.split()[1:] for line in wide.splitlines()]
    figured = [
        line for line in narrow.splitlines() if set(line) & {*"0123456789"} and line[:2] not in ("20", "co")
    ]
    assert len(figured) > 20
    assert [line for line in figured if line.split()[1:] not in rows] == []
    assert "98,765,432" in narrow


def test_charts_of_large_figures_and_long_names_fit_too() -> None:
    lines = printed(*drawn_overview(LARGE, WIDTH)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert any(line.rstrip().endswith("370,370,100.00") for line in lines)


def test_what_producers_name_cannot_steer_the_terminal() -> None:
    assert plain(NASTY).startswith("\N{REPLACEMENT CHARACTER}[31m[bold]sale[/bold]\N{REPLACEMENT CHARACTER}")
    assert plain("") == "-"
    shown_whole = printed(table_of(figures("spend", LARGE)))
    assert "[bold]sale" in shown_whole
    assert "\x1b" not in shown_whole
    assert shown_whole.count("x") >= 100


def bars(text: str) -> dict[str, tuple[int, str]]:
    """Return label -> length of its bar in whole columns, and its value."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and set(line) & set("█▓▏▎▍▌▋▊▉"):
            found[words[0]] = (line.count("█") + line.count("▓"), words[-1])
    return found


def charts(text: str) -> dict[str, list[str]]:
    """Return title -> its lines, blanks and bars left out."""
    found: dict[str, list[str]] = {}
    for block in text.strip().split("\n\n"):
        title, *lines = block.splitlines()
        found[title] = [
            " ".join(line.translate({ord(one): " " for one in "█▓▏▎▍▌▋▊▉"}).split()) for line in lines
        ]
    return found


def test_the_overview_draws_what_the_tables_have() -> None:
    found = charts(printed(*drawn_overview(SUMS, WIDTH)))
    assert found["conversion by channel"] == ["store 75.0%", "web 50.0%", "app 5.0%"]
    assert found["conversion by device"] == ["desktop 100.0%", "- 75.0%", "phone 7.7%"]
    assert found["trigger return rate by rule"] == ["abandoned_cart 50.0%", "win_back 0.0%"]
    assert found["trigger purchase rate by rule"] == ["abandoned_cart 37.5%", "win_back 0.0%"]
    assert found["assisted orders by assisting channel and channel"] == ["web / store 2", "store / web 1"]
    assert found["cross channel orders by direction"] == ["online_before_store 2", "store_before_online 1"]


def test_bars_are_as_long_as_their_values() -> None:
    found = bars(charted("conversion", "channel"))
    assert [*found] == ["store", "web", "app"]
    longest = found["store"][0]
    assert longest > WIDTH // 2
    assert found["web"] == (longest * 2 // 3, "50.0%")
    assert found["app"] == (longest // 15, "5.0%")


def test_bars_below_0_are_to_the_left_of_those_above() -> None:
    values = figures("roi", SUMS, ["campaign"])
    linear = values._replace(rows={group: one for group, one in values.rows.items() if group[1] == "linear"})
    above, below = (line for line in printed(*drawn(linear, WIDTH)).splitlines() if "%" in line)
    assert above.startswith("autumn")
    assert above.index("█") == below.index("▓") + below.count("▓")
    assert round(above.count("█") / below.count("▓"), 1) == pytest.approx(8 / 3, abs=0.2)


def test_days_are_columns_and_the_highest_is_full() -> None:
    cells = {
        Cell("visits", SECOND - 6 + day, ("web", "phone")): count
        for day, count in ((0, 1), (1, 8), (2, 4), (6, 8))
    }
    (line,) = (
        line
        for line in printed(*drawn(figures("visits", Sums(cells), ["day"]), WIDTH)).splitlines()
        if "█" in line
    )
    assert line.split("all ")[1].rstrip() == "▂█▅   █      0       8"
    assert "visits by day, 2026-11-23 to 2026-11-29" in printed(
        *drawn(figures("visits", Sums(cells), ["day"]), WIDTH)
    )


def test_more_days_than_columns_are_the_latest_ones() -> None:
    text = printed(*drawn(figures("visits", LARGE, ["day"]), WIDTH))
    assert "visits by day, 2026-10-03 to 2026-11-29" in text
    assert WIDTH - 10 < max(map(len, text.splitlines())) <= WIDTH


def test_what_was_before_all_columns_has_a_line_without_any() -> None:
    cells = {Cell("visits", SECOND - day, ("web", "phone")): 5 for day in range(120)}
    cells[Cell("visits", SECOND - 119, ("call_center", ""))] = 3
    text = printed(*drawn(figures("visits", Sums(cells), ["day", "channel"]), WIDTH))
    (line,) = (line for line in text.splitlines() if line.startswith("call_center"))
    assert line.split() == ["call_center", "0", "3"]


def test_a_heat_table_is_the_darker_the_more() -> None:
    cells = {
        Cell("active_customers", OCTOBER, ("0",)): 8,
        **{
            Cell("active_customers", OCTOBER, (str(months),)): active
            for months, active in ((1, 4), (2, 2), (4, 3))
        },
    }
    (line,) = (
        line
        for line in printed(*drawn_overview(Sums(cells), WIDTH)).splitlines()
        if line.startswith("2026-10")
    )
    assert line.split() == ["2026-10", "100%█", "50%█", "25%▒", "0%", "38%▓"]
    assert "\x1b[" in printed(*drawn_overview(Sums(cells), WIDTH), colours=True)


def test_each_currency_and_each_model_has_its_own_chart() -> None:
    titles = [line for line in charted("attributed_revenue", "channel").splitlines() if "revenue" in line]
    assert titles[:2] == [
        "attributed revenue, last touch, EUR by channel",
        "attributed revenue, first touch, EUR by channel",
    ]
    assert len(titles) == 10


@pytest.mark.parametrize("name", NAMES)
def test_every_number_and_ratio_can_be_shown_as_a_table(name: str) -> None:
    found = figures(name, SUMS)
    assert len(printed(table_of(found)).splitlines()) >= len(found.rows) + 3


def test_a_chart_has_one_time() -> None:
    with pytest.raises(NotAsked, match="over days or over months, not both"):
        charted("visits", "day", "month")
