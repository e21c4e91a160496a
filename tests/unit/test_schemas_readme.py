"""What the README tells producers to send is taken."""

from __future__ import annotations

import json
import re
from typing import Any

import schemas
from stream_app.domain.commands import Op
from stream_app.domain.event import Position
from stream_app.domain.reference import DAY_MS, KEPT_MS, MAX_SAID, Said
from stream_app.domain.refusal import Reason
from stream_app.domain.rules import load_rule
from stream_app.runs.rule_cases import Runner
from stream_app.runs.rule_expectations import FIELDS, Expectation
from stream_app.wire import CommandDecoder, Decoder, IdentityCommand, ReferenceDecoder
from stream_app.wire.limits import MIB, Limits

README = schemas.read_text("README.md")


def block(language: str, place: int = 0, of: int = 1) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert len(found) == of
    return found[place]


def test_the_avro_example_is_taken():
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 - it is our own documentation
    event = Decoder().decode(names["value"], [], "web", 1_700_000_000_000).event
    assert (event.event_id, event.time, event.properties["price"]) == ("web-0001", 1_700_000_000_000, 24.9)


def test_the_cloudevents_example_is_taken():
    event = Decoder().decode(block("json", 0, of=4).encode(), [], "chatbot", 1_700_000_000_000).event
    assert (event.channel, event.time, event.sent_at) == ("chatbot", 1_700_000_000_000, 1_700_000_001_000)
    assert event.context is not None
    assert event.context.position == Position(48.85, 2.35, 20.0)


def test_the_example_of_reference_data_is_taken():
    decoder = ReferenceDecoder(schemas.references()["products"])
    said = decoder.decode(block("json", 1, of=4).encode(), [], None, 1_800_000_000_000)
    assert said == Said("product", "S-1", 1_772_355_600_000, {"price": 19.9, "currency": "EUR", "stock": 12})


def test_every_feed_and_limit_of_reference_data_is_documented():
    section = README.partition("## Reference data")[2].partition("\n## ")[0]
    for name, feed in schemas.references().items():
        assert f"`reference.{name}`" in section
        assert f"`{feed.named_by}`" in section
    assert f"at most {MAX_SAID} versions and {KEPT_MS // DAY_MS} days" in section


def test_the_example_of_a_command_is_taken():
    command = CommandDecoder().decode(block("json", 2, of=4).encode(), [], 1_800_000_000_000)
    assert (command.command_id, command.op, command.time) == ("desk-0017", "deny", 1_767_258_000_000)


def test_every_field_and_limit_of_a_command_is_documented():
    section = README.partition("## Operators' commands")[2].partition("\n## ")[0]
    fields = IdentityCommand.__struct_fields__
    assert all(f"`{name}`" in section for name in (*fields, *Op))
    assert f"at most {Limits().reason_chars} characters" in section


def test_the_example_of_a_case_passes_and_fails_with_another_expectation():
    rule = load_rule(schemas.read_text("rules/abandoned_cart.yaml"))
    case = json.loads(block("json", 3, of=4))
    assert Runner({rule.name: rule}).check(1, case).problems == []
    case["expect"]["triggers"][0]["due"] = "2026-03-01T10:31:00Z"
    assert Runner({rule.name: rule}).check(1, case).problems


def test_everything_that_a_case_can_expect_is_documented():
    section = README.partition("## Cases of rules")[2].partition("\n## ")[0]
    assert all(f"`{name}`" in section for name in FIELDS)
    assert all(f"`expect.{name}`" in section for name in Expectation.__struct_fields__)


def test_every_reason_and_limit_is_documented():
    assert all(f"`{reason}`" in README for reason in Reason)
    assert Limits().value_bytes == MIB
    assert "at most 1 MiB" in README
    assert f"at most {Limits().json_depth} levels" in README
    assert f"1 to {Limits().event_id_chars} characters" in README


def test_every_schema_is_in_the_table():
    assert all(f"`{subject}`" in README for subject in schemas.SUBJECTS)
