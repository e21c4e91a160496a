"""Trigger cases: the rules' own, the examples of the design, and the runner's own honesty."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from stream_app.domain.rules import load_rule
from stream_app.runs.rule_cases import check_case

RULES = files("schemas") / "rules"
SHIPPED = {
    rule.name: rule
    for rule in (
        load_rule(file.read_text("utf-8"), file.name)
        for file in RULES.iterdir()
        if file.name.endswith("yaml")
    )
}
EXAMPLES = Path(__file__).parents[3] / "shared" / "cases" / "trigger_examples.jsonl"


def cases(text: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in map(json.loads, text.splitlines())]


OWN = (RULES / "abandoned_cart.cases.jsonl").read_text("utf-8")


@pytest.mark.parametrize("case", cases(OWN))
def test_the_shipped_rules_cases_pass(case: dict[str, Any]) -> None:
    assert check_case(case, SHIPPED) == []


def test_the_designs_examples_pass() -> None:
    if not EXAMPLES.is_file():
        pytest.skip(
            "no ../shared/cases/trigger_examples.jsonl beside this checkout: the examples are not part of it"
        )
    lines = [json.loads(line) for line in EXAMPLES.read_text("utf-8").splitlines() if line]
    known = [
        case for case in lines if {rule for rule in case["rules"] if isinstance(rule, str)} <= SHIPPED.keys()
    ]
    assert known
    assert {case["id"]: check_case(case, SHIPPED) for case in known} == {case["id"]: [] for case in known}


def first() -> dict[str, Any]:
    case: dict[str, Any] = json.loads(OWN.splitlines()[1])
    return case


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({"triggers": []}, "triggers: expected []"),
        ({"triggers": [{"action": "retract"}]}, "triggers: expected"),
        ({"triggers": [{"key": "b2"}]}, "triggers: expected"),
        ({"triggers": [{"customer": "device:other"}]}, "triggers: expected"),
        ({"triggers": [{"due": "2026-05-04T08:31:00Z"}]}, "triggers: expected"),
        ({"triggers": [{"channel": "push"}]}, "triggers: expected"),
        ({"triggers": [{"colour": "red"}]}, "`colour` is not supported"),
        ({"held_back": [{"reason": "past"}]}, "held_back: expected"),
        ({"net": 0}, "net: expected 0"),
        ({"net": []}, "net: expected []"),
    ],
)
def test_a_wrong_expectation_fails_and_is_told(expect: dict[str, Any], told: str) -> None:
    (problem,) = check_case(first() | {"expect": expect}, SHIPPED)
    assert told in problem


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rules": ["unheard_of"]}, "no rule `unheard_of` ships"),
        ({"rules": [{"name": "x", "opens": {"event": "A"}, "near": {}}]}, "`near` is not supported"),
        ({"policy": {"quiet_hours": {}}}, "`policy` in a case is not supported"),
        ({"events": [{"time": "2026-01-01", "reference_change": {}}]}, "reference_change"),
        ({"events": [{"event_id": "a"}]}, "malformed case"),
        ({"until": "noon"}, "malformed case"),
    ],
)
def test_a_case_that_cannot_be_run_fails_and_says_why(change: dict[str, Any], told: str) -> None:
    (problem,) = check_case(first() | change, SHIPPED)
    assert told in problem


def test_messages_of_one_time_may_come_in_any_order() -> None:
    case = first()
    case["rules"] = [
        {"name": name, "opens": {"event": "Product Added"}, "after": "5m"} for name in ("x", "y")
    ]
    for names in (["x", "y"], ["y", "x"]):
        case["expect"] = {"triggers": [{"rule": name} for name in names]}
        assert check_case(case, SHIPPED) == []
    case["expect"] = {"triggers": [{"rule": "x"}, {"rule": "x"}]}
    assert check_case(case, SHIPPED) != []
