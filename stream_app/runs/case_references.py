"""Reference data in a trigger case: what there is at the beginning, and what changes on the way.

`reference` lists rows by what they are of (`products`, `orders`, `stores`, `campaigns`, `stock`, `weather`), each with
what names it (`sku`, `order_id` or `id`, ...); those of `weather` have a `time`, for it is soon another. A
`reference_change` names one item by what it is (`product: A`), beside the fields that are others now.
`{"product": "A", "gone": true}`: there is no such thing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.places.weather import WEATHER, WeatherError, read_weather
from stream_app.domain.reference import SHOPS, Said
from stream_app.domain.rules.applying import token_of
from stream_app.domain.rules.loader import KINDS as OPENING
from stream_app.domain.rules.times import parse_instant
from stream_app.domain.stock import STOCK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMED_BY: Mapping[str, tuple[str, ...]] = {
    "product": ("sku", "product_id", "id"),
    "order": ("order_id", "id"),
    "store": ("store_id", "id"),
    "campaign": ("campaign_id", "id"),
    STOCK: ("sku", "id"),
    WEATHER: ("station_id", "id"),
}
"""What names an item in a list of its kind; the first that is there."""

SEEN = frozenset({STOCK, WEATHER})
"""What nothing opens on; a row of anything else may have fields of these names."""
KINDS = OPENING | SEEN


class CaseReferenceError(ValueError):
    """Reference data of a case that can't be used: the message begins with the path."""


def beginning(reference: Mapping[str, Any], time: int) -> Iterator[Said]:
    """Yield what a case's `reference` says of items, as said at a time (ms).

    Raises:
        CaseReferenceError: a row can't be used.
    """
    for kind in sorted(KINDS):
        name = kind if kind in SEEN else f"{kind}s"
        rows = reference.get(name, [])
        if not isinstance(rows, list):
            raise CaseReferenceError(f"reference.{name}: a list of rows")
        for place, row in enumerate(rows):
            path = f"reference.{name}[{place}]"
            if not isinstance(row, dict):
                raise CaseReferenceError(f"{path}: an object")
            named = next((one for one in NAMED_BY[kind] if row.get(one) is not None), None)
            if named is None:
                raise CaseReferenceError(f"{path}: nothing names it; give it {' or '.join(NAMED_BY[kind])}")
            since = _since(row, path) if kind == WEATHER else time
            yield Said(kind, token_of(row[named]), since, _fields(kind, row, path))


def change(written: Any, time: int, path: str) -> Said:
    """Return what a `reference_change` says.

    Raises:
        CaseReferenceError: it can't be used.
    """
    if not isinstance(written, dict):
        raise CaseReferenceError(f"{path}: an object")
    kinds = sorted(OPENING & written.keys()) or sorted(SEEN & written.keys())  # a product has a stock, too
    if len(kinds) != 1:
        raise CaseReferenceError(f"{path}: name one of {', '.join(sorted(KINDS))}, with what names the item")
    kind, fields = kinds[0], dict(written)
    item = token_of(fields.pop(kind))
    return Said(kind, item, time, None if fields.get("gone") is True else _fields(kind, fields, path))


def _since(row: Mapping[str, Any], path: str) -> int:
    """Return when a station said what it says."""
    try:
        return parse_instant(str(row.get("time")))
    except ValueError as fault:
        raise CaseReferenceError(f"{path}.time: {fault}") from None


def _fields(kind: str, row: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return what a row says; refused are stock that is of no store, and weather that says none."""
    if kind == STOCK and not isinstance(row.get(SHOPS), dict):
        raise CaseReferenceError(f"{path}: say how many each store has: {SHOPS}: {{s1: 3}}")
    fields = {str(name): value for name, value in row.items() if value is not None}
    if kind != WEATHER:
        return fields
    fields.pop("time", None)
    try:
        return read_weather(fields)
    except WeatherError as fault:
        raise CaseReferenceError(f"{path}: {fault}") from None
