"""Writes a change of customers as Avro binary straight from its fields: every customer begins with one.

The order of fields and branches is that of schemas/avro/identity_change.avsc; the symbols are read from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.wire.avro_writer import write_long, write_string, write_time
from stream_app.wire.known import symbols_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_END = b"\x00"
_ABSENT, _PRESENT = b"\x00", b"\x02"
_SYMBOLS = {symbol: write_long(place) for place, symbol in enumerate(symbols_of("identity_change", "change"))}


def encode_change(record: Mapping[str, Any]) -> bytes:
    """Encode a change that has every field of the schema, without framing.

    Raises:
        KeyError: a field isn't there, or the change has no symbol.
        AttributeError: something is no string.
    """
    cause = record["cause"]
    parts = (
        _SYMBOLS[record["change"]],
        _block([write_string(customer) for customer in record["from"]]),
        _block([write_string(customer) for customer in record["into"]]),
        write_time(record["time"]),
        _optional_string(cause["event_id"]),
        _block([write_string(link["a"]) + write_string(link["b"]) for link in cause["evidence"]]),
        _optional_string(cause["command_id"]),
        _optional_string(cause["operator"]),
        _optional_string(cause["reason"]),
    )
    return b"".join(parts)


def _block(items: list[bytes]) -> bytes:
    return write_long(len(items)) + b"".join(items) + _END if items else _END


def _optional_string(value: str | None) -> bytes:
    return _ABSENT if value is None else _PRESENT + write_string(value)
