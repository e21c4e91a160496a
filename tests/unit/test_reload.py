"""Rules that change under a running worker: what takes over, what doesn't, and what is said about it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from stream_app import app, metrics
from stream_app.agents.in_force import InForce
from stream_app.agents.reload import Reload
from stream_app.app import RuleFiles, _watched, in_force_of, load_policy, load_segments
from stream_app.engine.errors import TopicsError
from stream_app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

RULE = """\
name: {name}
version: {version}
opens: {{event: Product Added}}
after: {after}
"""


class Desk:
    """A deployment's files, and the watch over them; `epoch` is what the engine does between two of them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "rules"
        self.policy = folder / "sending.yaml"
        self.folder.mkdir()
        self.policy.write_text("caps: [{times: 3, per: 1d}]\n")
        self.write("cart", 1)
        settings = Settings(rules=self.folder, sending_policy=self.policy, bootstrap_servers="none:9")
        self.missing: list[str] = []
        self.reads = 0
        monkeypatch.setattr(app.kafka_topics, "check", self._check)
        self.in_force = in_force_of(settings)
        self.files = RuleFiles(settings, load_policy(settings), load_segments(settings))
        self.reload = Reload(_watched(settings), self, self.in_force)
        self.look()

    def _check(self, _servers: str, specs: Any) -> None:
        lacking = [f"topic {spec.name} is missing" for spec in specs if spec.name in self.missing]
        if lacking:
            raise TopicsError(lacking)

    def read(self) -> Any:
        self.reads += 1
        return self.files.read()

    def terms(self, written: Any) -> Any:
        return self.files.terms(written)

    def write(self, name: str, version: int, after: str = "30m", text: str | None = None) -> Path:
        file = self.folder / f"{name}.yaml"
        file.write_text(RULE.format(name=name, version=version, after=after) if text is None else text)
        return file

    def look(self) -> list[Any]:
        """Look twice, as a file must stand still, and take over what is ready; return what was logged."""
        with capture_logs() as logged:
            self.reload.look()
            self.reload.look()
            self.reload.take_over()
        return logged

    def running(self) -> list[str]:
        return [rule.id for rule in self.in_force.terms.written.book.rules]


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def failed() -> float:
    return metrics.REGISTRY.get_sample_value("raccord_rules_reload_failed") or 0.0


def shown() -> set[tuple[str, str]]:
    """Return the rules that the metrics say are in force."""
    found = next(one for one in metrics.REGISTRY.collect() if one.name == "raccord_rule_in_force")
    return {(sample.labels["rule"], sample.labels["version"]) for sample in found.samples}


def test_files_that_did_not_change_are_not_read_again(desk):
    reads = desk.reads
    for _ in range(5):
        desk.look()
    assert desk.reads == reads
    assert desk.running() == ["cart@1"]


def test_a_higher_version_takes_over_and_the_metrics_and_the_log_say_so(desk):
    desk.write("cart", 2, "40m")
    logged = desk.look()
    assert desk.running() == ["cart@2"]
    assert shown() == {("cart", "2")}
    assert [(one["event"], one["rules"]) for one in logged] == [("rules_in_force", ["cart@2"])]


def test_nothing_takes_over_in_the_middle_of_an_epoch(desk):
    desk.write("cart", 2)
    desk.reload.look()
    desk.reload.look()
    assert desk.running() == ["cart@1"]
    desk.reload.take_over()
    assert desk.running() == ["cart@2"]


def test_a_file_that_is_being_written_is_left_alone_until_it_stands_still(desk):
    desk.write("cart", 2)
    desk.reload.look()
    desk.write("cart", 3)
    desk.reload.look()
    desk.reload.take_over()
    assert desk.running() == ["cart@1"]
    desk.reload.look()
    desk.reload.take_over()
    assert desk.running() == ["cart@3"]


def test_a_signal_says_that_the_files_are_whole(desk):
    desk.write("cart", 2)
    desk.reload.look(asked=True)
    desk.reload.take_over()
    assert desk.running() == ["cart@2"]


def test_a_broken_file_keeps_the_old_rules_and_says_once_where_it_is_broken(desk):
    file = desk.write("cart", 2, text="name: cart\nversion: two\nopens: {event: Product Added}\n")
    logged = desk.look()
    assert desk.running() == ["cart@1"]
    assert failed() == 1.0
    (error,) = logged
    assert (error["event"], error["log_level"]) == ("rules_reload_failed", "error")
    assert error["reason"].startswith(f"{file}:2:10: ")
    assert desk.look() == []
    assert failed() == 1.0


def test_a_file_that_is_mended_takes_over_and_the_alarm_ends(desk):
    desk.write("cart", 2, text="name: [")
    desk.look()
    desk.write("cart", 2)
    desk.look()
    assert desk.running() == ["cart@2"]
    assert failed() == 0.0


def test_a_broken_file_that_is_put_back_ends_the_alarm_without_anything_taking_over(desk):
    before = desk.in_force.terms
    desk.write("cart", 2, text="name: [")
    desk.look()
    desk.write("cart", 1)
    desk.look()
    assert desk.in_force.terms is before
    assert failed() == 0.0


def test_a_rule_without_its_topic_waits_for_it_and_the_others_stay_as_they_run(desk):
    desk.missing = ["triggers.browse"]
    desk.write("browse", 1)
    desk.write("cart", 2)
    (error,) = desk.look()
    assert "topic triggers.browse is missing - run `raccord topics create`" in error["reason"]
    assert desk.running() == ["cart@1"]
    assert failed() == 1.0
    desk.missing = []
    reads = desk.reads
    desk.reload.look()
    desk.reload.take_over()
    assert desk.running() == ["browse@1", "cart@2"]
    assert desk.in_force.terms.topics.triggers["browse"] == "triggers.browse"
    assert (desk.reads, failed()) == (reads, 0.0)


def test_a_version_with_another_content_than_the_one_that_runs_is_refused(desk):
    desk.write("cart", 1, "40m")
    (error,) = desk.look()
    assert error["reason"] == "cart version 1 runs with another content: raise its version"
    assert (desk.running(), failed()) == (["cart@1"], 1.0)


def test_another_description_of_the_same_version_is_no_change(desk):
    before = desk.in_force.terms
    desk.write("cart", 1, text=RULE.format(name="cart", version=1, after="30m") + "description: Left.\n")
    assert desk.look() == []
    assert desk.in_force.terms is before
    assert failed() == 0.0


def test_a_removed_rule_goes_and_a_folder_without_rules_is_a_mistake(desk):
    desk.write("browse", 1)
    desk.look()
    (desk.folder / "cart.yaml").unlink()
    desk.look()
    assert (desk.running(), shown()) == (["browse@1"], {("browse", "1")})
    (desk.folder / "browse.yaml").unlink()
    (error,) = desk.look()
    assert "there is no rule file" in error["reason"]
    assert desk.running() == ["browse@1"]


def test_a_changed_sending_policy_takes_over(desk):
    before = desk.in_force.terms.written.book.policy.digest
    desk.policy.write_text("caps: [{times: 1, per: 1d}]\n")
    desk.look()
    policy = desk.in_force.terms.written.book.policy
    assert [cap.times for cap in policy.caps] == [1]
    assert policy.digest != before
    assert (
        metrics.REGISTRY.get_sample_value("raccord_sending_policy_in_force", {"digest": policy.digest}) == 1
    )


def test_a_broken_sending_policy_names_no_suppressed_person(desk):
    desk.policy.write_text("suppressed: [email:ana@example.org, email:ana@example.org]\n")
    (error,) = desk.look()
    assert error["reason"].startswith(f"{desk.policy}:1:")
    assert "ana@example.org" not in str(error)


def test_a_file_that_is_no_text_and_one_that_vanishes_change_nothing(desk):
    file = desk.folder / "cart.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    (error,) = desk.look()
    assert "UTF-8" in error["reason"]
    desk.policy.unlink()
    desk.write("cart", 2)
    (error,) = desk.look()
    assert f"{desk.policy} can't be read" in error["reason"]
    assert desk.running() == ["cart@1"]


def test_a_file_of_the_same_size_and_time_that_took_the_others_place_is_noticed(desk):
    file = desk.folder / "cart.yaml"
    before = file.stat()
    other = desk.folder / "new"
    other.write_text(file.read_text().replace("version: 1", "version: 2"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    desk.look()
    assert desk.running() == ["cart@2"]


def test_every_task_goes_by_the_new_terms_those_that_come_later_too():
    now, then = SimpleNamespace(name="now"), SimpleNamespace(name="then")

    class Task:
        def adopt(self, terms: Any) -> None:
            self.terms = terms

    in_force, early, late = InForce(now), Task(), Task()
    in_force.follow(early)
    assert early.terms is now
    in_force.replace(then)
    in_force.follow(late)
    assert early.terms is late.terms is then
