"""The compose file and its settings, as far as they can be checked without Docker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.embedded.config import BROKER
from stream_app.embedded.jars import KAFKA_VERSION
from stream_app.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = {name: service for name, service in SERVICES.items() if name.startswith("worker-")}
CONTAINERFILE = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
DEFAULTS = Settings.model_construct(**{n: f.default for n, f in Settings.model_fields.items()})
KAFKA_TOOL_VARIABLES = {"KAFKA_HEAP_OPTS"}
"""Read by Kafka's start scripts; the image makes no property of them."""
# Files that speak of settings, and are this deployment's.
SPEAKING = sorted(
    path
    for path in DEPLOY.rglob("*")
    if path.is_file() and path.name not in {"bootstrap.py", "setup_environment.py", "lock.sh"}
    if "__pycache__" not in path.parts
)


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def kafka_properties() -> dict[str, str]:
    """Return the broker's properties, as the image makes them of the environment."""
    environment = SERVICES["kafka"]["environment"]
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name not in KAFKA_TOOL_VARIABLES
    }


@pytest.mark.parametrize(
    "path", [path for path in SPEAKING if path.suffix in {".yaml", ".yml"}], ids=lambda path: path.name
)
def test_every_yaml_file_parses_to_something(path: Path):
    assert yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", SPEAKING, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_that_a_file_names_is_a_setting(path: Path):
    settings = {f"RACCORD_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bRACCORD_[A-Z_]+", path.read_text())) <= settings


def test_the_services_are_kafka_topics_two_workers_prometheus_and_grafana():
    assert SERVICES.keys() == {"kafka", "topics", "worker-1", "worker-2", "prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_by_a_tag(name: str):
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)


def test_the_image_of_kafka_is_the_version_that_is_tested():
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_our_own_image_has_the_projects_version():
    for name in ("topics", *WORKERS):
        assert SERVICES[name]["image"] == f"raccord:{PROJECT['version']}"
    assert f"raccord:{PROJECT['version']}" in CONTAINERFILE


@pytest.mark.parametrize("name", SERVICES)
def test_no_port_is_published_beyond_loopback(name: str):
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:")
    assert SERVICES[name].get("network_mode") is None


def test_the_metrics_pages_are_not_published_at_all():
    assert all("ports" not in service for service in WORKERS.values())


def test_every_worker_has_a_slot_a_volume_and_a_scrape_target_of_its_own():
    slots = [service["environment"]["RACCORD_WORKER"] for service in WORKERS.values()]
    volumes = [volume for service in WORKERS.values() for volume in service["volumes"]]
    assert len(set(slots)) == len(set(volumes)) == len(WORKERS)
    folder = re.search(r"RACCORD_DATA=(\S+)", CONTAINERFILE)
    assert folder is not None
    for volume in volumes:
        source, _, target = volume.partition(":")
        assert source in COMPOSE["volumes"]
        assert Path(folder[1]).is_relative_to(target)
    jobs = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    port = next(iter(WORKERS.values()))["environment"]["RACCORD_METRICS_PORT"]
    targets = [target for job in jobs for config in job["static_configs"] for target in config["targets"]]
    assert targets == [f"{name}:{port}" for name in WORKERS]
    assert f"EXPOSE {port}" in CONTAINERFILE


def test_workers_differ_in_nothing_but_their_slot_and_volume():
    alike = []
    for service in WORKERS.values():
        environment = {k: v for k, v in service["environment"].items() if k != "RACCORD_WORKER"}
        alike.append({**service, "environment": environment, "volumes": None})
    assert all(service == alike[0] for service in alike)


def test_the_topics_are_made_with_the_settings_that_the_workers_have():
    of_topics = SERVICES["topics"]["environment"]
    for service in WORKERS.values():
        assert of_topics.items() <= service["environment"].items()


def test_workers_wait_for_kafka_and_the_topics_and_are_started_again():
    for service in WORKERS.values():
        assert service["depends_on"]["kafka"] == {"condition": "service_healthy"}
        assert service["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
        assert service["restart"] == "unless-stopped"
    assert SERVICES["topics"]["depends_on"]["kafka"] == {"condition": "service_healthy"}
    assert SERVICES["topics"]["restart"] == "no"


def test_what_others_wait_for_has_a_health_check():
    for service in SERVICES.values():
        for name, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert SERVICES[name]["healthcheck"]["test"]


def test_a_stopped_worker_has_the_time_to_finish_its_epoch():
    needed = 2 * DEFAULTS.transaction_timeout_ms + DEFAULTS.session_timeout_ms
    for service in WORKERS.values():
        assert seconds(service["stop_grace_period"]) * 1000 >= needed


def test_our_containers_can_write_nowhere_but_to_their_volume():
    for name in ("topics", *WORKERS):
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service.get("privileged") is None


@pytest.mark.parametrize(
    "name",
    [
        "default.replication.factor",
        "min.insync.replicas",
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "transaction.state.log.min.isr",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "auto.create.topics.enable",
        "message.max.bytes",
        "replica.fetch.max.bytes",
        "process.roles",
    ],
)
def test_kafka_has_the_settings_that_the_tested_broker_has(name: str):
    assert kafka_properties()[name] == BROKER[name]


def test_kafka_takes_the_largest_message_that_topics_take():
    assert int(kafka_properties()["message.max.bytes"]) >= DEFAULTS.topic_max_bytes


def test_kafkas_listeners_fit_together():
    properties = kafka_properties()
    listeners = dict(part.split("://", 1) for part in properties["listeners"].split(","))
    advertised = dict(part.split("://", 1) for part in properties["advertised.listeners"].split(","))
    protocols = dict(part.split(":") for part in properties["listener.security.protocol.map"].split(","))
    assert listeners.keys() == protocols.keys()
    assert listeners.keys() - advertised.keys() == {properties["controller.listener.names"]}
    assert properties["inter.broker.listener.name"] in advertised
    assert properties["controller.quorum.voters"].endswith("kafka" + listeners["CONTROLLER"])
    host, port = advertised["HOST"].split(":")
    assert SERVICES["kafka"]["ports"] == [f"{host}:{port}{listeners['HOST']}"]
    for service in WORKERS.values():
        assert service["environment"]["RACCORD_BOOTSTRAP_SERVERS"] == advertised["BROKER"]
    assert any(volume.endswith(f":{properties['log.dirs']}") for volume in SERVICES["kafka"]["volumes"])


def test_secrets_come_from_the_environment_and_have_no_default():
    text = (DEPLOY / "compose.yaml").read_text()
    example = dict(
        line.split("=", 1)
        for line in (DEPLOY / ".env.example").read_text().splitlines()
        if line[:1] not in {"", "#"}
    )
    variables = set(re.findall(r"\$\{(\w+)", text))
    assert variables == example.keys()
    for secret in ("RACCORD_CUSTOMER_KEY", "GRAFANA_ADMIN_PASSWORD"):
        assert example[secret] == ""
        assert re.findall(rf"\$\{{{secret}(:\?|[^}}])", text) == [":?"]
    for name, value in example.items():
        if name not in {"RACCORD_CUSTOMER_KEY", "GRAFANA_ADMIN_PASSWORD"}:
            assert f"{name}: ${{{name}:-{value}}}" in text
    ignored = (DEPLOY / ".gitignore").read_text().splitlines()
    assert ".env" in ignored


def test_every_setting_that_is_to_be_chosen_reaches_the_topics_and_the_workers():
    named = {
        name
        for name in re.findall(r"^- \*\*.*$", (DEPLOY / "README.md").read_text(), re.MULTILINE)
        for name in re.findall(r"\bRACCORD_[A-Z_]+", name)
    }
    own = {"RACCORD_WORKER", "RACCORD_NATIVE", "RACCORD_TOPIC_MAX_BYTES", "RACCORD_TRANSACTION_TIMEOUT_MS"}
    assert {"RACCORD_RETENTION_DAYS", "RACCORD_PREFIX", "RACCORD_RULES"} <= named
    for name in ("topics", *WORKERS):
        assert named - own <= SERVICES[name]["environment"].keys()


def test_what_compose_passes_on_when_nothing_is_chosen_is_the_default():
    passed = {
        name.removeprefix("RACCORD_").lower(): value
        for name, value in re.findall(
            r"^  (RACCORD_\w+): \$\{\w+:-(.*)\}$", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE
        )
    }
    read = Settings.model_validate(passed)
    for name in passed.keys() - {"replicas"}:
        assert getattr(read, name) == getattr(DEFAULTS, name), name


def test_mounted_files_exist_and_are_read_only():
    mounts = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", ())]
    files = [mount for mount in mounts if mount[0].startswith(".")]
    assert files
    for source, *_, mode in files:
        assert (DEPLOY / source).exists()
        assert mode == "ro"


def test_grafana_finds_its_dashboards_where_they_are_mounted():
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/raccord.yaml").read_text())[
        "providers"
    ][0]
    mounts = dict(volume.split(":")[1::-1] for volume in SERVICES["grafana"]["volumes"])
    assert (DEPLOY / mounts[provider["options"]["path"]] / "raccord.json").exists()
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/raccord.json"


def test_docker_compose_takes_the_file():
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("there is no docker client: compose's own check is left out")
    environment = {
        **os.environ,
        "RACCORD_CUSTOMER_KEY": "a key for this check",
        "GRAFANA_ADMIN_PASSWORD": "x",
    }
    if (
        subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False, timeout=60
        ).returncode
        != 0
    ):
        pytest.skip("this docker client has no compose plugin: compose's own check is left out")
    done = subprocess.run(
        [docker, "compose", "--file", DEPLOY / "compose.yaml", "config", "--quiet"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
