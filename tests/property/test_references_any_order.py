"""Reference data and events in any order of arrival: whoever turns out to be one, the same triggers come out.

What ought to come out is worked out from all events and changes at once, straight from RULES.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.agents.rules import Rules
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.reference import Ahead, References, Said
from stream_app.domain.rules import Action, RuleBook, load_rule
from stream_app.domain.rules.fold import Fold
from stream_app.domain.spreading import Spreading
from stream_app.runs.rule_cases import NAMESPACES
from stream_app.runs.triggers_in_memory import TriggersInMemory
from tests.property.examples import examples, search

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MINUTE = 60_000
START = 1_000 * 86_400_000
AFTER = 20
END = START + 1_000 * MINUTE
RULE = """
name: drop
key: sku
opens: {reference: product.price, event_before: Wished, match: sku, if: new.price < old.price}
closes: {event: Bought, match: sku}
after: 20m
grace: 300d
retract_within: 300d
"""
RULES = [load_rule(RULE)]
POLICY = IdentityPolicy.from_mapping({"namespaces": NAMESPACES})
SKUS = ("A", "B")


class Found(NamedTuple):
    """A trigger: whose wish, of what, opened by the change at which time."""

    wish: str
    sku: str
    time: int


def made(number: int, what: tuple[int, str, str, str]) -> Event:
    """Make an event: (minute, type, who, sku); ids are unlike the order of drawing."""
    minute, kind, who, sku = what
    names = {"one": ("cookie:1",), "two": ("cookie:2",), "known": ("user_id:u", "cookie:1")}
    identifiers = names.get(who, ("user_id:u", "cookie:2"))
    time = START + minute * MINUTE
    properties = {} if sku == "-" else {"sku": sku}
    return Event(f"e{number * 7 % 31:02}", time, "web", kind, identifiers, properties, time, "test")


MINUTES = st.integers(0, 12).map(lambda tens: tens * 10)
EVENTS = st.lists(
    st.tuples(
        MINUTES,
        st.sampled_from(("Wished", "Wished", "Wished", "Bought", "Seen")),
        st.sampled_from(("one", "one", "two", "known", "known as well")),
        st.sampled_from((*SKUS, "A", "-")),
    ),
    max_size=9,
).map(lambda drawn: [made(number, what) for number, what in enumerate(drawn)])
CHANGES = st.lists(
    st.tuples(MINUTES, st.sampled_from(SKUS), st.sampled_from((10.0, 20.0, 30.0))),
    max_size=7,
    unique_by=lambda drawn: drawn[:2],  # of two words at one time the later counts: arrival, for once
).map(lambda drawn: [Said("product", sku, START + m * MINUTE, {"price": price}) for m, sku, price in drawn])
LIMITS = st.sampled_from((FoldLimits(), FoldLimits(3, 1, 2), FoldLimits(1, 1, 1)))


def run(arriving: Sequence[Event | Said], limits: FoldLimits, *, held: bool) -> set[Found]:
    """Let things arrive; return the triggers that stand in the end. `held`: the clock moves when all have come."""
    one = TriggersInMemory(POLICY, RuleBook(RULES), folding=limits)
    deployment = one._deployment
    for what in arriving:
        if isinstance(what, Said):
            deployment.refer((what,), START) if held else one.refer(what)
        elif held:
            deployment.give(what, START)
        else:
            one.give(what)
    one.advance(END)
    last = {each.decision.trigger_id: each.decision for each in one.decided}
    standing: dict[str, Any] = {}
    for each in one.decided:
        if each.decision.action == Action.FIRE:
            standing[each.decision.trigger_id] = each.decision
    found = set()
    for trigger, decision in standing.items():
        if last[trigger].action == Action.FIRE:
            opened = next(ref for ref in decision.because.events if ref.role == "opened")
            found.add(Found(decision.opened_by, str(decision.key[0]), opened.time))
    return found


def customers(events: Iterable[Event]) -> list[list[Event]]:
    """Return the events of each customer, in order: a cookie that was seen with the user is the user's."""
    events = sorted(events, key=lambda event: event.order)
    known = {name for event in events if len(event.identifiers) > 1 for name in event.identifiers}
    user = [event for event in events if known & {*event.identifiers}]
    strangers = [[e for e in events if e.identifiers == (name,) and name not in known] for name in COOKIES]
    return [user, *strangers]


COOKIES = ("cookie:1", "cookie:2")


def falls(changes: Iterable[Said], sku: str) -> Iterator[int]:
    """Yield when a price fell."""
    price: float | None = None
    for said in sorted((one for one in changes if one.item == sku), key=lambda one: one.time):
        new = (said.fields or {})["price"]
        if price is not None and new < price:
            yield said.time
        price = new


def justified(events: Iterable[Event], changes: Iterable[Said]) -> set[Found]:
    """Return what ought to stand in the end."""
    found: set[Found] = set()
    for hers in customers(events):
        for sku in SKUS:
            steps = [(event.time, 0, event) for event in hers] + [
                (time, 1, None) for time in falls(changes, sku)
            ]
            opened: Found | None = None
            due, wish = 0, None
            for time, _, event in [*sorted(steps, key=lambda step: step[:2]), (END, 2, None)]:
                if opened is not None and due < time:
                    found.add(opened)
                    opened = None
                if time == END:
                    continue
                if event is None and wish is not None:
                    opened = opened or Found(wish, sku, time)
                    due = time + AFTER * MINUTE
                elif event is not None and event.type == "Bought" and event.properties.get("sku", sku) == sku:
                    opened = None
                elif event is not None and event.type == "Wished" and event.properties.get("sku") == sku:
                    wish = event.event_id
    return found


def check(data: st.DataObject) -> None:
    """Let drawn events and changes arrive in a drawn order, and compare."""
    events, changes = data.draw(EVENTS), data.draw(CHANGES)
    in_order = data.draw(st.booleans())  # a late one folds all again, which hides what steps do wrong
    held = data.draw(st.booleans())
    if not held:  # what is found late is stopped by what has closed it since, though it came later
        events = [event for event in events if event.type != "Bought"]
    everything: list[Event | Said] = [*events, *changes]
    arriving = (
        sorted(everything, key=lambda one: (one.time, isinstance(one, Said), getattr(one, "event_id", "")))
        if in_order
        else data.draw(st.permutations(everything))
    )
    assert run(arriving, data.draw(LIMITS), held=held) == justified(events, changes)


@examples(1_500)
@given(st.data())
def test_any_order_of_events_and_changes_gives_what_they_justify_together(data):
    check(data)


def planted(monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    """Plant a bug."""
    real = {
        "revise": Fold.revise,
        "watch": Ahead.watch,
        "begin": Rules.begin,
        "changes": References.changes,
        "tell": Spreading._tell,
    }

    def unmarked(fold: Fold, state: Any, change: Any, profile: Any) -> None:
        real["revise"](fold, state, change, profile)
        state.revised = (-(2**62), "")

    patches: dict[str, tuple[type, str, Any]] = {
        "an event behind a change is taken as if it were in order": (Fold, "revise", unmarked),
        "folding again forgets what changed": (Ahead, "watch", lambda *_: None),
        "going on from a checkpoint forgets what changed since": (Ahead, "resume", lambda *_: None),
        "going on from a checkpoint folds what is in it once more": (
            Ahead,
            "resume",
            lambda self, concerning, _behind: [
                real["watch"](self, kind, item, -(2**62)) for kind, item, _ in concerning
            ],
        ),
        "a checkpoint with later changes in it is gone on from": (
            Rules,
            "begin",
            lambda self, customer, kept, _since: real["begin"](self, customer, kept, (2**62, "")),
        ),
        "nobody is put into the index": (References, "concern", lambda *_: None),
        "a change concerns who wishes later": (
            Ahead,
            "watch",
            lambda self, kind, item, _since, behind=None: real["watch"](self, kind, item, -(2**62), behind),
        ),
        "the first word about an item is a change": (
            References,
            "changes",
            lambda self, kind, item, since: [
                one._replace(old=one.old or {"price": 10**6})
                for one in real["changes"](self, kind, item, since)
            ],
        ),
        "a change that comes late is a step": (
            Spreading,
            "_tell",
            lambda self, customer, changes, stamp: real["tell"](self, customer, changes[:1], stamp),
        ),
    }
    monkeypatch.setattr(*patches[bug])


@pytest.mark.parametrize(
    "bug",
    [
        "an event behind a change is taken as if it were in order",
        "folding again forgets what changed",
        "going on from a checkpoint forgets what changed since",
        "going on from a checkpoint folds what is in it once more",
        "a checkpoint with later changes in it is gone on from",
        "nobody is put into the index",
        "a change concerns who wishes later",
        "the first word about an item is a change",
        "a change that comes late is a step",
    ],
)
def test_a_planted_bug_is_found(bug, monkeypatch):
    planted(monkeypatch, bug)
    with pytest.raises(AssertionError):
        search(3_000)(given(st.data())(check))()
