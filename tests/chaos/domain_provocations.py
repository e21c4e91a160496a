"""What provokes each planted bug of the domain: pairs of components that join while events come for both.

One deployment, one story for all three bugs:
1. each shopper is two components: a browser with a basket, and a loyalty card;
2. one event names both; while they join, events come for either, in every epoch that this takes. Those that come for
   the one that has just gone are passed on by its redirect, until REPOINT has told all identifiers where they live now;
3. the baskets' time is up, triggers are sent; the worker is killed; and something comes late, so that all is folded
   again from what the rows say.

The oracle (`oracle`) then reads the topics and the stores.
"""

from __future__ import annotations

import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import yaml

from stream_app.app import load_policy
from stream_app.errors import UserError
from stream_app.runs.workers import WorkerProcess
from tests.chaos.deployment import RULE
from tests.chaos.oracle import Oracle, differences, differences_of_rows, look
from tests.pipeline_job import START, Pipeline, happened
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectors.planned import Planned

SHOPPERS = 12
ROUNDS = 40
"""Of events while components join, a tenth of an epoch apart."""
EPOCH_MS = 200
END = 30
"""Minute at which all is over."""


class Broken(Pipeline):
    """A deployment in which a bug may be planted; without the native part, where it would not be."""

    def __init__(self, bootstrap: str, folder: Path, bug: str | None) -> None:
        rules = folder / "rules"
        rules.mkdir(parents=True)
        (rules / "abandoned_cart.yaml").write_text(RULE)
        settings = {
            "RACCORD_CHANNELS": "web,store",
            "RACCORD_EPOCH_MS": str(EPOCH_MS),
            "RACCORD_RULES": str(rules),
            "RACCORD_NATIVE": "0",
        }
        if bug is not None:
            settings["RACCORD_PLANT"] = bug
        super().__init__(bootstrap, f"t{uuid.uuid4().hex[:10]}.", folder, settings)

    def start(self, *names: str) -> None:
        for name in names:
            if name not in self.workers:
                self.workers[name] = WorkerProcess(name, self.environment, self.folder / f"{name}.log")
                self.workers[name].command = [sys.executable, "-m", "tests.chaos.worker", "worker"]
            self.workers[name].start()

    def passed_on(self) -> float:
        """Return how many messages were passed on by a redirect."""
        lines = [
            line for line in self.metrics("w1").splitlines() if line.startswith("raccord_forwarded_total")
        ]
        return sum(float(line.split()[-1]) for line in lines)


def of(n: int, *names: str) -> dict[str, Any]:
    known = {"cookie": f"browser-{n}", "loyalty": f"CARD-{n}"}
    return {name: known[name] for name in names}


def apart() -> Iterator[Planned]:
    for n in range(SHOPPERS):
        basket = {
            "cart_id": f"cart-{n}",
            "product_id": "SKU-1",
            "price": 40.0,
            "quantity": 1,
            "currency": "EUR",
        }
        yield happened(f"add-{n}", 10, "Product Added", of(n, "cookie"), **basket)
        yield happened(f"card-{n}", 1, "Visit Started", of(n, "loyalty"), channel="store")


def joining(pipeline: Pipeline) -> None:
    """Name both of each shopper's components in one event, and go on with either, in real time."""
    pipeline.play(happened(f"both-{n}", 2, "Signed In", of(n, "cookie", "loyalty")) for n in range(SHOPPERS))
    for turn in range(ROUNDS):
        pipeline.play(
            happened(f"{name}-{n}-{turn}", 3, "Product Viewed", of(n, name), channel=channel, sku="SKU-1")
            for n in range(SHOPPERS)
            for name, channel in (("cookie", "web"), ("loyalty", "store"))
        )
        time.sleep(EPOCH_MS / 10_000)


def late() -> Iterator[Planned]:
    for n in range(SHOPPERS):
        yield happened(f"late-{n}", 4, "Product Viewed", of(n, "cookie"), sku="SKU-2", arrives=END)


def noticed(bootstrap: str, folder: Path, bug: str | None) -> str | None:
    """Tell the story with a bug planted (None: none is) and say what the oracle notices; None: nothing."""
    until = START + END * 60_000
    with Broken(bootstrap, folder, bug) as pipeline:
        pipeline.start("w1")
        assert wait_for(pipeline.at_work), pipeline.log("w1")[-2_000:]
        try:
            pipeline.play(apart())
            pipeline.drain(20)
            joining(pipeline)
            pipeline.drain(20)
            if bug != "drops a redirect":
                assert pipeline.passed_on() > SHOPPERS, "nothing came for a component that had joined another"
            pipeline.mark(until)
            pipeline.drain(20)
            pipeline.workers["w1"].kill()
            pipeline.start("w1")
            pipeline.play(late())
            pipeline.mark(until)
            pipeline.drain(30)
        except UserError as error:
            return str(error)
        told = examine(pipeline, until)
    return "; ".join(told) or None


def examine(pipeline: Pipeline, until: int) -> list[str]:
    """Ask the oracle about a deployment whose worker has nothing left to do; it is stopped."""
    topics, settings = pipeline.topics, pipeline.settings
    oracle = Oracle(
        pipeline.bootstrap,
        load_policy(settings),
        settings.customer_key.get_secret_value().encode(),
        yaml.safe_load(RULE),
        {},
    )
    wanted = oracle.expect(topics.channels, until)
    found = look(
        pipeline.bootstrap,
        timeline=topics.timeline,
        profiles=topics.profiles,
        dead_letters=topics.dead_letters,
        triggers=topics.triggers.values(),
    )
    assert len(wanted.fires) == SHOPPERS, "the story has not so many baskets"
    pipeline.workers["w1"].stop()
    rows = pipeline.rows()
    return [*differences(wanted, found), *differences_of_rows(wanted, rows, rows)]
