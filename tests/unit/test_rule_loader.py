"""Rule files: what is read, and what is refused with line and column; the JSON schema says the same."""

from __future__ import annotations

import json
from datetime import time
from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from stream_app.domain.rules import DueAt, RuleError, load_rule
from stream_app.domain.rules.loader import FIELDS
from stream_app.domain.rules.model import Near
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
instances: per_event
opens:
  event: A
  if: event.price > 1 && channel == "web"
  quiet_before: {event: [A, B], if: "event.price > 2", for: 30d, and_before: true}
  first: true
keeps_open: {event: [A, B], if: opened.price < event.price}
closes: {event: C, if: "last.price > 1", match: sku}
after: 900ms
repeat: 1d
repeat_within: 7d
if: has(opened.sku) && cart.value > 1.5 && customer.tier == "gold"
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


OTHERS = """\
name: others
opens: {sequence: [A, {event: [B, C], if: event.sku == first.sku}], within: 2h, every: true}
closes: {event: D, if: first.sku == event.sku}
due_at: {weekday: friday, local_time: "18:30"}
then: {event: E, if: opened.sku == event.sku}
payload: first.sku
"""


PLACE = "name: place\nnear: {store: s1, radius_m: 150.5, on: stay, for: 10m, accuracy_m: 50}\n"


def test_every_field_is_read() -> None:
    rule = load_rule(FULL)
    read = set(yaml.safe_load(FULL)) | set(yaml.safe_load(OTHERS)) | set(yaml.safe_load(PLACE))
    assert read == FIELDS
    place = load_rule(PLACE)
    assert (place.near, place.after) == (Near(150.5, "stay", "s1", 50.0), 10 * MINUTE)
    quiet = rule.opens.quiet
    assert quiet is not None
    assert (quiet.pattern.event, quiet.span, quiet.before) == ({"A", "B"}, 30 * 1440 * MINUTE, True)
    assert (rule.opens.first, rule.per_event) == (True, True)
    assert (rule.repeat, rule.repeat_within) == (1440 * MINUTE, 7 * 1440 * MINUTE)
    assert rule.active_from == parse_instant("2026-01-01T00:00:00Z")
    assert rule.active_until == parse_instant("2026-12-31T11:00:00Z")
    assert (rule.channel, rule.key, rule.after, rule.grace) == (("sms",), ("sku", "shop"), 900, 0)
    assert rule.at_most is not None
    assert (rule.at_most.times, rule.at_most.per, rule.at_most.per_key) == (2, None, True)
    assert (rule.priority, rule.ignore_caps) == (-1.5, True)
    assert rule.names("opened") == frozenset({"price", "sku"})
    assert rule.names("last") == frozenset({"price"})


def test_a_sequence_is_read() -> None:
    rule = load_rule(OTHERS)
    assert [pattern.event for pattern in rule.opens.patterns] == [{"A"}, {"B", "C"}]
    assert (rule.opens.within, rule.opens.every) == (120 * MINUTE, True)
    assert rule.due_at == DueAt(weekday=4, local_time=time(18, 30))
    assert rule.then is not None
    assert rule.names("first") == {"sku"}


def test_due_times_and_profile_conditions_are_read() -> None:
    def due_at(text: str) -> DueAt | None:
        return load_rule(f"{{name: x, opens: {{event: A}}, due_at: {text}}}").due_at

    assert due_at("{property: ready_at, offset: -2h}") == DueAt(named="ready_at", offset=-120 * MINUTE)
    assert due_at('{days: 3, local_time: "09:00:30"}') == DueAt(days=3, local_time=time(9, 0, 30))
    assert due_at("{yearly: customer.birthday, local_time: 09:00}") == DueAt(
        yearly="birthday", local_time=time(9)
    )
    assert due_at("{local_time: 21:00}") == DueAt(local_time=time(21)), "to YAML 1.1, a number"
    profile = load_rule("{name: x, opens: {profile: customer.orders >= 3}}").opens.profile
    assert profile is not None
    assert profile.source == "customer.orders >= 3"


def test_a_rule_may_be_json() -> None:
    rule = {"name": "x", "version": 1, "opens": {"event": ["A"]}, "if": "cart.value >= 1.0"}
    assert load_rule(json.dumps(rule)).opens.event == {"A"}


BROKEN = [
    ("name: x\nopens: {event: A}\nafters: 1m\n", 3, 1, "unknown field `afters`"),
    ("name: x\nopens: {event: A, once: true}\n", 2, 19, "opens: unknown field `once`"),
    ("name: x\nopens: {sequence: [A]}\n", 2, 19, "a list of 2 to 16 patterns"),
    ("name: x\nopens: {sequence: [A, {if: event.a > 1}]}\n", 2, 23, "`event` is missing"),
    ("name: x\nopens: {event: A, within: 1h}\n", 2, 27, "`within` goes with `sequence`"),
    ("name: x\nopens: {event: A, profile: customer.a > 1}\n", 2, 8, "name one of"),
    ("name: x\nopens: {reference: product.price}\n", 2, 8, "`event_before` is missing"),
    ("name: x\nopens: {reference: product.price, event_before: A}\n", 2, 8, "`match` is missing"),
    ("name: x\nopens: {reference: price, event_before: A, match: sku}\n", 2, 20, "like product.price"),
    ("name: x\nopens: {reference: prduct.price, event_before: A, match: sku}\n", 2, 20, "there are campaign"),
    ("name: x\nopens: {event: A, match: sku}\n", 2, 26, "`match` goes with `reference`"),
    (
        "name: x\nopens: {reference: product.price, event_before: A, match: sku, first: true}\n",
        2,
        71,
        "`first` goes with `event` or `sequence`",
    ),
    ("name: x\nopens: {event: A, quiet_before: {event: A}}\n", 2, 33, "`for` is missing"),
    ("name: x\nopens: {event: A}\nafter: 1h\ndue_at: {property: t}\n", 4, 9, "not together with `after`"),
    ("name: x\nopens: {event: A}\ndue_at: {days: 1}\n", 3, 9, "`local_time` is missing"),
    (
        "name: x\nopens: {event: A}\ndue_at: {days: 1, weekday: monday, local_time: 09:00}\n",
        3,
        28,
        "not together",
    ),
    (
        "name: x\nopens: {event: A}\ndue_at: {weekday: someday, local_time: 09:00}\n",
        3,
        19,
        "`someday` is none",
    ),
    ("name: x\nopens: {event: A}\ndue_at: {local_time: 25:00}\n", 3, 22, "a time of the day is like"),
    ("name: x\nopens: {event: A}\ndue_at: {property: t, offset: soon}\n", 3, 31, "a duration is"),
    ("name: x\nopens: {event: A}\nthen: {event: B}\nrepeat: 1d\n", 3, 7, "not together with `repeat`"),
    ("name: x\nopens: {event: A}\nrepeat_within: 1d\n", 3, 16, "there is no `repeat`"),
    ("name: x\nopens: {event: A}\nrepeat: 0s\n", 3, 9, "longer than 0"),
    ("name: x\nopens: {event: A}\ninstances: many\n", 3, 12, "per_key or per_event"),
    ("name: x\nopens: {event: A}\nnear: {radius_m: 5}\n", 1, 1, "`near` instead of it, and not both"),
    ("name: x\nnear: {store: s}\n", 2, 7, "`radius_m` is missing"),
    ("name: x\nnear: {radius_m: 0}\n", 2, 18, "more than 0 and at most 200000 metres"),
    ("name: x\nnear: {radius_m: 300000}\n", 2, 18, "more than 0 and at most 200000 metres"),
    ("name: x\nnear: {radius_m: 5, on: pass}\n", 2, 25, "enter, exit or stay"),
    ("name: x\nnear: {radius_m: 5, on: stay}\n", 2, 7, "`for` says how long a stay is"),
    ("name: x\nnear: {radius_m: 5, for: 1m}\n", 2, 7, "`for` says how long a stay is"),
    ("name: x\n", 1, 1, "`opens` is missing"),
    (
        "name: x\nopens: {if: event.a > 1}\n",
        2,
        8,
        "name one of `event`, `sequence`, `profile` or `reference`",
    ),
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
BOMB = "[&a0 [lol], " + ", ".join(f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)) + "]"
"""Four kilobytes; written out, more than any memory holds."""
HOSTILE = [
    (f"name: x\nopens: {{event: A}}\n? {BOMB}\n: 1\n", 3, 3, "the name of a field is a text"),
    (f"name: x\nopens:\n  ? {BOMB}\n  : 1\n", 3, 5, "the name of a field is a text"),
    ('name: x\nopens: {event: "\\ud800"}\n', 2, 16, "half of a surrogate pair"),
    ('name: x\nopens: {event: A}\nif: cart.name == "\\udfff"\n', 3, 5, "invalid string literal"),
    (f"name: x\nopens: {{event: A}}\nafter: {'1' * 5000}\n", 3, 8, "a duration is"),
    ("? &a [*a]\n: 1\n", 1, 3, "the name of a field is a text"),
    (f"name: x\nopens: {{event: A}}\nkey: {BOMB}\n", 3, 7, "key must be a text"),
    ("name: x\nopens: &a [*a]\n", 2, 8, "opens must be a mapping"),
]
OF_CONDITIONS = [
    ("name: x\nopens: {event: A}\nif: event.price > 1\n", 3, 5, "no variable `event` here"),
    ("name: x\nopens: {event: A}\nif: cart.value > foo.bar\n", 3, 18, "no variable `foo` here"),
    ('name: x\nopens: {event: A}\nif: "cart.value > foo.bar"\n', 3, 19, "no variable `foo` here"),
    ("name: x\nopens: {event: A, if: opened.price > 1}\n", 2, 23, "no variable `opened` here"),
    ("name: x\nopens: {event: A, if: weather.x > 1}\n", 2, 23, "`weather` is known at the due time"),
    (
        "name: x\nopens: {event: A}\ncloses: {event: B, if: season == 'a'}\n",
        3,
        24,
        "`season` is known at the due",
    ),
    (
        "name: x\nopens: {profile: season == 'winter'}\n",
        2,
        18,
        "`season` is known at the due time; ask for it",
    ),
    ("name: x\nopens: {event: A}\nif: size(stock) > 0\n", 3, 10, "no variable `stock` here"),
    (
        "name: x\nopens: {reference: product.price, event_before: A, match: sku, if: event.a > 1}\n",
        2,
        68,
        "no variable `event` here",
    ),
    ("name: x\nnear: {radius_m: 5}\nif: stock['A'] >= 3\n", 3, 5, "how many a store has isn't known"),
    ("name: x\nnear: {radius_m: 5}\nif: has(store.id) && 2 < stock.A\n", 3, 26, "compare with 0"),
    (
        "name: x\nopens: {event: A}\nif: now.price > 1\n",
        3,
        5,
        "no variable `now` here",
    ),
    (
        "name: x\nopens: {reference: product.price, event_before: A, match: sku, if: now.price > 1}\n",
        2,
        68,
        "`now` is known at the due time",
    ),
    (
        "name: x\nopens: {reference: order.state, event_before: A, match: id}\ncloses: {event: B, if: now.a > 1}\n",
        3,
        24,
        "`now` is known at the due time",
    ),
    ("name: x\nopens: {event: A}\nif: store.open\n", 3, 5, "no variable `store` here"),
    (
        "name: x\nopens: {event: A}\nif: has(store.nearest) && size(store) > 0\n",
        3,
        5,
        "but `store.nearest` and",
    ),
    (
        "name: x\nopens: {event: A}\nkeeps_open: {event: B, if: has(store.nearest)}\n",
        3,
        32,
        "no variable `store` here",
    ),
    ("name: x\nopens: {event: A}\nif: new.price > 1\n", 3, 5, "no variable `new` here"),
    ("name: x\nopens: {event: A}\nif: first.sku == 'A'\n", 3, 5, "no variable `first` here"),
    ("name: x\nopens: {event: A}\npayload: first.sku\n", 3, 10, "no `first.sku` to send"),
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


@pytest.mark.parametrize(("text", "line", "column", "message"), BROKEN + HOSTILE + OF_CONDITIONS)
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


@pytest.mark.parametrize("text", [SHIPPED, FULL, OTHERS])
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
