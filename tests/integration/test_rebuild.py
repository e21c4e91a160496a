"""A deployment is rebuilt as RUNBOOK.md says: inputs are copied to another prefix, replayed, and it goes on live."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from kafka import KafkaProducer

from connectors.planned import Planned
from stream_app.domain.commands import Op
from stream_app.domain.event import ChannelEvent
from stream_app.wire import IdentityCommand
from tests.pipeline_job import Pipeline
from tests.waiting import wait_for

pytestmark = pytest.mark.broker

SCRIPT = Path(__file__).parents[2] / "deploy" / "copy_inputs.py"
PATIENCE_S = 90.0
SHOPPERS = 4
RULE = """\
name: abandoned_cart
version: 1
channel: [email]
key: cart_id
opens: {event: Product Added}
after: 2s
payload: [cart]
"""

if TYPE_CHECKING:
    from collections.abc import Iterable


def baskets(name: str) -> list[Planned]:
    now = time.time_ns() // 1_000_000
    events = [
        ChannelEvent(
            f"{name}{n}", now, "web", "Product Added", {"cookie": f"{name}-{n}"},
            {"cart_id": f"cart-{name}{n}", "product_id": "SKU-1", "price": 40.0, "quantity": 1, "currency": "EUR"},
        )
        for n in range(SHOPPERS)
    ]  # fmt: skip
    return [Planned(channel="web", at=now, event=event, key=event.event_id.encode()) for event in events]


def fired(pipeline: Pipeline) -> set[tuple[str, int]]:
    return {(message["trigger_id"], message["due"]) for message in pipeline.triggers()}


def opened(pipeline: Pipeline) -> set[str]:
    return {message["opened_by"] for message in pipeline.triggers()}


def copy(bootstrap: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": bootstrap},
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def records(pipeline: Pipeline, topics: Iterable[str]) -> list[list[tuple[Any, ...]]]:
    return [
        [
            (one.partition, one.timestamp, one.key, one.value, one.headers)
            for one in pipeline.read(topic)
            if not any(name == "raccord-watermark" for name, _ in one.headers)
        ]
        for topic in topics
    ]


def inputs(pipeline: Pipeline) -> list[str]:
    return [*pipeline.topics.inputs.values(), pipeline.topics.commands]


def stamp_by_the_broker(bootstrap: str, topics: Iterable[str]) -> None:
    """Do what `kafka-configs.sh --alter --add-config message.timestamp.type=LogAppendTime` does."""
    entry = ConfigEntry(
        "message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET
    )
    resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry]) for topic in topics]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for altered in admin.incremental_alter_configs(resources).values():
        altered.result(PATIENCE_S)


def test_a_rebuilt_deployment_says_what_the_old_one_said_and_goes_on_live(
    bootstrap_servers, topic_prefix, tmp_path
):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "abandoned_cart.yaml").write_text(RULE)
    settings = {
        "RACCORD_CHANNELS": "web,store",
        "RACCORD_REFERENCES": "products",
        "RACCORD_RULES": str(tmp_path / "rules"),
    }
    live = {**settings, "RACCORD_TIME": "wall"}
    old, new = f"{topic_prefix}old.", f"{topic_prefix}new."
    with Pipeline(bootstrap_servers, old, tmp_path / "old", live) as before:
        before.start("w1")
        assert wait_for(before.at_work, PATIENCE_S)
        before.write(before.topics.references["products"], b'{"sku": "SKU-1"}')
        denial = IdentityCommand("c1", Op.DENY, "cookie:a-0", "cookie:a-1", 1_700_000_000_000, "zoe", "two")
        before.command(denial)
        before.play(baskets("a"))
        assert wait_for(lambda: len(opened(before)) == SHOPPERS, PATIENCE_S)
        before.workers["w1"].stop()
        with Pipeline(bootstrap_servers, new, tmp_path / "new", settings) as rebuilt:
            assert "records copied" in copy(bootstrap_servers, old, new).stdout
            assert records(rebuilt, inputs(rebuilt)) == records(before, inputs(before))
            rebuilt.start("w1")
            assert wait_for(lambda: fired(rebuilt) == fired(before), PATIENCE_S)
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
            assert copy(bootstrap_servers, old, new, "--since", since).stdout == "0 records copied\n"
            rebuilt.drain(PATIENCE_S)
            rebuilt.workers["w1"].stop()
        stamp_by_the_broker(bootstrap_servers, inputs(rebuilt))
        with Pipeline(bootstrap_servers, new, tmp_path / "new", live, create=False) as after:
            after.start("w1")
            assert wait_for(after.at_work, PATIENCE_S)
            after.play(baskets("b"))
            assert wait_for(lambda: len(opened(after)) == 2 * SHOPPERS, PATIENCE_S)
            assert fired(after) > fired(before)


def test_with_another_number_of_partitions_records_go_where_their_keys_belong(
    bootstrap_servers, topic_prefix, tmp_path
):
    web = {"RACCORD_CHANNELS": "web"}
    old, new = f"{topic_prefix}old.", f"{topic_prefix}new."
    with (
        Pipeline(bootstrap_servers, old, tmp_path / "old", web) as before,
        Pipeline(bootstrap_servers, new, tmp_path / "new", {**web, "RACCORD_PARTITIONS": "5"}) as after,
    ):
        before.play(baskets("a"))
        assert copy(bootstrap_servers, old, new).stdout == f"{SHOPPERS} records copied\n"
        (here,), (there,) = (records(one, [one.topics.channels["web"]]) for one in (before, after))
        assert sorted(one[2:4] for one in there) == sorted(one[2:4] for one in here)
        with KafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
            own = [
                producer.send(after.topics.channels["web"], b"", key=one[2]).get(30).partition
                for one in there
            ]
        assert [one[0] for one in there] == own


def test_topics_that_are_not_there_are_not_made_by_writing_to_them(bootstrap_servers, topic_prefix, tmp_path):
    with Pipeline(bootstrap_servers, f"{topic_prefix}old.", tmp_path, {"RACCORD_CHANNELS": "web"}):
        done = copy(bootstrap_servers, f"{topic_prefix}old.", f"{topic_prefix}new.")
    assert done.returncode == 1
    assert "run `raccord topics create` first" in done.stderr
