"""A rule, read and checked: what the loader makes of a file, and the fold works with."""

from __future__ import annotations

from datetime import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.rules.conditions import Condition
from stream_app.domain.rules.paths import names_below

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400_000
FOREVER = 2**62
"""A time (ms) after everything."""


class Pattern(msgspec.Struct, frozen=True):
    """Which events are meant: their types, a condition, and for closing ones the property to match."""

    event: frozenset[str]
    condition: Condition | None = None
    match: str | None = None


class Quiet(msgspec.Struct, frozen=True):
    """No such event for `span` ms before the opening one; `before`: but one before that."""

    pattern: Pattern
    span: int
    before: bool = False


class Reference(msgspec.Struct, frozen=True):
    """A change of reference data: `field` of an item of `kind` has another value, and had one before.

    It concerns who has an event that `before` means, at that time at the latest, with the item in its property `match`.
    """

    kind: str
    field: str
    before: Pattern
    match: str
    condition: Condition | None = None


class Near(msgspec.Struct, frozen=True):
    """Near a store: `store`, or any (None), within `radius_m`, by fixes that are no worse than `accuracy_m`.

    `on`: enter, exit, or stay: in there for as long as the rule's `after` says.
    """

    radius_m: float
    on: str = "enter"
    store: str | None = None
    accuracy_m: float | None = None


class Opens(msgspec.Struct, frozen=True):
    """What opens an instance.

    One pattern: an event. Several: a sequence, in `within` ms from first to last; `every`: overlapping matches
    count. None, but `profile`: a condition over the profile that becomes true; or `reference`: reference data change.
    """

    patterns: tuple[Pattern, ...] = ()
    profile: Condition | None = None
    within: int | None = None
    every: bool = False
    quiet: Quiet | None = None
    first: bool = False
    reference: Reference | None = None

    @property
    def event(self) -> frozenset[str]:
        """Every type of event that plays a part."""
        return frozenset().union(*(pattern.event for pattern in self.patterns))


class DueAt(msgspec.Struct, frozen=True):
    """A due time by the calendar, or in the opening event.

    `named`: property of the opening event that is the time, plus `offset` ms. Else `local_time` in the customer's
    zone: `days` after the opening's own day, the next `weekday` (Monday is 0) after it, each year on the date that
    the trait `yearly` is, or with none of them the next such moment.
    """

    named: str | None = None
    offset: int = 0
    days: int | None = None
    weekday: int | None = None
    yearly: str | None = None
    local_time: time = time()

    @property
    def is_local(self) -> bool:
        """Whether the customer's time zone matters."""
        return self.named is None


class AtMost(msgspec.Struct, frozen=True):
    """No more than `times` sends in any `per` ms (None: ever), counted for each key if `per_key`."""

    times: int
    per: int | None = None
    per_key: bool = False


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a rule. Durations in ms, times in ms since the epoch, until exclusive."""

    name: str
    version: int
    opens: Opens
    near: Near | None = None
    description: str = ""
    purpose: str = "marketing"
    channel: tuple[str, ...] = ()
    active_from: int = -FOREVER
    active_until: int = FOREVER
    key: tuple[str, ...] = ()
    per_event: bool = False
    keeps_open: Pattern | None = None
    closes: Pattern | None = None
    after: int = 0
    due_at: DueAt | None = None
    repeat: int | None = None
    repeat_within: int | None = None
    then: Pattern | None = None
    condition: Condition | None = None
    at_most: AtMost | None = None
    grace: int = 300_000
    retract_within: int = DAY
    payload: tuple[str, ...] = ()
    priority: float = 0.0
    ignore_caps: bool = False

    @property
    def id(self) -> str:
        """Name and version in one: what state is kept by."""
        return f"{self.name}@{self.version}"

    @property
    def memory(self) -> int:
        """How long (ms) after its due time a trigger can still be sent or taken back, but for quiet hours.

        A trigger found late is sent up to `grace` after its due time, and retracted until `retract_within`
        after that, both inclusive: only a millisecond later it is history.
        """
        return self.grace + max(self.grace, self.retract_within) + 1

    @property
    def horizon(self) -> int:
        """How long (ms) after it was sent a message still matters to its own rule."""
        per = 0 if self.at_most is None else self.at_most.per
        return FOREVER if per is None else max(self.memory, per)

    @property
    def digest(self) -> str:
        """A fingerprint of all that decisions depend on: of everything but what is said about it to people."""
        decided_by = msgspec.structs.replace(self, description="")
        return blake2b(_encode(decided_by), digest_size=8).hexdigest()

    def patterns(self) -> Iterator[Pattern]:
        """Yield every pattern of the rule."""
        yield from self.opens.patterns
        if self.opens.reference is not None:
            yield self.opens.reference.before
        if self.opens.quiet is not None:
            yield self.opens.quiet.pattern
        for pattern in (self.keeps_open, self.closes, self.then):
            if pattern is not None:
                yield pattern

    def conditions(self) -> Iterator[Condition]:
        """Yield every condition of the rule."""
        for pattern in self.patterns():
            if pattern.condition is not None:
                yield pattern.condition
        reference = self.opens.reference
        by_change = None if reference is None else reference.condition
        for condition in (self.opens.profile, by_change, self.condition):
            if condition is not None:
                yield condition

    def names(self, variable: str) -> frozenset[str] | None:
        """Return the properties of a variable that conditions and payload name; None: all of them."""
        return names_below(self.paths(), variable)

    def paths(self) -> set[tuple[str, ...]]:
        """Return all that conditions and payload name, by the names that lead there."""
        paths: set[tuple[str, ...]] = {path for one in self.conditions() for path in one.paths}
        return paths | {tuple(name.split(".")) for name in self.payload}

    def uses(self, variable: str) -> bool:
        """Tell whether a condition or the payload names a variable."""
        return any(variable in one.roots for one in self.conditions()) or any(
            name.split(".")[0] == variable for name in self.payload
        )


def _written(value: Any) -> str:
    """Return what stands for a condition in a fingerprint: what is written."""
    if isinstance(value, Condition):
        return value.source
    raise NotImplementedError  # as msgspec wants it said of a type that it is asked about in vain


_encode = msgspec.msgpack.Encoder(enc_hook=_written, order="deterministic").encode


class RuleError(ValueError):
    """A rule file that can't be used: says where (source, line, column, from 1), what, and what to do."""

    def __init__(self, source: str, line: int, column: int, message: str) -> None:
        """Keep the place for machines, and say it all for people."""
        super().__init__(f"{source}:{line}:{column}: {message}")
        self.line = line
        self.column = column
        self.message = message


def pick(values: dict[str, Any], names: frozenset[str] | None) -> dict[str, Any]:
    """Return those of an event's properties that a rule will want to see again."""
    if names is None:
        return values
    return {name: values[name] for name in names if name in values}
