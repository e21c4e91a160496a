"""Files that operators write: rules, conditions, sending policies, identity policies, segments.

Promises: what was asked for, or the one error that names the place; never another, never an endless read. What was
read can be used: conditions answer on whatever a producer sends.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from stream_app.domain.identifiers import Identifier
from stream_app.domain.policy import IdentityPolicy, PolicyError
from stream_app.domain.rules import RuleBook, RuleError, load_rule
from stream_app.domain.rules.conditions import Condition
from stream_app.domain.rules.sending_loader import load_sending_policy
from stream_app.domain.rules.syntax import CelSyntaxError
from stream_app.domain.segments import SegmentBook, load_segment
from tests.fuzzing.target import Target, joined, parts

if TYPE_CHECKING:
    from collections.abc import Iterator

SENT: dict[str, Any] = {
    "text": "a",
    "whole": 3,
    "huge": 10**30,
    "least": -(2**63),
    "price": 1.5,
    "infinite": math.inf,
    "nan": math.nan,
    "yes": True,
    "none": None,
    "list": [1, "a", None, 1.5, {"a": 1}],
    "products": [{"sku": "a", "price": 2.5}, {"sku": None}, {}],
    "object": {"a": {"b": [1]}},
    "time": "2026-03-01T10:00:00Z",
    "odd": "\ud800",
}
"""What a producer may send, and worse."""
VARIABLES = ("event", "opened", "last", "first", "customer", "cart")
VALUES: dict[str, Any] = dict.fromkeys(VARIABLES, SENT) | {"event_type": "A", "channel": "web", "time": 5}
LONGEST_COMPLAINT = 10_000
"""Characters of what is said of a file, or of a condition of 2,000."""


def text_of(data: bytes) -> str:
    """Return an input as text, with whatever is no UTF-8 as surrogates."""
    return data.decode("utf-8", "surrogateescape")


def complaint(error: Exception) -> None:
    """Hold what is said of a file to a length that a log can take."""
    assert len(str(error)) < LONGEST_COMPLAINT


def condition(data: bytes) -> None:
    """Compile a condition and ask it."""
    try:
        compiled = Condition(text_of(data), VALUES)
    except CelSyntaxError as error:
        complaint(error)
        return
    for values in (VALUES, {}, {name: {} for name in VARIABLES}):
        seen: dict[str, Any] = {}
        assert isinstance(compiled.holds(values, seen), bool)
        assert compiled.holds(values) == compiled.holds(values, seen)


def rule(data: bytes) -> None:
    """Read a rule, and ask its conditions."""
    try:
        read = load_rule(text_of(data), "rule.yaml")
    except RuleError as error:
        complaint(error)
        return
    RuleBook([read])
    patterns = [*read.opens.patterns, read.keeps_open, read.closes, read.then]
    for asked in [read.condition, read.opens.profile, *(one.condition for one in patterns if one)]:
        if asked is not None:
            asked.holds(VALUES)


def sending(data: bytes) -> None:
    """Read a sending policy."""
    try:
        load_sending_policy(text_of(data), "policy.yaml")
    except RuleError as error:
        complaint(error)


def policy(data: bytes) -> None:
    """Read an identity policy, and an identifier under it."""
    text, value = parts(data, 2)
    try:
        read = IdentityPolicy.from_yaml(text_of(text))
    except PolicyError as error:
        complaint(error)
        return
    found = Identifier(read, b"key")
    for name in read.namespaces:
        # A policy's own patterns are trusted: only short values, on which even a bad one ends.
        found.one(f"{name}:{text_of(value)[:12]}")


def segment(data: bytes) -> None:
    """Read a segment, and ask who is in it."""
    try:
        read = load_segment(text_of(data), "segment.yaml")
    except RuleError as error:
        complaint(error)
        return
    SegmentBook([read]).inside(VALUES)


def shipped(folder: str) -> Iterator[bytes]:
    """Yield the files that ship."""
    for entry in sorted(files("schemas").joinpath(folder).iterdir(), key=lambda one: one.name):
        if entry.name.endswith(".yaml"):
            yield entry.read_bytes()


CONDITIONS = (
    b'event.price > 1 && channel == "web"',
    b"event.products.exists(p, p.sku == first.sku)",
    b"has(opened.text) ? cart.whole >= 2 : !(event.list.size() != 3)",
    b'event.text in ["a", "b"] || timestamp(event.time).getHours("Europe/Paris") < 9',
    b"event.list.filter(x, x > 1).map(y, y * 2)[0] == 4",
    b"event.whole + event.price - min(1, 2) % 2 > -1.0e3",
)

SENDING = (
    b"quiet_hours: {from: 21:00, to: 08:00, days: [sunday]}\ntimezone: Europe/Paris\n"
    b"caps: [{times: 1, per: 1d, window: rolling, channel: sms, purpose: a}]\n"
    b"consent_default: {marketing: false}\nsuppressed: [user_id:1]\naddresses: {email: email}\n"
)

TARGETS = (
    Target("condition", condition, lambda: CONDITIONS, 2_048),
    Target("rule", rule, lambda: shipped("rules")),
    Target(
        "sending",
        sending,
        lambda: [
            *(one for one in shipped("policies") if b"namespaces" not in one),
            SENDING,
        ],
    ),
    Target(
        "policy",
        policy,
        lambda: [joined(one, b"a@example.org") for one in shipped("policies") if b"namespaces" in one],
        8_192,
    ),
    Target(
        "segment",
        segment,
        lambda: [*shipped("segments"), b"name: vip\nversion: 1\nif: customer.days_since_last_order > 30\n"],
    ),
)
