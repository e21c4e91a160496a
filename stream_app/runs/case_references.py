"""Reference data in a trigger case: what there is at the beginning, and what changes on the way.

`reference` lists rows by what they are of (`products`, `orders`, `stores`, `campaigns`), each with what names it
(`sku`, `order_id` or `id`, ...). A `reference_change` names one item by what it is (`product: A`), beside the fields
that are others now. `{"product": "A", "gone": true}`: there is no such thing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.reference import SHOPS, Said
from stream_app.domain.rules.applying import token_of
from stream_app.domain.rules.loader import KINDS as OPENING
from stream_app.domain.stock import STOCK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMED_BY: Mapping[str, tuple[str, ...]] = {
    "product": ("sku", "product_id", "id"),
    "order": ("order_id", "id"),
    "store": ("store_id", "id"),
    "campaign": ("campaign_id", "id"),
    STOCK: ("sku", "id"),
}
"""What names an item in a list of its kind; the first that is there."""

KINDS = OPENING | {STOCK}


class CaseReferenceError(ValueError):
    """Reference data of a case that can't be used: the message begins with the path."""


def beginning(reference: Mapping[str, Any], time: int) -> Iterator[Said]:
    """Yield what a case's `reference` says of items, as said at a time (ms).

    Raises:
        CaseReferenceError: a row can't be used.
    """
    for kind in sorted(KINDS):
        name = kind if kind == STOCK else f"{kind}s"
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
            _check(kind, row, path)
            yield Said(kind, token_of(row[named]), time, _fields(row))


def change(written: Any, time: int, path: str) -> Said:
    """Return what a `reference_change` says.

    Raises:
        CaseReferenceError: it can't be used.
    """
    if not isinstance(written, dict):
        raise CaseReferenceError(f"{path}: an object")
    kinds = sorted(OPENING & written.keys()) or sorted({STOCK} & written.keys())  # a product has a stock, too
    if len(kinds) != 1:
        raise CaseReferenceError(f"{path}: name one of {', '.join(sorted(KINDS))}, with what names the item")
    kind, fields = kinds[0], dict(written)
    item = token_of(fields.pop(kind))
    _check(kind, fields, path)
    return Said(kind, item, time, None if fields.get("gone") is True else _fields(fields))


def _check(kind: str, row: Mapping[str, Any], path: str) -> None:
    """Refuse stock that is of no store."""
    if kind == STOCK and row.get("gone") is not True and not isinstance(row.get(SHOPS), dict):
        raise CaseReferenceError(f"{path}: say how many each store has: {SHOPS}: {{s1: 3}}")


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if value is not None}
