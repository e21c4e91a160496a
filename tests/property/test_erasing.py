"""What erasures leave is what the oracle leaves, whenever they come and in however many steps they are carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.commands import Command, Op
from stream_app.domain.effects import Change
from stream_app.domain.repair import Limits
from tests.property.examples import examples
from tests.property.identity_play import (
    Forgetful,
    Unlucky,
    agree,
    deployment,
    one_by_one,
    rest,
    worlds,
)
from tests.property.identity_rest import found, given_of, inputs, one_component_at_a_time
from tests.property.identity_strategies import arrivals, policies, timestamp
from tests.property.identity_world import Recorder, World

if TYPE_CHECKING:
    from stream_app.domain.customer import Customer
    from stream_app.domain.effects import IdentityChange
    from stream_app.domain.event import Event
    from stream_app.domain.policy import IdentityPolicy
    from tests.property.identity_rest import Given
    from tests.property.identity_strategies import Arrival


@examples(30)
@given(worlds(conflicts=True, commands=True, erasures=True), st.integers(0, 10**6), st.booleans())
def test_what_erasures_leave_is_what_the_oracle_leaves(
    drawn: tuple[IdentityPolicy, Given], seed: int, small: bool
) -> None:
    policy, given = drawn
    given = one_component_at_a_time(given)
    world = deployment(policy, seed, small=small)
    one_by_one(world, given)
    agree(world, policy, given)


def in_between(world: World, given: Given) -> None:
    """Give inputs while erasures are being carried out; each erasure when all that came before is done."""
    for one in inputs(given):
        if is_erasure(one):
            rest(world)
        world.give(one)
        rest(world, slow=False)
        for _ in range(world.random.randrange(4)):
            world.step()
    rest(world)


def is_erasure(one: Any) -> bool:
    return isinstance(one, Command) and one.op is Op.ERASE


@examples(30)
@given(
    worlds(conflicts=True, commands=True, erasures=True),
    st.integers(0, 10**6),
    st.integers(1, 3),
    st.booleans(),
)
def test_an_erasure_in_small_steps_with_other_events_in_between_leaves_the_same(
    drawn: tuple[IdentityPolicy, Given], seed: int, rows: int, forgetful: bool
) -> None:
    policy, given = drawn
    given = one_component_at_a_time(given)
    world = World(
        seed,
        partitions=1 + seed % 3,
        policy=policy,
        limits=Limits(rows=rows),
        own_pace=True,
        **({"components": Forgetful} if forgetful else {}),
    )
    in_between(world, given)
    agree(world, policy, given)


@examples(15)
@given(worlds(conflicts=True, commands=True, erasures=True), st.integers(0, 10**6), st.integers(1, 3))
def test_an_erasure_that_is_rolled_back_at_any_step_leaves_the_same(
    drawn: tuple[IdentityPolicy, Given], seed: int, rows: int
) -> None:
    policy, given = drawn
    given = one_component_at_a_time(given)
    world = Unlucky(seed, partitions=1 + seed % 3, policy=policy, limits=Limits(rows=rows), own_pace=True)
    in_between(world, given)
    agree(world, policy, given)


# -- in a replay ---------------------------------------------------------------------------------------------


@st.composite
def replays(draw: st.DrawFn) -> tuple[IdentityPolicy, list[Arrival], list[tuple[int, Arrival]]]:
    """Draw what is read: all but erasures, in the order of time; and erasures, each with the place where it is."""
    policy = draw(policies())
    arrived = draw(arrivals(policy, conflicts=True, commands=True, erasures=True))
    others = sorted((one for one in arrived if not is_erase(one)), key=lambda one: one["time"])
    erasures = [one for one in arrived if is_erase(one)]
    places = [draw(st.one_of(st.just(0), st.integers(0, len(others)))) for _ in erasures]
    return policy, others, sorted(zip(places, erasures, strict=True), key=lambda read: read[0])


def is_erase(arrival: Arrival) -> bool:
    return bool(arrival.get("op") == "erase")


def as_it_acts(others: list[Arrival], erasures: list[tuple[int, Arrival]]) -> list[Arrival]:
    """Return what is read in the order in which it counts: erasures when their time is over, and they are there."""
    acts = []
    for place, erasure in erasures:
        over = sum(other["time"] <= erasure["time"] for other in others)
        acts.append((max(place, over), place > over, erasure))
    # Those that have waited go by their time; those that come when it is over, by their arrival.
    acts.sort(key=lambda act: (act[0], act[1], "" if act[1] else act[2]["time"]))
    order: list[Arrival] = []
    for number in range(len(others) + 1):
        order += [erasure for place, _, erasure in acts if place == number]
        order += others[number : number + 1]
    return order


@examples(30)
@given(replays(), st.integers(0, 10**6))
def test_an_erasure_that_is_read_before_its_events_acts_when_they_are_there(
    drawn: tuple[IdentityPolicy, list[Arrival], list[tuple[int, Arrival]]], seed: int
) -> None:
    policy, others, erasures = drawn
    numbered = [one | {"command_id": f"c{number}"} for number, (_, one) in enumerate(erasures)]
    order = as_it_acts(others, [(place, one) for (place, _), one in zip(erasures, numbered, strict=True)])
    given = one_component_at_a_time(given_of(policy, order))
    kind = Unlucky if seed % 10 == 0 else World
    world = kind(seed, partitions=1 + seed % 3, policy=policy, limits=Limits(rows=2), timed=True)
    unread = {one["command_id"]: place for (place, _), one in zip(erasures, numbered, strict=True)}
    commands = {one.command_id: one for _, one in given if is_erasure(one)}
    played = [(arrival, one) for arrival, one in given if not is_erasure(one)]
    for arrival, one in played:
        place = next(number for number, other in enumerate(others) if other is arrival)
        read(world, commands, unread, place)
        world.advance(one.time)
        rest(world)
        world.give(one)
        rest(world)
    read(world, commands, unread, len(others))
    world.advance(1 << 60)
    rest(world)
    agree(world, policy, given)
    assert not any(len(tables["waiting"]) or len(tables["going"]) for tables in world.component_tables)


def read(world: World, commands: dict[str, Command], unread: dict[str, int], place: int) -> None:
    """Give the erasures that are read up to a place."""
    for name in [name for name, where in unread.items() if where <= place]:
        del unread[name]
        if name in commands:
            world.give(commands[name])
            rest(world)


# -- nothing is left -----------------------------------------------------------------------------------------


class Listener(Recorder):
    """Keeps all that is published from the moment on in which an erasure begins, as bytes."""

    def __init__(self, send: Any) -> None:
        super().__init__(send)
        self.said: list[bytes] = []
        self.begun = False

    def _say(self, *what: Any) -> None:
        if self.begun:
            self.said.append(msgspec.msgpack.encode(what))

    def _publish(self, customer: str, event: Event, revision: int) -> None:
        super()._publish(customer, event, revision)
        self._say(customer, event)

    def identity(self, change: IdentityChange) -> None:
        super().identity(change)
        self.begun |= change.change is Change.ERASED
        self._say(change)

    def profile(self, customer: Customer) -> None:
        super().profile(customer)
        self._say(customer.id, customer.profile)


def talkative(given: Given) -> Given:
    """Return the same inputs; each event says something that is nowhere else, and goes into the profile."""
    spoken = []
    for arrival, one in given:
        if "op" in arrival:
            spoken.append((arrival, one))
            continue
        words = {"type": "Identify", "properties": {f"note-{one.event_id}": f"said-{one.event_id}."}}
        spoken.append((arrival | words, msgspec.structs.replace(one, **words)))
    return spoken


def rows_of(world: World) -> list[tuple[str, bytes]]:
    """Return all rows of all tables as bytes, with the names of the tables."""
    return [
        (name, key + raw)
        for tables in world.lookup_tables + world.component_tables
        for name, table in tables.items()
        for key, raw in table._rows.items()
    ]


@examples(40)
@given(worlds(), st.data(), st.integers(0, 10**6), st.integers(1, 3), st.booleans())
def test_after_an_erasure_nothing_holds_what_was_hers_and_nothing_says_it_any_more(
    drawn: tuple[IdentityPolicy, Given], data: st.DataObject, seed: int, rows: int, again: bool
) -> None:
    """`again`: the same events come once more, as when an input topic is replayed; they stay away."""
    policy, given = drawn[0], talkative(drawn[1])
    names = sorted({name for _, one in given for name in one.identifiers})
    if not names:
        return
    name = data.draw(st.sampled_from(names))
    erasure = given_of(policy, [{"op": Op.ERASE.value, "time": timestamp(30), "id": name}])
    world = World(
        seed,
        partitions=1 + seed % 3,
        policy=policy,
        limits=Limits(rows=rows),
        recorder=Listener,
        own_pace=True,
    )
    one_by_one(world, given)
    known = found(world, given)
    erased = next(customer for customer in known.customers if name in customer)
    hers = {event_id for event_id, owner in known.owners if owner == erased}
    in_between(world, erasure + given if again else erasure)
    left = found(world, given)
    assert not any(erased & customer for customer in left.customers)
    assert not hers & {event_id for event_id, _ in left.owners}
    assert isinstance(world.effects, Listener)
    kept = [*rows_of(world), *(("said", said) for said in world.effects.said)]
    values = [one.partition(":")[2] for one in erased] + [f"said-{event_id}." for event_id in hers]
    for value in values:
        assert not [where for where, row in kept if value.encode() in row], value
