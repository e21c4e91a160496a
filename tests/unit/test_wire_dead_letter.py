"""Dead letters say why and from where, and nothing of the original is lost."""

from __future__ import annotations

import pytest

from stream_app.domain.refusal import Reason
from stream_app.wire import DeadLetter, dead_letter_headers, parse_dead_letter

ORIGINAL = [
    ("traceparent", b"00-1"),
    ("empty", b""),
    ("nothing", None),
    ("twice", b"1"),
    ("twice", b"\xff"),
    ("raccord-reason", b"mine"),
    ("raccord-original-x", b"2"),
    ("raccord-", None),
]
LETTER = DeadLetter(
    Reason.TOO_DEEP, "nested é", "channel.web", 3, 42, 1_700_000_000_000, "ingest", "0.1.0", ORIGINAL
)


def test_a_dead_letter_is_read_back_with_the_original_headers():
    assert parse_dead_letter(dead_letter_headers(LETTER)) == LETTER


def test_headers_that_do_not_clash_are_untouched_and_in_their_order():
    headers = dead_letter_headers(LETTER)
    assert headers[8:13] == ORIGINAL[:5]
    assert ("raccord-original-raccord-reason", b"mine") in headers
    assert dict(headers)["raccord-reason"] == b"too_deep"
    assert dict(headers)["raccord-offset"] == b"42"


def test_a_long_detail_is_cut():
    letter = DeadLetter(Reason.POISON, "x" * 5000, "t", 0, 0, -1, "customer", "1")
    assert len(dict(dead_letter_headers(letter))["raccord-detail"] or b"") == 1024


def test_a_detail_with_half_a_surrogate_pair_is_written_all_the_same():
    letter = DeadLetter(Reason.POISON, "\ud800", "t", 0, 0, -1, "customer", "1")
    assert dict(dead_letter_headers(letter))["raccord-detail"] == b"?"


@pytest.mark.parametrize(
    "name", ["reason", "detail", "topic", "partition", "offset", "timestamp", "stage", "version"]
)
def test_a_missing_header_is_named(name):
    headers = [header for header in dead_letter_headers(LETTER) if header[0] != f"raccord-{name}"]
    with pytest.raises(ValueError, match=f"raccord-{name} is missing"):
        parse_dead_letter(headers)


@pytest.mark.parametrize(("name", "value"), [("reason", b"because"), ("offset", b"x"), ("partition", None)])
def test_a_header_that_is_not_what_it_must_be_is_refused(name, value):
    headers = [(k, value if k == f"raccord-{name}" else v) for k, v in dead_letter_headers(LETTER)]
    with pytest.raises(ValueError, match=r"not a valid|invalid literal"):
        parse_dead_letter(headers)
