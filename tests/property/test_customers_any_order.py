"""Customers, and whose the events are, don't depend on the order and the way in which evidence comes."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.domain.commands import Op
from stream_app.domain.component import Components
from stream_app.domain.repair import Limits
from tests.property.identity_rest import expected, found, given_of, inputs, one_component_at_a_time
from tests.property.identity_strategies import arrivals, policies, timestamp
from tests.property.identity_world import POLICY, World

if TYPE_CHECKING:
    from stream_app.domain.messages import ComponentMessage
    from stream_app.domain.policy import IdentityPolicy
    from tests.property.identity_rest import Given
    from tests.property.identity_strategies import Arrival

SMALL = Limits(rows=3, size=400)


def examples(number: int) -> settings:
    return settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def worlds(
    draw: st.DrawFn, *, conflicts: bool = False, commands: bool = False, erasures: bool = False
) -> tuple[IdentityPolicy, Given]:
    policy = draw(policies())
    arrived = draw(arrivals(policy, conflicts=conflicts, commands=commands, erasures=erasures))
    return policy, given_of(policy, arrived)


def deployment(
    policy: IdentityPolicy, seed: int, components: type[Components] = Components, *, small: bool = True
) -> World:
    """Return one with 1 to 3 partitions, with and without order between them."""
    return World(
        seed,
        partitions=1 + seed % 3,
        ordered=bool(seed % 2),
        policy=policy,
        limits=SMALL if small else Limits(),
        components=components,
    )


def agree(world: World, policy: IdentityPolicy, given: Given) -> None:
    held, wanted = found(world, given), expected(policy, given)
    assert held.customers == wanted.customers, held.customers ^ wanted.customers
    assert held.owners == wanted.owners, held.owners ^ wanted.owners


def one_by_one(world: World, given: Given) -> None:
    for one in inputs(given):
        world.give(one)
        while world.step():
            pass


@examples(100)
@given(worlds(), st.integers(0, 10**6), st.booleans())
def test_events_in_any_interleaving_come_to_the_oracles_customers(
    drawn: tuple[IdentityPolicy, Given], seed: int, small: bool
) -> None:
    policy, given = drawn
    world = deployment(policy, seed, small=small)
    world.run(inputs(given))
    agree(world, policy, given)


@examples(100)
@given(worlds(conflicts=True, commands=True), st.integers(0, 10**6), st.booleans())
def test_commands_and_conflicting_contents_in_any_interleaving_come_to_the_oracles_customers(
    drawn: tuple[IdentityPolicy, Given], seed: int, small: bool
) -> None:
    policy, given = drawn
    world = deployment(policy, seed, small=small)
    world.run(inputs(given))
    agree(world, policy, given)


@examples(80)
@given(worlds(conflicts=True, commands=True, erasures=True), st.integers(0, 10**6), st.booleans())
def test_what_erasures_leave_is_what_the_oracle_leaves(
    drawn: tuple[IdentityPolicy, Given], seed: int, small: bool
) -> None:
    policy, given = drawn
    given = one_component_at_a_time(given)
    world = deployment(policy, seed, small=small)
    one_by_one(world, given)
    agree(world, policy, given)


class Forgetful(Components):
    """Has nothing in memory when a message comes."""

    def handle(self, message: ComponentMessage) -> None:
        self.reset()
        super().handle(message)


@examples(60)
@given(worlds(conflicts=True, commands=True), st.integers(0, 10**6))
def test_work_that_is_interrupted_between_any_two_messages_goes_on_from_the_rows(
    drawn: tuple[IdentityPolicy, Given], seed: int
) -> None:
    policy, given = drawn
    world = deployment(policy, seed, Forgetful)
    world.run(inputs(given))
    agree(world, policy, given)


class Unlucky(World):
    """Rolls epochs back: a message is handled, all of that is undone, and it is handled again."""

    def step(self) -> bool:
        if self.random.random() < 0.4:
            kept = deepcopy((self.queues, self.tables_now(), self.effects.__dict__ | {"_send": None}))
            generator = self.random.getstate()
            super().step()
            self.queues, rows, effects = kept
            self.restore(rows)
            self.effects.__dict__.update(effects | {"_send": self.send})
            self.random.setstate(generator)
            for home in self.homes:
                home.reset()
        return super().step()

    def tables_now(self) -> list[dict[str, tuple[dict[bytes, bytes], list[bytes]]]]:
        return [
            {name: (table._rows, table._keys) for name, table in tables.items()}
            for tables in self.lookup_tables + self.component_tables
        ]

    def restore(self, kept: list[dict[str, tuple[dict[bytes, bytes], list[bytes]]]]) -> None:
        for tables, rows in zip(self.lookup_tables + self.component_tables, kept, strict=True):
            for name, table in tables.items():
                table._rows, table._keys = rows[name]


@examples(30)
@given(worlds(conflicts=True, commands=True), st.integers(0, 10**6))
def test_epochs_that_are_rolled_back_leave_no_trace(drawn: tuple[IdentityPolicy, Given], seed: int) -> None:
    policy, given = drawn
    world = Unlucky(seed, partitions=1 + seed % 3, policy=policy, limits=SMALL)
    world.run(inputs(given))
    agree(world, policy, given)


# -- commands ------------------------------------------------------------------------------------------------


def said(op: str, minute: int, one: str, other: str) -> Arrival:
    return {"op": op, "time": timestamp(minute), "a": one, "b": other}


def event(event_id: str, minute: int, **identifiers: str) -> Arrival:
    return {
        "event_id": event_id,
        "time": timestamp(minute),
        "channel": "web",
        "type": "Page Viewed",
        "identifiers": identifiers,
    }


@examples(60)
@given(st.permutations(range(5)), st.integers(0, 10**6))
def test_of_deny_assert_and_deny_again_the_latest_by_its_own_time_stands_in_any_order(
    order: list[int], seed: int
) -> None:
    ana, bea = "email:ana@example.org", "email:bea@example.org"
    verdicts = [said("deny", 1, ana, bea), said("assert", 2, ana, bea), said("deny", 3, ana, bea)]
    arrived = [*verdicts, event("e1", 0, email="ana@example.org"), event("e2", 4, email="bea@example.org")]
    given = given_of(POLICY, [arrived[place] for place in order])
    world = deployment(POLICY, seed)
    world.run(inputs(given))
    assert found(world, given).customers == {frozenset({ana}), frozenset({bea})}


@examples(40)
@given(worlds(), st.data(), st.integers(0, 10**6))
def test_a_denial_that_comes_afterwards_leaves_what_one_that_came_first_leaves(
    drawn: tuple[IdentityPolicy, Given], data: st.DataObject, seed: int
) -> None:
    policy, given = drawn
    names = sorted({name for _, one in given for name in one.identifiers})
    if len(names) < 2:
        return
    one, other = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
    denial = given_of(policy, [said("deny", 5, one, other)])
    first, last = deployment(policy, seed), deployment(policy, seed + 1)
    first.run(inputs(denial + given))
    last.run(inputs(given))
    last.run(inputs(denial))
    early, late = found(first, denial + given), found(last, given + denial)
    assert (early.customers, early.owners) == (late.customers, late.owners)
    assert first.effects.profiles == last.effects.profiles


# -- erasure -------------------------------------------------------------------------------------------------


def texts(world: World) -> list[tuple[str, bytes]]:
    """Return all rows of all tables, and what of the published events counts, as bytes."""
    rows: list[tuple[str, bytes]] = [
        (name, key + raw)
        for tables in world.lookup_tables + world.component_tables
        for name, table in tables.items()
        for key, raw in table._rows.items()
    ]
    encode: Any = msgspec.msgpack.encode
    return rows + [("published", encode(last[2])) for last in world.effects.published.values()]


@examples(80)
@given(worlds(), st.data(), st.integers(0, 10**6), st.booleans())
def test_after_an_erasure_nothing_holds_the_erased_values_any_more(
    drawn: tuple[IdentityPolicy, Given], data: st.DataObject, seed: int, late: bool
) -> None:
    """`late`: the same events come once more, as when an input topic is replayed; they stay away."""
    policy, given = drawn
    names = sorted({name for _, one in given for name in one.identifiers})
    if not names:
        return
    name = data.draw(st.sampled_from(names))
    erasure = given_of(policy, [{"op": Op.ERASE.value, "time": timestamp(30), "id": name}])
    world = deployment(policy, seed)
    world.run(inputs(given))
    erased = next(customer for customer in found(world, given).customers if name in customer)
    world.run(inputs(erasure + given if late else erasure))
    left = found(world, given)
    assert not any(erased & customer for customer in left.customers)
    others = {one for one in names if one not in erased}
    for one in erased:  # labels are hashes: a short value alone may stand in one by chance
        if not any(one in other for other in others):
            assert not [table for table, row in texts(world) if one.encode() in row]
