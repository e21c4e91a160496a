"""The oracle of triggers against the cases, the cases against the oracle, and the oracle's own laws."""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.property.examples import examples
from tests.property.rule_expectations import problems
from tests.property.rule_form import faults
from tests.property.rule_strategies import World, is_change, timestamp
from tests.property.rule_strategies import worlds as drawn_worlds
from tests.property.rules_oracle import answer
from tests.rule_case_files import LANGUAGE, cases, shipped_rules
from tests.rule_case_files import SHIPPED as SHIPPED_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.property.rules_oracle import Answer, Message

EXAMPLES = Path(__file__).parents[3] / "shared" / "cases" / "trigger_examples.jsonl"
SHIPPED = shipped_rules()


def worlds(**how: bool) -> st.SearchStrategy[World]:
    """Draw worlds without reference data, and with some."""
    return st.one_of(drawn_worlds(**how), drawn_worlds(**how, reference=True))


def told(world: World, **changes: Any) -> Answer:
    world = world | changes
    return answer(world["rules"], world["events"], world["until"], world["policy"], world["reference"])


def essence(messages: Iterable[Message], *, sent: bool = True) -> list[tuple[Any, ...]]:
    return sorted(
        (one.action, *map(str, one.firing.identity), *((one.due, one.sent, str(one.channel)) if sent else ()))
        for one in messages
    )


LANGUAGE_CASES = [
    pytest.param(case, id=f"{path.stem}/{case['id']}")
    for path in sorted(LANGUAGE.glob("*.jsonl"))
    if path.stem not in {"near", "reference_forms"}  # the oracle knows no places, and one form of each row
    for case in cases(path)
]
SEE_MORE = {"birthday", "checkout_offer", "near_store_offer", "webrooming"}
"""Shipped rules that see more than the oracle does: of a profile than traits and wish list; places."""
SHIPPED_CASES = [
    pytest.param(case, id=f"{path.stem}/{case['id']}")
    for path in sorted(SHIPPED_FILES.glob("*.cases.jsonl"))
    if path.name.removesuffix(".cases.jsonl") not in SEE_MORE
    for case in cases(path)
]


@pytest.mark.parametrize("case", [*LANGUAGE_CASES, *SHIPPED_CASES])
def test_the_oracle_and_a_case_agree(case: dict[str, Any]) -> None:
    assert problems(case, SHIPPED) == []


def test_the_oracle_and_the_designs_examples_agree() -> None:
    if not EXAMPLES.is_file():
        pytest.skip("no ../shared/cases beside this checkout: the examples are not part of it")
    lines = [json.loads(line) for line in EXAMPLES.read_text("utf-8").splitlines()]
    assert {case["id"]: found for case in lines if (found := problems(case, SHIPPED))} == {}


@given(worlds())
def test_what_is_drawn_is_a_rule(world: World) -> None:
    assert [found for rule in world["rules"] for found in faults(rule)] == []


@examples(100)
@given(worlds(late=True))
def test_messages_of_one_trigger_alternate_fire_and_retract(world: World) -> None:
    messages = told(world).messages
    by_id = sorted(messages, key=lambda one: one.firing.identity)
    for _, group in itertools.groupby(by_id, key=lambda one: one.firing.identity):
        actions = [one.action for one in group]
        assert actions == ["fire", "retract"] * (len(actions) // 2) + ["fire"] * (len(actions) % 2)


@examples(100)
@given(worlds(), st.lists(st.integers(0, 12), max_size=4))
def test_on_time_it_does_not_matter_in_how_many_steps_the_clock_moves(world: World, steps: list[int]) -> None:
    arrivals = [*world["events"], *({"advance_to": timestamp(minute - 0.5)} for minute in steps)]
    arrivals.sort(key=lambda one: datetime.fromisoformat(one.get("time") or one["advance_to"]))
    stepped, smooth = told(world, events=arrivals), told(world)
    assert essence(stepped.messages) == essence(smooth.messages)
    assert essence(stepped.held_back) == essence(smooth.held_back)


@examples(100)
@given(worlds())
def test_on_time_nothing_is_retracted_and_sent_is_due_or_the_end_of_a_hold(world: World) -> None:
    result = told(world)
    assume(not any("property" in rule.get("due_at", {}) for rule in world["rules"]))
    held = {(one.firing.identity, one.due) for one in result.held_back if one.reason == "quiet_hours"}
    for one in result.messages:
        assert one.action == "fire"
        assert one.sent == one.due or (one.firing.identity, one.due) in held


@examples(100)
@given(worlds(), st.randoms(use_true_random=False))
def test_events_of_one_time_may_arrive_in_any_order(world: World, chance: Any) -> None:
    """And changes before or behind them; of two words about an item the later counts, so these stay in order."""
    shuffled = list(world["events"])
    chance.shuffle(shuffled)
    shuffled.sort(key=lambda event: datetime.fromisoformat(event["time"]))
    changes = filter(is_change, world["events"])
    shuffled = [next(changes) if is_change(one) else one for one in shuffled]
    assert essence(told(world, events=shuffled).messages) == essence(told(world).messages)


@examples(100)
@given(worlds(late=True, plain=True))
def test_with_endless_grace_what_is_left_is_what_order_would_have_given(world: World) -> None:
    arrived = [event for event in world["events"] if "advance_to" not in event]
    ordered = sorted(arrived, key=lambda one: (datetime.fromisoformat(one["time"]), one.get("event_id", "")))
    left, right = told(world).net, told(world, events=ordered).net
    assert essence(left, sent=False) == essence(right, sent=False)
