"""One run: shoppers, a schedule of faults, the end of it all, and the oracle's word on what has come of it."""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stream_app.app import load_policy
from stream_app.errors import UserError
from tests import numbers_offline
from tests.chaos.broker import ProxiedBroker
from tests.chaos.cluster import Cluster
from tests.chaos.deployment import AFTER_MS, RULE, WORKERS, Deployment
from tests.chaos.faults.every import ALL, FAULTS, OF_A_CLUSTER
from tests.chaos.faults.fault import Scene
from tests.chaos.faults.of_state import small_disks
from tests.chaos.intake import Intake
from tests.chaos.oracle import Oracle, differences, differences_of_rows, look
from tests.chaos.schedule import Conductor, draw
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.faults.fault import Fault
    from tests.chaos.oracle import Expected

PER_SECOND = 6.0
"""Shoppers that each second brings: about 80 records."""
READY_S = 60.0
REST_S = 2.0
"""For so long all tasks must have an owner before the stores are read: a group that forms tells of some twice."""


@dataclass
class Plan:
    """What a run is to be.

    Attributes:
        seed: of everything that is drawn.
        seconds: for how long shoppers come, and things go wrong.
        faults: names of those that may be drawn; none: all.
        folder: for state and logs; None: a temporary one, which is removed when nothing was wrong.
        per_second: shoppers for each second.
        environment: further variables of the workers.
        brokers: 1, behind a proxy, or 3.
    """

    seed: int
    seconds: float
    faults: Sequence[str] = ()
    folder: Path | None = None
    per_second: float = PER_SECOND
    environment: dict[str, str] = field(default_factory=dict)
    brokers: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The faults that may be drawn."""
        return tuple(self.faults) or tuple(FAULTS if self.brokers == 1 else OF_A_CLUSTER)


@dataclass
class Report:
    """What came of a run.

    Attributes:
        wrong: what the oracle found, one sentence each; none: nothing.
        survived: name of a fault -> how many began and ended.
        left_out: name of a fault -> why it could not be done.
        ledger: read = applied + duplicate + dead_lettered + dropped.
        restarts: exit code -> how often a worker ended by itself and was started again.
    """

    wrong: list[str] = field(default_factory=list)
    survived: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)
    dead_letters: dict[str, int] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    log: str = ""


def run(plan: Plan, progress: Callable[[str], None] = lambda _: None) -> Report:
    """Carry a plan out."""
    with ExitStack() as stack:
        folder = plan.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="raccord-chaos-run-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        progress("starting Apache Kafka")
        broker = stack.enter_context(ProxiedBroker() if plan.brokers == 1 else Cluster())
        disks = [folder / "state" / name for name in WORKERS]
        if "full-disk" in plan.names:
            stack.enter_context(small_disks(disks))
        deployment = stack.enter_context(
            Deployment(broker.direct, broker.proxied, f"c{uuid.uuid4().hex[:8]}.", folder, plan.environment)
        )
        intake = Intake(plan.seed, plan.seconds, plan.per_second, set(deployment.topics.channels))
        stack.callback(intake.stop)
        return _Run(plan, Scene(broker, deployment, intake), folder, progress).whole()


class _Run:
    """The steps of a run, one after the other."""

    def __init__(self, plan: Plan, scene: Scene, folder: Path, progress: Callable[[str], None]) -> None:
        self.plan = plan
        self.scene = scene
        self.folder = folder
        self.progress = progress
        self.report = Report()

    def whole(self) -> Report:
        began = time.monotonic()
        deployment, intake = self.scene.deployment, self.scene.intake
        self.progress("starting two workers")
        deployment.start(*WORKERS)
        assert wait_for(deployment.at_work, READY_S), (
            "the workers do not begin: " + deployment.log("w1")[-2_000:]
        )
        log = self.folder / "schedule.jsonl"
        log.unlink(missing_ok=True)
        conductor = Conductor(self.scene, draw(self.plan.seed, self.plan.seconds, self._kinds()), log)
        intake.start(deployment._feed)
        conductor.run(self._tell)
        intake.join()
        report = self.report
        report.survived = conductor.survived
        report.log = log.read_text(encoding="utf-8") if log.exists() else ""
        self.progress("waiting for the workers to finish")
        until = intake.last_time + 2 * AFTER_MS
        try:
            deployment.settle(until)
            self._judge(until)
        except UserError as error:
            report.wrong.append(str(error))
        report.figures["bites"] = self._bites()
        report.restarts = {str(code): count for code, count in deployment.restarts.items()}
        report.figures["seconds"] = round(time.monotonic() - began, 1)
        return report

    def _kinds(self) -> list[type[Fault]]:
        kinds = []
        for name in self.plan.names:
            reason = ALL[name].impossible(self.scene)
            if reason is None:
                kinds.append(ALL[name])
            else:
                self.report.left_out[name] = reason
        return kinds

    def _bites(self) -> dict[str, int]:
        """Return what faults did that leave no other trace: a fault that does nothing is survived by anybody."""
        intake, proxy = self.scene.intake, getattr(self.scene.broker, "proxy", None)
        return {
            "records sent twice": intake.copies,
            "records out of order": intake.moved,
            "poison": intake.poisoned,
            "connections reset": 0 if proxy is None else proxy.torn,
        }

    def _tell(self, now: float, active: list[str]) -> None:
        share = min(1.0, now / self.plan.seconds)
        bar = "#" * int(30 * share)
        sent = self.scene.deployment._feed.sent
        self.progress(f"[{bar:<30}] {now:5.0f} s  {sent:7,} records  {' + '.join(active) or '-'}")

    def _judge(self, until: int) -> None:
        deployment, report = self.scene.deployment, self.report
        self.progress("asking the oracle")
        oracle = Oracle(
            deployment.bootstrap,
            load_policy(deployment.settings),
            deployment.settings.customer_key.get_secret_value().encode(),
            yaml.safe_load(RULE),
            self.scene.intake.bad,
        )
        wanted = oracle.expect(deployment.topics.channels, until)
        self._compare_topics(wanted, "live")
        self.progress("reading the stores, removing them, and having them rebuilt")
        before = self._rows_at_rest()
        for folder in deployment.settings.data.iterdir():  # those too of workers that came and went
            deployment.wipe(folder.name)
        deployment.start(*WORKERS)
        after = self._rows_at_rest()
        report.wrong += differences_of_rows(wanted, before, after)
        self._compare_topics(wanted, "after the rebuild")
        report.figures |= {
            "events": len(wanted.events),
            "customers": len(set(wanted.owner.values())),
            "fires": len(wanted.fires),
            "fires that either way would do": sum(not fire.sure for fire in wanted.fires.values()),
            "rows": sum(map(len, before.values())),
            "numbers": len(numbers_offline.published(deployment)),
        }

    def _compare_topics(self, wanted: Expected, when: str) -> None:
        deployment, report, topics = self.scene.deployment, self.report, self.scene.deployment.topics
        report.wrong += [f"{when}: {line}" for line in numbers_offline.differences(deployment)]
        found = look(
            deployment.bootstrap,
            timeline=topics.timeline,
            profiles=topics.profiles,
            dead_letters=topics.dead_letters,
            triggers=topics.triggers.values(),
        )
        report.wrong += [f"{when}: {line}" for line in differences(wanted, found)]
        books = deployment.books()
        report.ledger = {
            "read": sum(books.read.values()),
            "applied": sum(books.applied.values()),
            "duplicate": sum(books.duplicates.values()),
            "dead_lettered": sum(books.dead_by_channel.values()),
            "dropped": books.dropped,
        }
        report.dead_letters = dict(sorted(books.dead_letters.items()))
        if not books.balanced:
            report.wrong.append(
                f"{when}: the ledger does not balance: {report.ledger}, {books.lost} lost, {books.doubled} doubled"
            )
        told = {
            "read": wanted.read,
            "applied": len(wanted.owner),
            "duplicate": wanted.duplicates,
            "dead_lettered": len(wanted.refused),
            "dropped": len(wanted.events) - len(wanted.owner),
        }
        if told != report.ledger:
            report.wrong.append(f"{when}: the ledger is {report.ledger} and must be {told}")

    def _rows_at_rest(self) -> dict[str, dict[bytes, bytes]]:
        """Stop the workers in order, one after the other, and return what their stores hold.

        The second one takes over what the first one had, and is stopped when it has done so: told to stop in the midst
        of that, it leaves stores that still wait for their turn as they were last flushed. Nothing is lost by that (the
        changelog has it), but what lies on the disk is old.
        """
        deployment, codes = self.scene.deployment, []
        for name in WORKERS:
            rests = wait_for(lambda: deployment.stays_at_work(REST_S), READY_S)
            assert rests, "the workers do not take up all tasks"
            codes.append(deployment.leave(name))
        if any(codes):  # who is killed for not stopping leaves rows that are older than its last word
            self.report.wrong.append(f"the workers did not stop in order: exit codes {codes}")
        self.report.figures.setdefault("stores", []).append(deployment.places())
        return deployment.rows()


def seed_of_the_day() -> int:
    """Return a seed that was never drawn before."""
    return random.SystemRandom().randrange(1_000_000)
