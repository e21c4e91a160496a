"""What the road sends out: timeline, profiles, identity changes, triggers, decisions, numbers, as Avro and back.

Framing is chosen once: Confluent's wire format with a registry, single-object encoding without.
"""

from __future__ import annotations

import math
from enum import StrEnum
from io import BytesIO
from typing import TYPE_CHECKING, Any

import msgspec
from fastavro import schemaless_writer

from stream_app.domain.refusal import Reason, Refused
from stream_app.wire.avro_writer import INT64_MAX, INT64_MIN, write_long, write_string
from stream_app.wire.change_writer import encode_change
from stream_app.wire.chosen import encode_profile
from stream_app.wire.crossing_writer import encode_crossing
from stream_app.wire.encoding import confluent_mark
from stream_app.wire.json_text import compact_json
from stream_app.wire.known import (
    FINGERPRINT_END,
    SINGLE_OBJECT,
    Known,
    UnfitSchema,
    current,
    known_of,
    versions,
    writer_of,
)
from stream_app.wire.number_writer import encode_number
from stream_app.wire.registry import subject_of
from stream_app.wire.writers import CONFLUENT_END

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_app.domain.profile import Profile
    from stream_app.wire.registry import Registry


class Output(StrEnum):
    """The kinds of records that go out; the value is the schema's name."""

    TIMELINE = "customer_timeline"
    PROFILE = "customer_profile"
    SEGMENT = "customer_segment"
    IDENTITY_CHANGE = "identity_change"
    TRIGGER = "trigger"
    DECISION = "trigger_decision"
    SHADOW = "shadow_decision"
    NUMBER = "number"


TOPICS: dict[Output, tuple[str, ...]] = {
    Output.TIMELINE: ("customer.timeline",),
    Output.PROFILE: ("customer.profiles",),
    Output.SEGMENT: ("customer.segments",),
    Output.IDENTITY_CHANGE: ("identity.changes",),
    Output.TRIGGER: ("triggers.abandoned_cart",),
    Output.DECISION: ("triggers.decisions",),
    Output.SHADOW: ("triggers.shadow",),
    Output.NUMBER: ("numbers",),
}
"""Topics under whose subjects an encoder with a registry registers the schemas, unless told otherwise."""

_OPERATIONS = {"upsert": b"\x00", "remove": b"\x02"}
_ABSENT, _PRESENT = b"\x00", b"\x02"


class Encoder:
    """Encodes what goes out. Records are mappings or structs with the field names of the Avro schemas.

    Times are integers, in ms; enums are their symbols. ValueError (or TypeError) when a record doesn't fit.
    """

    def __init__(
        self, registry: Registry | None = None, topics: Mapping[Output, Iterable[str]] | None = None
    ) -> None:
        """Choose the framing; with a registry, register every schema under its topics' subjects."""
        topics = TOPICS | dict(topics or {})
        self._marks = {output: _mark(output, registry, topics[output]) for output in Output}
        self._timeline = self._marks[Output.TIMELINE]
        self._profile = self._marks[Output.PROFILE]
        self._segment = self._marks[Output.SEGMENT]
        self._change = self._marks[Output.IDENTITY_CHANGE]
        self._number = self._marks[Output.NUMBER]

    def timeline(
        self,
        customer_id: str,
        revision: int,
        previous_customer_id: str | None,
        operation: str,
        payload: bytes,
    ) -> bytes:
        """Encode one change of a timeline; see `timeline_record`."""
        return self._timeline + timeline_record(
            customer_id, revision, previous_customer_id, operation, payload
        )

    def profile(
        self,
        customer_id: str,
        version: int,
        identifiers: Sequence[str],
        profile: Profile,
        segments: Iterable[str] = (),
    ) -> bytes:
        """Encode a customer's profile; see `encode_profile`."""
        return self._profile + encode_profile(customer_id, version, identifiers, profile, segments)

    def segment(self, record: Mapping[str, Any]) -> bytes:
        """Encode an entry or exit; values are made to fit, see `fitted`."""
        try:
            return self._segment + encode_crossing(record)
        except (KeyError, AttributeError, ValueError):
            pass  # a list, a map or what isn't finite among the values: the general writer says what doesn't fit
        values = {name: fitted(value, levels=2) for name, value in record["values"].items()}
        return self.encode(Output.SEGMENT, {**record, "values": values})

    def identity_change(self, record: Mapping[str, Any] | msgspec.Struct) -> bytes:
        """Encode a change of identity."""
        if isinstance(record, dict):
            try:
                return self._change + encode_change(record)
            except (KeyError, AttributeError):
                pass  # the general writer knows defaults, and says what doesn't fit
        return self.encode(Output.IDENTITY_CHANGE, record)

    def trigger(self, record: Mapping[str, Any]) -> bytes:
        """Encode a trigger or its retraction; payload and values are made to fit, see `fitted`."""
        because = record["because"]
        because = {**because, "values": {name: fitted(value) for name, value in because["values"].items()}}
        payload = {name: fitted(value) for name, value in record["payload"].items()}
        return self.encode(Output.TRIGGER, {**record, "payload": payload, "because": because})

    def decision(self, record: Mapping[str, Any] | msgspec.Struct) -> bytes:
        """Encode what became of a rule that was due."""
        return self.encode(Output.DECISION, record)

    def difference(self, record: Mapping[str, Any]) -> bytes:
        """Encode how shadow rules differ from live ones; values are made to fit, see `fitted`."""
        values = {name: fitted(value) for name, value in record["values"].items()}
        return self.encode(Output.SHADOW, {**record, "values": values})

    def number(self, record: Mapping[str, Any]) -> bytes:
        """Encode a figure of one of the numbers."""
        try:
            return self._number + encode_number(record)
        except (KeyError, AttributeError):
            return self.encode(Output.NUMBER, record)  # the general writer says what doesn't fit

    def encode(self, output: Output, record: Mapping[str, Any] | msgspec.Struct) -> bytes:
        """Encode a record of any kind, given as its fields; the embedded event of a timeline too."""
        stream = BytesIO()
        stream.write(self._marks[output])
        schemaless_writer(stream, current(output).parsed, _plain(record))
        return stream.getvalue()


def timeline_record(
    customer_id: str, revision: int, previous_customer_id: str | None, operation: str, payload: bytes
) -> bytes:
    """Encode one change of a timeline, without framing: the head, then the event's payload as it is.

    Args:
        customer_id: whose timeline it is.
        revision: 0 at first, one more with every move of the event to another customer.
        previous_customer_id: whose timeline the event was on before.
        operation: "upsert" or "remove".
        payload: the event, as `Decoded` has it.
    """
    name = customer_id.encode()
    previous = _ABSENT if previous_customer_id is None else _PRESENT + write_string(previous_customer_id)
    return b"".join(
        (write_long(len(name)), name, write_long(revision), previous, _OPERATIONS[operation], payload)
    )


class OutputReader:
    """Reads what goes out, whichever version wrote it and in either framing."""

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry
        self._by_mark = {known.mark: known for output in Output for known in versions(output)}
        self._by_name = {current(output).parsed["name"]: output for output in Output}
        self._by_id: dict[int, Known] = {}

    def read(self, value: bytes) -> tuple[Output, dict[str, Any]]:
        """Return what kind of record this is, and its fields; times are integers, in ms.

        Raises:
            Refused: the bytes are none of the records that go out, or of an unknown version.
            RegistryUnavailable: the registry gave no answer.
        """
        if value.startswith(SINGLE_OBJECT):
            start, known = FINGERPRINT_END, self._by_mark.get(value[:FINGERPRINT_END])
        elif value[:1] == b"\x00" and len(value) > CONFLUENT_END:
            start, known = CONFLUENT_END, self._registered(int.from_bytes(value[1:CONFLUENT_END], "big"))
        else:
            raise Refused(Reason.UNDECODABLE, "neither single-object encoding nor Confluent's wire format")
        if known is None:
            raise Refused(Reason.UNKNOWN_SCHEMA, "no known record has this schema")
        return Output(known.subject), known.read(value, start, current(known.subject))

    def _registered(self, schema_id: int) -> Known | None:
        if schema_id not in self._by_id:
            text = None if self._registry is None else self._registry.schema(schema_id)
            if text is None:
                return None
            try:
                parsed = known_of("", text).parsed
                output = self._by_name.get(parsed.get("name", "") if isinstance(parsed, dict) else "")
                if output is None:
                    return None
                self._by_id[schema_id] = writer_of(output, text)
            except UnfitSchema:
                return None
        return self._by_id[schema_id]


def decode_output(output: Output, value: bytes, registry: Registry | None = None) -> dict[str, Any]:
    """Read one record of a kind that is known beforehand.

    Raises:
        Refused: it is none, or one of another kind.
    """
    kind, record = OutputReader(registry).read(value)
    if kind is not output:
        raise Refused(Reason.UNDECODABLE, f"a {kind}, not a {output}")
    return record


def fitted(value: Any, levels: int = 3) -> Any:
    """Return a value as a trigger's payload can hold it.

    Objects may be nested three deep ({"cart": {"items": {"sku": {...}}}} with the payload's own name first),
    lists of scalars or flat objects may stand in the payload and in its objects. What is deeper becomes its
    JSON text, an integer beyond 64 bits its digits, a number that is not finite null.
    """
    if isinstance(value, dict) and levels > 0:
        return {name: fitted(entry, levels - 1) for name, entry in value.items()}
    if isinstance(value, list | tuple) and levels > 1:
        return [fitted(item, levels=1 if isinstance(item, dict) else 0) for item in value]
    if isinstance(value, dict | list | tuple):
        return compact_json(value)
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mark(output: Output, registry: Registry | None, topics: Iterable[str]) -> bytes:
    """Return what precedes a value; registries give one number to one schema, under however many subjects."""
    known = current(output)
    if registry is None:
        return known.mark
    numbers = {registry.register(subject_of(topic), known.text) for topic in topics}
    if len(numbers) != 1:
        raise ValueError(f"the schema registry gave {len(numbers)} numbers to {output}: one is needed")
    return confluent_mark(numbers.pop())


def _plain(value: Any) -> Any:
    """Return structs, at any depth, as dicts of their fields, by the names that they are encoded under."""
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {encoded: _plain(getattr(value, name)) for encoded, name in names}
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
