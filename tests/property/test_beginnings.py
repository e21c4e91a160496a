"""Beginnings of sequences: however they are packed, they are those that a plain list of them would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.rules import RuleBook, RulesState, load_rule, sequences
from stream_app.domain.rules.model import pick
from stream_app.domain.rules.sequences import MAX_PARTIALS, advance
from stream_app.domain.rules.state import PACK, Beginnings, EventRef, Partial
from tests.property.examples import examples, search

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.rules.plan import Plan

RULE = """
name: sequence
version: 1
opens:
  sequence: [{event: View}, {event: %s}, {event: Buy, if: event.sku == first.sku}]
  %s
payload: [first.sku]
"""
BARE = (
    "{name: bare, version: 1, opens: {sequence: [{event: View}, {event: Ask}, {event: View}, {event: Buy}]}}"
)
"""Knows nothing of its first event: one that begins later is of use only once the earlier ones have gone on."""
TEXTS = [
    RULE % (second, more)
    for second in ("View", "Ask")
    for more in ("every: true", "within: 30s", "within: 3s\n  every: true", "")
]
PLANS = [next(iter(RuleBook([load_rule(text)])._fold.plans.values())) for text in (*TEXTS, BARE)]
STEPS = st.lists(
    st.tuples(st.sampled_from((0, 1, 300, 400, 900)), st.sampled_from("VVVVVVAB"), st.sampled_from("xyz")),
    min_size=20,
    max_size=250,
)
MANY = [(1, "V", "xyz"[number % 3]) for number in range(3 * MAX_PARTIALS)]
TYPES = {"V": "View", "A": "Ask", "B": "Buy"}
encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(RulesState).decode


class Listed:
    """The same sequences, with one list of all beginnings: an oracle."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.partials: list[Partial] = []

    def advance(self, ref: EventRef, properties: dict[str, Any], fits: Any) -> list[Partial]:
        opens = self.plan.rule.opens
        if opens.within is not None:
            self.partials = [one for one in self.partials if ref.time - one.steps[0].time <= opens.within]
        complete: list[Partial] = []
        if ref.type in self.plan.later_types:
            complete, self.partials = sequences._grown(self.plan, self.partials, ref, fits)
        if complete and not opens.every:
            self.partials, complete = [], complete[:1]
        elif ref.type == "View" and sequences._is_useful(self.plan, self.partials):
            self.partials = [*self.partials, Partial([ref], pick(properties, self.plan.first_names))][
                -MAX_PARTIALS:
            ]
        return complete


def check(plan: Plan, steps: list[tuple[int, str, str]]) -> int:
    """Compare what is complete after each event; return how many beginnings there were at most."""
    state, listed, time, most = RulesState("book"), Listed(plan), 0, 0
    for number, (gap, letter, sku) in enumerate(steps):
        time += gap
        ref, properties = EventRef(f"e{number}", time, TYPES[letter], "step"), {"sku": sku}

        def fits(pattern: Any, first: dict[str, Any] | None, sku: str = sku) -> bool:
            return pattern.condition is None or first == {"sku": sku}

        found = advance(plan, state, "", ref, properties, fits)
        assert found == listed.advance(ref, properties, fits)
        begun = state.partials.get(plan.id, {}).get("")
        assert (begun is None) == (not listed.partials)
        most = max(most, len(listed.partials))
        if begun is not None:
            assert 0 < len(begun.loose) <= PACK
            assert PACK * len(begun.packed) < MAX_PARTIALS + PACK
        if number % 50 == 17:  # a restart
            state = decode(encode(state))
    return most


@examples(300)
@given(st.sampled_from(PLANS), STEPS)
def test_packed_beginnings_are_those_of_a_list(plan: Plan, steps: list[tuple[int, str, str]]) -> None:
    check(plan, steps)


def test_more_beginnings_than_there_may_be_let_the_earliest_go() -> None:
    for plan in PLANS:
        assert check(plan, [*MANY, (1, "A", "x"), (1, "B", "x"), *MANY[:70], (1, "A", "y"), (0, "B", "y")])
        if "View" not in plan.later_types:  # else they don't stay beginnings
            assert check(plan, MANY) == MAX_PARTIALS


# -- planted bugs --------------------------------------------------------------------------------------------


def forgets_a_pack_with_its_first(patch: pytest.MonkeyPatch) -> None:
    """Let a pack go when the first of it has expired."""
    forget = Beginnings.forget

    def wrong(self: Beginnings, before: int) -> None:
        forget(self, before)
        while self.packed and self.all(before, 10**6)[:1] != self.all(-(2**62), 10**6)[:1]:
            del self.packed[0], self.ends[0]

    patch.setattr(Beginnings, "forget", wrong)


def unpacks_what_has_expired(patch: pytest.MonkeyPatch) -> None:
    """Take a pack's beginnings for fresh, all of them."""
    every = Beginnings.all
    patch.setattr(Beginnings, "all", lambda self, _, at_most: every(self, -(2**62), at_most))


def unpacks_too_many(patch: pytest.MonkeyPatch) -> None:
    """Take all that are packed."""
    every = Beginnings.all
    patch.setattr(Beginnings, "all", lambda self, since, _: every(self, since, 10**6))


def unpacks_the_latest_first(patch: pytest.MonkeyPatch) -> None:
    """Confuse the order of their beginning."""

    def wrong(self: Beginnings, since: int, at_most: int) -> list[Partial]:
        packed = Beginnings(self.packed, self.ends, [])
        found = [*self.loose, *every(packed, since, at_most)]
        return [one for one in found if one.began >= since]

    every = Beginnings.all
    patch.setattr(Beginnings, "all", wrong)


@pytest.mark.parametrize(
    "plant",
    [
        forgets_a_pack_with_its_first,
        unpacks_what_has_expired,
        unpacks_too_many,
        unpacks_the_latest_first,
    ],
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @search(1_000)
    @given(st.sampled_from(PLANS), STEPS)
    def wanted(plan: Plan, steps: list[tuple[int, str, str]]) -> None:
        check(plan, [*MANY, *steps])

    with pytest.raises(AssertionError):
        wanted()
