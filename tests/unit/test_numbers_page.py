"""docs/numbers.md says what is so: the catalogue, the bounds, and a worked example that comes out as shown."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pytest

import schemas
from stream_app.domain.event import Event
from stream_app.domain.numbers import (
    BY_NAME,
    EDITION,
    MODELS,
    NUMBERS,
    RATIOS,
    Cell,
    Number,
    Numbers,
    Unit,
    Window,
    day_text,
    keep,
    month_text,
    pack,
    step,
)
from stream_app.domain.numbers.messages import MAX_CLICKED
from stream_app.domain.numbers.orders import ONLINE
from stream_app.domain.numbers.sends import MAX_SENDS
from stream_app.domain.numbers.visits import DEVICES, LANDINGS, MAX_TOUCHES, NO_VISIT
from stream_app.domain.profile import Profile, apply
from stream_app.domain.profile.orders import MAX_ORDERS

PAGE = (Path(__file__).parents[2] / "docs" / "numbers.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a page's tables, without their heads."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    return [row for row in found if not {*row[0]} <= {"-"}]


def test_the_catalogue_is_on_the_page_word_for_word_and_nothing_else() -> None:
    def by(number: Number) -> str:
        cohort = ("cohort",) if number.window is Window.COHORT else ()
        return ", ".join((*cohort, *number.dimensions))

    numbers = [[f"`{one.name}`", one.sentence, by(one), one.unit] for one in NUMBERS]
    ratios = [[f"`{one.name}`", one.sentence, one.formula, ", ".join(one.by)] for one in RATIOS]
    heads = (["number", "what it is", "by", "unit"], ["ratio", "what it is", "formula", "by"])
    assert rows(section("The catalogue")) == [heads[0], *numbers, heads[1], *ratios]


def test_every_model_is_explained() -> None:
    assert [row[0] for row in rows(section("Who gets the credit"))[1:]] == [f"`{name}`" for name in MODELS]


def test_the_bounds_are_those_of_the_code() -> None:
    stated = [
        int(re.findall(r"\d+", row[1])[0])
        for row in rows(section("What is exact, and what is forgotten"))[1:]
    ]
    assert stated == [MAX_ORDERS, MAX_TOUCHES, MAX_CLICKED, MAX_SENDS]


def test_channels_and_devices_are_named_as_they_are() -> None:
    text = section("Visits and touches")
    assert all(re.search(rf"\b{name}\b", text) for name in (*ONLINE, *DEVICES, *LANDINGS))
    assert {*schemas.read_yaml("channels.yaml")["channels"]} >= ONLINE


def test_what_is_no_part_of_a_visit_is_documented_among_the_event_types() -> None:
    assert schemas.event_types().keys() >= NO_VISIT


def example() -> tuple[list[Event], list[str]]:
    """Return the worked example's events, and what they come to."""
    lines = re.findall(r"^    (.+)$", section("A worked example"), re.MULTILINE)
    events = []
    for number, line in enumerate(line for line in lines if " = " not in line):
        found = re.fullmatch(r"(\S+) (\w+) ([A-Z][\w ]+?)((?: \w+=\S+)*)", line)
        assert found is not None, line
        time = int(datetime.fromisoformat(found[1]).timestamp() * 1000)
        said = dict(pair.split("=") for pair in found[4].split())
        events.append(Event(f"e{number}", time, found[2], found[3], ("cookie:1",), said, 0, "t/0/0"))
    return events, [line for line in lines if " = " in line]


def line_of(cell: Cell, amount: int) -> str:
    number = BY_NAME[cell.number]
    window = day_text(cell.window) if number.window is Window.DAY else month_text(cell.window)
    figure = f"{amount / 1_000_000:.6f}" if number.unit is Unit.MONEY else str(amount)
    return f"{cell.number} {window} {','.join(cell.dimensions)} = {figure}"


def test_the_worked_example_comes_out_as_shown() -> None:
    events, shown = example()
    state, profile, sums = Numbers(), Profile(), Counter[Cell]()
    for event in events:
        apply(profile, event)
        sums.update(step(state, event, profile))
    assert len(events) == 6
    assert sorted(line_of(cell, amount) for cell, amount in sums.items() if amount) == sorted(shown)


def test_an_edition_stands_for_what_is_folded() -> None:
    """If this fails, the example is folded into something else than before: raise `EDITION`, so rows are made anew.

    Then write the new edition and digest here. (Another example has another digest, under the same edition.)
    """
    events, _ = example()
    state, profile, digest = Numbers(), Profile(), sha256()
    for event in events:
        apply(profile, event)
        digest.update(pack(step(state, event, profile)))
    digest.update(keep(state))
    assert (EDITION, digest.hexdigest()[:16]) == (1, "7a1e18b497ee59af")


@pytest.mark.parametrize("event", example()[0], ids=lambda event: event.type)
def test_the_example_is_made_of_documented_events(event: Event) -> None:
    documented = schemas.event_types()[event.type]
    assert event.channel in documented.channels
    assert event.properties.keys() <= documented.properties.keys()
