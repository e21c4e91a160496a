"""Builds what is written in Java: the Kafka Streams peer, and the producer of live events.

Jars by digest, as the embedded broker's, and a compiler among them: Eclipse's is a jar, so no JDK is needed, and the
runtime that runs the broker compiles and runs this too.
`python -m tests.benchmarks.peers.java` resolves the jars anew (`jars.json`).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from jgo.maven import MavenContext

from stream_app.embedded.jars import KAFKA_VERSION, Jar, class_path, maven_url
from stream_app.embedded.java import find_java

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
LOCK = HERE / "jars.json"
SOURCES = sorted((HERE / "streams").glob("*.java"))
COMPILER = "org.eclipse.jdt:ecj:3.43.0"
RUNTIME = (
    f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}",
    "org.rocksdb:rocksdbjni:10.1.3",
    "com.fasterxml.jackson.core:jackson-core:2.21.2",
    "com.fasterxml.jackson.core:jackson-databind:2.21.2",
    "com.fasterxml.jackson.core:jackson-annotations:2.21",
    "org.slf4j:slf4j-api:1.7.36",
    "org.slf4j:slf4j-nop:1.7.36",
    "at.yawk.lz4:lz4-java:1.10.2",
)
"""What kafka-streams' own POM names, a logger that keeps still, and lz4."""
OPTIONS = ("-Xms512m", "-Xmx2g", "-XX:+UseParallelGC")
"""The parallel collector is the fastest of them on two cores."""


def built(folder: Path, report: Callable[[str], None]) -> list[str]:
    """Compile what is written in Java into `folder` unless it is there; return the command that runs one class of it.

    Raises:
        EnvironmentMissing: no network for the jars, or no Java.
        CalledProcessError: it does not compile.
    """
    jars = [Jar(**line) for line in json.loads(LOCK.read_text(encoding="utf-8"))]
    path = class_path(report, jars, folder / "jars")
    java = str(find_java().executable)
    text = b"".join(source.read_bytes() for source in SOURCES)
    classes = folder / hashlib.sha256(text + path.encode()).hexdigest()[:16]
    if not (classes / "Peer.class").exists():
        report("compiling the Kafka Streams peer and the producer of live events")
        compiler = "org.eclipse.jdt.internal.compiler.batch.Main"
        arguments = ["-17", "-nowarn", "-classpath", path, "-d", str(classes), *map(str, SOURCES)]
        subprocess.run([java, "-cp", path, compiler, *arguments], check=True)
    return [java, "-cp", f"{classes}:{path}"]


def main() -> None:
    """Write `jars.json`."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), remote_repos={"central": maven_url()}, timeout=60)
        lines = []
        for coordinate in sorted((*RUNTIME, COMPILER)):
            content = Path(context.create_dependency(coordinate).artifact.resolve()).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            lines.append({"coordinate": coordinate, "bytes": len(content), "sha256": digest})
    LOCK.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{LOCK.name}: {len(lines)} jars\n")


if __name__ == "__main__":
    main()
