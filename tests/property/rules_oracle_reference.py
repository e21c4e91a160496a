"""The oracle's reference data: what is said of items, what changes by it, and whom a change concerns.

All that was said is gone through from the beginning, every time. Where RULES is silent, this is the reading:

1. A change is an item's row before and after all that was said of it at one time; of two words at a time the one that
   arrives later counts. It is told from others by item and time, not by the values: another word before it doesn't make
   another change of it.
2. "A first or unchanged value is no change": a value that is there again after it was gone is a first one; one that is
   there no more is no other value either.
3. Behind all events of its time, and of the changes of a time by what they are of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from tests.property.rules_oracle_texts import (
    Happening,
    Order,
    Raw,
    as_key,
    cart,
    customer,
    fits,
    holds,
    instant,
    listed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.property.rules_oracle_around import Around

NAMED_BY = {
    "product": ("sku", "product_id", "id"),
    "order": ("order_id", "id"),
    "store": ("store_id", "id"),
    "campaign": ("campaign_id", "id"),
    "weather": ("station_id", "id"),
    "stock": ("sku", "id"),
}
"""What names an item in a case's `reference`."""
BEHIND_ALL = "\U0010ffff"
"""Stands behind the ids of all events."""
BEFORE_ALL = -(2**62)


@dataclass(frozen=True)
class Said:
    """What is said of an item at a time: fields, or None: it is gone."""

    kind: str
    item: str
    time: int
    fields: Raw | None


@dataclass(frozen=True)
class Changed:
    """An item's row before and after what was said of it at a time."""

    kind: str
    item: str
    time: int
    old: Raw
    new: Raw


@dataclass(frozen=True)
class OpeningChange(Happening):
    """A change as if it were an event of the customer's whom it concerns; its id is that of the event before."""

    changed: Changed
    before: Happening

    @property
    def name(self) -> str:
        return f"{self.changed.kind}/{self.changed.item}"

    @property
    def order(self) -> Order:
        return (self.time, BEHIND_ALL + self.name)

    @property
    def evidence(self) -> tuple[str, ...]:
        """What RULES says tells it: "the reference change and the customer's latest `event_before`"."""
        return (f"{self.name}@{self.time}", self.before.event_id)

    @property
    def shown(self) -> Raw:
        return super().shown | rows_and_before(self.changed, self.before)


def rows_and_before(changed: Changed, before: Happening) -> Raw:
    """Return `old`, `new` and `before`."""
    return {"old": dict(changed.old), "new": dict(changed.new), "before": dict(before.properties)}


def said_first(reference: Raw) -> Iterator[Said]:
    """Yield what there is before all events."""
    for kind, names in NAMED_BY.items():
        for row in reference.get(kind if kind in {"stock", "weather"} else f"{kind}s", ()):
            named = next(row[name] for name in names if row.get(name) is not None)
            since = instant(row["time"]) if kind == "weather" else BEFORE_ALL
            yield Said(kind, as_key(named), since, _fields(row))


def said_by(arrival: Raw) -> Said:
    """Return what an arrival's `reference_change` says."""
    fields = dict(arrival["reference_change"])
    kind = next(kind for kind in NAMED_BY if kind in fields)  # a product has a stock, too: that comes last
    item = as_key(fields.pop(kind))
    return Said(kind, item, instant(arrival["time"]), None if fields.get("gone") else _fields(fields))


def _fields(row: Raw) -> Raw:
    return {name: value for name, value in row.items() if value is not None}


def changes(said: Iterable[Said]) -> list[Changed]:
    """Return what changed, by all that was said, in order of arrival."""
    found = []
    by_item = sorted(said, key=lambda one: (one.kind, one.item, one.time))  # keeps the order of arrival
    for (kind, item), words in groupby(by_item, key=lambda one: (one.kind, one.item)):
        row: Raw = {}
        for time, at_once in groupby(words, key=lambda one: one.time):
            old = row
            for one in at_once:
                row = {} if one.fields is None else row | one.fields
            found.append(Changed(kind, item, time, old, row))
    return found


def opening_changes(
    rule: Raw, timeline: Sequence[Happening], changed: Iterable[Changed], around: Around
) -> list[OpeningChange]:
    """Return the changes that open a rule for the customer of a timeline."""
    opens = rule["opens"]
    if "reference" not in opens:
        return []
    kind, _, field = opens["reference"].partition(".")
    found = []
    for each in changed:
        old, new = around.seen(each, timeline)
        one = replace(each, old=old, new=new)
        before = _latest_before(opens, timeline, one) if one.kind == kind and _differs(one, field) else None
        if before is None:
            continue
        known = [event for event in timeline if event.time <= one.time]
        variables = rows_and_before(one, before) | {
            "time": one.time,
            "customer": customer(known),
            "cart": cart(known, None, around.prices(known, one.time)),
        }
        if holds(opens.get("if"), variables):
            properties = {**one.new, opens["match"]: one.item}
            found.append(OpeningChange(before.event_id, one.time, "", "", properties, one, before))
    return found


def _differs(changed: Changed, field: str) -> bool:
    """Tell whether a field has changed: "a first or unchanged value is no change"."""
    old, new = changed.old.get(field), changed.new.get(field)
    return old is not None and new is not None and old != new


def _latest_before(opens: Raw, timeline: Sequence[Happening], changed: Changed) -> Happening | None:
    """Return the latest `event_before` that names the item, "at that very time at the latest"."""
    wanted = opens["event_before"]
    pattern = wanted if isinstance(wanted, dict) else {"event": listed(wanted)}
    return next(
        (
            event
            for event in reversed(timeline)
            if event.time <= changed.time
            and as_key(event.properties.get(opens["match"])) == changed.item
            and fits(pattern, event, {})
        ),
        None,
    )
