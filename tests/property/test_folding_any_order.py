"""What is folded again in turns is what is folded at once: for profiles and for rules, in any order, across crashes.

Worlds here have tiny limits: a checkpoint every four events or less, and a few events in an epoch. Then timelines
of a dozen events are long.
"""

from __future__ import annotations

import math
from copy import deepcopy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.agents.rules import Rules, RulesRow
from stream_app.domain.commands import Command, Op
from stream_app.domain.folding import FoldLimits, Folds, thinned
from stream_app.domain.keys import timer_of
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.profile import END
from stream_app.domain.repair import Limits
from stream_app.domain.rows import customer_tables
from stream_app.domain.rule_fold import NoRules
from stream_app.domain.rules import Action, RuleBook, RulesState, load_rule
from stream_app.engine.timers import TIMERS, Timers
from tests.property.examples import examples, search
from tests.property.folds import is_that_of_the_timeline
from tests.property.identity_rest import found, given_of, inputs, one_component_at_a_time
from tests.property.identity_strategies import arrivals, policies
from tests.property.identity_world import MemoryTable, World
from tests.property.test_rules_any_order import BOOK, MINUTE, RULE, SHOPS, START, alternates, make, oracle
from tests.property.test_rules_any_order import Shop as Drawn
from tests.property.test_rules_any_order import arrivals as rule_arrivals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.profile import Place, Profile
    from stream_app.domain.rules import Decision
    from tests.property.identity_rest import Given

SMALL = Limits(rows=3, size=400)
encode_state = msgspec.msgpack.Encoder().encode
decode_state = msgspec.msgpack.Decoder(RulesState).decode
LIMITS = st.builds(FoldLimits, st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))


# -- a fold for which order is everything -------------------------------------------------------------------


class Diary(NoRules):
    """Rules whose fold is the list of the events' ids; it knows at once if one comes out of order, or twice."""

    def before(self, customer: Customer, event: Event) -> None: ...

    def on_event(self, customer: Customer, event: Event) -> bool:
        assert customer.settled
        customer.rules = self._written(customer.rules or [], event)
        return True

    def begin(self, customer: Customer, kept: bytes | None, since: Place) -> Any:
        return [] if kept is None else msgspec.msgpack.decode(kept)

    def before_step(self, fold: Any, event: Event, profile: Profile) -> None: ...

    def step(self, fold: Any, event: Event, profile: Profile) -> None:
        self._written(fold, event)

    def _written(self, fold: list[Any], event: Event) -> list[Any]:
        assert not fold or tuple(fold[-1]) < event.order
        fold.append(event.order)
        return fold

    def keep(self, fold: Any) -> bytes:
        return msgspec.msgpack.encode(fold)

    def current(self, customer: Customer) -> Any:
        return customer.rules

    def finish(self, customer: Customer, fold: Any, stamp: int) -> None:
        assert customer.settled
        customer.rules = fold


class Crashing(World):
    """Rolls epochs back: what was done since the last one ended is undone, and done again."""

    crashes = 0.3

    def step(self) -> bool:
        if self.random.random() < self.crashes and not self._open:
            kept = deepcopy(self.kept())
            generator = self.random.getstate()
            super().step()
            self.restore(kept)
            self.random.setstate(generator)
        return super().step()

    def kept(self) -> Any:
        tables = [*self.lookup_tables, *self.component_tables]
        rows = [{name: (one._rows, one._keys) for name, one in part.items()} for part in tables]
        return self.queues, rows, self.effects.__dict__ | {"_send": None}

    def restore(self, kept: Any) -> None:
        self.queues, rows, effects = kept
        for part, held in zip([*self.lookup_tables, *self.component_tables], rows, strict=True):
            for name, table in part.items():
                table._rows, table._keys = held[name]
        self.effects.__dict__.update(effects | {"_send": self.send})
        self._open.clear()
        for handler in (*self.homes, *self.resolvers):
            handler.reset()


class WithDiaries(Crashing):
    def rules_of(self, place: int) -> Diary:
        return Diary()


@st.composite
def worlds(draw: st.DrawFn, *, erasures: bool) -> tuple[IdentityPolicy, Given]:
    policy = draw(policies())
    arrived = draw(arrivals(policy, conflicts=True, commands=True, erasures=erasures))
    return policy, given_of(policy, arrived)


def read_through(world: World, given: Given) -> None:
    """Hold profiles (`found` does) and diaries against the timelines."""
    found(world, given)
    for root in {world.root(world.label(name)) for _, one in given for name in one.identifiers}:
        tables = world.tables_of(root)
        groups = world.home(root).identities(root).all.groups
        for slot in {group.slot for group in groups.values()}:
            customer = world.home(root).customer(root, slot)
            assert customer is not None
            assert customer.settled
            assert customer.row.fold is None
            written = [tuple(order) for order in customer.rules or []]
            assert written == [event.order for event in customer.history()]
            kept = list(tables["checkpoints"].scan(customer.prefix))
            assert len(kept) == customer.row.checkpoints
            for key, row in kept:
                assert row.events == written.index(customer_order(customer, key)) + 1
    held = sum(len(tables["checkpoints"]) for tables in world.component_tables)
    wanted = sum(
        row.checkpoints for tables in world.component_tables for _, row in tables["customers"].scan(b"")
    )
    assert held == wanted, "a checkpoint is left of a customer that there is no more"


def customer_order(customer: Customer, key: bytes) -> tuple[int, str]:
    at = len(customer.prefix)
    return int.from_bytes(key[at : at + 8]) - (1 << 63), key[at + 8 :].decode()


@examples(50)
@given(worlds(erasures=False), st.integers(0, 10**6), LIMITS, st.sampled_from((0.0, 0.6)))
def test_whatever_changes_a_timeline_and_whenever_an_epoch_is_lost_each_event_is_folded_once_in_order(
    drawn: tuple[IdentityPolicy, Given], seed: int, folding: FoldLimits, lazy: float
) -> None:
    policy, given = drawn
    world = WithDiaries(
        seed,
        partitions=1 + seed % 3,
        ordered=bool(seed % 2),
        policy=policy,
        limits=SMALL,
        folding=folding,
        lazy=lazy,
    )
    world.run(inputs(given))
    read_through(world, given)


@examples(25)
@given(worlds(erasures=True), st.integers(0, 10**6), LIMITS)
def test_what_an_erasure_leaves_is_folded_from_what_is_left(
    drawn: tuple[IdentityPolicy, Given], seed: int, folding: FoldLimits
) -> None:
    policy, given = drawn
    given = one_component_at_a_time(given)
    world = WithDiaries(seed, partitions=1 + seed % 3, policy=policy, limits=SMALL, folding=folding)
    for one in inputs(given):
        world.give(one)
        while world.step():
            pass
    read_through(world, given)


# -- the rules as they are ----------------------------------------------------------------------------------

POLICY = IdentityPolicy.from_mapping(
    {
        "shared_after": 5,
        "namespaces": [
            {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
            {"name": "cookie", "priority": 2, "kind": "device"},
        ],
    }
)
ANA, BEN, ONE, TWO = "user_id:ana", "user_id:ben", "cookie:1", "cookie:2"
WHO = ((ONE,), (TWO,), (ANA, ONE), (ANA, TWO), (BEN, TWO), (ANA,), (BEN,), (ONE, TWO))
PAIRS = ((ANA, ONE), (ANA, TWO), (BEN, TWO), (ANA, BEN))
TICKS = (0, 10, 30, 60)
NEWER = RuleBook([load_rule((RULE % ("300d", "")).replace("version: 1", "version: 2"))])


class Shop(Crashing):
    """A world with the real rules; its clock goes on by leaps, and timers fire, each in an epoch of its own."""

    component_specs = customer_tables(RulesRow)

    def rules_of(self, place: int) -> Rules:
        if not place:
            self.clock = START
            self.decisions: list[Decision] = []
            self.timers = [MemoryTable(TIMERS) for _ in range(self.partitions)]
            self.rules: list[Rules] = []
        task: Any = SimpleNamespace(timers=Timers(self.timers[place]), clock=self.clock)
        rules = Rules(task, BOOK, lambda _, decision: self.decisions.append(decision))
        self.rules.append(rules)
        return rules

    def kept(self) -> Any:
        timers = [(table._rows, table._keys) for table in self.timers]
        return (*super().kept(), timers, self.decisions, self.clock)

    def restore(self, kept: Any) -> None:
        *rest, timers, self.decisions, clock = kept
        super().restore(rest)
        self.set_clock(clock)
        for table, (rows, keys) in zip(self.timers, timers, strict=True):
            table._rows, table._keys = rows, keys
        for rules in self.rules:
            rules.task.timers.reset()

    def set_clock(self, clock: int) -> None:
        self.clock = clock
        for rules in self.rules:
            rules.task.clock = clock
        for one in self.clocks:
            one.now = clock

    def step(self) -> bool:
        if self.random.random() < 0.1:
            self.set_clock(min(self.clock + self.random.choice(TICKS) * MINUTE + 1, START + 400 * MINUTE))
        for place in range(self.partitions):
            if self.fire(place, at_most=1):
                return True
        return super().step()

    def fire(self, place: int, at_most: int) -> bool:
        """Fire timers that are due, as the customer stage does; return whether there were any."""
        home, rules = self.homes[place], self.rules[place]
        due = rules.task.timers.due(self.clock, at_most)
        for when, key in due:
            customer = home.customer(*timer_of(key))
            if customer is not None and rules.fire(customer, when):
                since = rules.waits(customer)
                if since is not None:
                    home.fold_again(customer, since, when - 1)
                home.save(customer)
            self.end_epoch(place)
        return bool(due)

    def close(self) -> None:
        """Let the clock go far on, and everything come to rest."""
        self.set_clock(START + 1_000 * MINUTE)
        while self.step():
            pass

    def customers(self) -> list[Customer]:
        roots = {self.root(self.label(name)) for name in (ANA, BEN, ONE, TWO)}
        return [
            customer
            for root in roots
            for slot in {group.slot for group in self.home(root).identities(root).all.groups.values()}
            if (customer := self.home(root).customer(root, slot)) is not None
        ]


@st.composite
def days(draw: st.DrawFn) -> list[Event | Command]:
    """Draw what some people do in a shop, in an order of arrival, and what operators say of them."""
    shops = draw(st.lists(SHOPS, min_size=1, max_size=16))
    arrived: list[Event | Command] = []
    for index, shop in enumerate(shops):
        names = draw(st.sampled_from(WHO))
        event = msgspec.structs.replace(make(index, shop), identifiers=names, received=index)
        arrived.append(msgspec.structs.replace(event, source=f"web/0/{index}"))
    if draw(st.booleans()):
        arrived.sort(key=lambda event: event.order)
    for index in range(draw(st.integers(0, 4))):
        op = draw(st.sampled_from((Op.DENY, Op.ASSERT, Op.WITHDRAW)))
        pair = draw(st.sampled_from(PAIRS))
        command = Command(f"c{index}", op, pair, START + index, "operator", "because", f"commands/0/{index}")
        arrived.insert(draw(st.integers(0, len(arrived))), command)
    return arrived


def folded_right(world: Shop, book: RuleBook) -> None:
    """Hold every customer's fold against one from the beginning, and what was sent against RULES.md."""
    justified: set[str] = set()
    for customer in world.customers():
        events = list(customer.history())
        justified |= set(oracle(events))
        state = None if customer.rules is None else customer.rules.state
        if state is None:
            assert not events
            continue
        again = book.refold(events, (state.ledger,))
        is_that_of_the_timeline(state, again)
    alternates(world.decisions)
    last = {one.trigger_id: one for one in world.decisions if one.action != Action.HELD_BACK}
    assert {one.opened_by for one in last.values() if one.action == Action.FIRE} == justified


def test_a_timer_that_goes_off_while_a_merge_is_under_way_is_heeded_though_no_row_of_its_customer_moves() -> (
    None
):
    def added(number: int, *names: str) -> Event:
        event = make(number, Drawn(0, "Product Added", "k1", "A"))
        return msgspec.structs.replace(event, identifiers=names, received=number, source=f"web/0/{number}")

    said = [
        Command(f"c{time}", op, (ANA, ONE), START + time, "operator", "because", f"commands/0/{time}")
        for time, op in ((1, Op.DENY), (0, Op.ASSERT))
    ]
    shops = [added(0, ANA, TWO), *(added(number, ONE) for number in (1, 2, 3)), added(4, BEN, TWO)]
    for seed in range(20):
        world = play([*said, *shops], seed, FoldLimits(), 0.0)
        assert [one.opened_by for one in world.decisions if one.action == Action.FIRE] == ["e07"]


def play(
    arrived: Sequence[Event | Command], seed: int, folding: FoldLimits, lazy: float, *, timed: bool = False
) -> Shop:
    partitions = 1 + seed % 2
    world = Shop(
        seed, partitions=partitions, policy=POLICY, limits=SMALL, folding=folding, lazy=lazy, timed=timed
    )
    world.set_clock(START)
    world.run(arrived)
    world.close()
    return world


@examples(120)
@given(days(), st.integers(0, 10**6), LIMITS, st.sampled_from((0.0, 0.6, 0.9)), st.booleans())
def test_rules_that_are_folded_in_turns_send_what_is_justified_and_end_as_if_folded_at_once(
    arrived: list[Event | Command], seed: int, folding: FoldLimits, lazy: float, timed: bool
) -> None:
    folded_right(play(arrived, seed, folding, lazy, timed=timed), BOOK)


def change_the_rules(
    before: list[Event | Command], after: list[Event | Command], seed: int, folding: FoldLimits
) -> None:
    """Play a day, change the rules, play another one; hold every fold by the new ones against one from scratch."""
    world = Shop(seed, partitions=1 + seed % 2, policy=POLICY, limits=SMALL, folding=folding)
    world.run(before)
    for rules in world.rules:
        rules.book = NEWER
    later = [
        msgspec.structs.replace(one, event_id=f"later-{one.event_id}", received=100 + one.received)
        for one in after
        if not isinstance(one, Command)
    ]
    world.run(later)
    world.close()
    for customer in world.customers():
        if customer.rules is None or not NEWER.fits(customer.rules.state):
            continue  # nothing has happened to it since, and nothing of it is due
        again = NEWER.refold(customer.history(), (customer.rules.state.ledger,))
        is_that_of_the_timeline(customer.rules.state, again)


FORGETFUL = (RULE % ("10m", "at_most: {times: 1, per: 30m}")).replace("within: 300d", "within: 30m")
SHORT = RuleBook([load_rule(FORGETFUL)])
"""Forgets within the hour, so that there is something to leave out."""


def assert_decides_as(state: RulesState, whole: RulesState, clock: int) -> None:
    """Let a state and the fold of the whole timeline decide, once and again later: they must come to the same."""
    whole = decode_state(encode_state(whole))
    for later in (0, 7 * MINUTE, 500 * MINUTE):
        now = clock + later
        assert SHORT.settle(state, now, now) == SHORT.settle(whole, now, now)
        assert state == whole


def go_on_from_every_fold(order: Sequence[Event], clocks: Sequence[int]) -> None:
    """Let events arrive, and settle after each; then go on from every fold that was kept and still holds."""
    state, timeline, kept = SHORT.new_state(), [], {}
    for event, tens in zip(order, clocks, strict=False):
        timeline = sorted([*timeline, event], key=lambda one: one.order)
        kept = {place: raw for place, raw in kept.items() if place < event.order}
        if timeline[-1] is event:
            SHORT.step(state, event)
        else:
            state = SHORT.refold(timeline, (state.ledger,))
        clock = START + tens * MINUTE
        SHORT.settle(state, clock, clock)
        kept[timeline[-1].order] = SHORT.keep(state)
    whole = SHORT.refold(timeline, (state.ledger,))
    for place, raw in kept.items():
        again = SHORT.resume(raw, (state.ledger,))
        assert again is not None
        for event in timeline:
            if event.order > place:
                SHORT.step(again, event)
        is_that_of_the_timeline(again, whole)
        assert_decides_as(again, whole, START + clocks[-1] * MINUTE)


@examples(300)
@given(rule_arrivals())
def test_a_fold_that_was_kept_goes_on_as_if_folded_at_once_with_all_that_was_decided_since(
    drawn: tuple[list[Event], list[Event], list[int]],
) -> None:
    _, order, clocks = drawn
    go_on_from_every_fold(order, clocks)


@examples(40)
@given(days(), days(), st.integers(0, 10**6), LIMITS)
def test_checkpoints_that_other_rules_made_are_not_used(
    before: list[Event | Command], after: list[Event | Command], seed: int, folding: FoldLimits
) -> None:
    change_the_rules(before, after, seed, folding)


# -- how many checkpoints there are -------------------------------------------------------------------------


@examples(50)
@given(st.integers(1, 600), st.integers(1, 9))
def test_a_long_timeline_has_few_checkpoints_and_a_place_near_its_end_is_near_one(
    number: int, every: int
) -> None:
    counts: list[int] = []
    for count in range(every, every * number + 1, every):
        counts = thinned([*counts, count])
        assert counts[-1] == count
        assert len(counts) <= 2 * math.log2(count / every) + 2
        for before, behind in zip([0, *counts], counts, strict=False):
            assert behind - before <= count - behind + 2 * every


# -- planted bugs: each must be noticed ---------------------------------------------------------------------


def checkpoints_stay(patch: pytest.MonkeyPatch) -> None:
    """Begin at a checkpoint behind what has changed."""
    begin = Folds._begin

    def wrong(self: Folds, turn: Any) -> Any:
        turn.fold.since = END
        return begin(self, turn)

    patch.setattr(Folds, "_begin", wrong)


def place_is_lost(patch: pytest.MonkeyPatch) -> None:
    """Take an unfinished fold for the customer's."""
    put_off = Folds._put_off

    def wrong(self: Folds, turn: Any) -> None:
        (put_off if turn.rows is None else Folds._finish)(self, turn)

    patch.setattr(Folds, "_put_off", wrong)


def late_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Don't heed what comes late while a fold is under way."""
    again = Folds.again

    def wrong(self: Folds, customer: Customer, since: Any, stamp: int) -> None:
        if customer.row.fold is None:
            again(self, customer, since, stamp)

    patch.setattr(Folds, "again", wrong)


def message_is_lost(patch: pytest.MonkeyPatch) -> None:
    """Don't go on."""
    patch.setattr(Folds, "go_on", lambda *_: None)


def leaves_checkpoints(patch: pytest.MonkeyPatch) -> None:
    """Leave the checkpoints of customers that move away."""
    patch.setattr(Folds, "leave", lambda self, prefix, _: self.queue.pop(prefix, None))


def trusts_any_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """Go on from a fold that other rules made."""
    resume = RuleBook.resume

    def wrong(self: RuleBook, kept: bytes, ledgers: Any) -> Any:
        state = msgspec.structs.replace(decode_state(kept), book=self.fingerprint)
        return resume(self, msgspec.msgpack.encode(state), ledgers)

    patch.setattr(RuleBook, "resume", wrong)


def resumes_without_ledger(patch: pytest.MonkeyPatch) -> None:
    """Lose what was sent where a fold goes on."""
    resume = RuleBook.resume
    patch.setattr(RuleBook, "resume", lambda self, kept, _: resume(self, kept))


planted = search(200)


@pytest.mark.parametrize(
    "plant",
    [
        checkpoints_stay,
        place_is_lost,
        late_is_forgotten,
        message_is_lost,
        leaves_checkpoints,
    ],
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    folding = FoldLimits(events=1, turn=1, every=2)

    @planted
    @given(worlds(erasures=False), st.integers(0, 10**6))
    def wanted(drawn: tuple[IdentityPolicy, Given], seed: int) -> None:
        policy, given = drawn
        world = WithDiaries(
            seed, partitions=1 + seed % 3, policy=policy, limits=SMALL, folding=folding, lazy=0.5
        )
        world.run(inputs(given))
        read_through(world, given)

    with pytest.raises(AssertionError):
        wanted()


@pytest.mark.parametrize("plant", [trusts_any_checkpoint, resumes_without_ledger])
def test_a_bug_planted_into_the_rules_part_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @planted
    @given(days(), days(), st.integers(0, 10**6))
    def wanted(before: list[Event | Command], after: list[Event | Command], seed: int) -> None:
        folding = FoldLimits(events=2, turn=1, every=2)
        folded_right(play(before, seed, folding, 0.5), BOOK)
        change_the_rules(before, after, seed, folding)

    with pytest.raises(AssertionError):
        wanted()


RETRACTED_LONG_AGO = (
    [
        make(0, Drawn(0, "Product Added", "k1", "B")),
        make(1, Drawn(20, "Order Completed", "k1", "B")),
        make(2, Drawn(200, "Page Viewed", None, "B")),
    ],
    [40, 50, 500],
)
"""The order comes when the basket has been called abandoned; that it closed the basket is history at the end."""


def test_what_closed_a_trigger_that_is_history_is_left_out() -> None:
    go_on_from_every_fold(*RETRACTED_LONG_AGO)


@pytest.mark.parametrize("what", ["closed", "elapsed"])
def test_a_kept_fold_that_holds_what_has_become_history_is_caught(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume = RuleBook.resume

    def wrong(self: RuleBook, kept: bytes, ledgers: Any = ()) -> Any:
        state = resume(self, kept, ledgers)
        setattr(state, what, getattr(decode_state(kept), what))
        return state

    monkeypatch.setattr(RuleBook, "resume", wrong)

    @planted
    @example((None, *RETRACTED_LONG_AGO))
    @given(rule_arrivals())
    def wanted(drawn: Any) -> None:
        go_on_from_every_fold(drawn[1], drawn[2])

    with pytest.raises(AssertionError):
        wanted()
