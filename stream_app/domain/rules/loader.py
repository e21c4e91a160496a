"""Read a rule file: YAML (or JSON) into a Rule, or an error with line and column.

What is here is checked field by field; schemas/json/rule.schema.json says the same for editors, and a test
holds the two together. Fields of the language that this version doesn't know are refused, never skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stream_app.domain.rules.located import Located, compose
from stream_app.domain.rules.model import AtMost, Pattern, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = frozenset(
    {"name", "version", "description", "purpose", "channel", "active_from", "active_until", "key", "opens"}
    | {"keeps_open", "closes", "after", "if", "at_most", "ignore_caps", "priority", "grace"}
    | {"retract_within", "payload"},
)
LATER_FIELDS = frozenset({"instances", "near", "due_at", "repeat", "repeat_within", "then"})
LATER_OPENS = frozenset(
    {"sequence", "within", "every", "profile", "reference", "event_before", "match", "quiet_before", "first"},
)

OF_EVENT = frozenset({"event", "event_type", "channel", "time", "cart"})
OF_INSTANCE = frozenset({"opened", "last", "cart"})
LATER_VARIABLES = frozenset(
    {"first", "old", "new", "before", "customer", "store", "stock", "weather", "season"}
)
PAYLOAD = OF_INSTANCE | {"customer", "store", "stock", "weather", "season"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def load_rule(text: str, source: str = "rule") -> Rule:
    """Read one rule. `source` names it in errors.

    Raises:
        RuleError: With line, column and what to do.
    """
    whole = compose(text, source, "rule")
    fields = whole.mapping(FIELDS, LATER_FIELDS)
    for required in ("name", "opens"):
        if required not in fields:
            whole.fail(f"`{required}` is missing; a rule needs it")
    values: dict[str, Any] = {_ATTRIBUTES.get(name, name): _READ[name](at) for name, at in fields.items()}
    values.setdefault("version", 1)
    rule = Rule(**values)
    if rule.active_from >= rule.active_until:
        fields["active_until"].fail(
            "active_until must be later than active_from, or no event can open the rule"
        )
    return rule


def _name(at: Located) -> str:
    value = at.text()
    if not _NAME.fullmatch(value):
        at.fail("name: letters, digits, `.`, `_` and `-` only, up to 100: it becomes part of a topic's name")
    return value


def _opens(at: Located) -> Pattern:
    return _pattern(at, frozenset({"event", "if"}), OF_EVENT, LATER_OPENS)


def _keeps_open(at: Located) -> Pattern:
    return _pattern(at, frozenset({"event", "if"}), OF_EVENT | OF_INSTANCE)


def _closes(at: Located) -> Pattern:
    return _pattern(at, frozenset({"event", "if", "match"}), OF_EVENT | OF_INSTANCE)


def _pattern(
    at: Located, known: frozenset[str], variables: frozenset[str], later: frozenset[str] = frozenset()
) -> Pattern:
    fields = at.mapping(known, later)
    if "event" not in fields:
        at.fail(f"{at.field}: `event` is missing; name an event type or a list of them")
    condition = fields["if"].condition(variables, LATER_VARIABLES) if "if" in fields else None
    match = fields["match"].text() if "match" in fields else None
    return Pattern(frozenset(fields["event"].texts()), condition, match)


def _at_most(at: Located) -> AtMost:
    fields = at.mapping(frozenset({"times", "per", "per_key"}))
    if "times" not in fields:
        at.fail("at_most: `times` is missing; say how many")
    per = fields["per"].duration() if "per" in fields else None
    if per == 0:
        fields["per"].fail("per must be longer than 0; leave it out for `ever`")
    return AtMost(
        times=fields["times"].integer(1), per=per, per_key="per_key" in fields and fields["per_key"].boolean()
    )


def _payload(at: Located) -> tuple[str, ...]:
    for item in at.items():
        root, *rest = item.text().split(".")
        if root not in PAYLOAD or not all(rest):
            item.fail(f"payload: no `{item.text()}` to send; names begin with {', '.join(sorted(PAYLOAD))}")
    return at.texts()


def _condition(at: Located) -> Any:
    return at.condition(OF_INSTANCE, LATER_VARIABLES)


_ATTRIBUTES = {"if": "condition"}
_READ: dict[str, Callable[[Located], Any]] = {
    "name": _name,
    "version": lambda at: at.integer(1),
    "description": Located.text,
    "purpose": Located.text,
    "channel": Located.texts,
    "active_from": Located.instant,
    "active_until": Located.instant,
    "key": Located.texts,
    "opens": _opens,
    "keeps_open": _keeps_open,
    "closes": _closes,
    "after": Located.duration,
    "if": _condition,
    "at_most": _at_most,
    "grace": Located.duration,
    "retract_within": Located.duration,
    "payload": _payload,
    "priority": Located.number,
    "ignore_caps": Located.boolean,
}
