"""docs/rules.md says what is so: its commands run, its mistakes are reported as shown, nothing is left out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import schemas
from stream_app.domain.rules import Retracted
from stream_app.domain.rules.decision import HeldBack

DOCUMENT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
COMMANDS = "set -e\n" + "\n".join(re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL))
NAMED = " ".join(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", DOCUMENT, flags=re.DOTALL)))
"""All that is written as code within the text."""


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run commands in a folder that has a raccord of its own."""
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True, exist_ok=True)
    if not (commands / "raccord").exists():
        (commands / "raccord").symlink_to(Path(sys.executable).parent / "raccord")
        (commands / "activate").write_text(f"export PATH={commands}:$PATH\n")
    bash = shutil.which("bash") or "/bin/bash"
    return subprocess.run(
        [bash, "-c", script], cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )


def section(title: str) -> str:
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def names(schema: Any) -> set[str]:
    """Return the names of all properties that a JSON schema speaks of."""
    if isinstance(schema, list):
        return set().union(*map(names, schema))
    if not isinstance(schema, dict):
        return set()
    inner = set().union(*map(names, schema.values()))
    own = schema.get("properties", {})
    return inner | set(own) if isinstance(own, dict) else inner


@pytest.fixture(scope="module")
def worked(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder in which the document's commands were run, and what they said."""
    folder = tmp_path_factory.mktemp("worked")
    return folder, run(folder, COMMANDS)


def test_the_worked_example_runs_as_it_stands(worked):
    _, done = worked
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 right, 0 wrong" in done.stdout
    assert re.search(r"3\W+3\W+0", done.stdout), done.stdout


def test_the_mistake_that_is_shown_is_reported_as_shown(worked):
    folder, before = worked
    assert before.returncode == 0
    (shown,) = re.findall(r"^    (my-rules/\S+:\d+:\d+: .*)$", DOCUMENT, re.MULTILINE)
    rule = folder / "my-rules" / "size_help.yaml"
    right = rule.read_text()
    rule.write_text(right.replace("after: 3h", "after: 3 hours"))
    done = run(folder, ".venv/bin/raccord rules validate my-rules/size_help.yaml")
    rule.write_text(right)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == shown


def test_the_consent_that_is_shown_is_what_the_shipped_sending_policy_waits_for(worked):
    folder, before = worked
    assert before.returncode == 0
    shown = json.loads(
        next(
            line
            for line in section("Your own rule in five minutes").splitlines()
            if '"Consent Changed"' in line
        )
    )
    yes = {
        "event_id": shown["id"],
        "time": shown["time"],
        "channel": "web",
        "type": shown["type"],
        **shown["data"],
    }
    case = json.loads((folder / "my-rules" / "size_help.cases.jsonl").read_text().splitlines()[0])
    case["policy"] = yaml.safe_load(schemas.read_text("policies/sending.yaml"))
    silent = {**case, "id": "silent", "expect": {"triggers": [], "held_back": [{"reason": "consent"}]}}
    asked = {**case, "id": "asked", "events": [yes, *case["events"]]}
    (folder / "consent.jsonl").write_text(f"{json.dumps(silent)}\n{json.dumps(asked)}\n")
    done = run(folder, ".venv/bin/raccord rules check consent.jsonl --rules my-rules")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_field_of_the_language_is_explained():
    schema = json.loads(schemas.read_text("json/rule.schema.json"))
    assert not {name for name in names(schema) if not re.search(rf"\b{name}\b", NAMED)}


@pytest.mark.parametrize("reasons", [HeldBack, Retracted])
def test_every_reason_is_explained(reasons: type[HeldBack | Retracted]):
    assert not [reason for reason in reasons if f"`{reason}`" not in DOCUMENT]


def test_the_rules_that_ship_are_listed_and_no_others():
    listed = re.findall(r"^\| \[(\w+)\]", section("The rules that ship"), re.MULTILINE)
    assert sorted(f"rules/{name}.yaml" for name in listed) == schemas.files("rules", ".yaml")


def test_every_field_of_a_message_is_explained():
    fields = [field["name"] for field in json.loads(schemas.avro("trigger"))["fields"]]
    told = section("What your tool receives")
    assert not [name for name in fields if f"`{name}`" not in told]
