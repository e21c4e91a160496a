"""`raccord replay` of recorded behaviour, against a computation that shares nothing with the project."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.simulators import Simulation, write_jsonl
from tests.pipeline_job import ROOT, raccord

pytestmark = [pytest.mark.broker, pytest.mark.slow]

WEB = ROOT.parent / "shared" / "data" / "web"
REES46 = WEB / "rees46_2019-10-01.csv"
needs_data = pytest.mark.skipif(not WEB.exists(), reason=f"the recorded data are not there: {WEB}")


def replayed(bootstrap: str, folder: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    done = raccord(
        "replay", *arguments, "--speed", "max", "--folder", str(folder),
        environment={"KAFKA_BOOTSTRAP_SERVERS": bootstrap},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()[-1_000:] + done.stderr.decode()[-2_000:]
    return done.stdout.decode().splitlines()[-1], json.loads((folder / "report.json").read_text())


def offline_abandoned_baskets(path: Path) -> set[tuple[str, int, int]]:
    """Run the reference, which is a script beside this file and no module of anything."""
    where = Path(__file__).with_name("offline_abandoned_baskets.py")
    spec = importlib.util.spec_from_file_location(where.stem, where)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.abandoned_baskets(path)


@needs_data
def test_a_real_day_gives_exactly_the_abandoned_baskets_of_the_offline_computation(
    bootstrap_servers, tmp_path
):
    last, report = replayed(bootstrap_servers, tmp_path, "--format", "rees46", str(REES46))
    abandoned = [one for one in report["net"] if one["rule"] == "abandoned_cart"]
    found = {(int(one["opened_by"].split("-")[1]), one["due"]) for one in abandoned}
    expected = {(row, due) for _, row, due in offline_abandoned_baskets(REES46)}
    assert len(expected) > 10
    assert found == expected
    assert len(abandoned) == len(found)
    assert last.startswith("replay: ok events=")
    assert report["dead_letters"] == {"undecodable": 1}, (
        "the file's last row is cut short, and nothing else is wrong"
    )


@needs_data
def test_a_folder_of_snowplow_events_is_replayed_and_accounted_for(bootstrap_servers, tmp_path):
    last, report = replayed(bootstrap_servers, tmp_path, "--format", "snowplow", str(WEB / "snowplow_web"))
    web = report["events"]["web"]
    assert last.startswith("replay: ok events=")
    assert web["read"] > 100
    assert web["applied"] > 100
    assert report["customers"] > 1


def test_a_recorded_simulation_is_replayed_with_its_truth(bootstrap_servers, tmp_path):
    path = tmp_path / "shoppers.jsonl"
    truth = write_jsonl(Simulation(5, shoppers=40, days=1), path)
    _, report = replayed(bootstrap_servers, tmp_path / "run", "--format", "simulation", str(path))
    assert report["customers"] == len(truth.components)
    assert sum(channel["applied"] for channel in report["events"].values()) == truth.events


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--format", "rees46", "no/such/file.csv"), "no/such/file.csv"),
        (("--format", "rees46", "--speed", "fast", __file__), "'fast' is no speed"),
        (("--format", "rees46", __file__), "test_replay.py"),
    ],
)
def test_what_can_not_be_replayed_is_one_sentence(bootstrap_servers, tmp_path, arguments, says):
    done = raccord(
        "replay",
        *arguments,
        "--folder",
        str(tmp_path),
        environment={"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers},
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.decode().splitlines() if line.startswith("raccord: ")]
    assert says in line
    assert "Traceback" not in done.stderr.decode()
