"""The benchmark of rules, on sizes that take a moment: what it measures is what it says it measures."""

from __future__ import annotations

from itertools import islice

import pytest

from stream_app.domain.rules import load_rule
from tests.benchmarks import late_events, pending_timers, rule_counts, rules_cost

SMALL = ["--runs", "1", "--rules", "0", "1", "16", "--shoppers", "20", "--days", "2", "--timers", "3000"]
SMALL += ["--epochs", "3", "--rows", "600", "--behind", "1", "100", "9000", "--no-write"]


def quiet(line: str) -> None:
    del line


@pytest.fixture
def measured():
    def measure(part: str):
        found = rules_cost.measure(rules_cost.parser().parse_args([*SMALL, "--only", part]), quiet)
        assert len(rules_cost.tables(found)) == 1
        return found[part]

    return measure


def test_more_rules_decide_more_about_the_same_events(measured):
    found = measured("rules")["by_rules"]
    assert [*found] == ["0", "1", "16"]
    none, one, many = (found[count]["decisions"] for count in found)
    assert none == 0 < one < many
    assert found["0"]["triggers"] == 0 < found["16"]["triggers"]
    assert found["0"]["timers_fired"] < found["16"]["timers_fired"]


def test_fifty_rules_are_fifty_different_ones_that_wait_differently():
    rules = rule_counts.rules_of(50)
    assert len({rule.name for rule in rules}) == 50
    assert rules[0].name == "abandoned_cart"
    shipped = {rule.name: rule for rule in rules if not rule.name[-1].isdigit()}
    for copy in rules[len(shipped) :]:
        original = shipped[copy.name.rpartition("_")[0]]
        assert (copy.after, copy.due_at) != (original.after, original.due_at)


def test_a_copy_of_what_can_not_be_changed_is_refused():
    with pytest.raises(ValueError, match="a copy needs"):
        rule_counts.copied("version: 1\nopens: {event: Page Viewed}\n", 1)


def test_every_copy_is_a_rule_that_loads():
    for source, text in islice(rule_counts.in_order(), 100):
        assert load_rule(text, source).version


def test_timers_fire_as_planned_and_come_back_from_a_restart_and_from_a_changelog(
    measured, bootstrap_servers, monkeypatch
):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers)
    found = measured("timers")
    assert (found["few"]["pending"], found["many"]["pending"]) == (1_000, 3_000)
    assert found["rebuild"]["rows"] == 3_000


def test_a_timer_in_the_changelog_is_the_row_that_a_task_writes(tmp_path):
    task = pending_timers.opened(tmp_path / "rows")
    due = pending_timers.START
    task.timers.set(due, pending_timers.key_of(due))
    assert task.store.changes() == [(pending_timers.TIMERS.prefix + pending_timers.row_of(due), b"")]
    task.store.close()


def test_a_late_event_folds_what_follows_it_again_and_an_event_in_order_folds_nothing(measured):
    found = measured("folding")["late_by_rows_behind"]
    assert [*found] == ["1", "100", late_events.BEGINNING]
    assert found["1"]["rows"]["min"] >= 2
    assert found["100"]["rows"]["min"] >= 101
    assert found[late_events.BEGINNING]["rows"]["min"] > 600
    assert found[late_events.BEGINNING]["epochs"]["max"] == 1


def test_a_life_in_order_is_not_folded_again(tmp_path):
    life = late_events.Life(tmp_path / "rows", 300)
    assert life._folded == 0
    assert len(life.times) == 300
    assert life.late(10).rows >= 11
    life.stage.close()
