"""A real one-node Apache Kafka, started from here: no Docker, no installed Java, no other programs.

    with EmbeddedKafka(folder) as kafka:
        Producer({"bootstrap.servers": kafka.bootstrap_servers})

A folder holds one broker: its data, logs and state. Brokers of different folders run side by side.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stream_app.embedded import jars, ports
from stream_app.embedded.config import LOOPBACK
from stream_app.embedded.java import find_java
from stream_app.embedded.launch import Launch, PortLostError, sweep
from stream_app.embedded.locking import locked
from stream_app.embedded.state import State, forget, is_broker_of
from stream_app.errors import EnvironmentMissing

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

START_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.1
NEEDED_BYTES = 256 << 20
"""Free disk without which a start is refused: a broker whose disk fills up ends in the middle of a run."""
CHOOSE_PORTS_AGAIN = 3


class EmbeddedKafka:
    """The broker of one folder.

    Args:
        folder: where its data, logs and state are; made when missing.
        port: the port for clients; by default the last start's, or a free one.
        background: it outlives the process that starts it. By default it ends when `owner` ends.
        owner: process id whose end is the broker's end; this process by default.
        report: called with a line of text at each step of a start.
        overrides: broker properties in the place of those of `config.BROKER`.
        jvm_options: beside those of `config.JVM_OPTIONS`; of two that contradict each other these count.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        background: bool = False,
        owner: int | None = None,
        report: Callable[[str], None] | None = None,
        overrides: Mapping[str, str] | None = None,
        jvm_options: tuple[str, ...] = (),
    ) -> None:
        self.folder = Path(folder).absolute()
        self._wanted_port = port
        self._owner = None if background else owner or os.getpid()
        self._report = report or (lambda _line: None)
        self._overrides = overrides
        self._jvm_options = jvm_options
        self._process: subprocess.Popen[bytes] | None = None
        self._last_ports: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    @property
    def state(self) -> State | None:
        """The running broker of this folder, whoever started it; None when there is none."""
        state = State.read(self.folder)
        return state if state is not None and is_broker_of(state.pid, self.folder) else None

    @property
    def bootstrap_servers(self) -> str:
        """The address to give to clients: of the running broker, or of the one that ran last.

        Raises:
            EnvironmentMissing: no broker was started in this folder.
        """
        if self._last_ports is not None:
            return f"{LOOPBACK}:{self._last_ports[0]}"
        if (state := self.state) is not None:
            return state.bootstrap_servers
        raise EnvironmentMissing(f"No Kafka runs in {self.folder}: start it with `raccord kafka start`.")

    @property
    def pid(self) -> int | None:
        """Process id of the running broker, for sending it signals."""
        state = self.state
        return None if state is None else state.pid

    def start(self, timeout: float = START_SECONDS) -> str:
        """Start the broker, unless this folder's already runs, and wait until it answers.

        Args:
            timeout: seconds from the start of the process to its first answer.

        Returns:
            The address to give to clients.

        Raises:
            EnvironmentMissing: no network for the jars, no Java, the wanted port taken, the disk full, or
                Kafka itself failed or did not answer in time.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / "lock", timeout, f"starts or stops Kafka in {self.folder}"):
                running = self.state
                if running is None:
                    running = self._start(timeout)
        except OSError as error:
            raise EnvironmentMissing(f"Kafka cannot be started in {self.folder}: {error}.") from error
        self._last_ports = (running.port, running.controller_port)
        return running.bootstrap_servers

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Stop the broker, gently at first; kill it when it still runs after `timeout` seconds.

        Returns:
            Whether there was one to stop.
        """
        if not self.folder.exists():
            return False
        with locked(self.folder / "lock", timeout + START_SECONDS, f"starts or stops Kafka in {self.folder}"):
            state = self.state
            if state is not None:
                self._end(state, signal.SIGTERM)
                gone = self._wait_until_gone(state, timeout)
                if not gone:
                    self._end(state, signal.SIGKILL)
                    gone = self._wait_until_gone(state, timeout)
                if gone:
                    sweep(self.folder)
            forget(self.folder)
        return state is not None

    def kill(self) -> None:
        """End the broker as a power cut would, with SIGKILL; its data stay as they are."""
        state = self.state
        if state is not None:
            self._end(state, signal.SIGKILL)
            self._wait_until_gone(state, STOP_SECONDS)

    def restart(self, timeout: float = START_SECONDS) -> str:
        """Stop the broker if it runs, and start it on the same ports with the same data."""
        self.stop()
        return self.start(timeout)

    def remove(self) -> None:
        """Stop the broker and remove its folder with everything in it."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the start, step by step

    def _start(self, timeout: float) -> State:
        free = shutil.disk_usage(self.folder).free
        if free < NEEDED_BYTES:
            raise EnvironmentMissing(
                f"The disk is full: Kafka needs {NEEDED_BYTES >> 20} MB in {self.folder}, "
                f"{free >> 20} MB are free."
            )
        java = find_java()
        class_path = jars.class_path(self._report)
        previous = self._previous_ports()
        for _ in range(CHOOSE_PORTS_AGAIN):
            chosen = ports.choose(self._wanted_port, previous)
            launch = Launch(
                self.folder, java, class_path, *chosen, self._owner, self._overrides, self._jvm_options
            )
            try:
                return self._launch(launch, timeout)
            except PortLostError:
                previous = None
        raise EnvironmentMissing(
            f"Other programs took Kafka's ports {CHOOSE_PORTS_AGAIN} times while it started: start it again."
        )

    def _previous_ports(self) -> tuple[int, int] | None:
        if self._last_ports is None and (last := State.read(self.folder)) is not None:
            self._last_ports = (last.port, last.controller_port)
        return self._last_ports

    def _launch(self, launch: Launch, timeout: float) -> State:
        launch.prepare()
        self._report(
            f"starting Apache Kafka {jars.KAFKA_VERSION} on {LOOPBACK}:{launch.port} with {launch.java}"
        )
        began = time.monotonic()
        process = launch.spawn()
        try:
            state = State(
                process.pid, launch.port, launch.controller_port, jars.KAFKA_VERSION, str(launch.java)
            )
            state.write(self.folder)
            launch.wait_until_it_answers(process, timeout)
        except BaseException:
            process.kill()
            process.wait()
            forget(self.folder)
            raise
        self._process = process
        self._report(f"Apache Kafka answers after {time.monotonic() - began:.1f} s")
        return state

    # -- the end

    def _end(self, state: State, how: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.pid, how)
            # A stopped process (SIGSTOP in chaos tests) does not see SIGTERM before it goes on.
            os.kill(state.pid, signal.SIGCONT)

    def _wait_until_gone(self, state: State, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process is not None and self._process.pid == state.pid:
                self._process.poll()  # reaps it: a zombie would look alive
            if not is_broker_of(state.pid, self.folder):
                self._process = None
                return True
            time.sleep(POLL_SECONDS)
        return False
