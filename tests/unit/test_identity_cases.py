"""Identity cases: the examples of the design, and the runner's own honesty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_app import cli
from stream_app.errors import Exit
from stream_app.runs.identity_cases import FormatError, Result, read_cases, run_case

EXAMPLES = Path(__file__).parents[3] / "shared" / "cases" / "identity_examples.jsonl"
DAY = "2026-03-01T"
POLICY = {
    "namespaces": [
        {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
        {"name": "email", "priority": 2, "kind": "person", "limit": 5},
        {"name": "cookie", "priority": 3, "kind": "device"},
    ]
}


def event(event_id: str, hour: int, **identifiers: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "time": f"{DAY}{hour:02}:00:00Z",
        "channel": "web",
        "type": "Page Viewed",
        "identifiers": identifiers,
    }


EVENTS = [
    event("e1", 8, cookie="c1"),
    event("e2", 9, cookie="c1", user_id="ana", email="Ana@Example.org"),
    event("e3", 10, cookie="c1", user_id="ben"),
    {"op": "deny", "time": f"{DAY}11:00:00Z", "a": "user_id:ana", "b": "email:ana@example.org"},
    event("e4", 12, email="null"),
]
ENDS = [["user_id:ana"], ["email:ana@example.org"], ["user_id:ben", "cookie:c1"]]


def run(permutations: int = 0, **fields: Any) -> Result:
    case = {"id": "mine", "policy": POLICY, "events": EVENTS, "expect": {}, **fields}
    (read,) = read_cases([json.dumps(case)])
    return run_case(read, permutations, 1)


def told(result: Result) -> list[str]:
    return [" ".join(problem) for failure in result.failures for problem in failure.problems]


def test_the_designs_examples_pass_in_every_order() -> None:
    if not EXAMPLES.is_file():
        pytest.skip("no ../shared/cases beside this checkout: the examples are not part of it")
    with EXAMPLES.open(encoding="utf-8") as lines:
        results = [run_case(case, 24, 0) for case in read_cases(lines)]
    assert len(results) > 10
    assert {result.id: told(result) for result in results if result.failures} == {}


@pytest.mark.parametrize(
    "expect",
    [
        {"customers": ENDS},
        {"customers": [["user_id:ben ", " cookie:c1"], ["user_id:ana"], ["email:ANA@example.org"]]},
        {"same": [["user_id:ben", "cookie:c1"]], "different": [["user_id:ana", "email:ana@example.org"]]},
        {"different": [["user_id:ana", "user_id:nobody"], ["email:null", "cookie:c1"]]},
        {"n_customers": 3, "n_customers_with": {"user_id": 2, "cookie": 1, "phone": 0}},
        {"event_owner": {"e1": "user_id:ana", "e2": "user_id:ana", "e3": "user_id:ben", "e4": None}},
        {"after": {"e1": {"n_customers": 1}, "e3": {"n_customers": 2}, "e4": {"n_customers": 3}}},
    ],
)
def test_what_is_so_passes(expect: dict[str, Any]) -> None:
    result = run(200, expect=expect)
    assert told(result) == []
    assert result.orders == 120, "5 arrivals come in 120 orders: the given one, and 119 others"


@pytest.mark.parametrize(
    ("expect", "what"),
    [
        ({"customers": ENDS[1:]}, "came {user_id:ana}"),
        ({"customers": [*ENDS, ["cookie:c9"]]}, "customers {cookie:c9} came"),
        ({"customers": [*ENDS, ENDS[0]]}, "no others came"),
        ({"same": [["user_id:ana", "user_id:ben"]]}, "user_id:ana is that of {user_id:ana}, user_id:ben is"),
        ({"same": [["email:null", "user_id:ben"]]}, "email:null is nobody's"),
        ({"same": [["cookie:c9", "cookie:c9"]]}, "cookie:c9 is nobody's"),
        ({"different": [["user_id:ben", "cookie:c1"]]}, "not one customer came {cookie:c1, user_id:ben}"),
        ({"n_customers": 2}, "2 customers came 3: {"),
        ({"n_customers_with": {"user_id": 1}}, "1 customers with user_id came 2: {"),
        ({"n_customers_with": {"phone": 1}}, "1 customers with phone came 0"),
        (
            {"event_owner": {"e1": "user_id:ben"}},
            "event e1 is user_id:ben's came it is that of {user_id:ana}",
        ),
        ({"event_owner": {"e1": None}}, "event e1 is nobody's came it is that of {user_id:ana}"),
        ({"event_owner": {"e4": "user_id:ana"}}, "event e4 is user_id:ana's came it is nobody's"),
        ({"event_owner": {"e9": None}}, "an event e9 came none"),
        ({"after": {"e2": {"n_customers": 2}}}, "after e2 2 customers came 1"),
        ({"after": {"e9": {}}}, "after e9 an event or command of that id came none"),
    ],
)
def test_a_wrong_expectation_fails_and_is_told(expect: dict[str, Any], what: str) -> None:
    (failure,) = run(expect=expect).failures
    (problem,) = failure.problems
    assert what in f"{problem.when} {problem.expected} came {problem.came_out}"
    assert failure.given
    assert failure.order == ["e1", "e2", "e3", "deny#4", "e4"]


def test_what_holds_in_the_given_order_alone_fails_unless_the_case_is_ordered() -> None:
    events = [event("e1", 8, cookie="c1", user_id="ana"), event("e1", 9, cookie="c1", user_id="ben")]
    expect = {"customers": [["cookie:c1", "user_id:ana"]]}
    assert run(24, events=events, expect=expect, ordered=True).orders == 1
    assert run(24, events=events, expect=expect, ordered=True).failures == []
    result = run(24, events=events, expect=expect)
    assert result.orders == 2
    (failure,) = result.failures
    assert not failure.given


def test_after_counts_in_the_given_order_alone() -> None:
    assert run(24, expect={"after": {"e1": {"n_customers": 1}, "e2": {"n_customers": 1}}}).failures == []


def test_a_command_may_have_an_id_and_after_may_name_it() -> None:
    commands = [{**EVENTS[3], "command_id": "k"}]
    result = run(
        events=[*EVENTS[:3], *commands, EVENTS[4]],
        expect={"after": {"k": {"n_customers": 3}, "e3": {"n_customers": 3}}},
    )
    assert [problem.when for failure in result.failures for problem in failure.problems] == ["after e3"]


def test_times_may_have_fractions_and_offsets_or_be_milliseconds() -> None:
    moments = ["2026-03-01T10:00:00.5+01:00", 1_772_355_600_000, "2026-03-01T09:00:00.25Z"]
    events = [
        {**event(f"e{place}", 0, cookie="c", user_id=f"u{place}"), "time": time}
        for place, time in enumerate(moments)
    ]
    assert run(24, events=events, expect={"same": [["cookie:c", "user_id:u0"]]}).failures == []


def test_the_seed_chooses_the_orders() -> None:
    events = [event(f"e{place}", place, cookie=f"c{place}") for place in range(8)]
    fields = {"events": events, "expect": {"n_customers": 7}}
    assert run(5, **fields).orders == 6
    assert run(5, **fields) == run(5, **fields)
    orders = [tuple(failure.order) for failure in run(30, **fields).failures]
    assert len(set(orders)) == 31


def test_a_policy_that_is_not_understood_fails_and_says_which_field() -> None:
    result = run(policy={**POLICY, "colour": "red"})
    assert "policy.colour: unknown field" in told(result)[0]
    assert result.orders == 0


def test_what_is_given_up_on_the_way_is_told() -> None:
    events = [{**event("e1", 8, cookie="c1"), "time": 10**30}]
    assert "on the way an answer" in told(run(events=events))[0]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "line 2: "),
        ("[]", "Expected `object`"),
        ('{"policy": {}, "events": []}', "missing required field `expect`"),
        ('{"policy": {}, "events": [], "expect": {"customer": []}}', "unknown field `customer`"),
        ('{"policy": {}, "events": [], "expect": {"after": {"x": {"after": {}}}}}', "unknown field `after`"),
        ('{"policy": {}, "events": [], "expect": {"same": [["a"]]}}', "$.expect.same[0]"),
        ('{"policy": {}, "events": [{"time": "noon", "event_id": "e"}], "expect": {}}', "events[0].time"),
        ('{"policy": {}, "events": [{"time": 1}], "expect": {}}', "an event needs an event_id"),
        ('{"policy": {}, "events": [{"time": 1, "op": "merge"}], "expect": {}}', "'merge'"),
        ('{"policy": {}, "events": [{"time": 1, "op": "deny", "a": "x:1"}], "expect": {}}', "a and b"),
        ('{"policy": {}, "events": [{"time": 1, "op": "erase", "a": "x:1"}], "expect": {}}', "needs id"),
        (
            '{"rules": [], "events": [], "expect": {"net": 0}}',
            "a case of rules; `raccord rules check` runs it",
        ),
    ],
)
def test_a_line_that_is_no_case_is_refused_with_its_number(line, what, tmp_path, capsys) -> None:
    with pytest.raises(FormatError, match=r"^line 2: "):
        list(read_cases(["\n", line]))
    file = tmp_path / "cases.jsonl"
    file.write_text(f"\n{line}\n")
    assert cli.run(["identity", "check", str(file)]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "line 2: " in said
    assert what in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "what"), [(None, "can't be read"), (b"\xff", "no UTF-8"), (b"\n", "no cases")]
)
def test_a_file_without_cases_is_one_sentence(content, what, tmp_path, capsys) -> None:
    file = tmp_path / "cases.jsonl"
    if content is not None:
        file.write_bytes(content)
    assert cli.run(["identity", "check", str(file)]) == Exit.USAGE
    assert what in capsys.readouterr().err


def written(folder: Path, *expects: dict[str, Any]) -> str:
    cases = [
        {"id": f"case-{place}", "policy": POLICY, "events": EVENTS, "expect": expect}
        for place, expect in enumerate(expects)
    ]
    file = folder / "cases.jsonl"
    file.write_text("".join(f"{json.dumps(case)}\n" for case in cases))
    return str(file)


def test_cases_that_pass_are_a_table(tmp_path, capsys) -> None:
    assert cli.run(["identity", "check", written(tmp_path, {"customers": ENDS}, {"n_customers": 3})]) == 0
    said = capsys.readouterr().out
    assert "FAIL" not in said
    assert "passed" in said


def test_a_failing_case_is_a_line_and_exit_code_1(tmp_path, capsys) -> None:
    file = written(tmp_path, {"n_customers": 3}, {"n_customers": 2})
    assert cli.run(["identity", "check", file, "--permutations", "3"]) == Exit.FAILED
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL"))
    assert line.startswith("FAIL case-1 (line 2): at the end: expected 2 customers, came out 3: {")
    assert line.endswith("in this order: e1 e2 e3 deny#4 e4 (as given); fails in 4 of 4 orders")


def test_json_is_one_object(tmp_path, capsys) -> None:
    file = written(tmp_path, {"n_customers": 3}, {"n_customers": 2})
    assert cli.run(["identity", "check", file, "--json", "--permutations", "2", "--seed", "7"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["cases"], said["passed"], said["failed"], said["orders"]) == (2, 1, 1, 6)
    (failed,) = said["failures"]
    assert (failed["case"], failed["line"], failed["orders_failed"]) == ("case-1", 2, 3)
    assert [failure["as_given"] for failure in failed["failures"]] == [True, False, False]
