"""What customers are told to add to the numbers is what an offline computation finds on their timelines.

Whatever happens on the way: events in any order, customers that merge, split, are folded in turns and are erased,
epochs that are lost. Triggers are sent by a stand-in for the rules, which decides by the events alone: see `Sender`.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.commands import Command, Op
from stream_app.domain.counting import Counting
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.ports import ComponentTables
from stream_app.domain.profile import END, Profile
from stream_app.domain.rule_fold import NoRules
from stream_app.domain.rules import Action, Because, Decision
from tests.property.examples import examples, search
from tests.property.identity_world import Recorder
from tests.property.numbers_oracle import expected
from tests.property.numbers_world import START, life
from tests.property.test_folding_any_order import ANA, BEN, ONE, PAIRS, POLICY, SMALL, TWO, WHO, Crashing

if TYPE_CHECKING:
    from stream_app.domain.customer import Customer
    from stream_app.domain.numbers import Increments
    from stream_app.domain.profile import Place

Input = Event | Command


class Sums(Recorder):
    """Adds up what is told, and knows which triggers were sent."""

    def __init__(self, send: Any) -> None:
        super().__init__(send)
        self.sums: Counter[Any] = Counter()
        self.sent: Counter[str] = Counter()

    def add(self, increments: Increments) -> None:
        assert 0 not in increments.values()
        self.sums.update(increments)


class Sender(NoRules):
    """Sends a trigger after one event in three, some of them long after it, and takes one in three of these back."""

    def __init__(self, effects: Sums) -> None:
        self.effects = effects
        self.counting: Counting

    def on_event(self, customer: Customer, event: Event) -> bool:
        customer.rules = b"state"
        return True

    def void(self, customer: Customer, event: Event) -> Place:
        return event.order

    def decide(self, customer: Customer, stamp: int) -> None:
        last = customer.profile.last
        assert customer.settled
        assert last is not None
        chance = crc32(last[1].encode())
        if chance % 3:
            return
        clock = last[0] + (chance // 3) % 4 * 5 * 86_400_000
        trigger = f"t{chance // 15 % 4}-{last[1]}"
        self.say(customer, trigger, Action.FIRE, last[1], clock)
        if chance % 2:
            self.say(customer, trigger, Action.RETRACT, last[1], clock + 1)

    def say(self, customer: Customer, trigger: str, action: Action, event_id: str, clock: int) -> None:
        decision = Decision(
            trigger, action, "cart", 1, [], "service", ["push"], clock, clock, event_id, "", Because([], 0, {}), {}
        )  # fmt: skip
        counted = self.counting.sent(customer, decision)
        last = customer.profile.last
        assert counted is not None
        assert last is not None
        assert counted > last[0]
        self.effects.sent[trigger] += 1

    def finish(self, customer: Customer, fold: Any, stamp: int) -> None:
        customer.rules = b"state"
        if customer.profile.last is not None:
            self.decide(customer, stamp)

    def leave(self, customer: Customer) -> bytes:
        return b"left"

    def join(self, customer: Customer, state: bytes) -> Place:
        customer.rules = b"state"
        return END


class Shop(Crashing):
    """A world whose customers are counted."""

    counting: type[Counting] = Counting

    def rules_of(self, place: int) -> Counting:
        sender = Sender(self.effects)
        tables = ComponentTables(**self.component_tables[place])
        sender.counting = self.counting(sender, tables, self.effects.add)
        return sender.counting

    def customers(self) -> list[Customer]:
        """Return all customers that there are; each is at rest."""
        found = []
        for root in {self.root(self.label(name)) for name in (ANA, BEN, ONE, TWO)}:
            for slot in {group.slot for group in self.home(root).identities(root).all.groups.values()}:
                customer = self.home(root).customer(root, slot)
                assert customer is not None
                assert customer.settled
                found.append(customer)
        return found

    def sends_of(self, customer: Customer) -> list[Any]:
        rows = self.tables_of(customer.label)["sends"].scan(customer.prefix)
        return [row for _, row in rows]


def arrivals(seed: int, *, erasures: bool = False) -> list[Input]:
    """Draw what some people do and are said to be, in an order of arrival."""
    chance = random.Random(seed)
    arrived: list[Input] = []
    for one in life(chance, 0, 24):
        if isinstance(one, Event):
            index = len(arrived)
            source = f"web/0/{index}"
            arrived.append(
                msgspec.structs.replace(one, identifiers=chance.choice(WHO), received=index, source=source)
            )
    if chance.random() < 0.5:
        chance.shuffle(arrived)
    for index in range(chance.randrange(5)):
        ops = (Op.DENY, Op.ASSERT, Op.WITHDRAW) + ((Op.ERASE,) if erasures else ())
        op, time = chance.choice(ops), START + chance.randrange(40 * 86_400_000)
        names = (chance.choice((ANA, ONE)),) if op is Op.ERASE else chance.choice(PAIRS)
        command = Command(f"c{index}", op, names, time, "operator", "because", f"commands/0/{index}")
        arrived.insert(chance.randrange(len(arrived) + 1), command)
    return arrived


SEEDS = st.integers(0, 2**32)
LIMITS = st.builds(FoldLimits, st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))


def play(arrived: list[Input], seed: int, folding: FoldLimits, lazy: float, kind: type[Shop] = Shop) -> Shop:
    world = kind(
        seed, partitions=1 + seed % 3, policy=POLICY, limits=SMALL, folding=folding, lazy=lazy, recorder=Sums
    )
    world.run(arrived)
    return world


def hold(world: Shop, *, erased: bool = False) -> None:
    """Hold what was told against the offline computation; and every send to whose event it rests on."""
    entries, sends = {}, 0
    for customer in world.customers():
        rows = world.sends_of(customer)
        entries[f"{customer.label}/{customer.slot}"] = [*customer.history(), *(row.entry for row in rows)]
        own = {event.event_id for event in customer.history()}
        assert all(row.opened_by in own for row in rows)
        sends += len(rows)
    found = {cell: amount for cell, amount in world.effects.sums.items() if amount}
    assert found == expected(entries)
    assert erased or sends == world.effects.sent.total()
    nobody_left_anything_behind(world)


def nobody_left_anything_behind(world: Shop) -> None:
    """Every row of the numbers is of a customer that there is."""
    for tables in world.component_tables:
        alive = {key for key, _ in tables["customers"].scan(b"")}
        for name in ("told", "sends", "journeys", "bookings"):
            for key, _ in tables[name].scan(b""):
                assert any(key.startswith(prefix) for prefix in alive), name


@examples(120)
@given(SEEDS, st.integers(0, 10**6), LIMITS, st.sampled_from((0.0, 0.6, 0.9)))
def test_whatever_happens_to_timelines_the_sums_are_those_of_what_they_are_now(
    drawn: int, seed: int, folding: FoldLimits, lazy: float
) -> None:
    hold(play(arrivals(drawn), seed, folding, lazy))


@examples(60)
@given(SEEDS, st.integers(0, 10**6), LIMITS)
def test_who_is_erased_is_counted_no_more(drawn: int, seed: int, folding: FoldLimits) -> None:
    hold(play(arrivals(drawn, erasures=True), seed, folding, 0.0), erased=True)


def test_what_is_drawn_is_worth_drawing() -> None:
    """Nearly all numbers have something in them, and customers merge, split and are folded again."""
    counts: Counter[str] = Counter()
    numbers: set[str] = set()
    for seed in range(60):
        effects = play(arrivals(seed), seed, FoldLimits(3, 1, 4), 0.3).effects
        counts.update(effects.counts)
        counts["sent"] += effects.sent.total()
        numbers |= {cell.number for cell, amount in effects.sums.items() if amount}
    assert min(counts[name] for name in ("late", "moved", "merged", "split", "sent")) > 20, counts
    assert len(numbers) > 20, numbers


# -- planted bugs -------------------------------------------------------------------------------------------


class SendsStandWhereTheClockDoes(Counting):
    def _behind_all(self, customer: Customer, time: int) -> int:
        return time


class EventsAreTakenBehindSends(Counting):
    def on_event(self, customer: Customer, event: Event) -> bool:
        ongoing = customer.row.ongoing
        if ongoing is not None and event.order <= ongoing.sent:
            ongoing.sent = (event.time, "")
        return super().on_event(customer, event)


class WhatGoesIsNotTakenBack(Counting):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.removed = lambda _key: None


class SendsAreForgottenWhenFoldedAgain(Counting):
    def begin(self, customer: Customer, kept: bytes | None, since: Place) -> Any:
        fold = super().begin(customer, kept, since)
        if fold is not None:
            fold._next = None
        return fold


class SendsStayBehind(Counting):
    def leave(self, customer: Customer) -> bytes:
        for key, _ in list(self._tables.sends.scan(customer.prefix)):
            self._remove_send(key)
        return super().leave(customer)


class SendsAreNotSharedOut(Counting):
    def share(self, customer: Customer, slot_of: Any) -> Any:
        return self._rules.share(customer, slot_of)


class WhoEndsLeavesHerJourney(Counting):
    def leave(self, customer: Customer) -> bytes:
        journey = self._tables.journeys.get(customer.prefix)
        left = super().leave(customer)
        if journey is not None:
            self._tables.journeys.put(customer.prefix, journey)
        return left


class SendsAreFoldedAtTheEnd(Counting):
    def before_step(self, fold: Any, event: Event, profile: Profile) -> None:
        self._rules.before_step(fold.rules, event, profile)


PLANTED = [
    SendsStandWhereTheClockDoes, EventsAreTakenBehindSends, WhatGoesIsNotTakenBack,
    SendsAreForgottenWhenFoldedAgain, SendsStayBehind, SendsAreNotSharedOut,
    WhoEndsLeavesHerJourney, SendsAreFoldedAtTheEnd,
]  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED, ids=lambda kind: kind.__name__)
def test_a_planted_bug_is_found(planted: type[Counting]) -> None:
    class Wrong(Shop):
        counting = planted

    @search(200)
    @given(SEEDS, st.integers(0, 10**6), LIMITS, st.sampled_from((0.0, 0.6, 0.9)))
    def look(drawn: int, seed: int, folding: FoldLimits, lazy: float) -> None:
        hold(play(arrivals(drawn), seed, folding, lazy, Wrong))

    with pytest.raises(AssertionError):
        look()


class CheckpointsHoldWhateverIsBehindThem(Counting):
    def begin(self, customer: Customer, kept: bytes | None, since: Place) -> Any:
        return super().begin(customer, kept, END)


def came_between(kind: type[Shop]) -> Shop:
    """Play a visit, a send ten days later, which a checkpoint holds, and a visit that comes late between them."""
    names = (f"e{number}" for number in count())
    sends = next(name for name in names if crc32(name.encode()) % 24 == 18)
    silent = next(name for name in names if crc32(name.encode()) % 3)
    visits = [
        Event(name, START + days * 86_400_000, "web", "Page Viewed", (ONE,), {}, index, f"web/0/{index}")
        for index, (name, days) in enumerate(((sends, 0), (silent, 8)))
    ]
    return play(list(visits), 0, FoldLimits(3, 1, 1), 0.0, kind)


def test_what_comes_before_a_send_that_a_checkpoint_holds_is_folded_before_it() -> None:
    class Wrong(Shop):
        counting = CheckpointsHoldWhateverIsBehindThem

    hold(came_between(Shop))
    with pytest.raises(AssertionError):
        hold(came_between(Wrong))
