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
    """Why nothing is sent; QUIET_HOURS: not yet."""

    CONDITION = "condition"
    PAST = "past"
    CONSENT = "consent"
    SUPPRESSED = "suppressed"
    NO_ADDRESS = "no_address"
    QUIET_HOURS = "quiet_hours"
    CAP = "cap"
    PRIORITY = "priority"
    AT_MOST = "at_most"


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
    """The evidence.

    Attributes:
        events: that opened it (a sequence's earlier ones too), the latest that kept it open, the closing one.
        kept: how many kept it open.
        values: what the conditions saw.
        sending: what was found about sending it: consent, zone, quiet hours.
    """

    events: list[EventRef]
    kept: int
    values: dict[str, Any]
    sending: dict[str, str] = msgspec.field(default_factory=dict)


class Decision(msgspec.Struct):
    """One decision about one trigger id. `due` and `sent` in ms since the epoch.

    `sent` is the due time for what is on time, the end of the quiet hours that held it, or the clock for what was
    found late or is taken back. `key`: the values of the rule's key properties. `channel`: those on which it may go,
    the one to use first. `reason` is empty for a fire; `payload` for all but a fire. `number`: of a repeat.
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
    number: int = 0

    @property
    def first_channel(self) -> str:
        """The channel to use first; "" where the rule names none."""
        return self.channel[0] if self.channel else ""
