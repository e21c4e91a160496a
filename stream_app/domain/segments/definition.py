"""Read a segment file: YAML (or JSON) into a Segment, or an error with line and column.

    name: vip
    version: 1
    description: Bought for 1,000 or more.
    if: customer.monetary_value >= 1000

`if` is CEL over `customer` (see `profile.view`), with the rule language's reading of what is missing. A name that
counts days (`customer.days_since_last_order`) changes without an event; so that the day on which it does is known
beforehand, it may be compared with a whole number, and nothing else. `customer.segments` can't be asked for: segments
don't rest on each other.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.profile import DAY_NAMES, view
from stream_app.domain.rules.located import Located, compose
from stream_app.domain.rules.paths import resolve
from stream_app.domain.rules.syntax import RELATIONS, Node, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.conditions import Condition

FIELDS = frozenset({"name", "version", "description", "if"})
VARIABLES = frozenset({"customer"})
REMEMBERED = 10_000
"""Combinations of values whose segments are remembered; then the memory is emptied and fills anew."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_COMPARES = RELATIONS - {"in"}


class Segment(msgspec.Struct, frozen=True):
    """A segment.

    Attributes:
        name: what it is called.
        version: a higher one replaces a lower one.
        description: for people.
        condition: who is in it.
        names: what the condition asks of a customer.
        days: (name, days): at so many days, and a day later, what the condition says of that name may change.
    """

    name: str
    version: int
    description: str
    condition: Condition
    names: frozenset[str]
    days: tuple[tuple[str, int], ...]


class SegmentBook:
    """The segments in force. Of a name's versions the highest counts.

    Attributes:
        by_name: the segments.
        segments: the same, by name.
        names: what conditions ask of a customer.
        digest: a fingerprint of what they say.
        days: by name, at how many days, ascending, what a condition says of it may change.
        undated: the other names.
    """

    def __init__(self, segments: Iterable[Segment]) -> None:
        """Take segments."""
        highest: dict[str, Segment] = {}
        for segment in segments:
            known = highest.get(segment.name)
            if known is None or segment.version > known.version:
                highest[segment.name] = segment
        self.by_name = highest
        self.segments = tuple(highest[name] for name in sorted(highest))
        self.names = frozenset[str]().union(*(segment.names for segment in self.segments))
        days: dict[str, set[int]] = {}
        for name, count in (day for segment in self.segments for day in segment.days):
            days.setdefault(name, set()).update((count, count + 1))
        self.days = {name: tuple(sorted(counts)) for name, counts in sorted(days.items())}
        self.undated = self.names.difference(self.days)
        paths = sorted({path for segment in self.segments for path in segment.condition.paths})
        self._names = tuple(path[1] for path in paths if len(path) == 2)  # noqa: PLR2004 - customer and a name
        self._paths = tuple(path for path in paths if len(path) > 2)  # noqa: PLR2004
        texts = [f"{one.name}@{one.version} {one.condition.source}" for one in self.segments]
        self.digest = blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()
        self._remembered: dict[tuple[object, ...], frozenset[str]] = {}

    def of(self, profile: Profile, now: int) -> frozenset[str]:
        """Return the segments that a customer of this profile is in at a time (ms)."""
        return self.inside({"customer": view(profile, now, names=self.names)})

    def inside(self, variables: Mapping[str, Any]) -> frozenset[str]:
        """Return the segments whose conditions hold.

        Most customers look like one before, to conditions: what was found of the same values is remembered.
        """
        values = [*map(variables["customer"].get, self._names)]
        values += [resolve(path, variables) for path in self._paths]
        key = (*values, *map(type, values))  # 1 == 1.0 == True, but not to a condition
        try:
            found = self._remembered.get(key)
        except TypeError:  # a list or a map among the values
            return self._inside(variables)
        if found is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            found = self._remembered[key] = self._inside(variables)
        return found

    def _inside(self, variables: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(one.name for one in self.segments if one.condition.holds(variables))


def load_segment(text: str, source: str = "segment") -> Segment:
    """Read one segment. `source` names it in errors.

    Raises:
        RuleError: With line, column and what to do.
    """
    whole = compose(text, source, "segment")
    fields = whole.mapping(FIELDS)
    for required in ("name", "if"):
        if required not in fields:
            whole.fail(f"`{required}` is missing; a segment needs it")
    name = fields["name"].text()
    if not _NAME.fullmatch(name):
        fields["name"].fail("name: letters, digits, `.`, `_` and `-` only, up to 100: consumers filter by it")
    condition = fields["if"].condition(VARIABLES, frozenset())
    return Segment(
        name=name,
        version=fields["version"].integer(1) if "version" in fields else 1,
        description=fields["description"].text() if "description" in fields else "",
        condition=condition,
        names=_names(fields["if"], condition),
        days=tuple(sorted(set(_days(fields["if"], parse(condition.source))))),
    )


def _names(at: Located, condition: Condition) -> frozenset[str]:
    """Return what a condition asks of a customer."""
    for path in condition.paths:
        if len(path) == 1:
            at.fail("if: say what of the customer, like customer.orders")
        if path[1] == "segments":
            at.fail("if: segments don't rest on each other; repeat the other one's condition")
    return frozenset(path[1] for path in condition.paths)


def _days(at: Located, node: Node) -> Iterator[tuple[str, int]]:
    """Yield the days that are compared with a number; any other use of them is an error."""
    args = node.args
    if node.kind == "binary" and node.text in _COMPARES:
        for day, bound in ((args[0], args[1]), (args[1], args[0])):
            name = _day(day)
            if name and bound.kind == "literal" and bound.text.isdecimal():
                yield name, int(bound.text)
                return
    if (name := _day(node)) is not None:
        at.fail(
            f"if, character {node.offset + 1}: compare customer.{name} with a whole number, and with nothing else: "
            "the day on which that changes has to be known beforehand"
        )
    for arg in () if node.kind == "has" else args:
        yield from _days(at, arg)


def _day(node: Node) -> str | None:
    """Return which days a node asks for."""
    if node.kind == "select":
        name = node.text
    elif node.kind == "index" and node.args[1].kind == "literal":
        name = node.args[1].text.strip("'\"")
    else:
        return None
    root = node.args[0]
    return name if root.kind == "name" and root.text in VARIABLES and name in DAY_NAMES else None
