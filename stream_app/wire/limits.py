"""How large, deep and far away in time an event may be, and how its fields are named in refusals."""

from __future__ import annotations

import re

import msgspec

MIB = 1 << 20
DAY = 86_400_000
YEAR_2000 = 946_684_800_000
YEAR_9000 = 221_845_392_000_000

_PLAIN_NAME = re.compile(r"(?!.*\d{5})[A-Za-z_$][A-Za-z0-9_.$-]{0,63}")


class Limits(msgspec.Struct, frozen=True):
    """What the decoder takes; sizes in bytes of UTF-8 where they say so, times in milliseconds.

    `string_bytes` holds for every text but the event id, the names, which have `name_chars`, and the reason of an
    operator's command, which stays in the state. `items` bounds every list and every object within a property.
    The latest acceptable time is the record's own timestamp plus `max_future`, so that a replay judges as the
    first reading did. Whatever that says, from the year 9000 on there is no room for what may be due later.
    """

    value_bytes: int = MIB
    json_depth: int = 32
    event_id_chars: int = 256
    name_chars: int = 256
    string_bytes: int = 65_536
    reason_chars: int = 1_000
    identifiers: int = 64
    identifier_values: int = 64
    properties: int = 512
    items: int = 4096
    earliest: int = YEAR_2000
    max_future: int = DAY

    def latest(self, timestamp: int | None) -> int:
        """Return the latest time that what came in a record of this timestamp may have."""
        return YEAR_9000 - 1 if timestamp is None else min(timestamp + self.max_future, YEAR_9000 - 1)

    def __post_init__(self) -> None:
        """Refuse limits that the fast path could not keep."""
        if self.string_bytes < 64 or self.name_chars < 64:  # noqa: PLR2004 - one-byte lengths aren't checked
            raise ValueError("string_bytes and name_chars must be at least 64")


def field_name(place: str, key: str) -> str:
    """Name a map's entry for a refusal, without repeating a key that could itself be personal data."""
    return f"{place}.{key}" if _PLAIN_NAME.fullmatch(key) else f"{place}.*"
