"""Three embedded brokers, each also a controller: a cluster that can lose one of them and go on."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient

from stream_app.embedded import jars
from stream_app.embedded.broker import EmbeddedKafka
from stream_app.embedded.config import LOOPBACK
from stream_app.embedded.java import find_java
from stream_app.embedded.launch import Launch
from stream_app.embedded.ports import free_ports

if TYPE_CHECKING:
    from typing import Self

    from stream_app.embedded.state import State

NODES = 3
_CLUSTER = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    # A dead one is given up soon: another leads its partitions then.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.fetch.timeout.ms": "2000",
}
_SYNC_S = 90.0


@dataclass(frozen=True)
class _Launch(Launch):
    """A start of one of several nodes: of one cluster's id, and never fenced by a controller alone.

    What `Launch._fence` heals can't happen where another broker leads by then; and a controller that takes itself for
    the only voter would write metadata that the others don't know.
    """

    cluster_id: str = ""

    def _format(self) -> None:
        data = self.folder / "data"
        properties = dict(
            line.split("=", 1) for line in (self.folder / "server.properties").read_text().splitlines()
        )
        text = f"version=1\ncluster.id={self.cluster_id}\nnode.id={properties['node.id']}\n"
        (data / "meta.properties").write_text(text, encoding="utf-8")

    def _fence(self) -> None:
        """Leave that to the other controllers."""


class _Node(EmbeddedKafka):
    """One of the brokers."""

    def __init__(self, number: int, ports: list[tuple[int, int]], cluster_id: str) -> None:
        port, controller = ports[number - 1]
        listeners = f"BROKER://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}"
        voters = ",".join(f"{n}@{LOOPBACK}:{ports[n - 1][1]}" for n in range(1, NODES + 1))
        super().__init__(
            Path(tempfile.mkdtemp(prefix=f"raccord-node{number}-")),
            overrides={
                **_CLUSTER,
                "node.id": str(number),
                "controller.quorum.voters": voters,
                "listeners": listeners,
                "advertised.listeners": listeners,
            },
        )
        self._ports = (port, controller)
        self._cluster_id = cluster_id

    def _start(self, timeout: float) -> State:
        launch = _Launch(
            self.folder, find_java(), jars.class_path(self._report), *self._ports, self._owner, self._overrides,
            self._cluster_id,
        )  # fmt: skip
        return self._launch(launch, timeout)


class Cluster:
    """Three brokers; every topic has three copies, two of which must have what is acknowledged; a context manager.

    Attributes:
        nodes: the brokers.
        direct: their addresses; workers have the same.
    """

    def __init__(self) -> None:
        chosen = free_ports(2 * NODES)
        ports = list(zip(chosen[::2], chosen[1::2], strict=True))
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self.nodes = [_Node(number, ports, cluster_id) for number in range(1, NODES + 1)]
        self.direct = self.proxied = ",".join(f"{LOOPBACK}:{port}" for port, _ in ports)

    def __enter__(self) -> Self:
        try:
            with ThreadPoolExecutor(NODES) as pool:  # one alone is no quorum, and doesn't answer
                for started in [pool.submit(node.start, 120.0) for node in self.nodes]:
                    started.result()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end()

    def _end(self) -> None:
        for node in self.nodes:
            node.kill()
            node.stop(5)
            shutil.rmtree(node.folder, ignore_errors=True)

    def wait_in_sync(self) -> None:
        """Wait until every copy of everything has caught up.

        Raises:
            AssertionError: it takes too long.
        """
        client = AdminClient({"bootstrap.servers": self.direct, "log_level": 2})
        deadline = time.monotonic() + _SYNC_S
        while behind := [
            f"{topic.topic}/{partition.id}"
            for topic in client.list_topics(timeout=10).topics.values()
            for partition in topic.partitions.values()
            if len(partition.isrs) < len(partition.replicas)
        ]:
            assert time.monotonic() < deadline, f"{len(behind)} partitions have not caught up: {behind[:5]}"
            time.sleep(0.5)
