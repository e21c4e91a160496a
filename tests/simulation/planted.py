"""Bugs that the engine and the domain were designed against, planted one at a time; the simulation has to find each.

A simulation that can't tell them from a sound engine shows nothing. They are planted by replacing functions, and only
here: product code knows nothing of it.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.agents import customer as customer_module
from stream_app.domain.component import Components
from stream_app.domain.customer_id import CustomerIds
from stream_app.domain.drain import Drains
from stream_app.domain.evidence import Evidence
from stream_app.domain.messages import Drain, Merge, Repair
from stream_app.domain.ownership import Owners
from stream_app.domain.resolver import Resolver
from stream_app.engine import epoch as epoch_module
from stream_app.engine.assignment import Assignment
from stream_app.engine.changelog import Restorer
from stream_app.engine.engine import Engine
from stream_app.engine.epoch import Epoch
from stream_app.engine.errors import EpochAbortedError, FencedError
from stream_app.engine.flights import NOTHING, Flights
from stream_app.engine.producer import TransactionalProducer
from stream_app.engine.store import Store, Table
from stream_app.engine.task import Task
from stream_app.engine.timers import Timers
from stream_app.engine.transport import Gate
from stream_app.engine.watermark import BrokerClock
from tests.simulation.clients import _EOF, SimulatedConsumer, _Read

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    Plant = Callable[[pytest.MonkeyPatch], None]


def take_stale_batches(patch: pytest.MonkeyPatch) -> None:
    """Take a batch that was fetched before a seek."""
    reopen = Gate.reopen

    def never_stale(self: Gate, tp: Any, offset: int) -> int:
        reopen(self, tp, offset)
        return -1

    patch.setattr(Gate, "reopen", never_stale)


def trust_the_groups_offset(patch: pytest.MonkeyPatch) -> None:
    """Begin where the group's offset is, not where the rows say."""
    opened = Task.open

    def open_(self: Task, rows: Any, producer: Any, *rest: Any) -> None:
        opened(self, rows, producer, *rest)
        self.position = producer._config["process"].broker.group.offsets.get(self.tp, 0)

    patch.setattr(Task, "open", open_)


def skip_the_sources_position(patch: pytest.MonkeyPatch) -> None:
    """Leave the position of a task without tables out of its changelog."""
    log_position = Epoch._log_position

    def log(self: Epoch, task: Task) -> Any:
        return log_position(self, task) if task.stage.tables else task.meta()

    patch.setattr(Epoch, "_log_position", log)


def write_rows_first(patch: pytest.MonkeyPatch) -> None:
    """Write the rows before the transaction that makes them true."""
    commit = Epoch.commit

    def rows_first(self: Epoch, tasks: Any) -> Any:
        for task in tasks:
            if task.dirty:
                task.handler.flush()
                task.store.rows.write([*task.store.changes(), task.meta()], task.changelog_position)
        return commit(self, tasks)

    patch.setattr(Epoch, "commit", rows_first)


def do_not_wait_for_open_transactions(patch: pytest.MonkeyPatch) -> None:
    """Restore what is stable now, whatever a former owner may still commit."""

    def wait(self: Any, where: Any, _cancelled: Any) -> tuple[int, int]:
        return self._committed.get_watermark_offsets(where, timeout=10)  # type: ignore[no-any-return]

    patch.setattr(Restorer, "_wait_stable", wait)


def ignore_a_failed_delivery(patch: pytest.MonkeyPatch) -> None:
    """Go on as if a transaction had been committed that wasn't, because a message of it was not delivered."""
    commit = TransactionalProducer.commit

    def ignoring(self: Any, offsets: Any, group: Any) -> None:
        try:
            commit(self, offsets, group)
        except FencedError:
            raise
        except EpochAbortedError:
            return

    patch.setattr(TransactionalProducer, "commit", ignoring)


def commit_after_fencing(patch: pytest.MonkeyPatch) -> None:
    """Commit on revoke without offsets, when the group has thrown the worker out and nothing fences it any more."""
    metadata, known = epoch_module.group_metadata, Epoch.__init__

    def init(self: Any, producer: Any, membership: Any, *rest: Any) -> None:
        known(self, producer, lambda: membership() or ("", -1, ""), *rest)

    patch.setattr(Epoch, "__init__", init)
    patch.setattr(epoch_module, "group_metadata", lambda *member: metadata(*member) if member[2] else None)


def send_offsets_before_flushing(patch: pytest.MonkeyPatch) -> None:
    """Have the group accept an epoch of which the changelog holds nothing yet, for the next owner to wait for."""
    patch.setattr(TransactionalProducer, "_flush", lambda _self: None)


def take_no_answer_for_a_failure(patch: pytest.MonkeyPatch) -> None:
    """Read the input again when a commit is left unanswered, without asking the changelog what became of it."""
    patch.setattr(Assignment, "reopen_all", lambda self: self._epoch_rewind())

    def rewind(self: Any) -> None:
        for task in self.ready():
            if task.dirty:
                task.abort()
                task.since = self.gate.reopen(task.tp, task.position)

    patch.setattr(Assignment, "_epoch_rewind", rewind, raising=False)


def keep_what_an_aborted_epoch_wrote(patch: pytest.MonkeyPatch) -> None:
    """Leave the overlay of an epoch that was rolled back."""
    patch.setattr(Store, "abort", lambda _self: None)


def keep_an_aborted_epochs_cache(patch: pytest.MonkeyPatch) -> None:
    """Take an aborted epoch's writes for what is committed: they are in the cache already."""

    def aborted(self: Any) -> None:
        self.cache.update(self.overlay)
        self.overlay.clear()
        self._sorted.clear()

    patch.setattr(Table, "aborted", aborted)


def keep_rows_as_they_were(patch: pytest.MonkeyPatch) -> None:
    """Don't read the changelog on for rows that were kept over a rebalance: somebody may have owned them in between."""
    restore = Restorer.restore

    def kept(self: Any, topic: str, partition: int, rows: Any, **options: Any) -> None:
        if not rows.changelog_position:
            restore(self, topic, partition, rows, **options)

    patch.setattr(Restorer, "restore", kept)


def restore_what_was_aborted(patch: pytest.MonkeyPatch) -> None:
    """Read changelogs without looking at what became of their transactions."""

    def consume(self: Any, count: int, _timeout: float) -> list[Any]:
        self.process.point("in_restore")
        log = self._at
        found = [record for record in log.records[self._position :] if not record.marker][:count]
        self._position = log.end
        return [*(_Read(record, record.offset) for record in found), _Read(None, log.end, _EOF)]

    patch.setattr(SimulatedConsumer, "consume", consume)


def remember_timers_of_an_aborted_epoch(patch: pytest.MonkeyPatch) -> None:
    """Keep what is remembered as the earliest timer when the rows are rolled back."""
    patch.setattr(Timers, "reset", lambda _self: None)


def go_on_when_fenced(patch: pytest.MonkeyPatch) -> None:
    """After a fenced epoch go on reading behind it, instead of waiting for the next assignment."""

    def rolled_back(self: Any, _error: Any) -> None:
        self.epoch.producer.abort()
        for task in self.assignment.ready():
            position = task.position
            task.abort()
            task.position = position

    patch.setattr(Engine, "_rolled_back", rolled_back)


def run_ahead_of_the_brokers_clock(patch: pytest.MonkeyPatch) -> None:
    """Take the broker's clock to be a second further than any of its timestamps shows."""
    now = BrokerClock.now

    def ahead(self: Any, local: int) -> int | None:
        shown = now(self, local)
        return None if shown is None else shown + 1_000

    patch.setattr(BrokerClock, "now", ahead)


# The domain


def drop_a_redirect(patch: pytest.MonkeyPatch) -> None:
    """Forget where a component has gone: what comes for it later begins a new one under its label."""
    begin = Drains.begin

    def forgetful(self: Any, at: Any, winner: str, stamp: int) -> None:
        begin(self, at, winner, stamp)
        at.header.redirect = ""
        self._customers.put_header(at)

    patch.setattr(Drains, "begin", forgetful)


def forget_repoint(patch: pytest.MonkeyPatch) -> None:
    """Tell no row that its component has joined another."""
    patch.setattr(Components, "_repoint", lambda *_: None)


def draw_ids(patch: pytest.MonkeyPatch) -> None:
    """Number customers as they come to a worker, instead of deriving their ids from the evidence."""
    numbers = count()
    patch.setattr(CustomerIds, "of", lambda _self, _first: f"{next(numbers):032x}")


def remember_links_of_an_aborted_epoch(patch: pytest.MonkeyPatch) -> None:
    """Take a LINK for sent that was rolled back: it is never asked for again."""
    patch.setattr(Resolver, "reset", lambda _self: None)


def remember_components_of_an_aborted_epoch(patch: pytest.MonkeyPatch) -> None:
    """Keep components in memory as an epoch that was rolled back had changed them."""
    patch.setattr(Evidence, "reset", lambda _self: None)


def overlook_a_login_that_comes(patch: pytest.MonkeyPatch) -> None:
    """Read who logged in from the timelines alone, when a late login's own row is not there yet."""
    patch.setattr(Owners, "coming", property(lambda _self: None, lambda _self, _value: None), raising=False)


def let_live_clocks_pass_what_is_under_way(patch: pytest.MonkeyPatch) -> None:
    """Have timers go by how far events have been read, whatever a stage's tasks have under way to each other."""
    patch.setattr(Flights, "floor", NOTHING)
    patch.setattr(Task, "circulates", False)


def forget_what_this_epoch_sends(patch: pytest.MonkeyPatch) -> None:
    """Hold timers back for what was under way before their epoch, not for what departs in it."""

    def floor(self: Flights) -> int:
        return min((stamp for _, stamp in self.outstanding.values()), default=NOTHING)

    patch.setattr(Flights, "floor", property(floor))


def hold_nothing_back_for_a_merge(patch: pytest.MonkeyPatch) -> None:
    """Take it that a winner waits for a merge of which nothing has come yet."""
    patch.setattr(customer_module, "is_awaited", lambda message: isinstance(message, (Merge, Drain, Repair)))


class Bug(NamedTuple):
    """A planted bug, and the job under which it is looked for."""

    plant: Plant
    job: str


PLANTED: dict[str, Bug] = {
    "takes stale batches": Bug(take_stale_batches, "counting"),
    "trusts the group's offset": Bug(trust_the_groups_offset, "counting"),
    "skips the sources' position": Bug(skip_the_sources_position, "counting"),
    "writes rows first": Bug(write_rows_first, "counting"),
    "does not wait for open transactions": Bug(do_not_wait_for_open_transactions, "counting"),
    "ignores a failed delivery": Bug(ignore_a_failed_delivery, "counting"),
    "commits after fencing": Bug(commit_after_fencing, "counting"),
    "sends offsets before flushing": Bug(send_offsets_before_flushing, "counting"),
    "takes no answer for a failure": Bug(take_no_answer_for_a_failure, "counting"),
    "keeps what an aborted epoch wrote": Bug(keep_what_an_aborted_epoch_wrote, "counting"),
    "keeps an aborted epoch's cache": Bug(keep_an_aborted_epochs_cache, "counting"),
    "keeps rows as they were": Bug(keep_rows_as_they_were, "counting"),
    "restores what was aborted": Bug(restore_what_was_aborted, "counting"),
    "remembers timers of an aborted epoch": Bug(remember_timers_of_an_aborted_epoch, "counting"),
    "goes on when fenced": Bug(go_on_when_fenced, "counting"),
    "runs ahead of the broker's clock": Bug(run_ahead_of_the_brokers_clock, "live"),
    "lets live clocks pass what is under way": Bug(let_live_clocks_pass_what_is_under_way, "merging"),
    "forgets what this epoch sends": Bug(forget_what_this_epoch_sends, "merging"),
    "holds nothing back for a merge": Bug(hold_nothing_back_for_a_merge, "merging"),
    "drops a redirect": Bug(drop_a_redirect, "road"),
    "forgets REPOINT": Bug(forget_repoint, "road"),
    "draws ids": Bug(draw_ids, "road"),
    "remembers links of an aborted epoch": Bug(remember_links_of_an_aborted_epoch, "road"),
    "remembers components of an aborted epoch": Bug(remember_components_of_an_aborted_epoch, "road"),
    "overlooks a login that comes": Bug(overlook_a_login_that_comes, "road"),
}
