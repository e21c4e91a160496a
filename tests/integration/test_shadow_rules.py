"""Shadow rules on a real broker: only differences are published, each once, across a kill and a changed shadow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.pipeline_job import START, Pipeline, happened
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.broker

CART = """\
name: cart
version: {version}
key: cart_id
opens: {{event: Product Added}}
closes: {{event: Order Completed}}
after: 30m
if: cart.value >= {least}
"""
MINUTE = 60_000
SHOPPERS = 6
PATIENCE_S = 90.0


class Shop(Pipeline):
    """A deployment with a live rule, and a shadow that asks for more."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.rules, self.shadow = folder / "rules", folder / "shadow"
        for place in (self.rules, self.shadow):
            place.mkdir()
        (self.rules / "cart.yaml").write_text(CART.format(version=1, least="20.0"))
        self.shadow_rule(2, "50.0")
        settings = {
            "RACCORD_CHANNELS": "web",
            "RACCORD_RULES": str(self.rules),
            "RACCORD_SHADOW_RULES": str(self.shadow),
        }
        super().__init__(bootstrap, prefix, folder, settings)

    def shadow_rule(self, version: int, least: str) -> None:
        written = self.shadow / "cart.new"
        written.write_text(CART.format(version=version, least=least))
        written.replace(self.shadow / "cart.yaml")

    def baskets(self, act: str, minute: int) -> None:
        """Have everybody leave a basket; every second one is worth 60, the others 40."""
        self.play(
            happened(
                f"{act}-{n}",
                minute,
                "Product Added",
                {"email": f"shopper{n}@example.org"},
                cart_id=f"{act}-{n}",
                sku="A",
                price=40.0 + 20 * (n % 2),
                quantity=1,
                currency="EUR",
            )
            for n in range(SHOPPERS)
        )
        self.mark(START + (minute + 31) * MINUTE)

    def said(self) -> list[tuple[str, str, int]]:
        found = self.outputs(self.topics.shadow)
        return sorted((one["opened_by"], one["outcome"], one["shadow_version"]) for one in found)


def only_live(act: str, version: int) -> list[tuple[str, str, int]]:
    return [(f"{act}-{n}", "would_not_have_fired", version) for n in range(0, SHOPPERS, 2)]


@pytest.fixture
def shop(bootstrap_servers, topic_prefix, tmp_path) -> Iterator[Shop]:
    with Shop(bootstrap_servers, topic_prefix, tmp_path) as shop:
        yield shop


def test_differences_are_published_once_across_a_kill_and_counted_by_the_command(shop):
    shop.start("w1")
    shop.baskets("first", 0)
    shop.drain(PATIENCE_S)
    assert shop.said() == only_live("first", 2)
    shop.workers["w1"].kill()
    shop.baskets("second", 60)
    shop.start("w1")
    shop.drain(PATIENCE_S)
    assert shop.said() == sorted(only_live("first", 2) + only_live("second", 2))
    shop.play(
        [
            happened(
                "first-order",
                10,
                "Order Completed",
                {"email": "shopper0@example.org"},
                arrives=95,
                order_id="o1",
                total=40.0,
                currency="EUR",
            )
        ]
    )
    shop.mark(START + 100 * MINUTE)
    shop.drain(PATIENCE_S)
    assert ("first-0", "no_difference", 2) in shop.said()

    told = shop.raccord("rules", "shadow", "--json")
    assert told.returncode == 0, told.stderr
    (one,) = map(json.loads, told.stdout.decode().splitlines())
    assert (one["rule"], one["shadow_version"], one["live_version"]) == ("cart", 2, 1)
    assert (one["both"], one["only_live"], one["only_shadow"]) == (SHOPPERS, SHOPPERS - 1, 0)
    assert one["reasons"] == {"condition": SHOPPERS - 1}
    shown = shop.raccord("rules", "shadow").stdout.decode()
    assert "only live: customer" in shown
    assert "example.org" not in shown


def test_a_changed_shadow_takes_over_and_the_live_rule_does_not_notice(shop):
    shop.start("w1")
    shop.baskets("first", 0)
    shop.drain(PATIENCE_S)
    shop.shadow_rule(3, "40.0")
    line = 'raccord_shadow_rule_in_force{rule="cart",version="3"} 1.0'
    assert wait_for(lambda: line in shop.metrics("w1"), PATIENCE_S)
    shop.baskets("second", 60)
    shop.drain(PATIENCE_S)
    assert shop.said() == only_live("first", 2)
    fired = shop.outputs(shop.topics.triggers["cart"])
    assert sorted((one["opened_by"], one["version"]) for one in fired) == sorted(
        (f"{act}-{n}", 1) for act in ("first", "second") for n in range(SHOPPERS)
    )
