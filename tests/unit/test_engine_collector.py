from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from stream_app.engine.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def circle() -> None:
    one: list[object] = []
    one.append(one)


def test_what_is_alive_between_two_epochs_is_not_looked_at_again() -> None:
    collector = Collector(Clock())
    kept = [[number] for number in range(1000)]
    collector.between_epochs()
    alive = {id(one) for one in gc.get_objects()}
    assert not any(id(one) in alive for one in kept)


@pytest.fixture
def found() -> Iterator[list[int]]:
    """What each look has found so far."""
    looks: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            looks.append(info["collected"])

    gc.callbacks.append(note)
    yield looks
    gc.callbacks.remove(note)


def test_circles_are_found_once_an_hour(found: list[int]) -> None:
    clock = Clock()
    collector = Collector(clock)
    for clock.now in (10.0, 3500.0, 3601.0, 3700.0, 7100.0, 7202.0):
        circle()
        collector.between_epochs()
    assert len(found) == 2
    assert found[0] >= 3
    assert found[1] >= 3


def test_circles_of_a_rebalance_are_found_when_it_is_over(found: list[int]) -> None:
    clock = Clock()
    collector = Collector(clock)
    circle()
    collector.between_epochs()
    collector.rebalanced()
    clock.now = 20.0
    collector.rebalanced()  # one after the other, without end: each would put it off
    for clock.now in (29.0, 31.0, 32.0, 61.0):
        collector.between_epochs()
    assert len(found) == 1
    assert found[0] >= 1


def test_what_is_free_is_given_back_every_five_minutes_and_after_each_look(
    found: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, given = Clock(), list[float]()
    monkeypatch.setattr("stream_app.engine.collector._give_back", lambda: given.append(clock.now))
    collector = Collector(clock)
    for clock.now in (1.0, 299.0, 301.0, 302.0, 602.0):
        collector.between_epochs()
    assert given == [301.0, 602.0]
    collector.rebalanced()
    for clock.now in (640.0, 641.0):
        collector.between_epochs()
    assert given == [301.0, 602.0, 640.0]
    assert len(found) == 1
