"""What is answered without the `cel` package is what the package answers, whatever the values are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.rules import plain
from stream_app.domain.rules.conditions import Condition
from tests.property.examples import examples, search

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.sampled_from(["", "a", "b", "é", "\U0001f600", "a b", "12"])
INTS = st.one_of(st.integers(-3, 3), st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30]))
DOUBLES = st.one_of(st.floats(-3, 3), st.sampled_from([float("nan"), float("inf"), -0.0, 20.0, 1e300]))
ALIKE = st.sampled_from([1, 1.0, True, 20, 20.0, 0, 0.0, False])
PLAIN = st.one_of(st.none(), TEXTS, INTS, DOUBLES, st.booleans(), ALIKE, ALIKE)
VALUES = st.one_of(
    PLAIN,
    PLAIN,
    st.lists(PLAIN, max_size=2),
    st.dictionaries(st.sampled_from(["x", "sku"]), PLAIN, max_size=2),
)
RELATIONS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
LITERALS = st.one_of(
    TEXTS.map(lambda text: f'"{text}"'),
    st.sampled_from(["0", "1", "2", "20", "-1", "20.0", "0.0", "1.5", "-2.5", "true", "false"]),
)
PROPERTIES = st.sampled_from(["event.a", "event.b", 'event["a"]', "other.a", "event.in_it.x", "other"])
LISTS = st.lists(LITERALS, min_size=1, max_size=3).map(lambda them: f"[{', '.join(them)}]")
ELEMENTS = st.sampled_from(["p.sku", "p.x", "p", "event.a", "other.a", 'p["sku"]'])


def relations(sides: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Draw relations of what one side may be to another one, or to a literal."""
    return st.one_of(
        st.builds("{} {} {}".format, sides, RELATIONS, st.one_of(LITERALS, sides)),
        st.builds("{} {} {}".format, LITERALS, RELATIONS, sides),
        st.builds("{} in {}".format, sides, LISTS),
    )


EXISTS = st.builds(
    "event.list.exists(p, {})".format,
    st.one_of(
        relations(ELEMENTS),
        st.builds(
            "{} == {}".format, st.sampled_from(["p", "p.x"]), st.sampled_from(["1", "1.0", "20", "true"])
        ),
    ),
)
CONDITIONS = st.booleans().flatmap(lambda one: EXISTS if one else relations(PROPERTIES))
PRODUCTS = st.dictionaries(st.sampled_from(["x", "sku"]), st.one_of(ALIKE, PLAIN))
ANYTHING = st.one_of(
    st.lists(ALIKE, min_size=1, max_size=3),
    st.lists(st.one_of(ALIKE, PRODUCTS), min_size=1, max_size=3),
    VALUES,
)
VARIABLES = st.fixed_dictionaries(
    {
        "event": st.fixed_dictionaries(
            {"list": ANYTHING}, optional={"a": VALUES, "b": VALUES, "in_it": VALUES}
        ),
        "other": st.one_of(st.none(), st.fixed_dictionaries({}, optional={"a": VALUES})),
    }
)


def judged(source: str, variables: dict[str, Any], *, plainly: bool) -> tuple[bool, str]:
    """Judge; without what Python can answer, the package is asked everything."""
    with pytest.MonkeyPatch.context() as patch:
        if not plainly:
            for name in ("with_literal", "of_two", "exists"):
                patch.setattr(plain, name, lambda *_, **__: None)
        condition = Condition(source, {"event", "other"})
    seen: dict[str, Any] = {}
    return condition.holds(variables, seen), repr(sorted(seen.items(), key=str))


def check(source: str, variables: dict[str, Any]) -> None:
    assert judged(source, variables, plainly=True) == judged(source, variables, plainly=False)


@examples(700)
@given(CONDITIONS, VARIABLES)
def test_what_python_answers_is_what_the_package_answers(source: str, variables: dict[str, Any]) -> None:
    check(source, variables)


def takes_truth_for_a_number(patch: pytest.MonkeyPatch) -> None:
    """Compare whatever Python compares: true is 1 there."""
    patch.setattr(plain, "of_two", plain.COMPARE.get)


def stops_at_what_it_cannot_answer(patch: pytest.MonkeyPatch) -> None:
    """Take an element that the package would have to judge for one that doesn't fit."""
    original = plain.exists

    def wrong(node: Any) -> Any:
        answer = original(node)
        return None if answer is None else lambda variables: bool(answer(variables))

    patch.setattr(plain, "exists", wrong)


def reads_it_from_the_other_side(patch: pytest.MonkeyPatch) -> None:
    """Forget that `1 < x` is `x > 1`."""
    patch.setattr(plain, "MIRRORED", {relation: relation for relation in plain.COMPARE})


@pytest.mark.parametrize(
    "plant", [takes_truth_for_a_number, stops_at_what_it_cannot_answer, reads_it_from_the_other_side]
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @search(3_000)
    @given(CONDITIONS, VARIABLES)
    def wanted(source: str, variables: dict[str, Any]) -> None:
        check(source, variables)

    with pytest.raises((AssertionError, TypeError)):
        wanted()
