"""Records of one schema, in any of the formats that producers and people write -> their fields.

Told apart as channel events are (see `decoding`): Avro in single-object encoding or Confluent's wire format, a
CloudEvent (structured or binary mode), or a plain JSON object with the schema's field names and an RFC 3339 time. In a
CloudEvent the attributes say `id` and `time`, and `data` holds the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.refusal import Reason, Refused
from stream_app.wire.cloudevents import attribute_parts, attributes_of, is_structured
from stream_app.wire.json_text import parse_json
from stream_app.wire.known import current
from stream_app.wire.shape import invalid, missing
from stream_app.wire.timestamps import parse_timestamp
from stream_app.wire.writers import Writers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.wire.limits import Limits
    from stream_app.wire.registry import Registry

_JSON_BEGINS = b" \t\r\n\xef\xbb\xbf"


class Documents:
    """Reads records of a subject within limits."""

    def __init__(
        self, subject: str, registry: Registry | None, limits: Limits, *, id_is: str | None = None
    ) -> None:
        """Read records of `subject`; a CloudEvent's id is the field `id_is`, if it is any."""
        self._limits = limits
        self._id_is = id_is
        self._current = current(subject)
        self._writers = Writers(subject, registry)

    def read(self, value: bytes, headers: Iterable[tuple[str, bytes | None]] | None) -> dict[str, Any]:
        """Return the fields of a record that has a value.

        Raises:
            Refused: the record can't be read; the detail names fields, never what is in them.
            RegistryUnavailable: the registry gave no answer; try again.
        """
        if len(value) > self._limits.value_bytes:
            raise Refused(Reason.TOO_LARGE, f"the value is longer than {self._limits.value_bytes} bytes")
        attributes = attributes_of(headers) if headers else None
        if attributes is None or is_structured(attributes):
            return self._parts(value, structured=attributes is not None)
        above = self._attribute_parts(attributes)
        parts = self._json(value) if _is_json(value) else self._avro(value)
        return parts | above

    def _parts(self, value: bytes, *, structured: bool) -> dict[str, Any]:
        """Return the fields of a record whose headers say no more than that it is `structured`, if at all."""
        if not structured and not _is_json(value):
            return self._avro(value)
        document = self._json(value)
        if structured or "specversion" in document:
            data = document.get("data")
            if data is None:
                missing("data")
            if not isinstance(data, dict):
                invalid("data", "an object")
            return data | self._attribute_parts(document)
        if document.get("time") is not None:
            document["time"] = _time(document["time"])
        return document

    def _json(self, value: bytes) -> dict[str, Any]:
        document = parse_json(value, self._limits.json_depth)
        if not isinstance(document, dict):
            raise Refused(Reason.UNDECODABLE, "the JSON is no object")
        return document

    def _avro(self, value: bytes) -> dict[str, Any]:
        known, start = self._writers.of(value)
        return known.read(value, start, self._current)

    def _attribute_parts(self, attributes: dict[str, Any]) -> dict[str, Any]:
        parts = attribute_parts(attributes)
        found = {"time": parts["time"]}
        return found if self._id_is is None else found | {self._id_is: parts["event_id"]}


def _is_json(value: bytes) -> bool:
    return value.lstrip(_JSON_BEGINS)[:1] == b"{"


def _time(value: object) -> int:
    try:
        return parse_timestamp(value if isinstance(value, str) else "")
    except ValueError:
        invalid("time", "an RFC 3339 timestamp")
