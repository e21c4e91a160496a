"""What a handler that fails leaves behind: nothing that the abort of its epoch doesn't forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from stream_app.domain.commands import Command, Op
from stream_app.domain.component import Components
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.labels import Labels
from stream_app.domain.messages import CommandTo, EventTo, Repoint, Union, decode_component, encode
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.ports import ComponentTables
from stream_app.domain.profile import END
from stream_app.domain.repair import Limits
from stream_app.domain.rows import TableSpec, customer_tables
from stream_app.domain.rule_fold import NoRules
from tests.property.identity_world import KEY, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stream_app.domain.customer import Customer
    from stream_app.domain.messages import ComponentMessage, Message, Topic
    from stream_app.domain.profile import Profile

POLICY = IdentityPolicy.from_mapping(
    {
        "shared_after": 3,
        "namespaces": [
            {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
            {"name": "cookie", "priority": 2, "kind": "device"},
        ],
    }
)
ANA, BEN, FIRST, SECOND = "user_id:ana", "user_id:ben", "cookie:1", "cookie:2"
of = Labels(POLICY, KEY).of


class PlantedError(Exception):
    """The failure."""


def to(
    name: str, time: int, *identifiers: str, at: str = FIRST, received: int = 0, **properties: Any
) -> EventTo:
    source = f"channel.web/0/{received}"
    event = Event(name, time, "web", "Page Viewed", identifiers, properties, received, source)
    return EventTo(of(at), msgspec.Raw(encode(event)), name.encode(), 0)


def command(name: str, op: Op, time: int, *identifiers: str, at: str) -> CommandTo:
    said = Command(name, op, identifiers, time, "operator", "because", "commands/0/0")
    return CommandTo(of(at), said, tuple(map(of, identifiers)), time)


class Keeping(dict[bytes, Any]):
    """A table that hands out its own objects, as a store's cache does, and knows what was put or deleted."""

    def __init__(self, spec: TableSpec) -> None:
        super().__init__()
        self._spec = spec
        self.touched: set[bytes] = set()
        self.committed: dict[bytes, bytes] = {}

    def put(self, key: bytes, value: Any) -> None:
        self.touched.add(key)
        self[key] = value

    def delete(self, key: bytes) -> None:
        self.touched.add(key)
        self.pop(key, None)

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, Any]]:
        first = prefix if start is None else start
        for key in [key for key in sorted(self) if key.startswith(prefix) and key >= first]:
            if key in self:
                yield key, self[key]

    def written(self) -> dict[bytes, bytes]:
        return {key: self._spec.encode(row) for key, row in self.items()}

    def changed(self) -> set[bytes]:
        """Return the keys whose rows aren't what they were at the last commit."""
        now = self.written()
        return {key for key in now.keys() | self.committed if now.get(key) != self.committed.get(key)}

    def commit(self) -> None:
        self.committed = self.written()
        self.touched.clear()

    def abort(self) -> None:
        """Forget what was put, and nothing else; it is read anew."""
        for key in self.touched:
            self.pop(key, None)
            if key in self.committed:
                self[key] = self._spec.decode(self.committed[key])
        self.touched.clear()


class Calls:
    """Counts what is asked of rules and effects; one of these calls fails, if wanted."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.fails_at: int | None = None

    def note(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) - 1 == self.fails_at:
            raise PlantedError(name)


class Rules(NoRules):
    """Keeps a list that is changed in place before a call fails, and shares by the events that are in it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def _change(self, customer: Customer, what: str, *more: str) -> None:
        if customer.rules is None:
            customer.rules = []
        customer.rules += [what, *more]
        self._calls.note(what)

    def before(self, customer: Customer, event: Event) -> None: ...

    def on_event(self, customer: Customer, event: Event) -> bool:
        self._change(customer, "on_event", event.event_id)
        return True

    def begin(self, customer: Customer, kept: bytes | None, since: tuple[int, str]) -> list[str]:
        self._calls.note("begin")
        return [] if kept is None else msgspec.msgpack.decode(kept)

    def before_step(self, fold: list[str], event: Event, profile: Profile) -> None: ...

    def step(self, fold: list[str], event: Event, profile: Profile) -> None:
        fold.append(event.event_id)
        self._calls.note("step")

    def keep(self, fold: list[str]) -> bytes:
        return encode(fold)

    def current(self, customer: Customer) -> list[str]:
        return customer.rules

    def finish(self, customer: Customer, fold: list[str], stamp: int) -> None:
        self._change(customer, "finish", *fold)

    def leave(self, customer: Customer) -> bytes:
        self._calls.note("leave")
        return encode(customer.rules)

    def join(self, customer: Customer, state: bytes) -> tuple[int, str]:
        self._change(customer, "join")
        return END

    def share(self, customer: Customer, slot_of: Callable[[str], int | None]) -> Mapping[int, bytes]:
        self._change(customer, "share")
        slots = {slot_of(name) for name in customer.rules} - {None, customer.slot}
        return {slot: b"shared" for slot in slots if slot is not None}


class Effects(Recorder):
    """Any call may fail, after it was made."""

    def __init__(self, send: Any, calls: Calls) -> None:
        super().__init__(send)
        self._calls = calls

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        def call(*args: Any, **named: Any) -> None:
            found(*args, **named)
            self._calls.note(name)

        return call


class Place:
    """One partition of components; every message is an epoch."""

    def __init__(self) -> None:
        self.kept = {spec.name: Keeping(spec) for spec in customer_tables()}
        self.calls = Calls()
        self.sent: list[bytes] = []
        rows: Any = ComponentTables(**self.kept)
        effects = Effects(self._send, self.calls)
        rules = Rules(self.calls)
        labels = Labels(POLICY, KEY)
        limits, folding = Limits(rows=3), FoldLimits(events=3, turn=1, every=2)
        self.components = Components(
            POLICY, KEY, rows, effects, labels, rules, limits=limits, folding=folding
        )

    def _send(self, topic: Topic, key: str, message: Message) -> None:
        if not isinstance(message, Repoint):
            self.sent.append(encode(message))

    def handle(self, raw: bytes) -> list[bytes]:
        """Handle a message and commit; return what it has sent."""
        self.sent = []
        self.calls.names.clear()
        self._epoch(raw)
        assert self.left() == set()
        for table in self.kept.values():
            table.commit()
        return self.sent

    def _epoch(self, raw: bytes) -> None:
        self.components.handle(decode_component(raw))
        self.components.flush()

    def left(self) -> set[tuple[str, bytes]]:
        """Return rows that were changed and not put."""
        return {(name, key) for name, table in self.kept.items() for key in table.changed() - table.touched}

    def fail(self, raw: bytes, call: int) -> set[tuple[str, bytes]]:
        """Have a call fail while a message is handled; return rows that were changed and not put."""
        self.calls.names.clear()
        self.calls.fails_at = call
        with pytest.raises(PlantedError):
            self._epoch(raw)
        self.calls.fails_at = None
        return self.left()

    def abort(self) -> None:
        for table in self.kept.values():
            table.abort()
        self.components.reset()

    def written(self) -> dict[str, dict[bytes, bytes]]:
        return {name: table.written() for name, table in self.kept.items()}


RENAMED: list[ComponentMessage] = [
    to("e1", 5, FIRST),
    to("e2", 6, ANA, FIRST),
    to("e3", 1, FIRST),
    to("e2", 6, ANA, FIRST),
]
LONG: list[ComponentMessage] = [*[to(f"e{n}", n, FIRST) for n in range(9)], to("f1", 9, ANA, FIRST)]
SPLIT: list[ComponentMessage] = [
    to("a0", 0, ANA, FIRST, at=ANA),
    to("a1", 1, ANA, SECOND, at=ANA),
    *[to(f"e{n}", n, SECOND if n % 2 else FIRST, at=ANA) for n in range(2, 12)],
    to("b1", 4, BEN, SECOND, at=ANA),
    command("c1", Op.DENY, 50, ANA, SECOND, at=ANA),
    to("b2", 8, BEN, SECOND, at=ANA),
    command("c2", Op.WITHDRAW, 60, ANA, SECOND, at=ANA),
]
SPLIT_LATE: list[ComponentMessage] = [
    to("a0", 0, ANA, FIRST, at=ANA),
    to("a1", 1, ANA, SECOND, at=ANA),
    *[to(f"e{n}", n, FIRST if n < 9 else SECOND, at=ANA) for n in range(3, 15)],
    to("b1", 2, BEN, SECOND, at=ANA),
    command("c1", Op.DENY, 50, ANA, SECOND, at=ANA),
]
SHARED: list[ComponentMessage] = [to(f"e{n}", n, f"user_id:{n}", FIRST, at=ANA) for n in range(5)]
CONFLICT: list[ComponentMessage] = [
    to("e1", 5, ANA, FIRST, received=4, a=1),
    to("e2", 6, FIRST, received=5),
    to("e1", 7, BEN, FIRST, received=3, a=2),
    to("e1", 7, FIRST, received=6, a=3),
]
MERGE: list[ComponentMessage] = [
    to("a1", 1, ANA, FIRST, at=ANA),
    to("same", 2, ANA, FIRST, at=ANA, received=2),
    *[to(f"e{n}", n, FIRST) for n in range(5)],
    to("same", 2, ANA, FIRST, received=1),
    Union(of(FIRST), of(ANA), 7),
    to("late", 3, FIRST),
]
CLASH: list[ComponentMessage] = [
    to("a1", 1, ANA, FIRST, at=ANA),
    to("same", 2, FIRST, at=ANA, received=2, a=1),
    to("other", 3, FIRST, at=ANA, received=1, a=1),
    to("same", 4, FIRST, SECOND, received=1, a=2),
    to("other", 5, FIRST, SECOND, received=2, a=2),
    Union(of(FIRST), of(ANA), 7),
]
ERASED: list[ComponentMessage] = [
    *SPLIT[:8],
    command("c1", Op.ASSERT, 5, ANA, "cookie:3", at=ANA),
    command("c2", Op.ERASE, 6, ANA, at=ANA),
    to("x1", 5, ANA, "cookie:4", at=ANA),
    to("x2", 3, FIRST, at=ANA),
    command("c3", Op.BLOCK, 70, SECOND, at=ANA),
    command("c4", Op.RELEASE, 80, SECOND, at=ANA),
]
ERASED_BEFORE_A_MERGE: list[ComponentMessage] = [
    to("a1", 1, ANA, FIRST, at=ANA),
    to("a2", 2, BEN, FIRST, at=ANA),
    to("a3", 3, FIRST, SECOND, at=ANA),
    to("a4", 4, "cookie:9", at=ANA),
    to("e0", 3, "cookie:9"),
    to("e1", 1, FIRST),
    to("e2", 2, FIRST, SECOND),
    to("e3", 9, FIRST, SECOND),
    command("c1", Op.DENY, 4, FIRST, SECOND, at=FIRST),
    command("c2", Op.ERASE, 5, FIRST, at=FIRST),
    Union(of(FIRST), of(ANA), 7),
]
STORIES: dict[str, list[ComponentMessage]] = {
    "renamed": RENAMED,
    "long": LONG,
    "split": SPLIT,
    "split late": SPLIT_LATE,
    "shared": SHARED,
    "conflict": CONFLICT,
    "merge": MERGE,
    "clash": CLASH,
    "erased": ERASED,
    "erased before a merge": ERASED_BEFORE_A_MERGE,
}


def test_a_handler_that_fails_has_put_every_row_that_it_changed() -> None:
    place = Place()
    place.handle(encode(to("e1", 5, FIRST)))
    second = encode(to("e2", 6, ANA, FIRST))
    place.handle(second)
    call = place.calls.names.index("on_event")
    place = Place()
    place.handle(encode(to("e1", 5, FIRST)))
    assert place.fail(second, call) == set()
    assert place.kept["customers"].touched
    assert place.kept["timeline"].touched


@pytest.mark.parametrize("story", STORIES)
def test_whatever_call_fails_the_abort_forgets_all_and_the_next_attempt_ends_the_same(story: str) -> None:
    undisturbed, disturbed = Place(), Place()
    left: dict[tuple[str, str], set[str]] = {}
    for message in STORIES[story]:
        waiting = [encode(message)]
        while waiting:
            raw = waiting.pop(0)
            sent = undisturbed.handle(raw)
            names = list(undisturbed.calls.names)
            for call, name in enumerate(names):
                for table, _ in disturbed.fail(raw, call):
                    left.setdefault((type(decode_component(raw)).__name__, name), set()).add(table)
                disturbed.abort()
            assert disturbed.handle(raw) == sent
            waiting += sent
    assert left == {}
    assert disturbed.written() == undisturbed.written()
