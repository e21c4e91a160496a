"""A channel's record -> the message that the first hop makes of it, for the row of its strongest identifier.

Hot: whom the same identifiers name, and what these are called, is found once and remembered, within bounds. It
depends on the identity policy and the deployment's key alone, so each memory belongs to one `Identifier` and one
`Labels`, for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.identifiers import to_event
from stream_app.domain.messages import EventRead, encode
from stream_app.domain.refusal import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.event import ChannelEvent
    from stream_app.domain.identifiers import Identifier, Rejections
    from stream_app.domain.labels import Labels
    from stream_app.wire.decoding import Decoder

REMEMBERED = 1 << 15
"""Combinations of identifiers that are remembered; then the memory is emptied and fills anew."""

REMEMBERED_CHARS = 1_024
"""Longest combination, names and values, that is: else a memory of long ones would not be bounded."""

Taken = tuple[int, bytes, bytes]
"""An event's time (ms), its message, and the message's key."""


class Who(msgspec.Struct, frozen=True, gc=False):
    """Whom an event's identifiers name.

    `labels` and `key` are those of `identifiers`; without any, both are empty. `concealed`: there are values among
    the event's that must not be passed on.
    """

    identifiers: tuple[str, ...]
    rejected: Rejections
    labels: tuple[str, ...]
    key: bytes
    concealed: bool


class Intake:
    """Takes the records of all channels, under one policy and one deployment's key."""

    def __init__(self, decoder: Decoder, identifier: Identifier, labels: Labels) -> None:
        """Begin with an empty memory."""
        self._decode = decoder.decode
        self._payload_of = decoder.payload_of
        self._identifier = identifier
        self._label_of = labels.of
        self._known: dict[tuple[tuple[str, Any], ...], Who] = {}

    def take(
        self,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]] | None,
        channel: str,
        timestamp: int,
        source: str,
        offset: int,
        clock: int,
        report: Callable[[Rejections], None],
    ) -> Taken:
        """Take one record.

        Args:
            value: the record's.
            headers: the record's.
            channel: whose topic it is in.
            timestamp: the record's, ms.
            source: "topic/partition/", ...
            offset: ... and the record's offset.
            clock: where the clock stands, ms.
            report: is told of identifiers that are left out, if there are any, even if the record is refused then.

        Raises:
            Refused: the record can't be taken; it will never be, by this version.
            RegistryUnavailable: the registry gave no answer; try again.
        """
        decoded = self._decode(value, headers, channel, timestamp)
        event, payload = decoded.event, decoded.payload
        if event.channel != channel:
            raise Refused(Reason.INVALID_FIELD, f"channel: it is not {channel}, whose topic this is")
        who = self.who(event)
        if who.rejected:
            report(who.rejected)
        read = to_event(event, who.identifiers, timestamp, f"{source}{offset}")
        if who.concealed:
            payload = self._payload_of(self._identifier.concealed(event))
        return event.time, encode(EventRead(read, who.labels, payload, clock)), who.key

    def who(self, event: ChannelEvent) -> Who:
        """Return whom an event's identifiers name."""
        # Only texts are remembered. Other values may equal each other and spell differently: 1, 1.0 and True.
        combination = tuple(event.identifiers.items())
        try:
            known = self._known.get(combination)
        except TypeError:  # a list of values
            return self.find(event)
        if known is None:
            known = self.find(event)
            texts = [part for pair in combination for part in pair if part is not None]
            if all(type(part) is str for part in texts) and sum(map(len, texts)) <= REMEMBERED_CHARS:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[combination] = known
        return known

    def find(self, event: ChannelEvent) -> Who:
        """Return the same, without a look at the memory."""
        identifiers, rejected = self._identifier.identify(event)
        labels = tuple(map(self._label_of, identifiers))
        hashed = self._identifier.hashed
        return Who(
            identifiers,
            rejected,
            labels,
            labels[0].encode() if labels else b"",
            not hashed.isdisjoint(event.identifiers),
        )
