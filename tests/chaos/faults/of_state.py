"""Faults of a worker's disk: its stores are gone, or the disk is full."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from tests.chaos.deployment import can_mount
from tests.chaos.faults.of_workers import OfOneWorker

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.chaos.faults.fault import Scene

DISK_MIB = 192
"""Size of a worker's disk, where it has one of its own."""


class WipeWorker(OfOneWorker):
    """A machine that comes back with an empty disk."""

    name = "wipe"
    what = "kill -9 of a worker, and its state folder is removed before it comes back"
    lasts = (0.0, 1.5)

    def inject(self, scene: Scene) -> None:
        scene.deployment.kill(self.worker)
        scene.deployment.wipe(self.worker)

    def heal(self, scene: Scene) -> None:
        scene.deployment.start(self.worker)


class FullDisk(OfOneWorker):
    """A disk without a free byte: writes fail in mid-flow, and so do starts.

    The worker's folder is a small file system of its own (tmpfs), of which a ballast file takes all that is free.
    """

    name = "full-disk"
    what = "a worker's disk is full: it runs on as long as it can, or is killed and has to start on it"
    lasts = (4.0, 8.0)

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.killed = draw.random() < 0.5

    @property
    def details(self) -> str:
        return f"{self.worker}, {'killed and started on it' if self.killed else 'while it runs'}"

    def inject(self, scene: Scene) -> None:
        ballast = self._ballast(scene)
        piece = bytes(1 << 20)
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                if file.write(piece) < len(piece):
                    piece = piece[: len(piece) // 2] or piece[:1]
        if self.killed:
            scene.deployment.kill(self.worker)
            scene.deployment.start(self.worker)

    def heal(self, scene: Scene) -> None:
        self._ballast(scene).unlink(missing_ok=True)
        scene.deployment.start(self.worker)

    def _ballast(self, scene: Scene) -> Path:
        return scene.deployment.store_of(self.worker) / "ballast"

    @classmethod
    def impossible(cls, scene: Scene) -> str | None:
        if any(os.path.ismount(scene.deployment.store_of(name)) for name in ("w1",)):
            return None
        return "mounting a small tmpfs is not permitted here"


@contextlib.contextmanager
def small_disks(folders: list[Path]):
    """Give each folder a small file system of its own, where that is permitted; yields whether it is."""
    possible = all(can_mount(folder) for folder in folders[:1])
    mounted: list[Path] = []
    try:
        for folder in folders if possible else []:
            folder.mkdir(parents=True, exist_ok=True)
            size = f"size={DISK_MIB}m"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
            mounted.append(folder)
        yield possible
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
