"""The command line as a whole: help, version, errors and exit codes."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
import typer

from stream_app import cli
from stream_app.errors import EnvironmentMissing, Exit, UserError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Put a function in the place of the demo."""

    def install(function) -> None:
        module = types.ModuleType("stream_app.cli.demo")
        module.demo = function
        monkeypatch.setitem(sys.modules, "stream_app.cli.demo", module)

    return install


def test_help_names_every_command_and_loads_none_of_them(capsys):
    assert cli.run(["--help"]) == Exit.OK
    said = capsys.readouterr().out
    assert [name for name in cli.COMMANDS if name not in said] == []
    probe = "import sys, stream_app.cli as c; c.run(['--help']); sys.exit('confluent_kafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False, capture_output=True).returncode == 0


def test_the_version_is_the_installed_one(capsys):
    assert cli.run(["--version"]) == Exit.OK
    assert capsys.readouterr().out == "raccord 0.1.0\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("There is no such rule."), 2),
        (EnvironmentMissing("No network."), 3),
        (UserError("No.", Exit.FAILED), 1),
    ],
)
def test_a_users_error_is_one_sentence_and_an_exit_code(command, capsys, error: UserError, code: int):
    def fail() -> None:
        raise error

    command(fail)
    assert cli.run(["demo"]) == code
    assert capsys.readouterr().err == f"raccord: {error.message}\n"


def test_the_exit_code_of_a_command_is_the_process_exit_code(command):
    def check() -> None:
        raise typer.Exit(1)

    command(check)
    assert cli.run(["demo"]) == Exit.FAILED


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["kafka", "no-such-command"], ["kafka", "start", "--port", "0"]]
)
def test_a_wrong_call_ends_with_the_code_for_usage(arguments: list[str]):
    assert cli.run(arguments) == Exit.USAGE


def test_an_error_of_ours_is_not_hidden(command):
    def fail() -> None:
        raise ZeroDivisionError

    command(fail)
    with pytest.raises(ZeroDivisionError):
        cli.run(["demo"])
