"""Settings from the environment, as the command line complains of them."""

from __future__ import annotations

import pytest

from stream_app import cli
from stream_app.cli.variables import warn_of_unknown
from stream_app.cli.worker import read_settings
from stream_app.errors import Exit, UserError
from stream_app.runs.processes import SOCKET
from stream_app.runs.workers import WITH_PARENT
from stream_app.settings import Settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RACCORD_BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "CHANNELS",
            "Web",
            "name each channel once, in small letters, digits and underscores, with commas between",
        ),
        ("CUSTOMER_KEY", "secret", "it must have at least 16 characters"),
        ("PARTITIONS", "0", "Input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong(name, value, said, monkeypatch):
    monkeypatch.setenv(f"RACCORD_{name}", value)
    with pytest.raises(UserError) as caught:
        read_settings()
    assert caught.value.message == f"setting RACCORD_{name}: {said}"


@pytest.mark.parametrize("name", ["KAFKA_BOOTSTRAP_SERVERS", "RACCORD_BOOTSTRAP_SERVERS"])
@pytest.mark.parametrize(
    "brokers",
    [
        "localhost",
        "",
        "a:9092,b",
        "a:9092,",
        "a:",
        "http://a:9092",
        "a:port",
        "a:0",
        "a:65536",
        "::1",
        "a:9092:1",
    ],
)
def test_a_broker_without_a_port_is_a_wrong_setting(name, brokers, monkeypatch):
    monkeypatch.setenv(name, brokers)
    with pytest.raises(UserError) as caught:
        read_settings()
    assert "KAFKA_BOOTSTRAP_SERVERS" in caught.value.message
    assert ": write host:port, several with commas between; " in caught.value.message


@pytest.mark.parametrize("brokers", ["localhost:9092", "a:1, b:2 ,10.0.0.1:3", "[::1]:9092"])
def test_brokers_are_host_and_port(brokers):
    assert Settings(bootstrap_servers=brokers).bootstrap_servers == brokers.replace(" ", "")


@pytest.mark.parametrize("name", ["IDENTITY_POLICY", "RULES", "SHADOW_RULES", "SENDING_POLICY", "SEGMENTS"])
def test_an_empty_path_is_none_and_not_the_current_folder(name, monkeypatch):
    monkeypatch.setenv(f"RACCORD_{name}", "")
    assert getattr(read_settings(), name.lower()) is None


@pytest.mark.parametrize("command", ["demo", "replay"])
def test_a_run_complains_of_a_broker_without_a_port_as_a_command_does(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "localhost")
    (tmp_path / "some.jsonl").touch()
    recorded = [str(tmp_path / "some.jsonl"), "--format", "simulation"] if command == "replay" else []
    assert cli.run([command, *recorded, "--folder", str(tmp_path)]) == Exit.USAGE
    assert "write host:port" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RACCORD_RETENTION_DAY", "; is RACCORD_RETENTION_DAYS meant?"),
        ("RACCORD_MAVEN_URI", "; is RACCORD_MAVEN_URL meant?"),
        ("raccord_partition", "; is RACCORD_PARTITIONS meant?"),
        ("RACCORD_COLOUR", ""),
    ],
)
def test_a_variable_that_is_no_setting_is_told_once_with_what_may_be_meant(name, meant, monkeypatch, capsys):
    monkeypatch.setenv(name, "a secret")
    assert cli.run(["topics", "list"]) == Exit.OK
    assert capsys.readouterr().err == f"raccord: {name} is no setting, and does nothing{meant}\n"


def test_no_setting_is_unknown(capsys):
    names = [f"RACCORD_{name.upper()}" for name in Settings.model_fields]
    warn_of_unknown(dict.fromkeys([*names, "raccord_prefix", "RACCORD_MAVEN_URL", WITH_PARENT, "PATH"], "1"))
    assert capsys.readouterr().err == ""


def test_the_processes_of_a_worker_leave_it_to_the_worker(capsys):
    warn_of_unknown({"RACCORD_COLOUR": "red", SOCKET: "7"})
    assert capsys.readouterr().err == ""


def test_the_columns_of_the_topics_stand_below_each_other(monkeypatch, capsys):
    monkeypatch.setenv("RACCORD_PREFIX", "a-prefix-that-is-longer-than-most.")
    assert cli.run(["topics", "list"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert len({line.index(" partitions  ") for line in lines}) == 1


def test_a_reason_that_there_is_not_is_refused_before_a_broker_is_asked(capsys):
    assert cli.run(["dead-letters", "list", "--reason", "nonsense"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "nonsense" in said
    assert "poison" in said
