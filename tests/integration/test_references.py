"""Reference data on a live pipeline: a price that falls for many, told once to each, across `kill -9` and lost state.

The workers take a change to a few customers in each epoch, and are killed while they do. What ought to be told is
worked out here, from who wished for what and when the price fell.
"""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from connectors.planned import Planned
from tests.pipeline_job import HOUR, MINUTE, START, Pipeline, happened
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.broker

SHOPPERS = 3_000
RULE = """
name: drop
key: sku
opens: {reference: product.price, event_before: Product Added to Wishlist, match: sku, if: new.price < old.price}
"""
SETTINGS = {"RACCORD_CHANNELS": "web", "RACCORD_PARTITIONS": "2", "RACCORD_REFERENCES": "products"}


def priced(minute: int, sku: str, price: float) -> Planned:
    at = START + minute * MINUTE
    row = {"sku": sku, "time": at, "price": price}
    return Planned(channel="reference.products", at=at, row=row, key=sku.encode())


def wishes() -> Iterator[Planned]:
    """Every third wishes for the kettle, the others for the lamp; some sign in afterwards, a few as one."""
    yield priced(0, "kettle", 50.0)
    yield priced(0, "lamp", 90.0)
    for number in range(SHOPPERS):
        sku = "lamp" if number % 3 else "kettle"
        who = {"cookie": f"c{number}"}
        yield happened(f"w{number:04}", 10, "Product Added to Wishlist", who, sku=sku)
        if number % 5 == 0:  # of ten, two: who are one in pairs
            yield happened(f"s{number:04}", 20, "Signed In", {**who, "user_id": f"u{number // 10}"})


def told(pipeline: Pipeline) -> Counter[tuple[str, int]]:
    """Return how often each was told: (whose wish, due minute)."""
    found: Counter[tuple[str, int]] = Counter()
    for message in pipeline.outputs(pipeline.topics.triggers["drop"]):
        assert message["action"] == "fire"
        found[message["opened_by"], (message["due"] - START) // MINUTE] += 1
    return found


def concerned(sku: str) -> set[str]:
    """Return the latest wish of each customer who wished for it: of those who are one, at one time, the larger id."""
    latest: dict[Any, str] = {}
    for number in range(SHOPPERS):
        if ("lamp" if number % 3 else "kettle") == sku:
            customer = ("user", number // 10) if number % 5 == 0 else ("cookie", number)
            latest[customer] = max(latest.get(customer, ""), f"w{number:04}")
    return set(latest.values())


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "drop.yaml").write_text(RULE)
    return folder


def test_a_fall_is_told_once_to_each_whom_it_concerns_though_workers_die_and_state_is_lost(
    bootstrap_servers, tmp_path, rules
):
    settings = {**SETTINGS, "RACCORD_RULES": str(rules)}
    with Pipeline(bootstrap_servers, f"t{uuid.uuid4().hex[:10]}.", tmp_path, settings) as pipeline:
        pipeline.start("w1", "w2")
        pipeline.play(wishes())
        pipeline.mark(START + 30 * MINUTE)
        pipeline.drain()
        assert told(pipeline) == Counter()

        pipeline.play([priced(60, "kettle", 40.0)])
        pipeline.mark(START + 61 * MINUTE)
        wait_for(lambda: told(pipeline), 60)
        pipeline.workers["w1"].kill()
        pipeline.start("w1")
        pipeline.drain()
        assert told(pipeline) == Counter(dict.fromkeys(((one, 60) for one in concerned("kettle")), 1))

        for worker in pipeline.workers.values():
            worker.kill()
        shutil.rmtree(pipeline.settings.data)
        pipeline.start("w1", "w2")
        pipeline.play([priced(120, "lamp", 80.0), priced(120, "kettle", 40.0), priced(121, "lamp", 85.0)])
        pipeline.mark(START + 2 * HOUR + 10 * MINUTE)
        pipeline.drain()
        after = [(one, 60) for one in concerned("kettle")] + [(one, 120) for one in concerned("lamp")]
        assert told(pipeline) == Counter(dict.fromkeys(after, 1))
