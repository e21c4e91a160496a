"""What producers get wrong, on a live pipeline: refused with a reason, kept as it came, and in nobody's way.

Bad records of every kind lie in one topic between good ones in all three formats. `raccord dead-letters` then
lists and shows them, and sends one again whose cause was mended.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from confluent_kafka import Producer

from stream_app.app import VERSION
from stream_app.domain.event import ChannelEvent
from stream_app.domain.refusal import Reason
from stream_app.wire import (
    DeadLetter,
    dead_letter_headers,
    encode_cloudevent_binary,
    encode_cloudevent_structured,
    encode_single_object,
)
from tests.pipeline_job import Pipeline
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.broker

JSON = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
TRACE = [("traceparent", b"00-\xff\x00"), ("raccord-reason", b"forged"), ("nothing", None)]
ODD_KEY = b"\xff\xfe not utf-8"
NOW = int(time.time() * 1000)
DAY = 86_400_000
GOOD = 30
LARGE = "large-but-sound"

Headers = list[tuple[str, bytes | None]]


class Bad(NamedTuple):
    """A record that must be refused, and why."""

    reason: Reason
    value: bytes | None
    headers: Headers = []  # noqa: RUF012 - nobody changes it
    key: bytes | None = b"key"


def event(event_id: str, identifiers: dict[str, Any], at: int = NOW, **properties: Any) -> ChannelEvent:
    return ChannelEvent(event_id, at, "web", "Product Viewed", identifiers, properties)


def cloud_event(**changes: Any) -> bytes:
    whole = {
        "specversion": "1.0", "id": "bad", "source": "/test", "type": "Product Viewed",
        "time": "2026-01-01T00:00:00Z", "data": {"identifiers": {"cookie": "bad"}, "properties": {"name": "MARK"}},
    }  # fmt: skip
    return json.dumps(
        {name: value for name, value in (whole | changes).items() if value is not None}
    ).encode()


def large_but_sound() -> bytes:
    """An event of 1.5 MB, each field of which is within bounds: larger than the default limit and no larger."""
    return encode_single_object(event(LARGE, {"cookie": LARGE}, **{f"p{n}": "x" * 50_000 for n in range(30)}))


BAD = {
    "null value": Bad(Reason.EMPTY, None, key=None),
    "empty value": Bad(Reason.EMPTY, b"", TRACE),
    "garbage": Bad(Reason.UNDECODABLE, b"\x9f\x00garbage\xff", TRACE, ODD_KEY),
    "half an event": Bad(Reason.UNDECODABLE, cloud_event()[:60], JSON),
    "half an avro event": Bad(
        Reason.UNDECODABLE, encode_single_object(event("half", {"cookie": "half"}))[:-9]
    ),
    "unknown fingerprint": Bad(Reason.UNKNOWN_SCHEMA, b"\xc3\x01" + bytes(range(40)), TRACE),
    "registry's schema, no registry": Bad(Reason.UNKNOWN_SCHEMA, b"\x00\x00\x00\x00\x07value"),
    "not utf-8": Bad(Reason.INVALID_UTF8, cloud_event().replace(b"MARK", b"th\xe9i\xe8re"), JSON),
    "without an id": Bad(Reason.MISSING_FIELD, cloud_event(id=None), [*JSON, *TRACE]),
    "without identifiers": Bad(Reason.MISSING_FIELD, cloud_event(data={"properties": {}}), JSON),
    "time is a word": Bad(Reason.INVALID_FIELD, cloud_event(time="yesterday"), JSON),
    "type is a number": Bad(Reason.INVALID_FIELD, cloud_event(type=42), JSON),
    "long field": Bad(
        Reason.TOO_LARGE, encode_single_object(event("long", {"cookie": "c"}, name="x" * 70_000))
    ),
    "long id": Bad(Reason.TOO_LARGE, encode_single_object(event("i" * 300, {"cookie": "c"}))),
    "ten megabytes": Bad(
        Reason.TOO_LARGE, cloud_event(data={"identifiers": {}, "x": "x" * 10_000_000}), JSON
    ),
    "larger than allowed": Bad(Reason.TOO_LARGE, large_but_sound(), TRACE, ODD_KEY),
    "deep": Bad(Reason.TOO_DEEP, cloud_event().replace(b'"MARK"', b"[" * 5_000 + b"]" * 5_000), JSON),
    "seconds for milliseconds": Bad(
        Reason.TIME_OUT_OF_RANGE, encode_single_object(event("1970", {"cookie": "c"}, NOW // 1000))
    ),
    "five years ahead": Bad(
        Reason.TIME_OUT_OF_RANGE, encode_single_object(event("2031", {"cookie": "c"}, NOW + 5 * 365 * DAY))
    ),
    "nobody": Bad(Reason.NO_IDENTIFIER, encode_single_object(event("nobody", {}))),
    "guest": Bad(
        Reason.NO_IDENTIFIER, encode_single_object(event("guest", {"user_id": "guest", "cookie": None}))
    ),
}


def good(number: int) -> tuple[bytes, Headers]:
    one = event(f"good-{number}", {"cookie": f"good-{number}"}, NOW - 60_000 + number, sku="SKU-1")
    if number % 3 == 0:
        return encode_single_object(one), []
    if number % 3 == 1:
        return encode_cloudevent_structured(one)
    return encode_cloudevent_binary(one)


class Refused(NamedTuple):
    """The pipeline, what it refused by where it came from, and where each bad record went."""

    pipeline: Pipeline
    letters: dict[tuple[int, int], list[Any]]
    sent: dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def refused(bootstrap_servers, tmp_path_factory) -> Iterator[Refused]:
    prefix, folder = f"t{uuid.uuid4().hex[:10]}.", tmp_path_factory.mktemp("bad")
    with Pipeline(
        bootstrap_servers, prefix, folder, {"RACCORD_CHANNELS": "web,store", "RACCORD_TIME": "wall"}
    ) as pipeline:
        pipeline.start("w1")
        sent = send_everything(pipeline)
        topics = pipeline.topics
        expected = len(BAD) + 1
        assert wait_for(lambda: len(pipeline.read(topics.dead_letters)) >= expected, 60)
        assert wait_for(lambda: len(pipeline.read(topics.timeline)) >= GOOD + 1)
        time.sleep(1.0)  # for what may come too often
        letters: dict[tuple[int, int], list[Any]] = {}
        for record in pipeline.read(topics.dead_letters):
            headers = dict(record.headers)
            place = int(headers["raccord-partition"]), int(headers["raccord-offset"])
            letters.setdefault(place, []).append(record)
        yield Refused(pipeline, letters, sent)


def send_everything(pipeline: Pipeline) -> dict[str, tuple[int, int]]:
    """Good and bad in turns, all in one topic; return partition and offset of each bad one."""
    producer = Producer(
        {
            "bootstrap.servers": pipeline.bootstrap,
            "message.max.bytes": 16_777_216,
            "partitioner": "murmur2_random",
        }
    )
    topic, places = pipeline.topics.channels["web"], {}

    def produce(name: str | None, value: bytes | None, key: bytes | None, headers: Headers) -> None:
        def delivered(error: Any, message: Any) -> None:
            assert error is None, error
            if name is not None:
                places[name] = message.partition(), message.offset()

        producer.produce(topic, value, key, headers=headers, on_delivery=delivered)

    for number, (name, bad) in enumerate(BAD.items()):
        value, headers = good(number)
        produce(None, value, b"good", headers)
        produce(name, bad.value, bad.key, bad.headers)
    for number in range(len(BAD), GOOD):
        value, headers = good(number)
        produce(None, value, b"good", headers)
    original = event("twice", {"cookie": "twice"}, sku="first")
    produce(None, encode_single_object(original), b"twice", [])
    original.properties["sku"] = "second"
    produce("conflict", encode_single_object(original), b"twice", [])
    assert producer.flush(30) == 0
    return places


def test_the_good_between_the_bad_are_all_applied(refused):
    books = refused.pipeline.books()
    assert set(books.owner) == {*(f"good-{number}" for number in range(GOOD)), "twice"}
    assert books.balanced


def test_the_worker_is_alive(refused):
    refused.pipeline.check()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_dead_lettered_once_with_its_reason_and_as_it_came(refused, name):
    bad, place = BAD[name], refused.sent[name]
    (record,) = refused.letters[place]
    assert record.value == bad.value
    assert record.key == bad.key
    headers = list(record.headers)
    detail = dict(headers)["raccord-detail"].decode()
    timestamp = int(dict(headers)["raccord-timestamp"])
    letter = DeadLetter(
        bad.reason,
        detail,
        refused.pipeline.topics.channels["web"],
        *place,
        timestamp,
        "ingest",
        VERSION,
        bad.headers,
    )
    assert headers == dead_letter_headers(letter)
    assert detail
    assert abs(timestamp - NOW) < DAY


def test_nothing_else_is_dead_lettered_but_the_second_event_under_one_id(refused):
    assert refused.letters.keys() == set(refused.sent.values())
    (record,) = refused.letters[refused.sent["conflict"]]
    headers = dict(record.headers)
    assert headers["raccord-reason"] == b"conflict"
    assert headers["raccord-topic"].decode() == refused.pipeline.topics.channels["web"]
    assert headers["raccord-stage"] == b"customer"
    assert b"second" in record.value
    assert b"first" not in record.value


def test_every_reason_that_a_producer_can_cause_is_shown_here():
    assert {bad.reason for bad in BAD.values()} == set(Reason) - {Reason.CONFLICT, Reason.POISON}


def test_no_value_of_a_refused_event_is_in_the_logs(refused):
    log = refused.pipeline.log("w1")
    assert "good-" not in log
    assert "garbage" not in log


# -- raccord dead-letters


def listed(refused: Refused, *options: str) -> list[dict[str, str]]:
    done = refused.pipeline.raccord("dead-letters", "list", "--json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_list_names_each_dead_letter_and_its_origin(refused):
    letters = listed(refused)
    topic = refused.pipeline.topics.channels["web"]
    assert {letter["from"] for letter in letters} >= {f"{topic}/{p}/{o}" for p, o in refused.sent.values()}
    too_large = listed(refused, "--reason", "too_large")
    assert {letter["reason"] for letter in too_large} == {"too_large"}
    assert len(too_large) == sum(bad.reason == Reason.TOO_LARGE for bad in BAD.values())


def test_list_counts_by_reason_for_people(refused):
    done = refused.pipeline.raccord("dead-letters", "list")
    assert done.returncode == 0, done.stderr
    assert b"too_large 4" in done.stdout
    assert b"MARK" not in done.stdout


def letter_of(refused: Refused, name: str) -> str:
    topic, (partition, offset) = refused.pipeline.topics.channels["web"], refused.sent[name]
    return next(one["id"] for one in listed(refused) if one["from"] == f"{topic}/{partition}/{offset}")


def test_show_gives_the_whole_record_and_raw_gives_its_bytes(refused):
    letter_id = letter_of(refused, "garbage")
    done = refused.pipeline.raccord("dead-letters", "show", letter_id)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["reason"], shown["stage"], shown["version"]) == ("undecodable", "ingest", VERSION)
    assert shown["headers"] == [
        ["traceparent", "00-\\xff\x00"],
        ["raccord-reason", "forged"],
        ["nothing", None],
    ]
    assert "garbage" in shown["value"]
    raw = refused.pipeline.raccord("dead-letters", "show", letter_id, "--raw")
    assert raw.stdout == BAD["garbage"].value


@pytest.mark.parametrize("letter_id", ["0/999999", "7/0", "nonsense", "0/x"])
def test_a_dead_letter_that_there_is_not_is_one_sentence_and_exit_code_2(refused, letter_id):
    done = refused.pipeline.raccord("dead-letters", "show", letter_id)
    assert done.returncode == 2
    assert done.stderr.startswith(b"raccord: ")
    assert b"Traceback" not in done.stderr


def test_replay_wants_to_be_told_which(refused):
    done = refused.pipeline.raccord("dead-letters", "replay")
    assert done.returncode == 2
    assert b"--all" in done.stderr


def test_an_event_is_applied_by_a_replay_once_its_cause_is_mended(refused):
    pipeline = refused.pipeline
    pipeline.workers["w1"].stop()
    pipeline.environment["RACCORD_MAX_VALUE_BYTES"] = str(4 << 20)
    del pipeline.workers["w1"]
    pipeline.start("w1")
    done = pipeline.raccord("dead-letters", "replay", letter_of(refused, "larger than allowed"))
    assert done.returncode == 0, done.stderr
    assert b"1 sent again" in done.stdout
    assert wait_for(lambda: LARGE in pipeline.published(), 40)
    channel = pipeline.read(pipeline.topics.channels["web"])
    again = [r for r in channel if r.value == BAD["larger than allowed"].value]
    assert [(record.key, list(record.headers)) for record in again] == [(ODD_KEY, TRACE)] * 2
    pipeline.check()
