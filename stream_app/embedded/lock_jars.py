"""Resolve the jars of the embedded broker anew and record their digests: `make lock-jars`.

Run by a developer when `KAFKA_VERSION` changes, never at run time: what a start fetches is exactly what
`jars.json` says, so that two machines run the same broker and a damaged or exchanged jar is noticed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from jgo.maven import MavenContext

from stream_app.embedded.jars import KAFKA_VERSION, LOCK, maven_url

if TYPE_CHECKING:
    from jgo.maven import Dependency

TIMEOUT_SECONDS = 60


def resolve(context: MavenContext) -> list[Dependency]:
    """Return the broker's jars: Kafka with what it depends on, and the log4j binding it leaves to its user.

    The binding is added by itself, at the version of the log4j that came with Kafka: resolved together with
    Kafka, log4j's own dependency management would put an older kafka-clients in the place of the right one.
    """
    broker = context.create_dependency(f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}")
    roots, transitive = context.resolver.resolve([broker])
    log4j = next(jar.version for jar in transitive if jar.artifact.artifactId == "log4j-core")
    binding = context.create_dependency(f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}")
    return sorted([*roots, *transitive, binding], key=lambda jar: (jar.groupId, jar.artifactId))


def describe(jar: Dependency) -> dict[str, object]:
    """Fetch one jar and return its line of `jars.json`."""
    content = Path(jar.artifact.resolve()).read_bytes()
    return {
        "coordinate": f"{jar.groupId}:{jar.artifactId}:{jar.version}",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def main() -> None:
    """Write `jars.json`."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(
            repo_cache=Path(folder), remote_repos={"central": maven_url()}, timeout=TIMEOUT_SECONDS
        )
        with ThreadPoolExecutor(4) as pool:
            jars = list(pool.map(describe, resolve(context)))
    LOCK.write_text(json.dumps({"kafka": KAFKA_VERSION, "jars": jars}, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{LOCK.name}: {len(jars)} jars\n")


if __name__ == "__main__":
    main()
