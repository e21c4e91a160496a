"""`raccord identity`: what is checked before a command is written, and what is written."""

from __future__ import annotations

import io
import json
import re
import shlex
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from stream_app import cli
from stream_app.cli import identity, identity_commands
from stream_app.domain.commands import PAIR_OPS, Op
from stream_app.errors import Exit
from stream_app.wire import CommandDecoder, IdentityCommand

README = (Path(__file__).parents[2] / "README.md").read_text()
SECRET = "ana@example.org"
PAIR = ("email:ana@example.org", "phone:06 39 98 12 34")
WHY = ("--reason", "two people", "--operator", "zoe")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[IdentityCommand]:
    """Collect what would be written; there is no broker."""
    found: list[IdentityCommand] = []

    def write(_settings, key: bytes, value: bytes):
        assert SECRET.encode() not in key
        found.append(CommandDecoder().decode(value))
        return SimpleNamespace(topic=lambda: "identity.commands", partition=lambda: 2, offset=lambda: 5)

    monkeypatch.setattr(identity_commands, "_write", write)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: Exit = Exit.USAGE) -> str:
    """Run a command that must not succeed; return the one sentence that it says."""
    assert cli.run(["identity", *arguments]) == code
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "Traceback" not in said
    return said


def test_every_operation_of_the_domain_is_a_subcommand():
    assert {op.value for op in Op} <= set(identity.SUBCOMMANDS)


@pytest.mark.parametrize("op", list(Op))
def test_a_command_is_written_as_it_was_given_and_its_id_is_printed(op, written, capsys):
    names = PAIR if op in PAIR_OPS else PAIR[:1]
    before = int(time.time() * 1000)
    assert cli.run(["identity", op.value, *names, *WHY, *(["--yes"] if op is Op.ERASE else [])]) == Exit.OK
    (command,) = written
    assert capsys.readouterr().out == f"{command.command_id}\n"
    assert tuple(command.named.values()) == names
    assert (command.op, command.operator, command.reason) == (op, "zoe", "two people")
    assert before <= command.time <= time.time() * 1000


def test_two_commands_have_two_ids(written):
    for _ in range(2):
        cli.run(["identity", "deny", *PAIR, *WHY])
    assert written[0].command_id != written[1].command_id


def test_a_command_may_be_dated_back_and_says_for_programs_where_it_is(written, capsys):
    arguments = ["identity", "deny", *PAIR, *WHY, "--time", "2023-11-14T23:13:20+01:00", "--json"]
    assert cli.run(arguments) == Exit.OK
    assert written[0].time == 1_700_000_000_000
    assert json.loads(capsys.readouterr().out) == {
        "command_id": written[0].command_id,
        "op": "deny",
        "time": "2023-11-14T22:13:20.000Z",
        "topic": "identity.commands",
        "partition": 2,
        "offset": 5,
    }


def test_the_operator_is_whoever_is_logged_in(written, monkeypatch):
    monkeypatch.setenv("LOGNAME", "nora")
    cli.run(["identity", "deny", *PAIR, "--reason", "two people"])
    assert written[0].operator == "nora"


def test_who_is_logged_in_as_nobody_has_to_say_who_it_is(written, monkeypatch, capsys):
    def nobody() -> str:
        raise OSError("no user name")

    monkeypatch.setattr(identity_commands.getpass, "getuser", nobody)
    assert "--operator" in refused(capsys, "deny", *PAIR, "--reason", "x")
    assert written == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("deny", PAIR[0], "mail:x", *WHY),
            "B is not namespace:value, like email:name@example.org, with a namespace of the policy: user_id",
        ),
        (("deny", SECRET, PAIR[1], *WHY), "A is not namespace:value"),
        (("assert", "email:ana", PAIR[1], *WHY), "A is no valid value of namespace email"),
        (
            ("withdraw", PAIR[0], "cookie:undefined", *WHY),
            "B is a value that the policy blocks, in namespace cookie",
        ),
        (
            ("deny", PAIR[0], PAIR[0].upper().replace("EMAIL", "email"), *WHY),
            "A and B are the same identifier",
        ),
        (("block", "email:", *WHY), "ID is a value that the policy blocks"),
        (("deny", *PAIR, "--reason", " "), "reason is empty"),
        (("deny", *PAIR, "--reason", "x" * 1_001), "reason is longer than 1000 characters"),
        (("deny", *PAIR, "--reason", "\udcff"), "no text"),
        (("deny", *PAIR, *WHY, "--time", "yesterday"), "--time: write a time with its offset"),
        (("deny", *PAIR, *WHY, "--time", "2999-01-01T00:00:00Z"), "--time lies in the future"),
        (("deny", *PAIR, *WHY, "--time", "1999-01-01T00:00:00Z"), "time is too far in the past"),
    ],
)
def test_what_the_workers_would_refuse_is_refused_at_once_in_a_sentence(arguments, sentence, written, capsys):
    said = refused(capsys, *arguments)
    assert said.startswith("raccord: ")
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert written == []


@pytest.mark.parametrize(
    "arguments", [("deny", *PAIR), ("deny", PAIR[0], *WHY), ("block", *PAIR, *WHY), ("merge", *PAIR)]
)
def test_a_wrong_call_writes_nothing(arguments, written):
    assert cli.run(["identity", *arguments]) == Exit.USAGE
    assert written == []


@pytest.mark.parametrize("answer", ["n\n", "", "y\n"])
def test_an_erasure_has_to_be_confirmed(answer, written, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))  # "": nobody is there to ask
    if answer == "y\n":
        assert cli.run(["identity", "erase", PAIR[0], *WHY]) == Exit.OK
        assert [command.op for command in written] == [Op.ERASE]
    else:
        said = refused(capsys, "erase", PAIR[0], *WHY, code=Exit.FAILED)
        assert "\nraccord: not confirmed, so nothing was written" in said  # on a line of its own
        assert written == []


def test_an_identifier_that_is_none_is_complained_of_before_the_question(written, capsys):
    assert "ID is not namespace:value" in refused(capsys, "erase", SECRET, *WHY)
    assert written == []


def test_commands_about_one_identifier_have_one_key(monkeypatch):
    keys = []
    monkeypatch.setattr(identity_commands, "_write", lambda _s, key, _v: keys.append(key))
    for other in ("cookie:a", "cookie:b"):
        cli.run(["identity", "deny", other, PAIR[0], *WHY])
    cli.run(["identity", "block", "email:ANA@example.org", *WHY])
    assert len(set(keys)) == 1


def test_the_policy_of_the_deployment_is_the_one_that_counts(tmp_path, monkeypatch, written, capsys):
    policy = tmp_path / "identity.yaml"
    policy.write_text("namespaces: [{name: badge, priority: 1, kind: person}]")
    monkeypatch.setenv("RACCORD_IDENTITY_POLICY", str(policy))
    assert "namespace of the policy: badge\n" in refused(capsys, "block", PAIR[0], *WHY)
    assert cli.run(["identity", "block", "badge:7", *WHY]) == Exit.OK
    assert [command.a for command in written] == ["badge:7"]


@pytest.fixture
def hashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have e-mail addresses hashed."""
    email = "{name: email, priority: 1, kind: person, hashed: true}"
    policy = tmp_path / "identity.yaml"
    policy.write_text(f"namespaces: [{email}, {{name: cookie, priority: 2, kind: device}}]")
    monkeypatch.setenv("RACCORD_IDENTITY_POLICY", str(policy))


@pytest.mark.usefixtures("hashing")
def test_a_value_that_the_policy_has_hashed_is_not_written(written, monkeypatch):
    monkeypatch.setenv("RACCORD_CUSTOMER_KEY", "the key of this deployment")
    assert cli.run(["identity", "deny", f" email:{SECRET.upper()}", "cookie: c", *WHY]) == Exit.OK
    (command,) = written
    assert re.fullmatch("email:hmac-[0-9a-f]{8}-[0-9a-f]{32}", command.a)
    assert command.b == "cookie: c"
    assert cli.run(["identity", "block", command.a, *WHY]) == Exit.OK
    assert written[1].a == command.a


@pytest.mark.usefixtures("hashing")
def test_nothing_is_hashed_with_the_key_that_everybody_knows(written, capsys):
    assert "set RACCORD_CUSTOMER_KEY" in refused(capsys, "block", f"email:{SECRET}", *WHY)
    assert written == []


def test_every_command_that_the_readme_shows_is_taken(written, monkeypatch):
    shown = re.findall(r"^    raccord (identity .*)$", README, re.MULTILINE)
    for line in shown:
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert cli.run(shlex.split(line)) == Exit.OK, line
    assert [command.op for command in written] == list(Op)
