"""A simulation in files: what is written is read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.simulators import Noise, Simulation, read_jsonl, read_truth, write_jsonl

if TYPE_CHECKING:
    from pathlib import Path

NOISE = Noise(malformed=0.05, too_large_bytes=2000)


def test_records_and_truth_come_back_as_they_were_written(tmp_path: Path):
    path = tmp_path / "records.jsonl"
    simulation = Simulation(1, shoppers=60, days=1, noise=NOISE)
    truth = write_jsonl(simulation, path)
    assert list(read_jsonl(path)) == list(simulation.records())
    assert read_truth(path) == truth == simulation.truth


def test_a_line_that_is_no_record_is_named(tmp_path: Path):
    path = tmp_path / "records.jsonl"
    write_jsonl(Simulation(1, shoppers=5, days=1), path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"channel": 7}\n')
    with pytest.raises(ValueError, match=r"records\.jsonl, line 2: not a planned record"):
        list(read_jsonl(path))


def test_a_truth_that_is_none_is_named(tmp_path: Path):
    (tmp_path / "records.truth.json").write_bytes(b"[]")
    with pytest.raises(ValueError, match=r"records\.truth\.json: not the truth"):
        read_truth(tmp_path / "records.jsonl")
