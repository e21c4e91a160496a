"""The jars' cache: only whole jars get in, and damaged ones are noticed."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING

import pytest
import requests

from stream_app.embedded import jars
from stream_app.errors import EnvironmentMissing, Exit

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"PK\x03\x04 the classes"
JAR = jars.Jar("org.example:thing:1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch):
    """Stand in for Maven: hands out what `answers` holds, one by one; an exception among them is raised."""
    answers: list[bytes | Exception] = []

    def download(jar: jars.Jar, staging: Path) -> Path:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        fetched = staging / jar.file_name
        fetched.write_bytes(answer)
        if not jar.is_whole_at(fetched):
            raise jars.DamagedError(jar.file_name)
        return fetched

    monkeypatch.setattr(jars, "_download", download)
    monkeypatch.setattr(jars.time, "sleep", lambda _seconds: None)
    return answers


def said() -> tuple[list[str], object]:
    lines: list[str] = []
    return lines, lines.append


def test_a_missing_jar_is_fetched_once_and_then_kept(tmp_path: Path, repository):
    repository.append(CONTENT)
    lines, report = said()
    assert jars.class_path(report, [JAR], tmp_path) == str(tmp_path / "thing-1.0.jar")
    assert jars.class_path(report, [JAR], tmp_path) == str(tmp_path / "thing-1.0.jar")
    assert (tmp_path / "thing-1.0.jar").read_bytes() == CONTENT
    assert sum("fetching" in line for line in lines) == 1


@pytest.mark.parametrize("damage", [CONTENT[:-3], b"x" + CONTENT[1:], b""])
def test_a_damaged_jar_in_the_cache_is_fetched_again(tmp_path: Path, repository, damage: bytes):
    (tmp_path / "thing-1.0.jar").write_bytes(damage)
    repository.append(CONTENT)
    jars.class_path(print, [JAR], tmp_path)
    assert (tmp_path / "thing-1.0.jar").read_bytes() == CONTENT


def test_a_jar_that_arrives_damaged_is_asked_for_again(tmp_path: Path, repository):
    repository.extend([CONTENT[:5], requests.ConnectionError("reset"), CONTENT])
    jars.class_path(print, [JAR], tmp_path)
    assert (tmp_path / "thing-1.0.jar").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (requests.ConnectionError("no route"), "No network"),
        (requests.Timeout("slow"), "No network"),
        (RuntimeError("Artifact not found"), "does not hand out"),
        (jars.DamagedError("thing-1.0.jar"), "other content"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be kept"),
    ],
)
def test_what_is_in_the_way_is_said_in_a_sentence(tmp_path: Path, repository, trouble, sentence: str):
    repository.extend([trouble] * jars.ATTEMPTS)
    with pytest.raises(EnvironmentMissing, match=sentence) as caught:
        jars.class_path(print, [JAR], tmp_path)
    assert caught.value.code == Exit.ENVIRONMENT
    assert list(tmp_path.glob("*.jar")) == []


def test_a_full_disk_is_not_tried_again(tmp_path: Path, repository):
    repository.append(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(EnvironmentMissing, match="disk is full"):
        jars.class_path(print, [JAR], tmp_path)


def test_the_lock_names_this_version_of_kafka_and_a_log4j_binding():
    names = {jar.file_name for jar in jars.locked_jars()}
    assert f"kafka_2.13-{jars.KAFKA_VERSION}.jar" in names
    assert f"kafka-clients-{jars.KAFKA_VERSION}.jar" in names
    assert any(name.startswith("log4j-slf4j-impl-") for name in names)


def test_a_mirror_takes_the_place_of_maven_central(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RACCORD_MAVEN_URL", "http://127.0.0.1:1/maven/")
    assert jars.maven_url() == "http://127.0.0.1:1/maven"
