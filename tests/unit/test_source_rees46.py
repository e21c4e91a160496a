"""Reading the REES46 sample, and the reference that computes its abandoned baskets without our code."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from connectors.sources import SourceError, rees46
from tests.e2e.offline_abandoned_baskets import abandoned_baskets

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "web" / "rees46_2019-10-01.csv"
HEADER = ",".join(rees46.COLUMNS)
needs_sample = pytest.mark.skipif(not SAMPLE.exists(), reason=f"third-party data is not there: {SAMPLE}")


def row(time: str, kind: str = "cart", price: str = "25.00", user: str = "u1", session: str = "s1") -> str:
    product = "1004833,2053013555631882655,electronics.smartphone,acme"
    return f"2019-10-01 {time} UTC,{kind},{product},{price},{user},{session}"


def table(folder: Path, *rows: str) -> Path:
    path = folder / "sample.csv"
    path.write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")
    return path


def ms(time: str) -> int:
    hours, minutes, seconds = (int(part) for part in time.split(":"))
    return 1_569_888_000_000 + ((hours * 60 + minutes) * 60 + seconds) * 1000


def test_a_row_becomes_an_event_of_the_web_channel(tmp_path: Path):
    (record,) = rees46.read(table(tmp_path, row("00:00:05")))
    event = record.event
    assert event is not None
    assert (record.channel, record.at, record.key, record.note) == ("web", ms("00:00:05"), b"s1", None)
    assert (event.type, event.time, event.channel) == ("Product Added", ms("00:00:05"), "web")
    assert event.identifiers == {"user_id": "u1", "cookie": "s1"}
    assert event.properties == {
        "product_id": "1004833",
        "sku": "1004833",
        "category_id": "2053013555631882655",
        "category": "electronics.smartphone",
        "brand": "acme",
        "price": 25.0,
        "quantity": 1,
    }


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("view", "Product Viewed"),
        ("cart", "Product Added"),
        ("remove_from_cart", "Product Removed"),
        ("purchase", "Order Completed"),
    ],
)
def test_each_kind_of_row_has_its_type(tmp_path: Path, kind: str, type_: str):
    (record,) = rees46.read(table(tmp_path, row("00:00:00", kind)))
    assert record.event is not None
    assert record.event.type == type_


def test_a_purchase_is_an_order_of_its_product_and_names_no_basket(tmp_path: Path):
    (record,) = rees46.read(table(tmp_path, row("00:00:00", "purchase", "10.50")))
    assert record.event is not None
    properties = record.event.properties
    assert properties["total"] == properties["revenue"] == 10.5
    assert [product["sku"] for product in properties["products"]] == ["1004833"]
    assert properties["order_id"].startswith("rees46-order-0000000001-")
    assert "cart_id" not in properties


def test_identical_rows_are_two_events_in_the_files_order_and_ids_are_repeatable(tmp_path: Path):
    path = table(tmp_path, row("00:00:00"), row("00:00:00"))
    ids = [record.event.event_id for record in rees46.read(path) if record.event]
    assert len(set(ids)) == 2
    assert ids == sorted(ids) == [record.event.event_id for record in rees46.read(path) if record.event]


def test_empty_columns_are_absent_and_no_identifier_is_left_to_the_pipeline(tmp_path: Path):
    path = table(tmp_path, "2019-10-01 00:00:00 UTC,view,1,,,,,,")
    (record,) = rees46.read(path)
    assert record.event is not None
    assert record.event.identifiers == {}
    assert record.event.properties == {"product_id": "1", "sku": "1"}
    assert record.key is None


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (row("00:00:01", "steal"), b"event_type: not one of"),
        (row("00:00:01", price="cheap"), b"price: not a number"),
        (row("00:00:01", price="inf"), b"price: not a finite number"),
        (row("25:00:01"), b"event_time: not a time"),
        (row("00:00:01").rpartition(",")[0], b"8 fields instead of 9"),
    ],
)
def test_a_row_that_makes_no_event_is_handed_on_as_it_stands(tmp_path: Path, bad: str, problem: bytes):
    good, broken, last = rees46.read(table(tmp_path, row("00:00:00"), bad, row("00:00:02")))
    assert good.event is not None
    assert last.event is not None
    assert (broken.event, broken.raw, broken.at) == (None, bad.encode(), good.at)
    assert dict(broken.headers)["source-problem"].startswith(problem)
    assert dict(broken.headers)["source-row"] == b"2"
    assert last.event.event_id.startswith("rees46-0000000003-")


def test_bytes_that_are_not_utf8_are_handed_on_untouched(tmp_path: Path):
    path = tmp_path / "latin1.csv"
    line = row("00:00:00").replace("acme", "théière").encode("latin-1")
    path.write_bytes(HEADER.encode() + b"\r\n" + line + b"\r\n")
    (record,) = rees46.read(path)
    assert record.raw == line


def test_time_that_goes_back_does_not_turn_arrival_back(tmp_path: Path):
    records = list(rees46.read(table(tmp_path, row("00:00:09"), row("00:00:05"))))
    assert [record.at for record in records] == [ms("00:00:09")] * 2
    assert [record.event.time for record in records if record.event] == [ms("00:00:09"), ms("00:00:05")]


def test_missing_columns_are_named_with_the_path(tmp_path: Path):
    path = tmp_path / "other.csv"
    path.write_text("event_time,price\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"other\.csv, line 1: missing columns: event_type, product_id"):
        next(rees46.read(path))


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path: Path):
    with pytest.raises(SourceError, match=r"nowhere\.csv: can't be read: No such file"):
        next(rees46.read(tmp_path / "nowhere.csv"))
    (tmp_path / "empty.csv").touch()
    with pytest.raises(SourceError, match=r"empty\.csv: empty: a header"):
        next(rees46.read(tmp_path / "empty.csv"))
    with pytest.raises(SourceError, match="can't be read"):
        next(rees46.read(tmp_path))


def test_a_field_without_end_is_refused_with_its_line(tmp_path: Path):
    path = tmp_path / "quote.csv"
    path.write_text(f'{HEADER}\n{row("00:00:00")}\n"{"x" * 17_000_000}', encoding="utf-8")
    records = rees46.read(path)
    assert next(records).event is not None
    with pytest.raises(SourceError, match=r"quote\.csv, line 3: not CSV: field larger than"):
        next(records)


def test_rows_are_read_lazily(tmp_path: Path):
    path = tmp_path / "long.csv"
    path.write_bytes(f"{HEADER}\n{row('00:00:00')}\n".encode() + b"\xff" * 5_000_000)
    assert len(list(islice(rees46.read(path), 1))) == 1


@needs_sample
def test_the_sample_gives_its_known_counts_and_its_last_row_which_is_cut_short_a_dead_letter():
    records = list(rees46.read(SAMPLE))
    types = Counter(record.event.type if record.event else record.note for record in records)
    assert types == {
        "Product Viewed": 17_055,
        "Product Added": 165,
        "Order Completed": 214,
        "malformed:undecodable": 1,
    }
    assert records[-1].event is None
    assert len({record.event.event_id for record in records if record.event}) == 17_434


@needs_sample
def test_the_sample_has_51_abandoned_baskets():
    assert len(abandoned_baskets(SAMPLE)) == 51


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("00:00:00")], {("u1", 1, "00:30:00")}),
        ([row("00:00:00"), row("00:30:00")], {("u1", 1, "01:00:00")}),
        ([row("00:00:00"), row("00:30:01")], {("u1", 1, "00:30:00")}),
        ([row("00:00:00"), row("00:30:00", "purchase")], set()),
        ([row("00:00:00"), row("00:30:01", "purchase")], {("u1", 1, "00:30:00")}),
        ([row("00:00:00"), row("00:10:00", "purchase", session="s2")], set()),
        ([row("00:00:00", "purchase"), row("00:00:00")], {("u1", 2, "00:30:00")}),
        ([row("00:00:00", price="19.99")], set()),
        ([row("00:00:00", price="12"), row("01:00:00", price="8")], {("u1", 2, "01:30:00")}),
        ([row("00:00:00", price="12"), row("00:01:00", "purchase"), row("00:02:00", price="12")], set()),
        ([row("00:00:00"), row("00:10:00", "remove_from_cart", "6")], set()),
        ([row("00:00:00"), row("00:10:00", "view")], {("u1", 1, "00:30:00")}),
        (
            [row("00:00:00"), row("00:10:00", user="u2", session="s2")],
            {("u1", 1, "00:30:00"), ("u2", 2, "00:40:00")},
        ),
        ([row("00:00:00"), row("00:10:00", user="u2")], {("u1", 1, "00:40:00")}),
    ],
)
def test_the_reference_follows_the_rule(tmp_path: Path, rows: list[str], expected: set[tuple[str, int, str]]):
    found = abandoned_baskets(table(tmp_path, *rows))
    assert found == {(user, number, ms(due)) for user, number, due in expected}


def test_the_reference_sends_one_in_three_days(tmp_path: Path):
    later = [row("00:00:00").replace("10-01", day) for day in ("10-02", "10-04")]
    found = abandoned_baskets(table(tmp_path, row("00:00:00"), *later))
    assert {number for _, number, _ in found} == {1, 3}
