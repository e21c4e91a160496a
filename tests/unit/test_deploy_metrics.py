"""Alert rules, their runbook and the dashboard speak of metrics and labels that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from stream_app import metrics
from stream_app.cli import COMMANDS
from stream_app.domain.refusal import Reason
from stream_app.domain.rules.decision import Action
from stream_app.runs.pages import LABEL

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
ALERTS_TEST = (DEPLOY / "prometheus" / "alerts_test.yml").read_text()
RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()
DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana" / "dashboards").iterdir())
}
COLUMNS = 24

RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
ALERT_RULES = {rule["alert"]: rule for rule in RULES if "alert" in rule}
PANELS = [panel for board in DASHBOARDS.values() for panel in board["panels"] if panel["type"] != "row"]
METRICS = [*vars(metrics).values(), *metrics.NUMBERS.values()]

SUFFIXES = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}
TARGET_LABELS = {"job", "instance", LABEL}
"""Labels that Prometheus puts on everything it scrapes, and a worker of several processes on what these say."""
LABEL_VALUES = {
    "stage": {"ingest", "resolve", "customer", "numbers"},
    "cause": {"handler", "delivery", "fenced", "unknown"},
    "reason": {reason.value for reason in Reason},
}
OUTCOMES = {
    "raccord_events_total": {"applied", "duplicate", "dead_lettered", "dropped"},
    "raccord_triggers_total": {action.value for action in Action},
    "raccord_shared_identifiers_total": {"quarantined", "released"},
}


def known_series() -> dict[str, set[str]]:
    """Return series name -> its labels, for all that a worker's page, Prometheus and the rules provide."""
    found = {"up": set(TARGET_LABELS), "ALERTS": {"alertname", "alertstate", "severity"}}
    for metric in METRICS:
        for kind, suffixes in SUFFIXES.items():
            if isinstance(metric, kind):
                for suffix in suffixes:
                    bucket = {"le"} if suffix == "_bucket" else set()
                    found[metric._name + suffix] = {*metric._labelnames, *TARGET_LABELS, *bucket}
    for rule in RULES:
        if "record" in rule:
            found[rule["record"]] = grouped_by(rule["expr"])
    return found


def grouped_by(expression: str) -> set[str]:
    """Return the labels that `by`, `on`, `without` and `ignoring` name."""
    lists = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression)
    return {label.strip() for names in lists for label in names.split(",") if label.strip()}


SERIES = known_series()


def expressions() -> list[tuple[str, str]]:
    """Return (where, PromQL) of every rule, panel and annotation."""
    rules = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]
    panels = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
    notes = [
        ("annotation", note["expr"]) for board in DASHBOARDS.values() for note in board["annotations"]["list"]
    ]
    return [*rules, *panels, *notes]


def selectors(expression: str) -> list[tuple[str, str]]:
    """Return (series, matchers) for every series that an expression reads."""
    names = r"\b(raccord[a-z0-9_:]*|up|ALERTS)\b(?!\s*\()(?:\{([^}]*)\})?"
    # What stands in quotes is a label's value, and may look like a series' name.
    plain = re.sub(r'"[^"]*"', lambda match: match[0].replace("raccord", "RACCORD"), expression)
    return [(match[1], match[2] or "") for match in re.finditer(names, plain)]


def matchers(text: str) -> list[tuple[str, str, str]]:
    """Return (label, operator, value) of each matcher between braces."""
    return re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', text)


def problems(expression: str) -> list[str]:
    """Return what an expression names that does not exist."""
    found, labels = [], set(TARGET_LABELS)
    for series, braces in selectors(expression):
        if series not in SERIES:
            found.append(f"no metric {series}")
            continue
        labels |= SERIES[series]
        for label, _, value in matchers(braces):
            if label not in SERIES[series]:
                found.append(f"{series} has no label {label}")
            allowed = OUTCOMES.get(series) if label == "outcome" else LABEL_VALUES.get(label)
            if series == "raccord_triggers_total" and label == "reason":
                allowed = None
            found += [
                f"{label} is never {v}" for v in value.split("|") if allowed is not None and v not in allowed
            ]
    return found + [f"nothing here has a label {label}" for label in grouped_by(expression) - labels]


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_every_expression_names_only_metrics_labels_and_values_that_exist(where: str, expression: str):
    assert selectors(expression), f"{where}: reads no metric"
    assert problems(expression) == [], where


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("rate(raccord_events[5m])", "no metric raccord_events"),
        ("raccord_lag_records_total", "no metric raccord_lag_records_total"),
        ('raccord_lag_records{stage="ingest"}', "raccord_lag_records has no label stage"),
        ("sum by (rule) (raccord_lag_records)", "nothing here has a label rule"),
        ('raccord_dead_letters_total{reason="rubbish"}', "reason is never rubbish"),
        ('raccord_triggers_total{outcome="sent"}', "outcome is never sent"),
    ],
)
def test_a_wrong_expression_is_found(wrong: str, said: str):
    assert problems(wrong) == [said]


def test_every_metric_of_a_worker_is_shown_or_alerted_on_or_left_out_on_purpose():
    read = {series for _, expression in expressions() for series, _ in selectors(expression)}
    left_out = {
        "raccord_info": "says what runs",
        "raccord_shadow_rule_in_force": "says what runs",
        "raccord_sending_policy_in_force": "says what runs",
        "raccord_forwarded": "normal work of the resolver",
        "raccord_restored_rows": "the ratio says it",
        "raccord_restore_seconds": "of the past",
        "raccord_figures": "how often, not what: the numbers themselves are shown",
        "raccord_standby_behind_records": "of rows that serve nobody yet",
    }
    for metric in METRICS:
        for kind, suffixes in SUFFIXES.items():
            if isinstance(metric, kind):
                shown = any(metric._name + suffix in read for suffix in suffixes)
                assert shown != (metric._name in left_out), metric._name


@pytest.mark.parametrize("name", ALERT_RULES)
def test_every_alert_says_how_bad_it_is_and_what_to_do(name: str):
    rule = ALERT_RULES[name]
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook"}
    assert len(notes["summary"]) < 100
    assert notes["runbook"] == f"deploy/RUNBOOK.md#{name.lower()}"


@pytest.mark.parametrize("name", ALERT_RULES)
def test_the_texts_of_an_alert_use_labels_that_it_has(name: str):
    rule = ALERT_RULES[name]
    text = " ".join(rule["annotations"].values())
    used = set(re.findall(r"\$labels\.(\w+)", text))
    series = [SERIES[name] for name, _ in selectors(rule["expr"])]
    aggregated = re.search(r"\bby \(", rule["expr"])
    left = grouped_by(rule["expr"]) - {"le"} if aggregated else set().union(*series)
    assert used <= left


def test_the_runbook_has_a_section_for_every_alert_and_no_other():
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == list(ALERT_RULES)


def test_links_within_the_runbook_lead_somewhere():
    anchors = {name.lower() for name in ALERT_RULES}
    assert set(re.findall(r"\]\(#(\w+)\)", RUNBOOK)) <= anchors


@pytest.mark.parametrize("document", ["RUNBOOK.md", "README.md"])
def test_commands_that_the_documents_name_exist(document: str):
    named = re.findall(r"(?:`|exec worker-1 |\d )raccord ([a-z-]+)", (DEPLOY / document).read_text())
    assert named
    assert set(named) <= COMMANDS.keys()


def test_every_alert_has_a_unit_test():
    assert set(re.findall(r'labels: ALERTS\{alertname="(\w+)"', ALERTS_TEST)) == ALERT_RULES.keys()


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (it comes with Prometheus): its own checks are left out")
    return subprocess.run(
        [program, *arguments],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
)
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]):
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_one_that_grafana_takes(name: str):
    board = DASHBOARDS[name]
    assert board["uid"] == name
    assert board["schemaVersion"] >= 39
    assert {"uid", "title", "panels", "time", "templating", "annotations"} <= board.keys()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    provided = {"type": "prometheus", "uid": source["datasources"][0]["uid"]}
    asked: list[Any] = [note["datasource"] for note in board["annotations"]["list"]]
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        asked += [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(datasource == provided for datasource in asked)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_has_a_unit_a_description_and_legends_of_its_own_labels(panel: dict[str, Any]):
    assert panel["type"] in {"timeseries", "stat", "bargauge"}
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    references = [target["refId"] for target in panel["targets"]]
    assert len(references) == len(set(references))
    for target in panel["targets"]:
        series = set().union(*(SERIES[name] for name, _ in selectors(target["expr"])))
        kept = grouped_by(target["expr"]) if " by (" in target["expr"] else series
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept - {"le"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fit_the_page_and_do_not_overlap(name: str):
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells


def test_the_dashboard_names_only_alerts_that_exist():
    named = {name for panel in PANELS for name in re.findall(r"Raccord[A-Z]\w+", panel["description"])}
    assert named
    assert named <= ALERT_RULES.keys()
