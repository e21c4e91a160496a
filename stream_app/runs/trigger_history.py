"""What became of triggers: the messages that were sent and taken back, and the records of decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.runs.topic_reader import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stream_app.settings import Settings
    from stream_app.topology import Topics
    from stream_app.wire import OutputReader

Record = dict[str, Any]


class TriggerHistory(NamedTuple):
    """What is on the topics about one trigger id, in the order of sending."""

    messages: list[Record]
    decisions: list[Record]


class _Found(NamedTuple):
    """A record, and where it was written: partitions have no order among them but that of time."""

    time: int
    written: int
    offset: int
    record: Record


def history_of(
    beginning: str, settings: Settings, topics: Topics, reader: OutputReader
) -> dict[str, TriggerHistory]:
    """Return what is known of the triggers whose ids begin so, by id, as far back as the topics keep it.

    Raises:
        EnvironmentMissing: the broker does not answer.
    """

    def wanted(record: Record) -> bool:
        return bool(record["trigger_id"].startswith(beginning))

    sent = _read([*topics.triggers.values()], settings, reader, beginning, wanted, "sent")
    decided = _read([topics.decisions], settings, reader, beginning, wanted, "decided_at")
    found: dict[str, TriggerHistory] = {}
    for place, records in enumerate((sent, decided)):
        for record in records:
            history = found.setdefault(record["trigger_id"], TriggerHistory([], []))
            history[place].append(record)
    return found


def decisions_of(
    rule: str,
    concerns: Callable[[Record], bool],
    settings: Settings,
    topics: Topics,
    reader: OutputReader,
) -> list[Record]:
    """Return a rule's decisions that concern somebody, in the order in which they were made.

    Raises:
        EnvironmentMissing: the broker does not answer.
    """

    def wanted(record: Record) -> bool:
        return record["rule"] == rule and concerns(record)

    return list(_read([topics.decisions], settings, reader, rule, wanted, "decided_at"))


def _read(
    names: Sequence[str],
    settings: Settings,
    reader: OutputReader,
    text: str,
    wanted: Callable[[Record], bool],
    by: str,
) -> Iterator[Record]:
    """Yield the wanted records of topics, of those that contain a text: the others needn't be decoded."""
    places = [(name, partition) for name in names for partition in range(settings.partitions)]
    part = text.encode()
    found: list[_Found] = []
    for message in messages(settings.bootstrap_servers, places):
        value = message.value() or b""
        if part in value and wanted(record := reader.read(value)[1]):
            found.append(_Found(record[by], message.timestamp()[1], message.offset(), record))
    yield from (one.record for one in sorted(found, key=lambda one: one[:3]))
