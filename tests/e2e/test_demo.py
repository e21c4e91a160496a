"""`raccord demo`, small: simulated shoppers in, balanced books out, and nothing left behind."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import AdminClient

import schemas
from connectors.simulators import Simulation
from stream_app.domain.policy import IdentityPolicy
from stream_app.runs.comparison import expected, good_events
from tests.pipeline_job import raccord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.event import Event

pytestmark = [pytest.mark.broker, pytest.mark.slow]

SHOPPERS, DAYS = 150, 1


def total(published: list[dict[str, Any]], name: str) -> int:
    """Return what a number's figures in the report add up to."""
    return sum(int(one["value"]) for one in published if one["name"] == name)


def orders(events: Iterable[Event], customers: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return the orders that the simulator's events place and don't cancel, each with its customer."""
    found: dict[str, set[tuple[str, str]]] = {"Order Completed": set(), "Order Cancelled": set()}
    for event in events:
        if event.type in found:
            found[event.type].add((customers[event.event_id], event.properties["order_id"]))
    return found["Order Completed"] - found["Order Cancelled"]


def test_the_demo_finds_the_truth_and_says_so(bootstrap_servers, tmp_path):
    before = set(AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(timeout=10).topics)
    done = raccord(
        "demo", "--shoppers", str(SHOPPERS), "--days", str(DAYS), "--folder", str(tmp_path),
        environment={"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-2_000:]
    report = json.loads((tmp_path / "report.json").read_text())
    simulation = Simulation(1, shoppers=SHOPPERS, days=DAYS)
    policy = IdentityPolicy.from_yaml(schemas.read_text("policies/identity.yaml"))
    customers = expected(policy, good_events(simulation.records(), policy))
    truth = simulation.truth
    last = done.stdout.decode().splitlines()[-1]
    found = re.fullmatch(
        r"demo: ok events=(\d+) customers=(\d+) triggers=(\d+) retractions=(\d+) duplicates=0 lost=0", last
    )
    assert found, last
    assert int(found[1]) == truth.records
    assert int(found[2]) == len(set(customers.values()))
    assert int(found[3]) > 0
    assert report["ok"] is report["balanced"] is True
    assert report["misplaced"] == 0
    accuracy = report["accuracy"]
    assert (accuracy["events"], accuracy["persons"]) == (truth.events, truth.active_shoppers)
    for score in (accuracy["pairwise"], accuracy["b_cubed"]):
        assert 0.5 < score["precision"] < 1.0
        assert 0.5 < score["recall"] < score["reachable_recall"] <= 1.0
    assert "Customers against the truth" in done.stdout.decode()
    assert report["dead_letters"] == dict(sorted(truth.dead_letters.items()))
    channels = report["events"].values()
    assert sum(channel["applied"] for channel in channels) == truth.events
    assert sum(channel["duplicate"] for channel in channels) == truth.duplicates
    figures = report["figures"]
    assert figures["differences"] == []
    assert figures["compared"] > 20
    published = figures["published"]
    assert total(published, "triggers_sent") == int(found[3])
    assert total(published, "triggers_taken_back") == int(found[4])
    assert total(published, "orders") == len(orders(good_events(simulation.records(), policy), customers))
    shown = done.stdout.decode()
    assert "figures by channel" in shown
    assert "what came of our triggers" in shown
    assert f"figures: {figures['compared']} held against the books, all equal" in shown
    left = set(AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(timeout=10).topics) - before
    assert not {name for name in left if name.startswith("demo-")}
