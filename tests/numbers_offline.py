"""The numbers, computed offline from the topics that anybody may read: what the pipeline's figures are held against.

Polars reads the timeline, the decisions and what was spent as tables, and brings them to what stands: the last revision
of every event, and whose it is; the last row of every bill; the sends, each with the customer of the event that opened
it. What a customer's entries come to computes `numbers_oracle`, which shares nothing with the product.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import avro.schema
import polars as pl
from avro.io import BinaryDecoder, DatumReader

import schemas
from stream_app.domain.event import Event
from stream_app.runs.feed import MARKER_KEY
from tests.property.numbers_oracle import expected

if TYPE_CHECKING:
    from tests.pipeline_job import Pipeline

MICROS = 1_000_000
SINGLE_OBJECT_HEAD = 10
"""Bytes before the datum: a mark, and the schema's fingerprint."""


def computed(pipeline: Pipeline) -> pl.DataFrame:
    """Return all figures that aren't 0: number, window, dimensions (joined by "|"), value."""
    topics = pipeline.topics
    events = timeline(pipeline.outputs(topics.timeline))
    sends = sent(pipeline.outputs(topics.decisions), events)
    entries: dict[str, list[Any]] = defaultdict(list)
    for row in events.iter_rows(named=True):
        entries[row["customer_id"]].append(row["entry"])
    for row in sends.iter_rows(named=True):
        entries[row["customer_id"]].append(row["entry"])
    spend = [topics.references[name] for name in ("spend",) if name in topics.references]
    rows = [bill_of(record.value) for topic in spend for record in pipeline.read(topic) if is_row(record)]
    sums = expected(entries, bills(rows))
    cells = [
        (name, window, "|".join(dimensions), amount) for (name, window, dimensions), amount in sums.items()
    ]
    return table(cells)


def published(pipeline: Pipeline) -> pl.DataFrame:
    """Return what the topic says: the last figure of every cell, unless it is 0."""
    rows = pipeline.outputs(pipeline.topics.numbers)
    epoch = pl.lit("1970-01-01").str.to_date()
    found = pl.DataFrame(
        [(one["number"], one["window"], "|".join(one["dimensions"].values()), one["value"]) for one in rows],
        schema=["number", "text", "dimensions", "value"],
        orient="row",
    )
    day = pl.col("text").str.to_date("%Y-%m-%d", strict=False)
    month = (pl.col("text") + "-01").str.to_date("%Y-%m-%d", strict=False)
    months = (month.dt.year() - 1970) * 12 + month.dt.month() - 1
    return (
        found.with_columns(
            pl.when(pl.col("text").str.len_chars() > 7)
            .then((day - epoch).dt.total_days())
            .otherwise(months)
            .cast(pl.Int64)
            .alias("window")
        )
        .group_by("number", "window", "dimensions", maintain_order=True)
        .last()
        .filter(pl.col("value") != 0)
        .select("number", "window", "dimensions", "value")
        .sort("number", "window", "dimensions")
    )


def differences(pipeline: Pipeline) -> list[str]:
    """Say which figures are published otherwise than they are computed; none: nothing."""
    keys = ["number", "window", "dimensions"]
    both = published(pipeline).join(
        computed(pipeline), on=keys, how="full", coalesce=True, suffix="_computed"
    )
    wrong = both.filter(~pl.col("value").eq_missing(pl.col("value_computed"))).sort(keys)
    return [
        f"{number} of {window}, {dimensions or 'all'}: published {value}, computed {wanted}"
        for number, window, dimensions, value, wanted in wrong.iter_rows()
    ]


def table(cells: list[tuple[str, int, str, int]]) -> pl.DataFrame:
    """Return figures as a table, sorted."""
    frame = pl.DataFrame(cells, schema=["number", "window", "dimensions", "value"], orient="row")
    return frame.sort("number", "window", "dimensions")


def timeline(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return the events that are on a timeline: event id, customer, entry."""
    frame = pl.DataFrame(
        {
            "event_id": [row["event"]["event_id"] for row in rows],
            "customer_id": [row["customer_id"] for row in rows],
            "revision": [row["revision"] for row in rows],
            "operation": [row["operation"] for row in rows],
            "entry": pl.Series([entry(row["event"]) for row in rows], dtype=pl.Object),
        }
    )
    last = frame.with_row_index().sort("revision", "index").group_by("event_id").agg(pl.col("index").last())
    return frame.with_row_index().join(last, on=["event_id", "index"]).filter(pl.col("operation") == "upsert")


def entry(event: dict[str, Any]) -> Event:
    """Return an event of the topic as the oracle reads it."""
    return Event(
        event["event_id"], event["time"], event["channel"], event["type"], (), event["properties"], 0, ""
    )


def sent(decisions: list[dict[str, Any]], events: pl.DataFrame) -> pl.DataFrame:
    """Return what was sent and taken back as entries, each of whom the event is that had opened it."""
    counted = pl.DataFrame(
        [
            (
                one["trigger_id"],
                one["rule"],
                one["channel"],
                one["outcome"],
                one["counted_at"],
                one["opened_by"],
            )
            for one in decisions
            if one["counted_at"] is not None
        ],
        schema=["trigger_id", "rule", "channel", "outcome", "counted_at", "opened_by"],
        orient="row",
    ).sort("counted_at")
    owners = events.select("customer_id", opened_by="event_id")
    known: dict[str, int] = {}
    entries = []
    for row in counted.iter_rows(named=True):
        one = SimpleNamespace(
            trigger_id=row["trigger_id"], rule=row["rule"], channel=row["channel"], time=row["counted_at"]
        )
        if row["outcome"] == "retracted":
            one.sent = known[row["trigger_id"]]
        known[row["trigger_id"]] = row["counted_at"]
        entries.append(one)
    return counted.with_columns(pl.Series("entry", entries, dtype=pl.Object)).join(owners, on="opened_by")


def is_row(record: Any) -> bool:
    """Tell a row from a clock marker; nobody takes a bill back here."""
    return record.value is not None and record.key != MARKER_KEY


def bill_of(value: bytes) -> dict[str, Any]:
    """Decode a row of spend, by Avro's own library."""
    schema = avro.schema.parse(schemas.avro("reference_spend"))
    found = DatumReader(schema).read(BinaryDecoder(BytesIO(value[SINGLE_OBJECT_HEAD:])))
    time = found["time"]
    return {**found, "time": round(time.timestamp() * 1000) if isinstance(time, datetime) else time}


def bills(rows: list[dict[str, Any]]) -> list[Any]:
    """Return what was spent: the last row of each bill, in millionths."""
    if not rows:
        return []
    frame = pl.DataFrame(rows, infer_schema_length=None).select(
        "spend_id", "time", "day", "channel", "campaign_id", "currency", "amount"
    )
    last = frame.sort("time", maintain_order=True).group_by("spend_id", maintain_order=True).last()
    day = (pl.col("day").str.to_date() - pl.lit("1970-01-01").str.to_date()).dt.total_days()
    amount = (pl.col("amount") * MICROS).round().cast(pl.Int64)
    return [
        SimpleNamespace(**row)
        for row in last.with_columns(day=day, amount=amount)
        .rename({"campaign_id": "campaign"})
        .iter_rows(named=True)
    ]
