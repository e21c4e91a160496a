# ruff: noqa: SLF001 - neither Faust nor aiokafka tells in public what is needed here
"""A Faust transport that hands out what one fetch brought for an agent as one message.

Faust stays the shell: group membership, rebalancing, flow control, agents. Its per-record path, its offset
commits and its assignor are not used. Rules:

- A message's value is a list of (partition, `Batch`): the records of one partition from one fetch, and its incarnation
  as it was *before* that fetch began. (A message costs Faust 0.7 ms, and a fetch may bring something of fifty
  partitions.)
- A partition's batches always go to the same agent, so that they come in order: two agents may overtake each other.
- Seeks are only applied here, by the fetch loop, between two fetches. Each raises the partition's incarnation
  number. So a batch fetched before a seek can be told from one fetched after it, which offsets can't tell:
  behind transactions they have holes (markers, aborted records).
- Only partitions that are open are fetched: one whose store is still being restored stays closed.
- Sources are handed out side by side in time (`alignment`). What is held counts as fetched: it is at hand.
- Group offsets are committed by the epoch's transaction; Faust's own commits do nothing.
"""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import aiokafka
from faust.transport import drivers
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from stream_app.engine.alignment import FRESH_MS, Aligner
from stream_app.engine.assignor import PerTopicAssignor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

SCHEME = "raccord"
"""URL scheme under which the transport is registered with Faust: `raccord://host:port`."""

_POLL_SECONDS = 0.2
_HELD_POLL_SECONDS = 0.005
"""The same while something is held, that may go as soon as anything else has come."""
_FETCH_WAIT_MS = 20
"""How long the broker waits for records: so old can our knowledge that a partition is empty be.

aiokafka asks a broker for one thing at a time: what comes meanwhile for other partitions waits as long. p99 of event
-> trigger at 2,000/s (`python -m tests.benchmarks.pipeline --only latency`, one run each): 496 ms, 670 with 50 ms.
An idle worker pays 3 % of a core for it, against 100 ms."""
_NEVER_IDLE_MS = 7 * 24 * 3600 * 1000
"""A consumer that fetches nothing leaves its group after so long. Ours fetches nothing while it restores."""


class Batch(NamedTuple):
    """Records of one partition from one fetch, as aiokafka's parser makes them, and its incarnation before it.

    A record has `key`, `value`, `headers`, `offset` and `timestamp` (ms); of which partition, the batch's task says.
    """

    incarnation: int
    records: Sequence[Any]


Fetched = list[tuple[TP, Batch]]
"""What a message holds."""


class Gate:
    """What the engine tells the fetch loop: which partitions are open, and where to read from.

    Both sides run in the worker's event loop; seeks wait here until the loop is between two fetches. `live` says
    whether records come as they happen, or from a replay.
    """

    def __init__(self, *, live: bool = True) -> None:
        self.live = live
        self._open: set[TP] = set()
        self._sources: set[TP] = set()
        self._agents: dict[TP, str] = {}
        self._seeks: dict[TP, int] = {}
        self._incarnations: dict[TP, int] = {}
        self._last = 0
        self._delivered: dict[TP, int] = {}
        self._empty_at: dict[TP, int] = {}
        self._lags: dict[TP, int] = {}

    def declare(self, tp: TP, agent: str, *, source: bool) -> None:
        """Say which agent gets a partition, and whether it is read side by side in time with the other sources."""
        self._agents[tp] = agent
        if source:
            self._sources.add(tp)

    def agent_of(self, tp: TP) -> str:
        """Return the agent that gets a partition; one that wasn't declared has its topic to itself."""
        return self._agents.get(tp, tp.topic)

    def reopen(self, tp: TP, offset: int) -> int:
        """Have `tp` read from `offset` on. Batches of incarnations up to the returned number are stale."""
        self._seeks[tp] = offset
        self._delivered[tp] = offset
        self._empty_at.pop(tp, None)
        self._open.add(tp)
        return self._last

    def close(self, tps: Iterable[TP]) -> None:
        """Stop fetching partitions, and forget seeks that are still waiting for them."""
        for tp in tps:
            self._open.discard(tp)
            self._seeks.pop(tp, None)
            self._empty_at.pop(tp, None)
            self._lags.pop(tp, None)

    def take_seeks(self) -> dict[TP, int]:
        """Return the waiting seeks: the fetch loop is about to apply them."""
        seeks, self._seeks = self._seeks, {}
        return seeks

    def put_back(self, seeks: Mapping[TP, int]) -> None:
        """Keep seeks that failed for the next round, unless newer ones came or the partition was closed."""
        for tp, offset in seeks.items():
            if tp in self._open:
                self._seeks.setdefault(tp, offset)

    def applied(self, tps: Iterable[TP]) -> None:
        """Count a new incarnation of each partition that was just sought."""
        for tp in tps:
            self._last += 1
            self._incarnations[tp] = self._last

    def fetchable(self, active: set[TP]) -> set[TP]:
        """Return the active partitions that are open and not about to be sought elsewhere."""
        return {tp for tp in active if tp in self._open and tp not in self._seeks}

    def is_source(self, tp: TP) -> bool:
        """Say whether a partition is read side by side in time with others."""
        return tp in self._sources

    def sources(self) -> set[TP]:
        """Return the sources that are read, those too that aren't fetched while their agent's queue is full."""
        return self.fetchable(self._sources)

    def is_stale(self, tp: TP, incarnation: int) -> bool:
        """Say whether what was fetched in an incarnation won't be taken any more."""
        return tp not in self._open or tp in self._seeks or self._incarnations.get(tp, 0) != incarnation

    def deliver(self, tp: TP, offset: int) -> None:
        """Note that records up to `offset` (exclusive) have been fetched for the stream."""
        self._delivered[tp] = offset
        self._empty_at.pop(tp, None)

    def observe(self, tp: TP, lag: int, at: int) -> None:
        """Note, between two fetches, how many records of `tp` were left at local time `at` (ms)."""
        self._lags[tp] = lag
        if lag == 0:
            self._empty_at[tp] = at
        else:
            self._empty_at.pop(tp, None)

    def lag(self, tp: TP) -> int | None:
        """Return how many records were left when the broker last answered; None: it has not yet."""
        return self._lags.get(tp)

    def waiting(self, tp: TP, position: int) -> int | None:
        """Return how many records were left in all, fetched or not, where its processing stands at `position`."""
        lag = self._lags.get(tp)
        return None if lag is None else lag + max(0, self._delivered.get(tp, 0) - position)

    def read_up_to(self, tp: TP, position: int) -> int | None:
        """Return the local time (ms) up to which all of `tp` has been processed; None when there is more.

        Args:
            tp: the partition.
            position: where its processing stands.
        """
        return self._empty_at.get(tp) if position >= self._delivered.get(tp, 0) else None

    def at_hand(self, tp: TP, position: int) -> bool:
        """Tell whether records from `position` on have been fetched, and not been processed."""
        return tp in self._open and self._delivered.get(tp, 0) > position

    def snapshot(self) -> dict[TP, int]:
        """Return the incarnations as they are now, before a fetch."""
        return dict(self._incarnations)


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread around an aiokafka consumer with our settings."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        # Faust would pick an assignor by its own tables, which we don't have: partitions would wander.
        stateful = self.app.raccord_stateful  # type: ignore[attr-defined]  # put there by `worker`
        roster = self.app.raccord_roster  # type: ignore[attr-defined]
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[PerTopicAssignor(stateful, self._generation, roster)],
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_poll_interval_ms=_NEVER_IDLE_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            check_crcs=conf.broker_check_crcs,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    def _generation(self) -> int:
        generation: int = self._ensure_consumer()._coordinator.generation
        return generation

    async def on_start(self) -> None:
        """Start the consumer, and have it note when it asked for what the broker answers."""
        await super().on_start()
        _refine(self._ensure_consumer()._fetcher)


class BatchConsumer(driver.Consumer):
    """Faust's consumer, fetching whole batches through a `Gate`."""

    gate: Gate

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = self.app.raccord_gate  # type: ignore[attr-defined]  # put there by `worker`
        self._aligner = Aligner(time.monotonic())

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's
        """Apply waiting seeks, fetch once, and yield what may be processed, one message for each agent."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # as Faust itself does
        if self.should_stop:
            return
        await self._apply_seeks()
        self._aligner.forget(self.gate.is_stale)
        incarnations = self.gate.snapshot()
        wanted = self.gate.fetchable(self._get_active_partitions())
        self._observe(wanted)
        if not wanted:
            await self.sleep(0.02)
            return
        fetched = await self._fetch(wanted, timeout)
        if self.should_stop:
            return
        generation = self.app.consumer_generation_id
        for batches in self._to_hand_out(wanted, fetched, incarnations):
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # a rebalance began: what is dropped here is read again after the next seek
            yield batches[0][0], _message(batches, generation)

    def _to_hand_out(
        self, wanted: set[TP], fetched: Mapping[TP, Sequence[Any]], incarnations: Mapping[TP, int]
    ) -> Iterable[Fetched]:
        """Take in what was fetched; return what goes to each agent, in the order of offsets for each partition."""
        gate, now, most = self.gate, time.monotonic(), self.app.conf.broker_max_poll_records
        messages: dict[str, Fetched] = {}
        for tp, records in fetched.items():
            gate.deliver(tp, records[-1].offset + 1)
            if gate.is_source(tp):
                self._aligner.add(tp, incarnations.get(tp, 0), records, now)
            else:
                batch = Batch(incarnations.get(tp, 0), records)
                messages.setdefault(gate.agent_of(tp), []).append((tp, batch))
        # Already now: what the answer says of the time holds as soon as what it brings has been processed.
        self._observe(gate.fetchable(wanted))
        # Not only those that are fetched: under load Faust leaves out now the ones, now the others for a moment.
        more = {tp: gate.lag(tp) != 0 for tp in gate.sources()}
        fresh = time.time() * 1000 - FRESH_MS if gate.live else inf
        for tp, incarnation, records in self._aligner.release(more, now, fresh):
            batches = messages.setdefault(gate.agent_of(tp), [])
            for start in range(0, len(records), most):
                batches.append((tp, Batch(incarnation, records[start : start + most])))
        return messages.values()

    async def _fetch(self, wanted: set[TP], timeout: float) -> Mapping[TP, Sequence[Any]]:  # noqa: ASYNC109 - Faust's
        """Return what has been fetched of partitions of which nothing is held; wait for it only if nothing is."""
        free = {tp for tp in wanted if not self._aligner.holds(tp)}
        if not self._aligner.empty:
            timeout = min(timeout, _HELD_POLL_SECONDS)
        if not free:
            await self.sleep(timeout)
            return {}
        records: Mapping[TP, Sequence[Any]] = await self._thread.getmany(free, min(timeout, _POLL_SECONDS))
        return records

    async def _apply_seeks(self) -> None:
        seeks = self.gate.take_seeks()
        if not seeks:
            return
        assigned = self.assignment()
        seeks = {tp: offset for tp, offset in seeks.items() if tp in assigned}
        try:
            await self._thread.seek_wait(seeks)
        except Exception as error:  # noqa: BLE001 - whatever it was, the seek is still owed
            self.log.warning("seeking %d partitions failed, trying again: %r", len(seeks), error)
            self.gate.put_back(seeks)
            await self.sleep(0.1)
            return
        self.gate.applied(seeks)

    async def perform_seek(self) -> None:
        """Do nothing: the state's position decides where reading begins, not the group's offset."""

    async def commit(self, *_args: Any, **_kwargs: Any) -> bool:
        """Do nothing: offsets are committed in the epoch's transaction."""
        return True

    def ack(self, message: Any) -> bool:
        """Mark a batch as processed; Faust's bookkeeping for commits would only grow."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust's stall detector watches its own commits, which don't happen."""

    def membership(self) -> tuple[str, int, str] | None:
        """Return (group id, generation, member id), or None while this worker is in no group."""
        consumer = self._thread._consumer
        coordinator = None if consumer is None else consumer._coordinator
        if coordinator is None or coordinator.generation < 0 or not coordinator.member_id:
            return None
        return coordinator.group_id, coordinator.generation, coordinator.member_id

    def _observe(self, tps: Iterable[TP]) -> None:
        """Tell the gate what is left of each partition, as the broker's last answer about it says.

        Only this loop can: everything fetched counts as delivered, and nobody moves a position meanwhile. What an
        answer says holds for the time when it came, not for now: this process may have been frozen since. The
        answer's time is read before its offset, because the consumer's thread writes them the other way round.
        """
        consumer = self._thread._consumer
        subscription = None if consumer is None else consumer._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        if assignment is None:
            return
        local, wall = time.monotonic_ns() // 1_000_000, int(time.time() * 1000)
        for tp in tps:
            state = assignment.state_value(driver.ensure_aiokafka_TP(tp))
            if state is None or not state.has_valid_position:
                continue
            given, answered, stable = getattr(state, "given", None), state.timestamp, state.lso
            if given is not None and answered is not None and stable is not None:
                # The answer may have lain unread for long.
                answered = min(answered, given)
                self.gate.observe(tp, max(0, stable - state.position), local - max(0, wall - answered))

    async def _add_gap(self, *_args: Any) -> None:
        """Do nothing: Faust keeps an interval for each gap in offsets until a commit, and batches are all gaps."""


class BatchTransport(driver.Transport):
    """The driver that Faust picks for `raccord://` URLs."""

    Consumer = BatchConsumer


def register() -> None:
    """Make Faust know the transport's scheme."""
    drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:BatchTransport"


def _refine(fetcher: Any) -> None:
    """Wrap the fetcher's call for one request, for what aiokafka does otherwise.

    - It dates an answer by when it is looked at. One that brings nothing was given when the broker had waited as long
      as it was told to; one that brings something, as soon as it was asked for all that we know.
    - It copies each record that it has parsed into one of its own: 1.5 us a record instead of 0.9, and an event is
      three records or more. Whichever were unpacked before they came here are aiokafka's copies, and do as well.
    """
    fetch = fetcher._proc_fetch_request

    async def refined(assignment: Any, node_id: int, request: Any) -> Any:
        asked = int(time.time() * 1000)
        brought = await fetch(assignment, node_id, request)
        given = asked if brought else asked + _FETCH_WAIT_MS
        for topic, partitions in request.topics:
            for partition, *_ in partitions:
                tp = aiokafka.TopicPartition(topic, partition)
                state = assignment.state_value(tp)
                if state is not None and state.timestamp is not None and state.timestamp >= asked:
                    state.given = given
                records = getattr(fetcher._records.get(tp), "_partition_records", None)
                if records is not None:
                    records._consumer_record = _as_parsed
        return brought

    fetcher._proc_fetch_request = refined


def _as_parsed(_tp: Any, record: Any) -> Any:
    return record


def _message(batches: Fetched, generation: int) -> ConsumerMessage:
    """Return a message of the first one's partition; generation and offset are only for Faust."""
    tp, (_, records) = batches[0]
    last = records[-1]
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        last.offset,
        last.timestamp / 1000,
        last.timestamp_type,
        None,
        None,
        batches,  # type: ignore[arg-type]  # this transport's values are batches
        None,
        0,
        0,
        tp,
        generation_id=generation,
    )
