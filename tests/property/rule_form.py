"""Says whether a rule of a case is one by the table in the design's RULES: fields, durations, conditions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stream_app.domain.rules.conditions import Condition
from stream_app.domain.rules.syntax import CelSyntaxError
from tests.property.rules_oracle_texts import Raw, instant, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

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
"""Every field of the table."""
ALONE = frozenset({"event", "event_type", "channel", "time", "customer", "cart"})
"""What a pattern sees that has no open instance yet."""
WITH_INSTANCE = ALONE | {"opened", "first", "last"}
CHANGE = frozenset({"old", "new", "before"})
"""What is seen where a change of reference data opens."""
AT_DUE = frozenset({"opened", "first", "last", "cart", "customer", "weather", "season"})
DUE_AT = (
    {"property"},
    {"property", "offset"},
    {"days", "local_time"},
    {"weekday", "local_time"},
    {"local_time"},
    {"yearly", "local_time"},
)


def faults(rule: Raw) -> list[str]:
    """Return what is wrong with a rule."""
    return list(_faults(rule))


def _faults(rule: Raw) -> Iterator[str]:
    yield from _known(rule, FIELDS, "rule")
    if not rule.get("name") or ("opens" in rule) is ("near" in rule):
        yield "rule: name, and opens or near, are needed"
        return
    yield from _opens(rule["opens"]) if "opens" in rule else _near(rule["near"])
    change = {"store", "stock"} if "near" in rule else CHANGE if "reference" in rule["opens"] else set()
    for place in ("keeps_open", "closes", "then"):
        if place in rule:
            extra = {"match"} if place == "closes" else set()
            yield from _pattern(rule[place], place, WITH_INSTANCE | change, extra)
    now = {"now"} if change == CHANGE else set()
    yield from _at_due(rule, AT_DUE | change | now | {"store"})
    for place in ("after", "repeat", "repeat_within", "grace", "retract_within"):
        yield from _duration(rule.get(place), place)
    for place in ("active_from", "active_until"):
        if place in rule:
            instant(rule[place])
    yield from _due_at(rule)
    if ("repeat" in rule) != ("repeat_within" in rule):
        yield "repeat: it comes with repeat_within"
    if rule.get("instances", "per_key") not in ("per_key", "per_event"):
        yield "instances: per_key or per_event"
    if "at_most" in rule:
        yield from _known(rule["at_most"], {"times", "per", "per_key"}, "at_most")
        yield from _duration(rule["at_most"].get("per"), "at_most.per")


def _at_due(rule: Raw, variables: Collection[str]) -> Iterator[str]:
    yield from _condition(rule.get("if"), "if", variables)
    if "near" not in rule and re.search(r"\bstore\b(?!\.nearest(_in_stock)?\b)", str(rule.get("if", ""))):
        yield "if: without near, of store the nearest ones alone"


def _opens(opens: Raw) -> Iterator[str]:
    kinds = {"event", "sequence", "profile", "reference"} & opens.keys()
    if len(kinds) != 1:
        yield "opens: one of event, sequence, profile, reference"
    elif kinds == {"reference"}:
        yield from _known(opens, {"reference", "event_before", "match", "if", "quiet_before"}, "opens")
        before = opens["event_before"]
        yield from _pattern(
            before if isinstance(before, dict) else {"event": before}, "event_before", ALONE, set()
        )
        yield from _condition(opens.get("if"), "opens.if", CHANGE | {"cart", "customer", "time"})
        yield from _quiet_before(opens)
    elif kinds == {"event"}:
        yield from _pattern(opens, "opens", ALONE, {"quiet_before", "first"})
        yield from _quiet_before(opens)
    elif kinds == {"profile"}:
        yield from _known(opens, {"profile"}, "opens")
        yield from _condition(opens["profile"], "opens.profile", {"customer"})
    else:
        yield from _known(opens, {"sequence", "within", "every"}, "opens")
        yield from _duration(opens.get("within"), "opens.within")
        for step in opens["sequence"]:
            yield from _pattern(step, "opens.sequence", ALONE, set())


def _near(near: Raw) -> Iterator[str]:
    yield from _known(near, {"store", "radius_m", "on", "for", "accuracy_m"}, "near")
    if near.get("on", "enter") not in {"enter", "exit", "stay"} or "radius_m" not in near:
        yield "near: radius_m, and enter, exit or stay"
    if ("for" in near) is not (near.get("on") == "stay"):
        yield "near: for goes with stay"
    yield from _duration(near.get("for"), "near.for")


def _quiet_before(opens: Raw) -> Iterator[str]:
    if "quiet_before" in opens:
        yield from _pattern(opens["quiet_before"], "quiet_before", ALONE, {"for", "and_before"})
        yield from _duration(opens["quiet_before"].get("for", ""), "quiet_before.for")


def _due_at(rule: Raw) -> Iterator[str]:
    due_at = rule.get("due_at")
    if due_at is None:
        return
    if "after" in rule:
        yield "due_at: instead of after"
    if set(due_at) not in DUE_AT:
        yield f"due_at: no such combination: {', '.join(due_at)}"
    if "offset" in due_at:
        yield from _duration(due_at["offset"].removeprefix("-"), "due_at.offset")


def _pattern(pattern: Raw, place: str, variables: Collection[str], extra: Collection[str]) -> Iterator[str]:
    yield from _known(pattern, {"event", "if", *extra}, place)
    if not listed(pattern.get("event")):
        yield f"{place}: event is needed"
    yield from _condition(pattern.get("if"), f"{place}.if", variables)


def _condition(source: Any, place: str, variables: Collection[str]) -> Iterator[str]:
    try:
        if source is not None:
            Condition(source, variables)
    except CelSyntaxError as fault:
        yield f"{place}: {fault}"


def _duration(text: str | None, place: str) -> Iterator[str]:
    if text is not None and not re.fullmatch(r"[0-9]{1,9}(ms|s|m|h|d)", text):
        yield f"{place}: no duration: {text}"


def _known(raw: Raw, fields: Collection[str], place: str) -> Iterator[str]:
    yield from (f"{place}: no field {name}" for name in raw if name not in fields)
