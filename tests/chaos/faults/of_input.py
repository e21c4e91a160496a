"""Faults of the input: copies, records out of order, poison."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    from tests.chaos.faults.fault import Scene


class OfInput(Fault):
    """A fault that the intake knows by a word."""

    word: ClassVar[str]
    lasts = (3.0, 8.0)

    def inject(self, scene: Scene) -> None:
        scene.intake.begin(self.word)

    def heal(self, scene: Scene) -> None:
        scene.intake.end(self.word)


class Duplicates(OfInput):
    """A producer that sends again what it has sent."""

    name = "duplicates"
    what = "half of all records are sent twice"
    word = "copies"


class Reordering(OfInput):
    """Producers that overtake each other."""

    name = "reordering"
    what = "records come in any order, 25 at a time"
    word = "disorder"


class Poison(OfInput):
    """Records on which a stage raises whenever it comes to them."""

    name = "poison"
    what = "one record in 30 makes the first stage raise"
    word = "poison"
