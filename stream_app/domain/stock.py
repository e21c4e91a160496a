"""Which shop has which product, at one partition: kept small, for it is products times shops.

1. A word about a product says of some shops whether they have it (a quantity above 0) at a time; of the others it says
   nothing. That it is gone says of all shops that they don't. Of two words about a shop at one time the later counts.
2. A product is one row: its words by time, each as two sets of shops, those it speaks of and those of them that have
   it. A word of one shop is a number, one of three hundred is 76 bytes, whatever the quantities.
3. What words more than `KEPT_MS` before the product's last said, or before its last `MAX_SAID`, is one word. So a
   product has some hundred bytes, and at most `MAX_SAID` words.
4. Of what was said more than `SETTLED_MS` before the last word, a repetition is dropped if its shop said something
   later: a shop that sells one piece after the other says that it has it each time.

What holds in any order of arrival: what a shop has *now* is what it said last, by event time. What it had at some time
in the last two days is the same in any order too, unless words come more than an hour late: then what such a word says
may hold until the shop's next change instead of its next word. Older than two days is not told apart from two days ago.
Other reference data keep all that was said for 35 days (`reference`); for 60 million shelves nobody could pay that.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.domain.keys import label_key, label_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_app.domain.ports import Table

STOCK = "stock"
"""The kind of item whose fields are shops."""
_SHOP = "stock.store"
KEPT_MS = 2 * 86_400_000
"""How far back a late event, a merge or a split can still find what a shop had."""
SETTLED_MS = 3_600_000
"""How late a word may be, and still find all that was said since."""
MAX_SAID = 256
"""Words about a product that are told apart."""
MAX_SHOPS = 32_768
"""Shops that are told apart; what further ones say is not kept."""
EVERY = 8
"""Repetitions are looked for each time a product has so many words more."""
FEW = 8
"""So many shops are written as numbers, more as a set of bits."""


class StockError(ValueError):
    """Quantities that can't be read. It says which field is wrong and what to do, and holds none of the values."""


class Word(NamedTuple):
    """What is said at a time (ms): of which shops (a bit each; -1: of all), and which of them have the product."""

    time: int
    shops: int
    has: int


class Stock:
    """Which shop has which product."""

    def __init__(self, table: Table[dict[str, Any]]) -> None:
        """Keep rows in `table`, which others use too."""
        self._rows = table
        self._numbers: dict[str, int] | None = None

    def take(self, product: str, time: int, quantities: dict[str, Any] | None) -> None:
        """Note how many of a product shops have at a time (ms); None: there is no such product any more."""
        key = label_key(STOCK) + label_key(product)
        words = read(self._rows.get(key))
        if words and time < words[-1].time - KEPT_MS:
            return  # nobody's decisions rest on it any more
        word = Word(time, -1, 0) if quantities is None else self._word(time, quantities)
        if not word.shops:
            return
        place = bisect_left(words, (time,))
        if place < len(words) and words[place].time == time:
            words[place] = after(words[place], word)
        else:
            words.insert(place, word)
        self._rows.put(key, written(bounded(words)))

    def having(self, shop: str, products: Iterable[str], time: int) -> dict[str, bool]:
        """Return those of some products that a shop had at a time (ms)."""
        number = self._known().get(shop)
        if number is None:
            return {}
        return {one: True for one in products if _has(self._words(one), number, time)}

    def having_all(self, shops: Iterable[str], products: Iterable[str], time: int) -> list[str]:
        """Return those of some shops that had all of some products at a time (ms), in the order in which they come.

        Each product is looked up once, however many shops there are, and none when no shop is left.
        """
        known = self._known()
        left = [(shop, known[shop]) for shop in shops if shop in known]
        for product in products:
            if not left:
                break
            words = self._words(product)
            left = [one for one in left if _has(words, one[1], time)]
        return [shop for shop, _ in left]

    def reset(self) -> None:
        """Forget what is in memory: the rows were rolled back."""
        self._numbers = None

    def _words(self, product: str) -> list[Word]:
        return read(self._rows.get(label_key(STOCK) + label_key(product)))

    def _word(self, time: int, quantities: dict[str, Any]) -> Word:
        shops = has = 0
        for shop, quantity in quantities.items():
            number = self._number(shop)
            if number is not None and isinstance(quantity, int | float):
                shops |= 1 << number
                has |= (quantity > 0) << number
        return Word(time, shops, has)

    def _number(self, shop: str) -> int | None:
        """Return a shop's bit, given when it was first spoken of; None: there are too many."""
        known = self._known()
        number = known.get(shop)
        if number is None and len(known) < MAX_SHOPS:
            number = known[shop] = len(known)
            self._rows.put(label_key(_SHOP) + label_key(shop), {"number": number})
        return number

    def _known(self) -> dict[str, int]:
        if self._numbers is None:
            prefix = label_key(_SHOP)
            self._numbers = {
                label_of(key, len(prefix)): row["number"] for key, row in self._rows.scan(prefix)
            }
        return self._numbers


def _has(words: Sequence[Word], number: int, time: int) -> bool:
    """Tell whether the shop with this bit had a product at a time (ms), by what was said of that."""
    for word in reversed(words):
        if word.time <= time and word.shops >> number & 1:
            return bool(word.has >> number & 1)
    return False


def read_quantities(said: object, field: str, by: str) -> dict[str, float]:
    """Return how many there are, by store (or product).

    Args:
        said: what a row says.
        field: where, for the message.
        by: what the keys are, for the message.

    Raises:
        StockError: it isn't that.
    """
    if not isinstance(said, dict) or not all(
        isinstance(quantity, int | float) and not isinstance(quantity, bool) for quantity in said.values()
    ):
        raise StockError(f"{field} is not an object: {by} to quantity, a number")
    return {str(key): quantity for key, quantity in said.items()}


def after(old: Word, new: Word) -> Word:
    """Return what two words say together; where both speak of a shop, the new one counts."""
    return Word(new.time, old.shops | new.shops, old.has & ~new.shops | new.has)


def bounded(words: list[Word]) -> list[Word]:
    """Make one of the oldest words, as far as there are too many, or they are too old; drop repetitions."""
    latest = words[-1].time
    if len(words) % EVERY == 0:
        words = without_repetitions(words, latest - SETTLED_MS)
    gone = sum(
        place < len(words) - MAX_SAID or word.time < latest - KEPT_MS for place, word in enumerate(words)
    )
    if gone < 2:  # noqa: PLR2004 - one says how it was
        return words
    whole = words[0]
    for word in words[1:gone]:
        whole = after(whole, word)
    return [whole, *words[gone:]]


def without_repetitions(words: Sequence[Word], until: int) -> list[Word]:
    """Drop of the words before a time (ms) what repeats what its shop said, if the shop said something later there."""
    settled = bisect_left(words, (until,))
    known, repeated = Word(0, 0, 0), []
    for word in words[:settled]:
        repeated.append(word.shops & known.shops & ~(known.has ^ word.has) if word.shops >= 0 else 0)
        known = after(known, word)
    kept, later = list(reversed(words[settled:])), 0
    for word, again in zip(reversed(words[:settled]), reversed(repeated), strict=True):
        rest = word.shops & ~(again & later)
        later |= word.shops
        if rest:
            kept.append(Word(word.time, rest, word.has & rest))
    return kept[::-1]


def written(words: Sequence[Word]) -> dict[str, Any]:
    """Return a product's row."""
    first = words[0].time
    return {"from": first, "said": [[word.time - first, *_sets(word)] for word in words]}


def read(row: dict[str, Any] | None) -> list[Word]:
    """Return the words in a product's row."""
    return [] if row is None else [Word(row["from"] + one[0], *_of_sets(one)) for one in row["said"]]


def _sets(word: Word) -> list[Any]:
    """Return how a word's shops are written: not at all, as numbers (with a last bit: has it), or as two sets."""
    shops, has = word.shops, word.has
    if shops >= 0 and shops.bit_count() <= FEW:
        numbers = []
        while shops:
            bit = shops & -shops
            numbers.append((bit.bit_length() - 1) << 1 | bool(has & bit))
            shops ^= bit
        return [numbers]
    return [None if shops < 0 else _bytes(shops), _bytes(has)]


def _of_sets(written_as: Sequence[Any]) -> tuple[int, int]:
    if len(written_as) == 2:  # noqa: PLR2004 - the time and numbers
        shops = has = 0
        for number in written_as[1]:
            shops |= 1 << (number >> 1)
            has |= (number & 1) << (number >> 1)
        return shops, has
    _, shops_of, has_of = written_as
    return -1 if shops_of is None else int.from_bytes(shops_of, "little"), int.from_bytes(has_of, "little")


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "little")
