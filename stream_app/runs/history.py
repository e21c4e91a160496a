"""What became of customers: the lines of `identity.changes` that led to them, and that mention them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.runs.topic_reader import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from stream_app.wire import OutputReader


def changes_of(
    customers: Collection[str], bootstrap: str, topic: str, partitions: int, reader: OutputReader
) -> list[dict[str, Any]]:
    """Return the history of customer ids, by its time, as far back as the topic keeps it: see `lineage`.

    Raises:
        EnvironmentMissing: the broker does not answer.
    """
    places = [(topic, partition) for partition in range(partitions)]
    return lineage(
        customers,
        lambda: (reader.read(message.value() or b"")[1] for message in messages(bootstrap, places)),
    )


def lineage(customers: Collection[str], read: Callable[[], Iterable[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the changes that mention a customer id, and those that made what has become it, by their time.

    Of a customer that was split since, whatever has come to it is told, after the split too.

    Args:
        customers: the ids.
        read: gives all changes. It is called once for each generation that there was before, and once more: a topic
            may hold more than fits into memory.
    """
    wanted, known = set(customers), set(customers)
    while True:
        found = [
            change
            for change in read()
            if not (known.isdisjoint(change["into"]) and wanted.isdisjoint(change["from"]))
        ]
        before = {
            old
            for change in found
            # What operators say of two customers names both, before and after: it makes neither of the other.
            if change["from"] != change["into"] and not known.isdisjoint(change["into"])
            for old in change["from"]
        }
        if before <= known:
            return sorted(found, key=lambda change: change["time"])
        known |= before
