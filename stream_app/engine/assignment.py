"""Which partitions this worker owns, and how their stores come and go.

Rules:
- Revoked: the task is suspended: no batch reaches it, its store stays open. Rebalances are eager, so most
  partitions come straight back.
- Assigned: whatever the store held, its changelog is read on from the local position (somebody else may have
  owned the partition in between), then the input is sought to the position found in the state.
- Not assigned any more: closed. The folder stays, for the day the partition returns; or this worker stands by for it
  (`standby`), and has its rows warm on that day.
- Who is gone has its open transaction ended (`roster`): what it left unfinished is nobody's to wait for.
- Rows are restored in threads, so that a large store delays neither heartbeats nor other partitions.
- Tasks without tables keep one row each, and share changelog partitions. Each of these is read once for all of them: a
  worker that takes over forty sources would else read forty times, for three seconds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import structlog
from faust.types import TP

from stream_app.engine.changelog import Progress, RestoreCancelledError, Restorer
from stream_app.engine.errors import EngineError, FatalError, StaleRowsError
from stream_app.engine.orphans import end_in_background
from stream_app.engine.roster import Roster
from stream_app.engine.standby import Standbys
from stream_app.engine.store import CACHED, MemoryRows, Rows, wipe
from stream_app.engine.task import Clockwork, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rocksdict import Cache

    from stream_app.engine.epoch import Epoch
    from stream_app.engine.observer import Observer
    from stream_app.engine.stage import Stage
    from stream_app.engine.transport import Gate

log = structlog.get_logger(__name__)

_THREADS = 2
_RETRIES = 10
_SLOW_S = 2.0
_TOMBSTONES_KEPT_S = 3 * 24 * 3600
"""Local rows older than this are rebuilt; changelogs keep tombstones for longer (see `topics`)."""


class _Shared:
    """A changelog partition that is read once for all tasks of one assignment that have a row in it."""

    def __init__(self, since: int) -> None:
        self.since = since
        """Where `rows` begin, or are to: at the end of what all of them have already."""
        self.rows: MemoryRows | None = None
        self.lock = threading.Lock()


class Assignment:
    """The tasks of this worker.

    Args:
        stages: all stages that it runs.
        partitions: topic -> number of partitions.
        folder: where the stores live.
        client: settings of Kafka clients.
        stable_timeout_s: how long a changelog may have an open transaction.
        cache: block cache shared by all stores.
        cached: decoded rows that each table of a task keeps.
        roster: who is in the group, and what this worker stands by for.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        partitions: Mapping[str, int],
        *,
        folder: Path,
        client: Mapping[str, Any],
        stable_timeout_s: float,
        clockwork: Clockwork,
        gate: Gate,
        epoch: Epoch,
        observer: Observer,
        cache: Cache | None = None,
        cached: int = CACHED,
        roster: Roster | None = None,
    ) -> None:
        self.tasks: dict[TP, Task] = {}
        self.gate = gate
        self._stages = {topic: stage for stage in stages for topic in stage.topics}
        self._partitions = partitions
        self._folder = folder
        self._client = dict(client)
        self._stable_timeout = stable_timeout_s
        self._clockwork = clockwork
        self._epoch = epoch
        self._observer = observer
        self._cache = cache
        self._cached = cached
        self._roster = Roster() if roster is None else roster
        self._standbys = Standbys(self._stages, self._open_store, client, self._roster, observer)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="restore")
        self._local = threading.local()
        self._restorers: list[Restorer] = []
        self._opening: dict[TP, asyncio.Task[None]] = {}
        self._kept: dict[TP, Rows | MemoryRows] = {}
        self._shared: dict[tuple[str, int], _Shared] = {}
        self._error: BaseException | None = None
        self._ready: list[Task] = []

    def ready(self) -> list[Task]:
        """Return the tasks that process batches."""
        return self._ready

    def check(self) -> None:
        """Raise what made opening a store fail for good.

        Raises:
            FatalError: a store can't be opened or restored.
        """
        if self._standbys.error is not None:
            msg = f"rows could not be kept warm for others: {self._standbys.error}"
            raise FatalError(msg) from self._standbys.error
        if self._error is not None:
            error, self._error = self._error, None
            if isinstance(error, FatalError):
                raise error
            msg = f"a store could not be restored: {error}"
            raise FatalError(msg) from error

    def suspend(self) -> None:
        """Stop reading all partitions; stores stay open until the next assignment."""
        self.gate.close(self.tasks)
        for task in self.tasks.values():
            if task.ready:
                task.store.abort()
                task.handler.reset()
                task.ready = False
                self._kept[task.tp] = task.store.rows
                self._observer.suspended(task)
            else:
                task.cancelled.set()
            self._epoch.forget(task)
        self._refresh()

    def assign(self, tps: set[TP]) -> None:
        """Make these the partitions that this worker owns."""
        for tp in [tp for tp in self.tasks if tp not in tps]:
            task = self.tasks.pop(tp)
            task.cancelled.set()
            rows = self._kept.pop(tp, None)
            if rows is not None:
                rows.close()
            self._observer.closed(task)
        end_in_background(self._client, self._roster.take_gone())
        self._standbys.follow({TP(*one) for one in self._roster.standbys} - tps)
        self._shared = self._to_share(tps)
        for tp in sorted(tps):
            if tp.topic in self._stages:
                self._open(tp)

    def _to_share(self, tps: set[TP]) -> dict[tuple[str, int], _Shared]:
        known: dict[tuple[str, int], list[int]] = {}
        for tp in tps:
            stage = self._stages.get(tp.topic)
            if stage is not None and not stage.tables:
                rows = self._kept.get(tp)
                position = 0 if rows is None else rows.changelog_position
                known.setdefault((stage.changelog, tp.partition), []).append(position)
        return {group: _Shared(min(positions)) for group, positions in known.items()}

    def reopen_all(self) -> None:
        """Read every task's changelog on: what the last commit did is only known there."""
        tps = set(self.tasks)
        self.suspend()
        self.assign(tps)

    def close(self) -> None:
        """Close everything."""
        self.suspend()
        self._roster.standbys = frozenset()
        self.assign(set())
        self._standbys.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for restorer in self._restorers:
            restorer.close()

    def _refresh(self) -> None:
        self._ready = [task for task in self.tasks.values() if task.ready]

    def _open(self, tp: TP) -> None:
        stage = self._stages[tp.topic]
        upstreams = {topic: self._partitions[topic] for topic in stage.upstream}
        peers = self._partitions[tp.topic]
        task = self.tasks[tp] = Task(stage, tp, upstreams, peers, self._clockwork)
        before = self._opening.get(tp)
        shared = self._shared.get((stage.changelog, tp.partition))
        self._opening[tp] = asyncio.ensure_future(self._restored(task, before, shared))

    async def _restored(self, task: Task, before: asyncio.Task[None] | None, shared: _Shared | None) -> None:
        if before is not None:
            await asyncio.wait([before])  # it may still hold the folder
        started = time.monotonic()
        rows = self._kept.pop(task.tp, None)
        try:
            loop = asyncio.get_running_loop()
            rows = await loop.run_in_executor(self._pool, self._restore, task, rows, shared)
            if task.cancelled.is_set():
                rows.close()
                return
            task.open(rows, self._epoch.producer, self._cached)
        except (RestoreCancelledError, asyncio.CancelledError):
            return
        except Exception as error:  # noqa: BLE001 - handed to the engine's loop, which ends the worker
            if not task.cancelled.is_set():
                self._error = error
            return
        self.gate.declare(task.tp, task.stage.name, source=task.follows_clock)
        task.since = self.gate.reopen(task.tp, task.position)
        task.ready = True
        self._refresh()
        self._observer.ready(task, time.monotonic() - started)

    def _restore(
        self, task: Task, rows: Rows | MemoryRows | None, shared: _Shared | None
    ) -> Rows | MemoryRows:
        """Open the rows, read the changelog on, and check that the input is the one they know; in a thread."""
        rows = rows or self._standbys.take(task.tp) or self._open_rows(task)
        try:
            rows = self._read_on(task, rows, shared)
        except BaseException:
            rows.close()
            raise
        return rows

    def _read_on(self, task: Task, rows: Rows | MemoryRows, shared: _Shared | None) -> Rows | MemoryRows:
        for attempt in range(1, _RETRIES + 1):
            try:
                if shared is None:
                    self._read_changelog(task, rows)
                else:
                    self._read_shared(task, rows, shared)
                self._check_input(task, rows)
            except (RestoreCancelledError, FatalError):
                raise
            except StaleRowsError as error:
                log.warning("rows_ahead_of_changelog", task=task.id, reason=str(error), then="rebuilt")
                rows = self._anew(task, rows)
            except EngineError as error:
                log.warning("restore_failed", task=task.id, reason=str(error), attempt=attempt, of=_RETRIES)
                if attempt == _RETRIES or task.cancelled.wait(1.0):
                    raise
            else:
                break
        return rows

    def _read_changelog(self, task: Task, rows: Rows | MemoryRows) -> None:
        self._restorer().restore(
            task.stage.changelog,
            task.tp.partition,
            rows,
            cancelled=task.cancelled,
            progress=lambda progress: self._progress(task, progress),
        )

    def _read_shared(self, task: Task, rows: Rows | MemoryRows, shared: _Shared) -> None:
        """Take the task's row from what is read for all; who comes first reads it, and who has less than it reads more.

        Rows that a task was thought to have may be gone by now: closed by its restore before, which was broken off.
        """
        with shared.lock:
            if shared.rows is None or rows.changelog_position < shared.since:
                shared.since, shared.rows = min(shared.since, rows.changelog_position), None
                found = MemoryRows()
                found.changelog_position = shared.since
                self._read_changelog(task, found)
                shared.rows = found
            read = shared.rows
        if rows.changelog_position > read.changelog_position:
            msg = f"the rows go up to {rows.changelog_position}, and {task.stage.changelog} ends before that"
            raise StaleRowsError(msg)
        rows.write([row for row in read.scan(b"", None) if task.owns(row[0])], read.changelog_position)

    def _check_input(self, task: Task, rows: Rows | MemoryRows) -> None:
        first, end = self._restorer().bounds(task.tp.topic, task.tp.partition)
        position = task.position_in(rows)
        if position > end:
            msg = (
                f"the state has read {task.id} up to {position}, but it ends at {end}: the topic was made anew, or the "
                "broker lost its end. Give the deployment another prefix, or restore the topic"
            )
            raise FatalError(msg)
        if position < first:
            log.error(
                "records_expired", task=task.id, lost=first - position, then="going on with what is left"
            )
            self._observer.expired(task, first - position)

    def _anew(self, task: Task, rows: Rows | MemoryRows) -> Rows | MemoryRows:
        rows.close()
        if isinstance(rows, Rows):
            wipe(rows.folder)
        return self._open_rows(task)

    def _open_rows(self, task: Task) -> Rows | MemoryRows:
        if not task.stage.tables:
            return MemoryRows()
        return self._open_store(task.stage, task.tp.partition)

    def _open_store(self, stage: Stage, partition: int) -> Rows:
        folder = self._folder / f"{stage.name}-{partition}"
        rows = Rows(folder, self._cache)
        if rows.age > _TOMBSTONES_KEPT_S:
            rows.close()
            wipe(folder)
            rows = Rows(folder, self._cache)
        return rows

    def _restorer(self) -> Restorer:
        restorer: Restorer | None = getattr(self._local, "restorer", None)
        if restorer is None:
            restorer = self._local.restorer = Restorer(self._client, self._stable_timeout)
            self._restorers.append(restorer)
        return restorer

    def _progress(self, task: Task, progress: Progress) -> None:
        self._observer.restoring(task, progress)
        if progress.seconds > _SLOW_S:
            rate = progress.rows / progress.seconds
            done = progress.done / max(1, progress.total)
            left = progress.seconds * (1 - done) / max(done, 0.001)
            log.info(
                "restoring",
                task=task.id,
                rows=progress.rows,
                rows_per_s=int(rate),
                percent=int(100 * done),
                seconds_left=int(left),
            )
