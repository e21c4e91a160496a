"""E-mail addresses as people type them: mostly right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.simulators.chances import chance
from connectors.simulators.identifiers import identifier

if TYPE_CHECKING:
    from random import Random

    from connectors.simulators.identifiers import Identifier

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Typist:
    """Types one person's e-mail address, again and again.

    Attributes:
        mistyped: every wrong address typed so far ("namespace:value").
    """

    def __init__(self, random: Random, typos: float, hits: float, lookalike: Identifier | None) -> None:
        """Set how often it goes wrong.

        Args:
            random: a stream of the typist's own.
            typos: share of typings that go wrong.
            hits: share of these that end in `lookalike`.
            lookalike: another person's address, easily typed instead; None: typos hit nobody.
        """
        self._random = random
        self._typos = typos
        self._hits = hits
        self._lookalike = lookalike
        self.mistyped: set[str] = set()

    def type(self, address: Identifier) -> Identifier:
        """Return the address as it is typed this time."""
        wrong, hit = chance(self._random, self._typos), chance(self._random, self._hits)
        if not wrong:
            return address
        typed = self._lookalike if hit and self._lookalike is not None else self._slip(address)
        self.mistyped.add(typed.text)
        return typed

    def _slip(self, address: Identifier) -> Identifier:
        """Make one of the four single errors that most misspellings are (Damerau 1964).

        Only the name in it suffers: the number behind it is hers alone, so nobody has what comes out; and
        the host stays one that belongs to nobody.
        """
        random, value = self._random, address.value
        name = len(value.partition("@")[0].rstrip("0123456789"))
        while True:
            place, letter = random.randrange(name - 1), random.choice(LETTERS)
            before, one, two, after = value[:place], value[place], value[place + 1], value[place + 2 :]
            middle = random.choice((letter + one + two, two, letter + two, two + one))
            if middle != one + two:
                return identifier(address.namespace, before + middle + after)
