"""The schemas that this version knows, by subject and by fingerprint, and writer schemas from elsewhere.

A schema's fingerprint is the CRC-64-AVRO of its Parsing Canonical Form (Avro 1.12, "Schema Fingerprints"),
eight bytes little-endian; single-object encoding is C3 01, the fingerprint, and the value ("Single-object
encoding").
"""

from __future__ import annotations

import functools
import json
from io import BytesIO
from typing import Any

import avro.errors
import avro.schema
import msgspec
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form

import schemas
from stream_app.domain.refusal import Reason, Refused

SINGLE_OBJECT = b"\xc3\x01"
FINGERPRINT_END = 10
"""Where the value begins in single-object encoding."""

_RECORDS = {"record", "error"}
"""Kinds of a schema with fields: an error is a record by another name."""
_PRIMITIVES = {"boolean", "int", "long", "float", "double", "bytes", "string"}


class _Strict(BytesIO):
    """Ends where it ends: fastavro steps over fields that the reader doesn't want without looking."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if len(data) != size:
            raise EOFError
        return data


class UnfitSchema(ValueError):  # noqa: N818 - a verdict
    """A writer's schema that this version can't read."""


class Known(msgspec.Struct, frozen=True, eq=False):
    """A schema: its text, its canonical form, the mark of its single-object encoding, fastavro's form.

    `parsed` has no logical types, so that times stay integers.
    """

    subject: str
    text: str
    canonical: str
    mark: bytes
    parsed: Any

    def read(self, data: bytes, start: int, reader: Known) -> dict[str, Any]:
        """Read a whole value that this schema wrote as `reader` would have it.

        Raises:
            Refused: the bytes are no such value, or have something behind it.
        """
        stream = _Strict(data)
        stream.seek(start)
        target = None if reader is self else reader.parsed
        try:
            value = schemaless_reader(stream, self.parsed, target)
        except UnicodeDecodeError:
            raise Refused(Reason.INVALID_UTF8, "a string of the Avro value is not UTF-8") from None
        except Exception:  # noqa: BLE001 - whatever a library makes of hostile bytes, it is no value
            raise Refused(Reason.UNDECODABLE, "the Avro value is not what its schema says") from None
        if stream.tell() != len(data):
            raise Refused(Reason.UNDECODABLE, "there are bytes behind the Avro value")
        if not isinstance(value, dict):
            raise Refused(Reason.UNDECODABLE, "the Avro value is no record")
        return value


@functools.cache
def versions(subject: str) -> tuple[Known, ...]:
    """Return every published version of a subject's schema, the current one last."""
    return tuple(known_of(subject, text) for text in schemas.history(subject))


def current(subject: str) -> Known:
    """Return the schema that this version reads and writes for a subject."""
    return versions(subject)[-1]


def symbols_of(subject: str, field: str) -> list[str]:
    """Return the symbols of an enum, in the order of their numbers; `field` is one of the record's own."""
    fields = {one["name"]: one["type"] for one in current(subject).parsed["fields"]}
    found: list[str] = fields[field]["symbols"]
    return found


def known_of(subject: str, text: str) -> Known:
    """Parse a schema's text; UnfitSchema when it is no Avro schema."""
    try:
        document = json.loads(text)
        canonical = to_parsing_canonical_form(document)
        parsed = parse_schema(without_logical_types(document))
    except Exception as error:  # a parser's many ways to say no
        raise UnfitSchema("no Avro schema") from error
    mark = SINGLE_OBJECT + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
    return Known(subject, text, canonical, mark, parsed)


def writer_of(subject: str, text: str) -> Known:
    """Parse a foreign writer's schema and make sure that the current reader can take what it writes.

    Raises:
        UnfitSchema: it is no Avro schema, isn't compatible, or could describe an endless value in few bytes.
    """
    known = known_of(subject, text)
    if known.canonical == current(subject).canonical:
        return known
    try:
        writer = avro.schema.parse(text)
        reader = avro.schema.parse(current(subject).text)
        checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
        result = checker.get_compatibility(reader, writer)
    except (avro.errors.AvroException, RecursionError, TypeError, KeyError) as error:
        raise UnfitSchema("no Avro schema") from error
    if result.compatibility is not SchemaCompatibilityType.compatible:
        raise UnfitSchema(f"not compatible with {subject}: {', '.join(sorted(result.messages))}")
    _refuse_endless(json.loads(text))
    return known


def without_logical_types(schema: Any) -> Any:
    """Return a copy of a schema's document in which times and the like are the plain types beneath."""
    if isinstance(schema, dict):
        return {key: without_logical_types(part) for key, part in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [without_logical_types(part) for part in schema]
    return schema


def _refuse_endless(schema: Any, enclosing: tuple[str, ...] = ()) -> None:
    """Refuse recursion, and lists of things that take no bytes: a few bytes could then fill the memory."""
    if isinstance(schema, list):
        for branch in schema:
            _refuse_endless(branch, enclosing)
    elif isinstance(schema, str):
        if schema.rpartition(".")[2] in enclosing:
            raise UnfitSchema("a recursive schema")
    elif schema["type"] in _RECORDS:
        inside = (*enclosing, schema["name"].rpartition(".")[2])
        for field in schema["fields"]:
            _refuse_endless(field["type"], inside)
    elif schema["type"] == "array":
        _refuse_weightless(schema["items"])
        _refuse_endless(schema["items"], enclosing)
    elif schema["type"] == "map":
        _refuse_endless(schema["values"], enclosing)
    elif isinstance(schema["type"], dict | list):
        _refuse_endless(schema["type"], enclosing)


def _refuse_weightless(items: Any) -> None:
    """Take as items of a list only what surely takes bytes: primitives, enums, unions, lists and maps."""
    kind = items["type"] if isinstance(items, dict) else items
    if isinstance(kind, list) or kind in _PRIMITIVES or kind in {"enum", "array", "map"}:
        return
    if kind == "record" and any(
        field["type"] in _PRIMITIVES for field in items["fields"] if isinstance(field["type"], str)
    ):
        return
    raise UnfitSchema("a list of things that may take no bytes")
