"""No value of an identifier, and nothing that an event says, in logs, metrics, or the reasons of dead letters.

Everything that a worker may have a word to say about is done with values that carry a mark: events good and bad,
conflicts, links and unions that are refused, shared and blocked values, commands right and wrong, records on
which a handler fails. The worker logs all that it can.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from connectors.planned import Planned
from stream_app.domain.commands import Op
from stream_app.domain.event import ChannelEvent, Context
from stream_app.domain.messages import EventAt, EventTo, encode
from stream_app.wire import IdentityCommand
from tests.pipeline_job import FAST, Pipeline
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.broker

MARK = "zzsecret"
NUMBER = "39984711"
PHONE = f"+336{NUMBER}"
SPACED = "6 39 98 47 11"
TRACES = (MARK, NUMBER, "39 98 47 11")
NOW = int(time.time() * 1000) - 60_000
EMAIL = f"{MARK}.ana@example.org"
NAME = f"Ana {MARK}"

POLICY = """
default_region: FR
shared_after: 2
component_cap: 6
blocked: ['zzsecret-switchboard.*']
namespaces:
  - {name: user_id, priority: 1, kind: person, limit: 1}
  - {name: email,   priority: 2, kind: person, limit: 5}
  - {name: phone,   priority: 3, kind: person, limit: 5}
  - {name: cookie,  priority: 4, kind: device, limit: 50}
"""

JSON = [("content-type", b"application/cloudevents+json")]


def event(event_id: str, identifiers: dict[str, Any], seconds: int = 0, **properties: Any) -> Planned:
    said = ChannelEvent(
        event_id,
        NOW + seconds * 1000,
        "web",
        "Product Viewed",
        identifiers,
        {"name": NAME, **properties},
        context=Context(locale=f"{MARK}-FR"),
    )
    return Planned(channel="web", at=NOW, event=said, key=EMAIL.encode())


def good() -> Iterator[Planned]:
    """Tell of people who meet, share and are kept apart: every way in which links and unions are refused."""
    yield event("form", {"cookie": f"{MARK}-laptop", "email": EMAIL, "phone": f"0{SPACED}"})
    yield event("in-1", {"user_id": f"{MARK}-1", "cookie": f"{MARK}-laptop"}, 1)
    yield event("in-2", {"user_id": f"{MARK}-2", "cookie": f"{MARK}-laptop"}, 2)
    for person in range(4):
        yield event(f"kiosk-{person}", {"user_id": f"{MARK}-k{person}", "cookie": f"{MARK}-kiosk"}, person)
    for crowd in ("a", "b"):
        for number in range(5):
            names = {"user_id": f"{MARK}-{crowd}", "cookie": f"{MARK}-{crowd}{number}"}
            yield event(f"crowd-{crowd}{number}", names, number)
    yield event("too-many", {"cookie": [f"{MARK}-a0", f"{MARK}-b0"]}, 9)
    yield event("blocked", {"cookie": f"{MARK}-laptop", "email": f"{MARK}-switchboard@example.org"}, 10)
    yield event(
        "invalid", {"cookie": f"{MARK}-laptop", "email": f"{MARK} is no address", "phone": NUMBER * 5}, 11
    )
    yield event("unknown", {"cookie": f"{MARK}-laptop", MARK: f"{MARK}-value"}, 12)
    yield event("conflict", {"email": EMAIL}, 13, sku=f"{MARK}-first")
    yield event("conflict", {"email": EMAIL}, 13, sku=f"{MARK}-second")


def cloud_event(**changes: Any) -> bytes:
    whole = {
        "specversion": "1.0", "id": f"{MARK}-id", "source": f"/{MARK}", "type": "Product Viewed",
        "time": "2026-01-01T00:00:00Z",
        "data": {"identifiers": {"email": EMAIL}, "properties": {"name": NAME}},
    }  # fmt: skip
    return json.dumps(
        {name: value for name, value in (whole | changes).items() if value is not None}
    ).encode()


def bad() -> Iterator[Planned]:
    """Tell of the same people in records that can't be taken."""
    values = (
        cloud_event()[:-9],
        cloud_event().replace(NAME.encode(), b"\xe9" + NAME.encode()),
        cloud_event(time=f"{MARK} o'clock"),
        cloud_event(time=None),
        cloud_event(type=[MARK]),
        cloud_event(type=None),
        cloud_event(id=[MARK]),
        cloud_event(id=MARK * 100),
        cloud_event(id=None),
        cloud_event(data=f"{MARK}"),
        cloud_event(data=None),
        cloud_event(data={"identifiers": {"email": {"odd": MARK}}}),
        cloud_event(data={"identifiers": {"odd": [[MARK]]}}),
        cloud_event(data={"identifiers": [EMAIL]}),
        cloud_event(data={"identifiers": {"email": f"{MARK}-switchboard@example.org"}}),
        cloud_event(data={"identifiers": {"email": EMAIL}, "properties": MARK}),
        cloud_event(data={"identifiers": {"email": EMAIL}, "properties": {"odd": MARK * 20_000}}),
        cloud_event(data={"identifiers": {"email": EMAIL}, "channel": MARK}),
        cloud_event(data={"identifiers": {"email": EMAIL}, "context": {"locale": [MARK]}}),
        cloud_event().replace(b'"' + NAME.encode() + b'"', b"[" * 5_000 + b"]" * 5_000),
        f"\xc3\x01{MARK}{EMAIL}".encode("latin-1"),
        f"\0\0\0\0{MARK}{EMAIL}".encode(),
        f"{MARK} {EMAIL}".encode(),
    )
    for value in values:
        yield Planned(channel="web", at=NOW, raw=value, headers=JSON, key=EMAIL.encode())
    yield Planned(channel="web", at=NOW, raw=None, headers=[(MARK, MARK.encode())], key=EMAIL.encode())
    yield Planned(channel="web", at=NOW, raw=cloud_event(), headers=[("ce_id", MARK.encode())], key=b"key")


def command(op: Op, a: str, b: str | None = None) -> IdentityCommand:
    return IdentityCommand(str(uuid.uuid4()), op, a, b, NOW + 30_000, "zoe", f"{MARK} asked for it")


COMMANDS = (
    command(Op.ASSERT, f"user_id:{MARK}-1", f"user_id:{MARK}-2"),
    command(Op.DENY, f"email:{EMAIL}", f"phone:{PHONE}"),
    command(Op.BLOCK, f"cookie:{MARK}-a3"),
    command(Op.RELEASE, f"cookie:{MARK}-kiosk"),
    command(Op.ERASE, f"user_id:{MARK}-k1"),
    command(Op.DENY, f"email:{EMAIL}", f"email: {EMAIL.upper()}"),
    command(Op.DENY, EMAIL, f"{MARK}:{MARK}"),
    command(Op.DENY, f"phone:{NUMBER * 5}", f"email:{EMAIL}"),
    command(Op.BLOCK, f"email:{MARK}-switchboard@example.org"),
    command(Op.ERASE, f"email:{MARK}"),
)
WRONG_COMMANDS = 5


def raw_commands() -> Iterator[bytes]:
    """Give commands as people write them by hand, each wrong in one way."""
    right = {"command_id": MARK, "op": "deny", "a": f"email:{EMAIL}", "b": f"phone:{PHONE}", "reason": MARK}
    right |= {"time": "2026-01-01T00:00:00Z", "operator": MARK}
    for change in (
        {"op": MARK}, {"op": [MARK]}, {"time": MARK}, {"time": None}, {"a": [EMAIL]}, {"a": None}, {"b": ""},
        {"op": "erase"}, {"reason": MARK * 1_000}, {"operator": [MARK]}, {"command_id": None},
        {"time": "9999-01-01T00:00:00Z"},
    ):  # fmt: skip
        yield json.dumps(right | change).encode()
    yield json.dumps(right).encode()[:-3]
    yield f"{MARK} {EMAIL}".encode()


def poison() -> Iterator[tuple[str, bytes]]:
    """Give messages of the protocol on which a handler fails: (topic's field in `Topics`, value)."""
    half = msgspec.Raw(msgspec.msgpack.encode([MARK, EMAIL]))
    yield "lookup", f"{MARK}{EMAIL}".encode()
    yield "lookup", encode([MARK, EMAIL, PHONE])
    yield "lookup", encode(EventAt(half, (), b"", NOW))
    yield "components", f"{MARK}{EMAIL}".encode()
    yield "components", encode(EventTo("a1.aaaaaaaaaaaaaaaaaaaaaa", half, b"", NOW))


class Said(NamedTuple):
    """All that a worker said: its log, its metrics page, and the reasons of its dead letters."""

    log: str
    metrics: str
    letters: list[list[tuple[str, bytes]]]


@pytest.fixture(scope="module")
def pipeline(bootstrap_servers, tmp_path_factory) -> Iterator[Pipeline]:
    prefix, folder = f"t{uuid.uuid4().hex[:10]}.", tmp_path_factory.mktemp("personal")
    (folder / "policy.yaml").write_text(POLICY)
    settings = {
        "RACCORD_CHANNELS": "web",
        "RACCORD_LOG_LEVEL": "debug",
        "RACCORD_IDENTITY_POLICY": str(folder / "policy.yaml"),
    }
    with Pipeline(bootstrap_servers, prefix, folder, settings) as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def said(pipeline) -> Said:
    topics = pipeline.topics
    pipeline.start("w1")
    planned, refused, wrong, poisoned = list(good()), list(bad()), list(raw_commands()), list(poison())
    pipeline._feed.play([*planned, *refused], FAST, markers=False)
    pipeline.drain()
    pipeline.command(*COMMANDS)
    pipeline.mark(NOW + 60_000)  # an erasure waits for the clock
    pipeline.write(topics.commands, *wrong)
    for topic, value in poisoned:
        pipeline.write(getattr(topics, topic), value)
    expected = 1 + len(refused) + WRONG_COMMANDS + len(wrong) + len(poisoned)
    assert wait_for(lambda: len(pipeline.read(topics.dead_letters)) >= expected, 60), reasons(pipeline)
    pipeline.drain()
    assert sum(reasons(pipeline).values()) == expected, reasons(pipeline)
    metrics = pipeline.metrics("w1")
    pipeline.workers["w1"].stop()
    letters = [list(record.headers) for record in pipeline.read(topics.dead_letters)]
    return Said(pipeline.log("w1"), metrics, letters)


def reasons(pipeline: Pipeline) -> Counter[str]:
    """Count the dead letters by reason."""
    letters = pipeline.read(pipeline.topics.dead_letters)
    return Counter(dict(record.headers)["raccord-reason"].decode() for record in letters)


def traces(text: str) -> list[str]:
    """Return the lines with a mark in them."""
    return [line for line in text.splitlines() if any(trace in line.lower() for trace in TRACES)]


def test_all_of_it_has_happened_so_that_this_shows_something(said):
    counted = dict(re.findall(r"^(raccord_\w+_total(?:\{.*\})?) ([\d.]+)$", said.metrics, re.MULTILINE))
    happened = {name.partition("{")[0] for name, count in counted.items() if float(count)}
    assert happened >= {
        "raccord_dead_letters_total",
        "raccord_epochs_aborted_total",
        "raccord_identity_changes_total",
        "raccord_links_refused_total",
        "raccord_rejected_identifiers_total",
        "raccord_shared_identifiers_total",
        "raccord_unions_refused_total",
    }
    refused = {dict(headers)["raccord-reason"].decode() for headers in said.letters}
    assert refused >= {"conflict", "poison", "no_identifier", "invalid_field", "missing_field", "undecodable"}
    assert "handler_failed" in said.log
    assert 'raccord_identity_changes_total{change="erased"}' in counted


def test_no_value_is_in_the_log(said):
    assert traces(said.log) == []


def test_no_value_is_on_the_metrics_page(said):
    assert traces(said.metrics) == []


def test_no_value_is_in_what_dead_letters_say_of_why_and_from_where(said):
    own = [
        f"{name}: {value.decode()}"
        for headers in said.letters
        for name, value in headers
        if name.startswith("raccord-") and not name.startswith("raccord-original-")
    ]
    assert len(own) > 100
    assert traces("\n".join(own)) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("deny", EMAIL, f"phone:{PHONE}"),
        ("deny", f"email:{EMAIL}", f"email:{EMAIL.upper()}"),
        ("assert", f"{MARK}:{MARK}", f"phone:{PHONE}"),
        ("block", f"email:{MARK}-switchboard@example.org"),
        ("release", f"phone:{NUMBER * 5}"),
    ],
)
def test_no_value_is_in_what_a_refused_command_line_says(pipeline, arguments):
    done = pipeline.raccord("identity", *arguments, "--reason", "because", "--operator", "zoe")
    assert done.returncode == 2
    assert done.stderr.startswith(b"raccord: ")
    assert traces(done.stderr.decode() + done.stdout.decode()) == []
