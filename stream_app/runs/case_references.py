"""Reference data in a trigger case: what there is at the beginning, and what changes on the way.

`reference` lists rows by what they are of (`products`, `orders`, `stores`, `campaigns`, `stock`, `weather`), each with
what names it (`sku`, `order_id` or `id`, ...). A `reference_change` names one item by what it is (`product: A`), beside
the fields that are others now. `{"product": "A", "gone": true}`: there is no such thing any more.

- Which shop has what may stand with the product or with the shop, too: `stock: {s1: 3, online: 4}` in a product's row
  (`online` is the product's own stock), `stock: {A: 3}` in a store's. It is the same as rows of `stock`.
- Weather has a `time`, for it is soon another. A row without one holds from the case's first moment on, until another
  is said of its station: it is said again as often as a station must speak.
- A store that can't be read is near nobody. A feed's row is refused then, whoever asks for it; a case's is where a rule
  of the case decides by where stores are, and may be any row where none does.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from stream_app.domain.places import StoreError, read_store
from stream_app.domain.places.weather import WEATHER, WeatherError, read_weather
from stream_app.domain.reference import DAY_MS, SHOPS, STORE, Said
from stream_app.domain.rules.applying import token_of
from stream_app.domain.rules.loader import KINDS as OPENING
from stream_app.domain.rules.nearest import names_in
from stream_app.domain.rules.times import parse_instant
from stream_app.domain.stations import FRESH_MS
from stream_app.domain.stock import STOCK, StockError, read_quantities

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stream_app.domain.reference import References
    from stream_app.domain.rules import Rule

    Moment = tuple[int, Mapping[str, Any]]
    """A time (ms), and the entry of a case's events that is of it."""
    _Row = tuple[str, str, Mapping[str, Any]]
    """A row's path, what names its item, and what it says."""

PRODUCT = "product"
NAMED_BY: Mapping[str, tuple[str, ...]] = {
    PRODUCT: ("sku", "product_id", "id"),
    "order": ("order_id", "id"),
    STORE: ("store_id", "id"),
    "campaign": ("campaign_id", "id"),
    STOCK: ("sku", "id"),
    WEATHER: ("station_id", "id"),
}
"""What names an item in a list of its kind; the first that is there."""

SEEN = frozenset({STOCK, WEATHER})
"""What nothing opens on; a row of anything else may have fields of these names."""
KINDS = OPENING | SEEN
LISTS: Mapping[str, str] = {kind if kind in SEEN else f"{kind}s": kind for kind in sorted(KINDS)}
"""List under `reference` -> what its rows are of."""
AROUND = frozenset({WEATHER, "season"})
"""Variables that depend on where somebody is."""
HOLDS_MS = 3_660 * DAY_MS
"""How long weather without a time holds: ten years, in which it is said 15,000 times."""
ONLINE = "online"
"""Among the shops that have a product: what can be ordered, the product's own `stock`."""


class CaseReferenceError(ValueError):
    """Reference data of a case that can't be used: the message begins with the path."""


def beginning(
    reference: Mapping[str, Any], time: int, moments: Iterable[Moment]
) -> Iterator[tuple[str, Said]]:
    """Yield what a case's `reference` says of items, each with its path.

    Args:
        reference: of the case.
        time: at which it is said (ms), as far as it has none of its own.
        moments: of the case; looked at only if something depends on them.

    Raises:
        CaseReferenceError: a row can't be used.
    """
    for name in reference:
        if name not in LISTS:
            raise CaseReferenceError(f"reference.{name}: there is no such list{_instead(name, LISTS)}")
    for name, kind in LISTS.items():
        rows = [*_rows(reference.get(name, []), kind, f"reference.{name}")]
        timed = _timed(rows, moments) if kind == WEATHER else ((row, time) for row in rows)
        for (path, item, row), since in timed:
            yield from ((path, said) for said in _said(kind, item, row, since, path))


def change(written: Any, time: int, path: str) -> list[Said]:
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
    if fields.get("gone") is True:
        return [Said(kind, item, time, None)]
    return [*_said(kind, item, fields, time, path)]


def looks_for_stores(rule: Rule) -> bool:
    """Tell whether a rule decides by where stores are; what only goes along (`payload`) is seen to be missing."""
    if rule.near is not None:
        return True
    conditions = [*rule.conditions()]
    # Weather and season are those at the shop that she prefers, where nobody knows where she is.
    return any(AROUND & one.roots or names_in(one.paths) for one in conditions)


def check_store(references: References, said: Said, path: str) -> None:
    """Refuse a row that, with what else is known of its store, makes none from its time on.

    Raises:
        CaseReferenceError: so it is.
    """
    if said.kind != STORE:
        return
    for one in references.changes(STORE, said.item, said.time):
        try:
            if one.new:  # else it is gone
                read_store({**one.new, "id": said.item})
        except StoreError as fault:
            raise CaseReferenceError(f"{path}: {fault}") from None


def _said(kind: str, item: str, row: Mapping[str, Any], time: int, path: str) -> Iterator[Said]:
    """Yield what a row says at a time; of a shop's or a product's, first which shop has what."""
    fields, stock = dict(row), row.get(STOCK)
    if kind in {PRODUCT, STORE} and isinstance(stock, dict):
        del fields[STOCK]
        found = _quantities(stock, f"{path}.{STOCK}", "store id" if kind == PRODUCT else "sku")
        if kind == STORE:
            yield from (Said(STOCK, sku, time, {SHOPS: {item: found[sku]}}) for sku in found)
        else:
            if ONLINE in found:
                fields[STOCK] = found.pop(ONLINE)
            if found:
                yield Said(STOCK, item, time, {SHOPS: found})
        if stock and not fields:
            return
    yield Said(kind, item, time, _fields(kind, fields, path))


def _rows(rows: Any, kind: str, path: str) -> Iterator[_Row]:
    """Yield the rows of a list, each with its path and what names it."""
    if not isinstance(rows, list):
        raise CaseReferenceError(f"{path}: a list of rows")
    for place, row in enumerate(rows):
        at = f"{path}[{place}]"
        if not isinstance(row, dict):
            raise CaseReferenceError(f"{at}: an object")
        named = next((one for one in NAMED_BY[kind] if row.get(one) is not None), None)
        if named is None:
            raise CaseReferenceError(f"{at}: nothing names it; give it {' or '.join(NAMED_BY[kind])}")
        yield at, token_of(row[named]), row


def _since(row: Mapping[str, Any], path: str) -> int:
    """Return when a station said what it says."""
    try:
        return parse_instant(str(row.get("time")))
    except ValueError as fault:
        raise CaseReferenceError(f"{path}.time: {fault}") from None


def _timed(rows: Sequence[_Row], moments: Iterable[Moment]) -> Iterator[tuple[_Row, int]]:
    """Yield rows of weather, each with its time (ms).

    One without a time comes as often as it takes to hold from the first moment on, until something else is said of its
    station, `HOLDS_MS` at most.
    """
    said = {path: _since(row, path) for path, _, row in rows if row.get("time") is not None}
    if len(said) == len(rows):
        yield from ((row, said[row[0]]) for row in rows)
        return
    moments = [*moments]
    times = [time for time, _ in moments] or [0]
    first, last = min(times), min(max(times), min(times) + HOLDS_MS)
    changes = [(time, entry.get("reference_change")) for time, entry in moments]
    others = [(token_of(to.get(WEATHER)), time) for time, to in changes if isinstance(to, dict)]
    others += [(item, said[path]) for path, item, _ in rows if path in said]
    for row in rows:
        path, item, _ = row
        if path in said:
            yield row, said[path]
            continue
        end = min([last + 1, *(time for station, time in others if station == item and time >= first)])
        yield from ((row, time) for time in range(first, max(end, first + 1), FRESH_MS))


def _fields(kind: str, row: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return what a row says; refused are stock that is of no store, and weather that says none."""
    fields = {str(name): value for name, value in row.items() if value is not None}
    if kind == STOCK:
        if SHOPS not in fields:
            raise CaseReferenceError(f"{path}: say how many each store has: {SHOPS}: {{s1: 3}}")
        return {SHOPS: _quantities(fields[SHOPS], f"{path}.{SHOPS}", "store id")}
    if kind != WEATHER:
        return fields
    fields.pop("time", None)
    try:
        return read_weather(fields)
    except WeatherError as fault:
        raise CaseReferenceError(f"{path}: {fault}") from None


def _quantities(written: Any, path: str, by: str) -> dict[str, float]:
    try:
        return read_quantities(written, path, by)
    except StockError as fault:
        raise CaseReferenceError(str(fault)) from None


def _instead(name: str, names: Iterable[str]) -> str:
    """Return what may have been meant, and what there is."""
    near = get_close_matches(name, [*names], 1)
    meant = f", did you mean {near[0]}? There are: " if near else "; there are: "
    return f"{meant}{', '.join(names)}"
