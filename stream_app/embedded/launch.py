"""The steps of a broker's start: configuration, layout of an empty data folder, recovery, the process."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.embedded import config, leash, ports
from stream_app.embedded.logs import tail
from stream_app.errors import EnvironmentMissing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stream_app.embedded.java import Java

POLL_SECONDS = 0.1
FENCE_SECONDS = 20.0
FLUSH_SECONDS = 0.2
"""From the controller's word in its log until what it says is on disk (its batches linger 25 ms)."""
QUIET_SECONDS = 1.0
"""How long a controller with a session timeout of a fifth of this may find nobody to fence."""


class PortLostError(Exception):
    """Another program took a port between the moment it was found free and the moment Kafka bound it."""


@dataclass(frozen=True)
class Launch:
    """One start of the broker of a folder.

    Attributes:
        folder: the broker's folder.
        java: which Java runs it.
        class_path: Kafka's jars.
        port: where clients will reach it.
        controller_port: where its controller will listen.
        owner: process id whose end is the broker's end; None for a broker in the background.
        overrides: broker properties in the place of those of `config.BROKER`.
        jvm_options: beside those of `config.JVM_OPTIONS`; of two that contradict each other these count.
    """

    folder: Path
    java: Java
    class_path: str
    port: int
    controller_port: int
    owner: int | None
    overrides: Mapping[str, str] | None
    jvm_options: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Write the configuration, and leave data that a broker can start with.

        Raises:
            EnvironmentMissing: Kafka could not lay out an empty data folder.
        """
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        sweep(self.folder)
        text = config.server_properties(data, self.port, self.controller_port, self.overrides)
        self._write("server.properties", text)
        self._write("fence.properties", config.fence_properties(data, self.controller_port))
        for name in ("kafka", "fence"):
            self._write(f"{name}.log4j2.yaml", config.log4j_yaml(self.folder / f"{name}.log"))
        if not (data / "meta.properties").exists():
            self._format()
        elif not (data / ".kafka_cleanshutdown").exists():
            self._fence()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the broker's process and return at once."""
        return self._spawn("kafka", "server.properties")

    def wait_until_it_answers(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        """Return when the broker answers a metadata request.

        Raises:
            PortLostError: a port that was free is taken now.
            EnvironmentMissing: it ended, or did not answer within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise EnvironmentMissing(
                    f"Kafka did not answer on port {self.port} within {timeout:.0f} s; the end of its log:\n"
                    f"{tail(self.folder)}"
                )
            if ports.answers(self.port) and serves(self.port):
                return
            time.sleep(POLL_SECONDS)
        said = tail(self.folder)
        if "Address already in use" in said:
            raise PortLostError(said)
        raise EnvironmentMissing(
            f"Kafka ended with exit code {process.returncode} instead of starting; the end of its log:\n"
            f"{said}"
        )

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def _command(self, name: str, *program: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={self.folder / f'{name}.log4j2.yaml'}"
        options = (*config.JVM_OPTIONS, *self.jvm_options, log4j)
        return [str(self.java.executable), *options, "-cp", self.class_path, *program]

    def _spawn(self, name: str, properties: str) -> subprocess.Popen[bytes]:
        with (self.folder / "console.log").open("wb") as console:
            process = subprocess.Popen(  # noqa: S603 - our own command
                self._command(name, "kafka.Kafka", str(self.folder / properties)),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches the workers first: they finish their epoch while there is a broker.
                start_new_session=True,
            )
        if self.owner is not None:
            _tie(process.pid, self.owner)
        return process

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        properties = str(self.folder / "server.properties")
        program = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", properties)
        answer = subprocess.run(  # noqa: S603 - our own command
            self._command("kafka", *program), capture_output=True, text=True, check=False
        )
        if answer.returncode != 0:
            said = [line for line in (answer.stdout + answer.stderr).splitlines() if line[:1].strip()]
            raise EnvironmentMissing(f"Kafka could not lay out {self.folder / 'data'}: {' '.join(said[-1:])}")

    def _fence(self) -> None:
        """Let the controller alone write down that the broker is gone, before the broker starts again.

        After kill -9 the metadata still say that the broker is up and leads everything. Started on that, its
        transaction coordinator takes up the commits whose markers were not written yet, cannot reach the
        leader (itself: its socket is not open yet), loses that leader when its old session runs out, takes
        the partitions for deleted and calls the commits complete: the markers are never written, and
        `read_committed` readers wait at that place for ever. Seen with Kafka 4.3.1 whenever the kill came
        right after a commit; with more than one broker another one leads by then. Fenced first, the broker
        comes back as one that leads nothing, and takes up the commits when it is elected and reachable.
        """
        log = self.folder / "fence.log"
        log.unlink(missing_ok=True)
        process = self._spawn("fence", "fence.properties")
        deadline = time.monotonic() + FENCE_SECONDS
        active_at: float | None = None
        while time.monotonic() < deadline and process.poll() is None:
            text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            if "Fencing broker 1 " in text:
                time.sleep(FLUSH_SECONDS)
                break
            if active_at is None and "Activated periodic tasks" in text:
                active_at = time.monotonic()
            if active_at is not None and time.monotonic() - active_at > QUIET_SECONDS:
                break  # it was fenced already
            time.sleep(POLL_SECONDS)
        process.terminate()
        try:
            process.wait(FENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def sweep(folder: Path) -> None:
    """Remove what is left of topics that were deleted; while no broker runs there.

    A broker does that itself, 30 s after its start at the earliest, and most of ours don't live so long: every run of
    `make bench` left 250 MB behind, which each start after that had to open.
    """
    for left in (folder / "data").glob("*-delete"):
        shutil.rmtree(left, ignore_errors=True)


def _tie(broker: int, owner: int) -> None:
    """Let the broker end when its owner does."""
    subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-I", "-S", leash.__file__, str(owner), str(broker)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def serves(port: int) -> bool:
    """Tell whether the broker answers a metadata request and counts itself as one of its cluster."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - the command line starts faster without
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    client = AdminClient({"bootstrap.servers": f"{config.LOOPBACK}:{port}", "log_level": 0})
    try:
        return len(client.list_topics(timeout=2).brokers) > 0
    except KafkaException:
        return False
