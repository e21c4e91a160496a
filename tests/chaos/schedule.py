"""What goes wrong when: drawn from a seed, carried out, and written down."""

from __future__ import annotations

import json
import math
import random
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.chaos.faults.fault import Fault, Scene

FIRST_S = 2.0
PAUSE_S = (1.0, 3.0)
"""Between the end of a fault and the next one."""
TOGETHER = 0.25
"""Share of faults that begin in the middle of the one before."""
_TICK_S = 0.2


@dataclass(frozen=True)
class Act:
    """A fault, and when it begins (seconds)."""

    at: float
    fault: Fault


def draw(seed: int, seconds: float, kinds: Sequence[type[Fault]]) -> list[Act]:
    """Return a schedule in which each kind of fault comes before any comes again, in an order that is drawn."""
    rnd = random.Random(seed)
    acts: list[Act] = []
    at, turn = FIRST_S, []
    while at < seconds:
        turn = turn or rnd.sample(kinds, len(kinds))
        fault = turn.pop()(rnd)
        acts.append(Act(at, fault))
        if rnd.random() < TOGETHER:
            at += fault.seconds * rnd.random()
        else:
            at += fault.seconds + rnd.uniform(*PAUSE_S)
    return acts


class Conductor:
    """Carries a schedule out.

    Attributes:
        survived: name -> how many faults began and ended.
    """

    def __init__(self, scene: Scene, acts: Sequence[Act], log: Path) -> None:
        self.survived: Counter[str] = Counter()
        self._scene = scene
        self._acts = list(acts)
        self._log = log
        self._began = time.monotonic()

    def run(
        self, progress: Callable[[float, list[str]], None] = lambda *_: None, *, until: float = math.inf
    ) -> None:
        """Inject and heal, while there is something to feed, or until so many seconds have passed.

        While a fault is injected or healed, which may take long, the schedule's clock stands still.
        """
        active: list[tuple[float, Fault]] = []
        waiting = list(self._acts)
        try:
            while (active or self._scene.intake.feeds) and self._now < until:
                now = self._now
                for ended in [one for one in active if one[0] <= now]:
                    active.remove(ended)
                    self._heal(ended[1])
                while waiting and waiting[0].at <= self._now and self._scene.intake.feeds:
                    fault = waiting.pop(0).fault
                    self._write("begins", fault)
                    with self._standing_still():
                        fault.inject(self._scene)
                    active.append((self._now + fault.seconds, fault))
                for _, fault in active:
                    fault.step(self._scene)
                self._scene.deployment.supervise()
                progress(self._now, [fault.name for _, fault in active])
                time.sleep(_TICK_S)
        finally:
            for _, fault in active:
                self._heal(fault)

    @property
    def _now(self) -> float:
        return time.monotonic() - self._began

    @contextmanager
    def _standing_still(self) -> Iterator[None]:
        before = time.monotonic()
        yield
        self._began += time.monotonic() - before

    def _heal(self, fault: Fault) -> None:
        with self._standing_still():
            fault.heal(self._scene)
        self._write("ends", fault)
        self.survived[fault.name] += 1

    def _write(self, what: str, fault: Fault) -> None:
        line: dict[str, Any] = {"s": round(self._now, 2), what: fault.name}
        if fault.details:
            line["details"] = fault.details
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
