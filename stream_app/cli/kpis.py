"""`raccord kpis`: the numbers that customers add up to, as tables, drawn, or exact for programs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stream_app.app import topics_of
from stream_app.cli.kpis_chart import drawn, drawn_cohorts, drawn_overview
from stream_app.cli.kpis_overview import overview
from stream_app.cli.kpis_text import json_of, table_of
from stream_app.cli.worker import reach, read_settings
from stream_app.domain.numbers import NUMBERS, RATIOS, day_text
from stream_app.errors import UserError
from stream_app.runs.kpis import COHORTS, NAMES, NotAsked, Sums, dimensions, figures, known
from stream_app.runs.numbers_reader import read_numbers
from stream_app.wire import OutputReader, day_from, open_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from stream_app.runs.kpis import Figures


def kpis(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these numbers and ratios; --list shows which there are.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Dimensions with commas between: channel,campaign; day and month, too.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="From this day on, YYYY-MM-DD (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this day, it too, YYYY-MM-DD (UTC).")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, exact, for programs.")
    ] = False,
    chart: Annotated[bool, typer.Option("--chart", help="Draw them instead of listing them.")] = False,
    watch: Annotated[
        float | None, typer.Option(min=1, help="Show them again every so many seconds, until Ctrl-C.")
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="List the numbers and ratios, and what they are by.")
    ] = False,
) -> None:
    """Show the numbers: conversion, revenue by attribution model, ROI, click-through, retention, satisfaction, ...

    Without names it is an overview. Of cohorts, --since and --until take those of the days' months.
    What can't be added up is kept apart, whatever is asked for: currencies, attribution models, months since.
    """
    if listed:
        _list()
        return
    asked = _asked(names or [], by)
    first, last = _day("--since", since), _day("--until", until)
    if first is not None and last is not None and first > last:
        raise UserError(f"--since {since} is after --until {until}: no day is in both")
    settings = read_settings()
    topic = topics_of(settings).numbers
    reach(settings, [topic])
    reader = OutputReader(open_registry(settings.registry_url) if settings.registry_url else None)
    while True:
        found = read_numbers(settings, topic, reader)
        if found.unknown:
            typer.echo(
                f"raccord: {found.unknown} figures of {topic} are none that this version knows: left out",
                err=True,
            )
        _show(Sums(found.cells).within(first, last), asked, as_json=as_json, chart=chart)
        if watch is None:
            return
        time.sleep(watch)
        if not as_json:
            Console().clear()  # of a terminal; a file keeps what was said before


Asked = list[tuple[str, tuple[str, ...] | None]]
"""Names, each with what it is to be grouped by; empty: the overview."""


def _asked(names: list[str], by: str | None) -> Asked:
    """Return what is asked for.

    Raises:
        UserError: there is no such number, or none that has such dimensions.
    """
    groups = None if by is None else tuple(one.strip() for one in by.split(",") if one.strip())
    if names:
        try:
            return [(known(name), _possible(name, groups)) for name in dict.fromkeys(names)]
        except NotAsked as error:
            raise UserError(str(error)) from error
    if groups is None:
        return []
    found: Asked = [(name, groups) for name in NAMES if {*groups} <= {*dimensions(name)}]
    if not found:
        every = dict.fromkeys(one for name in NAMES for one in dimensions(name))
        raise UserError(f"no number is by {', '.join(groups)}; there are {', '.join(every)}")
    return found


def _possible(name: str, groups: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Make sure of it before anything is read."""
    figures(name, Sums({}), groups)
    return groups


def _day(option: str, text: str | None) -> int | None:
    try:
        return None if text is None else day_from(text)
    except ValueError as error:
        raise UserError(f"{option} {text!r} is no day: write it as YYYY-MM-DD") from error


def _show(sums: Sums, asked: Asked, *, as_json: bool, chart: bool) -> None:
    if as_json:
        for found in _figures(sums, asked or [(name, None) for name in NAMES]):
            for line in json_of(found):
                typer.echo(json.dumps(line, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(_head(sums), markup=False)
    for part in _parts(sums, asked, console.width, chart=chart):
        console.print(part, markup=False)


def _parts(sums: Sums, asked: Asked, width: int, *, chart: bool) -> Iterator[RenderableType]:
    if not asked:
        yield from drawn_overview(sums, width) if chart else overview(sums, width)
        return
    for found in _figures(sums, asked):
        if not found.rows:
            yield f"{found.name}: nothing in this time"
        elif not chart:
            made = table_of(found)
            if made is not None:
                yield made
        elif found.name in COHORTS:
            yield from drawn_cohorts(found.name, sums, width)
        else:
            yield from _drawn(found, width)


def _drawn(found: Figures, width: int) -> Iterator[RenderableType]:
    try:
        yield from drawn(found, width)
    except NotAsked as error:
        raise UserError(str(error)) from error


def _figures(sums: Sums, asked: Asked) -> Iterator[Figures]:
    return (figures(name, sums, by) for name, by in asked)


def _head(sums: Sums) -> str:
    """Return a line about what there is."""
    if not len(sums):
        return "no numbers in this time, or none yet"
    days = sums.days()
    span = "" if days is None else f"{day_text(days[0])} to {day_text(days[1])}, "
    return f"{span}{len(sums):,} figures"


def _list() -> None:
    for one in (*NUMBERS, *RATIOS):
        typer.echo(f"{one.name}: {one.sentence}")
        typer.echo(f"  by {', '.join(dimensions(one.name))}")
