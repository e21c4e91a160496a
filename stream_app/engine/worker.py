"""A worker: the Faust app (membership, rebalancing, agents, life cycle) around an `Engine`.

Faust's own tables, commits, web server and per-record path are not used; what is left of it is what it is good
at. A fatal error ends the process with `EXIT_FATAL`, so that a supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import faust
import structlog
from rocksdict import Cache

from stream_app.engine import transport
from stream_app.engine.assignment import Assignment
from stream_app.engine.collector import Collector
from stream_app.engine.engine import Engine
from stream_app.engine.epoch import Epoch
from stream_app.engine.errors import FatalError
from stream_app.engine.pace import Pace
from stream_app.engine.producer import TransactionalProducer
from stream_app.engine.roster import Roster
from stream_app.engine.store import CACHED
from stream_app.engine.task import Clockwork
from stream_app.engine.transport import Gate
from stream_app.engine.watermark import BrokerClock, TimeMode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from faust.types import TP

    from stream_app.engine.observer import Observer
    from stream_app.engine.stage import Dispatcher, Stage

log = structlog.get_logger(__name__)

EXIT_FATAL = 70
"""Exit code of a worker that can't go on (EX_SOFTWARE of sysexits.h)."""

_MIB = 1024 * 1024
_HEADROOM = 64 * 1024
"""Left for what a batch adds to a message, and for compression that makes it larger."""


@dataclass(frozen=True)
class WorkerConfig:
    """What an engine needs to know of a deployment.

    Attributes:
        group: consumer group.
        worker: this worker's slot: stable over restarts, different from every other worker's.
        bootstrap_servers: "host:port", several with commas.
        partitions: topic -> number of partitions, for every topic of the road.
        folder: where this worker's stores live.
        max_bytes: largest message that the topics take.
        cached_rows: decoded rows that each table of each partition keeps in memory.
        standby_replicas: how many workers keep each partition's rows warm beside its owner.
        member_of: what this process is part of, where that is a worker of several; empty: it is the worker.
        client: further settings of librdkafka clients (security).
    """

    group: str
    worker: str
    bootstrap_servers: str
    partitions: Mapping[str, int]
    folder: Path
    mode: TimeMode = TimeMode.WALL
    tolerance_ms: int = 200
    max_ahead_ms: int = 0
    session_timeout_ms: int = 10_000
    transaction_timeout_ms: int = 10_000
    batch: int = 2_000
    fetch_bytes: int = 4 * _MIB
    max_bytes: int = _MIB
    cache_bytes: int = 128 * _MIB
    cached_rows: int = CACHED
    standby_replicas: int = 0
    member_of: str = ""
    pace: Pace = field(default_factory=Pace)
    client: Mapping[str, Any] = field(default_factory=dict)


class Worker:
    """Runs stages until stopped."""

    def __init__(
        self,
        config: WorkerConfig,
        stages: Sequence[Stage],
        *,
        dispatcher: Dispatcher,
        observer: Observer,
        on_ready: Callable[[], None] | None = None,
        between_epochs: Callable[[], None] | None = None,
    ) -> None:
        self.config = config
        self._lock = _lock(config.folder, config.worker)
        self.app = self._faust_app()
        gate = self.app.raccord_gate = Gate(live=config.mode is TimeMode.WALL)
        self.app.raccord_stateful = {topic for stage in stages if stage.tables for topic in stage.topics}
        client = {"bootstrap.servers": config.bootstrap_servers, **config.client}
        timeout_s = config.transaction_timeout_ms / 1000
        transactional_id = f"{config.group}-{config.worker}"
        producer = TransactionalProducer(client, transactional_id, timeout_s, config.max_bytes - _HEADROOM)
        roster = self.app.raccord_roster = Roster(
            config.member_of or config.worker, transactional_id, config.standby_replicas
        )
        broker_clock = BrokerClock()
        announce_s = config.pace.watermark_s / 2
        epoch = Epoch(producer, self._membership, config.partitions, broker_clock, announce_s)
        clockwork = Clockwork(config.mode, config.tolerance_ms, config.max_ahead_ms)
        assignment = Assignment(
            stages,
            config.partitions,
            folder=config.folder,
            client=client,
            stable_timeout_s=2 * timeout_s + 5,
            clockwork=clockwork,
            gate=gate,
            epoch=epoch,
            observer=observer,
            cache=Cache(config.cache_bytes),
            cached=config.cached_rows,
            roster=roster,
        )
        self.engine = Engine(
            assignment,
            epoch,
            dispatcher=dispatcher,
            observer=observer,
            broker_clock=broker_clock,
            pace=config.pace,
            mode=config.mode,
            between_epochs=self._between_epochs,
        )
        self._replaced = between_epochs
        self._collector: Collector | None = None
        self._on_ready = on_ready
        self._wire(stages)

    def _between_epochs(self) -> None:
        if self._replaced is not None:
            self._replaced()
        if self._collector is not None:
            self._collector.between_epochs()

    def _watch(self) -> None:
        """End the process when a call to the broker does not come back.

        librdkafka's `send_offsets_to_transaction` was seen to stay away long beyond its timeout after a broker's
        restart. Heartbeats have a thread of their own, so the group would keep a worker that does nothing.
        """
        limit = 2 * self.config.transaction_timeout_ms / 1000 + 2
        producer = self.engine.epoch.producer
        while True:
            time.sleep(1)
            since = producer.blocked_since
            if since is not None and time.monotonic() - since > limit:
                self._die(FatalError(f"a call to the broker has not come back for {limit:.0f} s"))

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; finishes the epoch and leaves the group.

        Exits the process with `EXIT_FATAL` on an error that the worker can't recover from.
        """
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        self._collector = Collector()
        worker = faust.Worker(self.app, override_logging=False, redirect_stdouts=False, quiet=True)
        worker.execute_from_commandline()

    def _faust_app(self) -> Any:
        transport.register()
        config = self.config
        return faust.App(
            config.group,
            broker=";".join(f"{transport.SCHEME}://{host}" for host in config.bootstrap_servers.split(",")),
            datadir=str(config.folder / "faust"),
            web_enabled=False,
            topic_disable_leader=True,
            topic_partitions=1,
            stream_wait_empty=False,
            stream_buffer_maxsize=16,
            broker_client_id=f"raccord-{config.worker}",
            broker_max_poll_records=config.batch,
            consumer_max_fetch_size=config.fetch_bytes,
            broker_session_timeout=config.session_timeout_ms / 1000,
            broker_heartbeat_interval=config.session_timeout_ms / 6000,
            broker_rebalance_timeout=max(30.0, 2 * config.session_timeout_ms / 1000),
            broker_request_timeout=max(30.0, config.session_timeout_ms / 1000 + 5),
        )

    def _wire(self, stages: Sequence[Stage]) -> None:
        """Connect Faust's agents, signals and life cycle to the engine."""
        app, engine = self.app, self.engine
        schema = _RawSchema(key_serializer="raw", value_serializer="raw")
        for stage in stages:
            app.agent(app.topic(*stage.topics, schema=schema, acks=False), name=stage.name)(self._agent())

        @app.on_partitions_revoked.connect(weak=False)  # type: ignore[untyped-decorator]
        async def _revoked(_app: Any, _revoked: Any, **_kwargs: Any) -> None:
            self._guard(engine.revoked)

        @app.on_partitions_assigned.connect(weak=False)  # type: ignore[untyped-decorator]
        async def _assigned(_app: Any, assigned: set[TP], **_kwargs: Any) -> None:
            self._guard(lambda: engine.assigned(set(assigned)))
            if self._collector is not None:
                self._collector.rebalanced()

        @app.on_before_shutdown.connect(weak=False)  # type: ignore[untyped-decorator]
        async def _stopping(_app: Any, **_kwargs: Any) -> None:
            self._guard(engine.stop)

        @app.task  # type: ignore[untyped-decorator]
        async def epochs() -> None:
            if self._on_ready is not None:
                self._on_ready()
            try:
                await engine.run()
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it is, the worker can't go on
                self._die(error)

    def _agent(self) -> Callable[[Any], Any]:
        process, guard = self.engine.process, self._guard

        async def agent(stream: AsyncIterator[Any]) -> None:
            async for fetched in stream:
                for tp, batch in fetched:
                    guard(lambda tp=tp, batch=batch: process(tp, batch))  # type: ignore[misc]
                    await asyncio.sleep(0)  # whatever else the loop has to do

        return agent

    def _guard(self, call: Callable[[], None]) -> None:
        """Call into the engine; an error that comes out of it is fatal, and Faust must not swallow it."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the engine handled what could be handled
            self._die(error)

    def _die(self, error: BaseException) -> None:
        log.critical(
            "worker_failed", worker=self.config.worker, reason=str(error), error=type(error).__name__
        )
        sys.stdout.flush()
        sys.stderr.flush()
        # Nothing is lost: the open transaction is aborted by our successor, or by the broker's timeout.
        os._exit(EXIT_FATAL)

    def _membership(self) -> tuple[str, int, str] | None:
        return self.app.consumer.membership()  # type: ignore[no-any-return]


def _lock(folder: Path, worker: str) -> int:
    """Hold the folder for as long as this process lives: two workers of one slot would fence each other for ever.

    Raises:
        FatalError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        msg = f"another process is worker {worker} in {folder}: give each a RACCORD_WORKER of its own"
        raise FatalError(msg) from error
    return handle


class _RawSchema(faust.Schema):  # type: ignore[type-arg]
    """Hands the transport's batches through Faust untouched."""

    def loads_key(self, *_args: Any, **_kwargs: Any) -> None:
        """Return nothing: a batch has no key."""

    def loads_value(self, _app: Any, message: Any, **_kwargs: Any) -> Any:  # type: ignore[override]
        """Return the batch."""
        return message.value
