"""How stores come and go with their partitions, and what is told of a restore."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from faust.types import TP
from rocksdict import Cache

from stream_app import metrics
from stream_app.engine import assignment as assignment_module
from stream_app.engine import store as store_module
from stream_app.engine.assignment import Assignment
from stream_app.engine.changelog import Progress
from stream_app.engine.errors import FatalError, StaleRowsError
from stream_app.engine.observer import Observer
from stream_app.engine.stage import Stage
from stream_app.engine.store import Rows, TableSpec, identity
from stream_app.engine.task import Clockwork
from stream_app.engine.transport import Gate
from stream_app.engine.watermark import TimeMode

if TYPE_CHECKING:
    from pathlib import Path

WORDS = TableSpec("words", b"w", identity, identity)
ONE, OTHER, SOURCE = TP("middle", 0), TP("middle", 1), TP("input", 0)
DAY_S = 24 * 3600


class Restorer:
    """Stands for the reader of changelogs: notes from where it was asked to read, and brings one row."""

    asked: list[tuple[str, int, int]]
    errors: list[Exception]

    def __init__(self, *_arguments: Any) -> None: ...

    def restore(self, topic: str, partition: int, rows: Any, **_options: Any) -> None:
        self.asked.append((topic, partition, rows.changelog_position))
        if self.errors:
            raise self.errors.pop()
        rows.write([(b"w%d" % rows.changelog_position, b"v")], rows.changelog_position + 10)

    def bounds(self, _topic: str, _partition: int) -> tuple[int, int]:
        return 0, 1_000

    def close(self) -> None: ...


class Owned:
    """An assignment of two stages, of which one keeps rows."""

    def __init__(self, folder: Path) -> None:
        self.resets = 0
        handler = SimpleNamespace(reset=self._reset)
        stages = [
            Stage("forward", ("input",), "forward-changelog", lambda _task: handler, watermarks_to="middle"),
            Stage("count", ("middle",), "count-changelog", lambda _task: handler, (WORDS,), ("input",)),
        ]
        epoch: Any = SimpleNamespace(producer=None, forget=lambda _task: None)
        self.folder = folder
        self.cache = Cache(1 << 20)
        self.assignment = Assignment(
            stages,
            {"input": 2, "middle": 2},
            folder=folder,
            client={},
            stable_timeout_s=1.0,
            clockwork=Clockwork(TimeMode.EVENTS, 0, 0),
            gate=Gate(),
            epoch=epoch,
            observer=Observer(),
            cache=self.cache,
        )

    def _reset(self) -> None:
        self.resets += 1

    async def own(self, *tps: TP) -> None:
        """Have a rebalance end with these partitions."""
        self.assignment.suspend()
        self.assignment.assign(set(tps))
        await asyncio.gather(*self.assignment._opening.values())
        self.assignment.check()
        assert {task.tp for task in self.assignment.ready()} == set(tps)

    def rows(self, tp: TP) -> Any:
        return self.assignment.tasks[tp].store.rows

    def folders(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def restorer(monkeypatch):
    monkeypatch.setattr(assignment_module, "Restorer", Restorer)
    Restorer.asked, Restorer.errors = [], []
    return Restorer


@pytest.fixture
def opened(monkeypatch):
    """Return a list of (folder's name, cache) that grows with each store that is opened."""
    found: list[tuple[str, Any]] = []

    class Noted(Rows):
        def __init__(self, folder: Path, cache: Any = None) -> None:
            found.append((folder.name, cache))
            super().__init__(folder, cache)

    monkeypatch.setattr(assignment_module, "Rows", Noted)
    return found


@pytest.fixture
def owned(restorer, opened, tmp_path):
    assert restorer.asked == opened == []
    one = Owned(tmp_path / "state")
    one.folder.mkdir()
    yield one
    one.assignment.gate = Gate()

    async def close() -> None:
        one.assignment.close()

    asyncio.run(close())


def test_each_partition_of_a_stage_with_tables_has_a_store_of_its_own_and_others_have_none(owned):
    asyncio.run(owned.own(ONE, OTHER, SOURCE))
    assert owned.folders() == {"count-0", "count-1"}


def test_a_partition_is_read_for_the_agent_of_its_stage_and_as_a_source_if_producers_write_to_it(owned):
    asyncio.run(owned.own(ONE, OTHER, SOURCE))
    gate = owned.assignment.gate
    assert [gate.agent_of(tp) for tp in (ONE, OTHER, SOURCE)] == ["count", "count", "forward"]
    assert [gate.is_source(tp) for tp in (ONE, OTHER, SOURCE)] == [False, False, True]


def test_all_stores_of_a_worker_share_one_block_cache(owned, opened):
    asyncio.run(owned.own(ONE, OTHER))
    assert [cache for _, cache in opened] == [owned.cache] * 2


def test_a_store_whose_partition_comes_straight_back_is_not_opened_again(owned, opened):
    async def rebalances() -> None:
        await owned.own(ONE, OTHER)
        before = owned.rows(ONE)
        for _ in range(3):
            await owned.own(ONE)
            assert owned.rows(ONE) is before
            assert before.get(b"w0") == b"v"

    asyncio.run(rebalances())
    assert sorted(name for name, _ in opened) == ["count-0", "count-1"]


def test_what_a_stage_has_in_memory_is_let_go_of_when_its_partition_may_go(owned):
    async def scenario() -> None:
        await owned.own(ONE, SOURCE)
        assert owned.resets == 0
        await owned.own(ONE)
        assert owned.resets == 2

    asyncio.run(scenario())


def test_every_assignment_reads_the_changelog_on_from_the_local_position(owned, restorer):
    async def rebalances() -> None:
        for _ in range(3):
            await owned.own(ONE)

    asyncio.run(rebalances())
    assert restorer.asked == [("count-changelog", 0, position) for position in (0, 10, 20)]


def test_a_store_whose_partition_went_elsewhere_is_closed_and_goes_on_from_its_folder_when_it_returns(
    owned, opened, restorer
):
    async def rebalances() -> None:
        await owned.own(ONE, OTHER)
        before = owned.rows(OTHER)
        await owned.own(ONE)
        assert owned.folders() == {"count-0", "count-1"}
        await owned.own(ONE, OTHER)
        assert owned.rows(OTHER) is not before  # RocksDB would not open a folder that is open already

    asyncio.run(rebalances())
    assert [name for name, _ in opened].count("count-1") == 2
    assert [position for _, partition, position in restorer.asked if partition == 1] == [0, 10]


@pytest.mark.parametrize(("days", "position"), [(2, 10), (4, 0)])
def test_rows_from_before_a_time_at_which_deletions_may_be_missing_are_built_anew(
    owned, restorer, monkeypatch, days, position
):
    async def rebalances() -> None:
        await owned.own(ONE)
        await owned.own()
        now = time.time()
        monkeypatch.setattr(store_module, "time", SimpleNamespace(time=lambda: now + days * DAY_S))
        await owned.own(ONE)

    asyncio.run(rebalances())
    assert [asked for *_, asked in restorer.asked] == [0, position]


def test_rows_that_are_ahead_of_their_changelog_are_built_anew(owned, restorer):
    async def rebalances() -> None:
        await owned.own(ONE)
        restorer.errors.append(StaleRowsError("planted"))
        await owned.own(ONE)

    asyncio.run(rebalances())
    assert [position for *_, position in restorer.asked] == [0, 10, 0]


def test_a_store_that_can_not_be_restored_ends_the_worker(owned, restorer):
    restorer.errors.append(FatalError("planted"))
    with pytest.raises(FatalError, match="planted"):
        asyncio.run(owned.own(ONE))


def test_a_slow_restore_is_told_of_in_the_log_with_its_rate_and_what_is_left(owned, monkeypatch):
    told: list[dict[str, Any]] = []
    log = SimpleNamespace(info=lambda event, **values: told.append({"event": event, **values}))
    monkeypatch.setattr(assignment_module, "log", log)
    asyncio.run(owned.own(ONE))
    task = owned.assignment.tasks[ONE]
    for progress in (Progress(10, 100, 8, 1.0), Progress(25, 100, 20, 10.0), Progress(100, 100, 80, 20.0)):
        owned.assignment._progress(task, progress)
    assert told == [
        {
            "event": "restoring",
            "task": "middle/0",
            "rows": rows,
            "rows_per_s": rate,
            "percent": percent,
            "seconds_left": left,
        }
        for rows, rate, percent, left in ((20, 2, 25, 30), (80, 4, 100, 0))
    ]


def test_a_restore_is_told_of_in_the_metrics_from_its_first_rows_to_its_end(owned):
    asyncio.run(owned.own(OTHER))
    task = owned.assignment.tasks[OTHER]
    owned.assignment._observer = observer = metrics.EngineMetrics()

    def values() -> list[float | None]:
        labels = {"stage": "count", "partition": "1"}
        names = ("raccord_restore_ratio", "raccord_restored_rows", "raccord_restore_seconds")
        return [metrics.REGISTRY.get_sample_value(name, labels) for name in names]

    owned.assignment._progress(task, Progress(25, 100, 20, 10.0))
    assert values() == [0.25, 20, None]
    observer.ready(task, 30.0)
    assert values() == [1.0, 20, 30.0]
    observer.lag(task, 0)
    observer.watermark(task, 1_000)
    observer.suspended(task)


# Changelog partitions that tasks without tables share


@pytest.fixture
def sources(restorer, tmp_path):
    """An assignment of one stage that reads three topics and keeps no rows."""
    assert restorer.asked == []
    handler = SimpleNamespace(reset=lambda: None)
    topics = ("a", "b", "c")
    one = Owned(tmp_path / "state")
    one.assignment._stages = {
        topic: Stage("ingest", topics, "ingest-changelog", lambda _task: handler, watermarks_to="middle")
        for topic in topics
    }
    one.assignment._partitions = dict.fromkeys(topics, 2)
    return one


def test_a_changelog_that_tasks_share_is_read_once_for_all_of_them(sources, restorer):
    tps = [TP(topic, partition) for topic in "abc" for partition in (0, 1)]
    asyncio.run(sources.own(*tps))
    assert sorted(restorer.asked) == [("ingest-changelog", 0, 0), ("ingest-changelog", 1, 0)]
    assert {sources.rows(tp).changelog_position for tp in tps} == {10}


def test_a_shared_changelog_is_read_from_where_the_last_of_those_who_have_it_stands(sources, restorer):
    a, b = TP("a", 0), TP("b", 0)

    async def twice() -> None:
        await sources.own(a, b)
        sources.rows(b).write([], 15)
        restorer.asked.clear()
        await sources.own(a, b)

    asyncio.run(twice())
    assert restorer.asked == [("ingest-changelog", 0, 10)]


def test_who_alone_is_ahead_of_a_shared_changelog_gets_all_of_it(sources, restorer):
    a, b = TP("a", 0), TP("b", 0)

    async def twice() -> None:
        await sources.own(a, b)
        sources.rows(b).write([], 25)
        restorer.asked.clear()
        await sources.own(a, b)

    asyncio.run(twice())
    assert restorer.asked == [("ingest-changelog", 0, 10), ("ingest-changelog", 0, 0)]
    assert sources.rows(b).changelog_position == 10


def test_rows_that_a_restore_which_was_broken_off_has_closed_are_read_again_from_the_beginning(
    sources, restorer
):
    a = TP("a", 0)

    async def in_haste() -> None:
        await sources.own(a)
        restorer.asked.clear()
        sources.assignment.suspend()
        sources.assignment.assign({a})
        await sources.own(a)  # before the restore that has just begun has come to anything

    asyncio.run(in_haste())
    assert restorer.asked[-1] == ("ingest-changelog", 0, 0)


def test_who_is_new_to_a_shared_changelog_has_it_read_from_its_beginning(sources, restorer):
    a, b = TP("a", 0), TP("b", 0)

    async def twice() -> None:
        await sources.own(a)
        restorer.asked.clear()
        await sources.own(a, b)

    asyncio.run(twice())
    assert restorer.asked == [("ingest-changelog", 0, 0)]


def test_rows_ahead_of_a_shared_changelog_are_built_anew(sources, restorer):
    a, b = TP("a", 0), TP("b", 0)

    async def twice() -> None:
        await sources.own(a, b)
        for tp in (a, b):
            sources.rows(tp).write([], 500)
        restorer.asked.clear()
        restorer.errors += [StaleRowsError("ahead")] * 2
        await sources.own(a, b)

    asyncio.run(twice())
    assert {position for _, _, position in restorer.asked} == {500, 0}
    assert {sources.rows(tp).changelog_position for tp in (a, b)} == {10}
