"""The documents say what is so: their commands run, what they name exists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stream_app.cli import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", ".raccord"} & set(path.relative_to(ROOT).parts)
)


SENT = """\
before=$(raccord dead-letters list --json | wc -l)
python producer.py
echo SENT
for try in $(seq 15); do raccord identity show email:ana@example.org | grep cookie:c-81 && break; sleep 1; done
raccord identity show email:ana@example.org
test $(raccord dead-letters list --json | wc -l) -eq $before
"""
"""What the README says to do about one's own producer."""


@pytest.mark.slow
def test_the_commands_that_the_readme_shows_run_as_they_stand(tmp_path):
    (block,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    (producer,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    # A folder of its own, so that a broker which happens to run in the checkout is left alone.
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    (commands / "raccord").symlink_to(Path(sys.executable).parent / "raccord")
    (commands / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (commands / "python").chmod(0o755)
    (commands / "activate").write_text(f"export PATH={commands}:$PATH\n")
    (tmp_path / "producer.py").write_text(producer)
    script = (
        "set -em\ntrap 'kill %1 2>/dev/null || true; .venv/bin/raccord kafka stop' EXIT\n"
        + block.replace("kill %1\n", SENT + "kill %1\n")
    )
    done = subprocess.run(
        [shutil.which("bash") or "/bin/bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={
            name: value for name, value in os.environ.items() if not name.startswith(("RACCORD_", "KAFKA_"))
        },
    )
    assert done.returncode == 0, done.stderr
    assert "topics created" in done.stdout
    assert re.search(r"fire +abandoned_cart v\d+ +customer", done.stdout), done.stdout
    assert "conversion" in done.stdout
    assert "time_out_of_range" in done.stdout
    shown = done.stdout.partition("SENT\n")[2]
    assert {"email:ana@example.org", "cookie:c-81"} <= set(shown.split())


def test_every_command_is_in_the_readme_and_every_command_in_the_readme_exists():
    named = set(re.findall(r"`raccord ([a-z-]+)", README))
    assert named == set(COMMANDS)


def test_the_make_targets_that_documents_name_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        for target in re.findall(r"(?:^    |`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert target in targets, f"{document}: make {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_that_a_document_links_to_exist(document):
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in link:
            assert (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_sections_that_a_document_links_to_exist(document):
    for path, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text()):
        target = document.parent / path if path else document
        titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, anchor


def test_the_tests_that_the_readme_claims_exist():
    for path in re.findall(r"`(tests/[^`*]+)`", README):
        assert (ROOT / path).exists(), path


def test_make_help_lists_every_target_that_is_meant_for_people():
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed: its help can't be read")
    shown = subprocess.run([make, "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "demo", "test", "lint", "unit", "bench", "kafka", "clean"):
        assert f"make {target}" in shown
