"""A lock between processes: an advisory lock on a file, let go by the system when its holder dies."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stream_app.errors import EnvironmentMissing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_SECONDS = 0.05


@contextmanager
def locked(path: Path, wait_seconds: float, doing: str) -> Iterator[None]:
    """Hold the lock on `path`, which is created when it is missing and never removed.

    Args:
        path: the lock file; its folder exists.
        wait_seconds: how long to wait for whoever holds it.
        doing: what its holder does, for the error message ("starts Kafka").

    Raises:
        EnvironmentMissing: it was still held after `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise EnvironmentMissing(
                        f"Another process {doing} and has not finished within {wait_seconds:.0f} s "
                        f"(lock {path}): wait for it, or end it."
                    ) from None
                time.sleep(POLL_SECONDS)
        yield
