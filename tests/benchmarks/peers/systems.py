"""The four systems: how each is got ready, and how a worker of it is started. `docs/benchmarks.md` gives the reasons.

A worker has `lanes`: threads of Kafka Streams, processes of the others. All of them give up a silent member after
10 s, fetch what a producer has compressed with lz4, and write lz4.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from stream_app.embedded.jars import KAFKA_VERSION
from tests.benchmarks.peers import java
from tests.benchmarks.peers.jobs import JOBS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).parent
QUIX = HERE / "requirements-quix.txt"

Command = list[str]
_LONG = dict.fromkeys(JOBS, 1_500_000)


@dataclass(frozen=True)
class System:
    """One of those compared.

    Attributes:
        name: as it is written in tables.
        command: starts one process: takes (job, group, lane, folder).
        threads: lanes are threads of one process, not processes.
        exactly_once: what it promises.
        events: how many a throughput run takes by job, so that it lasts some ten seconds or more.
        keys: how many the recovery run takes.
        topics: roles of the topics that it wants made.
        commit_ms: between two commits, in runs for throughput and for latency; None: it paces itself.
    """

    name: str
    version: str
    command: Callable[[str, str, int, Path], Command]
    threads: bool
    exactly_once: bool
    events: Mapping[str, int]
    keys: int
    topics: Sequence[str]
    commit_ms: tuple[int, int] | None

    def commands(self, job: str, group: str, lanes: int, folder: Path) -> list[Command]:
        """Return the processes of a worker."""
        return [self.command(job, group, lane, folder) for lane in range(1 if self.threads else lanes)]


def raccord() -> System:
    """Return Raccord: its engine, native part and all, as it is installed here."""

    def command(job: str, group: str, lane: int, folder: Path) -> Command:
        module = "tests.benchmarks.peers.raccord_worker"
        return [sys.executable, "-m", module, job, group, f"w{lane}", str(folder)]

    topics = ("output", "middle", "changelog", "positions")
    return System("Raccord", "", command, False, True, _LONG, 1_000_000, topics, None)


def streams(folder: Path, report: Callable[[str], None]) -> System:
    """Return Kafka Streams, compiled; 1 s between commits is its best for throughput, 100 ms its default.

    Raises:
        EnvironmentMissing: its jars or a Java are not to be had.
    """
    run, *classes = java.built(folder, report)

    def command(job: str, group: str, lane: int, folder: Path) -> Command:
        return [run, *java.OPTIONS, *classes, "Peer", job, group, str(folder / f"streams{lane}")]

    return System(
        "Kafka Streams", KAFKA_VERSION, command, True, True, _LONG, 1_000_000, ("output",), (1_000, 100)
    )


def quix(folder: Path, report: Callable[[str], None]) -> System:
    """Return Quix Streams, installed in an environment of its own.

    Raises:
        CalledProcessError: its packages are not to be had.
    """
    python = folder / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    if not python.exists():
        report("installing Quix Streams into an environment of its own")
        subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), "-r", str(QUIX)], check=True)
    pinned = next(line for line in QUIX.read_text().splitlines() if line.startswith("quixstreams=="))

    def command(job: str, group: str, lane: int, folder: Path) -> Command:
        return [str(python), str(HERE / "quix_worker.py"), job, group, str(folder / f"quix{lane}")]

    return System(
        "Quix Streams", pinned.split("==")[1].split()[0], command, False, True,
        {"count": 300_000, "repartition": 200_000, "basket": 20_000}, 1_000_000,
        ("output",), (1_000, 100),
    )  # fmt: skip


def faust() -> System:
    """Return stock Faust, of the version that Raccord uses as its shell."""

    def command(job: str, group: str, lane: int, folder: Path) -> Command:
        return [
            sys.executable, "-m", "tests.benchmarks.peers.faust_worker",
            job, group, str(folder / f"faust{lane}"),
        ]  # fmt: skip

    return System(
        "stock Faust", version("faust-streaming"), command, False, False, dict.fromkeys(JOBS, 40_000), 1_000_000,
        ("output", "middle"), (1_000, 1_000),
    )  # fmt: skip


def environment(
    system: System, *, bootstrap: str, source: str, lanes: int, gap_ms: int, partitions: int, live: bool
) -> Mapping[str, str]:
    """Return the variables that a worker's processes read."""
    commit = system.commit_ms[live] if system.commit_ms else 0
    return {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "INPUT": source,
        "PARTITIONS": str(partitions),
        "LANES": str(lanes),
        "GAP_MS": str(gap_ms),
        "COMMIT_MS": str(commit),
        "PYTHONUNBUFFERED": "1",
        "PATH": os.environ["PATH"],
    }
