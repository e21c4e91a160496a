"""Figures on the topic `numbers`: key and value say which cell it is, and both can be read back."""

from __future__ import annotations

import json
import re

import pytest

import schemas
from stream_app.agents.publish import number_fields
from stream_app.domain.numbers import BY_NAME, NUMBERS, Cell, Unit, Window
from stream_app.wire import (
    Encoder,
    Output,
    cell_of_key,
    cell_of_record,
    day_from,
    decode_output,
    month_from,
    number_key,
)

REVENUE = Cell("revenue", 20_786, ("web", "phone", "EUR"))
COHORT = Cell("customer_value", 682, ("12", "EUR"))


def test_a_key_is_json_that_people_can_read():
    assert number_key(REVENUE) == b'["revenue","2026-11-29","web","phone","EUR"]'
    assert number_key(COHORT) == b'["customer_value","2026-11","12","EUR"]'
    odd = Cell("spend", 0, ("é", 'say "hi"', ""))
    assert number_key(odd) == '["spend","1970-01-01","é","say \\"hi\\"",""]'.encode()
    assert cell_of_key(number_key(odd)) == odd


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_every_number_goes_there_and_back(number):
    cell = Cell(number.name, 20_786, tuple(f"{place}" for place in range(len(number.dimensions))))
    record = decode_output(Output.NUMBER, Encoder().number(number_fields(cell, 7)))
    assert (record["unit"], record["value"]) == (number.unit, 7)
    assert [*record["dimensions"]] == [*number.dimensions]
    assert cell_of_record(record) == cell_of_key(number_key(cell)) == cell


def test_dimensions_are_found_by_their_names_in_whatever_order_they_come():
    fields = number_fields(REVENUE, 1)
    turned = dict(reversed(fields["dimensions"].items()))
    assert cell_of_record({**fields, "dimensions": turned}) == REVENUE


def test_what_is_not_in_the_catalogue_is_no_cell():
    fields = number_fields(REVENUE, 1)
    for wrong in (
        {**fields, "number": "mood"},
        {**fields, "dimensions": {"channel": "web", "currency": "EUR"}},
        {**fields, "dimensions": {**fields["dimensions"], "store": "s-1"}},
        {**fields, "window": "2026-11"},
    ):
        with pytest.raises(ValueError, match=r"not in the catalogue|YYYY"):
            cell_of_record(wrong)
    for key in (
        b"",
        b"{}",
        b"[]",
        b'["revenue"]',
        b'["mood","2026-11-29"]',
        b'["orders","2026-11-29","web"]',
    ):
        with pytest.raises(ValueError, match=r"catalogue|JSON|no number"):
            cell_of_key(key)


@pytest.mark.parametrize(
    "text", ["2026-11-31", "2026-1-1", "20261129", "today", "", "2026-11-29T00:00", "٢٠٢٦-11-29"]
)
def test_what_is_no_day_is_said(text):
    with pytest.raises(ValueError, match=r".+"):
        day_from(text)


def test_days_and_months_are_counted_from_1970():
    assert (day_from("1970-01-01"), day_from("2026-11-29")) == (0, 20_786)
    assert (month_from("1970-01"), month_from("2026-11")) == (0, 682)


def test_a_figure_beyond_64_bits_is_the_nearest_that_fits():
    for amount, said in ((1 << 63, (1 << 63) - 1), (-(1 << 63) - 1, -(1 << 63))):
        record = decode_output(Output.NUMBER, Encoder().number(number_fields(REVENUE, amount)))
        assert record["value"] == said


def test_what_has_come_to_nothing_is_said_as_0():
    assert decode_output(Output.NUMBER, Encoder().number(number_fields(REVENUE, 0)))["value"] == 0


def test_a_record_that_does_not_fit_is_an_error():
    for wrong in ({"unit": "litres"}, {"value": 1 << 63}, {"value": "7"}, {"dimensions": {"channel": 3}}):
        with pytest.raises((ValueError, TypeError)):
            Encoder().number({**number_fields(REVENUE, 1), **wrong})


def test_the_page_shows_the_key_and_every_field_and_unit():
    section = schemas.read_text("README.md").partition("\n## Numbers\n")[2].partition("\n## ")[0]
    shown = re.findall(r"^    (\[.+\])$", section, re.MULTILINE)
    assert [line.encode() for line in shown] == [number_key(REVENUE)]
    fields = [field["name"] for field in json.loads(schemas.avro("number"))["fields"]]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == fields
    assert all(f"`{unit}`" in section for unit in Unit)
    assert BY_NAME["customer_value"].window is Window.COHORT
