"""What became of customers: the lines of `identity.changes` that mention them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.runs.topic_reader import messages

if TYPE_CHECKING:
    from collections.abc import Collection

    from stream_app.wire import OutputReader


def changes_of(
    customers: Collection[str], bootstrap: str, topic: str, partitions: int, reader: OutputReader
) -> list[dict[str, Any]]:
    """Return the changes that mention a customer id, by their time, as far back as the topic keeps them.

    Raises:
        EnvironmentMissing: the broker does not answer.
    """
    wanted = set(customers)
    found = [
        change
        for message in messages(bootstrap, [(topic, partition) for partition in range(partitions)])
        if not wanted.isdisjoint((change := reader.read(message.value() or b"")[1])["from"] + change["into"])
    ]
    return sorted(found, key=lambda change: change["time"])
