"""Dead letters: the record as it came, key and value untouched, and headers that say why it is here.

`raccord-reason`, `-detail`, `-topic`, `-partition`, `-offset`, `-timestamp`, `-stage`, `-version`, then the
original headers in their order. An original header whose name begins with `raccord-` is kept under
`raccord-original-<name>`, so that nothing is lost and a replay can put everything back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.refusal import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "raccord-"
ORIGINAL = "raccord-original-"
DETAIL_CHARS = 1024


class DeadLetter(msgspec.Struct, frozen=True):
    """Why a record was refused, where it came from, and its own headers.

    `timestamp` is the original record's, in ms (-1 when it had none); `stage` is the one that refused it,
    `version` the program's.
    """

    reason: Reason
    detail: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    stage: str
    version: str
    headers: list[tuple[str, bytes | None]] = []


def dead_letter_headers(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    """Return the headers of the record on the dead-letters topic."""
    headers: list[tuple[str, bytes | None]] = [
        (PREFIX + "reason", letter.reason.value.encode()),
        (PREFIX + "detail", letter.detail[:DETAIL_CHARS].encode(errors="replace")),
        (PREFIX + "topic", letter.topic.encode()),
        (PREFIX + "partition", str(letter.partition).encode()),
        (PREFIX + "offset", str(letter.offset).encode()),
        (PREFIX + "timestamp", str(letter.timestamp).encode()),
        (PREFIX + "stage", letter.stage.encode()),
        (PREFIX + "version", letter.version.encode()),
    ]
    for name, value in letter.headers:
        headers.append((ORIGINAL + name if name.startswith(PREFIX) else name, value))
    return headers


def parse_dead_letter(headers: Iterable[tuple[str, bytes | None]]) -> DeadLetter:
    """Read the headers of a record on the dead-letters topic.

    Raises:
        ValueError: a header is missing or is not what it must be: the record is no dead letter of ours.
    """
    own: dict[str, str] = {}
    original: list[tuple[str, bytes | None]] = []
    for name, value in headers:
        if name.startswith(ORIGINAL):
            original.append((name.removeprefix(ORIGINAL), value))
        elif name.startswith(PREFIX):
            own[name.removeprefix(PREFIX)] = (value or b"").decode(errors="replace")
        else:
            original.append((name, value))
    try:
        return DeadLetter(
            Reason(own["reason"]),
            own["detail"],
            own["topic"],
            int(own["partition"]),
            int(own["offset"]),
            int(own["timestamp"]),
            own["stage"],
            own["version"],
            original,
        )
    except KeyError as error:
        raise ValueError(f"no dead letter: header {PREFIX}{error.args[0]} is missing") from None
