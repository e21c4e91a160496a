"""Rules that are changed under running workers, on a real broker: each event is judged by one version, once.

Rules that fire at once tell by which version an event was judged: the trigger names it, and the event that opened it.
The clock is the test's (`RACCORD_TIME=events`).
"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from stream_app.topology import Topics
from tests.pipeline_job import START, Pipeline, decoded, happened
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.broker

RULE = """\
name: {name}
version: {version}
opens: {{event: {event}}}
after: {after}
"""
MINUTE = 60_000
SHOPPERS = 8
PATIENCE_S = 90.0


def patiently(holds: Callable[[], bool]) -> bool:
    return wait_for(holds, PATIENCE_S)


class Shop(Pipeline):
    """A deployment with a folder of rules of its own."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.rules = folder / "rules"
        self.rules.mkdir()
        self.rule("asked", 1, "Product Viewed")
        self.rule("left", 1, "Product Added", "30m")
        super().__init__(
            bootstrap, prefix, folder, {"RACCORD_CHANNELS": "web", "RACCORD_RULES": str(self.rules)}
        )
        self.minute = 0
        self.viewed: dict[int, set[str]] = {}

    def rule(self, name: str, version: int, event: str, after: str = "0s", text: str = "") -> None:
        """Write a rule file as an editor does: whole, under another name, then moved to its place."""
        written = self.rules / f"{name}.new"
        written.write_text(text or RULE.format(name=name, version=version, event=event, after=after))
        written.replace(self.rules / f"{name}.yaml")

    def view(self, version: int) -> None:
        """Have everybody look at something, to be judged by this version of `asked`."""
        self.minute += 1
        for n in range(SHOPPERS):
            name = f"view-{self.minute}-{n}"
            self.viewed.setdefault(version, set()).add(name)
            self.play([happened(name, self.minute, "Product Viewed", {"email": f"shopper{n}@example.org"})])
        self.pass_until(self.minute)

    def pass_until(self, minute: float) -> None:
        self.mark(START + round(minute * MINUTE) + 1)

    def fired(self, name: str = "asked") -> list[tuple[int, str]]:
        """Return (version, opening event) of a rule's messages, which must all be fires."""
        messages = [decoded(record.value) for record in self.read(self.topics.triggers[name])]
        assert {message["action"] for message in messages} <= {"fire"}
        return sorted((message["version"], message["opened_by"]) for message in messages)

    def expected(self) -> list[tuple[int, str]]:
        return sorted((version, name) for version, names in self.viewed.items() for name in names)

    def runs(self, rule: str, version: int) -> bool:
        line = f'raccord_rule_in_force{{rule="{rule}",version="{version}"}} 1.0'
        return all(line in self.metrics(name) for name in self.workers)

    def has_failed(self) -> bool:
        return all("raccord_rules_reload_failed 1.0" in self.metrics(name) for name in self.workers)


@pytest.fixture
def shop(bootstrap_servers, topic_prefix, tmp_path) -> Iterator[Shop]:
    with Shop(bootstrap_servers, topic_prefix, tmp_path) as shop:
        yield shop


def test_events_before_a_change_are_judged_by_the_old_version_and_events_after_it_by_the_new_one(shop):
    shop.start("w1")
    shop.view(1)
    shop.play([happened("basket", 1, "Product Added", {"email": "shopper0@example.org"})])
    shop.drain(PATIENCE_S)
    assert shop.fired() == shop.expected()

    shop.rule("asked", 2, "Product Viewed")
    shop.rule("left", 2, "Product Added", "40m")
    assert patiently(lambda: shop.runs("asked", 2) and shop.runs("left", 2))
    shop.view(2)
    shop.pass_until(35)
    shop.drain(PATIENCE_S)
    assert shop.fired() == shop.expected()
    assert shop.fired("left") == []  # what was pending is judged by the new version
    shop.pass_until(42)
    shop.drain(PATIENCE_S)
    assert shop.fired("left") == [(2, "basket")]


def test_a_broken_file_changes_nothing_and_the_metric_says_so_until_it_is_mended(shop):
    shop.start("w1")
    shop.view(1)
    shop.drain(PATIENCE_S)
    shop.rule("asked", 2, "", text="name: asked\nversion: 2\nopens: {event: Product Viewed}\nafter: soon\n")
    assert patiently(shop.has_failed)
    shop.view(1)
    shop.drain(PATIENCE_S)
    assert shop.fired() == shop.expected()
    assert f"{shop.rules / 'asked.yaml'}:4:8: " in shop.log("w1")

    shop.rule("asked", 3, "Product Viewed")
    assert patiently(lambda: shop.runs("asked", 3) and not shop.has_failed())
    shop.view(3)
    shop.drain(PATIENCE_S)
    assert shop.fired() == shop.expected()


def test_a_new_rule_waits_for_its_topic_and_a_removed_one_ends(shop):
    shop.start("w1")
    shop.play([happened("basket", 1, "Product Added", {"email": "shopper0@example.org"})])
    shop.view(1)
    shop.drain(PATIENCE_S)
    text = RULE.format(name="looked", version=1, event="Product Viewed", after="0s")
    shop.rule(
        "looked", 1, "", text=text + "grace: 0s\n"
    )  # else what was due a little while ago is still sent
    (shop.rules / "left.yaml").unlink()
    assert patiently(shop.has_failed)
    assert "triggers.looked is missing - run `raccord topics create`" in shop.log("w1")
    shop.view(1)
    shop.drain(PATIENCE_S)

    shop.topics = Topics.of(shop.settings, ("asked", "left", "looked"))
    assert shop.raccord("topics", "create").returncode == 0
    assert patiently(lambda: shop.runs("looked", 1) and not shop.has_failed())
    shop.view(1)
    shop.pass_until(60)
    shop.drain(PATIENCE_S)
    assert shop.fired() == shop.expected()
    assert [name for _, name in shop.fired("looked")] == sorted(f"view-3-{n}" for n in range(SHOPPERS))
    assert shop.fired("left") == []


def test_a_worker_that_is_killed_around_a_change_fires_everything_once(shop):
    shop.start("w1", "w2")
    shop.view(1)
    shop.drain(PATIENCE_S)
    shop.rule("asked", 2, "Product Viewed")
    assert patiently(lambda: shop.runs("asked", 2))
    shop.view(2)
    shop.workers["w1"].kill()
    shop.rule("asked", 3, "Product Viewed")
    shop.workers.pop("w1")
    assert patiently(lambda: shop.runs("asked", 3))
    shop.start("w1")
    assert patiently(lambda: shop.runs("asked", 3))
    shop.view(3)
    shop.drain(PATIENCE_S)
    # What was read in between, and not committed, is read again, by whichever version runs then: once all the same.
    names = [name for _, name in shop.fired()]
    assert sorted(names) == sorted(name for _, name in shop.expected())
    certain = [(version, name) for version, name in shop.expected() if version != 2]
    assert [one for one in shop.fired() if one[1] not in shop.viewed[2]] == certain
    assert {version for version, name in shop.fired() if name in shop.viewed[2]} <= {2, 3}


def test_a_signal_has_the_files_read_at_once_and_ends_nobody(shop):
    shop.start("w1")
    assert patiently(lambda: shop.runs("asked", 1))
    shop.rule("asked", 2, "Product Viewed")
    shop.workers["w1"]._process.send_signal(signal.SIGHUP)
    assert patiently(lambda: shop.runs("asked", 2))
    shop.view(2)
    shop.drain(PATIENCE_S)
    assert shop.fired() == shop.expected()
    assert len(re.findall("rules_in_force", shop.log("w1"))) == 2
