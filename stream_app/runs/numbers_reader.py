"""The numbers, as the topic has them: the last value of every key."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stream_app.domain.refusal import Refused
from stream_app.runs.topic_reader import messages
from stream_app.wire import Output, cell_of_record

if TYPE_CHECKING:
    from stream_app.domain.numbers import Cell
    from stream_app.settings import Settings
    from stream_app.wire import OutputReader


class Read(NamedTuple):
    """All figures that aren't 0, by cell; and how many keys are of no number that this version knows."""

    cells: dict[Cell, int]
    unknown: int


def read_numbers(settings: Settings, topic: str, reader: OutputReader) -> Read:
    """Read a topic of numbers to its end, what is committed of it. A key is in one partition, where the last one holds.

    Raises:
        EnvironmentMissing: the broker does not answer.
    """
    last: dict[bytes, bytes | None] = {}
    places = [(topic, partition) for partition in range(settings.partitions)]
    for message in messages(settings.bootstrap_servers, places):
        last[message.key() or b""] = message.value()
    cells: dict[Cell, int] = {}
    unknown = 0
    for value in last.values():
        if value is None:
            continue  # nobody writes it; who deletes by hand means it
        try:
            kind, record = reader.read(value)
            if kind is not Output.NUMBER:
                raise ValueError(kind)  # noqa: TRY301 - it is counted like the others
            cell = cell_of_record(record)
        except (Refused, ValueError):
            unknown += 1
        else:
            if record["value"]:
                cells[cell] = record["value"]
    return Read(cells, unknown)
