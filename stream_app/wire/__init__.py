"""Bytes <-> what the domain works with. Knows Avro, CloudEvents and schema registries, and no Kafka."""

from __future__ import annotations

from stream_app.wire.chosen import NATIVE, Intake, encode_payload, forward, parse_timestamp
from stream_app.wire.commands import CommandDecoder, IdentityCommand, encode_command
from stream_app.wire.dead_letter import DeadLetter, dead_letter_headers, parse_dead_letter
from stream_app.wire.decoding import Decoded, Decoder, read_payload
from stream_app.wire.encoding import (
    encode_cloudevent_binary,
    encode_cloudevent_structured,
    encode_confluent,
    encode_single_object,
    frame_single_object,
)
from stream_app.wire.limits import Limits
from stream_app.wire.numbers import cell_of_key, cell_of_record, day_from, month_from, number_key, window_text
from stream_app.wire.outputs import Encoder, Output, OutputReader, decode_output, timeline_record
from stream_app.wire.references import ReferenceDecoder, encode_reference
from stream_app.wire.registry import (
    Registry,
    RegistryRefused,
    RegistryUnavailable,
    open_registry,
    subject_of,
)
from stream_app.wire.timestamps import format_timestamp

__all__ = [
    "NATIVE",
    "CommandDecoder",
    "DeadLetter",
    "Decoded",
    "Decoder",
    "Encoder",
    "IdentityCommand",
    "Intake",
    "Limits",
    "Output",
    "OutputReader",
    "ReferenceDecoder",
    "Registry",
    "RegistryRefused",
    "RegistryUnavailable",
    "cell_of_key",
    "cell_of_record",
    "day_from",
    "dead_letter_headers",
    "decode_output",
    "encode_cloudevent_binary",
    "encode_cloudevent_structured",
    "encode_command",
    "encode_confluent",
    "encode_payload",
    "encode_reference",
    "encode_single_object",
    "format_timestamp",
    "forward",
    "frame_single_object",
    "month_from",
    "number_key",
    "open_registry",
    "parse_dead_letter",
    "parse_timestamp",
    "read_payload",
    "subject_of",
    "timeline_record",
    "window_text",
]
