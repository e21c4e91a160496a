"""Versions of the schemas can be read by each other's readers; the official checker is the judge."""

from __future__ import annotations

import copy
import json
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

import schemas
from stream_app.wire.known import current, known_of, without_logical_types

EMPTY_FINGERPRINT = 0xC15D213AA4D7A795  # Avro 1.12, "Schema Fingerprints"


def problems(reader: str, writer: str) -> set[str]:
    result = ReaderWriterCompatibilityChecker().get_compatibility(
        avro.schema.parse(reader), avro.schema.parse(writer)
    )
    return set() if result.compatibility is SchemaCompatibilityType.compatible else result.messages


def crc_64_avro(data: bytes) -> int:
    fingerprint = EMPTY_FINGERPRINT
    for byte in data:
        entry = (fingerprint ^ byte) & 0xFF
        for _ in range(8):
            entry = (entry >> 1) ^ (EMPTY_FINGERPRINT if entry & 1 else 0)
        fingerprint = (fingerprint >> 8) ^ entry
    return fingerprint


def changed(subject: str, **field: Any) -> str:
    document = json.loads(schemas.avro(subject))
    document["fields"].append(field)
    return json.dumps(document)


@pytest.mark.parametrize("subject", schemas.SUBJECTS)
def test_every_version_reads_every_other_version(subject):
    texts = schemas.history(subject)
    for reader in texts:
        for writer in texts:
            assert problems(reader, writer) == set()


@pytest.mark.parametrize("subject", schemas.SUBJECTS)
def test_the_current_schema_is_the_last_published_version(subject):
    assert schemas.avro(subject) == schemas.history(subject)[-1], (
        "a changed schema is a new file in avro/history; published ones never change"
    )


@pytest.mark.parametrize("subject", schemas.SUBJECTS)
def test_the_check_catches_a_new_field_without_default(subject):
    text = schemas.avro(subject)
    assert problems(changed(subject, name="extra", type="string"), text) == {"extra"}
    assert problems(changed(subject, name="extra", type="string", default=""), text) == set()
    assert problems(text, changed(subject, name="extra", type="string", default="")) == set()


@pytest.mark.parametrize("subject", schemas.SUBJECTS)
def test_the_check_catches_a_changed_type_and_a_removed_field(subject):
    text = schemas.avro(subject)
    document = json.loads(text)
    other = copy.deepcopy(document)
    other["fields"][0]["type"] = "boolean"
    assert problems(json.dumps(other), text)
    del other["fields"][0]
    assert problems(text, json.dumps(other))


@pytest.mark.parametrize("subject", schemas.SUBJECTS)
def test_fingerprints_are_those_of_the_specification(subject):
    plain = avro.schema.parse(json.dumps(without_logical_types(json.loads(schemas.avro(subject)))))
    expected = crc_64_avro(plain.canonical_form.encode())
    assert current(subject).canonical == plain.canonical_form
    assert current(subject).mark == b"\xc3\x01" + expected.to_bytes(8, "little")


def test_the_fingerprint_of_int_is_the_well_known_one():
    assert crc_64_avro(b'"int"') == 0x7275D51A3F395C8F
    assert known_of("x", '"int"').mark == b"\xc3\x01" + (0x7275D51A3F395C8F).to_bytes(8, "little")


def test_the_fingerprint_of_the_event_is_what_the_documentation_tells_producers():
    assert f"`{current('channel_event').mark.hex(' ')}`" in schemas.read_text("README.md")


def test_the_timeline_embeds_the_event_as_it_is_and_last():
    event = json.loads(schemas.avro("channel_event"))
    last = json.loads(schemas.avro("customer_timeline"))["fields"][-1]
    assert last["name"] == "event"
    assert last["type"] == event


@pytest.mark.parametrize("subject", schemas.SUBJECTS)
def test_every_record_enum_and_field_says_what_it_is(subject):
    def walk(schema: Any, path: str) -> None:
        if isinstance(schema, list):
            for branch in schema:
                walk(branch, path)
        elif isinstance(schema, dict):
            if schema["type"] in {"record", "enum"}:
                assert schema.get("doc"), path
            for field in schema.get("fields", []):
                assert field.get("doc"), f"{path}.{field['name']}"
                walk(field["type"], f"{path}.{field['name']}")
            for part in ("items", "values"):
                walk(schema.get(part), path)

    document = json.loads(schemas.avro(subject))
    assert document["namespace"] == "raccord.v1"
    walk(document, subject)
