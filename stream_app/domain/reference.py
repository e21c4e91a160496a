"""Reference data of one partition: what was said of items and when, and whom changes of an item concern.

Every partition has all of it (products, orders, ...): a change goes to each, and each knows its own customers.

1. What is said of an item at a time are some of its fields; those that aren't named stay as they were. At one time the
   later word counts. Time is event time, as for events: what comes late is put where it belongs.
2. A change is the item's row before and after what was said at a time.
3. The index is by item: whoever has an event that names it is found without looking at anybody else. It may name
   customers that changes don't concern any more, never the other way round; those are taken out when they are met.
4. Bounded: what was said longer than `KEPT_MS` before the item's last word, or before its last `MAX_SAID`, is one row.
5. What is said last stands apart, behind the item's other rows, with the row before it and how many others there are
   since when: a word that is newer than all before, which nearly every one is, costs the same however much was said of
   its item (`python -m tests.benchmarks.references_micro`). Only a late word or a correction reads them all.
"""

from __future__ import annotations

from enum import Enum
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream_app.domain.keys import label_key, label_of, place_of, time_key, timer_key, timer_of
from stream_app.domain.places import Places
from stream_app.domain.places.weather import WEATHER, shown
from stream_app.domain.rules.changes import Change
from stream_app.domain.rules.model import FOREVER
from stream_app.domain.stations import FRESH_MS, Stations, spot_of
from stream_app.domain.stock import STOCK, Stock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.domain.places import Store
    from stream_app.domain.ports import ComponentTables
    from stream_app.domain.profile import Place

DAY_MS = 86_400_000
KEPT_MS = 35 * DAY_MS
"""How far back a late event, a merge or a split can still find what was said of an item."""
MAX_SAID = 512
"""Times at which something was said of an item that are told apart."""

STORE = "store"
"""The kind of item that has a place."""
SHOPS = "stores"
"""The field of what is said of stock: shop -> quantity."""
Fields = dict[str, Any]
_LAST = b"\xff" * 8
"""Ends the key of what is said last: behind all times."""


class Said(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is said of an item at a time (ms): fields that have changed, or None: it is gone."""

    kind: str
    item: str
    time: int
    fields: Fields | None


def item_key(kind: str, item: str) -> bytes:
    """Return the prefix of all rows of an item; that of all of a kind is `label_key` of it."""
    return label_key(kind) + label_key(item)


class Head(NamedTuple):
    """What is said last of an item, and about the rows before it.

    Attributes:
        time: when (ms).
        old: the item's row before.
        said: what was said then.
        others: rows of the item before this one.
        first: time of the first of them.
        second: time of the second.
    """

    time: int
    old: Fields
    said: Fields
    others: int = 0
    first: int = 0
    second: int = 0

    @property
    def new(self) -> Fields:
        """The item's row from then on."""
        return _after(self.old, self.said)


class Taken(Enum):
    """What a word about an item adds: nothing, something new, or another word about a time of which there was one."""

    NOTHING = 0
    NEWS = 1
    CORRECTION = 2


class References:
    """The reference data of one partition."""

    def __init__(self, tables: ComponentTables) -> None:
        """Keep rows in `references`, and whom they concern in `concerned`."""
        self._said = tables.references
        self._concerned = tables.concerned
        self._places: Places | None = None
        self._stock = Stock(tables.references)
        self._stations = Stations(tables.references)

    def take(self, said: Said) -> Taken:
        """Note what is said of an item; return what that adds to what was known."""
        if said.kind == STOCK:
            self._stock.take(said.item, said.time, None if said.fields is None else said.fields[SHOPS])
            return Taken.NOTHING  # for no rule opens on it
        prefix = item_key(said.kind, said.item)
        head = self._head(prefix)
        row = GONE if said.fields is None else said.fields
        if said.kind == WEATHER:
            row = GONE | row  # what a station doesn't say isn't as it was
        if head is None:
            self._put_head(prefix, Head(said.time, {}, row))
            taken = Taken.NEWS
        elif said.time > head.time:
            self._append(prefix, head, said.time, row)
            taken = Taken.NEWS
        elif said.time < head.time - KEPT_MS:
            taken = Taken.NOTHING  # nobody's decisions rest on it any more
        else:
            taken = self._insert(prefix, head, said.time, row)
        if taken is not Taken.NOTHING and said.kind == STORE and self._places is not None:
            self._places.put(said.item, self._versions(said.item))
        if taken is not Taken.NOTHING and said.kind == WEATHER:
            self._stations.put(said.item, row)
            return Taken.NOTHING  # for no rule opens on it
        return taken

    def changes(self, kind: str, item: str, since: int) -> list[Change]:
        """Return an item's changes from a time (ms) on, ascending."""
        prefix = item_key(kind, item)
        head = self._head(prefix)
        if head is None or head.time < since:
            return []
        last = Change(head.time, kind, item, head.old, head.new)
        if head.time == since or not head.others:
            return [last]
        found: list[Change] = []
        old: Fields = {}
        for time, fields in self._others(prefix, head):
            new = _after(old, fields)
            if time >= since:
                found.append(Change(time, kind, item, old, new))
            old = new
        return [*found, last]

    # -- as of a time -----------------------------------------------------------------------------------

    def row(self, kind: str, item: str, time: int) -> Fields:
        """Return what was known of an item at a time (ms); empty where nothing was."""
        prefix = item_key(kind, item)
        head = self._head(prefix)
        if head is None or head.time <= time:
            return {} if head is None else head.new
        found: Fields = {}
        for at, fields in self._others(prefix, head):
            if at > time:
                break
            found = _after(found, fields)
        return found

    def store(self, store_id: str, time: int) -> Store | None:
        """Return a store as it was at a time (ms); None where none was known."""
        return self._known_places().store(store_id, time)

    def near(
        self, latitude: float, longitude: float, radius_m: float, time: int
    ) -> Sequence[tuple[str, float]]:
        """Return (store id, distance in m) of the stores within a radius at a time (ms), the nearest first."""
        return self._known_places().near(latitude, longitude, radius_m, time)

    def having(self, store_id: str, products: Iterable[str], time: int) -> dict[str, bool]:
        """Return those of some products that a store had at a time (ms)."""
        return self._stock.having(store_id, products, time)

    def weather(self, latitude: float, longitude: float, time: int) -> Fields:
        """Return what the nearest station that had spoken lately said at a time (ms); empty where none had."""
        for station, spot in self._stations.near(latitude, longitude):
            row = self._lately(item_key(WEATHER, station), time - FRESH_MS, time)
            if spot_of(row) == spot:
                return shown(station, row)
        return {}

    def having_all(self, stores: Iterable[str], products: Iterable[str], time: int) -> Sequence[str]:
        """Return those of some stores that had all of some products at a time (ms), in the order in which they come."""
        return self._stock.having_all(stores, products, time)

    def reset(self) -> None:
        """Forget what is in memory: the rows were rolled back."""
        self._places = None
        self._stations.reset()
        self._stock.reset()

    def _known_places(self) -> Places:
        if self._places is None:
            self._places = Places()
            prefix = label_key(STORE)
            items = {label_of(key, len(prefix)) for key, _ in self._said.scan(prefix)}
            for item in sorted(items):
                self._places.put(item, self._versions(item))
        return self._places

    def _versions(self, item: str) -> list[tuple[int, Fields]]:
        """Return a store's rows, each with the time (ms) from which on it is so."""
        return [(change.time, change.new) for change in self.changes(STORE, item, -FOREVER)]

    def _lately(self, prefix: bytes, since: int, time: int) -> Fields:
        """Return the last row that was said between two times (ms), both included; of items that say whole ones."""
        head = self._head(prefix)
        if head is None or head.time <= time:
            return {} if head is None or head.time < since else head.new
        found: Fields = {}
        for key, fields in self._said.scan(prefix, time_key(prefix, since)):
            if key.endswith(_LAST, len(prefix)) or place_of(prefix, key)[0] > time:
                break
            found = _after({}, fields)
        return found

    # -- whom it concerns -------------------------------------------------------------------------------

    def concern(self, kind: str, item: str, label: str, slot: int) -> None:
        """Note that changes of an item concern a customer."""
        key = item_key(kind, item) + timer_key(label, slot)
        if self._concerned.get(key) is None:
            self._concerned.put(key, True)

    def forget(self, kind: str, item: str, label: str, slot: int) -> None:
        """Note that they don't any more."""
        self._concerned.delete(item_key(kind, item) + timer_key(label, slot))

    def concerned(self, kind: str, item: str, after: bytes = b"") -> Iterator[tuple[str, int, bytes]]:
        """Yield whom changes of an item may concern: (label, slot, where to go on behind this one)."""
        prefix = item_key(kind, item)
        for key, _ in self._concerned.scan(prefix, after + b"\0" if after else None):
            yield *timer_of(key[len(prefix) :]), key

    # -- what was said of an item -----------------------------------------------------------------------

    def _head(self, prefix: bytes) -> Head | None:
        row = self._said.get(prefix + _LAST)
        return None if row is None else Head(**row)

    def _put_head(self, prefix: bytes, head: Head) -> None:
        self._said.put(prefix + _LAST, head._asdict())

    def _others(self, prefix: bytes, head: Head) -> Iterator[tuple[int, Fields]]:
        """Yield (time, what was said) of all but the last word, ascending.

        From the first one on: the rows before it were deleted, and a scan from the prefix on would look at each.
        """
        if head.others:
            for key, fields in self._said.scan(prefix, time_key(prefix, head.first)):
                if key.endswith(_LAST, len(prefix)):
                    return
                yield place_of(prefix, key)[0], fields

    def _append(self, prefix: bytes, head: Head, time: int, row: Fields) -> None:
        """Note a word that is newer than all before."""
        self._said.put(time_key(prefix, head.time), head.said)
        first = head.first if head.others else head.time
        second = head.time if head.others == 1 else head.second
        head = Head(time, head.new, row, head.others + 1, first, second)
        self._put_head(prefix, self._bounded(prefix, head))

    def _bounded(self, prefix: bytes, head: Head) -> Head:
        """Make one row of the oldest, if there are too many or they are too old; return the head with what is left."""
        most, bound = head.others - MAX_SAID, head.time - KEPT_MS
        if head.others < 2 or (most < 2 and head.second >= bound):  # noqa: PLR2004 - one says how the item was
            return head
        whole: Fields = {}
        gone: list[int] = []
        second = head.second
        for place, (time, fields) in enumerate(self._others(prefix, head)):
            if place >= most and time >= bound:
                second = time
                break
            gone.append(time)
            whole = _after(whole, fields)
        for time in gone:
            self._said.delete(time_key(prefix, time))
        self._said.put(time_key(prefix, gone[-1]), whole)
        return head._replace(others=head.others - len(gone) + 1, first=gone[-1], second=second)

    def _insert(self, prefix: bytes, head: Head, time: int, row: Fields) -> Taken:
        """Note a word that isn't newer than all before; between them it is sought among all."""
        others = {} if time == head.time else dict(self._others(prefix, head))
        known = head.said if time == head.time else others.get(time)
        if known is not None and _GONE not in row:
            row = known | row
        if row == known:
            return Taken.NOTHING
        if time == head.time:
            self._put_head(prefix, head._replace(said=row))
            return Taken.CORRECTION
        self._said.put(time_key(prefix, time), row)
        others[time] = row
        times, old = sorted(others), Fields()
        for at in times:
            old = _after(old, others[at])
        head = head._replace(old=old, others=len(times), first=times[0], second=times[min(1, len(times) - 1)])
        self._put_head(prefix, self._bounded(prefix, head))
        return Taken.NEWS if known is None else Taken.CORRECTION


class Ahead:
    """Changes that a fold has yet to come to, of the items that concern its customer, in order."""

    def __init__(self, references: References) -> None:
        """Look them up in `references`."""
        self._references = references
        self._queue: list[tuple[Place, Change]] = []
        self._known: set[tuple[str, str]] = set()

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._queue)

    def watch(self, kind: str, item: str, since: int, behind: Place | None = None) -> None:
        """Add an item's changes from a time (ms) on, behind a place: it has begun to concern the customer."""
        if (kind, item) not in self._known:
            self._known.add((kind, item))
            for change in self._references.changes(kind, item, since):
                if behind is None or change.place > behind:
                    heappush(self._queue, (change.place, change))

    def resume(self, concerning: Iterable[tuple[str, str, int]], behind: Place) -> None:
        """Add what a fold that has come to a place has yet to come to."""
        since: dict[tuple[str, str], int] = {}
        for kind, item, time in concerning:
            since[kind, item] = min(time, since.get((kind, item), time))
        for (kind, item), time in since.items():
            self.watch(kind, item, time, behind)

    def before(self, time: int) -> Iterator[Change]:
        """Take out what changed before a time (ms), in order."""
        while self._queue and self._queue[0][0][0] < time:
            yield heappop(self._queue)[1]


_GONE = ""
"""No field has an empty name: where it stands, all that was known is gone before the rest is said."""
GONE: Fields = {_GONE: True}
"""Is said of an item that is gone."""


def _after(old: Fields, said: Fields) -> Fields:
    """Return an item's row after something was said of it."""
    return {name: value for name, value in said.items() if name} if _GONE in said else old | said
