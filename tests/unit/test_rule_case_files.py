"""The cases of the rule language: well-formed, and passed by the pipeline's own rules."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.domain.rules import load_rule
from stream_app.runs.rule_cases import Runner
from tests.property.rule_form import faults
from tests.property.rules_oracle_texts import instant
from tests.rule_case_files import LANGUAGE, SHIPPED, all_cases, case_files, cases

CASES = [pytest.param(case, id=name) for name, case in all_cases()]
RULES = {
    rule.name: rule
    for rule in (load_rule(path.read_text("utf-8"), path.name) for path in sorted(SHIPPED.glob("*.yaml")))
}
RUNNER = Runner(RULES)

FIELDS = {"id", "rules", "policy", "reference", "events", "until", "expect", "ambiguous", "notes"}
EXPECTED = {
    *("rule", "version", "action", "opened_by", "due", "sent", "channel", "key", "customer", "reason"),
    "payload",
}
REASONS = {
    "condition",
    "consent",
    "suppressed",
    "no_address",
    "quiet_hours",
    "cap",
    "at_most",
    "priority",
    "past",
}
POLICY = {"quiet_hours", "timezone", "caps", "consent_default", "suppressed", "namespaces"}


@pytest.mark.parametrize("case", CASES)
def test_a_case_passes(case: dict[str, Any]) -> None:
    assert RUNNER.check(1, case).problems == []


def test_every_case_has_an_id_of_its_own_within_its_file() -> None:
    for path in case_files():
        ids = [case["id"] for case in cases(path)]
        assert len(set(ids)) == len(ids), path.name


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem) for path in sorted(LANGUAGE.glob("*.jsonl"))]
)
def test_a_file_is_well_formed(path: Any) -> None:
    assert {case["id"]: found for case in cases(path) if (found := case_faults(case))} == {}


def case_faults(case: dict[str, Any]) -> list[str]:
    """Return what is wrong with a case; times that are none raise."""
    found = [f"no field {name}" for name in case.keys() - FIELDS]
    found += [f"no field {name} in a policy" for name in case.get("policy", {}).keys() - POLICY]
    for rule in case["rules"]:
        found += [f"no rule {rule} ships"] if isinstance(rule, str) and rule not in RULES else []
        found += faults(rule) if isinstance(rule, dict) else []
    for entry in case["events"]:
        instant(entry.get("advance_to") or entry["time"])
    instant(case["until"])
    expect = case["expect"]
    net = expect.get("net", [])
    wanted = [
        *expect.get("triggers", ()),
        *expect.get("held_back", ()),
        *(net if isinstance(net, list) else ()),
    ]
    for message in wanted:
        found += [f"no field {name} in an expectation" for name in message.keys() - EXPECTED]
        found += [f"no event {message['opened_by']}" for _ in [0] if not _named(case, message)]
    found += [
        f"no reason {one['reason']}" for one in expect.get("held_back", ()) if one["reason"] not in REASONS
    ]
    return found


def _named(case: dict[str, Any], message: dict[str, Any]) -> bool:
    return message["opened_by"] in [entry.get("event_id") for entry in case["events"]]
