"""The rules' fold and settling under any order of arrival, any clock, restarts and merges.

An oracle, written from RULES.md in another way, says what a set of events justifies. Then the driver that
feeds the real code is run with bugs planted into it, and must notice each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.event import Event
from stream_app.domain.rules import Action, Decision, HeldBack, RuleBook, RulesState, load_rule
from stream_app.domain.rules.fold import Fold
from stream_app.domain.rules.settle import _Settlement
from tests.property.examples import examples, search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream_app.domain.profile import Profile

MINUTE = 60_000
START = 1_000 * 86_400_000
LONG_AGO = -(2**62)
AFTER = 30
RULE = """
name: cart
version: 1
key: cart_id
opens: {event: Product Added}
keeps_open: {event: [Product Added, Product Removed, Cart Viewed]}
closes: {event: [Order Completed, Cart Emptied], match: cart_id}
after: 30m
if: cart.value >= 20.0
grace: %s
retract_within: 300d
%s
"""
BOOK = RuleBook([load_rule(RULE % ("300d", ""))])
STRICT = RuleBook([load_rule(RULE % ("10m", ""))])
LIMITED = RuleBook([load_rule(RULE % ("300d", "at_most: {times: 2, per: 1h}"))])
_decode = msgspec.msgpack.Decoder(RulesState).decode


class Shop(NamedTuple):
    """What happens in a drawn world."""

    minute: int
    type: str
    cart: str | None
    sku: str


def make(index: int, shop: Shop) -> Event:
    """Make an event; ids are unlike the order of drawing."""
    properties: dict[str, Any] = {"sku": shop.sku, "price": 10 if shop.sku == "A" else 25.0}
    if shop.cart is not None:
        properties["cart_id"] = shop.cart
    time = START + shop.minute * MINUTE
    return Event(f"e{index * 7 % 31:02}", time, "web", shop.type, ("cookie:1",), properties, time, "test")


TYPES = ["Product Added"] * 3 + [
    "Product Removed",
    "Cart Viewed",
    "Order Completed",
    "Cart Emptied",
    "Page Viewed",
]
SHOPS = st.builds(
    Shop,
    st.one_of(st.integers(0, 5), st.integers(0, 24)).map(lambda tens: tens * 10),
    st.sampled_from(TYPES),
    st.sampled_from(["k1", "k1", "k2", None]),
    st.sampled_from(["A", "B"]),
)
EVENTS = st.lists(SHOPS, min_size=1, max_size=12).map(lambda shops: [make(i, s) for i, s in enumerate(shops)])
CLOCKS = st.one_of(
    st.lists(st.integers(0, 40).map(lambda tens: tens * 10 + 5), min_size=12, max_size=12),
    st.lists(st.sampled_from([65, 125, 305]), min_size=12, max_size=12),
)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Event], list[Event], list[int]]:
    """Draw events, in time order and in an order of arrival, and where the clock is after each."""
    events = draw(EVENTS)
    ordered = sorted(events, key=lambda event: event.order)
    in_order = draw(st.booleans())  # a late one folds all again, which hides what steps do wrong
    order = ordered if in_order else list(draw(st.permutations(events)))
    return ordered, order, sorted(draw(CLOCKS))


class Customer:
    """A customer as the agent keeps one: state, timeline, and all decisions made."""

    def __init__(self, book: RuleBook) -> None:
        self.book = book
        self.state = book.new_state()
        self.timeline: list[Event] = []
        self.decisions: list[Decision] = []

    def arrive(self, event: Event) -> None:
        self.timeline = sorted([*self.timeline, event], key=lambda one: one.order)
        if self.book.in_order(self.state, event):
            self.book.step(self.state, event)
        else:
            self.state = self.book.refold(self.timeline, [self.state.ledger])

    def settle(self, clock: int, stood: int) -> list[Decision]:
        made = self.book.settle(self.state, clock, stood)
        self.decisions += made
        self.state = _decode(msgspec.msgpack.encode(self.state))  # a restart, each time
        due = self.book.next_due(self.state)
        assert due is None or due >= clock, "settled, and yet something is due"
        return made

    @property
    def net(self) -> set[str]:
        last = {one.trigger_id: one for one in self.decisions if one.action != Action.HELD_BACK}
        return {one.opened_by for one in last.values() if one.action == Action.FIRE}


def oracle(events: Iterable[Event], *, limit: float = 20.0) -> dict[str, int]:
    """Return what a set of events justifies: opening event id -> due time. Straight from RULES.md."""
    ordered = sorted(events, key=lambda event: event.order)
    justified: dict[str, int] = {}
    for key in ("k1", "k2", None):
        opened: Event | None = None
        due = 0
        for event in [*ordered, None]:
            if opened is not None and (event is None or event.time > due):
                if worth(ordered, key, due) >= limit:
                    justified[opened.event_id] = due
                opened = None
            if event is None:
                continue
            cart = event.properties.get("cart_id")
            if event.type in {"Order Completed", "Cart Emptied"} and cart in {None, key}:
                opened = None
            if event.type == "Product Added" and cart == key:
                opened = opened or event
            if event.type in {"Product Added", "Product Removed", "Cart Viewed"} and cart == key and opened:
                due = event.time + AFTER * MINUTE
    return justified


def worth(ordered: Sequence[Event], key: str | None, until: int) -> float:
    """Return the basket's worth at a time; of all baskets where the opening event names none."""
    worths: dict[tuple[str | None, str], float] = {}
    for event in ordered:
        cart = event.properties.get("cart_id")
        place = (cart, event.properties["sku"])
        if event.time > until:
            break
        if event.type == "Product Added":
            worths[place] = worths.get(place, 0.0) + event.properties["price"]
        elif event.type == "Product Removed":
            worths[place] = max(0.0, worths.get(place, 0.0) - event.properties["price"])
        elif event.type in {"Order Completed", "Cart Emptied"}:
            worths = {one: value for one, value in worths.items() if cart not in {None, one[0]}}
    return sum(value for (cart, _), value in worths.items() if key in {None, cart})


def alternates(decisions: Iterable[Decision]) -> None:
    """Check that the messages of each trigger id are fire, retract, fire, ..."""
    said: dict[str, Action] = {}
    for one in decisions:
        if one.action == Action.HELD_BACK:
            continue
        expected = Action.RETRACT if said.get(one.trigger_id) == Action.FIRE else Action.FIRE
        assert one.action == expected, f"{one.action} after {said.get(one.trigger_id)}"
        said[one.trigger_id] = one.action


def held_once(decisions: Iterable[Decision]) -> None:
    """Check that no trigger is held back twice for the same reason."""
    held = [(one.trigger_id, one.reason) for one in decisions if one.action == Action.HELD_BACK]
    assert len(held) == len(set(held))


def live(customer: Customer, order: Sequence[Event], clocks: Sequence[int], *, on_time: bool) -> None:
    """Deliver events in this order, settling after each; at the end the clock goes far on."""
    stood = LONG_AGO
    for event, tens in zip(order, clocks, strict=False):
        customer.arrive(event)
        clock = START + tens * MINUTE
        for one in customer.settle(clock, LONG_AGO if on_time else clock):
            if one.action == Action.FIRE:
                known = oracle(customer.timeline)
                assert known.get(one.opened_by) == one.due, "sent, and not justified by what is known"
                assert one.due < clock, "sent before its time"
        stood = clock
    customer.settle(START + 1_000 * MINUTE, LONG_AGO if on_time else stood)
    alternates(customer.decisions)
    held_once(customer.decisions)


def check_any_order(drawn: tuple[list[Event], list[Event], list[int]]) -> None:
    ordered, order, clocks = drawn
    in_order, shuffled = Customer(BOOK), Customer(BOOK)
    for event in ordered:
        in_order.settle(event.time, LONG_AGO)
        in_order.arrive(event)
    in_order.settle(START + 1_000 * MINUTE, LONG_AGO)
    live(shuffled, order, clocks, on_time=True)
    assert in_order.net == set(oracle(ordered)), "in order"
    assert shuffled.net == in_order.net, "another order, another result"


@examples(400)
@given(arrivals())
def test_any_order_of_arrival_and_any_clock_leave_the_same_triggers(
    drawn: tuple[list[Event], list[Event], list[int]],
) -> None:
    check_any_order(drawn)


@examples(200)
@given(EVENTS)
def test_step_by_step_equals_folding_again(events: list[Event]) -> None:
    ordered = sorted(events, key=lambda event: event.order)
    state = BOOK.new_state()
    for event in ordered:
        BOOK.step(state, event)
    again = BOOK.refold(ordered)
    again.stale, again.next_at = state.stale, state.next_at
    assert again == state


@examples(300)
@given(arrivals())
def test_what_is_found_late_is_sent_within_grace_or_recorded_as_past(
    drawn: tuple[list[Event], list[Event], list[int]],
) -> None:
    _, order, clocks = drawn
    customer = Customer(STRICT)
    live(customer, order, clocks, on_time=False)
    justified = oracle(customer.timeline)
    past = {one.opened_by for one in customer.decisions if one.reason == HeldBack.PAST}
    unfit = {one.opened_by for one in customer.decisions if one.reason == HeldBack.CONDITION}
    assert customer.net <= set(justified)
    assert set(justified) - customer.net <= past | unfit
    for one in customer.decisions:
        if one.action == Action.FIRE and one.sent != one.due:
            assert 0 < one.sent - one.due <= 10 * MINUTE


@examples(300)
@given(arrivals(), st.lists(st.booleans(), min_size=12, max_size=12), st.integers(0, 40), st.booleans())
def test_a_merge_sends_nothing_twice_and_ends_as_if_it_had_been_one_customer(
    drawn: tuple[list[Event], list[Event], list[int]], sides: list[bool], tens: int, on_time: bool
) -> None:
    _, order, clocks = drawn
    left, right = Customer(BOOK), Customer(BOOK)
    half = len(order) // 2
    stood = START
    for event, side, at in zip(order[:half], sides, clocks, strict=False):
        owner = left if side else right
        owner.arrive(event)
        owner.settle(START + at * MINUTE, LONG_AGO if on_time else START + at * MINUTE)
        stood = START + at * MINUTE
    merged = Customer(BOOK)
    merged.timeline = sorted(left.timeline + right.timeline, key=lambda event: event.order)
    merged.decisions = left.decisions + right.decisions
    merged.state = BOOK.refold(merged.timeline, [left.state.ledger, right.state.ledger])
    merged.settle(max(stood, START + tens * 10 * MINUTE), LONG_AGO if on_time else stood)
    for event in order[half:]:
        merged.arrive(event)
        merged.settle(max(stood, START + tens * 10 * MINUTE), LONG_AGO)
    merged.settle(START + 1_000 * MINUTE, LONG_AGO if on_time else stood)
    alternates(merged.decisions)
    if on_time:
        assert merged.net == set(oracle(merged.timeline))


@examples(200)
@given(arrivals(), st.booleans())
def test_at_most_is_never_exceeded(drawn: tuple[list[Event], list[Event], list[int]], on_time: bool) -> None:
    _, order, clocks = drawn
    customer = Customer(LIMITED)
    live(customer, order, clocks, on_time=on_time)
    last = {one.trigger_id: one for one in customer.decisions if one.action != Action.HELD_BACK}
    sent = sorted(one.sent for one in last.values() if one.action == Action.FIRE)
    for first, third in zip(sent, sent[2:], strict=False):
        assert third - first >= 60 * MINUTE


def no_elapsing(patch: pytest.MonkeyPatch) -> None:
    """Forget to let instances elapse before the next event."""
    patch.setattr(Fold, "_elapse", lambda *_: None)


def due_is_exclusive(patch: pytest.MonkeyPatch) -> None:
    """Let an instance elapse before an event exactly at its due time."""
    elapse = Fold._elapse

    def step(self: Fold, state: RulesState, event: Event, profile: Profile | None = None) -> None:
        elapse(self, state, event.time + 1, profile)
        original(self, state, event, profile)

    original = Fold.step
    patch.setattr(Fold, "step", step)


def lost_ledger(patch: pytest.MonkeyPatch) -> None:
    """Lose what was sent when the timeline is folded again."""
    refold = Fold.refold
    patch.setattr(Fold, "refold", lambda self, events, _: refold(self, events))


def never_retract(patch: pytest.MonkeyPatch) -> None:
    """Leave standing what isn't justified any more."""
    patch.setattr(_Settlement, "retract", lambda *_: None)


def never_stale(patch: pytest.MonkeyPatch) -> None:
    """Overlook that an event in order can change what was sent already."""
    step = Fold.step

    def wrong(self: Fold, state: RulesState, event: Event, profile: Profile | None = None) -> None:
        step(self, state, event, profile)
        state.stale = False

    patch.setattr(Fold, "step", wrong)


def refolds_backwards(patch: pytest.MonkeyPatch) -> None:
    """Let arrival order events."""
    patch.setattr(RuleBook, "in_order", lambda *_: True)


@pytest.mark.parametrize(
    "plant", [no_elapsing, due_is_exclusive, lost_ledger, never_retract, never_stale, refolds_backwards]
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    monkeypatch.setitem(globals(), "BOOK", RuleBook(BOOK.rules))

    @search(400)
    @given(arrivals())
    def wanted(drawn: tuple[list[Event], list[Event], list[int]]) -> None:
        check_any_order(drawn)

    with pytest.raises(AssertionError):
        wanted()
