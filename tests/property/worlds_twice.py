"""Worlds that are lived through twice, one way and another, with all that is asked of rules and effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import strategies as st

from stream_app.domain.profile import END
from stream_app.domain.rule_fold import NoRules
from stream_app.engine.store import MemoryRows, Table, TableSpec
from tests.property.identity_rest import given_of, inputs
from tests.property.identity_strategies import arrivals, policies, timestamp
from tests.property.identity_world import Recorder, World

if TYPE_CHECKING:
    from collections import Counter

    from stream_app.domain.component import Components
    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.folding import FoldLimits
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.profile import Place, Profile
    from stream_app.domain.repair import Limits
    from tests.property.identity_rest import Given

encode = msgspec.msgpack.Encoder(order="deterministic").encode
Log = list[tuple[Any, ...]]


def plain(value: Any) -> Any:
    """Return what can be compared, as it stands now."""
    if hasattr(value, "prefix"):  # a customer
        return value.key, encode(value.row), value.settled, value.undecided
    if isinstance(value, msgspec.Struct):
        return encode(value)
    return value


class Logged(Recorder):
    """Writes down every call, with what its arguments are at that time."""

    log: Log

    def __init__(self, send: Any) -> None:
        super().__init__(send)
        self.log = []

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        def called(*arguments: Any, **named: Any) -> Any:
            self.log.append((name, *map(plain, arguments), named))
            return found(*arguments, **named)

        return called


class LoggedRules(NoRules):
    """Writes down every call; its state is the ids of the events, and now and then it is other rules by now."""

    def __init__(self, log: Log, fickle: int) -> None:
        self.log = log
        self.fickle = fickle

    def _note(self, name: str, *arguments: Any) -> None:
        self.log.append((f"rules {name}", *map(plain, arguments)))

    def before(self, customer: Customer, event: Event) -> None:
        self._note("before", customer, event)

    def on_event(self, customer: Customer, event: Event) -> bool:
        self._note("on event", customer, event)
        if self.fickle and len(self.log) % self.fickle == 0:
            return False
        customer.rules = [*(customer.rules or []), event.event_id]
        return True

    def decide(self, customer: Customer, stamp: int) -> None:
        self._note("decide", customer, stamp)
        customer.rules = [*(customer.rules or []), "decided"]

    def begin(self, customer: Customer, kept: bytes | None, since: Place) -> Any:
        self._note("begin", customer, kept)
        return [] if kept is None else msgspec.msgpack.decode(kept)

    def step(self, fold: Any, event: Event, profile: Profile) -> None:
        self._note("step", event, profile)
        fold.append(event.event_id)

    def keep(self, fold: Any) -> bytes:
        return encode(fold)

    def current(self, customer: Customer) -> Any:
        return customer.rules

    def finish(self, customer: Customer, fold: Any, stamp: int) -> None:
        self._note("finish", customer, stamp)
        customer.rules = fold

    def join(self, customer: Customer, state: bytes) -> Place:
        self._note("join", customer, state)
        return END


@dataclass
class Lived(World):
    """A world whose tables are those of `World`, which keep bytes, or the engine's, which share what they hold."""

    shared: bool = False
    fickle: int = 0

    def start(self) -> None:
        if self.shared:
            self.component_tables: Any = [
                {
                    spec.name: Table(TableSpec(spec.name, b"", spec.encode, spec.decode), MemoryRows(), 50)
                    for spec in self.component_specs
                }
                for _ in range(self.partitions)
            ]
        super().start()

    @property
    def log(self) -> Log:
        """All that was called."""
        assert isinstance(self.effects, Logged)
        return self.effects.log

    def rules_of(self, place: int) -> LoggedRules:
        assert 0 <= place < self.partitions
        return LoggedRules(self.log, self.fickle)

    def end_epoch(self, place: int) -> None:
        super().end_epoch(place)
        for table in self.component_tables[place].values():
            if isinstance(table, Table):
                table._rows.write(table.changes(), 1)
                table.prepared()
                table.committed()

    def rows(self) -> list[tuple[str, bytes, bytes]]:
        """Return everything that is kept."""
        return [
            (name, key, table._spec.encode(row) if not self.shared else table.spec.encode(row))
            for tables in self.component_tables
            for name, table in tables.items()
            for key, row in table.scan(b"")
        ]


@st.composite
def given_worlds(draw: st.DrawFn) -> tuple[IdentityPolicy, Given]:
    policy = draw(policies())
    drawn = draw(arrivals(policy, conflicts=True, commands=True, erasures=draw(st.booleans()), most=12))
    again = [one for one in drawn if "op" not in one]
    for place in range(draw(st.integers(0, 20))):
        one = draw(st.sampled_from(again))
        when = timestamp(draw(st.integers(5, 25)))
        drawn.insert(
            draw(st.integers(len(drawn) // 2, len(drawn))), {**one, "event_id": f"a{place}", "time": when}
        )
    return policy, given_of(policy, drawn)


def live(world: Lived, given: Given, clock: int) -> Log:
    """Live through it; the clock is moved after each so many inputs. Return all that was called."""
    for place, one in enumerate(inputs(given), start=1):
        world.give(one)
        for _ in range(world.random.randrange(8)):
            world.step()
        if clock and place % clock == 0:
            world.advance(max(when.time for when in inputs(given)[:place]) - 60_000)
    for _ in range(3000 * (len(given) + 10)):
        if not world.step():
            break
    return world.log


def lives(
    ways: tuple[type[Components], type[Components]],
    policy: IdentityPolicy,
    given: Given,
    seed: int,
    *,
    limits: Limits,
    folding: FoldLimits,
    shared: bool,
    clock: int,
    fickle: int = 0,
) -> list[tuple[Log, list[tuple[str, bytes, bytes]], Counter[str]]]:
    """Live through a world once in either way; return of each what was called, what is kept, and what was counted."""
    found = []
    for components in ways:
        world = Lived(
            seed,
            partitions=1 + seed % 2,
            policy=policy,
            limits=limits,
            folding=folding,
            lazy=0.7,
            twice=0.1,
            ordered=seed % 3 > 0,
            recorder=Logged,
            components=components,
            timed=clock > 0,
            shared=shared,
            fickle=fickle,
        )
        log = live(world, given, clock)
        found.append((log, world.rows(), world.effects.counts))
    return found
