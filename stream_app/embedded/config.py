"""What the embedded broker is configured with: Kafka's properties, log4j's, and the JVM's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOOPBACK = "127.0.0.1"
LARGEST_MESSAGE_BYTES = 12 << 20
"""Values of 10 MB have to reach the pipeline, which is what refuses them."""

JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    # One collector thread: two cores are shared with the workers, and the heap is small.
    "-XX:+UseSerialGC",
    # It lives for minutes: compiling the code well takes longer than it spares. Measured with the worker beside it
    # (`tests.benchmarks.pipeline`, 212,068 events): 5.5 s of processor time instead of 9.7, ready after 3.6 s
    # instead of 5.5.
    "-XX:TieredStopAtLevel=1",
    # A broker that is out of memory must be seen to be dead.
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)

BROKER: Mapping[str, str] = {
    # One node is both, broker and controller.
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # One copy of everything.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Few partitions of the internal topics: a start opens each of them.
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.num.partitions": "1",
    # Offsets are committed several times a second: what is out of date is to be cleaned soon, for a start reads it all.
    "offsets.topic.segment.bytes": str(4 << 20),
    # Topics are made on purpose, with the settings they need.
    "auto.create.topics.enable": "false",
    "num.partitions": "4",
    # Groups form at once; tests choose how soon a silent member is given up.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    # A dead worker's transaction ends soon after its timeout (the default looks every 10 s).
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "message.max.bytes": str(LARGEST_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(LARGEST_MESSAGE_BYTES),
    # The one broker is never better off for being given up by its own controller (see `launch._fence`): not
    # after a pause of some seconds on a busy machine.
    "broker.session.timeout.ms": "30000",
    # Small machine, small heap: the defaults are for a server.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "log.index.size.max.bytes": str(1 << 20),
    "log.segment.bytes": str(128 << 20),
    "log.retention.hours": "168",
    "log.retention.check.interval.ms": "60000",
    "file.delete.delay.ms": "5000",
}

FENCE: Mapping[str, str] = {
    "process.roles": "controller",
    "node.id": BROKER["node.id"],
    "controller.listener.names": BROKER["controller.listener.names"],
    "listener.security.protocol.map": BROKER["listener.security.protocol.map"],
    "broker.session.timeout.ms": "200",
    "broker.heartbeat.interval.ms": "100",
}
"""The controller alone, quick to give up a broker that is not there."""

LOG4J = """\
Configuration:
  Properties:
    Property:
      - {{name: pattern, value: "%d %p %m (%c)%n"}}
  Appenders:
    RollingFile:
      name: File
      fileName: "{log}"
      filePattern: "{log}.%i"
      PatternLayout: {{pattern: "${{pattern}}"}}
      SizeBasedTriggeringPolicy: {{size: 16MB}}
      DefaultRolloverStrategy: {{max: 2}}
  Loggers:
    Root:
      level: INFO
      AppenderRef: {{ref: File}}
"""


def server_properties(
    data: Path, port: int, controller_port: int, overrides: Mapping[str, str] | None = None
) -> str:
    """Return the text of `server.properties`.

    Both listeners are on loopback only. The quorum is the static kind: its one voter is named in this file
    and not in the metadata log, so that a start may choose other ports than the last one.
    """
    listeners = f"BROKER://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}"
    settings = {"listeners": listeners, "advertised.listeners": listeners}
    return _properties({**BROKER, **_node(data, controller_port), **settings, **(overrides or {})})


def fence_properties(data: Path, controller_port: int) -> str:
    """Return the properties for a start of the controller without the broker (see `launch._fence`)."""
    settings = {"listeners": f"CONTROLLER://{LOOPBACK}:{controller_port}"}
    return _properties({**FENCE, **_node(data, controller_port), **settings})


def log4j_yaml(log: Path) -> str:
    """Return log4j's configuration: one file, bounded in size."""
    return LOG4J.format(log=log)


def _node(data: Path, controller_port: int) -> dict[str, str]:
    return {"controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}", "log.dirs": _escaped(data)}


def _properties(settings: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _escaped(path: Path) -> str:
    """Escape a path as a value of a Java properties file."""
    return str(path).replace("\\", "\\\\")
