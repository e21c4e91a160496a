"""What the metrics page says of input partitions, as alerts count them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from faust.types import TP

from stream_app.metrics import REGISTRY, EngineMetrics


def task(partition: int) -> Any:
    return SimpleNamespace(stage=SimpleNamespace(name="numbers"), tp=TP("metrics-test", partition))


def read(partition: int) -> float | None:
    labels = {"stage": "numbers", "topic": "metrics-test", "partition": str(partition)}
    return REGISTRY.get_sample_value("raccord_partition_read", labels)


def test_a_partition_is_said_to_be_read_from_its_restore_until_it_is_taken_away() -> None:
    metrics, one, other = EngineMetrics(), task(0), task(1)
    assert read(0) is None
    for each in (one, other):
        metrics.ready(each, 0.1)
    metrics.suspended(one)
    metrics.closed(one)
    assert read(0) is None
    assert read(1) == 1  # though its stage has no watermark
    metrics.suspended(other)
    metrics.closed(other)
