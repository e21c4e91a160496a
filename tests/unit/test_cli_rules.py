"""`raccord rules`: list, check, validate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import schemas
from stream_app import cli
from stream_app.cli.rules_list import due, opening
from stream_app.errors import Exit

if TYPE_CHECKING:
    from pathlib import Path

RULE = """
name: wish
version: 2
description: >-
  Somebody wished for something
  and forgot about it.
channel: [email]
opens: {event: [Wished, Asked], if: event.price > 3}
after: 2d
"""
CASE = {
    "id": "wished",
    "rules": ["wish"],
    "events": [
        {
            "event_id": "e1",
            "time": "2026-03-01T10:00:00Z",
            "channel": "web",
            "type": "Wished",
            "identifiers": {"cookie": "c"},
            "properties": {"price": 4},
        }
    ],
    "until": "2026-03-04",
    "expect": {"net": 1},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one rule, and its cases."""
    (tmp_path / "wish.yaml").write_text(RULE)
    write(tmp_path / "wish.cases.jsonl", CASE)
    return tmp_path


def write(file: Path, *cases: dict[str, Any]) -> str:
    file.write_text("\n" + "".join(f"{json.dumps(case)}\n" for case in cases))
    return str(file)


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = Exit.OK) -> str:
    assert cli.run(["rules", *map(str, arguments)]) == code
    said = capsys.readouterr()
    return said.err if code == Exit.USAGE else said.out


# -- check ------------------------------------------------------------------------------------------------


def test_the_cases_of_the_shipped_rules_pass(capsys):
    said = json.loads(run(capsys, "check", "--json"))
    assert said["files"] == schemas.files("rules", ".cases.jsonl")
    assert said["cases"] == said["passed"] > 10
    assert said["failures"] == []


def test_every_shipped_rule_has_cases():
    rules = {name.removesuffix(".yaml") for name in schemas.files("rules", ".yaml")}
    assert rules == {name.removesuffix(".cases.jsonl") for name in schemas.files("rules", ".cases.jsonl")}


def test_cases_that_pass_are_a_table(capsys, folder):
    said = run(capsys, "check", folder / "wish.cases.jsonl", "--rules", folder)
    assert "FAIL" not in said
    assert "passed" in said


def test_without_a_file_the_cases_beside_the_rules_are_run(capsys, folder, monkeypatch):
    monkeypatch.setenv("RACCORD_RULES", str(folder))
    said = json.loads(run(capsys, "check", "--json"))
    assert said["files"] == [str(folder / "wish.cases.jsonl")]
    assert (said["cases"], said["passed"], said["failed"]) == (1, 1, 0)


def test_a_failing_case_is_a_line_and_exit_code_1(capsys, folder):
    file = write(folder / "more.jsonl", CASE, {**CASE, "id": "late", "expect": {"net": 0, "triggers": []}})
    said = run(capsys, "check", file, folder / "wish.cases.jsonl", "--rules", folder, code=Exit.FAILED)
    (line,) = (line for line in said.splitlines() if line.startswith("FAIL"))
    assert line.startswith(f"FAIL late ({file}, line 3): triggers: expected [], came out [")
    assert "; net: expected 0, came out 1: [" in line


def test_json_names_file_and_line_of_what_failed(capsys, folder):
    file = write(folder / "more.jsonl", CASE, {**CASE, "rules": ["unheard_of"]})
    said = json.loads(run(capsys, "check", file, "--rules", folder, "--json", code=Exit.FAILED))
    assert (said["cases"], said["passed"], said["failed"]) == (2, 1, 1)
    (failed,) = said["failures"]
    assert (failed["case"], failed["file"], failed["line"]) == ("wished", file, 3)
    (problem,) = failed["problems"]
    assert problem["what"] == "the case"
    assert "there is no rule `unheard_of`; there are: wish" in problem["came_out"]


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "can't be read"), (b"\xff", "no UTF-8"), (b"\n", "no cases"), (b"\n[]\n", "line 2: a case is a")],
)
def test_a_file_without_cases_is_one_sentence(content, what, folder, capsys):
    file = folder / "some.jsonl"
    if content is not None:
        file.write_bytes(content)
    said = run(capsys, "check", file, "--rules", folder, code=Exit.USAGE)
    assert what in said
    assert str(file) in said
    assert len(said.splitlines()) == 1


def test_rules_that_cannot_be_read_are_one_sentence(capsys, folder):
    assert "is no folder" in run(capsys, "check", "--rules", folder / "nowhere", code=Exit.USAGE)
    (folder / "wish.yaml").write_text("name: wish\nopen: {}\n")
    said = run(capsys, "check", "--rules", folder, code=Exit.USAGE)
    assert f"{folder / 'wish.yaml'}:2:1: rule: unknown field `open`" in said
    (folder / "wish.yaml").write_bytes(b"\xff")
    assert "no UTF-8" in run(capsys, "check", "--rules", folder, code=Exit.USAGE)


def test_rule_files_are_sent_to_the_command_that_takes_them(capsys, folder):
    said = run(capsys, "check", folder / "wish.yaml", code=Exit.USAGE)
    assert said == (
        f"raccord: {folder / 'wish.yaml'}: this takes cases (*.jsonl); for rule files: raccord rules validate\n"
    )


def test_a_case_of_rules_that_are_not_there_says_how_to_name_them(capsys, folder):
    said = run(capsys, "check", folder / "wish.cases.jsonl", code=Exit.FAILED)
    assert ": it can't be run: rules: there is no rule `wish`; there are: abandoned_browse, " in said
    assert "; --rules FOLDER names others\n" in said


# -- validate ---------------------------------------------------------------------------------------------


def test_what_ships_is_right(capsys):
    places = [schemas.__path__[0] + place for place in ("/rules", "/policies", "/segments")]
    said = json.loads(run(capsys, "validate", *places, "--json"))
    assert said["errors"] == []
    found = {(document["kind"], document["name"]) for document in said["documents"]}
    assert {
        ("rule", "abandoned_cart"),
        ("segment", "vip"),
        ("identity policy", None),
        ("sending policy", None),
    } <= found


def test_what_is_wrong_is_told_with_line_and_column(capsys, folder):
    file = folder / "wrong.yaml"
    file.write_text("name: x\nopens: {event: A}\nif: cart.value >\n")
    said = run(capsys, "validate", folder, file, code=Exit.FAILED).splitlines()
    assert said == [f"{file}:3:17: if: the end is not expected here", "1 right, 1 wrong"]
    said = json.loads(run(capsys, "validate", folder, "--json", code=Exit.FAILED))
    wished = {"file": str(folder / "wish.yaml"), "kind": "rule", "name": "wish", "version": 2}
    assert said["documents"] == [wished]
    place = {"file": str(file), "line": 3, "column": 17}
    assert said["errors"] == [place | {"message": "if: the end is not expected here"}]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: b", "1:1: neither a rule"),
        ("- a", "1:1: neither a rule"),
        ("", "1:1: empty"),
        ("name: x", "1:1: `opens` is missing"),
        ("name: [", "not YAML"),
        ("namespaces: []", "1:1: policy.namespaces: at least one"),
        ("timezone: UTC\ncaps: [{times: 0}]", "2:16: times must be a whole number, 1 or more"),
        ("name: vip\nif: customer.orders >", "2:22: if: the end is not expected here"),
        ("name: vip\nif: customer.segments == 1", "segments don't rest on each other"),
        ("name: decisions\nopens: {event: A}\nafter: 1h", "1:1: name: triggers.decisions is another topic"),
        ("name: shadow\nopens: {event: A}\nafter: 1h", "1:1: name: triggers.shadow is another topic"),
        ("segments: []", "1:1: segments are not supported by this version"),
    ],
)
def test_a_document_is_judged_by_what_it_is(text, what, capsys, tmp_path):
    file = tmp_path / "some.yaml"
    file.write_text(text)
    assert what in run(capsys, "validate", file, code=Exit.FAILED)


def test_two_files_with_one_version_of_a_rule_are_wrong(capsys, folder):
    (folder / "wish_2.yaml").write_text(RULE)
    said = run(capsys, "validate", folder, code=Exit.FAILED)
    assert f"wish_2.yaml:1:1: wish version 2 is in {folder / 'wish.yaml'} too" in said
    (folder / "wish_2.yaml").write_text(RULE.replace("version: 2", "version: 3"))
    assert "2 right, 0 wrong" in run(capsys, "validate", folder)


def test_a_segment_may_have_a_rules_name_but_no_other_segments(capsys, folder):
    (folder / "a.yaml").write_text("name: wish\nversion: 2\nif: customer.orders > 1\n")
    assert "2 right, 0 wrong" in run(capsys, "validate", folder)
    (folder / "b.yaml").write_text("name: wish\nversion: 2\nif: customer.orders > 2\n")
    said = run(capsys, "validate", folder, code=Exit.FAILED)
    assert f"b.yaml:1:1: wish version 2 is in {folder / 'a.yaml'} too" in said


def test_a_file_that_workers_would_not_read_is_wrong(capsys, folder):
    (folder / "other.yml").write_text(RULE)
    assert "other.yml:1:1: workers read *.yaml" in run(capsys, "validate", folder, code=Exit.FAILED)
    (folder / "other.yml").unlink()
    (folder / "other.yaml").write_bytes(b"\xff")
    assert "other.yaml:1:1: no UTF-8 text" in run(capsys, "validate", folder, code=Exit.FAILED)


def test_nothing_to_validate_is_a_wrong_call(capsys, tmp_path):
    assert "can't be read" in run(capsys, "validate", tmp_path / "nothing.yaml", code=Exit.USAGE)
    assert "no *.yaml files" in run(capsys, "validate", tmp_path, code=Exit.USAGE)
    run(capsys, "validate", code=Exit.USAGE)


# -- list -------------------------------------------------------------------------------------------------


def test_the_shipped_rules_are_listed(capsys):
    said = run(capsys, "list")
    assert "from schemas/rules, as shipped" in said
    assert "abandoned_cart version 2: marketing, by email, push" in said
    assert "  opens: Product Added\n  due: after 30m\n" in said


def test_a_rule_is_listed_with_its_file_and_what_it_says(capsys, folder):
    (folder / "older.yaml").write_text(RULE.replace("version: 2", "version: 1").replace("2d", "0s"))
    older, newer = (
        json.loads(line) for line in run(capsys, "list", "--rules", folder, "--json").splitlines()
    )
    assert newer == {
        "name": "wish",
        "version": 2,
        "in_force": True,
        "purpose": "marketing",
        "channel": ["email"],
        "opens": "Wished or Asked if event.price > 3",
        "due": "after 2d",
        "description": "Somebody wished for something and forgot about it.",
        "file": str(folder / "wish.yaml"),
        "lacks": {},
    }
    assert (older["version"], older["in_force"], older["due"]) == (1, False, "at once")
    assert "wish version 1, replaced by a higher version: " in run(capsys, "list", "--rules", folder)


def test_what_a_rule_needs_and_the_deployment_leaves_out_is_said(capsys, monkeypatch):
    monkeypatch.setenv("RACCORD_REFERENCES", "stores")
    listed = [json.loads(line) for line in run(capsys, "list", "--json").splitlines()]
    lacks = {one["name"]: sorted(one["lacks"]) for one in listed if one["lacks"]}
    assert lacks["price_drop"] == ["reference.products"]
    assert lacks["near_store_offer"] == ["reference.stock"]
    assert lacks["click_and_collect_nearest"] == ["reference.products", "reference.stock"]
    assert {"abandoned_cart", "welcome"}.isdisjoint(lacks)
    assert (
        "  lacks reference.products, which RACCORD_REFERENCES leaves out: opens.reference: product.price needs it\n"
        in run(capsys, "list")
    )


@pytest.mark.parametrize(
    ("written", "opens", "is_due"),
    [
        ({"opens": {"event": "A", "first": "true"}, "after": "1h"}, "A, first true", "after 1h"),
        (
            {"opens": {"sequence": [{"event": "A"}, {"event": ["B", "C"]}], "within": "1h"}},
            "A, then B or C, within 1h",
            "at once",
        ),
        (
            {"opens": {"reference": "product.price", "event_before": "A"}, "due_at": {"local_time": "09:00"}},
            "reference product.price, event_before A",
            "local_time 09:00",
        ),
        (
            {"near": {"radius_m": "300", "on": "enter"}, "after": "5m", "then": {"event": "B"}},
            "near: radius_m 300, on enter",
            "after 5m, on B",
        ),
    ],
)
def test_every_kind_of_opening_and_due_time_has_words(written, opens, is_due):
    assert opening(written) == opens
    assert due(written) == is_due
