"""Read a rule file: YAML (or JSON) into a Rule, or an error with line and column.

What is here is checked field by field; schemas/json/rule.schema.json says the same for editors, and a test
holds the two together. Fields of the language that this version doesn't know are refused, never skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stream_app.domain.rules import shelf
from stream_app.domain.rules.located import Located, compose
from stream_app.domain.rules.model import AtMost, DueAt, Near, Opens, Pattern, Quiet, Reference, Rule
from stream_app.domain.rules.nearest import NAMES as NEAREST
from stream_app.domain.rules.syntax import CelSyntaxError
from stream_app.domain.rules.times import WEEKDAYS, parse_local_time, parse_offset
from stream_app.domain.rules.weather import OUTDOORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.rules.conditions import Condition

FIELDS = frozenset(
    {
        "name",
        "version",
        "description",
        "purpose",
        "channel",
        "active_from",
        "active_until",
        "key",
        "instances",
    }
    | {"opens", "keeps_open", "closes", "after", "due_at", "repeat", "repeat_within", "then", "if", "at_most"}
    | {"ignore_caps", "priority", "grace", "retract_within", "payload", "near"},
)
OPENERS = ("event", "sequence", "profile", "reference")

OF_EVENT = frozenset({"event", "event_type", "channel", "time", "cart", "customer"})
OF_INSTANCE = frozenset({"opened", "last", "cart", "customer"})
FIRST = frozenset({"first"})
OF_PLACE = frozenset({"store", "stock"})
OF_CHANGE = frozenset({"old", "new", "before"})
NOW = frozenset({"now"})
AT_DUE = OUTDOORS | NOW
OF_OPENING_CHANGE = OF_CHANGE | {"time", "cart", "customer"}
PAYLOAD = OF_INSTANCE | OF_PLACE | OUTDOORS
MAX_REPEATS = 1000
"""Of one instance, where `repeat_within` says how many there are."""
MAX_STEPS = 16
"""Of a sequence."""
MAX_METRES = 200_000
"""From a store."""
KINDS = frozenset({"product", "order", "store", "campaign"})
"""What there is reference data of."""
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def load_rule(text: str, source: str = "rule") -> Rule:
    """Read one rule. `source` names it in errors.

    Raises:
        RuleError: With line, column and what to do.
    """
    whole = compose(text, source, "rule")
    fields = whole.mapping(FIELDS)
    if "name" not in fields:
        whole.fail("`name` is missing; a rule needs it")
    if ("opens" in fields) is ("near" in fields):
        whole.fail("`opens` is missing; a rule needs it, or `near` instead of it, and not both")
    openers = fields["opens"].names if "opens" in fields else {"near"}
    also = frozenset[str]().union(*(_SHOWS[name] for name in _SHOWS if name in openers))
    values: dict[str, Any] = {"version": 1, "opens": Opens()}
    for name, at in fields.items():
        if name in _CONDITIONAL:
            values[_ATTRIBUTES.get(name, name)] = _CONDITIONAL[name](at, also)
        else:
            values[_ATTRIBUTES.get(name, name)] = _READ[name](at)
    if "near" in fields:
        values["near"], values["after"] = _near(fields["near"], values.get("after"))
        values["key"] = ("store_id",)  # an instance for each store
    rule = Rule(**values)
    _check_together(rule, fields)
    return rule


def _check_together(rule: Rule, fields: dict[str, Located]) -> None:
    """Refuse fields that can't stand together."""
    if rule.active_from >= rule.active_until:
        fields["active_until"].fail(
            "active_until must be later than active_from, or no event can open the rule"
        )
    for name, other in (("due_at", "after"), ("then", "repeat")):
        if name in fields and other in fields:
            fields[name].fail(f"{name}: not together with `{other}`; take one of them out")
    if rule.condition is not None and rule.near is None:
        _check_store(rule.condition, fields["if"])
    yearly = rule.due_at is not None and rule.due_at.yearly is not None
    if yearly and ("repeat" in fields or "then" in fields):
        fields["due_at"].fail("due_at: `yearly` comes again each year, not together with `repeat` or `then`")
    if rule.repeat_within is not None:
        if rule.repeat is None:
            fields["repeat_within"].fail("repeat_within: there is no `repeat`; say how often, or take it out")
        elif rule.repeat_within > MAX_REPEATS * rule.repeat:
            fields["repeat_within"].fail(
                f"repeat_within: more than {MAX_REPEATS} repeats; repeat less often, or leave it out"
            )


def _check_store(condition: Condition, at: Located) -> None:
    """Refuse, of a rule without `near`, a condition about the store near which she is."""
    for path in condition.paths:
        if path[0] == "store" and NEAREST.isdisjoint(path[1:2]):
            known = " and ".join(f"`store.{name}`" for name in sorted(NEAREST))
            at.fail(f"if: no variable `store` here, without `near`, but {known}")


def _name(at: Located) -> str:
    value = at.text()
    if not _NAME.fullmatch(value):
        at.fail("name: letters, digits, `.`, `_` and `-` only, up to 100: it becomes part of a topic's name")
    return value


# -- what opens -----------------------------------------------------------------------------------------


def _opens(at: Located) -> Opens:
    known = frozenset({*OPENERS, "if", "within", "every", "quiet_before", "first", "event_before", "match"})
    fields = at.mapping(known)
    found = [name for name in OPENERS if name in fields]
    if len(found) != 1:
        at.fail("opens: name one of `event`, `sequence`, `profile` or `reference`")
    opener = found[0]
    for name in fields:
        if opener not in _GOES_WITH.get(name, {opener}):
            fields[name].fail(f"opens: `{name}` goes with `{'` or `'.join(sorted(_GOES_WITH[name]))}`")
    patterns: tuple[Pattern, ...] = ()
    if opener == "event":
        condition = fields["if"].condition(OF_EVENT, AT_DUE) if "if" in fields else None
        patterns = (Pattern(frozenset(fields["event"].texts()), condition),)
    elif opener == "sequence":
        patterns = _sequence(fields["sequence"])
    return Opens(
        patterns,
        fields["profile"].condition(frozenset({"customer"}), AT_DUE) if opener == "profile" else None,
        fields["within"].duration() if "within" in fields else None,
        "every" in fields and fields["every"].boolean(),
        _quiet(fields["quiet_before"]) if "quiet_before" in fields else None,
        "first" in fields and fields["first"].boolean(),
        _reference(at, fields) if opener == "reference" else None,
    )


_GOES_WITH = {
    "if": {"event", "reference"},
    "within": {"sequence"},
    "every": {"sequence"},
    "first": {"event", "sequence"},
    "event_before": {"reference"},
    "match": {"reference"},
}
_SHOWS = {"sequence": FIRST, "reference": OF_CHANGE, "near": OF_PLACE}
"""What can be seen of what opened an instance, beside `opened`."""


def _near(at: Located, after: int | None) -> tuple[Near, int]:
    """Read a place; return how long after the opening it is due, too: `for` of a stay is its `after`."""
    fields = at.mapping(frozenset({"store", "radius_m", "on", "for", "accuracy_m"}))
    if "radius_m" not in fields:
        at.fail("near: `radius_m` is missing; say how far from the store, in metres")
    on = fields["on"].text() if "on" in fields else "enter"
    if on not in {"enter", "exit", "stay"}:
        fields["on"].fail("on must be enter, exit or stay")
    if ("for" in fields) is not (on == "stay"):
        at.fail("near: `for` says how long a stay is: it goes with `on: stay`, and that needs it")
    if on == "stay":
        if after is not None:
            fields["for"].fail("near: `for` is not together with `after`; take one of them out")
        after = fields["for"].duration()
    near = Near(
        _metres(fields["radius_m"]),
        on,
        fields["store"].text() if "store" in fields else None,
        _metres(fields["accuracy_m"]) if "accuracy_m" in fields else None,
    )
    return near, after or 0


def _metres(at: Located) -> float:
    value = at.number()
    if not 0 < value <= MAX_METRES:
        at.fail(f"{at.field} must be more than 0 and at most {MAX_METRES} metres")
    return value


def _reference(at: Located, fields: dict[str, Located]) -> Reference:
    """Read what opens on a change of reference data."""
    for required, what in (
        ("event_before", "say by which events a change concerns a customer"),
        ("match", "name the property of those events that names the item"),
    ):
        if required not in fields:
            at.fail(f"opens: `{required}` is missing; {what}")
    kind, dot, field = fields["reference"].text().partition(".")
    if kind not in KINDS or not dot or not _FIELD.fullmatch(field):
        kinds = ", ".join(sorted(KINDS))
        fields["reference"].fail(
            f"reference: what and which field of it, like product.price; there are {kinds}"
        )
    condition = fields["if"].condition(OF_OPENING_CHANGE, AT_DUE) if "if" in fields else None
    return Reference(kind, field, _before(fields["event_before"]), fields["match"].text(), condition)


def _before(at: Located) -> Pattern:
    """Read the events before: types alone, or a pattern."""
    if at.is_mapping:
        return _pattern(at, frozenset({"event", "if"}), OF_EVENT)
    return Pattern(frozenset(at.texts()))


def _sequence(at: Located) -> tuple[Pattern, ...]:
    steps = at.items()
    if not 1 < len(steps) <= MAX_STEPS:
        at.fail(f"sequence: a list of 2 to {MAX_STEPS} patterns, in order")
    return tuple(_step(step, FIRST if place else frozenset()) for place, step in enumerate(steps))


def _step(at: Located, first: frozenset[str]) -> Pattern:
    """Read a step of a sequence: an event type alone, or a pattern."""
    if at.is_mapping:
        return _pattern(at, frozenset({"event", "if"}), OF_EVENT | first)
    return Pattern(frozenset({at.text()}))


def _quiet(at: Located) -> Quiet:
    fields = at.mapping(frozenset({"event", "if", "for", "and_before"}))
    for required in ("event", "for"):
        if required not in fields:
            at.fail(
                f"quiet_before: `{required}` is missing; say which events must not be there, for how long"
            )
    condition = fields["if"].condition(OF_EVENT, AT_DUE) if "if" in fields else None
    span = fields["for"].duration()
    if span == 0:
        fields["for"].fail("for must be longer than 0")
    before = "and_before" in fields and fields["and_before"].boolean()
    return Quiet(Pattern(frozenset(fields["event"].texts()), condition), span, before)


# -- other patterns -------------------------------------------------------------------------------------


def _keeps_open(at: Located, also: frozenset[str]) -> Pattern:
    return _pattern(at, frozenset({"event", "if"}), OF_EVENT | OF_INSTANCE | also)


def _closes(at: Located, also: frozenset[str]) -> Pattern:
    return _pattern(at, frozenset({"event", "if", "match"}), OF_EVENT | OF_INSTANCE | also)


def _condition(at: Located, also: frozenset[str]) -> Any:
    now = NOW if also >= OF_CHANGE else frozenset[str]()
    condition = at.condition(OF_INSTANCE | also | now | OUTDOORS | {"store"}, ())
    if shelf.STOCK in condition.roots:
        try:
            shelf.asked(condition.source)
        except CelSyntaxError as fault:
            at.misread(fault)
    return condition


def _pattern(at: Located, known: frozenset[str], variables: frozenset[str]) -> Pattern:
    fields = at.mapping(known)
    if "event" not in fields:
        at.fail(f"{at.field}: `event` is missing; name an event type or a list of them")
    condition = fields["if"].condition(variables, AT_DUE) if "if" in fields else None
    match = fields["match"].text() if "match" in fields else None
    return Pattern(frozenset(fields["event"].texts()), condition, match)


# -- when, how often, what ------------------------------------------------------------------------------


def _due_at(at: Located) -> DueAt:
    fields = at.mapping(frozenset({"property", "offset", "days", "weekday", "yearly", "local_time"}))
    found = [name for name in ("property", "days", "weekday", "yearly") if name in fields]
    if len(found) > 1:
        fields[found[1]].fail(f"due_at: not together with `{found[0]}`; take one of them out")
    if "property" in fields:
        if "local_time" in fields:
            fields["local_time"].fail("due_at: `local_time` doesn't go with `property`, which is a time")
        offset = fields["offset"].read(parse_offset) if "offset" in fields else 0
        return DueAt(named=fields["property"].text(), offset=offset)
    if "offset" in fields:
        fields["offset"].fail("due_at: `offset` goes with `property`")
    if "local_time" not in fields:
        at.fail("due_at: `local_time` is missing; say at what time of the day, like 09:00")
    return DueAt(
        days=fields["days"].integer(0) if "days" in fields else None,
        weekday=_weekday(fields["weekday"]) if "weekday" in fields else None,
        yearly=_trait(fields["yearly"]) if "yearly" in fields else None,
        local_time=fields["local_time"].read(parse_local_time),
    )


def _trait(at: Located) -> str:
    return at.text().removeprefix("customer.")


def _weekday(at: Located) -> int:
    value = at.text().lower()
    if value not in WEEKDAYS:
        at.fail(f"weekday: `{value}` is none; they are {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(value)


def _longer_than_nothing(at: Located) -> int:
    value = at.duration()
    if value == 0:
        at.fail(f"{at.field} must be longer than 0")
    return value


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


def _per_event(at: Located) -> bool:
    value = at.text()
    if value not in {"per_key", "per_event"}:
        at.fail("instances must be per_key or per_event")
    return value == "per_event"


def _payload(at: Located, also: frozenset[str]) -> tuple[str, ...]:
    known = PAYLOAD | also | (NOW if also >= OF_CHANGE else frozenset[str]())
    for item in at.items():
        root, *rest = item.text().split(".")
        if root not in known or not all(rest):
            item.fail(f"payload: no `{item.text()}` to send; names begin with {', '.join(sorted(known))}")
    return at.texts()


_ATTRIBUTES = {"if": "condition", "instances": "per_event"}
_CONDITIONAL: dict[str, Callable[[Located, frozenset[str]], Any]] = {
    "keeps_open": _keeps_open,
    "closes": _closes,
    "then": _keeps_open,
    "if": _condition,
    "payload": _payload,
}
"""What may name `first` in a rule that opens on a sequence, and `old`, `new`, `before` where reference data open it."""
_READ: dict[str, Callable[[Located], Any]] = {
    "name": _name,
    "version": lambda at: at.integer(1),
    "description": Located.text,
    "purpose": Located.text,
    "channel": Located.texts,
    "active_from": Located.instant,
    "active_until": Located.instant,
    "key": Located.texts,
    "instances": _per_event,
    "opens": _opens,
    "near": lambda _: None,  # read when all else has been
    "after": Located.duration,
    "due_at": _due_at,
    "repeat": _longer_than_nothing,
    "repeat_within": Located.duration,
    "at_most": _at_most,
    "grace": Located.duration,
    "retract_within": Located.duration,
    "priority": Located.number,
    "ignore_caps": Located.boolean,
}
