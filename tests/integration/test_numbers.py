"""The numbers on a live pipeline equal an offline computation over the exported topics, to the last cent and count.

After events that came late and twice, merges, splits that operators asked for and took back, `kill -9`, and lost state.
"""

from __future__ import annotations

import shutil
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from polars.testing import assert_frame_equal

from connectors.simulators import Simulation
from connectors.simulators.backoffice import with_backoffice
from stream_app.domain.commands import Op
from stream_app.domain.numbers import BY_NAME
from stream_app.wire import IdentityCommand
from tests.numbers_offline import computed, published
from tests.pipeline_job import HOUR, MINUTE, START, Pipeline, happened

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.broker

DAYS = 3
SETTINGS = {"RACCORD_REFERENCES": "spend"}


def simulation() -> Simulation:
    return Simulation(7, shoppers=250, days=DAYS)


def equal(pipeline: Pipeline) -> Any:
    """Hold what is published against what is computed; return it."""
    found = published(pipeline)
    assert_frame_equal(found, computed(pipeline))
    return found


def said(op: Op, time: int, pairs: list[tuple[str, str]]) -> Iterator[IdentityCommand]:
    for number, (a, b) in enumerate(pairs):
        yield IdentityCommand(f"{op}-{number}-{time}", op, a, b, time, "operator", "reason")


def links(pipeline: Pipeline, count: int) -> list[tuple[str, str]]:
    """Return pairs of identifiers that events have linked: a person's and a device's."""
    found = []
    for change in pipeline.outputs(pipeline.topics.changes):
        if change["change"] == "merged":
            found += [(one["a"], one["b"]) for one in change["cause"]["evidence"]]
    return sorted(set(found))[:: max(1, len(set(found)) // count)][:count]


def test_they_equal_an_offline_computation_whatever_has_happened_on_the_way(bootstrap_servers, tmp_path):
    shop = simulation()
    records = list(with_backoffice(shop, ("spend",)))
    third = len(records) // 3
    with Pipeline(bootstrap_servers, f"t{uuid.uuid4().hex[:10]}.", tmp_path, SETTINGS) as pipeline:
        pipeline.start("w1", "w2")
        pipeline.play(records[:third])
        pipeline.drain(
            120
        )  # or else all is played before the first trigger is sent, and nobody came back after one
        pipeline.play(records[third : 2 * third])
        pipeline.workers["w1"].kill()
        clock = pipeline.play(records[2 * third :])
        pipeline.start("w1")
        pipeline.drain(120)
        before = equal(pipeline)
        assert BY_NAME.keys() - set(before["number"]) <= {"triggers_taken_back"}

        pairs = links(pipeline, 12)
        pipeline.command(*said(Op.DENY, clock + 1, pairs))
        pipeline.workers["w2"].kill()
        pipeline.start("w2")
        pipeline.drain(120)
        after = equal(pipeline)
        assert not after.equals(before), "splits change what has been"

        pipeline.command(*said(Op.WITHDRAW, clock + 2, pairs))
        pipeline.play(late(records, clock + HOUR))
        pipeline.mark(clock + 2 * HOUR)
        for worker in pipeline.workers.values():
            worker.kill()
        shutil.rmtree(pipeline.settings.data)
        pipeline.start("w1", "w2")
        pipeline.drain(120)
        assert not equal(pipeline).equals(after)


def late(records: list[Any], clock: int) -> Iterator[Any]:
    """Yield what comes days late: visits to a shop before orders that were placed, and the end of some orders."""
    arrives = (clock - START) / MINUTE
    orders = [one for one in records if one.event is not None and one.event.type == "Order Completed"]
    for number, record in enumerate(orders[::5]):
        event = record.event
        minute = (event.time - START) / MINUTE
        yield happened(
            f"late-{number}",
            minute - 90,
            "Visit Started",
            event.identifiers,
            channel="store",
            arrives=arrives,
        )
        if number % 2:
            yield happened(
                f"end-{number}", minute + 60, "Order Cancelled", event.identifiers, channel=record.channel,
                arrives=arrives, order_id=event.properties.get("order_id"),
            )  # fmt: skip
