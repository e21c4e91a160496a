"""A decision about a trigger: what becomes a message, or a record of why there was none."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from stream_app.domain.rules.state import EventRef  # noqa: TC001 - msgspec reads it at run time


class Action(StrEnum):
    """What is decided."""

    FIRE = "fire"
    RETRACT = "retract"
    HELD_BACK = "held_back"


class HeldBack(StrEnum):
    """Why nothing is sent. The gates of later issues add theirs (consent, cap, ...)."""

    CONDITION = "condition"
    AT_MOST = "at_most"
    PAST = "past"


class Retracted(StrEnum):
    """Why a message is taken back.

    A closing event came to light, `if` turned false, the due time moved into the future, or no event opens it
    any more.
    """

    CLOSED = "closed"
    CONDITION = "condition"
    MOVED = "moved"
    UNJUSTIFIED = "unjustified"


class Because(msgspec.Struct):
    """The evidence: opening, latest keeping and closing events, how many kept it open, the values seen."""

    events: list[EventRef]
    kept: int
    values: dict[str, Any]


class Decision(msgspec.Struct):
    """One decision about one trigger id. `due` and `sent` in ms since the epoch.

    `sent` is the due time for what is on time, the clock for what was found late or is taken back. `key`:
    the values of the rule's key properties. `reason` is empty for a fire; `payload` for all but a fire.
    """

    trigger_id: str
    action: Action
    rule: str
    version: int
    key: list[Any]
    purpose: str
    channel: list[str]
    due: int
    sent: int
    opened_by: str
    reason: str
    because: Because
    payload: dict[str, Any]
