"""What is kept per customer for all rules: the fold of the events, and the ledger of what was decided.

The fold (instances, baskets) is a function of the events alone: folding the whole timeline again gives the
same. The ledger is history, which no event can give back: what was sent, taken back and held back. It goes
along when the events are folded again, and both ledgers go along in a merge.

All times in ms since the epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.rules.baskets import Baskets
from stream_app.domain.rules.model import FOREVER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MAX_ROWS = 1024
"""Ledger rows per customer; beyond that the oldest go early."""
MAX_FENCES = 32
"""Keys per rule whose last pruned send is remembered one by one."""
REST = "*"
"""The fence of all keys that have none of their own. No token is like it."""

_NEVER = -FOREVER
FIRED, RETRACTED, HELD = "fired", "retracted", "held"


class EventRef(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An event that mattered. `role`: opened, kept_open or closed."""

    event_id: str
    time: int
    type: str
    role: str


class Instance(msgspec.Struct, array_like=True):
    """A rule that an event opened. `token` is the key as text, `match` what a closing event must match.

    `kept` are the latest keeping events, `kept_count` counts all. `facts` and `last` hold the properties of
    the opening and the latest keeping event that the rule names. Once an event later than `due` is folded the
    instance has elapsed: `passed` is the verdict of the rule's `if`, `values` what it saw, `cart` the basket
    then, `closed` a closing event that came afterwards.
    """

    trigger_id: str
    key: list[Any]
    token: str
    due: int
    opened: EventRef
    cart_id: str
    match: str
    facts: dict[str, Any]
    values: dict[str, Any]
    last: dict[str, Any] | None = None
    kept: list[EventRef] = msgspec.field(default_factory=list)
    kept_count: int = 0
    passed: bool | None = None
    cart: dict[str, Any] | None = None
    closed: EventRef | None = None


class Row(msgspec.Struct, array_like=True):
    """What was decided about one trigger id. `due`: the due time it was last judged for.

    `sent`, `changed`: when the last fire and the last message went out. `until`: when the row may go.
    `reasons`: for which it was held back, each recorded once.
    """

    rule: str
    rule_id: str
    version: int
    key: list[Any]
    token: str
    due: int
    opened: EventRef
    status: str = HELD
    sent: int = 0
    changed: int = 0
    until: int = 0
    reasons: list[str] = msgspec.field(default_factory=list)


class Ledger(msgspec.Struct, array_like=True):
    """The history of decisions: `rows` by trigger id.

    `silent`, by rule: triggers due at or before it are history; nothing is sent, taken back or recorded about
    them any more, so their rows may go. `fences`, by rule and key: the opening time of the latest send whose
    row is gone. A late event could stretch that very instance into the present; as instances of one key
    follow each other, whatever opened at or before the fence was sent already and stays quiet.
    """

    rows: dict[str, Row] = msgspec.field(default_factory=dict)
    silent: dict[str, int] = msgspec.field(default_factory=dict)
    fences: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)

    def is_fenced(self, rule_id: str, instance: Instance) -> bool:
        """Tell whether this instance's message is already history."""
        fences = self.fences.get(rule_id)
        if fences is None:
            return False
        return instance.opened.time <= max(fences.get(instance.token, _NEVER), fences.get(REST, _NEVER))

    def only(self, event_ids: Collection[str]) -> Ledger:
        """Return the part that a split gives to whoever owns these opening events."""
        rows = {trigger: _copy(row) for trigger, row in self.rows.items() if row.opened.event_id in event_ids}
        fences = {rule: dict(fences) for rule, fences in self.fences.items()}
        return Ledger(rows, dict(self.silent), fences)

    def prune(self, now: int) -> None:
        """Forget the rows that can't matter any more, and the oldest of too many."""
        gone = [trigger for trigger, row in self.rows.items() if row.until <= now]
        if (excess := len(self.rows) - len(gone) - MAX_ROWS) > 0:
            left = self.rows.keys() - gone
            gone += sorted(left, key=lambda trigger: (self.rows[trigger].changed, trigger))[:excess]
        for trigger in gone:
            row = self.rows.pop(trigger)
            if row.status != HELD:
                self._fence(row.rule_id, row.token, row.opened.time)

    def _fence(self, rule_id: str, token: str, opened: int) -> None:
        fences = self.fences.setdefault(rule_id, {})
        fences[token] = max(fences.get(token, _NEVER), opened)
        if len(fences) - (REST in fences) > MAX_FENCES:
            oldest = min((name for name in fences if name != REST), key=lambda name: (fences[name], name))
            fences[REST] = max(fences.get(REST, _NEVER), fences.pop(oldest))


class RulesState(msgspec.Struct, array_like=True):
    """One customer, all rules.

    `book` is the fingerprint of the rules it was folded by; `time` and `event_id` the last event folded.
    `open` (by rule and token) and `elapsed` (by rule) are the instances. `elapse_at` is at or before the
    earliest due time of an open one; `judged` at or after the latest due time decided about; `stale` says
    that something decided may have changed. `closed` says by what a sent trigger's instance was closed.
    """

    book: str
    time: int = _NEVER
    event_id: str = ""
    elapse_at: int = FOREVER
    judged: int = _NEVER
    stale: bool = False
    open: dict[str, dict[str, Instance]] = msgspec.field(default_factory=dict)
    elapsed: dict[str, list[Instance]] = msgspec.field(default_factory=dict)
    closed: dict[str, EventRef] = msgspec.field(default_factory=dict)
    baskets: Baskets = msgspec.field(default_factory=Baskets)
    ledger: Ledger = msgspec.field(default_factory=Ledger)


def merged(ledgers: Iterable[Ledger]) -> Ledger:
    """Combine the ledgers of customers that turned out to be one; of two rows the latest message counts.

    Where both are equally late the one that says "fired" counts: a message too few, never one twice.
    """
    whole = Ledger()
    for ledger in ledgers:
        for trigger, row in ledger.rows.items():
            known = whole.rows.get(trigger)
            if known is None or _weight(row) > _weight(known):
                whole.rows[trigger] = _copy(row)
        for rule, time in ledger.silent.items():
            whole.silent[rule] = max(whole.silent.get(rule, _NEVER), time)
        for rule, fences in ledger.fences.items():
            for token, time in fences.items():
                whole._fence(rule, token, time)  # noqa: SLF001 - same module
    return whole


def _weight(row: Row) -> tuple[bool, int, bool]:
    return (row.status != HELD, row.changed, row.status == FIRED)


def _copy(row: Row) -> Row:
    return msgspec.structs.replace(row, reasons=list(row.reasons))
