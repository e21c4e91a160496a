"""Topics: made with the right settings, and checked before a worker starts.

A changelog that deletes, or a topic with another number of partitions than its neighbours, loses data quietly;
so a missing or wrongly configured topic is a clear error, and nothing starts.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from stream_app.engine.errors import FatalError, TopicsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# It warns of every pause of a tenth of a second, which a busy machine makes between any two steps: nothing that
# somebody who ran a command could do anything about.
logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)

_DAY_MS = 24 * 3600 * 1000
_DEFAULT_REPLICAS = -1


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it must be.

    Attributes:
        name: its name.
        partitions: how many; None takes any number.
        config: topic settings; all of them are set on creation, and checked afterwards.
    """

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


def log_topic(retention_ms: int, max_bytes: int, *, stamped: bool = False) -> dict[str, str]:
    """Return settings of a topic that is read as a stream; `stamped`: the broker's clock dates its records."""
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_ms),
        "max.message.bytes": str(max_bytes),
    }
    return {**settings, "message.timestamp.type": "LogAppendTime"} if stamped else settings


def table_topic(max_bytes: int) -> dict[str, str]:
    """Return settings of a topic that keeps each key's last value (changelogs, profiles).

    Tombstones are kept for a week: local rows that are younger than that never miss a deletion. Small segments
    let compaction keep up with rows that change all the time.
    """
    return {
        "cleanup.policy": "compact",
        "delete.retention.ms": str(7 * _DAY_MS),
        "segment.bytes": str(64 * 1024 * 1024),
        "min.cleanable.dirty.ratio": "0.2",
        "max.message.bytes": str(max_bytes),
    }


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the client from telling of each attempt to connect: what it comes to is said in our own sentence."""
    logger = logging.getLogger("kafka")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _admin(bootstrap_servers: str) -> Iterator[KafkaAdminClient]:
    try:
        with _quietly():
            client = KafkaAdminClient(
                bootstrap_servers=bootstrap_servers.split(","),
                client_id="raccord-admin",
                bootstrap_timeout_ms=8_000,
            )
    except KafkaError as error:
        msg = f"no Kafka broker answers at {bootstrap_servers} - is it started? (`raccord kafka status`)"
        raise FatalError(msg) from error
    try:
        yield client
    finally:
        client.close()


def create(
    bootstrap_servers: str, specs: Sequence[TopicSpec], replicas: int = _DEFAULT_REPLICAS
) -> list[str]:
    """Create the topics that are missing, and return their names. Existing ones are left alone.

    Args:
        bootstrap_servers: "host:port", several with commas.
        specs: the topics.
        replicas: replication factor; -1 takes the broker's default.

    Raises:
        FatalError: no broker answers, or it refuses a topic.
    """
    with _admin(bootstrap_servers) as client:
        present = set(client.list_topics())
        missing = [spec for spec in specs if spec.name not in present]
        if missing:
            topics = [
                NewTopic(spec.name, spec.partitions, replicas, None, dict(spec.config)) for spec in missing
            ]
            try:
                client.create_topics(topics, timeout_ms=60_000, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                pass  # somebody else was quicker; the check says whether theirs will do
            except KafkaError as error:
                msg = f"the broker refused to create topics: {error}"
                raise FatalError(msg) from error
        return [spec.name for spec in missing]


def problems(bootstrap_servers: str, specs: Sequence[TopicSpec]) -> list[str]:
    """Return one sentence for each topic that is missing or not as it must be.

    Raises:
        FatalError: no broker answers.
    """
    with _admin(bootstrap_servers) as client:
        present = set(client.list_topics())
        known = [spec for spec in specs if spec.name in present]
        found = [f"topic {spec.name} is missing" for spec in specs if spec.name not in present]
        if not known:
            return found
        counts = {
            topic["name"]: len(topic["partitions"])
            for topic in client.describe_topics([s.name for s in known])
        }
        configs = _configs(client, [spec.name for spec in known])
        for spec in known:
            if counts[spec.name] != spec.partitions:
                found.append(
                    f"topic {spec.name} has {counts[spec.name]} partitions instead of {spec.partitions}"
                )
            found += [
                f"topic {spec.name} has {key}={configs[spec.name].get(key)} instead of {wanted}"
                for key, wanted in spec.config.items()
                if str(configs[spec.name].get(key)) != wanted
            ]
        return found


def missing(bootstrap_servers: str, names: Sequence[str]) -> list[str]:
    """Return those of the topics that don't exist.

    Raises:
        FatalError: no broker answers.
    """
    with _admin(bootstrap_servers) as client:
        present = set(client.list_topics())
        return [name for name in names if name not in present]


def check(bootstrap_servers: str, specs: Sequence[TopicSpec]) -> None:
    """Refuse to go on with topics that are missing or wrongly configured.

    Raises:
        TopicsError: with one sentence for each of them.
        FatalError: no broker answers.
    """
    found = problems(bootstrap_servers, specs)
    if found:
        raise TopicsError(found)


def _configs(client: KafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    # `configs=None` asks for all settings of a topic, the broker's defaults among them.
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs=None) for name in names]
    found = client.describe_configs(resources, config_filter="all")["topic"]
    return {name: {key: row["value"] for key, row in found[name].items()} for name in names}
