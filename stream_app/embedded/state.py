"""What is known of the broker of a folder: `state.json`, written at its start, believed when checked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True)
class State:
    """A broker that was started in a folder.

    Attributes:
        pid: its process.
        port: where clients reach it, on 127.0.0.1.
        controller_port: where its controller listens.
        kafka: version of Apache Kafka.
        java: which Java runs it, for people.
    """

    pid: int
    port: int
    controller_port: int
    kafka: str
    java: str

    @property
    def bootstrap_servers(self) -> str:
        """The address to give to clients."""
        return f"127.0.0.1:{self.port}"

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the state a start left in `folder`, or None when there is none that can be read."""
        try:
            return cls(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Leave this state in `folder`, whole or not at all."""
        draft = folder / "state.json.new"
        draft.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        draft.replace(folder / "state.json")


def forget(folder: Path) -> None:
    """Remove the state file of `folder`."""
    with contextlib.suppress(FileNotFoundError):
        (folder / "state.json").unlink()


def is_broker_of(pid: int, folder: Path) -> bool:
    """Tell whether process `pid` is the broker of `folder`, and not another that was given its number.

    The broker's command line names its folder's `server.properties`; a zombie has no command line.
    """
    return str(folder / "server.properties") in command_line(pid)


def command_line(pid: int) -> list[str]:
    """Return the arguments of a process, none when there is no such process."""
    proc = Path("/proc") / str(pid) / "cmdline"
    if proc.parent.parent.joinpath("self").exists():
        try:
            return os.fsdecode(proc.read_bytes()).split("\0")
        except OSError:
            return []
    answer = subprocess.run(  # noqa: S603 - the argument is a number
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607 - wherever this system keeps it
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.split()
