"""Read a sending policy: YAML (or JSON) into a SendingPolicy, or an error with line and column.

schemas/json/sending_policy.schema.json says the same for editors, and a test holds the two together. Errors name
fields and places, and no value of `suppressed`: these are people's addresses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, cast

import yaml

from stream_app.domain.local_time import known_zone
from stream_app.domain.rules.located import MAX_CHARACTERS, Located, compose
from stream_app.domain.rules.model import DAY, RuleError
from stream_app.domain.rules.sending import Cap, QuietHours, SendingPolicy, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

FIELDS = frozenset({"quiet_hours", "timezone", "caps", "consent_default", "suppressed", "addresses"})
IDENTITY_FIELDS = frozenset(
    {"namespaces", "blocked", "default_region", "shared_after", "max_devices", "anonymous_events"}
    | {"component_cap"},
)
"""The fields of an identity policy, which may stand in the same document in a case."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LONGEST_CALENDAR = 36_500 * DAY
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_MIDNIGHT = re.compile(r"24:00(:00)?")
_IDENTIFIER = re.compile(r"[^:\s]+:.*\S", re.DOTALL)


def load_sending_policy(
    text: str, source: str = "policy", beside: Collection[str] = frozenset()
) -> SendingPolicy:
    """Read one policy. `source` names it in errors; fields in `beside` may be there too, and are not read.

    Raises:
        RuleError: With line, column and what to do.
    """
    if len(text) > MAX_CHARACTERS:
        raise RuleError(source, 1, 1, f"longer than {MAX_CHARACTERS} characters; shorten `suppressed`")
    if all(line.lstrip().startswith("#") for line in text.splitlines() if line.strip()):
        raise RuleError(source, 1, 1, "empty; write {} for a policy that allows everything")
    fields = compose(text, source, "policy").mapping(FIELDS | frozenset(beside))
    return SendingPolicy(**{name: _READ[name](at) for name, at in fields.items() if name in FIELDS})


def _quiet_hours(at: Located) -> QuietHours:
    fields = at.mapping(frozenset({"from", "to", "days"}))
    if not fields:
        at.fail("quiet_hours is empty; give it `from` and `to`, or `days`, or take it out")
    if ("from" in fields) != ("to" in fields):
        at.fail("quiet_hours: `from` and `to` belong together; give both, or only `days`")
    start = end = 0
    if "from" in fields:
        start, end = _time_of_day(fields["from"]), _time_of_day(fields["to"])
        if start == end:
            fields["to"].fail(
                "to is the same as from: none of the day or all of it? take both out, or name `days`"
            )
    days = frozenset(_weekday(day) for day in _different(fields["days"])) if "days" in fields else frozenset()
    try:
        return QuietHours(start, end, days)
    except ValueError as fault:
        at.fail(f"quiet_hours: {fault}; leave some time out")


def _time_of_day(at: Located) -> int:
    """Read HH:MM or HH:MM:SS as it is written: to YAML 1.1, 22:00 is the number 1320."""
    value = at.text()
    if at.field == "to" and _MIDNIGHT.fullmatch(value):
        return DAY
    match = _TIME_OF_DAY.fullmatch(value)
    if match is None:
        at.fail(f"{at.field} must be a time of the day, like 21:00 or 08:30:00, 00:00 to 23:59:59")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000


def _weekday(at: Located) -> int:
    value = at.text()
    if value not in WEEKDAYS:
        at.fail(f"days: `{value}` is no day; the days are {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(value)


def _timezone(at: Located) -> str:
    value = at.text()
    if not known_zone(value):
        at.fail(f"timezone: there is no zone `{value}`; it is an IANA name, like Europe/Paris or UTC")
    return value


def _caps(at: Located) -> tuple[Cap, ...]:
    return tuple(_cap(item) for item in at.items())


def _cap(at: Located) -> Cap:
    fields = at.mapping(frozenset({"times", "per", "window", "channel", "purpose"}))
    if "times" not in fields:
        at.fail("caps: `times` is missing; say how many")
    window: Window = "calendar"
    if "window" in fields:
        value = fields["window"].text()
        if value not in {"calendar", "rolling"}:
            fields["window"].fail("window must be calendar or rolling")
        window = cast("Window", value)
    return Cap(
        times=fields["times"].integer(1),
        per=_per(fields["per"], window) if "per" in fields else None,
        window=window,
        channel=fields["channel"].text() if "channel" in fields else None,
        purpose=fields["purpose"].text() if "purpose" in fields else None,
    )


def _per(at: Located, window: Window) -> int:
    value = at.duration()
    if value == 0:
        at.fail("per must be longer than 0; leave it out for `ever`")
    if window == "calendar" and value % DAY:
        at.fail("per must be whole days, like 1d or 48h, in a calendar window; or say `window: rolling`")
    if window == "calendar" and value > LONGEST_CALENDAR:
        at.fail("per must be 36500d at most in a calendar window; leave it out for `ever`")
    return value


def _consent_default(at: Located) -> bool | dict[str, bool]:
    if isinstance(at.node, yaml.SequenceNode):
        at.fail("consent_default must be true, false, or a mapping from purposes to one of these")
    if isinstance(at.node, yaml.ScalarNode):
        return at.boolean()
    return {purpose: answer.boolean() for purpose, answer in _entries(at, "purposes").items()}


def _suppressed(at: Located) -> frozenset[str]:
    found = set()
    for item in _different(at):
        value = item.text()
        if not _IDENTIFIER.fullmatch(value):
            item.fail("suppressed: an identifier is namespace:value, like user_id:4711")
        found.add(value)
    return frozenset(found)


def _addresses(at: Located) -> dict[str, str]:
    return {namespace: channel.text() for namespace, channel in _entries(at, "namespaces").items()}


def _different(at: Located) -> list[Located]:
    """Return a list's items, of which no two are the same; unlike `texts`, errors don't say what they are."""
    known = set()
    for item in (items := at.items()):
        if (value := item.text()) in known:
            item.fail(f"{at.field}: this is there twice; keep one")
        known.add(value)
    return items


def _entries(at: Located, of: Literal["purposes", "namespaces"]) -> dict[str, Located]:
    """Read a mapping whose names are free."""
    if not isinstance(at.node, yaml.MappingNode) or not at.node.value:
        at.fail(f"{at.field} must be a mapping by {of}, with one at least")
    fields: dict[str, Located] = {}
    for key, value in at.node.value:
        name = Located(key, at.source, at.field).text()
        if name in fields:
            Located(key, at.source, at.field).fail(f"{at.field}: `{name}` is there twice; keep one")
        fields[name] = Located(value, at.source, f"{at.field}: {name}")
    return fields


_READ: dict[str, Callable[[Located], Any]] = {
    "quiet_hours": _quiet_hours,
    "timezone": _timezone,
    "caps": _caps,
    "consent_default": _consent_default,
    "suppressed": _suppressed,
    "addresses": _addresses,
}
