"""What stands in events and files without a format of its own: identifiers, rows of recorded data, hops' messages."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.sources import SourceError, rees46, snowplow
from stream_app.domain import messages
from stream_app.domain.hashing import Hashes
from stream_app.domain.identifiers import to_event
from stream_app.domain.normalise import MAX_BYTES, Rejection, hashed, normalised
from stream_app.domain.policy import IdentityPolicy
from stream_app.engine import codec
from stream_app.wire import encode_payload
from tests.fuzzing.records import EVENT, KEY
from tests.fuzzing.target import Target, joined, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectors.planned import Planned

SPACES = IdentityPolicy.from_mapping(
    {
        "namespaces": [
            {"name": "email", "priority": 1, "kind": "person", "fold_gmail_dots": True},
            {"name": "phone", "priority": 2, "kind": "person"},
            {"name": "card", "priority": 3, "kind": "person", "check_digit": "luhn", "hashed": True},
            {"name": "till", "priority": 4, "kind": "person", "pattern": "[A-Z]{2}[0-9]+"},
            {"name": "cookie", "priority": 5, "kind": "device"},
        ],
        "default_region": "FR",
        "blocked": ["guest.*"],
    }
)
HASHES = Hashes(KEY)


def normaliser(data: bytes) -> None:
    """Normalise a value in a namespace: comparable means that normalising it again changes nothing."""
    name, written = parts(data, 2)
    spaces = list(SPACES.namespaces.values())
    space = spaces[name[0] % len(spaces)] if name else spaces[0]
    text = written.decode("utf-8", "surrogateescape")
    raws: list[Any] = [text]
    with contextlib.suppress(ValueError, RecursionError):
        raws.append(msgspec.json.decode(written))
    for raw in raws:
        value = normalised(raw, space, SPACES)
        if isinstance(value, Rejection):
            continue
        assert isinstance(value, str)
        assert 0 < len(value.encode()) <= MAX_BYTES
        assert normalised(value, space, SPACES) == value, "it is not what it is normalised to"
        hidden = hashed(raw, space, SPACES, HASHES)
        assert isinstance(hidden, str | Rejection)


def identifiers() -> Iterator[bytes]:
    """Yield values of every namespace."""
    for place, value in enumerate(
        (b" . A.B@GMail.com ", b"06 39 98 12 34", b"4539 1488 0343 6467", b"AB12", b"null")
    ):
        yield joined(bytes([place]), value)
        yield joined(bytes([place]), b"12345.50")


def rows(read: Callable[[Path], Iterator[Planned]], name: str, header: str) -> Callable[[bytes], None]:
    """Return a target that reads lines below a header; where the path is a folder, the file is in it."""

    def run(data: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="raccord-fuzz-") as folder:
            file = Path(folder) / name
            file.write_bytes(header.encode() + b"\n" + data)
            try:
                for planned in read(Path(folder) if name == snowplow.FILE else file):
                    assert (planned.raw is None) != (planned.event is None)
                    if planned.event is not None:
                        encode_payload(planned.event)
            except SourceError as error:
                assert len(str(error)) < 1_000

    return run


SNOWPLOW = (
    *snowplow.REQUIRED,
    *snowplow.NUMBERS,
    "geo_latitude",
    "geo_longitude",
    "se_action",
    "unstruct_event_x_1",
)


def snowplow_rows() -> Iterator[bytes]:
    """Yield rows as Snowplow writes them."""
    time = "2026-03-01 10:00:00.123"
    nested = json.dumps([{"a": 1, "b": [1], "c": {"d": 1}}]).replace('"', '""')
    yield f'e,page_view,page_view,{time},{time},u,c,1.5,2,48.8,2.3,,"{nested}"\n'.encode()
    yield f"e,struct,x,{time},,,c,,,,,login,\n".encode()


def message(data: bytes) -> None:
    """Read what hops say to each other: msgspec's error, and no other, for what they didn't say."""
    decoders: tuple[Callable[[bytes], Any], ...] = (
        messages.decode_lookup,
        messages.decode_component,
        messages.decode_event,
        messages.decode_brief,
        codec.decode_meta,
        codec.decode_watermarks,
        codec.decode_arrivals,
    )
    for decode in decoders:
        try:
            decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def said() -> Iterator[bytes]:
    """Yield messages of hops."""
    event = to_event(EVENT, ("cookie:c-1", "user_id:7"), 1_700_000_000_000, "channel.web/0/1")
    yield messages.encode(messages.EventRead(event, ("a1.x", "a3.y"), b"payload", 5))
    raw = msgspec.Raw(messages.encode(event))
    for one in (
        messages.Link("a", "b", "c", 1),
        messages.Repoint("a", "b", "c", 1),
        messages.EventTo("a", raw, b"p", 1),
        messages.Union("a", "b", 1),
        messages.Merge(
            "a", "b", 0, True, 1, {"a": 1}, (("a",),), (), (), (), (), (messages.Moved(raw, "c", 1),)
        ),
        messages.Fold("a", 1, 2),
    ):
        yield messages.encode(one)
    yield codec.encode_watermarks({"channel.web": (5, [0])})
    yield codec.encode_meta(codec.Meta(1, {"a": 2}, "f", 3, {1: (2, 3)}))


TARGETS = (
    Target("normaliser", normaliser, identifiers, 1_024),
    Target(
        "rees46",
        rows(rees46.read, "rees46.csv", ",".join(rees46.COLUMNS)),
        lambda: [
            b"2019-10-01 00:00:00 UTC,view,1,2,a.b,c,1.50,7,s-1\n",
            b'2019-10-01 00:00:00 UTC,purchase,1,2,,,"1.50",7,s-1\r\n',
        ],
    ),
    Target("snowplow", rows(snowplow.read, snowplow.FILE, ",".join(SNOWPLOW)), snowplow_rows),
    Target("message", message, said),
)
