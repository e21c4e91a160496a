"""Writes a figure of one of the numbers as Avro binary straight from its fields.

The order of fields is that of schemas/avro/number.avsc; the symbols are read from there. Names and the values of
dimensions are few and come again and again, so their bytes are remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.wire.avro_writer import write_long, write_shared
from stream_app.wire.known import symbols_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_END = b"\x00"
_SYMBOLS = {symbol: write_long(place) for place, symbol in enumerate(symbols_of("number", "unit"))}


def encode_number(record: Mapping[str, Any]) -> bytes:
    """Encode a figure, without framing.

    Raises:
        KeyError: a field isn't there, or the unit has no symbol.
        AttributeError: something is no string.
        ValueError: the value has more than 64 bits.
    """
    dimensions = record["dimensions"]
    parts = [write_shared(record["number"]), write_shared(record["window"])]
    if dimensions:
        parts.append(write_long(len(dimensions)))
        for name, value in dimensions.items():
            parts += (write_shared(name), write_shared(value))
    parts += (_END, _SYMBOLS[record["unit"]], write_long(record["value"]))
    return b"".join(parts)
