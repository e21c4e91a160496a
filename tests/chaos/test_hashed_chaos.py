"""Addresses and numbers as keyed hashes, while the worker is killed: the same customers as a computation at once.

And no raw value is in any row, or in any topic behind the channels, but for the dead letters.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

import schemas
from connectors.simulators import IdentityNoise, Simulation
from stream_app.app import load_policy
from stream_app.domain.offline import who_is_who
from stream_app.runs.comparison import good_events
from stream_app.runs.feed import Speed
from tests.pipeline_job import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.pipeline_job import Outcome

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(480)]

CHANNELS = ("web", "store", "call_center")
HASHED = ("email", "phone")
SECONDS = 10.0
KILLS = 4


class Hashed(NamedTuple):
    """What a deployment came to and had to come to; the raw values, and all that is in its rows and topics."""

    found: Outcome
    wanted: Mapping[str, str]
    raw: set[bytes]
    kept: dict[str, list[bytes]]


@pytest.fixture(scope="module")
def hashed(bootstrap_servers, tmp_path_factory) -> Iterator[Hashed]:
    folder = tmp_path_factory.mktemp("hashed")
    shipped = schemas.read_yaml("policies/identity.yaml")
    for space in shipped["namespaces"]:
        space["hashed"] = space["name"] in HASHED
    (folder / "policy.yaml").write_text(yaml.safe_dump(shipped))
    settings = {
        "RACCORD_CHANNELS": ",".join(CHANNELS),
        "RACCORD_EPOCH_MS": "50",
        "RACCORD_IDENTITY_POLICY": str(folder / "policy.yaml"),
        "RACCORD_CUSTOMER_KEY": "the key of this test",
    }
    simulation = Simulation(5, shoppers=200, days=1, identity_noise=IdentityNoise().times(5))
    planned = [one for one in simulation.records() if one.channel in CHANNELS]
    with Pipeline(bootstrap_servers, f"t{uuid.uuid4().hex[:10]}.", folder, settings) as pipeline:
        pipeline.start("w1")
        speed = Speed((planned[-1].at - planned[0].at) / 1000 / SECONDS)
        feeding = threading.Thread(target=pipeline.play, args=(planned, speed))
        feeding.start()
        kill(pipeline)
        feeding.join()
        pipeline.drain(90, supervised=True)
        policy = load_policy(pipeline.settings)
        key = pipeline.settings.customer_key.get_secret_value().encode()
        events = good_events(planned, policy, key)
        found = pipeline.outcome()
        pipeline.workers["w1"].stop()
        yield Hashed(found, who_is_who(policy, events, key), raw_values(planned), kept(pipeline))


def kill(pipeline: Pipeline) -> None:
    """Kill the worker some times, wherever it is in its work."""
    draw = random.Random(7)
    for _ in range(KILLS):
        time.sleep(draw.uniform(1.0, 3.0))
        pipeline.workers["w1"].kill()
        pipeline.start("w1")


def raw_values(planned: list[Any]) -> set[bytes]:
    """Return what was sent, in small letters: normalising does no more to an address."""
    found = set()
    for one in planned:
        for name in HASHED if one.event is not None else ():
            value = one.event.identifiers.get(name)
            each = value if isinstance(value, list) else [value]
            found |= {str(text).strip().lower().encode() for text in each if text}
    return found


def kept(pipeline: Pipeline) -> dict[str, list[bytes]]:
    """Return all rows of all stores, and all records of all topics but the channels and the dead letters."""
    topics = pipeline.topics
    content = {
        task: [key + b"|" + value for key, value in rows.items()] for task, rows in pipeline.rows().items()
    }
    behind = (
        topics.lookup, topics.components, topics.timeline, topics.profiles, topics.changes, topics.decisions,
        *topics.triggers.values(), *topics.changelogs.values(),
    )  # fmt: skip
    for topic in behind:
        content[topic] = [(one.key or b"") + b"|" + (one.value or b"") for one in pipeline.read(topic)]
    return content


def test_events_are_whose_they_are_by_the_rules(hashed):
    assert len(set(hashed.wanted.values())) > 100
    assert hashed.found.owner == {event_id: one for event_id, one in hashed.wanted.items() if one}
    assert hashed.found.books.lost == hashed.found.books.doubled == 0


def test_no_raw_value_is_in_any_row_or_behind_the_channels(hashed):
    assert len(hashed.raw) > 50
    assert sum(map(len, hashed.kept.values())) > 2_000
    whole = {where: b"\n".join(content).lower() for where, content in hashed.kept.items()}
    assert [(where, value) for where, text in whole.items() for value in hashed.raw if value in text] == []
