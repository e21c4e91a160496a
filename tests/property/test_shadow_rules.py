"""Shadow rules beside live ones, under any order of arrival, merges and splits.

The oracle of the comparison is two deployments: one with the live rules, one in which the shadow's rules are live. What
they were left with must differ by what was said, and by nothing else. Folds that are made in turns and kept are held
against the same ones made at once.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.agents.rules import Rules
from stream_app.domain.commands import Command, Op
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.rule_fold import NoRules
from stream_app.domain.rules import Action, Outcome, RuleBook, RulesState, Shadow, load_rule
from stream_app.domain.rules import shadow as shadow_module
from stream_app.domain.rules.sending_loader import load_sending_policy
from stream_app.domain.timeline import Timelines
from stream_app.runs.triggers_in_memory import TriggersInMemory
from tests.property.examples import examples, search
from tests.property.folds import is_that_of_the_timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream_app.domain.rules import Rule

MINUTE = 60_000
START = 1_740_960_000_000
PEOPLE = ("user_id:u1", "user_id:u2", "loyalty:l1")
DEVICES = ("cookie:c1", "cookie:c2")
IDENTITY = IdentityPolicy.from_mapping(
    {
        "namespaces": [
            {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
            {"name": "loyalty", "priority": 2, "kind": "person"},
            {"name": "cookie", "priority": 3, "kind": "device"},
        ]
    }
)
POLICY = load_sending_policy(
    'quiet_hours: {from: "01:00", to: "02:00"}\ncaps: [{times: 2, per: 2h, window: rolling}]\nconsent_default: true\n'
)
CART = """
name: cart
version: %d
key: cart_id
opens: {event: Product Added}
keeps_open: {event: [Product Added, Cart Viewed]}
closes: {event: Order Completed, match: cart_id}
after: %s
if: cart.value >= %s
grace: %s
retract_within: 2d
at_most: {times: 2, per: 3h}
"""
ASKED = """
name: asked
version: %d
instances: per_event
opens: {event: Cart Viewed}
after: %s
grace: 2d
priority: 1
"""
AGAIN = """
name: again
version: %d
key: cart_id
opens: {event: Product Added}
closes: {event: Order Completed}
after: 10m
repeat: 40m
repeat_within: %s
"""
LIVE = tuple(map(load_rule, (CART % (1, "30m", "20.0", "2d"), ASKED % (1, "0s"), AGAIN % (1, "2h"))))
OTHERS = (
    CART % (2, "50m", "20.0", "2d"),
    CART % (3, "20m", "10.0", "2d"),
    CART % (4, "30m", "40.0", "10m"),
    ASKED % (2, "15m"),
    AGAIN % (2, "3h"),
    "name: viewed\nversion: 1\nopens: {event: Cart Viewed}\ngrace: 2d\npriority: 2\n",
)
Key = tuple[str, int, str]
SMALL = FoldLimits(events=1, turn=1, every=2)
"""A checkpoint at every second event, and an epoch for every event that is folded again."""


class Happening(NamedTuple):
    """Something in a drawn world."""

    minute: int
    type: str
    who: tuple[str, ...]
    cart: str | None
    price: float


WHO = st.one_of(
    st.sampled_from(PEOPLE).map(lambda one: (one,)),
    st.sampled_from(DEVICES).map(lambda one: (one,)),
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(DEVICES)),
)
HAPPENINGS = st.builds(
    Happening,
    st.integers(0, 12).map(lambda tens: tens * 10),
    st.sampled_from(["Product Added"] * 4 + ["Cart Viewed"] * 2 + ["Order Completed"] * 3),
    WHO,
    st.sampled_from(["k1", "k1", "k2", None]),
    st.sampled_from([10.0, 25.0]),
)
COMMANDS = st.tuples(
    st.sampled_from([Op.ASSERT, Op.DENY, Op.WITHDRAW]),
    st.sampled_from(list(combinations((*PEOPLE, *DEVICES), 2))),
    st.integers(0, 200),
)


@st.composite
def worlds(draw: st.DrawFn) -> list[tuple[int, Event | Command]]:
    """Draw what arrives, with the minute of its arrival."""
    happenings = draw(st.lists(HAPPENINGS, min_size=2, max_size=14))
    delays = draw(st.lists(st.sampled_from([0, 0, 45, 200]), min_size=14, max_size=14))
    arrivals: list[tuple[int, Event | Command]] = []
    for index, (one, delay) in enumerate(zip(happenings, delays, strict=False)):
        properties: dict[str, Any] = {"sku": "A", "price": one.price}
        if one.cart is not None:
            properties["cart_id"] = one.cart
        time = START + one.minute * MINUTE
        made = Event(f"e{index * 7 % 31:02}", time, "web", one.type, one.who, properties, index, "test")
        arrivals.append((one.minute + delay, made))
    for index, (op, pair, minute) in enumerate(draw(st.lists(COMMANDS, max_size=3))):
        one = Command(f"d{index}", op, pair, START + minute * MINUTE, "operator", "reason", "test")
        arrivals.append((minute, one))
    return sorted(arrivals, key=lambda arrival: arrival[0])


def play(arrivals: Iterable[tuple[int, Event | Command]], run: TriggersInMemory) -> TriggersInMemory:
    for minute, one in arrivals:
        run.advance(START + minute * MINUTE)
        run.give(one)
    run.advance(START + 40 * 24 * 60 * MINUTE)
    return run


def net(run: TriggersInMemory) -> set[Key]:
    """Return what a deployment was left with: the fires that nothing took back."""
    last: dict[str, Any] = {}
    for one, _ in run.decided:
        if one.action != Action.HELD_BACK:
            last[one.trigger_id] = one
    fires = [one for one in last.values() if one.action == Action.FIRE]
    return {(one.rule, one.number, one.opened_by) for one in fires}


def said(run: TriggersInMemory) -> dict[Key, list[Outcome]]:
    found: dict[Key, list[Outcome]] = defaultdict(list)
    for one in run.differed:
        found[one.rule, one.number, one.opened_by].append(one.outcome)
    return found


@examples(60)
@given(worlds(), st.sets(st.sampled_from(LIVE), min_size=1))
def test_a_shadow_of_the_same_rules_never_differs(arrivals: Any, copies: set[Rule]) -> None:
    book = RuleBook(LIVE, POLICY)
    run = play(arrivals, TriggersInMemory(IDENTITY, book, Shadow(list(copies), book)))
    assert run.differed == []


def check_against_two_deployments(
    arrivals: Any, shadows: Sequence[Rule], folding: FoldLimits | None = None
) -> None:
    book = RuleBook(LIVE, POLICY)
    shadow = Shadow(shadows, book)
    alone = play(arrivals, TriggersInMemory(IDENTITY, book, folding=folding))
    instead = play(arrivals, TriggersInMemory(IDENTITY, shadow.book, folding=folding))
    both = play(arrivals, TriggersInMemory(IDENTITY, book, shadow, folding=folding))
    assert [one.decision for one in both.decided] == [one.decision for one in alone.decided]
    found = said(both)
    for outcomes in found.values():
        assert all(one != other for one, other in pairwise(outcomes)), "said twice"
        assert outcomes[0] != Outcome.NO_DIFFERENCE, "the end of what never began"
    last = {key: outcomes[-1] for key, outcomes in found.items()}
    fired, would = net(alone), net(instead)
    assert {key for key, one in last.items() if one == Outcome.WOULD_HAVE_FIRED} == would - fired
    assert {key for key, one in last.items() if one == Outcome.WOULD_NOT_HAVE_FIRED} == fired - would


@examples(100)
@given(worlds(), st.sampled_from(OTHERS), st.sampled_from([None, SMALL]))
def test_what_is_said_is_how_two_deployments_would_differ_and_what_is_live_is_as_without_a_shadow(
    arrivals: Any, other: str, folding: FoldLimits | None
) -> None:
    check_against_two_deployments(arrivals, [load_rule(other)], folding)


def change_the_shadow(arrivals: Any, shadows: Sequence[str | None], folding: FoldLimits | None) -> Any:
    """Let the shadow be each of these (None: there is none) for a part of the arrivals; return what is left."""
    book = RuleBook(LIVE, POLICY)
    run = TriggersInMemory(IDENTITY, book, folding=folding)
    part = -(-len(arrivals) // len(shadows))
    for index, text in enumerate(shadows):
        run._rules.shadow = Shadow([load_rule(text)], book) if text is not None else None
        for minute, one in arrivals[index * part : (index + 1) * part]:
            run.advance(START + minute * MINUTE)
            run.give(one)
    folded_right(run)
    last = {key: outcomes[-1] for key, outcomes in said(run).items()}
    return net(run), {key: one for key, one in last.items() if one != Outcome.NO_DIFFERENCE}


def folded_right(run: TriggersInMemory) -> None:
    """Hold every fold that today's rules made against one from the beginning."""
    book, shadow = run._rules.book, run._rules.shadow
    for store in run._deployment._stores:
        timelines = Timelines(store.events, store.timeline, NoRules().removed)
        for prefix, row in store.customers.scan(b""):
            if row.rules is None:
                continue
            events, side = list(timelines.history(prefix)), row.rules.shadow
            folds = [(book, row.rules.state)]
            if shadow is not None and side is not None and shadow.fits(side.side):
                folds.append((shadow.book, side.side.state))
            for by, state in folds:
                is_that_of_the_timeline(state, by.refold(events, (state.ledger,)))


CHANGES = st.lists(st.sampled_from([None, *OTHERS]), min_size=2, max_size=3)


@examples(80)
@given(worlds(), CHANGES)
def test_a_shadow_that_changes_leaves_every_fold_as_from_the_beginning(
    arrivals: Any, shadows: list[str | None]
) -> None:
    change_the_shadow(arrivals, shadows, SMALL)


@examples(80)
@given(worlds(), CHANGES)
def test_for_one_customer_a_changed_shadow_says_the_same_whether_folds_are_kept_and_made_in_turns_or_not(
    arrivals: Any, shadows: list[str | None]
) -> None:
    # Of one only: a fold in turns may end after a merge that one at once was ahead of, and what two customers are
    # sent before they are known to be one is not what one is sent.
    mine = of_one(arrivals)
    assert change_the_shadow(mine, shadows, SMALL) == change_the_shadow(mine, shadows, None)


def of_one(arrivals: Any) -> list[tuple[int, Event]]:
    """Return the events of a world as those of one customer, when they arrive."""
    return [
        (minute, msgspec.structs.replace(one, identifiers=PEOPLE[:1]))
        for minute, one in arrivals
        if isinstance(one, Event)
    ]


def in_order(arrivals: Any) -> list[tuple[int, Event]]:
    """Return the events of a world as those of one customer, arriving as they happen."""
    ours = [one for _, one in of_one(arrivals)]
    return [((one.time - START) // MINUTE, one) for one in sorted(ours, key=lambda one: one.order)]


def check_that_nothing_is_taken_back(arrivals: Any, shadows: Sequence[Rule]) -> None:
    book = RuleBook(LIVE, POLICY)
    found = said(play(arrivals, TriggersInMemory(IDENTITY, book, Shadow(shadows, book))))
    assert all(len(outcomes) == 1 for outcomes in found.values()), "said before both sides had decided"


@examples(60)
@given(worlds(), st.sampled_from(OTHERS))
def test_where_nothing_comes_late_everything_is_said_once_and_for_all(arrivals: Any, other: str) -> None:
    check_that_nothing_is_taken_back(in_order(arrivals), [load_rule(other)])


def forgets_what_waits(patch: pytest.MonkeyPatch) -> None:
    """Take a side that is still to decide for one that has."""
    patch.setattr(shadow_module._Side, "pends", lambda *_: False)


def overlooks_retractions(patch: pytest.MonkeyPatch) -> None:
    """Leave standing what was said."""
    patch.setattr(shadow_module._Comparison, "_agree", lambda *_: None)


def never_gives_up_waiting(patch: pytest.MonkeyPatch) -> None:
    """Wait for a side that has nothing to decide any more."""
    patch.setattr(shadow_module._Side, "pends", lambda *_: True)


def forgets_what_was_said(patch: pytest.MonkeyPatch) -> None:
    """Lose what was said when the timeline is folded again."""
    original = Shadow._carried
    patch.setattr(Shadow, "_carried", lambda self, live, shadow: (original(self, live, shadow)[0], {}))


@pytest.mark.parametrize(
    "plant", [forgets_what_waits, overlooks_retractions, never_gives_up_waiting, forgets_what_was_said]
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @search(300)
    @given(worlds(), st.sampled_from(OTHERS))
    def wanted(arrivals: Any, other: str) -> None:
        check_against_two_deployments(arrivals, [load_rule(other)])
        check_that_nothing_is_taken_back(in_order(arrivals), [load_rule(other)])

    with pytest.raises(AssertionError):
        wanted()


def trusts_any_kept_fold(patch: pytest.MonkeyPatch) -> None:
    """Go on from a fold that another shadow made."""

    def wrong(self: Shadow, kept: bytes, parts: Any) -> Any:
        _, raw = shadow_module._decode_kept(kept)
        fold = msgspec.msgpack.decode(raw, type=RulesState)
        raw = msgspec.msgpack.encode(msgspec.structs.replace(fold, book=self.book.fingerprint))
        return resume(self, msgspec.msgpack.encode((self.versions, raw)), parts)

    resume = Shadow.resume
    patch.setattr(Shadow, "resume", wrong)


def goes_on_without_history(patch: pytest.MonkeyPatch) -> None:
    """Lose what was sent and said where a fold goes on."""
    resume = Shadow.resume
    patch.setattr(Shadow, "resume", lambda self, kept, _: resume(self, kept, ()))


def keeps_half(patch: pytest.MonkeyPatch) -> None:
    """Fold the live rules only, where a timeline is folded again."""

    def wrong(self: Rules, fold: Any, event: Event, profile: Any) -> None:
        self.book.step(fold.live, event, profile)

    patch.setattr(Rules, "step", wrong)


@pytest.mark.parametrize("plant", [trusts_any_kept_fold, goes_on_without_history, keeps_half])
def test_a_bug_planted_into_kept_folds_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @search(300)
    @given(worlds(), CHANGES)
    def wanted(arrivals: Any, shadows: list[str | None]) -> None:
        check_against_two_deployments(arrivals, [load_rule(OTHERS[1])], SMALL)
        change_the_shadow(arrivals, shadows, SMALL)
        mine = of_one(arrivals)
        assert change_the_shadow(mine, shadows, SMALL) == change_the_shadow(mine, shadows, None)

    with pytest.raises(AssertionError):
        wanted()
