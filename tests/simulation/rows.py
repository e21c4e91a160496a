"""What readers see when a simulation is at rest, and rows as the changelogs say that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faust.types import TP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_app.engine.stage import Stage
    from tests.simulation.log import Record
    from tests.simulation.transactions import Broker

_SHOWN = 5


def visible(broker: Broker, topic: str) -> Iterator[Record]:
    """Yield a topic's committed records."""
    for partition in range(broker.partitions[topic]):
        yield from broker.logs[TP(topic, partition)].committed()


def rebuilt(broker: Broker, stage: Stage, partition: int) -> dict[bytes, bytes]:
    """Return the rows that a changelog holds."""
    rows: dict[bytes, bytes] = {}
    for record in broker.logs[TP(stage.changelog, partition)].committed():
        assert record.key is not None
        if record.value is None:
            rows.pop(record.key, None)
        else:
            rows[record.key] = record.value
    return rows


def differing(what: str, found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> list[str]:
    """Say what isn't the same, in one line or none."""
    keys = sorted((key for key in {**found, **wanted} if found.get(key) != wanted.get(key)), key=repr)
    if not keys:
        return []
    some = ", ".join(f"{key!r}: {found.get(key)!r} for {wanted.get(key)!r}" for key in keys[:_SHOWN])
    more = f", and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return [f"{what}: {some}{more}"]
