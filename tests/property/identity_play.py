"""Plays small worlds to rest, in the ways in which arrival, chance and failure may have a say."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from stream_app.domain.component import Components
from stream_app.domain.repair import Limits
from tests.property.identity_rest import expected, found, given_of, inputs
from tests.property.identity_strategies import arrivals, policies
from tests.property.identity_world import World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.domain.messages import ComponentMessage
    from stream_app.domain.policy import IdentityPolicy
    from tests.property.identity_rest import Given

SMALL = Limits(rows=3, size=400)


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
        rest(world)


def rest(world: World, *, slow: bool = True) -> None:
    """Handle messages until there are none; `slow`: components' steps of long work too."""
    while world.step(slow=slow):
        pass


class Forgetful(Components):
    """Has nothing in memory when a message comes."""

    def handle_all(self, messages: Iterable[ComponentMessage]) -> None:
        for message in messages:
            self.reset()
            super().handle_all((message,))
            self.flush()


class Unlucky(World):
    """Rolls epochs back: a message is handled, all of that is undone, and it is handled again."""

    def step(self, *, slow: bool = True) -> bool:
        if self.random.random() < 0.4:
            kept = deepcopy((self.queues, self.rows_now(), self.effects.__dict__ | {"_send": None}))
            generator = self.random.getstate()
            super().step(slow=slow)
            self.queues, rows, effects = kept
            self.restore(rows)
            self.effects.__dict__.update(effects | {"_send": self.send})
            self.random.setstate(generator)
            for handler in (*self.homes, *self.resolvers):
                handler.reset()
        return super().step(slow=slow)

    def rows_now(self) -> list[Any]:
        rows = [
            {name: (table._rows, table._keys) for name, table in tables.items()}
            for tables in self.lookup_tables + self.component_tables
        ]
        return [rows, [clock.timers for clock in self.clocks]]

    def restore(self, kept: list[Any]) -> None:
        rows, timers = kept
        for tables, before in zip(self.lookup_tables + self.component_tables, rows, strict=True):
            for name, table in tables.items():
                table._rows, table._keys = before[name]
        for clock, before in zip(self.clocks, timers, strict=True):
            clock.timers = before
