"""The fetch loop, whatever happens between: rewinds, rebalances, seeks that fail, messages dropped on the way.

Of every partition each record is processed once, in order; and what the loop says of what has been read is never more
than what has been processed.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_app.engine import alignment, transport
from stream_app.engine.alignment import Aligner
from stream_app.engine.transport import BatchConsumer, Gate
from tests.property.examples import examples, search

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

STAGES = {"web": "ingest", "store": "ingest", "lookup": "resolve", "components": "customer"}
SOURCES = {"web", "store"}
PARTITIONS = [TP(topic, partition) for topic in STAGES for partition in range(2)]
WALL_MS = 10_000_000


class Thread:
    """Stands for the consumer's thread, and for the broker behind it."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.positions = dict.fromkeys(PARTITIONS, 0)
        self.answered: set[TP] = set()
        self.read_offsets = dict.fromkeys(PARTITIONS, 0)
        assignment = SimpleNamespace(state_value=lambda tp: self._state(TP(tp.topic, tp.partition)))
        subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        self._consumer = SimpleNamespace(_subscription=subscription)

    def _state(self, tp: TP) -> Any:
        at = int(self.life.now * 1000) if tp in self.answered else None
        return SimpleNamespace(
            has_valid_position=True,
            position=self.positions[tp],
            lso=self.life.end(tp),
            given=at,
            timestamp=at,
        )

    async def seek_wait(self, seeks: Mapping[TP, int]) -> None:
        chance = self.life.random
        if chance.random() < 0.2:
            raise TimeoutError
        self.positions.update(seeks)
        for tp, offset in seeks.items():
            self.read_offsets[tp] = offset

    async def getmany(self, wanted: Collection[TP], _timeout: float) -> dict[TP, list[Any]]:
        chance, found = self.life.random, {}
        for tp in chance.sample(sorted(wanted), chance.randint(0, len(wanted))):
            self.answered.add(tp)
            left = [one for one in self.life.logs[tp] if one.offset >= self.positions[tp]]
            taken = left[: chance.choice((1, 3, 8))]
            if taken:
                found[tp] = taken
                self.positions[tp] = taken[-1].offset + chance.choice((1, 1, 2))
                if len(taken) == len(left):
                    self.positions[tp] = self.life.end(tp)
                else:
                    self.positions[tp] = min(self.positions[tp], left[len(taken)].offset)
        self.life.meanwhile()
        return found


class Task:
    """One partition's processing, as the engine's tasks do it."""

    def __init__(self, position: int, since: int) -> None:
        self.position = self.committed = position
        self.since = since


class Life:
    """A worker's fetch loop and agents, in which anything may happen at any time."""

    def __init__(self, seed: int, *, live: bool) -> None:
        self.random = random.Random(seed)
        self.now = WALL_MS / 1000
        self.logs = {tp: self._log() for tp in PARTITIONS}
        self.calm = False
        self.queues: dict[str, deque[Any]] = {agent: deque() for agent in STAGES.values()}
        self.kept = dict.fromkeys(PARTITIONS, 0)
        self.tasks: dict[TP, Task] = {}
        self.gate = Gate(live=live)
        self.consumer: Any = BatchConsumer.__new__(BatchConsumer)
        self.consumer.gate = self.gate
        self.consumer._thread = self.thread = Thread(self)
        self.consumer._aligner = Aligner(self.now)
        self.consumer.flow_active = True
        self.consumer.app = SimpleNamespace(
            consumer_generation_id=1, conf=SimpleNamespace(broker_max_poll_records=3)
        )
        self.consumer.assignment = lambda: {*PARTITIONS}
        self.consumer._get_active_partitions = self._active
        self.consumer.log = SimpleNamespace(warning=lambda *_: None)
        self.consumer.sleep = self._pass
        self.assign()

    def _log(self) -> list[Any]:
        """Return records with holes between their offsets, about in the order of time."""
        chance, offset, log = self.random, 0, []
        time = chance.choice((-2_000, -600_000))
        for _ in range(chance.choice((0, 5, 30))):
            offset += chance.choice((1, 1, 1, 3))
            time += chance.choice((0, 1, 10, -5))
            stamp = WALL_MS + time if chance.random() < 0.9 else chance.choice((-1, 0, 10**12))
            log.append(SimpleNamespace(offset=offset, timestamp=stamp, timestamp_type=0))
        return log

    def end(self, tp: TP) -> int:
        return self.logs[tp][-1].offset + 1 if self.logs[tp] else 0

    async def _pass(self, seconds: float) -> None:
        self.now += seconds

    def _active(self) -> set[TP]:
        """Faust takes partitions out while the queue of their agent is full."""
        return {tp for tp in PARTITIONS if self.calm or self.random.random() < 0.9}

    # -- what happens ---------------------------------------------------------------------------------------------

    def meanwhile(self) -> None:
        """Have some of all things happen that others do while the fetch loop waits."""
        if self.calm:
            return
        for _ in range(self.random.randrange(4)):
            self.now += self.random.choice((0.0, 0.01, 0.1, 1.0))
            happens = (self.work, self.work, self.work, self.commit, self.rewind, self.revoke, self.assign)
            self.random.choices(happens, (9, 9, 9, 4, 2, 1, 2))[0]()

    def work(self) -> None:
        """Let an agent take a message, or a part of it."""
        agent = self.random.choice(sorted(self.queues))
        if not self.queues[agent]:
            return
        message = self.queues[agent].popleft()
        if message.generation_id != self.consumer.app.consumer_generation_id:
            return  # as Faust's streams do
        for place, (tp, batch) in enumerate(message.value):
            assert STAGES[tp.topic] == agent
            self.process(tp, batch)
            if place + 1 < len(message.value) and not self.calm and self.random.random() < 0.1:
                self.random.choice((self.commit, self.rewind, self.revoke))()

    def process(self, tp: TP, batch: Any) -> None:
        task = self.tasks.get(tp)
        if task is None or batch.incarnation <= task.since:
            return
        assert len(batch.records) <= 3 or tp.topic not in SOURCES
        for record in batch.records:
            if record.offset < task.position:
                continue
            expected = next(one for one in self.logs[tp] if one.offset >= task.position)
            assert record is expected, f"{tp}: {record.offset} came, {expected.offset} should have"
            task.position = record.offset + 1
        self.look(tp)

    def look(self, tp: TP) -> None:
        """Check what is said of a partition against what has been processed of it."""
        task = self.tasks[tp]
        left = any(one.offset >= task.position for one in self.logs[tp])
        if left:
            assert self.gate.read_up_to(tp, task.position) is None

    def commit(self) -> None:
        for tp, task in self.tasks.items():
            self.kept[tp] = task.committed = task.position

    def rewind(self) -> None:
        """Roll back the epoch."""
        for tp, task in self.tasks.items():
            if task.position != task.committed:
                task.position = task.committed
                task.since = self.gate.reopen(tp, task.position)

    def revoke(self) -> None:
        self.consumer.flow_active = False
        if self.random.random() < 0.5:
            for queue in self.queues.values():
                queue.clear()
        self.gate.close(self.tasks)
        self.tasks.clear()

    def assign(self) -> None:
        """Come to own all partitions again; each is open once its store is restored."""
        if not self.consumer.flow_active:
            self.consumer.app.consumer_generation_id += 1
            self.consumer.flow_active = True
        for tp in PARTITIONS:
            if tp not in self.tasks and (self.calm or self.random.random() < 0.7):
                self.gate.declare(tp, STAGES[tp.topic], source=tp.topic in SOURCES)
                self.tasks[tp] = Task(self.kept[tp], self.gate.reopen(tp, self.kept[tp]))

    # -- the loop -------------------------------------------------------------------------------------------------

    async def fetch(self) -> None:
        """Fetch once, as Faust's drain loop does."""
        if not self.consumer.flow_active:
            self.assign()
        read = self.thread.read_offsets
        async for tp, message in self.consumer.getmany(1.0):
            if message.offset < read[tp]:
                continue  # Faust drops what it has read
            self.meanwhile()
            if self.consumer.flow_active:  # else it is cancelled
                self.queues[STAGES[tp.topic]].append(message)
            read[tp] = message.offset
            for owned in self.tasks:
                self.look(owned)

    def done(self) -> bool:
        return len(self.tasks) == len(PARTITIONS) and all(
            self.tasks[tp].position >= self.end(tp) for tp in PARTITIONS
        )

    async def live(self, steps: int) -> None:
        for _ in range(steps):
            await self.fetch()
            self.meanwhile()
        self.calm = True
        self.assign()
        for _ in range(400):
            self.now += 0.6
            await self.fetch()
            for _ in range(10):
                self.work()
            if self.done():
                break
        for _ in range(100):
            self.work()
        assert self.done(), "something is held for ever, or lost"
        assert self.consumer._aligner.empty
        for _ in range(20):
            await self.fetch()
        for tp, task in self.tasks.items():
            assert self.gate.read_up_to(tp, task.position) is not None, "nothing is left, and nobody says so"
            assert not self.gate.at_hand(tp, task.position)


def live(seed: int, steps: int, *, is_live: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        life = Life(seed, live=is_live)
        clock = SimpleNamespace(
            monotonic=lambda: life.now,
            time=lambda: life.now,
            monotonic_ns=lambda: int(life.now * 1_000_000_000),
        )
        patch.setattr(BatchConsumer, "should_stop", False)
        patch.setattr(transport, "time", clock)
        for name, value in {"AT_ONCE": 32, "LEAST": 4, "ENOUGH": 8}.items():
            patch.setattr(alignment, name, value)
        asyncio.run(life.live(steps))


LIVES = (st.integers(0, 10**9), st.integers(0, 60), st.booleans())


@examples(150)
@given(*LIVES)
def test_every_record_is_processed_once_and_in_order_whatever_happens_between(
    seed: int, steps: int, is_live: bool
) -> None:
    live(seed, steps, is_live=is_live)


def never_forgets(patch: pytest.MonkeyPatch) -> None:
    """Keep what was fetched before a seek."""
    patch.setattr(Aligner, "forget", lambda *_: None)


def counts_what_is_handed_out(patch: pytest.MonkeyPatch) -> None:
    """Say of what is held that it hasn't been fetched."""
    hand_out = BatchConsumer._to_hand_out

    def wrong(self: Any, wanted: set[TP], fetched: Mapping[TP, Sequence[Any]], incarnations: Any) -> Any:
        deliver = self.gate.deliver
        self.gate.deliver = lambda *_: None
        messages = hand_out(self, wanted, fetched, incarnations)
        self.gate.deliver = deliver
        for message in messages:
            for tp, batch in message:
                deliver(tp, batch.records[-1].offset + 1)
        return messages

    patch.setattr(BatchConsumer, "_to_hand_out", wrong)


def lets_a_fetch_choose_the_agent(patch: pytest.MonkeyPatch) -> None:
    """Give all that a fetch brought to the agent of the first of it."""
    agent_of, first = Gate.agent_of, [PARTITIONS[0]]

    def deliver(self: Gate, tp: TP, offset: int) -> None:
        first[0] = tp
        original(self, tp, offset)

    original = Gate.deliver
    patch.setattr(Gate, "deliver", deliver)
    patch.setattr(Gate, "agent_of", lambda self, _: agent_of(self, first[0]))


def loses_a_message(patch: pytest.MonkeyPatch) -> None:
    """Hand out all messages of a fetch but the first, and go on."""
    hand_out = BatchConsumer._to_hand_out

    def wrong(self: Any, *arguments: Any) -> Any:
        messages = [*hand_out(self, *arguments)]
        return messages[1:] if len(messages) > 1 else messages

    patch.setattr(BatchConsumer, "_to_hand_out", wrong)


@pytest.mark.parametrize(
    "plant",
    [
        never_forgets,
        counts_what_is_handed_out,
        lets_a_fetch_choose_the_agent,
        loses_a_message,
    ],
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @search(300)
    @given(*LIVES)
    def wanted(seed: int, steps: int, is_live: bool) -> None:
        live(seed, steps, is_live=is_live)

    with pytest.raises(AssertionError):
        wanted()
