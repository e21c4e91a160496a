"""First hop: channel record -> valid, normalised event at the row of its strongest identifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.identifiers import to_event
from stream_app.domain.messages import EventAt, encode
from stream_app.domain.refusal import Reason, Refused
from stream_app.engine.errors import EpochAbortedError
from stream_app.wire import RegistryUnavailable, encode_payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.agents.dead_letters import DeadLetters
    from stream_app.domain.identifiers import Identifier
    from stream_app.domain.labels import Labels
    from stream_app.engine.task import Task
    from stream_app.wire import Decoder


class Ingest:
    """The handler of one partition of one channel topic."""

    def __init__(
        self,
        task: Task,
        *,
        channel: str,
        lookup: str,
        decoder: Decoder,
        identifier: Identifier,
        labels: Labels,
        dead_letters: DeadLetters,
    ) -> None:
        self.task = task
        self.channel = channel
        self.lookup = lookup
        self.decoder = decoder
        self.identifier = identifier
        self.labels = labels
        self.dead_letters = dead_letters
        self._refused = ("events", channel, "dead_lettered")

    def process(self, records: Sequence[Any]) -> None:
        """Take channel records; what can't be taken goes to the dead letters."""
        task, channel = self.task, self.channel
        decode, identify = self.decoder.decode, self.identifier.identify
        send, lookup, observe = task.producer.send, self.lookup, task.observe
        source, label_of = f"{task.id}/", self.labels.of
        hashed, concealed = self.identifier.hashed, self.identifier.concealed
        for record in records:
            timestamp = record.timestamp
            try:
                decoded = decode(record.value, record.headers, channel, timestamp)
                if decoded.event.channel != channel:
                    raise Refused(Reason.INVALID_FIELD, f"channel: it is not {channel}, whose topic this is")  # noqa: TRY301
                identifiers, rejected = identify(decoded.event)
                if rejected:
                    self._count(rejected)
                event = to_event(decoded.event, identifiers, timestamp, f"{source}{record.offset}")
            except Refused as refusal:
                self.dead_letters.refuse(task, record, refusal.reason, refusal.detail)
                task.count(*self._refused)
                continue
            except RegistryUnavailable as error:
                raise EpochAbortedError(str(error)) from error
            payload = decoded.payload
            if hashed and not hashed.isdisjoint(decoded.event.identifiers):
                payload = encode_payload(concealed(decoded.event))
            labels = tuple(map(label_of, identifiers))
            message = EventAt(msgspec.Raw(encode(event)), labels, payload, task.clock)
            observe(event.time, timestamp)
            send(lookup, encode(message), labels[0].encode())

    def fire(self, due: int, key: bytes) -> None:
        """Never called: this stage sets no timers."""

    def flush(self) -> None:
        """Nothing is held back."""

    def reset(self) -> None:
        """Nothing is held back."""

    def _count(self, rejected: Sequence[tuple[str, Any]]) -> None:
        for namespace, why in rejected:
            self.task.count("rejected_identifiers", namespace, str(why))
