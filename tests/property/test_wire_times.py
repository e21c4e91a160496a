"""Times and contexts have ways of their own to be read and written: to the same effect as the general ones."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.event import ChannelEvent, Context
from stream_app.wire import encode_payload, read_payload
from stream_app.wire.avro_writer import write_long, write_time
from stream_app.wire.timestamps import parse_timestamp

int64 = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 63).flatmap(
    lambda bits: st.sampled_from([n for n in (2**bits - 1, 2**bits, -(2**bits)) if -(2**63) <= n < 2**63])
)


@given(int64)
def test_a_time_is_written_as_any_integer(value):
    assert write_time(value) == write_long(value)


@given(int64, st.none() | int64, st.none() | int64)
def test_any_integer_is_read_as_a_time(time, sent_at, received_at):
    event = ChannelEvent("e", time, "web", "t", {}, {}, sent_at, received_at)
    assert read_payload(encode_payload(event)) == event


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=3), st.sampled_from([None, {}, {"ads": True}]))
def test_a_context_that_was_read_before_is_read_the_same_again(locales, consent):
    for locale in locales * 2:
        event = ChannelEvent("e", 1, "web", "t", {}, {}, context=Context(locale, None, None, consent))
        payload = encode_payload(event)
        assert read_payload(payload) == event
        assert read_payload(payload).context == event.context


def outcome(text: str) -> int | None:
    try:
        return parse_timestamp(text)
    except ValueError:
        return None


@settings(deadline=None)
@given(
    st.lists(
        st.from_regex(r"(2024-02-29|1969-12-31|0001-01-01|2023-02-29)[Tt ]23:5[89]:", fullmatch=True),
        min_size=1,
        max_size=3,
    ),
    st.lists(
        st.from_regex(r"([0-5]\d|60|61|99|\d.| \d|\+\d)\.[\d ]\d[\d_]", fullmatch=True),
        min_size=1,
        max_size=5,
    ),
)
def test_a_timestamp_of_a_minute_that_was_read_before_is_read_like_any(minutes, seconds):
    for second in ("00.000", *seconds):
        for minute in minutes:
            # With its offset spelled out it is longer, and read the general way.
            assert outcome(f"{minute}{second}Z") == outcome(f"{minute}{second}+00:00")
