"""Trigger cases: the rules' own, the examples of the design, and the runner's own honesty."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from stream_app.domain.rules import load_rule
from stream_app.runs.rule_cases import FormatError, Runner, read_cases

RULES = files("schemas") / "rules"
SHIPPED = {
    rule.name: rule
    for rule in (
        load_rule(file.read_text("utf-8"), file.name)
        for file in RULES.iterdir()
        if file.name.endswith("yaml")
    )
}
RUNNER = Runner(SHIPPED)
EXAMPLES = Path(__file__).parents[3] / "shared" / "cases" / "trigger_examples.jsonl"


def cases(text: str) -> list[Any]:
    found = map(json.loads, text.splitlines())
    return [pytest.param(case, id=f"{case['rules'][0]}: {case['id']}") for case in found]


def check_case(case: dict[str, Any]) -> list[str]:
    return [" ".join(problem) for problem in RUNNER.check(1, case).problems]


OWN = (RULES / "abandoned_cart.cases.jsonl").read_text("utf-8")


ALL_OWN = "".join(
    file.read_text("utf-8") for file in sorted(RULES.iterdir(), key=str) if file.name.endswith(".cases.jsonl")
)


@pytest.mark.parametrize("case", cases(ALL_OWN))
def test_the_shipped_rules_cases_pass(case: dict[str, Any]) -> None:
    assert check_case(case) == []


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
    assert {case["id"]: check_case(case) for case in known} == {case["id"]: [] for case in known}


def first() -> dict[str, Any]:
    case: dict[str, Any] = json.loads(OWN.splitlines()[1])
    return case


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({"triggers": []}, "triggers []"),
        (
            {"triggers": [{"action": "retract"}]},
            'triggers [{"action": "retract"}] [{"action": "fire", "rule"',
        ),
        ({"triggers": [{"key": "b2"}]}, '"key": ["b1"]'),
        ({"triggers": [{"key": []}]}, '"key": ["b1"]'),
        ({"triggers": [{"customer": "device:other"}]}, '"customer": ["device:d9"]'),
        ({"triggers": [{"due": "2026-05-04T08:31:00Z"}]}, '"due": "2026-05-04T08:30:00.000Z"'),
        ({"triggers": [{"channel": "push"}]}, '"channel": "email"'),
        ({"triggers": [{"reason": "condition"}]}, "triggers ["),
        ({"triggers": [{"colour": "red"}]}, "expect.triggers[0].colour: unknown field"),
        ({"net": [{"due": "noon"}]}, "expect.net[0].due: a time is ISO 8601"),
        ({"trigger": []}, "unknown field `trigger`"),
        ({"held_back": [{"reason": "past"}]}, 'held_back [{"reason": "past"}] []'),
        ({"net": 0}, 'net 0 1: [{"action": "fire"'),
        ({"net": []}, "net [] ["),
    ],
)
def test_a_wrong_expectation_fails_and_is_told(expect: dict[str, Any], told: str) -> None:
    (problem,) = check_case(first() | {"expect": expect})
    assert told in problem


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"rules": ["unheard_of"]},
            "there is no rule `unheard_of`; there are: abandoned_browse, abandoned_cart, ",
        ),
        ({"rules": [{"name": "x", "opens": {"evnt": "A"}}]}, "rule x in the case:1:"),
        ({"rules": [7]}, "$.rules[0]"),
        ({"policy": {"colour": "red"}}, "policy.colour: unknown field"),
        ({"events": [{"time": "2026-01-01"}]}, "events[0]: an event needs an event_id, a command an op"),
        (
            {"events": [{"event_id": "a"}]},
            "events[0]: an event, a command and a reference_change need a time",
        ),
        ({"events": [{"event_id": "a", "time": "noon"}]}, "events[0].time: a time is ISO 8601"),
        ({"events": [{"event_id": 7, "time": 1}]}, "events[0]: Expected `str"),
        ({"events": [{"op": "deny", "time": 1, "a": "cookie:a"}]}, "events[0]: to deny needs a and b"),
        ({"until": "noon"}, "until: a time is ISO 8601"),
        ({"expect": None}, "$.expect"),
    ],
)
def test_a_case_that_cannot_be_run_fails_and_says_why(change: dict[str, Any], told: str) -> None:
    (problem,) = check_case(first() | change)
    assert problem.startswith("the case one that this version can run")
    assert told in problem


def test_the_catalogues_price_stands_in_for_one_that_no_event_named() -> None:
    reference = {"products": [{"sku": "X", "price": 12.0}], "stores": [{"id": "s"}]}
    assert check_case(first() | {"reference": reference}) == []
    unpriced = json.loads(json.dumps(first()))
    properties = unpriced["events"][0]["properties"]
    del properties["price"]
    for price, problems in ((5.0, 1), (80, 0)):
        products = {"products": [{"sku": properties["sku"], "price": price}]}
        assert len(check_case(unpriced | {"reference": products})) == problems, price


def test_what_a_rule_cannot_ask_for_is_said() -> None:
    windy = {"name": "x", "opens": {"event": "A", "if": "weather.wind_kmh > 50"}}
    (problem,) = check_case(first() | {"rules": [windy]})
    assert "`weather` is known at the due time; ask for it in the rule's own `if`" in problem


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (
            {"id": "s", "time": "noon", "latitude": 48.8, "longitude": 2.3, "condition": "rain"},
            "[0].time: a time is ISO 8601",
        ),
        (
            {"station_id": "s", "time": "2026-03-02T10:00:00Z", "condition": "rain"},
            "[0]: weather.latitude: must",
        ),
        (
            {"id": "s", "time": "2026-03-02T10:00:00Z", "latitude": 1, "longitude": 2, "condition": "wet"},
            "[0]: weather.condition: must be one of clear, clouds",
        ),
    ],
)
def test_weather_in_a_case_is_read_as_the_feeds_is(row: dict[str, Any], wrong: str) -> None:
    (problem,) = check_case(first() | {"reference": {"weather": [row]}})
    assert f"reference.weather{wrong}" in problem


def test_what_the_code_under_check_raises_is_a_finding() -> None:
    case = first()
    case["events"][0]["properties"]["cart_id"] = 10**30
    (problem,) = check_case(case)
    assert problem.startswith("on the way an answer OverflowError")


def test_a_line_that_is_no_object_is_refused_with_its_number() -> None:
    for line in ("{", "[]"):
        with pytest.raises(FormatError, match=r"^line 2: "):
            list(read_cases(["\n", line]))


# -- the clock --------------------------------------------------------------------------------------------

SECOND = 1_000
NOON = 1_777_896_000_000


def event(event_id: str, second: int, kind: str = "A", **fields: Any) -> dict[str, Any]:
    identifiers = fields.pop("identifiers", {"cookie": "c"})
    time = NOON + second * SECOND
    return {
        "event_id": event_id,
        "time": time,
        "channel": "web",
        "type": kind,
        "identifiers": identifiers,
        "properties": fields,
    }


def at(second: int) -> int:
    return NOON + second * SECOND


def rule(name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"name": name, "opens": {"event": "A"}, "closes": {"event": "B"}, "after": "10s", **fields}


def case(*events: dict[str, Any], until: int = 100, rules: Any = None, **fields: Any) -> dict[str, Any]:
    return {"rules": rules or [rule()], "events": [*events], "until": at(until), "expect": {}, **fields}


def problems(case: dict[str, Any], **expect: Any) -> list[str]:
    return check_case({**case, "expect": expect})


def test_a_timer_goes_off_when_the_clock_has_passed_its_time_and_not_at_it() -> None:
    assert problems(case(event("a", 0), until=10), triggers=[]) == []
    ended = {**case(event("a", 0)), "until": at(10) + 1}
    assert problems(ended, triggers=[{"due": at(10), "sent": at(10)}]) == []
    assert problems(case(event("a", 0), {"advance_to": at(10)}, event("b", 10, "B")), triggers=[]) == []


def test_what_fell_due_is_decided_before_the_event_that_moved_the_clock() -> None:
    fire = {"action": "fire", "opened_by": "a", "sent": at(10)}
    retract = {"action": "retract", "sent": at(11), "reason": "closed"}
    late = event("b", 5, "B")
    assert problems(case(event("a", 0), event("c", 11, "C"), late), triggers=[fire, retract]) == []
    assert problems(case(event("a", 0), late, event("c", 11, "C")), triggers=[]) == []


def test_commands_and_changes_of_reference_data_and_refused_events_move_the_clock_too() -> None:
    command = {"op": "block", "id": "cookie:other", "time": at(11)}
    change = {"reference_change": {"product": "s", "price": 3}, "time": at(11)}
    refused = event("n", 11, identifiers={"email": "null"})
    for mover in (command, change, refused, {"advance_to": at(11)}):
        found = problems(case(event("a", 0), mover, event("b", 5, "B")), net=0, triggers=[{}, {}])
        assert found == [], mover


def test_the_clock_never_goes_back() -> None:
    found = problems(
        case({"advance_to": at(20)}, {"advance_to": at(5)}, event("a", 0)), triggers=[{"sent": at(20)}]
    )
    assert found == []


def test_each_timer_finds_the_clock_just_past_its_own_time() -> None:
    rules = [rule("x"), rule("y", after="20s")]
    events = (event("a", 0), event("b", 3, identifiers={"cookie": "d"}))
    triggers = [
        {"rule": "x", "opened_by": "a", "sent": at(10)},
        {"rule": "x", "opened_by": "b", "sent": at(13)},
        {"rule": "y", "opened_by": "a", "sent": at(20)},
        {"rule": "y", "opened_by": "b", "sent": at(23)},
    ]
    assert problems(case(*events, rules=rules), triggers=triggers, net=4) == []


def test_what_comes_to_light_with_the_event_that_moves_the_clock_is_late_by_where_it_then_stands() -> None:
    sign_in = event("c", 20, "C", identifiers={"cookie": "c", "user_id": "u"})
    bought = event("b", 5, "B", identifiers={"user_id": "u"})
    found = problems(
        case(event("a", 0), bought, sign_in),
        triggers=[{"sent": at(10)}, {"action": "retract", "sent": at(20)}],
    )
    assert found == []


# -- who is who -------------------------------------------------------------------------------------------


def test_identifiers_are_normalised_in_events_commands_and_expectations() -> None:
    events = (
        event("a", 0, identifiers={"email": " Ana@Example.org"}),
        event("b", 5, "B", identifiers={"email": "ana@example.org"}),
    )
    assert problems(case(*events), triggers=[]) == []
    found = problems(case(events[0]), triggers=[{"customer": "email:ANA@example.org"}])
    assert found == []


def test_an_operator_joins_and_separates_customers() -> None:
    opened = event("a", 0, identifiers={"user_id": "u"})
    closed = event("b", 5, "B", identifiers={"email": "u@x.org"})
    both = event("c", 1, "C", identifiers={"user_id": "u", "email": "u@x.org"})
    pair = {"a": "user_id:u", "b": "email:U@x.org", "time": at(6)}
    assert problems(case(opened, closed), net=1) == []
    assert problems(case(opened, closed, {"op": "assert", **pair}), triggers=[]) == []
    assert problems(case(opened, both, closed), triggers=[]) == []
    found = problems(case(opened, both, closed, {"op": "deny", **pair}), net=[{"customer": "user_id:u"}])
    assert found == []
    withdrawn = ({"op": "deny", **pair}, {"op": "withdraw", **pair, "time": at(7)})
    assert problems(case(opened, both, closed, *withdrawn), triggers=[]) == []


def test_an_erasure_takes_what_is_pending_with_it() -> None:
    erased = {"op": "erase", "id": "cookie:c", "time": at(5)}
    assert problems(case(event("a", 0), erased), triggers=[]) == []


def test_a_trigger_is_whose_its_opening_event_is_at_the_end() -> None:
    sign_in = event("c", 50, "C", identifiers={"cookie": "c", "user_id": "u"})
    assert problems(case(event("a", 0), sign_in), triggers=[{"customer": "user_id:u"}]) == []
    erased = {"op": "erase", "id": "cookie:c", "time": at(50)}
    assert problems(case(event("a", 0), erased), triggers=[{"customer": "cookie:c"}]) == []


def test_a_policy_says_what_identifies() -> None:
    namespaces = [{"name": "badge", "priority": 1, "kind": "person"}]
    badge = event("a", 0, identifiers={"badge": "7"})
    assert problems(case(badge), triggers=[]) == []
    assert problems(case(badge, policy={"namespaces": namespaces}), net=1) == []
    assert problems(case(event("a", 0), policy={"blocked": ["c"]}), triggers=[]) == []


# -- expectations -----------------------------------------------------------------------------------------


def test_messages_of_one_time_may_come_in_any_order() -> None:
    both = case(event("a", 0), rules=[rule("x"), rule("y")])
    for names in (["x", "y"], ["y", "x"]):
        assert problems(both, triggers=[{"rule": name} for name in names]) == []
    assert problems(both, triggers=[{"rule": "x"}, {"rule": "x"}]) != []
    apart = case(event("a", 0), rules=[rule("x"), rule("y", after="11s")])
    assert problems(apart, triggers=[{"rule": "y"}, {"rule": "x"}]) != []


def test_each_expected_message_needs_one_of_its_own() -> None:
    keyed = case(event("a", 0, k="1"), event("b", 0, k="2"), rules=[rule(key="k")])
    assert problems(keyed, triggers=[{}, {"key": "1"}]) == []
    assert problems(keyed, net=[{"key": ["2"]}, {"rule": "x"}]) == []
    assert problems(keyed, net=[{"key": "1"}, {"key": "1"}]) != []


def test_an_event_without_the_key_has_the_empty_one() -> None:
    for key in (None, "", [], [None]):
        assert problems(case(event("a", 0), rules=[rule(key="k")]), net=[{"key": key}]) == [], key


def test_net_counts_what_no_retraction_took_back() -> None:
    events = (event("a", 0), {"advance_to": at(20)}, event("b", 5, "B"))
    assert problems(case(*events), net=0) == []
    assert problems(case(*events), net=[]) == []
    assert problems(case(*events), net=1) != []


def test_a_case_gives_the_same_every_time() -> None:
    events = [event(f"e{n}", n, k=n % 3, identifiers={"cookie": f"c{n % 5}"}) for n in range(40)]
    several = case(*events, rules=[rule(key="k"), rule("y", key="k", after="3s")])
    first_run, second = (RUNNER.check(1, {**several, "expect": {"net": -1}}) for _ in range(2))
    assert first_run == second
    assert Runner(SHIPPED).check(1, {**several, "expect": {"net": -1}}) == second
