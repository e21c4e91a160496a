"""Settings of a deployment: from the environment (`RACCORD_...`), read once, checked, passed down.

`KAFKA_BOOTSTRAP_SERVERS` is honoured without the prefix, as everywhere.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import schemas
from stream_app.engine.watermark import TimeMode

if TYPE_CHECKING:
    from pydantic import ValidationError

STAGES = ("ingest", "resolve", "customer", "numbers")

DEVELOPMENT_KEY = "raccord-development-key"
"""The secret key of whoever sets none. It is no secret."""

NO_POLICY = Path("none")
"""As a sending policy: everything may be sent, as recorded data without consent want it."""

_CHANNEL = re.compile(r"[a-z0-9_]+")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s,/:\[\]]+):[0-9]{1,5}")
_MAX_PORT = 65_535


def _channels() -> tuple[str, ...]:
    return tuple(schemas.read_yaml("channels.yaml")["channels"])


def _references() -> tuple[str, ...]:
    return tuple(schemas.references())


class Settings(BaseSettings):
    """All settings, with the defaults of a small deployment. Times are in the unit that the name says."""

    model_config = SettingsConfigDict(env_prefix="RACCORD_", frozen=True, extra="ignore")

    bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        validation_alias=AliasChoices(
            "RACCORD_BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS", "bootstrap_servers"
        ),
        description="Kafka brokers, host:port, several with commas",
    )
    registry_url: str | None = Field(
        None, description="Confluent schema registry; none: single-object encoding"
    )
    prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]*$", description="put before every topic and the group's name"
    )
    channels: Annotated[tuple[str, ...], NoDecode] = Field(
        default_factory=_channels, description="channels, each with its topic channel.<name>; commas between"
    )
    references: Annotated[tuple[str, ...], NoDecode] = Field(
        default_factory=_references,
        description="feeds of reference data, each with its topic reference.<name>; may be empty",
    )
    partitions: int = Field(4, ge=1, le=1024, description="partitions of every topic on the road")
    replicas: int = Field(
        -1, description="replication factor of topics that are created; -1: the broker's default"
    )
    data: Path = Field(
        Path(".raccord/state"), description="folder of the stores, one below it for each worker"
    )
    worker: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-0",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="this worker's slot: the same after a restart, different from every other worker's",
    )
    member_of: str = Field("", description="worker that this process is part of; the worker sets it itself")
    processes: int = Field(
        1, ge=1, le=64, description="processes of this worker: each uses one core, and a share of the cache"
    )
    standby_replicas: int = Field(
        0, ge=0, le=8, description="workers that keep each partition's state warm beside its owner"
    )
    stages: Annotated[tuple[str, ...], NoDecode] = Field(STAGES, description="stages to run")

    time: TimeMode = Field(TimeMode.WALL, description="wall: live; events: a replay drives the clock")
    tolerance_ms: int = Field(100, ge=0, description="how far events may lag behind the broker's clock")
    max_ahead_ms: int = Field(
        0, ge=0, description="how far an event may take a replay's clock ahead of its arrival; live: never"
    )
    max_future_ms: int = Field(86_400_000, ge=0, description="events further in the future are refused")

    epoch_ms: int = Field(100, ge=5, description="time between two commits under load")
    fold_events: int = Field(
        4_000,
        ge=1,
        description="events that an epoch may fold again, for each partition, beyond what came in",
    )
    batch: int = Field(2_000, ge=1, description="records of one fetch")
    session_timeout_ms: int = Field(
        10_000, ge=1_000, description="a worker that is silent for so long is replaced"
    )
    transaction_timeout_ms: int = Field(
        10_000,
        ge=1_000,
        le=10_000,
        description="open transactions are aborted after it: as long does a moved partition wait",
    )
    cache_mib: int = Field(128, ge=8, description="block cache shared by all stores of a worker")
    cached_rows: int = Field(
        20_000, ge=1, description="rows that each table of each partition keeps decoded in memory"
    )
    max_value_bytes: int = Field(1_048_576, ge=1_024, description="larger events go to the dead letters")
    topic_max_bytes: int = Field(12_582_912, ge=1_048_576, description="largest message that topics take")
    retention_days: int = Field(30, ge=1, description="how long channel topics and outputs are kept")

    customer_key: SecretStr = Field(
        SecretStr(DEVELOPMENT_KEY),
        min_length=16,
        description="secret key of customer ids and hashed identifiers",
    )
    identity_policy: Path | None = Field(None, description="identity policy file; none: the one that ships")
    rules: Path | None = Field(None, description="folder of rule files; none: the rules that ship")
    shadow_rules: Path | None = Field(
        None,
        description="folder of rule files that run beside the live rules and send nothing; it may be empty",
    )
    sending_policy: Path | None = Field(
        None,
        description="sending policy file; none: the one that ships; the word `none`: everything may be sent",
    )
    segments: Path | None = Field(
        None, description="folder of segment files, may be empty; none: the segments that ship"
    )

    metrics_host: str = Field("127.0.0.1", description="address of the metrics page")
    metrics_port: int = Field(9464, ge=0, le=65535, description="its port; 0: any free one")
    native: bool = Field(
        True, description="0: run without the native part, where it is built; read at import, see native.py"
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")

    @field_validator("channels", "references", "stages", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("bootstrap_servers")
    @classmethod
    def _check_brokers(cls, value: str) -> str:
        brokers = [part.strip() for part in value.split(",")]
        for broker in brokers:
            if not _BROKER.fullmatch(broker) or not 0 < int(broker.rpartition(":")[2]) <= _MAX_PORT:
                msg = f"write host:port, several with commas between; {broker!r} isn't that"
                raise ValueError(msg)
        return ",".join(brokers)

    @field_validator("channels")
    @classmethod
    def _check_channels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value) or not all(_CHANNEL.fullmatch(name) for name in value):
            msg = "name each channel once, in small letters, digits and underscores, with commas between"
            raise ValueError(msg)
        return value

    @field_validator("references")
    @classmethod
    def _check_references(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = _references()
        if len(set(value)) != len(value) or not set(value) <= set(known):
            msg = f"the feeds are {', '.join(known)}; name each once, with commas between"
            raise ValueError(msg)
        return value

    @field_validator("stages")
    @classmethod
    def _check_stages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= set(STAGES):
            msg = f"the stages are {', '.join(STAGES)}"
            raise ValueError(msg)
        return value

    @field_validator("data", mode="before")
    @classmethod
    def _default_if_empty(cls, value: object) -> object:
        """Read an empty text as nothing said: as a path it would be the current folder."""
        return cls.model_fields["data"].default if value == "" else value

    @field_validator("identity_policy", "rules", "shadow_rules", "sending_policy", "segments", mode="before")
    @classmethod
    def _unset_if_empty(cls, value: object) -> object:
        """Read an empty text as nothing said: as a path it would be the current folder."""
        return None if value == "" else value

    @field_validator("rules")
    @classmethod
    def _check_rules(cls, value: Path | None) -> Path | None:
        if value is not None and not any(value.glob("*.yaml")):
            msg = f"there is no rule file (*.yaml) in {value}"
            raise ValueError(msg)
        return value

    @field_validator("shadow_rules", "segments")
    @classmethod
    def _check_folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            msg = f"there is no folder {value}"
            raise ValueError(msg)
        return value

    @field_validator("identity_policy", "sending_policy")
    @classmethod
    def _check_policy(cls, value: Path | None) -> Path | None:
        if value is not None and value != NO_POLICY and not value.is_file():
            msg = f"there is no file {value}"
            raise ValueError(msg)
        return value


def complaint(error: ValidationError) -> str:
    """Return the first thing that is wrong with the settings, with the setting's name."""
    first = error.errors()[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    if first["loc"][:1] == ("RACCORD_BOOTSTRAP_SERVERS",):
        name = "KAFKA_BOOTSTRAP_SERVERS (or RACCORD_BOOTSTRAP_SERVERS)"
    elif not name.startswith("RACCORD_"):
        name = f"RACCORD_{name}"
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "too_short":  # pydantic speaks of a secret's characters as of a list's items
        said = f"it must have at least {first['ctx']['min_length']} characters"
    return f"setting {name}: {said}"
