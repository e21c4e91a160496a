"""The topics as they must be, and who reads them."""

from __future__ import annotations

import pytest

from stream_app.app import _stages, in_force_of, load_policy, load_rules, load_segments
from stream_app.domain.reference import KEPT_MS
from stream_app.engine.watermark import TimeMode
from stream_app.errors import UserError
from stream_app.settings import Settings
from stream_app.topology import Topics

SETTINGS = Settings(prefix="p.", partitions=3)
TOPICS = Topics.of(SETTINGS, ())


def test_commands_are_kept_for_ever_and_dated_by_the_broker():
    spec = next(spec for spec in TOPICS.specs(SETTINGS) if spec.name == "p.identity.commands")
    channel = next(spec for spec in TOPICS.specs(SETTINGS) if spec.name == TOPICS.channels["web"])
    assert (spec.partitions, spec.config) == (3, {**channel.config, "retention.ms": "-1"})
    assert spec.config["message.timestamp.type"] == "LogAppendTime"


def test_what_a_replay_reads_keeps_the_timestamps_that_it_came_with():
    replay = SETTINGS.model_copy(update={"time": TimeMode.EVENTS})
    copied = {*TOPICS.inputs.values(), TOPICS.commands}
    for live, other in zip(TOPICS.specs(SETTINGS), TOPICS.specs(replay), strict=True):
        if live.name in copied:
            assert live.config["message.timestamp.type"] == "LogAppendTime"
            assert other.config == {**live.config, "message.timestamp.type": "CreateTime"}
        else:
            assert other == live


def test_commands_are_read_by_the_first_stage_and_hold_nobodys_time_back():
    ingest, resolve, *_ = _stages(SETTINGS, in_force_of(SETTINGS), load_policy(SETTINGS))
    assert set(ingest.topics) == {*TOPICS.inputs.values(), TOPICS.commands}
    assert set(resolve.upstream) == set(TOPICS.inputs.values())


def test_all_versions_of_a_row_of_reference_data_are_kept_as_long_as_partitions_know_them():
    feed = next(spec for spec in TOPICS.specs(SETTINGS) if spec.name == "p.reference.products")
    assert feed.config["cleanup.policy"] == "compact"
    assert int(feed.config["min.compaction.lag.ms"]) >= KEPT_MS


def test_numbers_are_a_table_of_which_the_last_value_of_every_key_is_kept():
    spec = next(spec for spec in TOPICS.specs(SETTINGS) if spec.name == "p.numbers")
    assert (spec.partitions, spec.config["cleanup.policy"]) == (3, "compact")


def test_the_topic_of_shadow_rules_is_there_only_where_there_may_be_some(tmp_path):
    shadowed = SETTINGS.model_copy(update={"shadow_rules": tmp_path})
    without = {spec.name for spec in TOPICS.specs(SETTINGS)}
    assert {spec.name for spec in TOPICS.specs(shadowed)} - without == {"p.triggers.shadow"}


def test_no_rule_takes_a_name_whose_topic_is_another_ones(tmp_path):
    (tmp_path / "shadow.yaml").write_text("name: shadow\nversion: 1\nopens: {event: Product Viewed}\n")
    with pytest.raises(UserError, match=r"shadow\.yaml:1:1: name: triggers\.shadow is another topic"):
        load_rules(Settings(rules=tmp_path))


@pytest.mark.parametrize("read", [load_rules, load_segments, in_force_of, load_policy])
def test_a_file_that_is_no_text_is_named_whatever_it_is(tmp_path, read):
    broken = tmp_path / "x.yaml"
    broken.write_bytes(b"name: caf\xe9\n")
    settings = {
        load_rules: Settings(rules=tmp_path),
        load_segments: Settings(segments=tmp_path),
        in_force_of: Settings(sending_policy=broken),
        load_policy: Settings(identity_policy=broken),
    }[read]
    with pytest.raises(UserError, match=r"x\.yaml: it is no UTF-8 text"):
        read(settings)
