"""Rules that look at feeds which a deployment leaves out: no mistake, but whoever starts the worker is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

import schemas
from stream_app import app
from stream_app.agents.feeds import left_out
from stream_app.domain.rules import load_rule
from stream_app.domain.rules.needs import needs
from stream_app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

OPENS = "name: x\nopens: {event: A}\n"
PRICE = "name: x\nopens: {reference: product.price, event_before: A, match: sku}\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (OPENS, {}),
        (OPENS + "if: cart.value > 3.0\npayload: [cart]\n", {}),
        (PRICE, {"product": "opens.reference: product.price"}),
        (
            "name: x\nopens: {reference: order.state, event_before: A, match: o}\n",
            {"order": "opens.reference: order.state"},
        ),
        ("name: x\nnear: {radius_m: 100}\n", {"store": "near"}),
        ("name: x\nnear: {radius_m: 100}\nif: size(stock) > 0\n", {"store": "near", "stock": "stock"}),
        (OPENS + "payload: [store.nearest.name]\n", {"store": "store.nearest"}),
        (OPENS + 'if: weather.condition == "rain"\n', {"weather": "weather"}),
        (OPENS + "payload: [weather.temperature_c]\n", {"weather": "weather"}),
        (OPENS + 'if: season == "spring"\n', {}),
        (
            OPENS + "if: has(store.nearest_in_stock)\n",
            {"store": "store.nearest_in_stock", "stock": "store.nearest_in_stock"},
        ),
    ],
)
def test_what_a_rule_needs_is_said_as_its_file_calls_it(text: str, found: dict[str, str]):
    assert needs(load_rule(text)) == found


def test_all_that_shipped_rules_need_is_there_unless_it_is_left_out():
    rules = [load_rule(schemas.read_text(path), path) for path in schemas.files("rules", ".yaml")]
    assert [left_out(rule, schemas.references()) for rule in rules] == [[]] * len(rules)


def warned(settings: Settings) -> list[Any]:
    with capture_logs() as logged:
        app._warn_of_feeds_left_out(settings, app.load_rules(settings))
    return [
        (one["log_level"], one["rule"], one["feed"]) for one in logged if one["event"] == "rule_without_feed"
    ]


def test_a_worker_says_so_for_each_rule_and_feed_and_runs_the_others(tmp_path: Path):
    (tmp_path / "price.yaml").write_text(PRICE)
    (tmp_path / "event.yaml").write_text(OPENS.replace("x", "y"))
    assert warned(Settings(rules=tmp_path, references=("stores",))) == [
        ("warning", "x@1", "reference.products")
    ]
    assert warned(Settings(rules=tmp_path)) == []
    assert warned(Settings(rules=tmp_path, references=(), stages=("ingest",))) == []
