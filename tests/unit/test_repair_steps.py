"""Large components: rows move, and are folded, a bounded step at a time; what adds no evidence touches nothing else."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from stream_app.domain.commands import Command, Op
from stream_app.domain.component import Components
from stream_app.domain.customer_id import customer_id
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.labels import Labels
from stream_app.domain.messages import CommandTo, EventTo, Fold, Repair, decode_component, encode
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.ports import ComponentTables
from stream_app.domain.repair import Limits
from stream_app.domain.rows import customer_tables
from tests.property.identity_world import KEY, MemoryTable, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLICY = IdentityPolicy.from_mapping(
    {
        "shared_after": 5,
        "namespaces": [
            {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
            {"name": "device", "priority": 2, "kind": "device"},
            {"name": "cookie", "priority": 3, "kind": "device"},
        ],
    }
)
ANA, BEN = "user_id:ana", "user_id:ben"
PHONE, COOKIE, OTHER = "device:phone", "cookie:ana", "user_id:somebody"
ROWS = 10_000
STEP = 500


class CountingTable(MemoryTable):
    """Counts what is asked of it; a scan counts with every row that it yields."""

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self.counts: Counter[str] = Counter()

    def get(self, key: bytes) -> Any:
        self.counts["get"] += 1
        return super().get(key)

    def put(self, key: bytes, value: Any) -> None:
        self.counts["put"] += 1
        super().put(key, value)

    def delete(self, key: bytes) -> None:
        self.counts["delete"] += 1
        super().delete(key)

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, Any]]:
        self.counts["scan"] += 1
        for row in super().scan(prefix, start):
            self.counts["row"] += 1
            yield row


class Place:
    """One partition of components, whose messages to themselves wait until they are asked for."""

    def __init__(self, limits: Limits | None = None, folding: FoldLimits | None = None) -> None:
        self.tables = {spec.name: CountingTable(spec) for spec in customer_tables()}
        self.waiting: deque[bytes] = deque()
        self.effects = Recorder(lambda _topic, _key, message: self.waiting.append(encode(message)))
        self.limits = Limits(rows=STEP) if limits is None else limits
        rows = self.limits.rows
        self.folding = (
            FoldLimits(events=rows, turn=rows // 4, every=rows // 2) if folding is None else folding
        )
        self.components: Components
        self.start()

    def start(self) -> None:
        """Begin with nothing but the rows, as after a crash."""
        labels = Labels(POLICY, KEY)
        rows: Any = ComponentTables(**self.tables)
        self.components = Components(
            POLICY, KEY, rows, self.effects, labels, limits=self.limits, folding=self.folding
        )

    def restore(self) -> None:
        """Lose the memory, and have the tables back from their bytes."""
        for table in self.tables.values():
            kept = dict(table._rows)
            table._rows, table._keys = {}, []
            for key in sorted(kept):
                table._keys.append(key)
                table._rows[key] = bytes(kept[key])
        self.start()

    def give(self, label: str, one: Event | Command) -> None:
        message: EventTo | CommandTo
        if isinstance(one, Command):
            message = CommandTo(label, one, (), one.time)
        else:
            message = EventTo(label, msgspec.Raw(encode(one)), one.event_id.encode(), one.received)
        self.components.handle(decode_component(encode(message)))
        self.components.flush()

    def step(self) -> Repair | Fold | CommandTo:
        """Handle the component's next message to itself; each is an epoch."""
        message = decode_component(self.waiting.popleft())
        assert isinstance(message, Repair | Fold | CommandTo)
        self.components.handle(message)
        self.components.flush()
        return message

    def counts(self, table: str) -> Counter[str]:
        return self.tables[table].counts

    def forget_counts(self) -> None:
        for table in self.tables.values():
            table.counts.clear()

    def timelines(self, label: str) -> dict[str, list[str]]:
        """Return the events of each customer, by its id; profiles and published rows agree with that."""
        found: dict[str, list[str]] = {}
        groups = self.components.identities(label).all.groups
        for slot in {group.slot for group in groups.values()}:
            customer = self.components.customer(label, slot)
            assert customer is not None
            rows = list(customer.timeline())
            assert customer.profile.events == len(rows)
            assert all(row.customer == customer.id for _, row in rows)
            assert all(self.effects.published[event.event_id][1] == customer.id for event, _ in rows)
            found[customer.id] = [event.event_id for event, _ in rows]
        return found


def event(number: int, *identifiers: str, time: int | None = None) -> Event:
    when = number if time is None else time
    return Event(f"e{number:06}", when, "web", "Page Viewed", identifiers, {}, number, f"web/0/{number}")


def deny(one: str, other: str, time: int = ROWS * 10) -> Command:
    return Command("c1", Op.DENY, (one, other), time, "operator", "because", "c/0/0")


def ana(place: Place, rows: int) -> None:
    """Give her a login and two devices, each with half of the rows."""
    place.give(ANA, event(0, ANA, PHONE))
    place.give(ANA, event(1, ANA, COOKIE))
    for number in range(2, rows + 2):
        place.give(ANA, event(number, PHONE if number % 2 else COOKIE))
    assert not place.waiting


def split(place: Place, rows: int) -> None:
    """Have the phone found not to be hers, and be Ben's: half of the rows must move."""
    place.give(ANA, event(rows + 2, BEN, PHONE, time=1))
    place.give(ANA, deny(ANA, PHONE))
    assert place.waiting


def expected(rows: int) -> dict[str, list[str]]:
    moved = [f"e{n:06}" for n in range(3, rows + 2, 2)]
    kept = [f"e{n:06}" for n in range(2, rows + 2, 2)]
    return {
        customer_id(ANA, KEY): ["e000000", "e000001", *kept],
        customer_id(BEN, KEY): [f"e{rows + 2:06}", *moved],
    }


def test_a_split_takes_many_steps_each_of_which_looks_at_a_bounded_number_of_rows() -> None:
    place = Place()
    ana(place, ROWS * 2)
    place.forget_counts()
    split(place, ROWS * 2)
    steps = 0
    while place.waiting:
        assert len(place.waiting) <= 2  # the repair's next step, or one turn for each of the two to be folded
        place.forget_counts()
        place.step()
        steps += 1
        if place.waiting:
            assert place.counts("timeline")["row"] <= 2 * STEP + 1  # so many may move, and so many be folded
            assert place.counts("timeline")["put"] <= STEP
            assert place.counts("events")["put"] <= STEP
    assert steps >= ROWS * 4 // STEP  # each row is looked at, and then folded
    assert place.timelines(ANA) == expected(ROWS * 2)


def test_other_components_events_are_taken_in_at_once_between_two_steps() -> None:
    place = Place(Limits(rows=10))
    ana(place, 100)
    split(place, 100)
    number = 1_000
    while place.waiting:
        place.give(OTHER, event(number, OTHER))
        assert place.effects.published[f"e{number:06}"][1] == customer_id(OTHER, KEY)
        assert place.effects.profiles[customer_id(OTHER, KEY)].events == number - 999
        place.step()
        number += 1
    assert number > 1_005
    assert place.timelines(ANA) == expected(100)


def test_events_that_come_for_the_same_component_between_two_steps_are_right_at_the_end() -> None:
    place = Place(Limits(rows=10))
    ana(place, 100)
    split(place, 100)
    want = expected(100)
    number = 1_000
    while place.waiting:
        place.give(ANA, event(number, PHONE))
        place.give(ANA, event(number + 1, ANA, COOKIE))
        want[customer_id(BEN, KEY)].append(f"e{number:06}")
        want[customer_id(ANA, KEY)].append(f"e{number + 1:06}")
        place.step()
        number += 2
    assert place.timelines(ANA) == want


def test_a_late_login_between_two_steps_is_heeded() -> None:
    place = Place(Limits(rows=10))
    ana(place, 100)
    split(place, 100)
    for _ in range(4):
        place.step()
    place.give(ANA, event(5_000, "user_id:cem", PHONE, time=50))
    while place.waiting:
        place.step()
    timelines = place.timelines(ANA)
    assert timelines[customer_id("user_id:cem", KEY)] == ["e005000", *(f"e{n:06}" for n in range(51, 102, 2))]
    assert timelines[customer_id(BEN, KEY)] == ["e000102", *(f"e{n:06}" for n in range(3, 50, 2))]


@pytest.mark.parametrize("minute", [15, 16, 54])
def test_a_late_login_takes_what_came_after_it_though_its_own_row_is_not_there_yet(minute: int) -> None:
    place = Place(Limits(rows=10))
    seen = ((55, PHONE), (354, ANA, PHONE), (15, ANA, PHONE))
    for number, (time, *names) in enumerate(seen):
        place.give(ANA, event(number, *names, time=time))
    place.give(ANA, event(3, "user_id:al", PHONE, time=minute))
    while place.waiting:
        place.step()
    assert place.timelines(ANA)[customer_id("user_id:al", KEY)] == ["e000003", "e000000"]


@pytest.mark.parametrize("lose", [Place.restore, lambda place: place.components.reset()])
def test_memory_that_is_lost_between_any_two_steps_changes_nothing(lose: Callable[[Place], None]) -> None:
    undisturbed, disturbed = Place(Limits(rows=10)), Place(Limits(rows=10))
    for place in (undisturbed, disturbed):
        ana(place, 100)
        split(place, 100)
    while undisturbed.waiting:
        lose(disturbed)
        assert undisturbed.step() == disturbed.step()
    lose(disturbed)
    assert not disturbed.waiting
    assert disturbed.timelines(ANA) == expected(100)
    for name, table in undisturbed.tables.items():
        assert disturbed.tables[name]._rows == table._rows, name


def test_a_step_that_is_asked_for_twice_is_made_once() -> None:
    place = Place(Limits(rows=10))
    ana(place, 100)
    split(place, 100)
    while place.waiting:
        again = place.waiting[0]
        place.step()
        waiting = list(place.waiting)
        place.forget_counts()
        place.components.handle(decode_component(again))
        assert list(place.waiting) == waiting
        assert not any(place.counts(name)["put"] for name in place.tables)
    assert place.timelines(ANA) == expected(100)


def person(size: int) -> list[tuple[str, ...]]:
    return [(ANA, f"cookie:{number}") for number in range(size)]


def kiosk(size: int) -> list[tuple[str, ...]]:
    return [(f"user_id:{number}", "device:kiosk") for number in range(size)]


def chain(size: int) -> list[tuple[str, ...]]:
    """Return households that share a tablet with the next one each."""
    own = [(f"user_id:{number}", f"cookie:{number}") for number in range(size)]
    shared = [(f"user_id:{number + side}", f"device:{number}") for number in range(size) for side in (0, 1)]
    return own + shared


def touched(shape: Callable[[int], list[tuple[str, ...]]], size: int) -> dict[str, Counter[str]]:
    """Return what a login and an anonymous event without new evidence ask of each table."""
    place = Place()
    combinations = shape(size)
    for number, names in enumerate(combinations):
        place.give(ANA, event(number, *names))
        place.give(ANA, event(number + 100_000, *names[1:]))
        while place.waiting:
            place.step()
    for again in range(2):
        place.forget_counts()
        place.give(ANA, event(200_000 + 2 * again, *combinations[-1]))
        place.give(ANA, event(200_001 + 2 * again, *combinations[-1][1:]))
    assert not place.waiting
    return {name: table.counts for name, table in place.tables.items()}


@pytest.mark.parametrize("shape", [person, kiosk, chain])
def test_what_an_event_without_new_evidence_touches_does_not_depend_on_the_components_size(
    shape: Callable[[int], list[tuple[str, ...]]],
) -> None:
    small, large = touched(shape, 8), touched(shape, 200)
    assert small == large


def test_a_tablet_that_changes_hands_touches_its_two_persons_only() -> None:
    counts = []
    for size in (8, 200):
        place = Place()
        for number, names in enumerate(chain(size)):
            place.give(ANA, event(number, *names))
            while place.waiting:
                place.step()
        place.forget_counts()
        place.give(ANA, event(200_000, "user_id:3", "device:3"))
        assert not place.waiting
        counts.append({name: table.counts for name, table in place.tables.items()})
    assert counts[0] == counts[1]
