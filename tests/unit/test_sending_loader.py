"""Sending policies: what is read, and what is refused with line and column; the JSON schema says the same."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import schemas
from stream_app.domain.policy import _POLICY_FIELDS, IdentityPolicy
from stream_app.domain.rules import RuleError
from stream_app.domain.rules.sending import Cap, QuietHours, SendingPolicy
from stream_app.domain.rules.sending_loader import FIELDS, IDENTITY_FIELDS, load_sending_policy

SCHEMA: dict[str, Any] = json.loads(
    (files("schemas") / "json" / "sending_policy.schema.json").read_text("utf-8")
)
SHIPPED = schemas.read_text("policies/sending.yaml")
HOUR = 3_600_000
DAY = 24 * HOUR

FULL = """\
quiet_hours: {from: 22:00, to: 07:30:15, days: [saturday, sunday]}
timezone: America/Sao_Paulo
caps:
  - {times: 1, per: 24h}
  - {times: 3, per: 90m, window: rolling, channel: email}
  - {times: 9, purpose: marketing, window: calendar}
consent_default: {marketing: false, "*": true}
suppressed: ["email:ana@example.org", user_id:42, "phone:+33639981234"]
addresses: {email: email, push_id: push, device: push}
"""


def test_every_field_is_read() -> None:
    policy = load_sending_policy(FULL)
    assert set(yaml.safe_load(FULL)) == FIELDS
    assert policy == SendingPolicy(
        quiet_hours=QuietHours(22 * HOUR, 7 * HOUR + 1_815_000, frozenset({5, 6})),
        timezone="America/Sao_Paulo",
        caps=(
            Cap(1, DAY, "calendar"),
            Cap(3, 5_400_000, "rolling", "email"),
            Cap(9, None, "calendar", None, "marketing"),
        ),
        consent_default={"marketing": False, "*": True},
        suppressed=frozenset({"email:ana@example.org", "user_id:42", "phone:+33639981234"}),
        addresses={"email": "email", "push_id": "push", "device": "push"},
    )


def test_what_is_not_said_is_allowed() -> None:
    assert load_sending_policy("{}") == SendingPolicy()


def test_the_shipped_policy_is_quiet_at_night_and_advertises_only_to_who_agreed() -> None:
    policy = load_sending_policy(SHIPPED, "sending.yaml")
    assert policy.quiet_hours == QuietHours(21 * HOUR, 8 * HOUR)
    assert [policy.consents(purpose, None) for purpose in ("marketing", "location", "service")] == [
        False,
        False,
        True,
    ]
    assert {cap.purpose for cap in policy.caps} == {"marketing"}


def test_the_shipped_policies_agree_on_what_identifies_customers() -> None:
    addresses = load_sending_policy(SHIPPED).addresses
    assert addresses is not None
    assert set(addresses) <= set(
        IdentityPolicy.from_yaml(schemas.read_text("policies/identity.yaml")).namespaces
    )


@pytest.mark.parametrize("text", ["22:00", '"22:00"', "22:00:00"])
def test_a_time_of_the_day_counts_as_it_is_written_quoted_or_not(text: str) -> None:
    policy = load_sending_policy(f"quiet_hours: {{from: {text}, to: 06:00}}")
    assert policy.quiet_hours == QuietHours(22 * HOUR, 6 * HOUR)


def test_the_end_of_the_day_is_24_or_0_o_clock() -> None:
    evening = load_sending_policy("quiet_hours: {from: 22:00, to: 24:00}")
    same = load_sending_policy("quiet_hours: {from: 22:00, to: 00:00}")
    assert evening.quiet_hours is not None
    assert same.quiet_hours is not None
    assert evening.quiet_hours.runs == same.quiet_hours.runs


def test_days_alone_are_quiet_hours_too() -> None:
    policy = load_sending_policy('{"quiet_hours": {"days": "sunday"}}')
    assert policy.quiet_hours == QuietHours(0, 0, frozenset({6}))


def test_fields_of_an_identity_policy_are_passed_over_where_they_are_allowed() -> None:
    text = '{"timezone": "Asia/Tokyo", "namespaces": [{"name": "email"}], "blocked": 7}'
    assert load_sending_policy(text, beside=IDENTITY_FIELDS).timezone == "Asia/Tokyo"
    assert IDENTITY_FIELDS == _POLICY_FIELDS
    with pytest.raises(RuleError, match="policy:1:28: policy: unknown field `namespaces`"):
        load_sending_policy(text)
    with pytest.raises(RuleError, match="unknown field `caps_`"):
        load_sending_policy('{"caps_": []}', beside=IDENTITY_FIELDS)


BROKEN = [
    ("timezone: UTC\nquiet: {}\n", 2, 1, "unknown field `quiet`"),
    ("quiet_hours: {from: 21:00, till: 08:00}\n", 1, 28, "quiet_hours: unknown field `till`"),
    ("quiet_hours: {from: 21:00}\n", 1, 14, "belong together"),
    ("quiet_hours: {to: 08:00, days: sunday}\n", 1, 14, "belong together"),
    ("quiet_hours: {}\n", 1, 14, "quiet_hours is empty"),
    ("quiet_hours: [21:00, 08:00]\n", 1, 14, "must be a mapping"),
    ("quiet_hours: {from: 9pm, to: 08:00}\n", 1, 21, "from must be a time of the day"),
    ("quiet_hours: {from: 21:00, to: 8:00}\n", 1, 32, "to must be a time of the day"),
    ("quiet_hours: {from: 24:00, to: 08:00}\n", 1, 21, "from must be a time of the day"),
    ("quiet_hours: {from: 21:60, to: 08:00}\n", 1, 21, "from must be a time of the day"),
    ("quiet_hours: {from: 21:00, to: 24:01}\n", 1, 32, "to must be a time of the day"),
    ("quiet_hours: {from: 1260, to: 08:00}\n", 1, 21, "from must be a time of the day"),
    ("quiet_hours: {days: [sunday, Monday]}\n", 1, 30, "`Monday` is no day"),
    ("quiet_hours: {days: [sunday, sunday]}\n", 1, 30, "there twice"),
    (
        "quiet_hours: {days: [monday, tuesday, wednesday, thursday, friday, saturday, sunday]}\n",
        1,
        14,
        "nothing could ever be sent",
    ),
    ("timezone:\n", 1, 10, "timezone is empty"),
    ("caps: [{per: 1d}]\n", 1, 8, "`times` is missing"),
    ("caps: [{times: 0}]\n", 1, 16, "whole number, 1 or more"),
    ("caps: [{times: 1, per: 0h, window: rolling}]\n", 1, 24, "longer than 0"),
    ("caps: [{times: 1, per: a day}]\n", 1, 24, "a duration is"),
    ("caps: [{times: 1, window: sliding}]\n", 1, 27, "calendar or rolling"),
    ("caps: [{times: 1, channel: [email, sms]}]\n", 1, 28, "channel must be a text"),
    ("caps: [{times: 1, rule: abandoned_cart}]\n", 1, 19, "unknown field `rule`"),
    ("caps: [3]\n", 1, 8, "must be a mapping"),
    ("consent_default: maybe\n", 1, 18, "true or false"),
    ("consent_default: [marketing]\n", 1, 18, "true, false, or a mapping"),
    ("consent_default: {}\n", 1, 18, "a mapping by purposes, with one at least"),
    ("consent_default: {marketing: sometimes}\n", 1, 30, "consent_default: marketing must be true or false"),
    ("suppressed: [nobody]\n", 1, 14, "an identifier is namespace:value"),
    ("suppressed: {email: ana}\n", 1, 13, "suppressed must be a text"),
    ("suppressed: [user_id:1, user_id:1]\n", 1, 25, "suppressed: this is there twice"),
    ("addresses: {}\n", 1, 12, "a mapping by namespaces, with one at least"),
    ("addresses: email\n", 1, 12, "a mapping by namespaces"),
    ("addresses: {email: [email, push]}\n", 1, 20, "addresses: email must be a text"),
    ("- caps\n", 1, 1, "must be a mapping"),
]
BEYOND_THE_SCHEMA = [
    ("quiet_hours: {from: 08:00, to: 08:00:00}\n", 1, 32, "the same as from"),
    ("quiet_hours: {from: 00:00, to: 24:00}\n", 1, 14, "nothing could ever be sent"),
    ("timezone: Mars/Olympus\n", 1, 11, "there is no zone `Mars/Olympus`"),
    ("caps: [{times: 1, per: 36h}]\n", 1, 24, "whole days"),
    ("caps: [{times: 1, per: 1h, window: calendar}]\n", 1, 24, "whole days"),
    ("caps: [{times: 1, per: 36501d}]\n", 1, 24, "36500d at most"),
    ("consent_default: {a: true, a: false}\n", 1, 28, "`a` is there twice"),
    ("addresses: {email: a, email: b}\n", 1, 23, "`email` is there twice"),
    ("timezone: UTC\ntimezone: UTC\n", 2, 1, "`timezone` is there twice"),
    ("consent_default: {*: true}\n", 1, 20, "not YAML"),
    ("", 1, 1, "empty; write {}"),
    ("# nothing\n\n  # at all\n", 1, 1, "empty; write {}"),
    ("#" * 300_000, 1, 1, "shorten `suppressed`"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), BROKEN + BEYOND_THE_SCHEMA)
def test_a_broken_policy_is_refused_with_line_and_column(
    text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(RuleError) as caught:
        load_sending_policy(text, "my.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"my.yaml:{line}:{column}: ")


@pytest.mark.parametrize(
    "text",
    [
        "suppressed: ['email:ana@example.org', 'email:ana@example.org']",
        "suppressed: ['ana@example.org']",
        "suppressed: {ana@example.org: true}",
    ],
)
def test_an_error_names_nobody_who_is_suppressed(text: str) -> None:
    with pytest.raises(RuleError) as caught:
        load_sending_policy(text)
    assert "ana@example.org" not in str(caught.value)


@pytest.mark.parametrize("text", [SHIPPED, FULL, "{}", "quiet_hours: {from: 22:00, to: 24:00}"])
def test_the_json_schema_takes_what_the_loader_takes(text: str) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    load_sending_policy(text)
    Draft202012Validator(SCHEMA).validate(_as_json(text))


@pytest.mark.parametrize("text", [case[0] for case in BROKEN])
def test_the_json_schema_refuses_what_the_loader_refuses(text: str) -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors(_as_json(text)))


def test_the_json_schema_has_the_loaders_fields() -> None:
    assert set(SCHEMA["properties"]) == FIELDS


def _as_json(text: str) -> Any:
    """Read YAML as version 1.2 does, and with it editors: 22:00 is a text."""
    return yaml.load(text, _NoSexagesimals)  # noqa: S506 - derived from SafeLoader


class _NoSexagesimals(yaml.SafeLoader):
    """SafeLoader without times of the day that are numbers."""


_NoSexagesimals.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in found
        if tag not in {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_NoSexagesimals.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+$"), [*"-+0123456789"])
