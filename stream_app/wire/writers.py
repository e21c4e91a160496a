"""Whose schema an Avro record was written with: a version of our own, or one that the registry knows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stream_app.domain.refusal import Reason, Refused
from stream_app.wire.known import FINGERPRINT_END, SINGLE_OBJECT, UnfitSchema, versions, writer_of

if TYPE_CHECKING:
    from stream_app.wire.known import Known
    from stream_app.wire.registry import Registry

CONFLUENT_END = 5
"""Where the value begins in Confluent's wire format: behind 00 and four bytes of number."""

_UNKNOWN_FOR_S = 60.0
_UNKNOWN_AT_MOST = 4096


class Writers:
    """The schemas that records of one subject may have been written with.

    Registry look-ups are remembered: for good when a schema was found, for a minute when it wasn't.
    """

    def __init__(self, subject: str, registry: Registry | None) -> None:
        self._subject = subject
        self._registry = registry
        self._by_mark = {known.mark: known for known in versions(subject)}
        self._by_id: dict[int, Known] = {}
        self._unknown_until: dict[int, tuple[float, str]] = {}

    def of(self, value: bytes) -> tuple[Known, int]:
        """Return the schema that a record (not empty) was written with, and where its value begins.

        Raises:
            Refused: the record is in neither of Avro's framings, or its schema isn't known or doesn't fit.
            RegistryUnavailable: the registry gave no answer; try again.
        """
        if value.startswith(SINGLE_OBJECT):
            known = self._by_mark.get(value[:FINGERPRINT_END])
            if known is None:
                msg = f"no version of {self._subject} has the record's fingerprint"
                raise Refused(Reason.UNKNOWN_SCHEMA, msg)
            return known, FINGERPRINT_END
        if value[0] == 0 and len(value) >= CONFLUENT_END:
            return self._registered(int.from_bytes(value[1:CONFLUENT_END], "big")), CONFLUENT_END
        raise Refused(
            Reason.UNDECODABLE,
            "neither Avro (single-object encoding, Confluent's wire format) nor a CloudEvent in JSON",
        )

    def _registered(self, schema_id: int) -> Known:
        known = self._by_id.get(schema_id)
        if known is None:
            known = self._by_id[schema_id] = self._look_up(schema_id)
        return known

    def _look_up(self, schema_id: int) -> Known:
        if self._registry is None:
            raise Refused(
                Reason.UNKNOWN_SCHEMA, "Confluent's wire format needs a schema registry: configure its URL"
            )
        until, why = self._unknown_until.get(schema_id, (0.0, ""))
        if time.monotonic() >= until:
            text = self._registry.schema(schema_id)
            why = f"the schema registry has no Avro schema {schema_id}"
            if text is not None:
                try:
                    return writer_of(self._subject, text)
                except UnfitSchema as error:
                    why = f"schema {schema_id} of the registry: {error}"
            if len(self._unknown_until) >= _UNKNOWN_AT_MOST:
                self._unknown_until.clear()
            self._unknown_until[schema_id] = (time.monotonic() + _UNKNOWN_FOR_S, why)
        raise Refused(Reason.UNKNOWN_SCHEMA, why)
