"""When a worker has Python look for circles of objects that nobody has any more.

Rows, messages and what is remembered of them are trees, which reference counting frees: the collector found
nothing at all among what the stages made (`tests/property/test_newcomers.py` holds the domain to that). But it
looks at each object that lives on at least once, and caches that fill are a million of them: 40 ms at a time,
600 ms of 17 s. So whatever is alive when an epoch ends is set aside, which costs nothing, and looked at once an
hour only.

A rebalance leaves circles: each partition has a new task, also one that stays, and the old one and its handler know
each other. A worker whose group was unquiet for half an hour kept some 40 MiB of them. So half a minute after a
rebalance, when there is time again, everything is looked at.

What the C library keeps of freed memory, after a restore and a backlog tens of MiB, is given back to the system then,
and every five minutes: what is allocated later wanders over the pages that were given back, one after the other, and a
worker would seem to grow by a third of a MiB a minute though nothing in it does.
"""

from __future__ import annotations

import ctypes
import gc
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

_YOUNG = 1_000_000
"""New objects within one epoch after which the collector looks at them all the same."""
_THOROUGH_S = 3600
_SETTLED_S = 30
_GIVE_BACK_S = 300


class Collector:
    """The collector of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take over; `clock` is in seconds."""
        self._clock = clock
        self._thorough_at = clock() + _THOROUGH_S
        self._give_back_at = clock() + _GIVE_BACK_S
        gc.set_threshold(_YOUNG, 50, 100)
        gc.freeze()

    def rebalanced(self) -> None:
        """Look at everything in a while: partitions have moved, and their tasks are gone."""
        self._thorough_at = min(self._thorough_at, self._clock() + _SETTLED_S)

    def between_epochs(self) -> None:
        """Set aside what is alive; once an hour, and when partitions have moved, look at all of it first.

        Every five minutes, give back what is free.
        """
        started = self._clock()
        if started >= self._thorough_at:
            gc.unfreeze()
            found = gc.collect()
            self._give_back_at = started
            ended = self._clock()
            self._thorough_at = ended + _THOROUGH_S
            log.info("collected", objects=found, seconds=round(ended - started, 3))
        if started >= self._give_back_at:
            _give_back()
            self._give_back_at = started + _GIVE_BACK_S
        gc.freeze()


def _give_back() -> None:
    """Have the C library return free pages to the system; only glibc keeps them, and has a call for it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
