"""A rule, read and checked: what the loader makes of a file, and the fold works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.rules.conditions import Condition  # noqa: TC001 - msgspec reads it at run time

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


class AtMost(msgspec.Struct, frozen=True):
    """No more than `times` sends in any `per` ms (None: ever), counted for each key if `per_key`."""

    times: int
    per: int | None = None
    per_key: bool = False


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a rule. Durations in ms, times in ms since the epoch, until exclusive."""

    name: str
    version: int
    opens: Pattern
    description: str = ""
    purpose: str = "marketing"
    channel: tuple[str, ...] = ()
    active_from: int = -FOREVER
    active_until: int = FOREVER
    key: tuple[str, ...] = ()
    keeps_open: Pattern | None = None
    closes: Pattern | None = None
    after: int = 0
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
        """How long (ms) after its due time a trigger can still be sent or taken back.

        A trigger found late is sent up to `grace` after its due time, and retracted until `retract_within`
        after that.
        """
        return self.grace + max(self.grace, self.retract_within)

    @property
    def horizon(self) -> int:
        """How long (ms) after it was sent a message still matters: to retract it, or to count it."""
        per = 0 if self.at_most is None else self.at_most.per
        return FOREVER if per is None else max(self.memory, per)

    def conditions(self) -> Iterator[Condition]:
        """Yield every condition of the rule."""
        for pattern in (self.opens, self.keeps_open, self.closes):
            if pattern is not None and pattern.condition is not None:
                yield pattern.condition
        if self.condition is not None:
            yield self.condition

    def names(self, variable: str) -> frozenset[str] | None:
        """Return the properties of `opened` or `last` that conditions and payload name; None: all of them."""
        paths: set[tuple[str, ...]] = {path for one in self.conditions() for path in one.paths}
        paths |= {tuple(name.split(".")) for name in self.payload}
        paths = {path for path in paths if path[0] == variable}
        if any(len(path) == 1 for path in paths):
            return None
        return frozenset(path[1] for path in paths)

    def uses(self, variable: str) -> bool:
        """Tell whether a condition or the payload names a variable."""
        return any(variable in one.roots for one in self.conditions()) or any(
            name.split(".")[0] == variable for name in self.payload
        )


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
