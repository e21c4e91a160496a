"""A simulation in files: the records as JSON lines, and the truth beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from connectors.planned import Planned
from connectors.simulators.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectors.simulators.simulation import Simulation


def truth_path(path: Path) -> Path:
    """Return where the truth beside a file of records is: `records.jsonl` -> `records.truth.json`."""
    return path.with_suffix(".truth.json")


def write_jsonl(simulation: Simulation, path: Path) -> Truth:
    """Write one record per line (fields of `Planned`; bytes in base64), then the truth beside the file."""
    encoder = msgspec.json.Encoder()
    with path.open("wb") as lines:
        for record in simulation.records():
            lines.write(encoder.encode(record))
            lines.write(b"\n")
    truth = simulation.truth
    truth_path(path).write_bytes(encoder.encode(truth))
    return truth


def read_jsonl(path: Path) -> Iterator[Planned]:
    """Yield the records of a file, a line at a time.

    Raises:
        ValueError: when a line is not a record; says which line, and what is wrong with it.
    """
    decoder = msgspec.json.Decoder(Planned)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield decoder.decode(line)
            except msgspec.MsgspecError as error:
                raise ValueError(f"{path}, line {number}: not a planned record: {error}") from error


def read_truth(path: Path) -> Truth:
    """Return the truth beside a file of records (`path` is the records' file).

    Raises:
        ValueError: when the file is not a truth.
    """
    beside = truth_path(path)
    try:
        return msgspec.json.decode(beside.read_bytes(), type=Truth)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{beside}: not the truth of a simulation: {error}") from error
