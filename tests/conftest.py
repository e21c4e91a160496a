"""What all tests share: one real broker, and names that no other test uses.

The broker is the one that KAFKA_BOOTSTRAP_SERVERS names, else one in a container when a Docker daemon
answers, else the embedded one. It starts with the first test that asks for it; workers of pytest-xdist share
it.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from stream_app.embedded.broker import EmbeddedKafka
from stream_app.embedded.config import BROKER
from stream_app.embedded.jars import KAFKA_VERSION
from stream_app.embedded.launch import serves
from stream_app.embedded.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
CONTAINER_SECONDS = 120
DOCKER_SOCKET = "/var/run/docker.sock"
# No test here measures time: a slow machine is no failure. What `make test` draws is the same every time, so that it
# fails for a change and not for a day; `make fuzz` draws anew.
hypothesis.settings.register_profile("raccord", deadline=None, derandomize=True)
hypothesis.settings.register_profile("fuzz", deadline=None)
hypothesis.settings.load_profile("raccord")

SHARED = pytest.StashKey[dict[str, Any]]()
NEEDS_BROKER = frozenset({"bootstrap_servers", "own_kafka"})
SHORT = frozenset({"agents", "unit"})
"""Folders of tests that take no time."""


def pytest_configure(config: pytest.Config) -> None:
    # For the embedded brokers: they live for seconds or minutes, so what a second compiler makes faster never pays.
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[SHARED] = {**worker["raccord"], "owner": os.getppid()}
        return
    kind = (
        "environment"
        if os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        else "docker"
        if docker_answers()
        else "embedded"
    )
    # Short: some systems do not take the temporary folder's long paths.
    folder = Path(tempfile.gettempdir()) / f"raccord-tests-{os.getpid()}"
    config.stash[SHARED] = {"kind": kind, "folder": str(folder), "owner": os.getpid(), "address": None}


def pytest_report_header(config: pytest.Config) -> str:
    return {
        "environment": f"broker: {os.environ.get('KAFKA_BOOTSTRAP_SERVERS')} (KAFKA_BOOTSTRAP_SERVERS)",
        "docker": f"broker: {KAFKA_IMAGE} in a container",
        "embedded": f"broker: embedded Apache Kafka {KAFKA_VERSION}",
    }[config.stash[SHARED]["kind"]]


def pytest_configure_node(node: Any) -> None:
    """Tell a pytest-xdist worker which broker to use; a container is started here, for all of them."""
    shared = node.config.stash[SHARED]
    if shared["kind"] == "docker" and shared["address"] is None:
        start_container(shared)
    node.workerinput["raccord"] = {name: shared[name] for name in ("kind", "folder", "address")}


def pytest_unconfigure(config: pytest.Config) -> None:
    shared = config.stash.get(SHARED, None)
    if shared is None or hasattr(config, "workerinput"):
        return
    if (container := shared.get("container")) is not None:
        container.stop()
    folder = Path(shared["folder"])
    if folder.exists():
        EmbeddedKafka(folder).stop(timeout=5)
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker, so that `make unit` can leave it out; bring files into an order for `make test`."""
    for item in items:
        if NEEDS_BROKER.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("broker")
    items[:] = in_turns(items)


def in_turns(items: list[pytest.Item]) -> list[pytest.Item]:
    """Mix files that mostly wait for workers and the broker with those that compute, and end with the short ones.

    So the processes of `make test` neither all wait nor all compute at one time, and have done at about the same time.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    kinds: dict[str, list[list[pytest.Item]]] = {"waiting": [], "computing": [], "short": []}
    for path, file in files.items():
        waits = any(item.get_closest_marker("broker") for item in file)
        kind = "waiting" if waits else "short" if path.parent.name in SHORT else "computing"
        kinds[kind].append(file)
    mixed = [
        (place / len(kinds[kind]), file)
        for kind in ("waiting", "computing")
        for place, file in enumerate(kinds[kind])
    ]
    ordered = [*(file for _, file in sorted(mixed, key=lambda one: one[0])), *kinds["short"]]
    return [item for file in ordered for item in file]


def docker_answers() -> bool:
    """Tell whether there is a Docker daemon that runs containers for us."""
    host = os.environ.get("DOCKER_HOST", "")
    if not host:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            if probe.connect_ex(DOCKER_SOCKET) != 0:
                return False
    import docker  # noqa: PLC0415 - slow to import, and rarely needed

    try:
        return bool(docker.from_env(timeout=3).ping())
    except docker.errors.DockerException:
        return False


def start_container(shared: dict[str, Any]) -> str:
    """Start Kafka in a container with the embedded one's settings; `shared` gets it and its address.

    testcontainers' own KafkaContainer starts with scripts that only Confluent's images have.
    """
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow, and rarely needed

    port, controller_port = free_ports(2)
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port)
    for name, value in container_environment(port, controller_port).items():
        container.with_env(name, value)
    shared["container"] = container.start()
    deadline = time.monotonic() + CONTAINER_SECONDS
    while not serves(port):
        assert time.monotonic() < deadline, f"{KAFKA_IMAGE} did not answer within {CONTAINER_SECONDS} s"
        time.sleep(0.2)
    shared["address"] = f"127.0.0.1:{port}"
    return str(shared["address"])


def container_environment(port: int, controller_port: int) -> dict[str, str]:
    """Return the embedded broker's settings as the variables that the official image reads."""
    settings = {
        **BROKER,
        "listeners": f"BROKER://0.0.0.0:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"BROKER://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
    }
    return {f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in settings.items()}


@pytest.fixture(scope="session")
def bootstrap_servers(request: pytest.FixtureRequest) -> str:
    """Address of the broker that all tests share."""
    shared = request.config.stash[SHARED]
    if shared["kind"] == "environment":
        return os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    if shared["kind"] == "docker":
        return shared["address"] or start_container(shared)
    # Workers of pytest-xdist come here at the same time: the first one starts it, the others find it running.
    return EmbeddedKafka(Path(shared["folder"]), owner=shared["owner"]).start()


@pytest.fixture
def topic_prefix() -> str:
    """Begin the names of a test's topics and groups with this, and no other test sees them."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def own_kafka() -> Iterator[EmbeddedKafka]:
    """Give a test a broker of its own, to be killed and restarted; it is not started yet."""
    kafka = EmbeddedKafka(Path(tempfile.mkdtemp(prefix="raccord-kafka-")))
    yield kafka
    kafka.remove()
