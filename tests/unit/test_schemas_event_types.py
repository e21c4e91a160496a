"""The documented event types hang together, and are read by their names."""

from __future__ import annotations

import pytest

import schemas


def test_event_types_name_configured_channels_only():
    channels = set(schemas.read_yaml("channels.yaml")["channels"])
    for event_type in schemas.event_types().values():
        assert event_type.channels
        assert set(event_type.channels) <= channels, event_type.name


def test_every_channel_has_event_types():
    used = {channel for event_type in schemas.event_types().values() for channel in event_type.channels}
    assert used == set(schemas.read_yaml("channels.yaml")["channels"])


def test_every_documented_property_belongs_to_an_event_type():
    used = {name for event_type in schemas.event_types().values() for name in event_type.properties}
    assert used == set(schemas.read_yaml("event_types.yaml")["properties"])


@pytest.mark.parametrize("name", ["Product Added", "Order Completed", "Consent Changed", "Call Started"])
def test_the_types_that_the_road_depends_on_are_documented(name):
    event_type = schemas.event_types()[name]
    assert event_type.name == name
    assert all(event_type.properties.values())


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match="nothing"):
        schemas.read_text("rules/nothing.yaml")
