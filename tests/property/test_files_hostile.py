"""Files of rules, policies and segments with something hostile in the place of any of their parts.

What is read is what was asked for, or an error of the one kind that names the place; neither takes long, however much
an alias stands for. (Time is no assertion here: what never ends is ended by the suite's own limit.)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing.files import CONDITIONS, SENDING, condition, policy, rule, segment, sending, shipped
from tests.fuzzing.target import joined
from tests.property.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable

RULE = {
    "name": "full",
    "version": 7,
    "purpose": "service",
    "channel": ["sms", "email"],
    "active_from": "2026-01-01",
    "active_until": "2026-12-31T12:00:00+01:00",
    "key": ["sku"],
    "instances": "per_event",
    "opens": {
        "sequence": ["A", {"event": ["B", "C"], "if": "event.sku == first.sku"}],
        "within": "2h",
        "every": True,
        "quiet_before": {"event": "A", "if": "event.price > 2", "for": "30d", "and_before": True},
    },
    "keeps_open": {"event": "A", "if": "opened.price < event.price"},
    "closes": {"event": "C", "match": "sku"},
    "due_at": {"days": 3, "local_time": "09:00"},
    "repeat": "1d",
    "repeat_within": "7d",
    "if": "has(opened.sku) && cart.value > 1.5",
    "at_most": {"times": 2, "per": "1d", "per_key": True},
    "ignore_caps": True,
    "priority": -1.5,
    "grace": "0s",
    "retract_within": "3d",
    "payload": ["cart.value", "first.sku"],
}
POLICY = {
    "namespaces": [
        {
            "name": "user_id",
            "priority": 1,
            "kind": "person",
            "limit": 1,
            "on_conflict": "oldest",
            "hashed": True,
        },
        {"name": "email", "priority": 2, "kind": "person", "normalise": "email", "fold_gmail_dots": True},
        {
            "name": "card",
            "priority": 3,
            "kind": "person",
            "pattern": "[0-9]+",
            "check_digit": "luhn",
            "blocked": ["0"],
        },
    ],
    "blocked": ["guest"],
    "default_region": "FR",
    "shared_after": 2,
    "max_devices": 9,
    "anonymous_events": "device_owner",
    "component_cap": 100,
}
SEGMENT = {"name": "vip", "version": 1, "description": "x", "if": "customer.days_since_last_order > 30"}
READERS: dict[str, tuple[Callable[[bytes], None], Any]] = {
    "rule": (rule, RULE),
    "sending policy": (sending, yaml.load(SENDING, Loader=yaml.BaseLoader)),  # noqa: S506 - texts as they are written
    "identity policy": (lambda text: policy(joined(text, b"x")), POLICY),
    "segment": (segment, SEGMENT),
}


class Written:
    """A part of a document that is written as it is, and not as JSON."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def bomb(levels: int) -> str:
    """Return lists of aliases of lists: 9 to the power of `levels` texts, if somebody writes them out."""
    inner = [f"&b{n} [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, levels)]
    return f"[&b0 [lol], {', '.join(inner)}]"


def merges(levels: int) -> str:
    """Return the same with merge keys."""
    inner = [f"x{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, levels)]
    return f"{{x0: &m0 {{a: 1}}, {', '.join(inner)}}}"


HOSTILE = [
    bomb(40),
    merges(40),
    f"{{? {bomb(40)} : 1}}",
    "&me [*me]",
    "&me {event: *me, if: *me}",
    "[" * 600,
    "[" * 600 + "]" * 600,
    "{a: " * 600 + "1" + "}" * 600,
    "9" * 5_000,
    "-" + "9" * 5_000,
    "0x" + "f" * 5_000,
    ":".join(["59"] * 2_000),
    "1e999",
    "-1e999",
    ".nan",
    ".inf",
    "1_0",
    "0o17",
    "2026-99-99",
    "2026-01-01 25:61:61",
    "0001-01-01T00:00:00+23:59",
    "!!int x",
    "!!float x",
    "!!bool x",
    "!!timestamp x",
    "!!binary é",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!!python/object/apply:os.system [exit 1]",
    "!<" + "t" * 3_000 + "> x",
    "*nowhere",
    '"\\ud800"',
    '"\\0\\x07\\u2028"',
    '"\\U0010ffff"',
    '"' + "a" * 100_000 + '"',
    '"' + " " * 5_000 + '"',
    "{a: 1, a: 2}",
    "{1: 2, 1.0: 3, true: 4, null: 5}",
    "{[1]: 2}",
    "[]",
    "{}",
    "null",
    "''",
    "~",
    "yes",
    '"' + "&&".join(["true"] * 400) + '"',
    '"' + "+".join(["1"] * 900) + '"',
    '"' + "event" + ".a" * 900 + '"',
    '"' + "[1,1,1,1].all(a," * 30 + "true" + ")" * 30 + '"',
    "\"'a'" + ".map(x,x+x)" * 60 + '"',
    '"' + "(" * 1_000 + '"',
    '"event.list.exists(x)"',
    '"(a+)+$"',
    '"(?i)[a"',
    '"a{99999999999}"',
    '"' + "(" * 500 + ")" * 500 + '"',
    "999999999d",
    "0ms",
    "-1h",
]


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the places of a document's parts; its own is ()."""
    pairs = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    return [path, *(place for key, part in pairs for place in places(part, (*path, key)))]


def replaced(document: Any, path: tuple[Any, ...], part: Any) -> Any:
    """Return a document with another part at a place."""
    if not path:
        return part
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(document[path[0]], path[1:], part)
    return copy


def flow(document: Any) -> str:
    """Write a document in YAML's flow style, with what is `Written` as it is."""
    if isinstance(document, Written):
        return document.text
    if isinstance(document, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {flow(part)}" for key, part in document.items()) + "}"
    if isinstance(document, list):
        return "[" + ", ".join(map(flow, document)) + "]"
    return json.dumps(document)


@pytest.mark.parametrize("name", READERS)
def test_a_sound_file_is_read(name):
    read, document = READERS[name]
    read(flow(document).encode())


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_file_is_refused_or_read_and_that_is_all(name, text):
    READERS[name][0](text.encode())


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("rule", ("if",)),
        ("rule", ("opens",)),
        ("rule", ("opens", "sequence", 0)),
        ("rule", ("payload",)),
        ("rule", ("due_at", "days")),
        ("sending policy", ("caps", 0)),
        ("sending policy", ("suppressed",)),
        ("sending policy", ("timezone",)),
        ("identity policy", ("namespaces", 0, "limit")),
        ("identity policy", ("namespaces", 2, "pattern")),
        ("identity policy", ("blocked",)),
        ("segment", ("if",)),
        ("segment", ("version",)),
    ],
)
def test_everything_hostile_in_one_place_is_refused_or_read_and_that_is_all(name, place):
    read, document = READERS[name]
    for text in HOSTILE:
        read(flow(replaced(document, place, Written(text))).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("name", READERS)
def test_something_hostile_in_any_place_is_refused_or_read_and_that_is_all(name):
    read, document = READERS[name]
    everywhere = places(document)

    @examples(150)
    @given(st.data())
    def anywhere(data):
        path = data.draw(st.sampled_from(everywhere))
        other = data.draw(
            st.sampled_from(HOSTILE)
            | st.text(max_size=20)
            | st.integers().map(str)
            | st.floats().map(str)
            | st.dates().map(str)
        )
        text = flow(replaced(document, path, Written(other)))
        if data.draw(st.integers(0, 4)) == 0:  # a name twice
            text = text[:-1] + ", " + text[1:]
        read(text.encode("utf-8", "surrogatepass"))

    anywhere()


@examples(200)
@given(st.sampled_from(CONDITIONS), st.sampled_from(CONDITIONS), st.data())
def test_conditions_made_of_parts_of_conditions_are_refused_or_answer(one, other, data):
    """Tokens, not characters: what is nearly a condition gets further than what is none."""
    tokens = [token for source in (one, other) for token in source.decode().replace("(", " ( ").split()]
    made = data.draw(st.lists(st.sampled_from([*tokens, "&&", "!", "?", ":", ")", "]", "x,"]), max_size=40))
    condition(" ".join(made).encode())


def test_every_file_that_ships_holds_what_the_targets_promise():
    for folder, read in (("rules", rule), ("segments", segment)):
        for text in shipped(folder):
            read(text)
