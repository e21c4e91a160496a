"""Reading the broker's logs: their end for an error message, and their growth for `raccord kafka logs -f`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAIL_LINES = 15
TAIL_BYTES = 64 << 10
POLL_SECONDS = 0.3
TROUBLE = (" ERROR ", " FATAL ", "Exception", "Error:")


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last `count` lines of a file that may be large, none when it is missing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def tail(folder: Path) -> str:
    """Return what tells most about a failure: what the JVM said, else what Kafka logged about trouble."""
    console = last_lines(folder / "console.log", TAIL_LINES)
    log = last_lines(folder / "kafka.log", 200)
    trouble = [line for line in log if any(mark in line for mark in TROUBLE)]
    lines = [*console, *(trouble or log)[-TAIL_LINES:]]
    return "\n".join(f"  {line[:300]}" for line in lines) or "  (nothing was logged)"


def follow(path: Path) -> Iterator[str]:
    """Yield the lines that are added to a file from now on, for ever; a rolled file is followed."""
    inode, position = _stat(path)
    rest = b""
    while True:
        now, size = _stat(path)
        if now != inode or size < position:
            inode, position = now, 0
        if size > position:
            with path.open("rb") as file:
                file.seek(position)
                chunk = file.read(size - position)
            position = size
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace")
        else:
            time.sleep(POLL_SECONDS)


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_ino, stat.st_size
