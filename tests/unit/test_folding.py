"""Folding again: how much an epoch folds, whose turn it is, and which checkpoints there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.component import Components
from stream_app.domain.customer_id import customer_id
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.labels import Labels
from stream_app.domain.messages import EventTo, Fold, Merge, Union, decode_component, encode
from stream_app.domain.ports import ComponentTables
from stream_app.domain.rows import customer_tables
from stream_app.domain.rule_fold import NoRules
from tests.property.identity_world import KEY, POLICY, Recorder
from tests.unit.test_repair_steps import CountingTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.domain.customer import Customer
    from stream_app.domain.messages import Message, Topic
    from stream_app.domain.profile import Place, Profile

of = Labels(POLICY, KEY).of
ANA, BEN, CEM = "user_id:ana", "user_id:ben", "user_id:cem"
DAY = 1_000_000


class Counting(NoRules):
    """Rules whose fold is the number of events; counts what is folded again, and from where on."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.steps = 0
        self.decided: list[tuple[str, list[int], int]] = []

    def before(self, customer: Customer, event: Event) -> None: ...

    def on_event(self, customer: Customer, event: Event) -> bool:
        customer.rules = [(customer.rules or [0])[0] + 1]
        return True

    def decide(self, customer: Customer, stamp: int) -> None:
        self.decided.append((customer.id, list(customer.rules), stamp))

    def begin(self, customer: Customer, kept: bytes | None, since: Place) -> Any:
        fold = [0] if kept is None else msgspec.msgpack.decode(kept)
        self.begun.append((customer.id, fold[0]))
        return fold

    def before_step(self, fold: Any, event: Event, profile: Profile) -> None: ...

    def step(self, fold: Any, event: Event, profile: Profile) -> None:
        self.steps += 1
        fold[0] += 1

    def keep(self, fold: Any) -> bytes:
        return msgspec.msgpack.encode(fold)

    def current(self, customer: Customer) -> Any:
        return customer.rules

    def finish(self, customer: Customer, fold: Any, stamp: int) -> None:
        customer.rules = fold
        self.decided.append((customer.id, list(fold), stamp))


class Clock:
    """A clock that is moved by hand; no timers."""

    now = -1

    def wake(self, label: str, due: int) -> None: ...


class Partition:
    """One partition of components; an epoch ends when it is told to."""

    def __init__(self, limits: FoldLimits) -> None:
        self.tables = {spec.name: CountingTable(spec) for spec in customer_tables()}
        self.sent: list[Message] = []
        self.effects = Recorder(self._send)
        self.limits = limits
        self.clock = Clock()
        self.start()

    def start(self) -> None:
        """Begin with nothing but the rows, as after a crash."""
        self.rules = Counting()
        rows: Any = ComponentTables(**self.tables)
        self.components = Components(
            POLICY,
            KEY,
            rows,
            self.effects,
            Labels(POLICY, KEY),
            self.rules,
            folding=self.limits,
            clock=self.clock,
        )

    def _send(self, topic: Topic, key: str, message: Message) -> None:
        self.sent.append(message)

    def give(self, name: str, *times: int, stamp: int | None = None) -> None:
        for time in times:
            event = Event(f"e{time:09}", time, "web", "Page Viewed", (name,), {}, time, f"web/0/{time}")
            stood = time if stamp is None else stamp
            message = EventTo(of(name), msgspec.Raw(encode(event)), event.event_id.encode(), stood)
            self.components.handle(decode_component(encode(message)))

    def end_epoch(self) -> int:
        """Hand the components what they have sent themselves, and end the epoch; return how much was folded."""
        waiting, self.sent = self.sent, []
        for message in waiting:
            assert isinstance(message, Fold), message
            self.components.handle(decode_component(encode(message)))
        self.rules.steps, self.rules.begun = 0, []
        self.components.flush()
        return self.rules.steps

    def customer(self, name: str) -> Customer:
        customer = self.components.customer(of(name), 1)
        assert customer is not None
        return customer

    def begun(self) -> Sequence[str]:
        return [name for name in (ANA, BEN, CEM) if customer_id(name, KEY) in dict(self.rules.begun)]


def partition(names: Sequence[str], count: int, limits: FoldLimits) -> Partition:
    """Return one whose customers have so many events each."""
    found = Partition(limits)
    for place, name in enumerate(names):
        found.give(name, *range(place * DAY + 10, place * DAY + 10 * count + 10, 10))
    assert found.end_epoch() == 0
    return found


def test_a_customer_of_fewer_events_than_an_interval_has_no_checkpoint_even_after_late_events() -> None:
    place = partition([ANA], 254, FoldLimits())
    place.give(ANA, 15)
    assert place.end_epoch() == 255
    assert place.customer(ANA).profile.events == 255
    assert not place.tables["checkpoints"].counts


def test_a_late_event_near_the_end_of_a_long_timeline_costs_what_follows_it_and_two_intervals_at_most() -> (
    None
):
    place = partition([ANA], 20_000, FoldLimits())
    assert 0 < place.customer(ANA).row.checkpoints < 20
    for behind in (0, 100, 1_000):
        place.tables["timeline"].counts.clear()
        place.give(ANA, 10 * (20_000 - behind) - 5)
        assert place.end_epoch() <= 2 * (behind + 256) + 3
        assert place.tables["timeline"].counts["row"] <= 2 * (behind + 256) + 3
    assert place.customer(ANA).settled
    assert place.customer(ANA).rules == [20_003]


def test_however_many_late_events_an_epoch_brings_a_customer_is_folded_once() -> None:
    place = partition([ANA], 100, FoldLimits())
    place.give(ANA, *range(15, 65, 10))
    assert place.end_epoch() == 105
    assert len(place.rules.begun) == 1
    assert place.end_epoch() == 0


def test_an_epoch_folds_no_more_than_its_share_beyond_what_came_in_and_the_rest_follows() -> None:
    place = partition([ANA], 1_000, FoldLimits(events=150, turn=10, every=100))
    place.give(ANA, 5)
    folded = [place.end_epoch()]
    while place.sent:
        assert not place.customer(ANA).settled
        assert place.effects.profiles[customer_id(ANA, KEY)].events == 1_000
        folded.append(place.end_epoch())
    assert folded[0] == 151  # one came in
    assert max(folded[1:]) == 150
    assert sum(folded) == 1_001
    assert place.effects.profiles[customer_id(ANA, KEY)].events == 1_001


def test_large_events_count_for_more() -> None:
    place = Partition(FoldLimits(events=100, turn=10, every=4))
    large = {"text": "x" * 10_240}
    for time in (*range(10, 110, 10), 5):
        event = Event(f"e{time:09}", time, "web", "Page Viewed", (ANA,), large, time, f"web/0/{time}")
        message = EventTo(of(ANA), msgspec.Raw(encode(event)), event.event_id.encode(), time)
        place.components.handle(decode_component(encode(message)))
        if time == 100:
            assert place.end_epoch() == 0
    assert place.end_epoch() == 10
    assert place.end_epoch() == 1
    assert not place.sent


def test_short_folds_are_done_at_once_and_long_ones_share_what_is_left() -> None:
    place = partition([ANA, BEN, CEM], 1_000, FoldLimits(events=300, turn=10))
    place.give("user_id:short", 9 * DAY + 10, 9 * DAY + 20)
    place.end_epoch()
    place.give(ANA, 5)
    place.give(BEN, DAY + 5)
    place.give("user_id:short", 9 * DAY + 15)
    assert place.end_epoch() == 303
    assert place.customer("user_id:short").profile.events == 3
    assert place.begun() == [ANA, BEN]
    while place.sent:
        place.end_epoch()
    assert [place.customer(name).profile.events for name in (ANA, BEN, CEM)] == [1_001, 1_001, 1_000]


def test_who_had_no_turn_goes_first_in_the_next_epoch() -> None:
    place = partition([ANA, BEN, CEM], 200, FoldLimits(events=17, turn=20))
    place.give(ANA, 5)
    place.give(BEN, DAY + 5)
    place.give(CEM, 2 * DAY + 5)
    turns = []
    for _ in range(4):
        place.end_epoch()
        turns.append(place.begun())
    assert turns == [[ANA], [BEN], [CEM], [ANA]]


def test_events_that_come_while_a_fold_is_under_way_are_folded_in_their_turn() -> None:
    place = partition([ANA], 100, FoldLimits(events=20, turn=10, every=30))
    place.give(ANA, 5)
    place.end_epoch()
    late, number = 0, 0
    while place.sent:
        number += 1
        place.give(ANA, 2_000 + number)
        if number == 3:
            place.give(ANA, 17)  # before where the fold has come to
            late = place.customer(ANA).row.checkpoints
        place.end_epoch()
    assert late
    history = list(place.customer(ANA).history())
    assert len(history) == 102 + number
    assert place.customer(ANA).rules == [len(history)]
    assert place.customer(ANA).profile.events == len(history)


def test_a_crash_goes_on_from_where_the_last_epoch_ended() -> None:
    place = partition([ANA], 1_000, FoldLimits(events=100, turn=10, every=50))
    place.give(ANA, 5)
    done = place.end_epoch()
    while place.sent:
        place.start()
        folded = place.end_epoch()
        assert place.rules.begun == [(customer_id(ANA, KEY), done)]
        done += folded
    assert done == 1_001
    assert place.customer(ANA).settled


def test_a_turn_that_is_asked_for_twice_is_given_once() -> None:
    place = partition([ANA], 100, FoldLimits(events=20, turn=10))
    place.give(ANA, 5)
    place.end_epoch()
    (again,) = place.sent
    assert place.end_epoch() == 20
    sent = list(place.sent)
    place.components.handle(decode_component(encode(again)))
    place.components.flush()
    assert place.rules.steps == 20
    assert place.sent == sent


def test_an_event_behind_the_clock_is_one_step_and_decided_at_the_epochs_end_by_all_that_it_brings() -> None:
    place = partition([ANA], 300, FoldLimits())
    place.clock.now = 10_000
    place.rules.decided.clear()
    place.give(ANA, 4_000, stamp=3_990)
    place.give(ANA, 5_000, stamp=3_980)
    place.give(ANA, 11_000, stamp=9_000)
    assert place.rules.decided == [], "what closes it may be the next message"
    assert place.customer(ANA).rules == [303]
    assert place.end_epoch() == 0, "nothing is folded again"
    assert place.rules.decided == [(customer_id(ANA, KEY), [303], 3_980)]
    assert place.end_epoch() == 0
    assert len(place.rules.decided) == 1


def test_an_event_before_the_clock_is_decided_at_once() -> None:
    place = partition([ANA], 2, FoldLimits())
    place.clock.now = 3_000
    place.rules.decided.clear()
    place.give(ANA, 3_000)
    assert place.rules.decided == [(customer_id(ANA, KEY), [3], 3_000)]
    place.end_epoch()
    assert len(place.rules.decided) == 1


def test_whoever_is_folded_again_is_decided_about_once_and_by_where_the_clock_stood_first() -> None:
    place = partition([ANA], 20, FoldLimits())
    place.clock.now = 10_000
    place.rules.decided.clear()
    place.give(ANA, 4_000, stamp=3_000)
    place.give(ANA, 15, stamp=8_000)
    assert place.end_epoch() == 22
    assert place.rules.decided == [(customer_id(ANA, KEY), [22], 3_000)]


def test_what_was_to_be_decided_is_forgotten_with_the_epoch_that_is_rolled_back() -> None:
    place = partition([ANA], 20, FoldLimits())
    place.clock.now = 10_000
    place.give(ANA, 4_000)
    place.rules.decided.clear()
    place.components.reset()
    place.end_epoch()
    assert place.rules.decided == []


def test_what_was_to_be_decided_about_a_customer_that_ended_is_not() -> None:
    place = partition([ANA], 20, FoldLimits())
    place.clock.now = 10_000
    place.give(ANA, 4_000)
    place.rules.decided.clear()
    place.components.handle(Union(of(ANA), of(BEN), 5_000, granted=True))
    assert [type(message) for message in place.sent] == [Merge]
    place.rules.steps = 0
    place.components.flush()
    assert (place.rules.steps, place.rules.decided) == (0, [])


def test_what_was_to_be_decided_when_rows_begin_to_come_is_decided_when_all_have_come() -> None:
    place = partition([ANA], 20, FoldLimits())
    place.clock.now = 10_000
    place.give(ANA, 4_000, stamp=3_990)
    place.rules.decided.clear()
    nothing: Any = ({}, (), (), (), (), (), ())
    place.components.handle(Merge(of(ANA), of(BEN), 0, False, 10_000, *nothing, 10_000))
    place.components.flush()
    assert place.rules.decided == [], "its timeline has gaps, as far as is known"
    place.clock.now = 50_000
    place.components.handle(Merge(of(ANA), of(BEN), 1, True, 50_000, *nothing, 50_000))
    place.components.flush()
    assert place.rules.decided == [(customer_id(ANA, KEY), [21], 3_990)]
    place.components.flush()
    assert len(place.rules.decided) == 1
