"""Makes a `ChannelEvent` of untyped parts (JSON, or Avro of another version), and judges any event's limits.

Values are made to fit the schema where nothing is lost: an integer beyond 64 bits becomes its decimal
digits, what is nested deeper than the schema's two levels becomes its JSON text. All else is refused, with
the field's name.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.domain.refusal import Reason, Refused
from stream_app.wire.avro_writer import INT64_MAX, INT64_MIN
from stream_app.wire.json_text import compact_json
from stream_app.wire.limits import Limits, field_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_HALF_TURN, _QUARTER_TURN = 180.0, 90.0
_MOST_BYTES = 2
"""A character takes up to 1 << 2 bytes: a text with a fourth of the allowed bytes in characters need not be encoded."""
_SMALL = 1 << 53
"""Integers below fit 64 bits by far."""


def event_of(parts: Mapping[str, Any], limits: Limits) -> ChannelEvent:
    """Make an event of its parts, by the names of the schema's fields; a part that isn't there is None.

    Raises:
        Refused: MISSING_FIELD, INVALID_FIELD or TOO_LARGE, naming the field.
    """
    return ChannelEvent(
        _text(parts, "event_id", limits),
        _time(parts, "time"),
        _text(parts, "channel", limits),
        _text(parts, "type", limits),
        _identifiers(parts.get("identifiers"), limits),
        properties_of(parts.get("properties"), limits),
        None if parts.get("sent_at") is None else _time(parts, "sent_at"),
        None if parts.get("received_at") is None else _time(parts, "received_at"),
        _context(parts.get("context"), limits),
    )


def check_event(event: ChannelEvent, limits: Limits, timestamp: int | None) -> None:
    """Judge what every format shares: id, names, times, position.

    Args:
        event: of the right types.
        limits: what is allowed.
        timestamp: the record's, in ms; None leaves the future open up to the year 9000.

    Raises:
        Refused: MISSING_FIELD, TOO_LARGE, TIME_OUT_OF_RANGE or INVALID_FIELD, naming the field.
    """
    if not event.event_id or not event.type or not event.channel:
        field = "event_id" if not event.event_id else "type" if not event.type else "channel"
        raise Refused(Reason.MISSING_FIELD, f"{field} is empty")
    if event.event_id[0] == "\0":  # what the fold puts between events is called so (`numbers.sends`)
        raise Refused(Reason.INVALID_FIELD, "event_id begins with a NUL character")
    if len(event.event_id) > limits.event_id_chars:
        _too_long("event_id", f"{limits.event_id_chars} characters")
    if len(event.type) > limits.name_chars:
        _too_long("type", f"{limits.name_chars} characters")
    if len(event.channel) > limits.name_chars:
        _too_long("channel", f"{limits.name_chars} characters")
    latest = limits.latest(timestamp)
    if not limits.earliest <= event.time <= latest:
        _out_of_range("time")
    if event.sent_at is not None and not limits.earliest <= event.sent_at <= latest:
        _out_of_range("sent_at")
    if event.received_at is not None and not limits.earliest <= event.received_at <= latest:
        _out_of_range("received_at")
    if event.context is not None and event.context.position is not None:
        _check_position(event.context.position)


def missing(field: str) -> NoReturn:
    """Refuse an event for a field that isn't there."""
    raise Refused(Reason.MISSING_FIELD, f"{field} is missing")


def invalid(field: str, expected: str) -> NoReturn:
    """Refuse an event for a field that isn't what it must be."""
    raise Refused(Reason.INVALID_FIELD, f"{field} is not {expected}")


def _too_long(field: str, limit: str) -> NoReturn:
    raise Refused(Reason.TOO_LARGE, f"{field} is longer than {limit}")


def _too_many(field: str, limit: int) -> NoReturn:
    raise Refused(Reason.TOO_LARGE, f"{field}: more than {limit} entries")


def _out_of_range(field: str) -> NoReturn:
    raise Refused(Reason.TIME_OUT_OF_RANGE, f"{field} is too far in the past or the future")


def _check_position(position: Position) -> None:
    if not -_QUARTER_TURN <= position.latitude <= _QUARTER_TURN:
        invalid("context.position.latitude", "between -90 and 90")
    if not -_HALF_TURN <= position.longitude <= _HALF_TURN:
        invalid("context.position.longitude", "between -180 and 180")
    if position.accuracy_m is not None and not 0 <= position.accuracy_m < math.inf:
        invalid("context.position.accuracy_m", "a radius in metres")


def _text(parts: Mapping[str, Any], field: str, limits: Limits) -> str:
    value = parts.get(field)
    if value is None:
        missing(field)
    return _string(value, field, limits.string_bytes)


def _time(parts: Mapping[str, Any], field: str) -> int:
    value = parts.get(field)
    if value is None:
        missing(field)
    if not isinstance(value, int) or isinstance(value, bool):
        invalid(field, "a time in milliseconds")
    return value


def _string(value: object, field: str, limit: int) -> str:
    if not isinstance(value, str):
        invalid(field, "a string")
    if len(value) > limit or (not value.isascii() and len(value.encode()) > limit):
        _too_long(field, f"{limit} bytes")
    return value


def _identifiers(raw: object, limits: Limits) -> dict[str, Any]:
    if raw is None:
        missing("identifiers")
    if not isinstance(raw, dict):
        invalid("identifiers", "an object of namespaces")
    if len(raw) > limits.identifiers:
        _too_many("identifiers", limits.identifiers)
    found: dict[str, Any] = {}
    short = limits.string_bytes >> _MOST_BYTES
    for namespace, value in raw.items():
        if len(namespace) > short:
            _string(namespace, "the name of an identifier's namespace", limits.string_bytes)
        if value is None or (type(value) is str and len(value) <= short):
            found[namespace] = value
            continue
        field = field_name("identifiers", namespace)
        if isinstance(value, list):
            if len(value) > limits.identifier_values:
                _too_many(field, limits.identifier_values)
            found[namespace] = [_identifier(item, field, limits, as_text=True) for item in value]
        else:
            found[namespace] = _identifier(value, field, limits, as_text=False)
    return found


def _identifier(value: object, field: str, limits: Limits, *, as_text: bool) -> str | int:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if as_text or not INT64_MIN <= value <= INT64_MAX else value
    if isinstance(value, str):
        return _string(value, field, limits.string_bytes)
    invalid(field, "a string, an integer, null, or a list of strings")


def properties_of(raw: object, limits: Limits) -> dict[str, Any]:
    """Return properties within limits: scalars, lists of scalars or flat objects, flat objects."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        invalid("properties", "an object")
    if len(raw) > limits.properties:
        _too_many("properties", limits.properties)
    found: dict[str, Any] = {}
    short, short_name = limits.string_bytes >> _MOST_BYTES, limits.name_chars >> _MOST_BYTES
    for name, value in raw.items():
        if len(name) > short_name:
            _string(name, "the name of a property", limits.name_chars)
        if _is_plain(value, short):
            found[name] = value
        else:
            found[name] = _value(value, name, limits)
    return found


def _is_plain(value: Any, short: int) -> bool:
    """Say whether a value fits as it is, at a glance: a short text, a finite or small number, true, false or null."""
    kind = type(value)
    if kind is str:
        return len(value) <= short
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return bool(-_SMALL < value < _SMALL)
    return value is None or kind is bool


def _value(value: object, name: str, limits: Limits) -> Any:
    field = field_name("properties", name)
    if isinstance(value, list):
        if len(value) > limits.items:
            _too_many(field, limits.items)
        return [_item(item, field, limits) for item in value]
    if isinstance(value, dict):
        return _object(value, field, limits)
    return _scalar(value, field, limits)


def _item(value: object, field: str, limits: Limits) -> Any:
    return _object(value, field, limits) if isinstance(value, dict) else _scalar(value, field, limits)


def _object(value: dict[str, Any], field: str, limits: Limits) -> dict[str, Any]:
    if len(value) > limits.items:
        _too_many(field, limits.items)
    short = limits.string_bytes >> _MOST_BYTES
    for name in value:
        if len(name) > short:
            _string(name, f"a name in {field}", limits.string_bytes)
    return {
        name: entry if _is_plain(entry, short) else _scalar(entry, field, limits)
        for name, entry in value.items()
    }


def _scalar(value: object, field: str, limits: Limits) -> Any:
    """Return a scalar as it is, an integer beyond 64 bits as its digits, a list or an object as JSON text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _string(value, field, limits.string_bytes)
    if isinstance(value, int):
        return value if INT64_MIN <= value <= INT64_MAX else str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            invalid(field, "a finite number")
        return value
    try:
        return _string(compact_json(value), field, limits.string_bytes)
    except (ValueError, TypeError):
        invalid(field, "a JSON value")


def _context(raw: object, limits: Limits) -> Context | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        invalid("context", "an object")
    locale, timezone = raw.get("locale"), raw.get("timezone")
    return Context(
        None if locale is None else _string(locale, "context.locale", limits.string_bytes),
        None if timezone is None else _string(timezone, "context.timezone", limits.string_bytes),
        _position(raw.get("position")),
        _consent(raw.get("consent"), limits),
    )


def _position(raw: object) -> Position | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        invalid("context.position", "an object")
    for field in ("latitude", "longitude"):
        if raw.get(field) is None:
            missing(f"context.position.{field}")
    accuracy = raw.get("accuracy_m")
    return Position(
        _number(raw["latitude"], "context.position.latitude"),
        _number(raw["longitude"], "context.position.longitude"),
        None if accuracy is None else _number(accuracy, "context.position.accuracy_m"),
    )


def _number(value: object, field: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        invalid(field, "a number")
    try:
        return float(value)
    except OverflowError:
        invalid(field, "a number that fits 64 bits")


def _consent(raw: object, limits: Limits) -> dict[str, bool] | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        invalid("context.consent", "an object of purposes")
    if len(raw) > limits.items:
        _too_many("context.consent", limits.items)
    for purpose, answer in raw.items():
        _string(purpose, "a purpose in context.consent", limits.string_bytes)
        if not isinstance(answer, bool):
            invalid(field_name("context.consent", purpose), "true or false")
    return raw
