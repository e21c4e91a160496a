"""YAML values that know their line and column, so that an error can say where.

Only nodes are composed, no objects built: a file can name no Python type, and an alias is read where it
stands. A JSON document is YAML too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn, TypeVar

import yaml

from stream_app.domain.rules.conditions import Condition
from stream_app.domain.rules.model import RuleError
from stream_app.domain.rules.syntax import CelSyntaxError
from stream_app.domain.rules.times import parse_duration, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

T = TypeVar("T")
MAX_CHARACTERS = 256 * 1024
"""Of a rule file."""
MAX_COMPLAINT = 1_000
"""Characters of what is said of a value, which may be as long as the file."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"


class Located:
    """A YAML node with its source's name; `field` is what it is the value of."""

    __slots__ = ("field", "node", "source")

    def __init__(self, node: yaml.Node, source: str, field: str) -> None:
        """Wrap a node."""
        self.node = node
        self.source = source
        self.field = field

    def fail(self, message: str, offset: int = 0) -> NoReturn:
        """Raise a RuleError about this value, `offset` characters into it."""
        mark = self.node.start_mark
        said = message if len(message) <= MAX_COMPLAINT else f"{message[:MAX_COMPLAINT]}..."
        raise RuleError(self.source, mark.line + 1, mark.column + 1 + offset, said)

    def mapping(self, known: Collection[str], later: Collection[str] = ()) -> dict[str, Located]:
        """Read a mapping with these fields and no others; `later` are fields still to be built."""
        if not isinstance(self.node, yaml.MappingNode):
            self.fail(f"{self.field} must be a mapping with {', '.join(sorted(known))}")
        fields: dict[str, Located] = {}
        for key, value in self.node.value:
            at = Located(key, self.source, self.field)
            # Written out for a complaint, a list of aliases of lists fills the memory.
            if not isinstance(key, yaml.ScalarNode):
                at.fail(f"{self.field}: the name of a field is a text")
            name = str(key.value)
            if name in later:
                at.fail(f"{self.field}: `{name}` is not supported by this version; take it out")
            if name not in known:
                at.fail(f"{self.field}: unknown field `{name}`; the fields are: {', '.join(sorted(known))}")
            if name in fields:
                at.fail(f"{self.field}: `{name}` is there twice; keep one")
            fields[name] = Located(value, self.source, name)
        return fields

    @property
    def is_mapping(self) -> bool:
        """Whether this is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def names(self) -> frozenset[str]:
        """The names of a mapping's fields, as far as they are texts; of anything else, none."""
        pairs = self.node.value if isinstance(self.node, yaml.MappingNode) else ()
        return frozenset(str(key.value) for key, _ in pairs if isinstance(key, yaml.ScalarNode))

    def text(self) -> str:
        """Read a scalar as it is written."""
        if not isinstance(self.node, yaml.ScalarNode):
            self.fail(f"{self.field} must be a text")
        value = str(self.node.value).strip()
        if not value or self.node.tag == f"{_TAG}null":
            self.fail(f"{self.field} is empty; give it a value or take it out")
        if not value.isascii() and _SURROGATE.search(value):
            self.fail(
                f"{self.field} has half of a surrogate pair, which is no character; write the character itself"
            )
        return value

    def items(self) -> list[Located]:
        """Return the items of a list; anything else is a list of one."""
        if not isinstance(self.node, yaml.SequenceNode):
            return [self]
        return [Located(node, self.source, self.field) for node in self.node.value]

    def texts(self) -> tuple[str, ...]:
        """Read a text or a list of different texts."""
        values: dict[str, None] = {}
        for item in self.items():
            if (value := item.text()) in values:
                item.fail(f"{self.field}: `{value}` is there twice; keep one")
            values[value] = None
        if not values:
            self.fail(f"{self.field} is an empty list; give it values or take it out")
        return tuple(values)

    def integer(self, least: int) -> int:
        """Read a whole number, `least` or more."""
        value = self.text()
        if self.node.tag != f"{_TAG}int" or not value.isdecimal() or len(value) > 9 or int(value) < least:  # noqa: PLR2004
            self.fail(f"{self.field} must be a whole number, {least} or more")
        return int(value)

    def number(self) -> float:
        """Read a number."""
        value = self.text()
        try:
            number = float(value) if self.node.tag in {f"{_TAG}int", f"{_TAG}float"} else None
        except ValueError:
            number = None
        if number is None or not abs(number) < 1e15:  # noqa: PLR2004 - exact as a float
            self.fail(f"{self.field} must be a number")
        return number

    def boolean(self) -> bool:
        """Read true or false."""
        value = self.text()
        if self.node.tag != f"{_TAG}bool" or value.lower() not in {"true", "false"}:
            self.fail(f"{self.field} must be true or false")
        return value.lower() == "true"

    def read(self, parse: Callable[[str], T]) -> T:
        """Read a text that `parse` understands; its ValueError becomes the RuleError."""
        value = self.text()
        try:
            return parse(value)
        except ValueError as fault:
            self.fail(f"{self.field}: {fault}")

    def duration(self) -> int:
        """Read a duration as ms."""
        return self.read(parse_duration)

    def instant(self) -> int:
        """Read a time as ms since the epoch."""
        return self.read(parse_instant)

    def condition(self, variables: Collection[str], at_due: Collection[str]) -> Condition:
        """Compile a condition over these variables; `at_due` are those that only a rule's own `if` has."""
        source = self.text()
        try:
            return Condition(source, variables)
        except CelSyntaxError as fault:
            message = str(fault)
            name = message.partition("`")[2].partition("`")[0]
            if message.startswith("no variable") and name in at_due:
                message = f"`{name}` is known at the due time; ask for it in the rule's own `if`"
            self.misread(fault, message)

    def misread(self, fault: CelSyntaxError, message: str = "") -> NoReturn:
        """Raise a RuleError about a place in this condition; `message`: said of it instead."""
        message = message or str(fault)
        if self.node.start_mark.line != self.node.end_mark.line:
            self.fail(f"{self.field}, character {fault.offset + 1}: {message}")
        quoted = getattr(self.node, "style", None) is not None
        self.fail(f"{self.field}: {message}", fault.offset + quoted)


def compose(text: str, source: str, field: str) -> Located:
    """Read one YAML document.

    Raises:
        RuleError: It isn't YAML, is empty or too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise RuleError(source, 1, 1, f"longer than {MAX_CHARACTERS} characters; a rule is a page")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise RuleError(source, line, column, f"not YAML: {fault.problem or fault.context}") from fault
    except (yaml.YAMLError, RecursionError) as fault:
        raise RuleError(
            source, 1, 1, "not YAML: a character that YAML forbids, or nested too deep"
        ) from fault
    if node is None:
        raise RuleError(source, 1, 1, "empty; a rule has at least a name and `opens`")
    return Located(node, source, field)
