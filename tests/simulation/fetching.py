"""The real fetch loop over the simulated broker: aiokafka's thread is played, and Faust's queues.

Rules:
- A fetch begins at one step and its answer comes at a later one; rewinds, commits and rebalances may lie in between.
- An answer has some of what is there, up to the last stable offset; or nothing. A seek may fail.
- What was fetched waits in one queue for each agent. A revocation empties the queues; a message of an older generation
  that comes after it is dropped. A message of several batches that an agent has begun is worked off, whatever comes.
"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from faust.types import TP

from stream_app.engine.alignment import Aligner
from stream_app.engine.transport import BatchConsumer
from tests.simulation.seams import NOW

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping

    from stream_app.engine.transport import Batch, Gate
    from tests.simulation.process import Process

_SOME = (1, 2, 4, 50)


class _Answer:
    """What the fetch loop waits for: a fetch that is under way."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class _Thread:
    """aiokafka's consumer and its thread."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.positions: dict[TP, int] = {}
        self.answered: dict[TP, int] = {}
        assignment = SimpleNamespace(state_value=self._state)
        subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        self._consumer = SimpleNamespace(_subscription=subscription)

    def _state(self, where: Any) -> Any:
        tp = TP(where.topic, where.partition)
        at = self.answered.get(tp)
        stable = self.process.broker.logs[tp].stable
        position = self.positions.get(tp)
        return SimpleNamespace(
            has_valid_position=position is not None, position=position, lso=stable, given=at, timestamp=at
        )

    async def seek_wait(self, seeks: Mapping[TP, int]) -> None:
        if self.process.chance(0.03):
            raise TimeoutError
        self.positions.update(seeks)

    async def getmany(self, wanted: Collection[TP], _timeout: float) -> dict[TP, list[Any]]:
        await _Answer()
        process, found = self.process, {}
        for tp in sorted(wanted):
            if tp not in self.positions or not (process.calm or process.chance(0.7)):
                continue
            most = 1_000 if process.calm else _SOME[process.draw(len(_SOME))]
            records, self.positions[tp] = process.broker.logs[tp].read(self.positions[tp], most)
            self.answered[tp] = int(NOW.time() * 1000)
            if records:
                found[tp] = records
        return found


class Fetching:
    """A worker's fetch loop, and the queues that it fills."""

    def __init__(self, process: Process, gate: Gate, agents: Collection[str], batch: int) -> None:
        self.queues: dict[str, deque[Any]] = {agent: deque() for agent in agents}
        self.begun: dict[str, deque[tuple[TP, Batch]]] = {agent: deque() for agent in agents}
        self.assigned: set[TP] = set()
        self.loop: Any = None
        self._gate = gate
        self.consumer: Any = BatchConsumer.__new__(BatchConsumer)
        self.consumer.gate = gate
        self.thread = self.consumer._thread = _Thread(process)
        self.consumer._aligner = Aligner(NOW.seconds)
        self.consumer.flow_active = False
        self.consumer.app = SimpleNamespace(
            consumer_generation_id=0, conf=SimpleNamespace(broker_max_poll_records=batch)
        )
        self.consumer.assignment = lambda: self.assigned
        self.consumer._get_active_partitions = lambda: self.assigned
        self.consumer.log = SimpleNamespace(warning=lambda *_: None)
        self.consumer.sleep = self._pass

    async def _pass(self, _seconds: float) -> None:
        await _Answer()

    def step(self) -> int:
        """Go on to where the loop waits next; return how many messages came."""
        if self.loop is None:
            if not self.consumer.flow_active:
                return 0
            self.loop = self._once()
        came = sum(map(len, self.queues.values()))
        try:
            self.loop.send(None)
        except StopIteration:
            self.loop = None
        return sum(map(len, self.queues.values())) - came

    async def _once(self) -> None:
        async for _, message in self.consumer.getmany(1.0):
            agent = self._gate.agent_of(message.value[0][0])
            self.queues[agent].append(message)

    def take(self, agent: str) -> tuple[TP, Batch] | None:
        """Return the next batch of an agent; None: there is none."""
        begun, queue = self.begun[agent], self.queues[agent]
        while not begun and queue:
            message = queue.popleft()
            if message.generation_id == self.consumer.app.consumer_generation_id:
                begun.extend(message.value)
        return begun.popleft() if begun else None

    def waiting(self) -> list[str]:
        """Return the agents that have something to do."""
        return [agent for agent in self.queues if self.begun[agent] or self.queues[agent]]

    def stop(self) -> None:
        """Do what Faust does before it tells of a revocation."""
        self.consumer.flow_active = False
        for queue in self.queues.values():
            queue.clear()

    def go_on(self, tps: Collection[TP], offsets: Mapping[TP, int], generation: int) -> None:
        """Do what aiokafka and Faust do with an assignment."""
        self.assigned = set(tps)
        self.thread.positions = {tp: offsets.get(tp, 0) for tp in tps}
        self.thread.answered.clear()
        self.consumer.app.consumer_generation_id = generation
        self.consumer.flow_active = True
