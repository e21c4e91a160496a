"""Where this package chooses, once, between its native part and the Python that it stands for.

Whoever needs what is hot takes it from here. The native modules know the Python ones, never the other way round: to
them they leave whatever is unusual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.native import WANTED
from stream_app.wire import avro_reader, avro_writer, cloudevents, intake, profile_writer, shape, timestamps

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.rows import IdentifierRow

    Forward = Callable[[bytes | None, Callable[[bytes], IdentifierRow | None]], tuple[bytes, bytes] | None]

read_event = avro_reader.read_event
encode_payload = avro_writer.encode_payload
encode_profile = profile_writer.encode_profile
structured_event = cloudevents.structured_event
binary_event = cloudevents.binary_event
check_event = shape.check_event
parse_timestamp = timestamps.parse_timestamp
Intake = intake.Intake
forward: Forward | None = None
"""Passes on what the resolver need not look at; without it, the resolver looks at everything."""

NATIVE = False
"""Whether the native part runs."""
if WANTED:
    try:
        from stream_app.wire import native_forward, native_intake, native_json, native_reader, native_writer
    except ImportError:
        pass  # not built: there was no compiler, or it is another version's
    else:
        NATIVE = True
        read_event = native_reader.read_event
        encode_payload = native_writer.encode_payload
        encode_profile = native_writer.encode_profile
        structured_event = native_json.structured_event
        binary_event = native_json.binary_event
        check_event = native_json.check_event
        parse_timestamp = native_json.parse_timestamp
        forward = native_forward.forward
        Intake = native_intake.Intake  # type: ignore[misc]
