"""The whole pipeline while workers are killed and frozen, against an undisturbed run over the same records.

The undisturbed run reads copies of the very records, clock markers among them, partition by partition: so that
each event finds its source's clock where it stood, and what was late then is late now. What must be equal:
- which customer each event belongs to, her timeline, her profile, all of it;
- what is refused, and why; that nothing is lost and nothing is there twice (the auditor's books);
- which triggers have a fire as their last word.

What may differ, because it is about *when* a worker came to know something:
- how often a trigger was sent and taken back before its last word, and what a timeline row's revision is: a
  purchase that is found through a merge stops the trigger, or takes it back, whichever comes first;
- a trigger that only what came late justifies (it moves the opening of a basket, say) is sent by a pipeline
  whose clock has not passed its due time yet, and held back, as `past`, by one that was further. So a trigger
  that one run sent and the other recorded as held back for that reason is no difference.

The rule is the shipped one without `at_most`: what that allows depends on what was sent before.
"""

from __future__ import annotations

import random
import re
import shutil
import threading
import time
import uuid
from typing import TYPE_CHECKING

import pytest

import schemas
from connectors.simulators import Simulation
from stream_app.runs.feed import Speed
from tests.pipeline_job import HOUR, MINUTE, START, Pipeline, happened

if TYPE_CHECKING:
    from pathlib import Path

    from connectors.planned import Planned
    from tests.pipeline_job import Outcome

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(480)]

CHANNELS = ("web", "app", "store", "email")
SECONDS = 32.0
SESSION_MS = 6_000
FROZEN_S = 9.0
WORKERS = ("w1", "w2")


def records() -> list[Planned]:
    """A day of shoppers, with all that goes wrong on the way to the channels."""
    return [one for one in Simulation(7, shoppers=450, days=1).records() if one.channel in CHANNELS]


def more() -> list[Planned]:
    """What the same shoppers and a new one do after the disturbance."""
    later = [one for one in records() if one.note is None and one.event is not None][:300]
    for number, one in enumerate(later):
        one.event.event_id = f"again-{number}"
        one.event.time += 30 * HOUR
        one.at += 30 * HOUR
    return [*later, happened("new", 54 * 60, "Product Viewed", {"cookie": "new"}, arrives=54 * 60)]


def settings(folder: Path) -> dict[str, str]:
    rules = folder / "rules"
    rules.mkdir()
    shipped = schemas.read_text("rules/abandoned_cart.yaml")
    (rules / "abandoned_cart.yaml").write_text(re.sub(r"^at_most:.*\n", "", shipped, flags=re.MULTILINE))
    return {
        "RACCORD_CHANNELS": ",".join(CHANNELS),
        "RACCORD_RULES": str(rules),
        "RACCORD_SESSION_TIMEOUT_MS": str(SESSION_MS),
        "RACCORD_EPOCH_MS": "50",
    }


def disturb(pipeline: Pipeline, feeding: threading.Thread, rnd: random.Random) -> tuple[int, int]:
    """Kill, restart and freeze workers until nothing is fed any more; return (kills, freezes)."""
    kills = freezes = 0
    steps = ("kill", "freeze", "kill", "kill")
    while feeding.is_alive():
        time.sleep(rnd.uniform(2.0, 3.5))
        victim = rnd.choice(WORKERS)
        if steps[(kills + freezes) % len(steps)] == "kill":
            pipeline.workers[victim].kill()
            kills += 1
            time.sleep(rnd.uniform(0.0, 1.0))
            pipeline.start(victim)
        else:
            pipeline.pause(victim)
            time.sleep(FROZEN_S)
            pipeline.resume(victim)
            freezes += 1
        time.sleep(2.0)
        pipeline.supervise()
    return kills, freezes


def assert_same(disturbed: Outcome, calm: Outcome) -> None:
    assert disturbed.owner == calm.owner
    assert disturbed.timeline == calm.timeline
    assert disturbed.profiles == calm.profiles
    assert disturbed.books.dead_letters == calm.books.dead_letters
    only = {"disturbed": disturbed.net - calm.net, "calm": calm.net - disturbed.net}
    assert all("past" in calm.held_back.get(trigger, ()) for trigger in only["disturbed"]), only
    assert all("past" in disturbed.held_back.get(trigger, ()) for trigger in only["calm"]), only
    for outcome in (disturbed, calm):
        assert outcome.books.balanced
        assert outcome.books.lost == outcome.books.doubled == 0
        assert len(outcome.timeline) > 100
        assert len(outcome.net) > 30


def test_kills_and_freezes_change_nothing_and_neither_does_a_wiped_state_folder(bootstrap_servers, tmp_path):
    name = uuid.uuid4().hex[:10]
    shared = settings(tmp_path)
    planned = records()
    speed = Speed((planned[-1].at - planned[0].at) / 1000 / SECONDS)
    with (
        Pipeline(bootstrap_servers, f"t{name}.a.", tmp_path / "disturbed", shared) as disturbed,
        Pipeline(bootstrap_servers, f"t{name}.b.", tmp_path / "calm", shared) as calm,
    ):
        disturbed.start(*WORKERS)
        feeding = threading.Thread(target=disturbed.play, args=(planned, speed))
        feeding.start()
        kills, freezes = disturb(disturbed, feeding, random.Random(3))
        feeding.join()
        assert kills >= 3
        assert freezes >= 1
        assert disturbed._feed.sent == len(planned)
        disturbed.mark(START + 40 * HOUR)
        disturbed.drain(90, supervised=True)
        calm.copy_inputs_from(disturbed)
        calm.start("w1")
        calm.drain(90)
        assert_same(disturbed.outcome(), calm.outcome())

        for worker in disturbed.workers.values():
            worker.kill()
        shutil.rmtree(tmp_path / "disturbed" / "state")
        for pipeline in (disturbed, calm):
            pipeline.play(more())
            pipeline.mark(START + 54 * HOUR + 31 * MINUTE)
        disturbed.start(*WORKERS)
        disturbed.drain(90)
        calm.drain(90)
        assert_same(disturbed.outcome(), calm.outcome())
