"""What takes in usual events natively comes to the same as the Python code, call for call, whatever else happens.

The same world is lived through twice, with and without it: evidence that comes in any order, commands, merges, clocks
that have passed an event or haven't, rules that are others by now, epochs that end early or late. Rows, messages, and
all that is asked of the rules and of the effects are equal, in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.component import Components, gather_events
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.messages import Drain, EventTo, Union
from stream_app.domain.profile import END
from stream_app.domain.repair import Limits
from stream_app.domain.rule_fold import NoRules
from stream_app.engine.store import MemoryRows, Table, TableSpec
from tests.property.examples import examples
from tests.property.identity_rest import given_of, inputs
from tests.property.identity_strategies import arrivals, policies, timestamp
from tests.property.identity_world import Recorder, World
from tests.property.native_twins import leaks

if TYPE_CHECKING:
    from stream_app.domain.customer import Customer
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.profile import Place, Profile
    from tests.property.identity_rest import Given

native_usual = pytest.importorskip(
    "stream_app.domain.native_usual",
    reason="the native part isn't built: `make setup` does it where there is a C compiler",
    exc_type=ImportError,
)
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

    def begin(self, customer: Customer, kept: bytes | None) -> Any:
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


class InPython(Components):
    """Takes in all events in Python."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._usual = None


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

    def rules_of(self, place: int) -> LoggedRules:
        assert 0 <= place < self.partitions
        log: Log = self.effects.log  # type: ignore[attr-defined]  # these worlds have a Logged
        return LoggedRules(log, self.fickle)

    def end_epoch(self, place: int) -> None:
        super().end_epoch(place)
        for table in self.component_tables[place].values():
            if isinstance(table, Table):
                table._rows.write(table.changes(), 1)
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
    log: Log = world.effects.log  # type: ignore[attr-defined]  # these worlds have a Logged
    return log


def event_to(time: int, event_id: str, label: str) -> EventTo:
    """Return a message that takes an event to a component."""
    event = Event(event_id, time, "web", "Page Viewed", (label,), {}, 0, "t/0/0")
    return EventTo(label, msgspec.Raw(msgspec.msgpack.encode(event)), b"", 0)


@examples(200)
@given(
    given_worlds(),
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from((0, 1, 3)),
    st.sampled_from((0, 0, 5)),
    st.builds(FoldLimits, st.integers(1, 6), st.just(1), st.integers(1, 4)),
)
def test_with_and_without_it_the_same_is_done_in_the_same_order(
    drawn: tuple[IdentityPolicy, Given],
    seed: int,
    shared: bool,
    clock: int,
    fickle: int,
    folding: FoldLimits,
) -> None:
    policy, given_events = drawn
    lives = []
    for components in (InPython, Components):
        world = Lived(
            seed,
            partitions=1 + seed % 2,
            policy=policy,
            limits=Limits(rows=3, size=400),
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
        log = live(world, given_events, clock)
        lives.append((log, world.rows(), world.effects.counts))
    assert lives[0] == lives[1]


MESSAGES = st.one_of(
    st.builds(event_to, st.integers(-2, 2), st.sampled_from("ab"), st.sampled_from(("x:1", "x:2", "y:1"))),
    st.builds(Union, st.just("x:1"), st.just("a:1"), st.just(0)),
    st.builds(Drain, st.just("x:1"), st.just(0), st.just(0)),
)


@examples(300)
@given(st.lists(MESSAGES, max_size=12))
def test_events_are_gathered_by_component_up_to_each_other_message(messages: list[Any]) -> None:
    usual = Lived(1, partitions=1, recorder=Logged).homes[0]._usual
    assert usual is not None
    waits: list[dict[str, Any]] = [{}, {}]
    place = 0
    while place <= len(messages):
        stopped = [
            gather(messages, place, waiting)
            for gather, waiting in zip((gather_events, usual.gather), waits, strict=True)
        ]
        assert stopped[0] == stopped[1]
        assert list(waits[0].items()) == list(waits[1].items())
        for one, other in zip(*(waiting.values() for waiting in waits), strict=True):
            assert all(mine[3] is theirs[3] for mine, theirs in zip(one, other, strict=True))
        if place < len(messages) and place % 3 == 0:  # a component's turn has come
            for waiting in waits:
                waiting.pop("x:1", None)
        place = stopped[0] + 1


def test_what_can_not_be_decoded_is_refused_with_what_came_before_it_gathered() -> None:
    usual = Lived(1, partitions=1, recorder=Logged).homes[0]._usual
    assert usual is not None
    messages = [event_to(1, "a", "x:1"), EventTo("x:1", msgspec.Raw(b"\x91\x01"), b"", 0)]
    waits: list[dict[str, Any]] = [{}, {}]
    for gather, waiting in zip((gather_events, usual.gather), waits, strict=True):
        with pytest.raises(msgspec.DecodeError):
            gather(messages, 0, waiting)
    assert waits[0] == waits[1]
    assert len(waits[1]["x:1"]) == 1


def test_gathering_loses_no_memory() -> None:
    usual = Lived(1, partitions=1, recorder=Logged).homes[0]._usual
    assert usual is not None
    messages = [event_to(1, "a", "x:1"), event_to(2, "b", "x:1"), event_to(3, "b", "y:1")]
    assert not leaks(lambda: usual.gather(messages, 0, {}))


def test_the_events_of_a_known_shopper_are_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Lived(1, partitions=1, recorder=Logged, shared=True)
    arrived = [
        {
            "event_id": f"e{place}",
            "time": f"2026-03-01T00:0{place}:00Z",
            "channel": "web",
            "type": "Page Viewed",
            "identifiers": {"user_id": "ana", "device": "d"},
        }
        for place in range(6)
    ]
    first, *others = inputs(given_of(world.policy, arrived))
    world.run([first])
    monkeypatch.setattr(Components, "_event", lambda *_: pytest.fail("it was left to the Python code"))
    for one in others:
        world.run([one])
    assert world.effects.counts["in order"] == 6
