"""Rules that change under a running worker: their files are watched, read again, and take over between two epochs.

1. A thread looks at the files every `LOOK_S` seconds, and at once on SIGHUP. Names, sizes and times tell whether they
   are others: as long as they aren't, a look costs a stat a file, and nothing is read.
2. Changed files are read when they have stood still from one look to the next: who is saving one may have written half
   of it, and half a rule can be a valid one. SIGHUP says that they are whole.
3. All of it takes over, or nothing: a file may be wrong, a version may have another content than the one that runs, a
   topic may be missing. Then everything stays as it runs, the log says why, once, and a gauge is 1 until the files are
   what runs. What only lacks a topic is tried again at every look.
4. `take_over` is the engine's to call, between two epochs: all tasks of the worker go by the new rules from the same
   moment on. The states of customers are folded again as these next have an event or a timer.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from stream_app import metrics
from stream_app.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from stream_app.agents.in_force import InForce, Terms, Written
    from stream_app.domain.rules import Rule

log = structlog.get_logger(__name__)

LOOK_S = 1.0
SUFFIX = ".yaml"


class Stamp(NamedTuple):
    """What tells a file from the one before, without reading it; `modified` is -1 where there is none."""

    file: str
    modified: int
    size: int
    inode: int


class Source(Protocol):
    """Where rules come from; both raise UserError with what is wrong, where, and what to do."""

    def read(self) -> Written:
        """Read the files."""

    def terms(self, written: Written) -> Terms:
        """Return what is needed to go by these: see that there is a topic for every rule."""


class Reload:
    """Watches the files of one worker's rules."""

    def __init__(self, paths: Sequence[Path], source: Source, in_force: InForce) -> None:
        """Watch files, and folders of rule files; what they hold now may be what is in force already."""
        self._paths = tuple(paths)
        self._source = source
        self._in_force = in_force
        self._accepted = in_force.terms
        self._seen: tuple[Stamp, ...] | None = None
        self._read: tuple[Stamp, ...] | None = None
        self._waiting: Written | None = None
        self._ready: Terms | None = None
        self._failure = ""
        self._asked = threading.Event()

    def start(self) -> None:
        """Begin to look; called in the worker's event loop."""
        _tell(self._accepted)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        threading.Thread(target=self._look_on, name="rules", daemon=True).start()

    def take_over(self) -> None:
        """Put in force what is ready. For the engine, between two epochs."""
        terms = self._ready
        if terms is None:
            return
        self._ready = None
        self._in_force.replace(terms)
        metrics.RULES_RELOADS.labels("taken").inc()
        _tell(terms)

    def look(self, *, asked: bool = False) -> None:
        """Look at the files once; `asked`: they are whole, and are read whether they seem to have changed or not."""
        stamps = tuple(_stamps(self._paths))
        stood_still, self._seen = stamps == self._seen, stamps
        if asked or (stood_still and stamps != self._read):
            self._read = stamps
            self._waiting = self._changed()
        if self._waiting is not None:
            self._prepare(self._waiting)

    def _look_on(self) -> None:
        while True:
            asked = self._asked.wait(LOOK_S)
            self._asked.clear()
            try:
                self.look(asked=asked)
            except Exception as error:  # noqa: BLE001 - whatever it is, the old rules run on, and the next look may do
                self._failed(f"the files of the rules can't be looked at: {type(error).__name__}")

    def _changed(self) -> Written | None:
        """Read the files; return what is in them if it is right, and not what runs."""
        running = self._accepted.written
        try:
            written = self._source.read()
        except UserError as error:
            self._failed(error.message)
            return None
        altered = running.altered(written)
        if altered:
            names = ", ".join(f"{rule.name} version {rule.version}" for rule in altered)
            self._failed(f"{names} runs with another content: raise its version")
            return None
        if running.same(written):
            self._succeeded()
            return None
        return written

    def _prepare(self, written: Written) -> None:
        """Have rules take over if there is all that they need."""
        try:
            terms = self._source.terms(written)
        except UserError as error:
            self._failed(error.message)
            return
        self._waiting, self._accepted = None, terms
        self._ready = terms
        self._succeeded()

    def _failed(self, reason: str) -> None:
        metrics.RULES_RELOAD_FAILED.set(1)
        if reason != self._failure:
            self._failure = reason
            metrics.RULES_RELOADS.labels("failed").inc()
            log.error("rules_reload_failed", reason=reason, then="the rules that run stay in force")

    def _succeeded(self) -> None:
        self._failure = ""
        metrics.RULES_RELOAD_FAILED.set(0)


def _stamps(paths: Sequence[Path]) -> Iterator[Stamp]:
    for path in paths:
        yield _stamp(path)
        if path.is_dir():
            yield from map(_stamp, sorted(path.glob(f"*{SUFFIX}")))


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return Stamp(str(path), -1, 0, 0)
    return Stamp(str(path), found.st_mtime_ns, found.st_size, found.st_ino)


def _tell(terms: Terms) -> None:
    """Say which versions are in force now."""
    book, shadow = terms.written
    beside = () if shadow is None else shadow.own.rules
    metrics.in_force(_versions(book.rules), _versions(beside), book.policy.digest)
    log.info(
        "rules_in_force",
        rules=[rule.id for rule in book.rules],
        shadow=[rule.id for rule in beside],
        sending_policy=book.policy.digest,
    )


def _versions(rules: Iterable[Rule]) -> Iterator[tuple[str, int]]:
    return ((rule.name, rule.version) for rule in rules)
