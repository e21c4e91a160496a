"""`raccord kpis`: mistakes get one line that says what there is, before anything is read."""

from __future__ import annotations

import pytest

from stream_app import cli
from stream_app.domain.numbers import NUMBERS, RATIOS
from stream_app.errors import Exit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["conversoin"],
            "there is no number or ratio 'conversoin', did you mean conversion? `raccord kpis --list`",
        ),
        (
            ["visits", "--by", "campaign"],
            "visits is not by campaign: it can be by channel, device, day, month",
        ),
        (["--by", "colour"], "no number is by colour; there are channel, device, day, month, currency,"),
        (["--by", "device,campaign"], "no number is by device, campaign; there are"),
        (["--since", "2026-02-30"], "--since '2026-02-30' is no day: write it as YYYY-MM-DD"),
        (["--until", "yesterday"], "--until 'yesterday' is no day: write it as YYYY-MM-DD"),
        (
            ["--since", "2026-02-02", "--until", "2026-02-01"],
            "--since 2026-02-02 is after --until 2026-02-01",
        ),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert cli.run(["kpis", *arguments]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"raccord: {said}")


def test_the_list_has_every_number_and_ratio_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["kpis", "--list"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line[0] != " "] == [
        f"{one.name}: {one.sentence}" for one in (*NUMBERS, *RATIOS)
    ]
    assert "  by cohort, months_since, currency" in lines
