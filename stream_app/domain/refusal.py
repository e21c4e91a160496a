"""Why an event is refused: the reasons that dead letters carry, each said once."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A dead letter's reason: the value of its `raccord-reason` header and of the metrics' label."""

    EMPTY = "empty"
    UNDECODABLE = "undecodable"
    UNKNOWN_SCHEMA = "unknown_schema"
    INVALID_UTF8 = "invalid_utf8"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    NO_IDENTIFIER = "no_identifier"
    CONFLICT = "conflict"
    POISON = "poison"


class Refused(Exception):  # noqa: N818 - a verdict on an event, not a fault of the program
    """An event that can't be taken. `detail` names fields and limits, never an event's own values."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the reason (for machines) and the detail (for people)."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
