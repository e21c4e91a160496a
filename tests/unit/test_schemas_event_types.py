"""The documented event types hang together, are read by their names, and are those that rules and cases speak of."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import schemas
from stream_app.domain.profile import NAMES

RULES = schemas.files("rules", ".yaml")
CASES = schemas.files("rules", ".cases.jsonl")
CONTEXT = {"timezone", "latitude", "longitude", "accuracy_m"}
"""What a case writes among the properties, and an event has in its context."""


def test_event_types_name_configured_channels_only():
    channels = set(schemas.read_yaml("channels.yaml")["channels"])
    for event_type in schemas.event_types().values():
        assert event_type.channels
        assert set(event_type.channels) <= channels, event_type.name


def test_every_channel_has_event_types():
    used = {channel for event_type in schemas.event_types().values() for channel in event_type.channels}
    assert used == set(schemas.read_yaml("channels.yaml")["channels"])


def test_every_documented_property_belongs_to_an_event_type():
    used = {name for event_type in schemas.event_types().values() for name in event_type.properties}
    assert used == set(schemas.read_yaml("event_types.yaml")["properties"])


@pytest.mark.parametrize("name", ["Product Added", "Order Completed", "Consent Changed", "Call Started"])
def test_the_types_that_the_road_depends_on_are_documented(name):
    event_type = schemas.event_types()[name]
    assert event_type.name == name
    assert all(event_type.properties.values())


def event_names(rule: Any) -> set[str]:
    """Return all event types that a rule, or a part of one, names."""
    if isinstance(rule, list):
        return set().union(*map(event_names, rule))
    if not isinstance(rule, dict):
        return set()
    named = rule.get("event", [])
    inner = set().union(*map(event_names, rule.values()))
    return inner | ({named} if isinstance(named, str) else set(named))


@pytest.mark.parametrize("path", RULES)
def test_a_shipped_rule_names_documented_event_types_only(path):
    names = event_names(schemas.read_yaml(path))
    assert names <= schemas.event_types().keys()


@pytest.mark.parametrize("path", RULES)
def test_a_shipped_rules_conditions_name_documented_properties_only(path):
    named = set(re.findall(r"\b(?:event|opened|first|last)\.([a-z_]+)", schemas.read_text(path)))
    assert named <= schemas.read_yaml("event_types.yaml")["properties"].keys()


@pytest.mark.parametrize("path", RULES)
def test_what_a_shipped_rule_wants_to_know_of_the_customer_is_in_the_profile_or_told(path):
    named = set(re.findall(r"\bcustomer\.([a-z_]+)", schemas.read_text(path)))
    assert named <= NAMES | schemas.event_types()["Identify"].properties.keys()


@pytest.mark.parametrize("path", CASES)
def test_a_shipped_rules_cases_are_made_of_documented_events(path):
    types = schemas.event_types()
    for case in map(json.loads, schemas.read_text(path).splitlines()):
        for event in case["events"]:
            if "event_id" in event:
                documented = types[event["type"]]
                where = f"{case['id']}: {event['event_id']}, {event['type']}"
                assert event["channel"] in documented.channels, where
                assert event["properties"].keys() <= documented.properties.keys() | CONTEXT, where


def test_every_shipped_rule_has_cases_and_is_named_as_its_file():
    assert [path.replace(".yaml", ".cases.jsonl") for path in RULES] == CASES
    assert [f"rules/{schemas.read_yaml(path)['name']}.yaml" for path in RULES] == RULES


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match="nothing"):
        schemas.read_text("rules/nothing.yaml")
