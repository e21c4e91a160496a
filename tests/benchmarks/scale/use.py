"""What processes use, thread by thread, as Linux tells it in /proc: processor time, reads of files, memory.

A worker reads its rows in the main thread, and nothing else there calls read(2): clients use sockets (recv). So a read
of the main thread is a block of RocksDB that the block cache did not have. Whether the disk was asked, or the system's
page cache had it, is another matter (`disk_bytes`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")
GROUPS = {"rdk": "clients", "rocksdb": "rocksdb"}
"""The beginning of a thread's name -> what it is; the main thread is `main`, all others are `other`."""


@dataclass
class Use:
    """What has been used so far: CPU-seconds in all and by kind of thread, reads, bytes, peak memory (bytes)."""

    cpu: float = 0.0
    by_thread: dict[str, float] = field(default_factory=dict)
    reads: int = 0
    disk_bytes: int = 0
    peak_memory: int = 0

    def __sub__(self, before: Use) -> Use:
        """What was used since; the peak is that of all time."""
        return Use(
            self.cpu - before.cpu,
            {kind: seconds - before.by_thread.get(kind, 0.0) for kind, seconds in self.by_thread.items()},
            self.reads - before.reads,
            self.disk_bytes - before.disk_bytes,
            self.peak_memory,
        )


def of(pids: Iterable[int]) -> Use:
    """Return what these processes have used, together; those that have ended count nothing."""
    found = Use()
    for pid in pids:
        try:
            _add(found, Path(f"/proc/{pid}"), pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def tree(pid: int) -> list[int]:
    """Return a process and all that come from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(one for child in children for one in tree(int(child)))]


def _add(found: Use, process: Path, pid: int) -> None:
    total = _cpu(process)
    found.cpu += total
    named = 0.0
    for task in (process / "task").iterdir():
        try:
            name, seconds = (task / "comm").read_text().strip(), _cpu(task)
            reads = _field(task / "io", "syscr") if task.name == str(pid) else 0
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has just ended
        kind = "main" if task.name == str(pid) else GROUPS.get(name.partition(":")[0], "")
        if kind:
            found.by_thread[kind] = found.by_thread.get(kind, 0.0) + seconds
            named += seconds
        found.reads += reads
    found.by_thread["other"] = found.by_thread.get("other", 0.0) + total - named
    found.disk_bytes += _field(process / "io", "read_bytes")
    found.peak_memory += _field(process / "status", "VmHWM") * 1024


def _cpu(of_what: Path) -> float:
    words = (of_what / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:13])) / _TICKS


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(f"{path} says nothing of {name}")
