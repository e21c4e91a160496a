"""The seeded scheduler: which step comes next, what fails, and when it is over.

Everything is drawn from the seed. First the world is unruly, for a number of steps: records come,
workers fetch, work, commit and restore in any order; rebalances, crashes, freezes and faults strike in between. Then
it is calm: nothing fails any more, the frozen are thawed or ended, the dead are started again, and the job must come
to rest, with exactly the outcome that it has when nothing goes wrong.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from stream_app.engine.codec import WATERMARK_HEADER
from stream_app.engine.flights import ARRIVALS_HEADER
from stream_app.engine.timers import TIMERS, Timers
from tests.simulation.group import Group
from tests.simulation.process import FAULTS, POINTS, Fate, Process
from tests.simulation.rows import differing, rebuilt
from tests.simulation.seams import NOW, START_S
from tests.simulation.transactions import Broker

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.engine.task import Task
    from tests.simulation.disk import Disk
    from tests.simulation.job import Job

SLOTS = ("w1", "w2")
ROUNDS = 600
"""So many rounds of the calm world bring any job to rest; more is a job that hangs."""
QUIET_LIVE = 20
"""A live job is at rest when so many rounds long nothing but clocks moved: what was under way is committed by then."""

NEVER = 2**63
_CLOCKS = frozenset({WATERMARK_HEADER, ARRIVALS_HEADER})

Action = tuple[float, str, "Callable[[], None]"]


class WrongOutcomeError(AssertionError):
    """A run that did not come to what it had to."""


class World:
    """One run of one job under one seed."""

    def __init__(self, job: Job, seed: int, say: Callable[[str], None] | None = None) -> None:
        self.job = job
        self.random = random.Random(seed)
        self.upsets = random.Random(f"upsets {seed}")
        self.say = say
        self.steps = 0
        self.unruly = self.random.choice(job.unruly)
        self.violence = self.random.choice((0.0, 0.5, 1.0, 2.0, 3.0))
        self.broker = Broker(job.partitions, Group(self.random, job.tps), job.stamped)
        self.processes: dict[str, Process] = {}
        self.zombies: list[Process] = []
        self.disks: dict[str, Disk] = {slot: {} for slot in SLOTS}
        self.older: dict[str, Disk] = {}
        self.lives = 0
        self.fed = 0
        self.rounds = 0
        self.struck: list[str] = []
        NOW.seconds, NOW.process = 0.0, None
        self.pass_time(0.0)

    # -- a run -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run to the end.

        Raises:
            WrongOutcomeError: it isn't what it had to be.
        """
        try:
            if self.random.random() < 0.7:
                self.begin_at_work()
            for _ in range(self.unruly):
                self.step(self.actions())
            self.calm_down()
            quiet, enough = 0, QUIET_LIVE if self.job.live else 1
            for _ in range(ROUNDS):
                quiet = quiet + 1 if self.round() else 0
                if quiet == enough:
                    break
            else:
                raise WrongOutcomeError("it does not come to rest: " + "; ".join(self.unrest()))
            if self.job.live:
                self.commit_all()
            self.judge()
        finally:
            self.end()

    def begin_at_work(self) -> None:
        """Start the workers, and have them take up their partitions undisturbed: it takes many steps otherwise."""
        violence, self.violence = self.violence, 0.0
        for slot in SLOTS:
            self.start(slot)
        for _ in range(6):
            self.round()
        self.violence = violence

    def step(self, actions: list[Action]) -> None:
        """Do one of these things."""
        self.pass_time(self.random.choice((0.0, 0.001, 0.01, 0.03)))
        _, name, call = self.random.choices(actions, [weight for weight, _, _ in actions])[0]
        self.steps += 1
        self.note(name)
        call()
        self.look_after()

    def look_after(self) -> None:
        """Bury the dead, and fail on an error that no worker may come to."""
        for process in [*self.processes.values(), *self.zombies]:
            if process.reached:
                for what in process.reached:
                    self.note(f"    {process.name}: {what}")
                self.struck += process.reached
                process.reached.clear()
            if process.dead:
                if process.wrong is not None:
                    msg = f"{process.name} ended with {type(process.wrong).__name__}: {process.wrong}"
                    raise WrongOutcomeError(msg) from process.wrong
                self.bury(process)
        for name in self.broker.expire():
            self.note(f"    the broker ends the transaction of {name}")

    def bury(self, process: Process) -> None:
        self.note(f"    {process.name} is dead")
        process.bury(self.random.randrange)
        if process in self.zombies:
            self.zombies.remove(process)
        elif self.processes.get(process.slot) is process:
            del self.processes[process.slot]

    def end(self) -> None:
        """Leave nothing behind."""
        for process in [*self.processes.values(), *self.zombies]:
            process.bury(lambda _: 0)

    def pass_time(self, seconds: float) -> None:
        NOW.seconds += seconds
        self.broker.seconds = NOW.seconds
        self.broker.now = int((START_S + NOW.seconds) * 1000)

    def note(self, text: str) -> None:
        if self.say is not None:
            self.say(f"{self.steps:5} {NOW.seconds:8.3f}  {text}")

    # -- what may come next ----------------------------------------------------------------------------

    def actions(self) -> list[Action]:
        """Return what may happen now, and how likely it is."""
        found: list[Action] = [(0.3, "time passes", lambda: self.pass_time(0.5))]
        if self.fed < len(self.job.inputs):
            found.append((4.0, "a record comes", self.feed))
        found += [
            (3.0, f"a marker of {one.name}", lambda one=one: self.marker(one))
            for one in self.broker.undelivered()
        ]
        heard_of = {one.member_id for one in self.everybody() if not one.frozen}
        found += [
            (0.5, f"{member} is given up", lambda member=member: self.give_up(member))
            for member in self.broker.group.members
            if member not in heard_of
        ]
        for process in self.everybody():
            found += self.of(process)
        for slot in SLOTS:
            if slot not in self.processes:
                found.append((1.0, f"{slot} starts", lambda slot=slot: self.start(slot)))
        if self.violence:
            found += self.violent()
        return found

    def everybody(self) -> list[Process]:
        return [*self.processes.values(), *self.zombies]

    def of(self, process: Process) -> list[Action]:
        """Return what a process may do next."""
        name = process.name
        if process.frozen:
            return [(0.4, f"{name} thaws", lambda: self.thaw(process))]
        found: list[Action] = []
        if process.restoring():
            found.append((5.0, f"{name} restores", lambda: self.restore(process)))
        if process.busy is not None:
            return [*found, (4.0, f"{name} goes on", process.go_on)]
        found.append((3.0, f"{name} fetches", lambda: self.fetch(process)))
        found.append((1.5, f"{name} ticks", lambda: process.do(process.tick)))
        found += [
            (4.0, f"{name} works: {agent}", lambda agent=agent: self.work(process, agent))
            for agent in process.fetching.waiting()
        ]
        change = self.change_of(process)
        if change is not None:
            found.append((2.0, f"{name} {change[0]}", change[1]))
        return found

    def change_of(self, process: Process) -> tuple[str, Callable[[], None]] | None:
        """Return what a process has to do as a member of its group, if there is anything."""
        group, member = self.broker.group, process.member_id
        assert member is not None
        if member not in group.members:
            return "learns that it is no member", lambda: self.rejoin(process)
        if not group.stable:
            return None if member in group.joined else ("gives up its partitions", lambda: self.join(process))
        if process.member != (member, group.generation):
            tps, generation = group.members[member], group.generation
            text = "is assigned " + " ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(tps))
            return text, lambda: process.do(lambda: process.assigned(tps, generation))
        return None

    def violent(self) -> list[Action]:
        v = self.violence
        found: list[Action] = [(0.1 * v, "a rebalance begins", self.rebalance)]
        for process in self.everybody():
            if process.fate is None and not process.frozen:
                found.append((0.8 * v, f"{process.name} is fated", lambda process=process: self.arm(process)))
            member = process.member_id or ""
            if member in self.broker.group.members:
                lost = f"{process.name} is not heard of"
                found.append((0.1 * v, lost, lambda member=member: self.give_up(member)))
            found.append((0.03 * v, f"{process.name} is killed", lambda process=process: self.kill(process)))
        for slot, process in self.processes.items():
            if process.frozen:
                elsewhere = f"{slot} is started elsewhere"
                found.append((0.3 * v, elsewhere, lambda slot=slot: self.replace(slot)))
            elif process.busy is None:
                found.append((0.03 * v, f"{process.name} is stopped", lambda p=process: self.stop(p)))
        return found

    # -- what happens ----------------------------------------------------------------------------------

    def feed(self) -> None:
        for one in self.job.inputs[self.fed : self.fed + self.random.choice((1, 1, 3, 8))]:
            self.broker.write(one.tp, one.key, one.value, one.headers, one.timestamp)
            self.fed += 1

    def marker(self, one: Any) -> None:
        where = self.broker.deliver(one, self.random.randrange(60))
        self.note(f"    at {where}")

    def give_up(self, member: str) -> None:
        self.broker.group.leave(member)
        self.broker.group.complete()

    def rebalance(self) -> None:
        self.broker.group.rebalance()

    def join(self, process: Process) -> None:
        def call() -> None:
            process.revoked()
            self.broker.group.join(process.member_id or "")
            self.broker.group.complete()

        process.do(call)

    def rejoin(self, process: Process) -> None:
        if process.member is not None and self.random.random() < 0.5:
            process.member = None  # the client has been told; that partitions are revoked comes later
            return

        def call() -> None:
            process.revoked()
            process.member = None
            process.member_id = self.broker.group.enter()
            self.broker.group.complete()

        process.do(call)

    def start(self, slot: str) -> None:
        """Start a worker on the disk of its slot, or on what became of it."""
        disk = self.disks[slot]
        what = self.random.random() if self.violence else 1.0
        if what < 0.2:
            disk = self.disks[slot] = {}
            self.note("    its disk is lost")
        elif what < 0.35:
            disk = self.disks[slot] = {name: files.copy() for name, files in self.older.get(slot, {}).items()}
            self.note("    its disk is an older one")
        elif what < 0.6:
            self.older[slot] = {name: files.copy() for name, files in disk.items()}
        self.lives += 1
        process = Process(f"{slot}.{self.lives}", slot, self.job, self.broker, disk, self.random)
        self.processes[slot] = process
        NOW.process = process
        process.start()
        self.broker.group.complete()

    def kill(self, process: Process) -> None:
        process.dead = True

    def stop(self, process: Process) -> None:
        """Have a worker end as SIGTERM does."""

        def call() -> None:
            process.fetching.stop()
            process.engine.stop()
            self.broker.group.leave(process.member_id or "")
            self.broker.group.complete()
            process.dead = True

        process.do(call)

    def arm(self, process: Process) -> None:
        point = self.random.choice(POINTS)
        what = self.random.choice(("crash", "freeze", *FAULTS.get(point, ()), *FAULTS.get(point, ())))
        process.fate = Fate(what, point, self.random.choice((1, 1, 2, 3, 6)))
        self.note(f"    {what} at {point}, {process.fate.left}")

    def restore(self, process: Process) -> None:
        for _ in range(self.random.choice((1, 3, 6))):
            if process.restoring() and not process.dead and not process.frozen:
                process.restore(self.random.randrange(60))

    def fetch(self, process: Process) -> None:
        process.fetch()
        if self.random.random() < 0.5 and not process.dead:
            process.fetch()

    def work(self, process: Process, agent: str) -> None:
        if self.violence and self.upsets.random() < self.job.upsets:
            process.upset = True
        process.do(lambda: process.work(agent))

    def thaw(self, process: Process) -> None:
        process.frozen = False

    def replace(self, slot: str) -> None:
        """Start a frozen worker's slot on another machine; the frozen one becomes a zombie."""
        zombie = self.processes.pop(slot)
        zombie.zombie = True
        zombie.name += "z"
        self.zombies.append(zombie)
        self.disks[slot] = {}
        self.start(slot)

    # -- the end ---------------------------------------------------------------------------------------

    def calm_down(self) -> None:
        """End what is wrong, and have nothing fail any more."""
        self.note("calm")
        self.violence = 0.0
        for process in self.everybody():
            process.calm = True
            process.fate = None
            process.upset = False
            process.frozen = False
            if process.zombie:
                process.dead = True
        self.look_after()
        self.fed, rest = len(self.job.inputs), self.job.inputs[self.fed :]
        for one in rest:
            self.broker.write(one.tp, one.key, one.value, one.headers, one.timestamp)

    def round(self) -> bool:
        """Have everybody do everything once; return whether all is at rest."""
        self.rounds += 1
        self.pass_time(0.06)
        group = self.broker.group
        for one in self.broker.undelivered():
            self.broker.finish(one)
        for member in list(group.members):
            if not any(process.member_id == member for process in self.everybody()):
                self.give_up(member)
        if not self.processes:
            self.start(SLOTS[0])
            self.processes[SLOTS[0]].calm = True
        for process in self.everybody():
            self.turn(process)
            self.look_after()
        return not self.unrest()

    def turn(self, process: Process) -> None:
        for _ in range(4):
            if process.restoring() and not process.dead:
                process.restore(0)
        if process.busy is not None:
            process.go_on()
            return
        change = None if process.dead else self.change_of(process)
        if change is not None:
            self.note(f"{process.name} {change[0]}")
            change[1]()
        if not process.dead:
            process.fetch()
        calls: list[Callable[[], Any]] = [
            lambda agent=agent: process.work(agent) for agent in process.fetching.waiting()
        ]
        calls.append(process.tick)
        for call in calls:
            if not process.dead and process.busy is None:
                process.do(call)

    def unrest(self) -> list[str]:
        """Say what is still to be done."""
        broker, live, found = self.broker, self.job.live, []
        if not live and (broker.undelivered() or any(log.open for log in broker.logs.values())):
            found.append("a transaction is open")
        ready = {task.tp: task for process in self.everybody() for task in process.engine.assignment.ready()}
        for tp in self.job.tps:
            task = ready.get(tp)
            if task is None:
                found.append(f"nobody reads {tp.topic}/{tp.partition}")
            elif self.left(task):
                found.append(f"{task.id} has more to do from {task.position} on")
        for process in self.everybody():
            tasks = process.engine.assignment.ready()
            if live:
                until = self.job.until
                found += [
                    f"{task.id} has a timer"
                    for task in tasks
                    if task.stage.tables and has_timer(task, NEVER if until is None else until)
                ]
            elif process.engine.epoch.unsaid(tasks):
                found.append(f"{process.name} has a watermark to tell of")
            if process.restoring() or (process.fetching.waiting() and not live):
                found.append(f"{process.name} is busy")
        return found

    def left(self, task: Task) -> bool:
        """Tell whether a task has something to do. A live clock never rests: what only tells of it does not count."""
        log = self.broker.logs[task.tp]
        if not self.job.live:
            return task.dirty or bool(log.read(task.position, 1)[0])
        records = log.read(task.position, log.end)[0]
        return any(not record.headers or record.headers[0][0] not in _CLOCKS for record in records)

    def commit_all(self) -> None:
        """End everybody's epoch."""
        for process in self.everybody():
            process.do(process.engine.commit)
        for one in self.broker.undelivered():
            self.broker.finish(one)

    def judge(self) -> None:
        """Compare what has come of it with what had to.

        Raises:
            WrongOutcomeError: it is something else.
        """
        problems: list[str] = []
        rows: dict[str, dict[bytes, bytes]] = {}
        for process in self.everybody():
            for task in process.engine.assignment.ready():
                if task.stage.tables:
                    stored = rows[task.id] = dict(task.store.rows.rows)
                    kept = rebuilt(self.broker, task.stage, task.tp.partition)
                    problems += differing(f"rows of {task.id} beside its changelog", stored, kept)
        problems += self.job.problems(self.broker, rows)
        if problems:
            raise WrongOutcomeError("; ".join(problems))


def has_timer(task: Task, until: int) -> bool:
    """Tell whether a task has a timer that is due before a time (ms) and has not fired."""
    timers = Timers(task.store.table(TIMERS.name))
    return timers.earliest < until
