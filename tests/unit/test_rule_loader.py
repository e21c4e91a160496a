"""Rule files: what is read, and what is refused with line and column; the JSON schema says the same."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from stream_app.domain.rules import RuleError, load_rule
from stream_app.domain.rules.loader import FIELDS
from stream_app.domain.rules.times import parse_duration, parse_instant

SCHEMA: dict[str, Any] = json.loads((files("schemas") / "json" / "rule.schema.json").read_text("utf-8"))
SHIPPED = (files("schemas") / "rules" / "abandoned_cart.yaml").read_text("utf-8")
MINUTE = 60_000

FULL = """\
name: full
version: 7
description: All fields.
purpose: service
channel: sms
active_from: "2026-01-01"
active_until: 2026-12-31T12:00:00+01:00
key: [sku, shop]
opens: {event: A, if: event.price > 1 && channel == "web"}
keeps_open: {event: [A, B], if: opened.price < event.price}
closes: {event: C, if: "last.price > 1", match: sku}
after: 900ms
if: has(opened.sku) && cart.value > 1.5
at_most: {times: 2, per_key: true}
ignore_caps: true
priority: -1.5
grace: 0s
retract_within: 3d
payload: [cart.value, opened.sku, customer.first_name]
"""


def test_the_shipped_rule_is_read() -> None:
    rule = load_rule(SHIPPED, "abandoned_cart.yaml")
    assert (rule.id, rule.key, rule.after) == ("abandoned_cart@2", ("cart_id",), 30 * MINUTE)
    assert rule.closes is not None
    assert rule.closes.match == "cart_id"
    assert rule.at_most is not None
    assert (rule.at_most.times, rule.at_most.per) == (1, 3 * 1440 * MINUTE)
    assert (rule.grace, rule.retract_within) == (5 * MINUTE, 1440 * MINUTE)


def test_every_field_is_read() -> None:
    rule = load_rule(FULL)
    assert set(yaml.safe_load(FULL)) == FIELDS
    assert rule.active_from == parse_instant("2026-01-01T00:00:00Z")
    assert rule.active_until == parse_instant("2026-12-31T11:00:00Z")
    assert (rule.channel, rule.key, rule.after, rule.grace) == (("sms",), ("sku", "shop"), 900, 0)
    assert rule.at_most is not None
    assert (rule.at_most.times, rule.at_most.per, rule.at_most.per_key) == (2, None, True)
    assert (rule.priority, rule.ignore_caps) == (-1.5, True)
    assert rule.names("opened") == frozenset({"price", "sku"})
    assert rule.names("last") == frozenset({"price"})


def test_a_rule_may_be_json() -> None:
    rule = {"name": "x", "version": 1, "opens": {"event": ["A"]}, "if": "cart.value >= 1.0"}
    assert load_rule(json.dumps(rule)).opens.event == {"A"}


BROKEN = [
    ("name: x\nopens: {event: A}\nafters: 1m\n", 3, 1, "unknown field `afters`"),
    ("name: x\nopens: {event: A, once: true}\n", 2, 19, "opens: unknown field `once`"),
    ("name: x\nopens: {event: A}\nrepeat: 1d\n", 3, 1, "`repeat` is not supported by this version"),
    ("name: x\nopens: {sequence: [A, B]}\n", 2, 9, "`sequence` is not supported by this version"),
    ("name: x\nopens: {event: A, first: true}\n", 2, 19, "`first` is not supported by this version"),
    ("name: x\nopens: {event: A}\nnear: {store: s}\n", 3, 1, "`near` is not supported by this version"),
    ("name: x\n", 1, 1, "`opens` is missing"),
    ("name: x\nopens: {if: event.a > 1}\n", 2, 8, "`event` is missing"),
    ("name: x\nname: y\nopens: {event: A}\n", 2, 1, "`name` is there twice"),
    ("name: a b\nopens: {event: A}\n", 1, 7, "name: letters"),
    ("name: x\nversion: two\nopens: {event: A}\n", 2, 10, "whole number"),
    ("name: x\nversion: 0\nopens: {event: A}\n", 2, 10, "whole number"),
    ("name: x\nopens: {event: A}\nafter: 30 minutes\n", 3, 8, "a duration is"),
    ("name: x\nopens: {event: A}\nafter: 30\n", 3, 8, "a duration is"),
    ("name: x\nopens: {event: []}\n", 2, 16, "empty list"),
    ("name: x\nopens: {event: [A, A]}\n", 2, 20, "there twice"),
    ("name: x\nopens: {event: A}\nat_most: {per: 1d}\n", 3, 10, "`times` is missing"),
    ("name: x\nopens: {event: A}\nat_most: {times: 1, per: 0d}\n", 3, 26, "longer than 0"),
    ("name: x\nopens: {event: A}\nignore_caps: maybe\n", 3, 14, "true or false"),
    ("name: x\nopens: {event: A}\nif:\n", 3, 4, "if is empty"),
    ("name: x\nopens: {event: A}\nactive_from: spring\n", 3, 14, "ISO 8601"),
    ("name: x\nopens: {event: A}\npriority: high\n", 3, 11, "must be a number"),
    ("name: x\nopens: {event: A}\npayload: [event.sku]\n", 3, 11, "no `event.sku` to send"),
    ("name: x\nopens: Product Added\n", 2, 8, "must be a mapping"),
    ("- name\n", 1, 1, "must be a mapping"),
    ("", 1, 1, "empty"),
]
OF_CONDITIONS = [
    ("name: x\nopens: {event: A}\nif: event.price > 1\n", 3, 5, "no variable `event` here"),
    ("name: x\nopens: {event: A}\nif: cart.value > foo.bar\n", 3, 18, "no variable `foo` here"),
    ('name: x\nopens: {event: A}\nif: "cart.value > foo.bar"\n', 3, 19, "no variable `foo` here"),
    ("name: x\nopens: {event: A, if: opened.price > 1}\n", 2, 23, "no variable `opened` here"),
    (
        "name: x\nopens: {event: A}\nif: customer.tier == 'gold'\n",
        3,
        5,
        "`customer` in this condition is not",
    ),
    ("name: x\nopens: {event: A}\nif: cart.value >> 1\n", 3, 17, "`>` is not expected here"),
    ("name: x\nopens: {event: A}\nif: >\n  cart.value\n  > foo\n", 3, 5, "character 14: no variable `foo`"),
    (
        "name: x\nopens: {event: A}\nactive_from: 2026-02-01\nactive_until: 2026-01-01\n",
        4,
        15,
        "later than active_from",
    ),
    ("name: x\nopens: {event: [A\n", 3, 1, "not YAML"),
    ("name: x\nopens: !!python/object:os.system {event: A}\nfoo: 1\n", 3, 1, "unknown field `foo`"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), BROKEN + OF_CONDITIONS)
def test_a_broken_rule_is_refused_with_line_and_column(
    text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(RuleError) as caught:
        load_rule(text, "my.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"my.yaml:{line}:{column}: ")


def test_a_huge_file_is_refused() -> None:
    with pytest.raises(RuleError, match="a rule is a page"):
        load_rule("#" * 300_000)


@pytest.mark.parametrize("text", [SHIPPED, FULL])
def test_the_json_schema_takes_what_the_loader_takes(text: str) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(_as_json(text))


@pytest.mark.parametrize("text", [case[0] for case in BROKEN if "twice" not in case[3] or "[" in case[0]])
def test_the_json_schema_refuses_what_the_loader_refuses(text: str) -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors(_as_json(text)))


def test_the_json_schema_has_the_loaders_fields() -> None:
    assert set(SCHEMA["properties"]) == FIELDS


def _as_json(text: str) -> Any:
    """Read YAML with times left as the texts they are."""
    return yaml.load(text, _NoTimes)  # noqa: S506 - derived from SafeLoader


class _NoTimes(yaml.SafeLoader):
    """SafeLoader without the implicit timestamps."""


_NoTimes.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def test_durations_are_a_number_and_a_unit() -> None:
    texts = ["900ms", "1s", "30m", "2h", "3d", "0s"]
    assert [parse_duration(text) for text in texts] == [900, 1_000, 1_800_000, 7_200_000, 259_200_000, 0]
    for text in ("", "1", "m", "-1s", "1.5h", "1 h", "1h30m", "1w", "٣d", "9999999999d"):
        with pytest.raises(ValueError, match="a duration is"):
            parse_duration(text)
