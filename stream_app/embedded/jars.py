"""The jars of the embedded broker: which ones, where they are kept, and that they are whole.

`jars.json` (written by `lock_jars.py`) names every jar with its size and SHA-256. jgo fetches them from
Maven Central into a folder of their own; a jar reaches the cache only after its digest was checked, and the
cache is checked again at every start (45 MB: 30 ms), so that a truncated file is fetched anew.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stream_app.embedded.locking import locked
from stream_app.errors import EnvironmentMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KAFKA_VERSION = "4.3.1"
LOCK = Path(__file__).with_name("jars.json")
MIRROR_VARIABLE = "RACCORD_MAVEN_URL"
TIMEOUT_SECONDS = 30
ATTEMPTS = 4
PARALLEL_FETCHES = 4
REPORT_EVERY_BYTES = 8 << 20
WAIT_FOR_OTHER_FETCH_SECONDS = 600.0


class DamagedError(Exception):
    """A fetched jar is not the one `jars.json` names."""


@dataclass(frozen=True)
class Jar:
    """One jar as it was locked."""

    coordinate: str
    bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Name of the file in the cache: artifact and version."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    def is_whole_at(self, path: Path) -> bool:
        """Tell whether the file at `path` is this jar, byte for byte."""
        try:
            if path.stat().st_size != self.bytes:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def maven_url() -> str:
    """Return the Maven repository to fetch from: Maven Central, or the mirror that the environment names."""
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - slow to import, and rarely needed

    return os.environ.get(MIRROR_VARIABLE, MAVEN_CENTRAL_URL).rstrip("/")


def cache_folder() -> Path:
    """Return where the jars are kept between runs, shared by all checkouts of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "raccord" / f"kafka-{KAFKA_VERSION}"


def locked_jars() -> list[Jar]:
    """Return the jars that `jars.json` names."""
    return [Jar(**line) for line in json.loads(LOCK.read_text(encoding="utf-8"))["jars"]]


def class_path(
    report: Callable[[str], None], jars: Sequence[Jar] | None = None, folder: Path | None = None
) -> str:
    """Return the Java class path of the broker, having fetched what is missing or damaged.

    Args:
        report: called with a line of text when something takes long enough to be worth a word.
        jars: what to have there; those of `jars.json` by default.
        folder: the cache; `cache_folder()` by default.

    Raises:
        EnvironmentMissing: no network, a repository without these jars, or a full disk.
    """
    jars = locked_jars() if jars is None else jars
    folder = cache_folder() if folder is None else folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", WAIT_FOR_OTHER_FETCH_SECONDS, "fetches Kafka's jars"):
            missing = [jar for jar in jars if not jar.is_whole_at(folder / jar.file_name)]
            if missing:
                _fetch_all(missing, folder, report)
    except (OSError, RuntimeError, DamagedError) as error:
        raise EnvironmentMissing(_explanation(error, folder)) from error
    return os.pathsep.join(str(folder / jar.file_name) for jar in jars)


def _fetch_all(jars: Sequence[Jar], folder: Path, report: Callable[[str], None]) -> None:
    total = sum(jar.bytes for jar in jars)
    report(f"fetching Apache Kafka {KAFKA_VERSION}: {len(jars)} jars, {total / 1e6:.0f} MB")
    done = said = 0
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-", ignore_cleanup_errors=True) as staging,
        ThreadPoolExecutor(PARALLEL_FETCHES) as pool,
    ):
        tasks = {pool.submit(_fetch, jar, Path(staging), folder): jar for jar in jars}
        try:
            for task in as_completed(tasks):
                task.result()
                done += tasks[task].bytes
                if done - said >= REPORT_EVERY_BYTES or done == total:
                    said = done
                    report(f"  {done / 1e6:.0f} of {total / 1e6:.0f} MB")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(jar: Jar, staging: Path, folder: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _download(jar, staging).replace(folder / jar.file_name)
        except (OSError, RuntimeError, DamagedError) as error:
            # A connection breaks, a busy server answers 503 (which jgo reports as a RuntimeError): try again.
            # A full disk stays full.
            if attempt == ATTEMPTS or getattr(error, "errno", None) == errno.ENOSPC:
                raise
            time.sleep(0.5 * 2**attempt)
        else:
            return


def _download(jar: Jar, staging: Path) -> Path:
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow to import, and needed at the first start only

    context = MavenContext(repo_cache=staging, remote_repos={"central": maven_url()}, timeout=TIMEOUT_SECONDS)
    artifact = context.create_dependency(jar.coordinate).artifact
    # A file that an attempt left behind would be taken for the jar.
    shutil.rmtree(staging / artifact.component.path_prefix, ignore_errors=True)
    fetched = Path(artifact.resolve())
    if not jar.is_whole_at(fetched):
        raise DamagedError(jar.file_name)
    return fetched


def _explanation(error: Exception, folder: Path) -> str:
    import requests  # noqa: PLC0415 - slow to import, and needed when something went wrong only

    size = sum(jar.bytes for jar in locked_jars()) / 1e6
    if isinstance(error, requests.RequestException):
        return (
            f"No network: Apache Kafka's jars ({size:.0f} MB) could not be fetched from {maven_url()} "
            f"({type(error).__name__}). Connect once, or name a mirror in {MIRROR_VARIABLE}, or a running "
            "cluster in KAFKA_BOOTSTRAP_SERVERS."
        )
    if isinstance(error, DamagedError):
        return (
            f"The jar {error} came from {maven_url()} with other content than {LOCK.name} records, "
            f"{ATTEMPTS} times: try again later, or another repository through {MIRROR_VARIABLE}."
        )
    if isinstance(error, RuntimeError):
        return f"{maven_url()} does not hand out a jar of Apache Kafka {KAFKA_VERSION}: {error}."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full: Apache Kafka's jars need {size:.0f} MB in {folder}."
    return f"Apache Kafka's jars cannot be kept in {folder}: {error}."
