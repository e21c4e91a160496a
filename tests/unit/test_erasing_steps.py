"""Erasures in large components: what one message reads and writes is bounded, and strangers' rows are let alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from stream_app.domain.commands import Command, Op
from stream_app.domain.customer_id import customer_id
from stream_app.domain.effects import Change
from stream_app.domain.keys import label_key, names_key
from stream_app.domain.repair import Limits
from stream_app.domain.timeline import ERASED
from tests.property.identity_world import KEY
from tests.unit.test_repair_steps import (
    ANA,
    BEN,
    COOKIE,
    PHONE,
    STEP,
    Place,
    ana,
    event,
    expected,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 4_000
LATER = 1_000_000
HERS, HIS = customer_id(ANA, KEY), customer_id(BEN, KEY)
TILL = "device:till"


def erase(name: str = ANA, time: int = LATER) -> Command:
    return Command("c9", Op.ERASE, (name,), time, "operator", "because", "c/0/9")


def household(place: Place, rows: int) -> None:
    """Give Ana and Ben a timeline each; one event names both, and three of his name her telephone."""
    ana(place, rows)
    place.give(ANA, event(50_000, ANA, BEN))
    for number in range(rows):
        place.give(ANA, event(100_000 + number, BEN, "cookie:ben"))
    for number in range(3):
        place.give(ANA, event(200_000 + number, BEN, PHONE, TILL, time=-1))
    while place.waiting:
        place.step()


def rest(place: Place) -> int:
    """Handle what waits; return how many messages that took. None does more than a step and a turn of folding."""
    steps = 0
    while place.waiting:
        place.forget_counts()
        place.step()
        steps += 1
        if place.waiting:
            check_bound(place)
    return steps


def check_bound(place: Place) -> None:
    for table in ("timeline", "events"):
        assert place.counts(table)["put"] <= place.limits.rows, table
        assert place.counts(table)["delete"] <= place.limits.rows, table
    assert place.counts("timeline")["row"] <= place.limits.rows + place.folding.events + 1


def his(rows: int) -> list[str]:
    return [f"e{number}" for number in (200_000, 200_001, 200_002, *range(100_000, 100_000 + rows))]


def bare_rows(place: Place) -> int:
    return sum(1 for _ in place.tables["timeline"].scan(label_key(ANA) + ERASED.to_bytes(4)))


def test_an_erasure_takes_many_messages_each_of_which_is_bounded() -> None:
    place = Place()
    household(place, ROWS)
    place.forget_counts()
    place.give(ANA, erase())
    check_bound(place)
    assert place.effects.counts[Change.ERASED] == 1
    assert HERS not in place.effects.profiles
    assert rest(place) >= ROWS // STEP
    assert place.timelines(ANA) == {HIS: his(ROWS)}
    assert bare_rows(place) == ROWS + 3


def test_only_rows_that_may_name_the_erased_are_looked_at() -> None:
    """The other person's timeline is ten times as long, and none of his events names what was hers."""
    place = Place()
    ana(place, 100)
    place.give(ANA, event(50_000, ANA, BEN))
    for number in range(1_000):
        place.give(ANA, event(100_000 + number, BEN, "cookie:ben"))
    assert not place.waiting
    place.forget_counts()
    place.give(ANA, erase())
    assert not place.waiting
    assert place.counts("timeline")["row"] <= 2 * 103
    assert place.timelines(ANA).keys() == {HIS}


def test_where_evidence_is_later_than_the_command_all_is_read_once_and_written_in_steps() -> None:
    place = Place()
    household(place, ROWS)
    place.give(ANA, event(300_000, ANA, COOKIE, time=LATER + 1))
    total = len(place.tables["timeline"])
    place.forget_counts()
    place.give(ANA, erase())
    assert place.counts("timeline")["row"] <= total + place.limits.rows + 1
    assert place.counts("timeline")["put"] <= place.limits.rows
    assert place.counts("going")["put"] <= 3
    steps = 0
    while place.waiting:
        place.forget_counts()
        place.step()
        steps += 1
        assert place.counts("timeline")["put"] <= place.limits.rows
    assert steps >= ROWS // STEP
    assert place.timelines(ANA) == {HERS: ["e300000"], HIS: his(ROWS)}


def test_between_steps_she_has_no_profile_and_what_is_read_of_her_does_not_count() -> None:
    place = Place(Limits(rows=10))
    household(place, 100)
    place.give(ANA, erase())
    number = 400_000
    while place.waiting:
        place.give(ANA, event(number, BEN, COOKIE, time=number))  # a cookie that was hers: his from now on
        assert HERS not in place.effects.profiles
        assert ANA not in place.components.identities(ANA).naming
        place.step()
        number += 1
    assert number > 400_008
    assert place.timelines(ANA) == {HIS: his(100) + [f"e{n}" for n in range(400_000, number)]}


def test_a_copy_of_an_event_that_is_still_to_go_changes_nothing() -> None:
    place = Place(Limits(rows=10))
    household(place, 100)
    place.give(ANA, erase())
    published = dict(place.effects.published)
    assert published["e000101"][1] == HERS
    place.give(ANA, event(101, PHONE))
    assert place.effects.counts["duplicate"] == 1
    assert place.effects.published["e000101"][1] == ""
    rest(place)
    assert place.timelines(ANA) == {HIS: his(100)}


def test_another_content_under_the_id_of_an_event_that_lost_an_identifier_is_a_conflict() -> None:
    place = Place(Limits(rows=10))
    household(place, 100)
    place.give(ANA, erase())
    place.give(ANA, event(200_001, BEN, PHONE, "cookie:other", time=-1))
    assert place.effects.counts["conflict"] == 1
    rest(place)
    assert place.timelines(ANA) == {HIS: his(100)}
    _, owner, left = place.effects.published["e200001"]
    assert (owner, left.identifiers) == (HIS, (BEN, TILL))


def test_a_conflict_between_steps_counts_rows_as_what_is_left_of_them() -> None:
    """Three of Ben's rows are still to lose her telephone: they are among those that name him and the till."""
    place = Place(Limits(rows=10))
    household(place, 100)
    place.give(ANA, event(210_000, BEN, TILL))
    place.give(ANA, erase())
    first = msgspec.structs.replace(event(210_000, BEN, "cookie:other"), received=1, source="web/0/1")
    place.give(ANA, first)
    assert place.effects.counts["conflict"] == 1
    assert place.waiting
    prefix = label_key(ANA)
    assert place.tables["sightings"].get(names_key(prefix, (BEN, TILL))).count == 3
    rest(place)
    assert place.tables["sightings"].get(names_key(prefix, (BEN, TILL))).count == 3
    assert place.timelines(ANA) == {HIS: [*his(100), "e210000"]}


def test_an_erasure_waits_until_rows_that_are_being_moved_are_where_they_belong() -> None:
    place = Place(Limits(rows=10))
    ana(place, 100)
    split(place, 100)
    want = expected(100)
    place.give(ANA, erase())
    assert place.effects.counts[Change.ERASED] == 0
    for _ in range(1_000):
        if place.waiting:
            place.step()
    assert place.effects.counts[Change.ERASED] == 1
    assert place.timelines(ANA) == {HIS: want[HIS]}


@pytest.mark.parametrize("lose", [Place.restore, lambda place: place.components.reset()])
@pytest.mark.parametrize("after", [False, True])
def test_memory_that_is_lost_between_any_two_messages_changes_nothing(
    lose: Callable[[Place], None], after: bool
) -> None:
    undisturbed, disturbed = Place(Limits(rows=10)), Place(Limits(rows=10))
    for place in (undisturbed, disturbed):
        household(place, 100)
        if after:
            place.give(ANA, event(300_000, ANA, COOKIE, time=LATER + 1))
        lose(place)
        place.give(ANA, erase())
    while undisturbed.waiting:
        lose(disturbed)
        assert undisturbed.step() == disturbed.step()
    assert not disturbed.waiting
    for name, table in undisturbed.tables.items():
        assert disturbed.tables[name]._rows == table._rows, name


def test_after_a_conflict_only_the_customers_are_read_whose_the_events_may_be() -> None:
    place = Place()
    ana(place, 100)
    place.give(ANA, event(50_000, ANA, BEN))
    for number in range(1_000):
        place.give(ANA, event(100_000 + number, BEN, "cookie:ben"))
    home = place.components._customers.home(place.components._at(ANA))
    place.forget_counts()
    place.components._customers.unsee(place.components._at(ANA), home, (ANA, COOKIE))
    assert place.counts("timeline")["row"] <= 103
