"""Writes an entry into a segment, or an exit, as Avro binary straight from its fields.

The order of fields and branches is that of schemas/avro/customer_segment.avsc; the symbols are read from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.wire.avro_writer import write_long, write_scalar, write_shared, write_string, write_time
from stream_app.wire.known import symbols_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_END = b"\x00"
_SYMBOLS = {
    symbol: write_long(place) for place, symbol in enumerate(symbols_of("customer_segment", "action"))
}


def encode_crossing(record: Mapping[str, Any]) -> bytes:
    """Encode an entry or exit whose values are scalars, without framing.

    Raises:
        KeyError: a field isn't there, or the action has no symbol.
        AttributeError: something is no string.
        ValueError: a value is no scalar that the schema has room for.
    """
    values = record["values"]
    parts = [
        write_string(record["customer_id"]),
        write_shared(record["segment"]),
        write_long(record["version"]),
        _SYMBOLS[record["action"]],
        write_time(record["time"]),
    ]
    if values:
        parts.append(write_long(len(values)))
        for name, value in values.items():
            parts += (write_shared(name), write_scalar(value))
    parts.append(_END)
    return b"".join(parts)
