"""What a simulator or a reader of recorded data plans to produce, before a Kafka client sees it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stream_app.domain.event import ChannelEvent  # noqa: TC001 - msgspec reads the field types when decoding

Encoding = Literal["single_object", "cloudevents_structured", "cloudevents_binary"]
"""How a record's value is written: the three of the wire format that need no schema registry."""


class Planned(msgspec.Struct, kw_only=True):
    """One record for the topic of `channel`.

    Attributes:
        channel: name of the channel, so the topic is `channel.<channel>`.
        at: when it is produced, ms since the epoch: the Kafka timestamp. Records are ordered by it.
        event: what to encode as `encoding` says; None for a record that is given as it stands.
        raw: the value's bytes where `event` is None. All None: a record without a value (a tombstone).
        row: a row of reference data, by its schema's field names, for the topic `reference.<feed>`; `channel` is
            "reference.<feed>" then.
        headers: the complete headers of a raw record; for an event, headers beside those of its encoding.
        encoding: how the event is to be written; what a raw record pretends to be.
        key: the Kafka key that such a producer uses: its browser, app, or till.
        note: what the truth says of it: None (a good event), "late", "duplicate", "conflict", "wrong_clock"
            (refused: time_out_of_range), or "malformed:<reason>", a reason of `stream_app.domain.refusal`.
    """

    channel: str
    at: int
    event: ChannelEvent | None = None
    raw: bytes | None = None
    row: dict[str, Any] | None = None
    headers: list[tuple[str, bytes]] = msgspec.field(default_factory=list)
    encoding: Encoding = "single_object"
    key: bytes | None = None
    note: str | None = None
