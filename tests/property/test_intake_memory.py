"""An intake remembers whom identifiers name, and says the same as one that remembers nothing; so does its twin."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.event import ChannelEvent
from stream_app.domain.messages import EventAt, decode_event, decode_lookup
from stream_app.wire import encode_payload, encode_single_object, read_payload
from stream_app.wire import intake as python
from stream_app.wire.chosen import Intake
from tests.property.examples import examples
from tests.property.intakes import KEY, SPACES, events, identifiers, intake, one, policy, spaces, taken

KINDS = list(dict.fromkeys([python.Intake, Intake]))
kinds = st.sampled_from(KINDS)
POLICIES = [policy(), policy("email"), policy("email", "cookie"), policy(blocked="a@.*")]


def event(**named: Any) -> ChannelEvent:
    return ChannelEvent("e", 1_700_000_000_000, "web", "x", named, {})


@examples(300)
@given(
    kinds, st.lists(identifiers, min_size=1, max_size=4), st.lists(st.integers(0, 3), min_size=2, max_size=8)
)
def test_what_is_remembered_is_what_would_be_found(kind, drawn, order):
    taking = intake(kind)
    for place in order:
        sent = msgspec.structs.replace(event(), identifiers=drawn[place % len(drawn)])
        value = encode_single_object(sent)
        assert taken(taking, value) == taken(intake(python.Intake), value)


@examples(500)
@given(st.lists(st.dictionaries(spaces, one | st.lists(one, max_size=3), max_size=3), min_size=2, max_size=6))
def test_values_that_equal_each_other_and_are_not_the_same_are_told_apart(drawn):
    taking = intake(python.Intake)
    for named in (*drawn, *drawn):
        assert taking.who(event(**named)) == intake(python.Intake).who(event(**named))


@pytest.mark.parametrize("first", [1, 1.0, True, "1"])
def test_one_is_not_one_point_nought_is_not_true(first):
    taking = intake(python.Intake)
    taking.who(event(user_id=first))
    for value, named in (
        (1, "1"),
        (1.0, "1"),
        (True, None),
        (False, None),
        (0.5, "0.5"),
        ("1", "1"),
        ("1.0", "1.0"),
    ):
        expected = () if named is None else (f"user_id:{named}",)
        assert taking.who(event(user_id=value)).identifiers == expected


@examples(100)
@given(st.lists(events, min_size=1, max_size=3))
def test_policies_and_keys_share_no_memory(drawn):
    for kind in KINDS:
        for using in POLICIES:
            for key in (KEY, b"another"):
                taking = intake(kind, using, key=key)
                for sent in (*drawn, *drawn):
                    value = encode_single_object(sent)
                    assert taken(taking, value) == taken(intake(python.Intake, using, key=key), value)


@examples(100)
@given(kinds, events)
def test_a_message_is_what_the_next_hop_reads(kind, sent):
    taking = intake(kind, policy("email"))
    told: list[Any] = []
    sent.identifiers["user_id"] = "ana"
    sent.channel = "web"
    value = encode_single_object(sent)
    time, message, key = taking.take(value, (), "web", 1 << 60, "topic/1/", 99, 77, told.append)
    read = decode_lookup(message)
    assert isinstance(read, EventAt)
    inner = decode_event(read.event)
    who = intake(python.Intake, policy("email")).who(sent)
    assert (time, inner.time, inner.event_id, inner.type) == (sent.time, sent.time, sent.event_id, sent.type)
    assert (inner.source, inner.received, inner.channel) == ("topic/1/99", 1 << 60, "web")
    assert (inner.identifiers, read.labels, key) == (who.identifiers, who.labels, who.labels[0].encode())
    assert repr((inner.properties, inner.context)) == repr((sent.properties, sent.context))
    assert read.stamp == 77
    assert read_payload(read.payload).properties == sent.properties
    if "email" not in sent.identifiers:
        assert read.payload == encode_payload(sent)


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_is_bounded(kind, monkeypatch):
    """Each combination is asked for again when the memory was emptied between: so asking is counted."""
    for module in {python, __import__(kind.__module__, fromlist=["x"])}:
        monkeypatch.setattr(module, "REMEMBERED", 10)
    monkeypatch.setattr(python.Intake, "find", counted(python.Intake.find))
    taking = intake(kind)
    values = [encode_single_object(event(cookie=f"c{n}")) for n in range(11)]
    for value in values[:10]:
        taken(taking, value)
    for value in values[:10]:
        taken(taking, value)
    assert counted.calls == 10
    taken(taking, values[10])
    taken(taking, values[0])
    assert counted.calls == 12


def counted(function: Any) -> Any:
    counted.calls = 0

    def counting(*arguments: Any) -> Any:
        counted.calls += 1
        return function(*arguments)

    return counting


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_long_is_not_remembered(kind, monkeypatch):
    monkeypatch.setattr(python.Intake, "find", counted(python.Intake.find))
    taking = intake(kind)
    for named in ({"cookie": "x" * 1_100}, {"x" * 1_100: None}, dict.fromkeys(SPACES, "y" * 300)):
        before = counted.calls
        for _ in range(3):
            taken(taking, encode_single_object(event(**named)))
        assert counted.calls >= before + 3


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_out_is_reported_each_time(kind):
    taking = intake(kind)
    value = encode_single_object(event(cookie="c", email="null", phone=["guest", "1"]))
    first = taken(taking, value)
    assert "BLOCKED" in first
    assert first == taken(taking, value) == taken(taking, value)
