from __future__ import annotations

from confluent_kafka import Consumer

from stream_app.engine.group_metadata import group_metadata


def test_the_metadata_has_the_bytes_that_librdkafka_itself_writes():
    consumer = Consumer({"group.id": "a-group", "bootstrap.servers": "127.0.0.1:1"})
    try:
        assert group_metadata("a-group", -1, "") == consumer.consumer_group_metadata()
    finally:
        consumer.close()


def test_generation_and_member_are_part_of_the_bytes():
    assert group_metadata("g", 7, "m") == b"CGMDv2:\x07\x00\x00\x00g\x00m\x00\x01"
